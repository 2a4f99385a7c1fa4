//! Replies of Redis on their way to those who wait for them.

use std::io::{self, ErrorKind};
use std::time::Duration;

use super::empty;
use crate::resp::scan::Scanner;

/// Replies to the oldest requests that have none yet, in order. Where Redis gave none, an error reply
/// that says so stands in its place.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Replies {
    /// The encoded replies behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    pub ends: Vec<usize>,
    /// How long Redis took for them.
    pub round_trip: Duration,
    /// How many requests of one batch have all their replies with these; 0 while some are to come, or if
    /// Redis gave none.
    pub completes: usize,
}

impl Replies {
    /// Adds an encoded reply.
    pub fn push(&mut self, encoded: &[u8]) {
        self.bytes.extend_from_slice(encoded);
        self.ends.push(self.bytes.len());
    }

    /// Where the next one starts in `bytes`.
    pub(super) fn end(&self) -> usize {
        self.ends.last().copied().unwrap_or(0)
    }

    /// Adds the next `count` replies. `more` appends bytes to those given, of which so many are known to be
    /// missing; what came already of the next reply stands behind the last. `enough` takes the replies whenever
    /// they pass [`ENOUGH`] bytes.
    ///
    /// # Errors
    /// Those of `more`; if what came is no reply, or goes on behind the last. What came before is added.
    pub(super) fn read(
        &mut self,
        count: usize,
        more: &mut dyn FnMut(&mut Vec<u8>, usize) -> io::Result<()>,
        enough: &mut dyn FnMut(Self),
    ) -> io::Result<()> {
        for _ in 0..count {
            let end = self.end();
            if end >= ENOUGH {
                let next = self.bytes.split_off(end);
                let whole = std::mem::take(self);
                self.bytes = next;
                enough(whole);
            }
            self.read_one(more)?;
        }
        let end = self.end();
        if self.bytes.len() > end {
            self.bytes.truncate(end);
            return Err(io::Error::new(
                ErrorKind::InvalidData,
                "it sent more replies than it was asked for",
            ));
        }
        Ok(())
    }

    /// Adds the next reply. What Redis says unasked (a push: that it lost the connection to tell of changes,
    /// say) is dropped.
    fn read_one(
        &mut self,
        more: &mut dyn FnMut(&mut Vec<u8>, usize) -> io::Result<()>,
    ) -> io::Result<()> {
        let start = self.end();
        let mut scanner = Scanner::new();
        let mut scanned = start;
        loop {
            let found = scanner.feed(&self.bytes[scanned..]);
            match found.map_err(|error| io::Error::new(ErrorKind::InvalidData, error))? {
                Some((b'>', length)) => {
                    self.bytes.drain(start..scanned + length);
                    scanned = start;
                    continue;
                }
                Some((_, length)) => {
                    self.ends.push(scanned + length);
                    return Ok(());
                }
                None => scanned = self.bytes.len(),
            }
            more(&mut self.bytes, scanner.missing())?;
        }
    }

    pub(super) fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.ends);
        self.round_trip = Duration::ZERO;
        self.completes = 0;
    }

    /// The encoded replies in order.
    pub fn iter(&self) -> impl Iterator<Item = &[u8]> {
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        starts
            .zip(&self.ends)
            .map(|(start, &end)| &self.bytes[start..end])
    }
}

/// How many bytes of replies are handed over before the rest has come.
pub(super) const ENOUGH: usize = 1024 * 1024;
