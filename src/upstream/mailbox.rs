//! What the loop and the helper threads hand each other. Each lock is held only to move what is there, and for
//! system calls that don't wait.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ahead::{Connections, Received, receive_ahead, send_ahead, speak_unasked};
use super::{Batch, Event};

/// The two boxes: requests to the helper that owns the connections, events to the loop.
pub(super) struct Mailbox {
    requests: Mutex<Requests>,
    /// A byte in it says that something was put while the helper waited.
    bell: (UnixStream, UnixStream),
    events: Mutex<Vec<Event>>,
    /// How the loop is woken for events, and for what comes on connections that it was lent.
    waker: Waker,
    registry: Registry,
    lent: Token,
}

#[derive(Default)]
struct Requests {
    /// Those that are not sent.
    batch: Batch,
    /// Those that the loop sent, and whose replies have not all come.
    ahead: Batch,
    /// The helper waits, and lends the loop these connections until then.
    lent: Option<Connections>,
    /// One of them had something to say that it was not asked for.
    unasked: bool,
    /// When a reply last came to the loop.
    heard: Option<Instant>,
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
    /// Two empty boxes. The waker wakes the loop for events; with the token, its poll tells that it is to call
    /// [`Self::receive`].
    pub fn new(waker: Waker, registry: Registry, lent: Token) -> io::Result<Self> {
        let bell = UnixStream::pair()?;
        bell.0.set_nonblocking(true)?;
        bell.1.set_nonblocking(true)?;
        Ok(Self {
            requests: Mutex::default(),
            bell,
            events: Mutex::default(),
            waker,
            registry,
            lent,
        })
    }

    /// Adds requests. If the helper waits they are sent in its stead, or it is woken; if it does not, it looks
    /// before it waits.
    pub fn put_requests(&self, batch: &mut Batch) {
        let mut requests = lock(&self.requests);
        requests.batch.append(batch);
        if requests.ahead.is_empty() {
            self.go_on(&mut requests);
        }
    }

    /// The loop's poll says that there is something to read on a connection that it was lent.
    pub fn receive(&self, landing: &mut [u8]) {
        let mut requests = lock(&self.requests);
        let Requests { ahead, lent, .. } = &mut *requests;
        let Some(connections) = lent else { return };
        let received = if !ahead.is_empty() {
            receive_ahead(ahead, connections, landing)
        } else if speak_unasked(connections) {
            Received::TooMuch
        } else {
            Received::Nothing
        };
        if let Received::All | Received::TooMuch = received
            && let Some((_, since)) = ahead.sent
        {
            let now = Instant::now();
            let mut replies = std::mem::take(&mut ahead.replies);
            replies.round_trip = now - since;
            replies.completes = replies.ends.len();
            ahead.clear();
            requests.heard = Some(now);
            lock(&self.events).push(Event::Replies(replies));
        }
        match received {
            Received::Nothing => {}
            Received::All => self.go_on(&mut requests),
            Received::TooMuch => {
                requests.unasked = true;
                self.give_back(&mut requests);
            }
            Received::Part => self.give_back(&mut requests),
        }
    }

    /// Sees to the requests that are to be sent, as long as the loop may: when nothing is under way.
    fn go_on(&self, requests: &mut Requests) {
        let Requests {
            batch, ahead, lent, ..
        } = &mut *requests;
        let Some(connections) = lent else { return };
        if batch.is_empty() {
            return;
        }
        std::mem::swap(batch, ahead);
        if !send_ahead(ahead, connections) {
            self.give_back(requests);
        }
    }

    /// Has the helper take over.
    fn give_back(&self, requests: &mut Requests) {
        requests.lent = None;
        self.ring();
    }

    /// When the loop last got a reply from a connection that it was lent.
    pub fn heard(&self) -> Option<Instant> {
        lock(&self.requests).heard
    }

    /// Wakes the helper.
    pub fn ring(&self) {
        // A bell that is full rings anyway.
        let _ = (&self.bell.0).write(&[1]);
    }

    /// Takes all requests that wait. If there are none it waits for some that the loop can't see to with these
    /// connections, or for the bell, or the deadline. `used` is a batch that was served: its memory goes back
    /// to the loop.
    pub fn wait(
        &self,
        mut used: Batch,
        connections: &Connections,
        deadline: Option<Instant>,
    ) -> Waited {
        used.clear();
        let left = deadline.map(|at| at.saturating_duration_since(Instant::now()));
        let mut requests = lock(&self.requests);
        let batch = std::mem::replace(&mut requests.batch, used);
        if !batch.is_empty() {
            return Waited::Requests(batch);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Waited::Deadline;
        }
        requests.lent = Some(connections.clone());
        drop(requests);

        self.lend(connections);
        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut bell = [PollFd::from_borrowed_fd(self.bell.1.as_fd(), PollFlags::IN)];
        // Interrupted or not, what is there is looked at.
        let _ = poll(&mut bell, timeout.as_ref());
        if !bell[0].revents().is_empty() {
            self.silence_bell();
        }
        self.take_back(connections);

        let mut requests = lock(&self.requests);
        requests.lent = None;
        if std::mem::take(&mut requests.unasked) {
            Waited::Unasked
        } else if !requests.ahead.is_empty() {
            Waited::Requests(std::mem::take(&mut requests.ahead))
        } else if !requests.batch.is_empty() {
            Waited::Requests(std::mem::take(&mut requests.batch))
        } else if deadline.is_some_and(|at| at <= Instant::now()) {
            Waited::Deadline
        } else {
            Waited::Bell
        }
    }

    /// Has the loop's poll watch connections.
    fn lend(&self, connections: &Connections) {
        for stream in connections.iter().flatten() {
            let fd = stream.as_raw_fd();
            // Without, replies are waited for until the deadline.
            let lent = self
                .registry
                .register(&mut SourceFd(&fd), self.lent, Interest::READABLE);
            if let Err(error) = lent {
                log::error!(reason:% = error; "can't watch a connection to redis");
            }
        }
    }

    fn take_back(&self, connections: &Connections) {
        for stream in connections.iter().flatten() {
            // One that was not registered is left alone.
            let _ = self.registry.deregister(&mut SourceFd(&stream.as_raw_fd()));
        }
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
    use std::net::TcpListener;

    use mio::{Poll, Token};

    use super::*;
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
        let Waited::Requests(taken) = mailbox.wait(Batch::default(), &[None, None], None) else {
            panic!("no requests");
        };
        assert_eq!(taken, batch(&[b"a", b"bc", b"d"]));
        let soon = Some(Instant::now());
        let waited = mailbox.wait(taken, &[None, None], soon);
        assert!(matches!(waited, Waited::Deadline));
    }

    /// Lets a helper wait for these connections while `act` runs. Returns what ended its wait.
    fn wait_while(mailbox: &Mailbox, connections: &Connections, act: impl FnOnce()) -> Waited {
        std::thread::scope(|scope| {
            let helper = scope.spawn(|| mailbox.wait(Batch::default(), connections, None));
            while lock(&mailbox.requests).awaited.is_none() {
                std::thread::yield_now();
            }
            act();
            helper.join().unwrap()
        })
    }

    /// Redis's end of a connection, and ours.
    fn connection() -> (TcpStream, Option<Arc<TcpStream>>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let ours = TcpStream::connect(listener.local_addr().unwrap()).unwrap();
        (listener.accept().unwrap().0, Some(Arc::new(ours)))
    }

    fn assert_taken(waited: Waited, requests: &[&[u8]], sent: usize) {
        let Waited::Requests(mut taken) = waited else {
            panic!("no requests");
        };
        let taken_as_sent = taken.sent.take().map_or(0, |(sent, _)| sent);
        assert_eq!((taken, taken_as_sent), (batch(requests), sent));
    }

    #[test]
    fn a_helper_that_waits_is_woken() {
        let (mailbox, _poll) = mailbox();
        let waited = wait_while(&mailbox, &[None, None], || {
            mailbox.put_requests(&mut batch(&[b"a", b"b"]));
        });
        assert_taken(waited, &[b"a", b"b"], 0);
        assert!(!has_rung(&mailbox), "it took the ring");
    }

    #[test]
    fn requests_are_sent_in_the_stead_of_a_helper_that_waits_until_their_reply_comes() {
        let (mailbox, _poll) = mailbox();
        let (mut redis, resp2) = connection();
        let waited = wait_while(&mailbox, &[resp2, None], || {
            mailbox.put_requests(&mut batch(&[b"ab", b"c"]));
            let mut received = [0; 3];
            redis.read_exact(&mut received).unwrap();
            assert_eq!(&received, b"abc");
            // What comes next is the helper's to send.
            mailbox.put_requests(&mut batch(&[b"d"]));
            assert!(!has_rung(&mailbox));
            assert!(lock(&mailbox.requests).awaited.is_some(), "it still waits");
            redis.write_all(b"+OK\r\n").unwrap();
        });
        assert_taken(waited, &[b"ab", b"c", b"d"], 3);
    }

    #[test]
    fn what_can_t_be_sent_ahead_wakes_the_helper() {
        let too_long = vec![b'x'; AHEAD + 1];
        let (_redis, resp2) = connection();
        let (closed, broken) = connection();
        let other_version = [None, resp2.clone()];
        for (request, connections) in [
            (&too_long[..], [resp2.clone(), None]),
            (b"a", other_version),
        ] {
            let (mailbox, _poll) = mailbox();
            let waited = wait_while(&mailbox, &connections, || {
                mailbox.put_requests(&mut batch(&[request]));
            });
            assert_taken(waited, &[request], 0);
        }

        let mut mixed = batch(&[b"a"]);
        mixed.push(Protocol::Resp3, true, |out| out.push(b'b'));
        assert!(!send_ahead(&mut mixed, &[resp2, None]));
        assert_eq!(mixed.sent, None);

        drop(closed);
        let (mailbox, _poll) = mailbox();
        let waited = mailbox.wait(Batch::default(), &[broken.clone(), None], None);
        assert!(matches!(waited, Waited::Unasked), "its end came");
        // The first send finds out that nobody is there, the second is refused.
        let mut lost = batch(&[b"a"]);
        eventually_refused(&mut lost, &[broken, None]);
        assert_eq!(lost.sent, None);
    }

    fn eventually_refused(batch: &mut Batch, connections: &Connections) {
        let end = Instant::now() + std::time::Duration::from_secs(10);
        while send_ahead(batch, connections) {
            assert!(Instant::now() < end, "it is still taken");
            batch.sent = None;
        }
    }

    #[test]
    fn the_memory_of_a_batch_comes_back_empty() {
        let (mailbox, _poll) = mailbox();
        let used = batch(&[b"used"]);
        let memory = used.bytes.as_ptr();
        mailbox.wait(used, &[None, None], Some(Instant::now()));
        let mut next = batch(&[b"next"]);
        mailbox.put_requests(&mut next);
        assert!(next.is_empty() && next.bytes.is_empty());
        assert_eq!(next.bytes.as_ptr(), memory);
    }

    #[test]
    fn the_memory_of_a_huge_batch_does_not() {
        let (mailbox, _poll) = mailbox();
        let huge = batch(&[&vec![b'x'; 10 * KEPT]]);
        mailbox.wait(huge, &[None, None], Some(Instant::now()));
        let mut next = batch(&[b"next"]);
        mailbox.put_requests(&mut next);
        assert!(next.bytes.capacity() <= KEPT);
    }
}
