//! What was written straight at Redis and need not be seen through the proxy yet: Redis's message may be on its
//! way.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::common::{ConnectionId, Direction, Mark, Relay};
use crate::ledger::{Scope, Version};

/// How often a fence has to pass after Redis's message has arrived before the write has to be seen: in
/// the first round or the second the fence may be fetched anew and overtake an invalidation, because
/// something else had emptied the cache just then.
pub const CYCLES: u64 = 3;

/// Writes, in the order in which Redis's replies came.
pub struct Unseen {
    /// Between the proxy and Redis. Without one, a message takes no time.
    relay: Option<Arc<Relay>>,
    /// In which cycle a reply came, and to what.
    acknowledged: VecDeque<(u64, Scope, Version)>,
    /// What Redis has sent of the writes up to a cycle.
    sent: VecDeque<(u64, Mark)>,
    /// Up to which cycle's writes the proxy has been told, and in which cycle that was found.
    told: VecDeque<(u64, u64)>,
    /// The connections that are held, and until when the proxy need not have noticed that.
    held: Option<(Vec<ConnectionId>, Instant)>,
}

impl Unseen {
    pub fn new(relay: Option<Arc<Relay>>) -> Self {
        Self {
            relay,
            acknowledged: VecDeque::new(),
            sent: VecDeque::new(),
            told: VecDeque::new(),
            held: None,
        }
    }

    /// Redis's reply to a write came in that cycle.
    pub fn acknowledge(&mut self, cycle: u64, scope: Scope, version: Version) {
        self.acknowledged.push_back((cycle, scope, version));
    }

    /// These connections are about to be held, which the proxy notices in that time.
    pub fn hold(&mut self, connections: Vec<ConnectionId>, noticed_within: Duration) {
        self.held = Some((connections, Instant::now() + noticed_within));
    }

    /// They are held no longer.
    pub fn release(&mut self) {
        self.held = None;
    }

    /// The fence of that cycle has passed. Returns what has to be seen from now on.
    pub fn fence_passed(&mut self, cycle: u64) -> Vec<(Scope, Version)> {
        self.see_what_is_told(cycle);
        let mut seen = Vec::new();
        while let Some(&(last, found)) = self.told.front()
            && found + CYCLES <= cycle
        {
            self.told.pop_front();
            while let Some(&(before, scope, version)) = self.acknowledged.front()
                && before <= last
            {
                self.acknowledged.pop_front();
                seen.push((scope, version));
            }
        }
        seen
    }

    fn see_what_is_told(&mut self, cycle: u64) {
        let Some(relay) = &self.relay else {
            return self.told.push_back((cycle, cycle));
        };
        // Redis may tell the proxy of a write right after it has replied to the writer. It has when it replies to
        // what was sent after that: this cycle's fence.
        let mark = relay.mark(Direction::ToClient);
        self.sent.push_back((cycle - 1, mark));
        while let Some((last, mark)) = self.sent.front()
            && self.has_arrived(relay, mark)
        {
            self.told.push_back((*last, cycle));
            self.sent.pop_front();
        }
    }

    fn has_arrived(&self, relay: &Relay, mark: &Mark) -> bool {
        let is_noticed = |(held, until): &(Vec<ConnectionId>, Instant)| {
            Instant::now() >= *until && relay.has_passed(&mark.without(held))
        };
        relay.has_passed(mark) || self.held.as_ref().is_some_and(is_noticed)
    }
}
