//! Requests that are decided by another thread.

use std::cell::Cell;
use std::fmt;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};

use super::Before;

/// The error for a request that is never decided.
const NO_ANSWER: &str = "ERR a hook gave no answer";

/// Wakes the event loop.
pub(crate) type Wake = Arc<dyn Fn() + Send + Sync>;

/// A request that is decided later.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Later(u64);

impl Later {
    pub(crate) fn ticket(&self) -> u64 {
        self.0
    }
}

/// Decides a deferred request, from any thread. If it is dropped without a decision, the client gets an error.
pub struct Answer {
    ticket: u64,
    /// `None` once the request is decided.
    decided: Option<Sender<(u64, Before)>>,
    wake: Wake,
}

impl Answer {
    /// Decides the request. It can't be deferred again; that results in an error.
    pub fn send(mut self, decision: Before) {
        self.decide(match decision {
            Before::Later(_) => Before::Deny(NO_ANSWER.into()),
            decision => decision,
        });
    }

    fn decide(&mut self, decision: Before) {
        // Sending fails if the proxy is gone, which does not matter.
        if let Some(decided) = self.decided.take()
            && decided.send((self.ticket, decision)).is_ok()
        {
            (self.wake)();
        }
    }
}

impl Drop for Answer {
    fn drop(&mut self) {
        self.decide(Before::Deny(NO_ANSWER.into()));
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Answer").field(&self.ticket).finish()
    }
}

/// The deferred requests, by their tickets.
pub(crate) struct Deferrals {
    latest: Cell<u64>,
    sender: Sender<(u64, Before)>,
    decided: Receiver<(u64, Before)>,
    wake: Wake,
}

impl Deferrals {
    pub fn new(wake: Wake) -> Self {
        let (sender, decided) = channel();
        Self {
            latest: Cell::new(0),
            sender,
            decided,
            wake,
        }
    }

    pub(super) fn defer(&self) -> (Answer, Later) {
        let ticket = self.latest.get() + 1;
        self.latest.set(ticket);
        let answer = Answer {
            ticket,
            decided: Some(self.sender.clone()),
            wake: Arc::clone(&self.wake),
        };
        (answer, Later(ticket))
    }

    /// Removes the next request that was decided. Returns its ticket and the decision.
    pub fn next_decided(&self) -> Option<(u64, Before)> {
        self.decided.try_recv().ok()
    }
}
