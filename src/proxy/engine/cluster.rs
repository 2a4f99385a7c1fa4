//! What is known of the cluster behind the proxy, if there is one: which node has which slot, and the state of the
//! nodes.
//!
//! A request goes to the node of its keys ([`routes`]), or is split among several ([`spread`]). If that node no longer
//! has the slot, its reply redirects the request ([`redirects`]). A client's requests must not overtake each other on
//! the way: each redirect or change of the map begins the next [`Cluster::turn`], and a client's requests wait until
//! all its earlier ones of another turn are answered.

mod alone;
mod nodes;
mod redirects;
mod replicas;
mod routes;
mod scripts;
mod spread;
mod transactions;

use std::sync::Arc;
use std::time::Duration;

use super::servers::Server;
use super::{Engine, Redis, Serving};
use crate::clock::Time;
use crate::metrics::Cause;
use crate::proxy::outage::Outage;
use crate::resp::reply::Reply;
use crate::upstream::{ClusterMap, Clusters, NodeId, slot_of};
pub(in crate::proxy) use redirects::Parked;
pub(super) use spread::with_cursor;

/// Stands in for the node of a request while that is unknown. No connection leads there.
pub(in crate::proxy) const NOWHERE: NodeId = NodeId(u16::MAX);

/// A cluster.
pub(in crate::proxy) struct Cluster {
    _built: Clusters,
    map: Arc<ClusterMap>,
    /// The id of the proxy, as the only node that clients know.
    id: Box<str>,
    /// The servers, indexed by node number.
    servers: Vec<Server>,
    /// For requests while no node is known.
    nowhere: Server,
    /// The node for requests without keys.
    any: NodeId,
    /// Which entries are served, if the same applies to all masters.
    serving: Option<Serving>,
    /// How many reads went to replicas.
    reads: usize,
    /// How often a request was redirected or the map has changed.
    turn: u32,
    /// Requests that wait to be sent, or to be sent again.
    parked: Vec<Parked>,
    /// Scripts that all masters know, by their hashes.
    scripts: scripts::Known,
    /// How long a request may wait for its node.
    wait: Duration,
    wishes: Wishes,
}

/// What to request from the helper about the cluster.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Wishes {
    /// The map is out of date.
    pub map: bool,
    /// Nodes that a redirect names and the map does not.
    pub nodes: Vec<Box<str>>,
}

impl Wishes {
    /// Whether there is nothing to request.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.map && self.nodes.is_empty()
    }
}

impl Cluster {
    fn new(built: Clusters, wait: Duration) -> Self {
        Self {
            _built: built,
            map: Arc::default(),
            id: alone::new_id(),
            servers: Vec::new(),
            nowhere: Server::default(),
            any: NOWHERE,
            serving: None,
            reads: 0,
            turn: 0,
            parked: Vec::new(),
            scripts: scripts::Known::default(),
            wait,
            wishes: Wishes::default(),
        }
    }

    /// The node that has a key's slot.
    #[inline]
    pub fn node_of(&self, key: &[u8]) -> NodeId {
        self.owner(slot_of(key))
    }

    /// The node that has a slot.
    #[inline]
    fn owner(&self, slot: u16) -> NodeId {
        self.map.owner(slot).unwrap_or(NOWHERE)
    }

    /// Which entries of a key are served. Its slot is computed only if the masters disagree.
    #[inline]
    pub(super) fn serving(&self, key: &[u8]) -> Serving {
        match self.serving {
            Some(serving) => serving,
            None => self.server(self.node_of(key)).serving,
        }
    }

    #[inline]
    pub fn server(&self, node: NodeId) -> &Server {
        let server = self.servers.get(usize::from(node.0));
        server.unwrap_or(&self.nowhere)
    }

    pub fn server_mut(&mut self, node: NodeId) -> &mut Server {
        if node == NOWHERE {
            return &mut self.nowhere;
        }
        let at = usize::from(node.0);
        if self.servers.len() <= at {
            self.servers.resize_with(at + 1, Server::default);
        }
        &mut self.servers[at]
    }

    /// Whether any master can't be asked.
    pub fn is_any_down(&self) -> bool {
        self.nodes()
            .any(|node| self.server(node).outage().is_some())
    }

    /// All masters.
    pub fn nodes(&self) -> impl Iterator<Item = NodeId> + '_ {
        self.map.nodes().iter().map(|node| node.id)
    }

    /// The node for requests without keys.
    pub fn any_node(&self) -> NodeId {
        self.any
    }

    /// Called when the state of a node, or the map, has changed. Notes which entries are served, if the same applies to
    /// all masters, and selects the node for requests without keys. While there is no map, and no seed can be asked,
    /// requests are refused with a seed's error.
    pub(super) fn changed(&mut self) {
        self.serving = self.common_serving();
        let up = self.nodes().find(|node| self.server(*node).is_up());
        self.any = up.or_else(|| self.nodes().next()).unwrap_or(NOWHERE);
        if self.any != NOWHERE {
            return;
        }
        let is_hopeful = |server: &Server| server.outage().is_none();
        let outage = match self.servers.iter().any(is_hopeful) {
            true => None,
            false => self.servers.iter().find_map(Server::outage),
        };
        self.nowhere.redis = match outage {
            None => Redis::Unknown,
            Some(Outage { error, refused }) => Redis::Down(Outage {
                error: error.clone(),
                refused: *refused,
            }),
        };
    }

    fn common_serving(&self) -> Option<Serving> {
        let mut serving = self.nodes().map(|node| self.server(node).serving);
        let first = serving.next()?;
        serving.all(|other| other == first).then_some(first)
    }

    fn next_turn(&mut self) {
        self.turn = self.turn.wrapping_add(1);
    }
}

impl Engine {
    /// Declares Redis a cluster, and sets how long a request may wait for the node that serves its slot.
    pub fn set_cluster(&mut self, wait: Duration) {
        self.cluster = Clusters::built().map(|built| Cluster::new(built, wait));
    }

    /// The cluster, if Redis is one.
    pub fn cluster(&self) -> Option<&Cluster> {
        self.cluster.as_ref()
    }

    /// Takes what to request from the helper about the cluster, once a turn of the loop.
    pub fn take_wishes(&mut self) -> Option<Wishes> {
        let wishes = &mut self.cluster.as_mut()?.wishes;
        (!wishes.is_empty()).then(|| std::mem::take(wishes))
    }

    /// Sets a new slot map, and drops the entries of slots that have moved.
    pub fn set_slots(&mut self, map: &Arc<ClusterMap>, now: Time) {
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        let before = std::mem::replace(&mut cluster.map, Arc::clone(map));
        cluster.next_turn();
        cluster.changed();
        cluster.scripts.forget();
        for parked in &mut cluster.parked {
            parked.not_before = now;
        }
        let has_moved = |slot: u16| before.owner(slot) != map.owner(slot);
        if (0..crate::upstream::SLOTS).any(has_moved) {
            self.invalidate_slots(has_moved, Cause::Reconnected);
        }
        self.send_parked(now);
    }

    /// Drops the entries of a node's slots, cached or being fetched.
    pub(super) fn invalidate_node(&mut self, node: NodeId, cause: Cause) {
        let Some(cluster) = &self.cluster else { return };
        let map = Arc::clone(&cluster.map);
        self.invalidate_slots(|slot| map.owner(slot) == Some(node), cause);
    }

    fn invalidate_slots(&mut self, is_gone: impl Fn(u16) -> bool, cause: Cause) {
        let removed = self.cache.remove_where(|name| is_gone(slot_of(name)));
        self.metrics.forgotten.add(cause, removed);
        self.large.all_changed();
        self.in_flight.all_changed();
    }

    /// The error reply to a request that has waited too long for a node that serves its slot.
    fn unserved() -> Reply {
        Reply::Static(b"-CLUSTERDOWN Hash slot not served\r\n")
    }
}
