//! What is known of the cluster behind, if there is one: which node has which slot, and how the nodes are.

use std::sync::Arc;

use super::Store;
use super::servers::Server;
use crate::metrics::Cause;
use crate::upstream::{ClusterMap, NodeId, slot_of};

/// The place for what is asked while it is not known which node is to be: nothing leads there.
pub(in crate::proxy) const NOWHERE: NodeId = NodeId(u16::MAX);

/// A cluster.
#[derive(Default)]
pub(in crate::proxy) struct Cluster {
    map: Arc<ClusterMap>,
    /// By the numbers of the nodes.
    servers: Vec<Server>,
    /// For what is asked while no node is known.
    nowhere: Server,
    /// The node for what concerns no key.
    any: Option<NodeId>,
}

impl Cluster {
    /// The node that has a key's slot.
    #[inline]
    pub fn node_of(&self, key: &[u8]) -> NodeId {
        self.map.owner(slot_of(key)).unwrap_or(NOWHERE)
    }

    #[inline]
    pub fn server(&self, node: NodeId) -> &Server {
        self.servers
            .get(usize::from(node.0))
            .unwrap_or(&self.nowhere)
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

    /// Whether any node can't be asked.
    pub fn is_any_down(&self) -> bool {
        let mut nodes = self.map.nodes().iter();
        nodes.any(|node| self.server(node.id).outage().is_some())
    }

    /// The node for what concerns no key.
    pub fn any_node(&self) -> NodeId {
        self.any.unwrap_or(NOWHERE)
    }
}

impl Store {
    /// What is behind is a cluster.
    pub fn set_cluster(&mut self) {
        self.cluster = Some(Box::default());
    }

    /// What is cached of the slots of a node, or being fetched, is no good any more.
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
}
