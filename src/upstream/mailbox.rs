//! What the loop and the helper threads hand each other. Each lock is held only to move what is there.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, BorrowedFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::Waker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::{Batch, Event};

/// The two boxes: requests to the helper that owns the connections, events to the loop.
pub(super) struct Mailbox {
    requests: Mutex<Requests>,
    /// A byte in it says that something was put while the helper waited.
    bell: (UnixStream, UnixStream),
    events: Mutex<Vec<Event>>,
    waker: Waker,
}

#[derive(Default)]
struct Requests {
    batch: Batch,
    /// The helper found none, and waits for the bell.
    awaited: bool,
}

/// What ended a wait.
pub(super) enum Waited {
    /// Requests, in order.
    Requests(Batch),
    /// A connection has something to say that it was not asked for, such as its end.
    Unasked,
    /// The bell, without requests: things are to be looked at anew.
    Bell,
    /// The deadline.
    Deadline,
}

impl Mailbox {
    /// Two empty boxes. The waker wakes the loop.
    pub fn new(waker: Waker) -> io::Result<Self> {
        let bell = UnixStream::pair()?;
        bell.0.set_nonblocking(true)?;
        bell.1.set_nonblocking(true)?;
        Ok(Self {
            requests: Mutex::default(),
            bell,
            events: Mutex::default(),
            waker,
        })
    }

    /// Adds requests for the helper, and wakes it if it waits for some: a busy one looks before it waits.
    pub fn put_requests(&self, batch: &mut Batch) {
        let mut requests = lock(&self.requests);
        requests.batch.append(batch);
        let ring = std::mem::take(&mut requests.awaited);
        drop(requests);
        if ring {
            self.ring();
        }
    }

    /// Wakes the helper.
    pub fn ring(&self) {
        // A bell that is full rings anyway.
        let _ = (&self.bell.0).write(&[1]);
    }

    /// Takes all requests that wait. If there are none it waits for some, or until one of the connections
    /// can be read from, or for the bell, or the deadline. `used` is a batch that was served: its memory
    /// goes back to the loop.
    pub fn wait(
        &self,
        mut used: Batch,
        connections: [Option<BorrowedFd<'_>>; 2],
        deadline: Option<Instant>,
    ) -> Waited {
        used.clear();
        if let Some(batch) = self.take_requests(used) {
            return Waited::Requests(batch);
        }
        let timeout = match deadline.map(|at| at.saturating_duration_since(Instant::now())) {
            Some(left) if left.is_zero() => return Waited::Deadline,
            Some(left) => Timespec::try_from(left).ok(),
            None => None,
        };
        let mut fds =
            [self.bell.1.as_fd(); 3].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut count = 1;
        for (place, fd) in fds[1..].iter_mut().zip(connections.into_iter().flatten()) {
            *place = PollFd::from_borrowed_fd(fd, PollFlags::IN);
            count += 1;
        }
        let fds = &mut fds[..count];
        // Interrupted or not, what is there is looked at.
        let _ = poll(fds, timeout.as_ref());
        if fds.iter().skip(1).any(|fd| !fd.revents().is_empty()) {
            return Waited::Unasked;
        }
        self.silence_bell();
        match self.take_requests(Batch::default()) {
            Some(batch) => Waited::Requests(batch),
            None if deadline.is_some_and(|at| at <= Instant::now()) => Waited::Deadline,
            None => Waited::Bell,
        }
    }

    /// Takes the requests that wait, and leaves an empty batch for the next.
    fn take_requests(&self, empty: Batch) -> Option<Batch> {
        let mut requests = lock(&self.requests);
        let batch = std::mem::replace(&mut requests.batch, empty);
        requests.awaited = batch.is_empty();
        (!requests.awaited).then_some(batch)
    }

    fn silence_bell(&self) {
        let mut bytes = [0; 64];
        loop {
            match (&self.bell.1).read(&mut bytes) {
                Ok(length) if length == bytes.len() => {}
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                _ => return,
            }
        }
    }

    /// Adds an event for the loop, and wakes it if there was none.
    pub fn tell(&self, event: Event) {
        let mut events = lock(&self.events);
        events.push(event);
        let wake = events.len() == 1;
        drop(events);
        if wake && let Err(error) = self.waker.wake() {
            log::error!(reason:% = error; "can't wake the loop");
        }
    }

    /// Takes all events in order, for an empty list.
    pub fn take_events(&self, events: &mut Vec<Event>) {
        debug_assert!(events.is_empty());
        std::mem::swap(events, &mut *lock(&self.events));
    }
}

/// A thread that panicked leaves a box as it was between two moves: whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use mio::{Poll, Token};

    use super::*;
    use crate::resp::Protocol;
    use crate::upstream::KEPT;

    /// A mailbox, and the poll of its loop.
    fn mailbox() -> (Mailbox, Poll) {
        let poll = Poll::new().unwrap();
        let waker = Waker::new(poll.registry(), Token(0)).unwrap();
        (Mailbox::new(waker).unwrap(), poll)
    }

    fn batch(requests: &[&[u8]]) -> Batch {
        let mut batch = Batch::default();
        for request in requests {
            batch.push(Protocol::Resp2, true, |out| out.extend_from_slice(request));
        }
        batch
    }

    fn has_rung(mailbox: &Mailbox) -> bool {
        (&mailbox.bell.1).read(&mut [0]).is_ok()
    }

    #[test]
    fn a_busy_helper_takes_all_at_once_and_is_not_woken_for_it() {
        let (mailbox, _poll) = mailbox();
        mailbox.put_requests(&mut batch(&[b"a"]));
        mailbox.put_requests(&mut batch(&[b"bc", b"d"]));
        assert!(!has_rung(&mailbox));
        let Waited::Requests(taken) = mailbox.wait(Batch::default(), [None; 2], None) else {
            panic!("no requests");
        };
        assert_eq!(taken, batch(&[b"a", b"bc", b"d"]));
        let soon = Some(Instant::now());
        let waited = mailbox.wait(taken, [None; 2], soon);
        assert!(matches!(waited, Waited::Deadline));
    }

    #[test]
    fn a_helper_that_waits_is_woken_once() {
        let (mailbox, _poll) = mailbox();
        let soon = Some(Instant::now());
        mailbox.wait(Batch::default(), [None; 2], soon);
        mailbox.put_requests(&mut batch(&[b"a"]));
        mailbox.put_requests(&mut batch(&[b"b"]));
        assert!(has_rung(&mailbox));
        assert!(!has_rung(&mailbox));
        let waited = mailbox.wait(Batch::default(), [None; 2], None);
        assert!(matches!(waited, Waited::Requests(both) if both == batch(&[b"a", b"b"])));
    }

    #[test]
    fn the_memory_of_a_batch_comes_back_empty() {
        let (mailbox, _poll) = mailbox();
        let used = batch(&[b"used"]);
        let memory = used.bytes.as_ptr();
        mailbox.wait(used, [None; 2], Some(Instant::now()));
        let mut next = batch(&[b"next"]);
        mailbox.put_requests(&mut next);
        assert!(next.is_empty() && next.bytes.is_empty());
        assert_eq!(next.bytes.as_ptr(), memory);
    }

    #[test]
    fn the_memory_of_a_huge_batch_does_not() {
        let (mailbox, _poll) = mailbox();
        let huge = batch(&[&vec![b'x'; 10 * KEPT]]);
        mailbox.wait(huge, [None; 2], Some(Instant::now()));
        let mut next = batch(&[b"next"]);
        mailbox.put_requests(&mut next);
        assert!(next.bytes.capacity() <= KEPT);
    }
}
