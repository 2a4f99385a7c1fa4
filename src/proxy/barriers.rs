//! Write, then notify: a client that is notified of a change reads no older value from the cache.
//!
//! A message on a client's dedicated connection may overtake Redis's report of an earlier change, which arrives on the
//! tracker. So bytes that may reveal other clients' writes are held until a barrier has passed: a `PING` on the tracker
//! that is sent after the bytes arrived, so that no report of an earlier change can follow its reply. All bytes that
//! arrive in one turn of the loop wait for the same barrier.

use std::collections::VecDeque;

use super::ClientId;
use super::replies::Place;

/// The barriers, by number. They pass in that order.
pub(super) struct Barriers {
    /// Whether bytes are held at all.
    enabled: bool,
    /// The last barrier that something waits for.
    wanted: u64,
    /// The last one requested from the helper.
    asked: u64,
    /// The last one that has passed.
    passed: u64,
    /// The held bytes, by client and place, in the order of the barriers that they wait for.
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
    /// Sets whether bytes are held at all.
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    pub fn is_enabled(&self) -> bool {
        self.enabled
    }

    /// Makes a client's bytes at `place` wait for the next barrier to be requested. Returns its number.
    pub fn wait(&mut self, client: ClientId, place: Place) -> u64 {
        let number = self.next();
        self.waiting.push_back((number, client, place));
        number
    }

    /// Marks the next barrier as wanted, and returns its number.
    pub fn next(&mut self) -> u64 {
        self.wanted = self.asked + 1;
        self.wanted
    }

    /// Records that all barriers up to `number` have passed.
    pub fn pass(&mut self, number: u64) {
        self.passed = self.passed.max(number.min(self.wanted));
    }

    /// The last barrier that has passed.
    pub fn passed(&self) -> u64 {
        self.passed
    }

    /// Takes the number of the barrier to request, if one has been wanted since the last call.
    pub fn take_wanted(&mut self) -> Option<u64> {
        let is_news = self.wanted > self.asked;
        self.asked = self.wanted;
        is_news.then_some(self.wanted)
    }

    /// Removes and returns the next held bytes whose barrier is `number` or an earlier one.
    pub fn next_passed(&mut self, number: u64) -> Option<(ClientId, Place)> {
        let &(_, client, place) = self.waiting.front().filter(|(of, ..)| *of <= number)?;
        self.waiting.pop_front();
        if self.waiting.is_empty() {
            self.waiting.shrink_to(KEPT);
        }
        Some((client, place))
    }

    /// All state that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + use<> {
        let waiting = self.waiting.iter();
        let waiting: Vec<_> = waiting
            .map(|&(number, client, _)| (number, client.0))
            .collect();
        (self.wanted, self.asked, self.passed, waiting)
    }

    /// Whether any bytes are held.
    #[cfg(test)]
    pub fn are_awaited(&self) -> bool {
        !self.waiting.is_empty()
    }
}

/// How many items the empty list keeps room for.
const KEPT: usize = 64;
