//! Write, then notify: a client that is notified of a change reads no older value from the cache.
//!
//! A message on a client's dedicated connection may overtake Redis's report of an earlier change, which comes on the
//! tracker. So bytes from which a client may learn what others did are held until a barrier has passed: a `PING` on the
//! tracker that was sent after the bytes had arrived, so that no report of an earlier change can follow its reply. All
//! bytes that arrive in one turn of the loop wait for the same barrier.

use std::collections::VecDeque;

use super::ClientId;
use super::replies::Place;

/// The barriers, by number: each passes after those before it.
pub(super) struct Barriers {
    /// Bytes are held at all.
    enabled: bool,
    /// The last barrier that something waits for.
    wanted: u64,
    /// The last one requested from the helper.
    asked: u64,
    /// The last one that has passed.
    passed: u64,
    /// What waits, in the order of barriers.
    waiting: VecDeque<(u64, ClientId, Place)>,
}

impl Default for Barriers {
    fn default() -> Self {
        Self {
            enabled: true,
            wanted: 0,
            asked: 0,
            passed: 0,
            waiting: VecDeque::new(),
        }
    }
}

impl Barriers {
    /// Whether bytes are held at all.
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Registers that a client's bytes at that place wait for a barrier that is yet to be requested, and returns its
    /// number.
    pub fn wait(&mut self, client: ClientId, place: Place) -> u64 {
        let number = self.next();
        self.waiting.push_back((number, client, place));
        number
    }

    /// The barrier to request next, because something waits for it.
    pub fn next(&mut self) -> u64 {
        self.wanted = self.asked + 1;
        self.wanted
    }

    /// All barriers up to that one have passed.
    pub fn pass(&mut self, number: u64) {
        self.passed = self.passed.max(number.min(self.wanted));
    }

    /// The last barrier that has passed.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// The barrier to request now, if there is one.
    pub fn take_wanted(&mut self) -> Option<u64> {
        let is_news = self.wanted > self.asked;
        self.asked = self.wanted;
        is_news.then_some(self.wanted)
    }

    /// Removes and returns the next item that waits for no later barrier than this.
    pub fn next_passed(&mut self, number: u64) -> Option<(ClientId, Place)> {
        let &(_, client, place) = self.waiting.front().filter(|(of, ..)| *of <= number)?;
        self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
        Some((client, place))
    }

    /// All that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + use<> {
        let waiting = self.waiting.iter();
        let waiting: Vec<_> = waiting
            .map(|&(number, client, _)| (number, client.0))
            .collect();
        (self.wanted, self.asked, self.passed, waiting)
    }

    /// Whether anything waits.
    #[cfg(test)]
    pub fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// How many items an empty list keeps room for.
const KEPT: usize = 64;
