//! Replies of Redis on their way to those who wait for them.

use std::time::Duration;

use super::empty;
use super::frames::Frame;

/// Replies to the oldest requests of a connection that have none yet, in order. Where Redis gave none, what
/// is to be made of that stands in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The encoded replies behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    pub ends: Vec<usize>,
    /// The time from when the first of them was asked for until it was read.
    pub round_trip: Duration,
}

impl Replies {
    /// Adds an encoded reply.
    pub fn push(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
        self.ends.push(self.bytes.len());
    }

    /// Adds a reply as it was found in the stream; a long one is moved, not copied, if it is the first.
    pub(super) fn push_frame(&mut self, frame: Frame<'_>) {
        match frame {
            Frame::Collected(bytes) if self.ends.is_empty() => {
                std::mem::swap(&mut self.bytes, bytes);
                self.ends.push(self.bytes.len());
            }
            frame => self.push(frame.bytes()),
        }
    }

    /// Adds replies behind these.
    pub(super) fn append(&mut self, others: &Self) {
        for encoded in others.iter() {
            self.push(encoded);
        }
    }

    /// How many there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.ends.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.ends.is_empty()
    }

    /// The latest.
    #[must_use]
    pub fn latest(&self) -> Option<&[u8]> {
        let (end, before) = self.ends.split_last()?;
        let start = before.last().copied().unwrap_or_default();
        self.bytes.get(start..*end)
    }

    /// Removes them, and keeps the memory for others, if it isn't too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.ends);
        self.round_trip = Duration::ZERO;
    }

    /// The encoded replies in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        self.iter_from(0)
    }

    /// The same, without so many of the first.
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
