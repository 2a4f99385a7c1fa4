//! What the loop and the helper thread pass to each other. A lock is held only to move data in or out.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::resolve::Endpoints;
use super::{Check, Event, NodeId, Replies, Report, Requests};

/// The two directions: work for the helper, and events for the loop.
pub(super) struct Mailbox {
    work: Mutex<Work>,
    /// The helper sleeps, or is about to, and must be woken for work.
    sleeping: AtomicBool,
    helper: Waker,
    events: Mutex<Vec<Report>>,
    /// How many bytes of replies are reported and not delivered yet.
    unread: AtomicUsize,
    the_loop: Arc<Waker>,
}

/// Work for the helper.
#[derive(Default)]
pub(super) struct Work {
    /// Requests, in order.
    pub requests: Requests,
    /// Passwords to check with Redis.
    pub checks: Vec<Check>,
    /// The last barrier that was requested.
    pub barrier: Option<u64>,
    /// Whether an outage would matter, if that has changed.
    pub watched: Option<bool>,
    /// Addresses of nodes, once looked up.
    pub endpoints: Vec<(NodeId, Endpoints)>,
    /// Addresses of sentinels, by their numbers, once looked up.
    pub sentinels: Vec<(usize, Endpoints)>,
    /// A client's dedicated connection seems to lead to a demoted Redis; or a node of a cluster reports that slots have
    /// moved.
    pub doubts: bool,
    /// Addresses in redirects that are not in the map of the cluster.
    pub wanted: Vec<Box<str>>,
    /// Memory of replies that were delivered.
    pub spare: Vec<Replies>,
    /// Whether there is any work.
    is_some: bool,
}

/// How many replies' memory is kept for reuse.
const SPARE: usize = 4;

/// How many bytes of replies may wait for the loop. One reply may exceed it.
const UNREAD_MAX: usize = 4 * 1024 * 1024;

impl Mailbox {
    /// An empty mailbox, with the wakers of both sides.
    pub fn new(helper: Waker, the_loop: Arc<Waker>) -> Arc<Self> {
        Arc::new(Self {
            work: Mutex::default(),
            sleeping: AtomicBool::new(false),
            helper,
            events: Mutex::default(),
            unread: AtomicUsize::new(0),
            the_loop,
        })
    }

    /// Adds work for the helper.
    pub fn add(&self, add: impl FnOnce(&mut Work)) {
        let mut work = lock(&self.work);
        add(&mut work);
        work.is_some = true;
        drop(work);
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.wake(&self.helper);
        }
    }

    /// Keeps the memory of delivered replies for reuse.
    pub fn recycle(&self, mut replies: Replies) {
        let length = replies.bytes.len();
        replies.clear();
        let before = self.unread.fetch_sub(length, Ordering::SeqCst);
        if before >= UNREAD_MAX && before - length < UNREAD_MAX {
            self.wake(&self.helper);
        }
        let mut work = lock(&self.work);
        if work.spare.len() < SPARE {
            work.spare.push(replies);
        }
    }

    /// Whether the helper may sleep: there is no work, and it will be woken as soon as there is.
    pub fn may_sleep(&self) -> bool {
        self.sleeping.store(true, Ordering::SeqCst);
        !lock(&self.work).is_some
    }

    /// Exchanges the helper's completed work for new work, as the helper is awake, whatever woke it. Returns whether
    /// there is new work.
    pub fn take(&self, done: &mut Work) -> bool {
        self.sleeping.store(false, Ordering::SeqCst);
        done.is_some = false;
        let mut work = lock(&self.work);
        if work.is_some {
            std::mem::swap(done, &mut work);
        }
        done.is_some
    }

    /// Adds a node's events for the loop. Wakes the loop if there were none before.
    pub fn report(&self, node: NodeId, news: &mut Vec<Event>) {
        if news.is_empty() {
            return;
        }
        let length = news.iter().map(|event| match event {
            Event::Replies { replies, .. } => replies.bytes.len(),
            _ => 0,
        });
        let length = length.sum();
        let mut events = lock(&self.events);
        self.unread.fetch_add(length, Ordering::SeqCst);
        let wake = events.is_empty();
        events.extend(news.drain(..).map(|event| Report { node, event }));
        drop(events);
        if wake {
            self.wake(&self.the_loop);
        }
    }

    /// Wakes the loop.
    pub fn wake_loop(&self) {
        self.wake(&self.the_loop);
    }

    /// Whether so many bytes of replies wait for the loop that nothing more may be read from Redis until the loop takes
    /// them.
    pub fn is_full(&self) -> bool {
        self.unread.load(Ordering::SeqCst) >= UNREAD_MAX
    }

    /// Takes all events in order, in exchange for an empty list.
    pub fn take_events(&self, events: &mut Vec<Report>) {
        debug_assert!(events.is_empty());
        std::mem::swap(events, &mut *lock(&self.events));
    }

    fn wake(&self, waker: &Waker) {
        let woken: io::Result<()> = waker.wake();
        if let Err(error) = woken {
            log::error!(reason:% = error; "cannot wake the other thread");
        }
    }
}

/// The lock, even if a thread panicked while it held it: data is only moved in or out, so it is intact.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
