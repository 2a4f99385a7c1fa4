//! The second helper thread: it holds the connection on which Redis says which keys changed
//! (<https://redis.io/docs/latest/develop/reference/client-side-caching/>), and hands that to the loop.
//!
//! Redis promises to say so as long as two connections live: this one, and the one that read the key.
//! Whichever is lost, all is lost, so each ends the other.

use std::io::{self, ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::Duration;

use super::mailbox::Mailbox;
use super::{Event, Invalidated};
use crate::resp::read::Reader;
use crate::resp::scan::Scanner;

/// The data connections' end of the tracking of one session.
pub(super) struct Tracking {
    /// The connection of the tracker, to redirect to.
    pub id: i64,
    stream: Arc<TcpStream>,
    shared: Arc<Shared>,
}

/// What the tracker and its surroundings know of each other.
#[derive(Default)]
struct Shared {
    /// The connection is lost, or to be left.
    over: AtomicBool,
    /// Why it was lost.
    reason: OnceLock<String>,
    /// The connection is looked after with pings.
    watched: AtomicBool,
}

const PING: &[u8] = b"*1\r\n$4\r\nPING\r\n";

impl Tracking {
    /// Starts the thread. The stream is a connection in RESP3 with that id; `data` is the connection that
    /// reads, which is shut down when this one is lost; `holds` says whether anything is cached.
    pub fn start(
        id: i64,
        stream: Arc<TcpStream>,
        data: Arc<TcpStream>,
        epoch: u64,
        holds: Arc<AtomicBool>,
        mailbox: Arc<Mailbox>,
        timeout: Duration,
    ) -> io::Result<Self> {
        let shared = Arc::new(Shared::default());
        let tracker = Tracker {
            stream: Arc::clone(&stream),
            data,
            epoch,
            shared: Arc::clone(&shared),
            holds,
            mailbox,
            timeout,
        };
        thread::Builder::new()
            .name("tracker".into())
            .stack_size(STACK)
            .spawn(move || tracker.run())?;
        Ok(Self { id, stream, shared })
    }

    /// Whether the tracker still hears what changes.
    pub fn is_alive(&self) -> bool {
        !self.shared.over.load(Ordering::Acquire)
    }

    /// Why it does not any more.
    pub fn loss(&self) -> Option<&str> {
        self.shared.reason.get().map(String::as_str)
    }

    /// Something is cached: from now on the tracker's connection has to be looked after.
    pub fn watch(&self) {
        if !self.shared.watched.load(Ordering::SeqCst) {
            // Its reply wakes the tracker. An error is the tracker's to find.
            let _ = (&*self.stream).write(PING);
        }
    }
}

impl Drop for Tracking {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Release);
        let _ = self.stream.shutdown(Shutdown::Both);
    }
}

/// The stack of the thread, in bytes.
const STACK: usize = 128 * 1024;

/// How much one read takes, in bytes.
const LANDING: usize = 16 * 1024;

struct Tracker {
    stream: Arc<TcpStream>,
    data: Arc<TcpStream>,
    epoch: u64,
    shared: Arc<Shared>,
    holds: Arc<AtomicBool>,
    mailbox: Arc<Mailbox>,
    timeout: Duration,
}

impl Tracker {
    fn run(mut self) {
        let reason = match self.listen() {
            Ok(never) => match never {},
            Err(error) => error,
        };
        let _ = self.shared.reason.set(reason.to_string());
        if !self.shared.over.swap(true, Ordering::AcqRel) {
            self.mailbox.tell(Event::TrackingLost { epoch: self.epoch });
            let _ = self.data.shutdown(Shutdown::Both);
        }
    }

    /// Hands on what Redis says until the connection ends.
    ///
    /// As long as something is cached, silence is broken by a ping after the timeout, and a ping without
    /// an answer after another is the end. With nothing cached, it sleeps.
    fn listen(&mut self) -> io::Result<std::convert::Infallible> {
        let mut landing = vec![0; LANDING];
        let mut bytes = Vec::new();
        let mut silent = 0;
        self.stream.set_read_timeout(None)?;
        loop {
            match (&*self.stream).read(&mut landing) {
                Ok(0) => return Err(ErrorKind::UnexpectedEof.into()),
                Ok(length) => {
                    silent = 0;
                    bytes.extend_from_slice(&landing[..length]);
                    self.hand_on(&mut bytes)?;
                    if !self.shared.watched.swap(true, Ordering::SeqCst) {
                        self.stream.set_read_timeout(Some(self.timeout))?;
                    }
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error)
                    if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) =>
                {
                    silent += 1;
                    if silent > 1 {
                        return Err(ErrorKind::TimedOut.into());
                    }
                    // Either this finds that something is cached by now, or who says so that nobody watches.
                    self.shared.watched.store(false, Ordering::SeqCst);
                    if self.holds.load(Ordering::SeqCst) {
                        self.shared.watched.store(true, Ordering::SeqCst);
                        (&*self.stream).write_all(PING)?;
                    } else {
                        silent = 0;
                        self.stream.set_read_timeout(None)?;
                    }
                }
                Err(error) => return Err(error),
            }
        }
    }

    /// Tells the loop of all invalidations that are whole, and leaves the rest.
    fn hand_on(&self, bytes: &mut Vec<u8>) -> io::Result<()> {
        let mut invalidated = Invalidated::default();
        let mut at = 0;
        loop {
            let found = Scanner::new().feed(&bytes[at..]);
            let found = found.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))?;
            let Some((_, length)) = found else { break };
            read_invalidation(&bytes[at..at + length], &mut invalidated);
            at += length;
        }
        bytes.drain(..at);
        if invalidated != Invalidated::default() {
            self.mailbox.tell(Event::Invalidated(invalidated));
        }
        Ok(())
    }
}

/// `>2 invalidate [keys]`, or a null in place of the keys for all of them. Other messages say nothing.
fn read_invalidation(message: &[u8], invalidated: &mut Invalidated) {
    if !message.starts_with(b">") {
        return;
    }
    let mut reader = Reader::new(message);
    if reader.array() != Some(2) || reader.text() != Some(b"invalidate") {
        return;
    }
    match reader.array() {
        Some(keys) => {
            invalidated
                .keys
                .extend((0..keys).map_while(|_| reader.text()).map(Box::from));
        }
        None => invalidated.all = true,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_and_flushes_are_read_and_all_else_is_passed_over() {
        let mut invalidated = Invalidated::default();
        for message in [
            &b">2\r\n$10\r\ninvalidate\r\n*2\r\n$1\r\na\r\n$2\r\n\r\n\r\n"[..],
            b"+PONG\r\n",
            b">2\r\n$7\r\nmessage\r\n*1\r\n$1\r\nx\r\n",
            b">3\r\n$7\r\nmessage\r\n$1\r\nx\r\n$1\r\ny\r\n",
        ] {
            read_invalidation(message, &mut invalidated);
        }
        let keys: Vec<&[u8]> = invalidated.keys.iter().map(|key| &**key).collect();
        assert_eq!(keys, [&b"a"[..], b"\r\n"]);
        assert!(!invalidated.all);
        read_invalidation(b">2\r\n$10\r\ninvalidate\r\n_\r\n", &mut invalidated);
        assert!(invalidated.all);
    }
}
