//! Redis's replies on their way to the clients that wait for them.

use std::time::Duration;

use super::empty;
use super::frames::Frame;

/// Replies to the oldest unanswered requests of a connection, in order. Where Redis gave no reply, an error or a marker
/// takes its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The encoded replies one after another.
    pub bytes: Vec<u8>,
    /// Where each reply ends in `bytes`.
    pub ends: Vec<usize>,
    /// There are errors among them.
    pub has_errors: bool,
    /// The time from sending the first request to reading its reply.
    pub round_trip: Duration,
}

impl Replies {
    /// Adds an encoded reply.
    pub fn push(&mut self, encoded: &[u8]) {
        self.has_errors |= encoded.starts_with(b"-");
        self.bytes.extend_from_slice(encoded);
        self.ends.push(self.bytes.len());
    }

    /// Adds a reply found in the stream. If it is the first and long, it is moved instead of copied.
    pub(super) fn push_frame(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Collected(bytes) if self.ends.is_empty() => {
                self.has_errors |= bytes.starts_with(b"-");
                std::mem::swap(&mut self.bytes, bytes);
                self.ends.push(self.bytes.len());
            }
            frame => self.push(frame.bytes()),
        }
    }

    /// Appends other replies.
    pub(super) fn append(&mut self, others: &Self) {
        for encoded in others.iter() {
            self.push(encoded);
        }
    }

    /// How many replies there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there are no replies.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The latest reply.
    #[must_use]
    pub fn latest(&self) -> Option<&[u8]> {
        let (end, before) = self.ends.split_last()?;
        let start = before.last().copied().unwrap_or_default();
        self.bytes.get(start..*end)
    }

    /// Removes all replies. Keeps the memory for reuse, unless it is too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.ends);
        self.has_errors = false;
        self.round_trip = Duration::ZERO;
    }

    /// The encoded replies in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.iter_from(0)
    }

    /// The encoded replies in order, without the first `first`.
    pub fn iter_from(&self, first: usize) -> impl Iterator<Item = &[u8]> {
        let ends = self.ends.get(first..).unwrap_or_default();
        let start = match first.checked_sub(1) {
            Some(before) => self.ends.get(before).copied().unwrap_or_default(),
            None => 0,
        };
        let starts = std::iter::once(start).chain(ends.iter().copied());
        starts
            .zip(ends)
            .map(|(start, &end)| &self.bytes[start..end])
    }
}
