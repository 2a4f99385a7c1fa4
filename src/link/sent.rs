//! Takes over requests that somebody else has written to the connection.

use super::{Batch, Link, Replies};
use crate::clock::Time;

impl<Q: Copy> Link<Q> {
    /// Takes clients' requests that were already written to the connection, after everything else that is. Leaves the
    /// batch empty, with spare memory.
    pub fn note_sent(&mut self, batch: &mut Batch, since: Time) {
        debug_assert!(self.ready && self.written == 0);
        if !batch.is_empty() {
            let group = self.group_of(batch, since);
            self.groups.insert(self.writing, group);
            self.writing += 1;
        }
    }

    /// The last so many of the bytes that count as written are not.
    pub fn take_back(&mut self, mut bytes: usize) {
        while bytes > self.written && self.writing > 0 {
            bytes -= self.written;
            self.writing -= 1;
            self.written = self.groups[self.writing].batch.bytes.len();
        }
        self.written = self.written.saturating_sub(bytes);
    }

    /// Takes clients' requests that were written to a connection before it was [lost](Self::renew). Those that may not
    /// be repeated get this encoded error.
    pub fn note_lost(
        &mut self,
        batch: &mut Batch,
        since: Time,
        error: &[u8],
        replies: &mut Replies,
    ) {
        self.error = error.to_vec();
        let group = self.group_of(batch, since);
        self.groups.push_back(group.renewed(0, usize::MAX, &mut 0));
        self.answer_failed(replies);
        self.drop_answered();
    }
}
