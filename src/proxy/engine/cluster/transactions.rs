//! Transactions that arrive in parts, in front of a cluster. The first key decides the node; until then, the proxy
//! keeps the transaction to itself.

use super::super::{Engine, Flow, Leave};
use super::routes::{Slots, slots};
use crate::command::{Row, UNKNOWN, Way};
use crate::metrics::Outcome;
use crate::proxy::dedicated::Dedicated;
use crate::proxy::identity::Identity;
use crate::proxy::replies::Replies;
use crate::resp::reply::Reply;
use crate::resp::request::{Parsed, Parser, Request};
use crate::upstream::NodeId;

const OK: &[u8] = b"+OK\r\n";

impl Engine {
    /// Whether a request begins a transaction that no node is informed of yet.
    pub(in crate::proxy::engine) fn begins_transaction(&self, request: &Request<'_>) -> bool {
        let name = self.table.original_name(request.argument(0));
        self.cluster.is_some() && request.len() == 1 && name.eq_ignore_ascii_case(b"multi")
    }

    pub(in crate::proxy::engine) fn begin_transaction(
        &mut self,
        command: u16,
        identity: &mut Identity,
        replies: &mut Replies,
    ) -> Leave {
        identity.multi = true;
        replies.push(Reply::Static(OK));
        self.count(command, Outcome::Here, replies);
        Leave::Answered
    }

    /// Executes a request after `MULTI`. The first request that may have a key needs a dedicated connection to the
    /// key's node.
    #[cold]
    pub(in crate::proxy::engine) fn queue_first(
        &mut self,
        request: &Request<'_>,
        identity: &mut Identity,
        replies: &mut Replies,
    ) -> Flow {
        let row = self.table.find(request).unwrap_or(UNKNOWN);
        let is_alone = request.len() == 1;
        let name = self.table.original_name(request.argument(0));
        let is = |word: &[u8]| name.eq_ignore_ascii_case(word);
        let reply: &[u8] = match () {
            () if is(b"exec") && is_alone => b"*0\r\n",
            () if is(b"discard") && is_alone => OK,
            () if is(b"multi") && is_alone => b"-ERR MULTI calls can not be nested\r\n",
            () if is(b"watch") && request.len() > 1 => {
                b"-ERR WATCH inside MULTI is not allowed\r\n"
            }
            () => return Flow::Leave,
        };
        identity.multi = !is(b"exec") && !is(b"discard");
        replies.push(Reply::Static(reply));
        self.count(row.number, Outcome::Here, replies);
        Flow::Continue
    }

    /// The node for a complete transaction; `None` if its keys are in several slots.
    pub(in crate::proxy::engine) fn node_of_transaction(&self, bytes: &[u8]) -> Option<NodeId> {
        let Some(cluster) = &self.cluster else {
            return Some(NodeId::default());
        };
        let mut parser = Parser::new();
        let mut used = 0;
        let mut all = Slots::None;
        while used < bytes.len() {
            match parser.parse(&bytes[used..]).ok()? {
                Parsed::Request {
                    request,
                    used: length,
                } => {
                    let row = self.table.find(&request).ok()?;
                    all = match (all, slots(&request, &row)) {
                        (all, Slots::None) => all,
                        (Slots::None, these) => these,
                        (all, these) if all == these => all,
                        _ => Slots::Several,
                    };
                    used += length;
                }
                Parsed::Nothing { used: length } => used += length,
                Parsed::Incomplete => break,
            }
        }
        (all != Slots::Several).then(|| cluster.node_for(all))
    }

    /// Whether a request needs no dedicated connection.
    pub(in crate::proxy) fn is_shared_way(&self, request: &Request<'_>) -> bool {
        let row = self.table.find(request);
        row.is_ok_and(|row| matches!(row.way(request), Way::Cached(_) | Way::Forward))
    }

    /// Whether a client's dedicated connection leads to the node that a request is for.
    pub(in crate::proxy) fn is_right_way(
        &self,
        dedicated: &Dedicated,
        request: &Request<'_>,
    ) -> bool {
        let row: Row = self.table.find(request).unwrap_or(UNKNOWN);
        self.is_right_node(dedicated.node, request, &row)
    }
}
