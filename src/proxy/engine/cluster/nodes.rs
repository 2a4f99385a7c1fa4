//! The state of the nodes, for reports.

use super::super::Engine;
use crate::status::NodeStatus;
use crate::upstream::{NodeId, SLOTS, slot_of};

/// In a cache with more entries, the number of each node's keys is estimated from a sample of this size.
const COUNTED: usize = 65_536;

impl Engine {
    /// The masters of the cluster; none if there is no cluster.
    pub(in crate::proxy::engine) fn node_statuses(&self) -> Vec<NodeStatus<'_>> {
        let Some(cluster) = &self.cluster else {
            return Vec::new();
        };
        let nodes = cluster.map.nodes().iter();
        let mut statuses: Vec<(NodeId, NodeStatus<'_>)> = nodes
            .map(|node| {
                let server = cluster.server(node.id);
                let status = NodeStatus {
                    address: &node.address,
                    redis: server.state(),
                    tracking: server.tracking(),
                    slots: 0,
                    in_flight: self.in_flight.count_of(node.id),
                    keys: 0,
                    round_trip: server.round_trip,
                };
                (node.id, status)
            })
            .collect();
        let mut of = |id: NodeId, count: &dyn Fn(&mut NodeStatus<'_>)| {
            if let Some((_, status)) = statuses.iter_mut().find(|(known, _)| *known == id) {
                count(status);
            }
        };
        (0..SLOTS).for_each(|slot| of(cluster.owner(slot), &|status| status.slots += 1));
        let all = self.cache.len();
        for name in self.cache.names().take(COUNTED) {
            of(cluster.owner(slot_of(name)), &|status| status.keys += 1);
        }
        statuses
            .into_iter()
            .map(|(_, status)| NodeStatus {
                keys: status.keys * all.max(COUNTED) / COUNTED,
                ..status
            })
            .collect()
    }
}
