//! Decides which node a request goes to, or which nodes its parts go to.

use super::super::{Engine, Flow};
use super::alone::About;
use super::{Cluster, NOWHERE};
use super::{replicas, spread};
use crate::command::{Cached, Join, Row, Spread, Way};
use crate::metrics::Outcome;
use crate::proxy::identity::Identity;
use crate::proxy::in_flight::Caller;
use crate::proxy::replies::Replies;
use crate::proxy::waiting::WaitsFor;
use crate::resp::request::Request;
use crate::upstream::{NodeId, slot_of};

const CROSSSLOT: &[u8] = b"CROSSSLOT Keys in request don't hash to the same slot";

/// The error reply to a client with a key prefix, for a request whose reply would name keys of several nodes.
const UNLISTED: &[u8] = b"ERR keys with a prefix can't be listed in front of a cluster";

/// The slots of a request's keys.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Slots {
    /// The request has no keys, or their positions are unknown.
    None,
    /// All keys are in this slot.
    One(u16),
    Several,
}

/// The slots of a request's keys.
pub(super) fn slots(request: &Request<'_>, row: &Row) -> Slots {
    let name = request.argument(0);
    // Shard channels are in slots, as keys are.
    let has_shards =
        name.eq_ignore_ascii_case(b"spublish") || name.eq_ignore_ascii_case(b"ssubscribe");
    if has_shards && request.len() > 1 {
        return Slots::One(slot_of(request.argument(1)));
    }
    let mut slots = Slots::None;
    row.keys.each(request, |at| {
        let slot = slot_of(request.argument(at));
        slots = match slots {
            Slots::None => Slots::One(slot),
            Slots::One(same) if same == slot => slots,
            Slots::One(_) | Slots::Several => Slots::Several,
        };
    });
    slots
}

impl Cluster {
    /// The node for a request with keys in these slots; any node if there are none or several.
    pub(super) fn node_for(&self, slots: Slots) -> NodeId {
        match slots {
            Slots::One(slot) => self.owner(slot),
            Slots::None | Slots::Several => self.any,
        }
    }
}

impl Engine {
    /// Whether a client's requests may be executed although earlier ones are not answered, because none of the earlier
    /// ones can have been redirected to another node meanwhile. Requests that belong to a transaction are not executed
    /// yet.
    #[inline]
    pub(in crate::proxy) fn is_in_turn(&self, identity: &Identity) -> bool {
        match &self.cluster {
            None => true,
            Some(cluster) => cluster.turn == identity.turn && !identity.multi,
        }
    }

    /// Whether a client's requests may be executed now; if not, they may once all earlier ones are answered.
    #[inline(never)]
    pub(in crate::proxy) fn take_turn(&self, identity: &mut Identity, replies: &Replies) -> bool {
        let Some(cluster) = &self.cluster else {
            return true;
        };
        if replies.none_wait() {
            identity.turn = cluster.turn;
        }
        cluster.turn == identity.turn
    }

    /// Finds the node for a request in front of a cluster. A request that has no single node is answered, or split and
    /// sent to several nodes.
    pub(in crate::proxy::engine) fn route(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        way: Way,
        caller: Caller,
        identity: &mut Identity,
        replies: &mut Replies,
    ) -> Result<NodeId, Flow> {
        if !self.take_turn(identity, replies) {
            return Err(Flow::Wait(WaitsFor::Replies));
        }
        let Some(cluster) = &self.cluster else {
            return Ok(NodeId::default());
        };
        if let Way::Cached(Cached::Mget) | Way::Here(_) = way {
            return Ok(cluster.any);
        }
        let name = self
            .table
            .original_name(request.argument(0))
            .to_ascii_lowercase();
        match self.answer_about_cluster(cluster, &name, request, identity, replies) {
            None => {}
            Some(About::Node(node)) => return Ok(node),
            Some(About::Answered(outcome)) => {
                self.count(row.number, outcome, replies);
                return Err(Flow::Continue);
            }
        }
        if way == Way::Dedicated {
            return Ok(cluster.any);
        }
        let spread = row.spread.or_else(|| Spread::known(&name, request));
        match slots(request, row) {
            Slots::One(slot) => {
                let owner = cluster.owner(slot);
                match &mut self.cluster {
                    Some(cluster) if replicas::may_read(&name, row, way) => {
                        Ok(cluster.reader(owner))
                    }
                    _ => Ok(owner),
                }
            }
            Slots::Several => {
                let parts = match spread {
                    Some(Spread::Slots(join)) => spread::parts(row, request).zip(Some(join)),
                    _ => None,
                };
                let outcome = match parts {
                    None if matches!(spread, Some(Spread::Slots(_))) => {
                        let message = format!(
                            "ERR wrong number of arguments for '{}' command",
                            String::from_utf8_lossy(&name)
                        );
                        replies.push_error(message.as_bytes());
                        Outcome::Refused
                    }
                    Some((parts, join)) => {
                        self.send_parts(request, row, parts, join, caller, replies)
                    }
                    None => {
                        replies.push_error(CROSSSLOT);
                        Outcome::Refused
                    }
                };
                self.count(row.number, outcome, replies);
                Err(Flow::Continue)
            }
            Slots::None => {
                let guard = identity.guard.as_ref();
                let has_prefix = guard.is_some_and(|guard| guard.prefix.is_some());
                if has_prefix
                    && matches!(
                        spread,
                        Some(Spread::Scan | Spread::Masters(Join::Elements | Join::Some))
                    )
                {
                    replies.push_error(UNLISTED);
                    self.count(row.number, Outcome::Refused, replies);
                    return Err(Flow::Continue);
                }
                let nodes: Vec<NodeId> = cluster.nodes().collect();
                let outcome = match spread {
                    Some(Spread::Masters(join)) if nodes.len() > 1 => {
                        self.send_to_all(request, row, &nodes, join, caller, replies)
                    }
                    Some(Spread::Scan) if request.len() > 1 => {
                        self.scan(request, row, caller, replies)
                    }
                    _ => return Ok(cluster.any),
                };
                self.count(row.number, outcome, replies);
                Err(Flow::Continue)
            }
        }
    }

    /// The node for a client's dedicated connection, opened for this request.
    pub(in crate::proxy) fn node_for(&self, request: &Request<'_>, row: &Row) -> NodeId {
        match &self.cluster {
            None => NodeId::default(),
            Some(cluster) => match cluster.node_for(slots(request, row)) {
                NOWHERE => cluster.any,
                node => node,
            },
        }
    }

    /// Whether a dedicated connection leads to the right node for a request.
    pub(in crate::proxy) fn is_right_node(
        &self,
        node: NodeId,
        request: &Request<'_>,
        row: &Row,
    ) -> bool {
        match (&self.cluster, slots(request, row)) {
            (Some(cluster), Slots::One(slot)) => cluster.owner(slot) == node,
            _ => true,
        }
    }
}
