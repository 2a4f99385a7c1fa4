//! What the loop and the helper hand each other. Each lock is held only to move what is there.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use super::{Batch, Event};

/// The two boxes: requests to the helper, events to the loop.
#[derive(Default)]
pub(super) struct Mailbox {
    requests: Mutex<Batch>,
    /// Rung when requests were put where there were none.
    bell: Condvar,
    events: Mutex<Vec<Event>>,
}

impl Mailbox {
    /// Adds requests for the helper.
    pub fn put_requests(&self, batch: &mut Batch) {
        let mut requests = lock(&self.requests);
        let ring = requests.is_empty();
        requests.append(batch);
        drop(requests);
        // With requests already there, the helper is about to look: no second wake-up.
        if ring {
            self.bell.notify_one();
        }
    }

    /// Takes all requests that wait, and waits for some if there are none, until the deadline if any.
    pub fn take_requests(&self, deadline: Option<Instant>) -> Batch {
        let mut requests = lock(&self.requests);
        while requests.is_empty() {
            requests =
                match deadline.map(|deadline| deadline.saturating_duration_since(Instant::now())) {
                    None => self
                        .bell
                        .wait(requests)
                        .unwrap_or_else(PoisonError::into_inner),
                    Some(left) if left.is_zero() => break,
                    Some(left) => {
                        self.bell
                            .wait_timeout(requests, left)
                            .unwrap_or_else(PoisonError::into_inner)
                            .0
                    }
                };
        }
        std::mem::take(&mut *requests)
    }

    /// Adds an event for the loop. Returns whether the loop has to be woken for it.
    pub fn put_event(&self, event: Event) -> bool {
        let mut events = lock(&self.events);
        events.push(event);
        events.len() == 1
    }

    /// Takes all events in order.
    pub fn take_events(&self) -> Vec<Event> {
        std::mem::take(&mut *lock(&self.events))
    }
}

/// A thread that panicked leaves a box as it was between two moves: whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
