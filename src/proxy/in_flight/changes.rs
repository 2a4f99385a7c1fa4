//! Changes of keys while they are fetched. A reply that was requested before a change may be delivered, but not cached.

use super::InFlight;
use super::fetches::Ticket;
use crate::cache::Key;
use crate::resp::Protocol;
use crate::upstream::LinkId;

impl InFlight {
    /// The keys `name` have changed, in any database. Fetches of them in flight may only serve the clients that already
    /// wait, not the cache or later clients.
    pub fn changed(&mut self, name: &[u8]) {
        for ticket in self.fetches.take_name(name) {
            self.spoil(ticket);
        }
        for (_, lane) in self.lanes.iter_mut() {
            lane.fetched.take_if(|fetched| *fetched.key == *name);
        }
    }

    /// A key's value has arrived over a link, and may be newer than values being fetched over other links.
    pub fn overtaken(&mut self, name: &[u8], link: LinkId) {
        if !self.is_other_busy(link) {
            return;
        }
        for ticket in self.fetches.take_key_elsewhere(name, link) {
            self.spoil(ticket);
        }
        let lanes = self.lanes.iter_mut();
        for (_, lane) in lanes.filter(|(other, _)| is_beside(*other, link)) {
            lane.fetched.take_if(|fetched| *fetched.key == *name);
        }
    }

    /// Whether anything is in flight on another link that leads to the same keys.
    fn is_other_busy(&self, link: LinkId) -> bool {
        let mut lanes = self.lanes.iter();
        lanes.any(|(other, lane)| {
            is_beside(other, link) && (!lane.asked.is_empty() || lane.fetched.is_some())
        })
    }

    /// All keys have changed.
    pub fn all_changed(&mut self) {
        for ticket in self.fetches.take_all() {
            self.spoil(ticket);
        }
        for (_, lane) in self.lanes.iter_mut() {
            lane.fetched = None;
        }
    }

    pub(super) fn spoil(&mut self, ticket: Ticket) {
        if let Some(fetch) = self.fetch_of(ticket) {
            fetch.fresh = false;
        }
    }

    /// Whether a request in flight on another link may write a key. Some requests write to databases other than their
    /// own (`MOVE`), so the databases of the links do not matter.
    pub fn is_written_elsewhere(&mut self, key: &[u8], link: LinkId) -> bool {
        let hasher = &self.hasher;
        let mut others = self.lanes.iter_mut().filter(|(other, _)| *other != link);
        others.any(|(_, lane)| {
            lane.count_written();
            lane.writes(key, hasher)
        }) || self.held.contains(key, hasher)
    }

    /// A link over which a key can be fetched while no request in flight on another link may write it.
    pub fn link_for(&mut self, key: Key<'_>) -> Option<LinkId> {
        let links = [Protocol::Resp2, Protocol::Resp3].map(|it| LinkId::new(it, key.database));
        links
            .into_iter()
            .find(|link| self.lanes.has(*link) && !self.is_written_elsewhere(key.name, *link))
    }
}

/// Whether another link leads to the same keys. Another node is asked for a key only once the map says that it owns the
/// slot, and a change of the map spoils all fetches.
fn is_beside(other: LinkId, link: LinkId) -> bool {
    other != link && other.database == link.database && other.node == link.node
}
