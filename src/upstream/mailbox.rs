//! What the loop and the helper thread pass to each other. A lock is held only to move data in or out.

use std::io;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use mio::Waker;

use super::line::{Line, Sent};
use super::resolve::Endpoints;
use super::{Batch, Check, Event, LinkId, NodeId, PerLink, Replies, Report, Requests};
use crate::clock::Time;
use crate::transport::Outlet;

/// The two directions: work for the helper, and events for the loop.
pub(super) struct Mailbox {
    inbox: Mutex<Inbox>,
    /// The helper sleeps, or is about to, and must be woken for work.
    sleeping: AtomicBool,
    /// If it sleeps, it will be awake in a moment, which is soon enough for requests that the loop has written.
    dozing: AtomicBool,
    helper: Waker,
    events: Mutex<Vec<Report>>,
    /// There are events that the loop has not taken.
    has_events: AtomicBool,
    /// The loop sleeps, or is about to, and must be woken for events.
    loop_sleeping: AtomicBool,
    /// How many bytes of replies are reported and not delivered yet.
    unread: AtomicUsize,
    the_loop: Arc<Waker>,
}

/// What is there for the helper.
#[derive(Default)]
struct Inbox {
    work: Work,
    /// The line of each link that has a connection.
    lines: PerLink<Option<Line>>,
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
    /// The loop has written requests itself.
    pub has_sent: bool,
    /// Whether there is any work besides.
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
            inbox: Mutex::default(),
            sleeping: AtomicBool::new(false),
            dozing: AtomicBool::new(false),
            helper,
            events: Mutex::default(),
            has_events: AtomicBool::new(false),
            loop_sleeping: AtomicBool::new(false),
            unread: AtomicUsize::new(0),
            the_loop,
        })
    }

    /// Adds work for the helper.
    pub fn add(&self, add: impl FnOnce(&mut Work)) {
        let mut inbox = lock(&self.inbox);
        add(&mut inbox.work);
        inbox.work.is_some = true;
        drop(inbox);
        self.wake_helper();
    }

    /// Writes requests straight to the connection of their link, if its line is open; otherwise the helper must. Returns
    /// whether they are written, or the helper has been told of the rest. `bytes` is memory for a copy.
    pub fn write(&self, link: LinkId, batch: &mut Batch, bytes: &mut Vec<u8>, now: Time) -> bool {
        let mut inbox = lock(&self.inbox);
        let is_next = inbox.work.requests.of(link).is_empty();
        let Some(line) = inbox.lines.of(link).as_mut().filter(|_| is_next) else {
            return false;
        };
        let Some(writing) = line.begin(batch, bytes, now) else {
            return false;
        };
        inbox.work.has_sent = true;
        drop(inbox);
        let unwritten = writing.write(bytes);
        let mut inbox = lock(&self.inbox);
        let line = inbox.lines.of(link).as_mut();
        let is_to_be_told = line.is_some_and(|line| line.finish(&writing, unwritten));
        inbox.work.has_sent |= is_to_be_told;
        drop(inbox);
        if is_to_be_told || !self.dozing.load(Ordering::SeqCst) {
            self.wake_helper();
        }
        true
    }

    /// Opens the line of a link on which the helper has nothing to write, with this outlet if it is new.
    pub fn open_line(&self, link: LinkId, outlet: Option<Outlet>) {
        match (outlet, lock(&self.inbox).lines.of(link)) {
            (Some(outlet), line) => *line = Some(Line::new(outlet)),
            (None, Some(line)) => line.open(),
            (None, None) => {}
        }
    }

    /// Takes what the loop has written to a link.
    pub fn take_sent(&self, link: LinkId, sent: &mut Sent) {
        if let Some(line) = lock(&self.inbox).lines.of(link) {
            line.take(sent);
        }
    }

    /// Closes the line of a link, and takes what the loop has written to it. Returns whether the helper may write; if
    /// not, it is woken when it may.
    pub fn close_line(&self, link: LinkId, sent: &mut Sent) -> bool {
        match lock(&self.inbox).lines.of(link) {
            Some(line) => {
                line.take(sent);
                line.close()
            }
            None => true,
        }
    }

    /// Ends the line of a link whose connection is lost, and takes what the loop has written to it.
    pub fn end_line(&self, link: LinkId, sent: &mut Sent) {
        if let Some(mut line) = lock(&self.inbox).lines.of(link).take() {
            line.take(sent);
        }
    }

    /// Removes the lines of links that are gone.
    pub fn retain_lines(&self, is_kept: impl Fn(LinkId) -> bool) {
        lock(&self.inbox).lines.retain(is_kept);
    }

    /// Keeps the memory of delivered replies for reuse.
    pub fn recycle(&self, mut replies: Replies) {
        let length = replies.bytes.len();
        replies.clear();
        let before = self.unread.fetch_sub(length, Ordering::SeqCst);
        if before >= UNREAD_MAX && before - length < UNREAD_MAX {
            self.wake(&self.helper);
        }
        let work = &mut lock(&self.inbox).work;
        if work.spare.len() < SPARE {
            work.spare.push(replies);
        }
    }

    /// Whether the helper may sleep: there is no work, and it will be woken as soon as there is. If it `dozes`, it is not
    /// woken for requests that the loop has written, but must look for them in a moment.
    pub fn may_sleep(&self, dozes: bool) -> bool {
        self.dozing.store(dozes, Ordering::SeqCst);
        self.sleeping.store(true, Ordering::SeqCst);
        let inbox = lock(&self.inbox);
        !inbox.work.is_some && (dozes || !inbox.work.has_sent)
    }

    /// Exchanges the helper's completed work for new work, as the helper is awake, whatever woke it. Returns whether
    /// there is new work.
    pub fn take(&self, done: &mut Work) -> bool {
        self.sleeping.store(false, Ordering::SeqCst);
        done.is_some = false;
        let mut inbox = lock(&self.inbox);
        let has_sent = std::mem::take(&mut inbox.work.has_sent);
        if inbox.work.is_some {
            std::mem::swap(done, &mut inbox.work);
            for (link, _) in done.requests.iter().filter(|(_, batch)| !batch.is_empty()) {
                if let Some(line) = inbox.lines.of(link) {
                    line.close();
                }
            }
        }
        done.spare.append(&mut inbox.work.spare);
        done.has_sent = has_sent;
        done.is_some
    }

    /// Adds a node's events for the loop. Wakes the loop if it sleeps.
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
        events.extend(news.drain(..).map(|event| Report { node, event }));
        self.has_events.store(true, Ordering::SeqCst);
        drop(events);
        if self.loop_sleeping.swap(false, Ordering::SeqCst) {
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

    /// Whether the loop may sleep: there are no events, and it will be woken as soon as there are.
    pub fn loop_may_sleep(&self) -> bool {
        self.loop_sleeping.store(true, Ordering::SeqCst);
        !self.has_events.load(Ordering::SeqCst)
    }

    /// Whether there are events. The loop, which is awake, need not be woken for more.
    pub fn loop_has_events(&self) -> bool {
        self.loop_sleeping.store(false, Ordering::Relaxed);
        self.has_events.load(Ordering::SeqCst)
    }

    /// Takes all events in order, in exchange for an empty list.
    pub fn take_events(&self, events: &mut Vec<Report>) {
        debug_assert!(events.is_empty());
        let mut waiting = lock(&self.events);
        self.has_events.store(false, Ordering::SeqCst);
        std::mem::swap(events, &mut waiting);
    }

    fn wake_helper(&self) {
        if self.sleeping.swap(false, Ordering::SeqCst) {
            self.wake(&self.helper);
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use mio::{Events, Poll, Token};

    use super::*;

    /// A mailbox between two polls, with that of the loop.
    fn mailbox() -> (Arc<Mailbox>, Poll) {
        let [helper, the_loop] = [(); 2].map(|()| Poll::new().expect("a poll"));
        let waker = |poll: &Poll| Waker::new(poll.registry(), Token(0)).expect("a waker");
        let mailbox = Mailbox::new(waker(&helper), Arc::new(waker(&the_loop)));
        (mailbox, the_loop)
    }

    /// Whether the poll was woken.
    fn is_woken(poll: &mut Poll) -> bool {
        let mut events = Events::with_capacity(1);
        poll.poll(&mut events, Some(Duration::ZERO))
            .expect("a poll");
        !events.is_empty()
    }

    #[test]
    fn only_a_loop_that_sleeps_is_woken_and_none_sleeps_while_there_are_events() {
        let (mailbox, mut poll) = mailbox();
        let report = || mailbox.report(NodeId::default(), &mut vec![Event::Away]);
        let mut taken = Vec::new();
        for _ in 0..2 {
            report();
            assert!(!is_woken(&mut poll), "the loop is awake");
            assert!(!mailbox.loop_may_sleep());
            assert!(mailbox.loop_has_events());
            mailbox.take_events(&mut taken);
            assert_eq!(taken.drain(..).len(), 1);
            assert!(mailbox.loop_may_sleep());
            report();
            report();
            assert!(is_woken(&mut poll), "the loop was asleep");
            assert!(mailbox.loop_has_events());
            mailbox.take_events(&mut taken);
            assert_eq!(taken.drain(..).len(), 2);
            assert!(!mailbox.loop_has_events());
        }
    }

    #[test]
    fn the_helper_gets_the_memory_of_replies_back_even_if_there_is_no_work() {
        let (mailbox, _poll) = mailbox();
        mailbox.recycle(Replies::default());
        let mut work = Work::default();
        assert!(!mailbox.take(&mut work));
        assert_eq!(work.spare.len(), 1);
        work.spare.clear();
        mailbox.recycle(Replies::default());
        mailbox.add(|work| work.doubts = true);
        assert!(mailbox.take(&mut work));
        assert_eq!(work.spare.len(), 1);
    }
}
