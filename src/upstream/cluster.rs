//! Which node of a cluster serves which slot.

pub(super) mod asks;
pub(super) mod follow;
pub(super) mod leaving;
#[cfg(test)]
mod tests;
pub(super) mod view;
pub(super) mod views;

use super::NodeId;
use crate::config::RedisAddress;

/// Proof that this build supports clusters. In a build that does not, the type has no values, and neither has any type
/// that contains it, so that the compiler removes the code for clusters.
#[cfg(feature = "cluster")]
#[derive(Clone, Copy, Debug)]
pub struct Clusters(());
#[cfg(not(feature = "cluster"))]
#[derive(Clone, Copy, Debug)]
#[allow(missing_docs)] // there is none
pub enum Clusters {}

impl Clusters {
    /// The proof, if this build supports clusters.
    #[must_use]
    pub fn built() -> Option<Self> {
        #[cfg(feature = "cluster")]
        return Some(Self(()));
        #[cfg(not(feature = "cluster"))]
        None
    }
}

/// The configured nodes of a cluster.
#[derive(Clone, Debug)]
pub struct Seeds {
    /// Their addresses.
    pub addresses: Vec<RedisAddress>,
    pub(super) built: Clusters,
}

impl Seeds {
    /// These seeds; `None` in a build without cluster support.
    #[must_use]
    pub fn new(addresses: Vec<RedisAddress>) -> Option<Self> {
        let built = Clusters::built()?;
        Some(Self { addresses, built })
    }
}

/// How many slots a cluster has.
pub const SLOTS: u16 = 16384;

/// The slot of a key: of the part between the first `{` and the next `}`, if there is something between them
/// (<https://redis.io/docs/latest/operate/oss_and_stack/reference/cluster-spec/#hash-tags>).
#[must_use]
pub fn slot_of(key: &[u8]) -> u16 {
    let tag = || {
        let start = key.iter().position(|byte| *byte == b'{')? + 1;
        let length = key[start..].iter().position(|byte| *byte == b'}')?;
        (length > 0).then(|| &key[start..start + length])
    };
    crc16::State::<crc16::XMODEM>::calculate(tag().unwrap_or(key)) % SLOTS
}

/// A master of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    /// Its id.
    pub id: NodeId,
    /// Its address as redirects name it: `host:port`.
    pub address: Box<str>,
    /// Its replicas, if they may serve reads.
    pub replicas: Vec<NodeId>,
}

/// Which node serves which slot.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMap {
    nodes: Vec<ClusterNode>,
    /// The owner of each slot; empty if no slot is served.
    owners: Vec<Option<NodeId>>,
}

impl ClusterMap {
    /// The map of a cluster that serves no slot.
    #[must_use]
    pub fn new(nodes: Vec<ClusterNode>) -> Self {
        Self {
            nodes,
            owners: vec![None; SLOTS.into()],
        }
    }

    /// Records that a node serves a slot.
    pub fn assign(&mut self, slot: u16, node: NodeId) {
        if let Some(owner) = self.owners.get_mut(usize::from(slot)) {
            *owner = Some(node);
        }
    }

    /// All masters, including those without slots.
    #[must_use]
    pub fn nodes(&self) -> &[ClusterNode] {
        &self.nodes
    }

    /// The node that serves a slot, if one does.
    #[inline]
    #[must_use]
    pub fn owner(&self, slot: u16) -> Option<NodeId> {
        self.owners.get(usize::from(slot)).copied().flatten()
    }

    /// The node at an address, if there is one.
    #[must_use]
    pub fn node_at(&self, address: &str) -> Option<NodeId> {
        let mut nodes = self.nodes.iter();
        nodes
            .find(|node| &*node.address == address)
            .map(|node| node.id)
    }
}
