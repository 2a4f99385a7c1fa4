//! A line lets the loop write requests to the connection of a link by itself, so that the helper thread, which owns the
//! connection, need not be woken for it.
//!
//! The helper opens a line while it has nothing to write on the connection. The loop notes its requests here before it
//! writes them. The helper takes them over before it handles a reply, before it writes, and when the connection is lost.
//! So it always knows which requests a reply may belong to, and which were written first. What the socket does not
//! accept is left to the helper. So are further requests until it has taken over the first: where it is that busy, it
//! writes those of several turns in one go.

use std::io::{ErrorKind, Write};
use std::sync::Arc;

use super::Batch;
use crate::clock::Time;
use crate::transport::Outlet;

/// The most bytes that the loop writes by itself. They are copied, as the helper may take the requests over meanwhile.
const MOST: usize = 16 * 1024;

/// The line of a link.
#[derive(Debug)]
pub(super) struct Line {
    outlet: Arc<Outlet>,
    is_open: bool,
    /// The loop is writing, so the helper must not.
    is_writing: bool,
    /// The helper waits until the loop has written.
    is_awaited: bool,
    sent: Sent,
}

/// Requests that the loop has written, or is writing, and that the helper has not taken over.
#[derive(Debug, Default)]
pub(super) struct Sent {
    pub batch: Batch,
    /// When they were sent.
    pub since: Time,
    /// How many of the last bytes, including requests that were taken over before, the socket has not accepted.
    pub unwritten: usize,
}

impl Sent {
    pub fn is_empty(&self) -> bool {
        self.batch.is_empty() && self.unwritten == 0
    }
}

/// The loop's permission to write.
pub(super) struct Writing {
    outlet: Arc<Outlet>,
}

impl Line {
    pub fn new(outlet: Outlet) -> Self {
        Self {
            outlet: Arc::new(outlet),
            is_open: true,
            is_writing: false,
            is_awaited: false,
            sent: Sent::default(),
        }
    }

    /// Notes requests that the loop will write at once, and copies their bytes. `None` if the helper must write them.
    pub fn begin(&mut self, batch: &mut Batch, bytes: &mut Vec<u8>, now: Time) -> Option<Writing> {
        let is_ahead = !self.sent.batch.is_empty();
        if !self.is_open || is_ahead || batch.bytes.len() > MOST {
            return None;
        }
        bytes.clear();
        bytes.extend_from_slice(&batch.bytes);
        self.sent.since = now;
        std::mem::swap(&mut self.sent.batch, batch);
        self.is_writing = true;
        Some(Writing {
            outlet: Arc::clone(&self.outlet),
        })
    }

    /// Notes how many bytes the socket has not accepted. Returns whether the helper has something to do.
    pub fn finish(&mut self, writing: &Writing, unwritten: usize) -> bool {
        // The connection may have been replaced meanwhile.
        if !Arc::ptr_eq(&self.outlet, &writing.outlet) {
            return false;
        }
        self.is_writing = false;
        if unwritten > 0 {
            self.sent.unwritten = unwritten;
            self.is_open = false;
        }
        std::mem::take(&mut self.is_awaited) || unwritten > 0
    }

    /// Gives the helper the requests that were sent, in exchange for an empty list.
    pub fn take(&mut self, sent: &mut Sent) {
        debug_assert!(sent.is_empty());
        std::mem::swap(&mut self.sent, sent);
    }

    /// Lets only the helper write from now on. Returns whether it may do so already; if not, it is woken when it may.
    pub fn close(&mut self) -> bool {
        self.is_open = false;
        self.is_awaited = self.is_writing;
        !self.is_writing
    }

    /// Lets the loop write again.
    pub fn open(&mut self) {
        self.is_open = !self.is_writing;
    }
}

impl Writing {
    /// Writes as much as the socket accepts at once. Returns how many bytes are left. If the connection is broken, the
    /// helper will find that out.
    pub fn write(&self, bytes: &[u8]) -> usize {
        loop {
            match (&*self.outlet).write(bytes) {
                Ok(length) => return bytes.len() - length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => return bytes.len(),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::io::Read;
    use std::os::unix::net::UnixStream;

    use super::*;
    use crate::transport::Transport;

    /// A line, and Redis's side of the connection.
    fn line() -> (Line, UnixStream) {
        let (near, far) = UnixStream::pair().expect("a pair of sockets");
        near.set_nonblocking(true).expect("a non-blocking socket");
        let outlet = Transport::accepted(near).outlet().expect("another handle");
        (Line::new(outlet.expect("no TLS")), far)
    }

    fn batch(bytes: &[u8]) -> Batch {
        let mut batch = Batch::default();
        batch.push(true, |out| out.extend_from_slice(bytes));
        batch
    }

    fn begin(line: &mut Line, bytes: &[u8]) -> Option<Writing> {
        line.begin(&mut batch(bytes), &mut Vec::new(), Time::default())
    }

    #[test]
    fn the_loop_writes_and_the_helper_learns_of_it_before_it_is_written() {
        let (mut line, mut far) = line();
        let mut bytes = Vec::new();
        let since = Time::from_millis(7);
        let writing = line.begin(&mut batch(b"ping"), &mut bytes, since);
        let writing = writing.expect("the line is open");
        let mut sent = Sent::default();
        line.take(&mut sent);
        assert_eq!((sent.batch, sent.since), (batch(b"ping"), since));
        assert_eq!(writing.write(&bytes), 0);
        assert!(!line.finish(&writing, 0));
        let mut arrived = [0; 4];
        far.read_exact(&mut arrived).expect("the request");
        assert_eq!(&arrived, b"ping");
    }

    #[test]
    fn the_helper_waits_until_the_loop_has_written_and_then_the_loop_writes_no_more() {
        let (mut line, _far) = line();
        let writing = begin(&mut line, b"a").expect("the line is open");
        assert!(!line.close());
        // Not even if the helper has nothing to write after all.
        line.open();
        assert!(line.finish(&writing, 0), "the helper is woken");
        line.take(&mut Sent::default());
        assert!(begin(&mut line, b"b").is_none());
        assert!(line.close());
        line.open();
        assert!(begin(&mut line, b"c").is_some());
    }

    #[test]
    fn what_a_full_socket_has_not_taken_is_left_to_the_helper() {
        let (mut line, mut far) = line();
        let bytes = vec![b'x'; MOST];
        let (mut written, mut unwritten) = (0, 0);
        while unwritten == 0 {
            let writing = begin(&mut line, &bytes).expect("the line is open");
            let mut sent = Sent::default();
            line.take(&mut sent);
            assert_eq!(sent.batch.bytes, bytes);
            unwritten = writing.write(&bytes);
            written += bytes.len() - unwritten;
            assert_eq!(line.finish(&writing, unwritten), unwritten > 0);
        }
        assert!(begin(&mut line, b"x").is_none());
        let mut sent = Sent::default();
        line.take(&mut sent);
        assert!(sent.batch.is_empty());
        assert_eq!(sent.unwritten, unwritten);
        let mut arrived = vec![0; written];
        far.read_exact(&mut arrived).expect("the requests");
        far.set_nonblocking(true).expect("a non-blocking socket");
        assert!(far.read(&mut [0]).is_err(), "nothing more has arrived");
    }

    #[test]
    fn further_requests_are_left_to_a_helper_that_has_not_taken_over_the_first() {
        let (mut line, _far) = line();
        let writing = begin(&mut line, b"a").expect("the line is open");
        line.finish(&writing, 0);
        assert!(begin(&mut line, b"b").is_none());
        line.take(&mut Sent::default());
        assert!(begin(&mut line, b"b").is_some());
    }

    #[test]
    fn large_requests_are_left_to_the_helper() {
        let (mut line, _far) = line();
        let mut large = batch(&vec![b'x'; MOST + 1]);
        let begun = line.begin(&mut large, &mut Vec::new(), Time::default());
        assert!(begun.is_none());
        assert!(!large.is_empty());
    }

    #[test]
    fn what_was_written_to_an_earlier_connection_does_not_concern_the_next() {
        let (mut line, far) = line();
        let writing = begin(&mut line, b"a").expect("the line is open");
        drop(far);
        let (mut next, _far) = self::line();
        assert_eq!(writing.write(b"a"), 1, "the connection is broken");
        assert!(!next.finish(&writing, 1));
        assert!(begin(&mut next, b"b").is_some());
    }
}
