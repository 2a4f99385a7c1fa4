//! A line lets the loop write requests to the connection of a link by itself, so that the helper thread, which owns the
//! connection, need not be woken for it.
//!
//! The helper opens a line while it has nothing to write on the connection. The loop notes its requests here before it
//! writes them. The helper takes them over before it handles a reply, before it writes, and when the connection is lost.
//! So it always knows which requests a reply may belong to, and which were written first. What the socket does not
//! accept is left to the helper.

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
    /// When the first of them was sent.
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
        if !self.is_open || batch.bytes.len() > MOST {
            return None;
        }
        bytes.clear();
        bytes.extend_from_slice(&batch.bytes);
        if self.sent.batch.is_empty() {
            self.sent.since = now;
        }
        self.sent.batch.append(batch);
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
