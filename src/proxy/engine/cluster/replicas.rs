//! Replicas serve reads that are not cached, if so configured. Their replies may be older than what the client has
//! written, so none is cached, and the proxy learns about the cluster from masters only.

use super::super::{Engine, Redis};
use super::Cluster;
use crate::command::{Row, Way, Writes};
use crate::upstream::{Event, NodeId};

/// Whether a request with this command may go to a replica.
pub(super) fn may_read(name: &[u8], row: &Row, way: Way) -> bool {
    // A cursor is only valid at the node that returned it.
    let has_cursor = name.ends_with(b"scan");
    way == Way::Forward && row.reads_only && row.writes == Writes::Nothing && !has_cursor
}

impl Cluster {
    /// The node for a read from `master`: one of its replicas in turn, or the master if no replica can be asked.
    pub(super) fn reader(&mut self, master: NodeId) -> NodeId {
        let mut nodes = self.map.nodes().iter();
        let Some(node) = nodes.find(|node| node.id == master && !node.replicas.is_empty()) else {
            return master;
        };
        let count = node.replicas.len();
        self.reads = (self.reads + 1) % count;
        let (before, after) = node.replicas.split_at(self.reads);
        let mut in_turn = after.iter().chain(before);
        let answers = |node: &&NodeId| {
            let server = self.server(**node);
            server.is_up() && !server.is_refusing
        };
        in_turn.find(answers).copied().unwrap_or(master)
    }

    /// Whether a node is one of the masters.
    pub(super) fn is_master(&self, node: NodeId) -> bool {
        self.nodes().any(|master| master == node)
    }

    fn is_replica(&self, node: NodeId) -> bool {
        let mut nodes = self.map.nodes().iter();
        nodes.any(|master| master.replicas.contains(&node))
    }
}

impl Engine {
    /// Notes a node's event, if the node is a replica: the event then only decides whether reads may go there. Returns
    /// whether the node is a replica.
    pub(in crate::proxy) fn note_replica(&mut self, node: NodeId, event: &Event) -> bool {
        let Some(cluster) = &mut self.cluster else {
            return false;
        };
        if !cluster.is_replica(node) {
            return false;
        }
        let server = cluster.server_mut(node);
        match event {
            Event::Up(_) => server.redis = Redis::Up,
            Event::Away | Event::Down { .. } | Event::Moved => server.redis = Redis::Unknown,
            // These concern the whole cluster.
            Event::Slots(_) | Event::Barrier(_) => return false,
            Event::MasterLost(is_lost) => server.is_refusing = *is_lost,
            _ => {}
        }
        server.update_serving();
        true
    }
}
