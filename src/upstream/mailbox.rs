//! What the loop and the helper threads hand each other. Each lock is held only to move what is there, and for
//! system calls that don't wait.

use std::io::{self, ErrorKind, Read, Write};
use std::os::fd::{AsFd, AsRawFd};
use std::os::unix::net::UnixStream;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use mio::unix::SourceFd;
use mio::{Interest, Registry, Token, Waker};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::ahead::{Connections, Received, is_owed, receive_ahead, send_ahead, speaks};
use super::{Batch, Event};

/// The two boxes: requests to the helper that owns the connections, events to the loop.
pub(super) struct Mailbox {
    requests: Mutex<Requests>,
    /// A byte in it says to the helper, while it waits, that there is something to do or to look at.
    bell: (UnixStream, UnixStream),
    events: Mutex<Vec<Event>>,
    /// How the loop is woken for events.
    waker: Waker,
    /// The loop's poll, which watches the connections that it was lent under these tokens.
    registry: Registry,
    tokens: [Token; 2],
}

#[derive(Default)]
struct Requests {
    /// Those that are not sent.
    batch: Batch,
    /// Those that the loop sent, at least in part, and whose replies have not all come.
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
    /// Two empty boxes. The waker wakes the loop for events; with these tokens, its poll tells that it is to call
    /// [`Self::receive`].
    pub fn new(waker: Waker, registry: Registry, tokens: [Token; 2]) -> io::Result<Self> {
        let bell = UnixStream::pair()?;
        bell.0.set_nonblocking(true)?;
        bell.1.set_nonblocking(true)?;
        Ok(Self {
            requests: Mutex::default(),
            bell,
            events: Mutex::default(),
            waker,
            registry,
            tokens,
        })
    }

    /// Adds requests, if there are some, behind those that wait. While the helper waits they are sent in its
    /// stead, or it is woken: when nothing is under way any more. Otherwise it looks before it waits.
    pub fn put_requests(&self, batch: &mut Batch) {
        let mut requests = lock(&self.requests);
        requests.batch.append(batch);
        let Requests {
            batch, ahead, lent, ..
        } = &mut *requests;
        if let Some(connections) = lent
            && ahead.is_empty()
            && !batch.is_empty()
        {
            std::mem::swap(batch, ahead);
            if !send_ahead(ahead, connections) {
                if ahead.sent.is_none() {
                    std::mem::swap(batch, ahead);
                }
                self.give_back(&mut requests);
            }
        }
    }

    /// Reads from a connection that the loop was lent, as an event of its poll says. Requests that wait for what
    /// comes are not sent yet, so that others may join them: that is for [`Self::put_requests`], at the end of
    /// the turn.
    pub fn receive(&self, event: &mio::event::Event, landing: &mut [u8]) {
        let Some(at) = self.tokens.iter().position(|&token| token == event.token()) else {
            return;
        };
        let mut requests = lock(&self.requests);
        let Requests { ahead, lent, .. } = &mut *requests;
        let Some(stream) = lent.as_ref().and_then(|lent| lent[at].as_deref()) else {
            return;
        };
        let owed = is_owed(ahead, at);
        let mut received = if owed {
            receive_ahead(ahead, stream, landing)
        } else if speaks(stream) {
            Received::TooMuch
        } else {
            Received::Nothing
        };
        if received == Received::All && event.is_read_closed() {
            // The poll will not tell of its end again.
            received = Received::TooMuch;
        }
        if owed && matches!(received, Received::All | Received::TooMuch) {
            let now = Instant::now();
            let mut replies = std::mem::take(&mut ahead.replies);
            replies.round_trip = ahead.sent.map_or(Duration::ZERO, |(_, since)| now - since);
            replies.completes = replies.ends.len();
            ahead.clear();
            requests.heard = Some(now);
            lock(&self.events).push(Event::Replies(replies));
        }
        if matches!(received, Received::TooMuch | Received::Part) {
            requests.unasked |= received == Received::TooMuch;
            self.give_back(&mut requests);
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
        if std::mem::take(&mut requests.unasked) && speak_unasked(connections) {
            return Waited::Unasked;
        }
        let batch = std::mem::replace(&mut requests.batch, used);
        if !batch.is_empty() {
            return Waited::Requests(batch);
        }
        if left.is_some_and(|left| left.is_zero()) {
            return Waited::Deadline;
        }
        requests.lent = Some(connections.clone());
        drop(requests);

        self.sleep(connections, left);

        let mut requests = lock(&self.requests);
        requests.lent = None;
        if !requests.ahead.is_empty() {
            return Waited::Requests(std::mem::take(&mut requests.ahead));
        }
        // Whatever woke it: what is sent on a connection that has ended may or may not be carried out.
        if std::mem::take(&mut requests.unasked) || speak_unasked(connections) {
            Waited::Unasked
        } else if !requests.batch.is_empty() {
            Waited::Requests(std::mem::take(&mut requests.batch))
        } else if deadline.is_some_and(|at| at <= Instant::now()) {
            Waited::Deadline
        } else {
            Waited::Bell
        }
    }

    /// Lends connections until the bell rings, or one of those speaks that can't be lent, or so much time is over.
    fn sleep(&self, connections: &Connections, time: Option<Duration>) {
        let kept = self.lend(connections);
        let timeout = time.and_then(|time| Timespec::try_from(time).ok());
        let mut fds =
            [self.bell.1.as_fd(); 3].map(|fd| PollFd::from_borrowed_fd(fd, PollFlags::IN));
        for (place, stream) in fds[1..].iter_mut().zip(kept.iter().flatten()) {
            *place = PollFd::from_borrowed_fd(stream.as_fd(), PollFlags::IN);
        }
        // Interrupted or not, what is there is looked at.
        let _ = poll(&mut fds, timeout.as_ref());
        if !fds[0].revents().is_empty() {
            self.silence_bell();
        }
        self.take_back(connections);
    }

    /// Has the loop's poll watch connections. Returns those that it can't: the loop is not lent them.
    fn lend(&self, connections: &Connections) -> Connections {
        let mut kept = Connections::default();
        for (at, (stream, token)) in connections.iter().zip(self.tokens).enumerate() {
            let Some(stream) = stream else { continue };
            let fd = stream.as_raw_fd();
            let lent = self
                .registry
                .register(&mut SourceFd(&fd), token, Interest::READABLE);
            if lent.is_err() {
                kept[at] = Some(Arc::clone(stream));
                let mut requests = lock(&self.requests);
                if let Some(lent) = &mut requests.lent {
                    lent[at] = None;
                }
                if !requests.ahead.is_empty() {
                    self.give_back(&mut requests);
                }
            }
        }
        kept
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

/// Whether one of the connections, on which nothing is owed, has something to say.
fn speak_unasked(connections: &Connections) -> bool {
    connections.iter().flatten().any(|stream| speaks(stream))
}

/// A thread that panicked leaves a box as it was between two moves: whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
