//! What the loop and the helper threads hand each other. Each lock is held only to move what is there.

use std::io::{self, ErrorKind, Read, Write};
use std::net::TcpStream;
use std::os::fd::AsFd;
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use mio::Waker;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::net::{SendFlags, send};

use super::{Batch, Event};
use crate::resp::Protocol;

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
    /// The helper found none, and waits for the bell or for these connections.
    awaited: Option<Connections>,
}

/// The shared connections, for RESP2 and for RESP3.
pub(super) type Connections = [Option<Arc<TcpStream>>; 2];

/// The most bytes that are sent ahead: a connection on which nothing is under way takes them.
const AHEAD: usize = 16 * 1024;

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

    /// Adds requests for the helper. One that waits is woken, or the requests are sent in its stead: then
    /// their reply wakes it. A busy one looks before it waits.
    pub fn put_requests(&self, batch: &mut Batch) {
        let mut requests = lock(&self.requests);
        let first = requests.batch.is_empty();
        requests.batch.append(batch);
        let Requests { batch, awaited } = &mut *requests;
        let ring = match awaited {
            Some(connections) if first => !send_ahead(batch, connections),
            _ => false,
        };
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
        requests.awaited = Some(connections.clone());
        drop(requests);

        let timeout = left.and_then(|left| Timespec::try_from(left).ok());
        let mut fds =
            [self.bell.1.as_fd(); 3].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        let mut count = 1;
        for (place, stream) in fds[1..].iter_mut().zip(connections.iter().flatten()) {
            *place = PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN);
            count += 1;
        }
        let fds = &mut fds[..count];
        // Interrupted or not, what is there is looked at.
        let _ = poll(fds, timeout.as_ref());
        let ready = |fd: &PollFd<'_>| !fd.revents().is_empty();
        if ready(&fds[0]) {
            self.silence_bell();
        }

        let mut requests = lock(&self.requests);
        requests.awaited = None;
        if requests.batch.sent.is_none() && fds[1..].iter().any(ready) {
            return Waited::Unasked;
        }
        let batch = std::mem::take(&mut requests.batch);
        if !batch.is_empty() {
            Waited::Requests(batch)
        } else if deadline.is_some_and(|at| at <= Instant::now()) {
            Waited::Deadline
        } else {
            Waited::Bell
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

/// Sends the first requests for a helper that waits, as far as the connection takes them. Returns whether it
/// took anything. So a lone miss takes 9 µs less, 29 instead of 38 more than a GET of Redis itself.
fn send_ahead(batch: &mut Batch, [resp2, resp3]: &Connections) -> bool {
    let Some(first) = batch.requests.first() else {
        return false;
    };
    let stream = match first.protocol {
        Protocol::Resp2 => resp2,
        Protocol::Resp3 => resp3,
    };
    let mut others = batch.requests.iter();
    let alike = others.all(|other| other.protocol == first.protocol);
    let Some(stream) = stream
        .as_ref()
        .filter(|_| alike && batch.bytes.len() <= AHEAD)
    else {
        return false;
    };
    let since = Instant::now();
    let flags = SendFlags::DONTWAIT | SendFlags::NOSIGNAL;
    // Whatever is wrong, the helper will find out.
    let sent = send(stream, &batch.bytes, flags).unwrap_or(0);
    if sent > 0 {
        batch.sent = Some((sent, since));
    }
    sent > 0
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
