//! Requests that are sent on to another node of a cluster.

use super::super::slow_log::Words;
use super::InFlight;
use super::asked::{Asked, Fetch, Forward};
use crate::upstream::{LinkId, NodeId};

impl InFlight {
    /// How many requests to a node are in flight.
    pub fn count_of(&self, node: NodeId) -> usize {
        let lanes = self.lanes.iter().filter(|(link, _)| link.node == node);
        lanes.map(|(_, lane)| lane.asked.len()).sum()
    }

    /// The requests that were redirected to nodes other than `target`.
    pub fn sent_on_elsewhere(&self, target: Option<NodeId>) -> impl Iterator<Item = &Asked> {
        let lanes = self.lanes.iter();
        let elsewhere =
            lanes.filter(move |(link, lane)| lane.sent_on > 0 && Some(link.node) != target);
        let all = elsewhere.flat_map(|(_, lane)| &lane.asked);
        all.filter(|asked| asked.tries() > 0)
    }

    /// Whether the oldest request of a link can be sent on to another node.
    pub fn is_sent_on(&mut self, link: LinkId) -> bool {
        match self.lanes.of(link).asked.front() {
            Some(Asked::Fetch(_)) => true,
            Some(Asked::Forward(forward)) => forward.encoded.is_some(),
            _ => false,
        }
    }

    /// Registers a fetch that is sent again over another link, possibly to a node whose values must not be cached.
    pub fn fetch_again(&mut self, fetch: Fetch, words: Words, link: LinkId, may_be_kept: bool) {
        let fetch = Fetch { words, ..fetch };
        if may_be_kept {
            return self.add_fetch(fetch, link);
        }
        self.lanes.of(link).push_fetch(Fetch {
            fresh: false,
            ..fetch
        });
    }

    /// Registers a forwarded request that is sent again over another link.
    pub fn forward_again(&mut self, forward: Forward, link: LinkId) {
        self.lanes.of(link).push_forward(forward);
    }

    /// Registers the keys of a request that is parked and will write them later.
    pub fn hold(&mut self, forward: &Forward) {
        self.held.add(&forward.written);
    }

    /// Unregisters the keys of a parked request that is sent now, or given up.
    pub fn release(&mut self, forward: &Forward) {
        self.held.remove(&forward.written);
    }
}
