//! Requests that concern several nodes. Splits them into parts, and merges the replies.

use super::super::{Engine, cost};
use super::NOWHERE;
use crate::command::{Join, Keys, Row};
use crate::metrics::Outcome;
use crate::proxy::in_flight::{Asks, Caller, Forward, Then, Waiter};
use crate::proxy::replies::{Cost, Elements, Replies};
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::upstream::{NodeId, slot_of};

/// A part, as the positions of its arguments.
pub(super) struct PartOf {
    slot: u16,
    arguments: Vec<usize>,
}

/// The parts of a request whose keys are in several slots, if it may be split. Each key is followed by a fixed number
/// of arguments.
pub(super) fn parts(row: &Row, request: &Request<'_>) -> Option<Vec<PartOf>> {
    let Keys::Range {
        first: 1,
        last: -1,
        step,
    } = row.keys
    else {
        return None;
    };
    if !(request.len() - 1).is_multiple_of(step) {
        return None;
    }
    let mut parts: Vec<PartOf> = Vec::new();
    for at in (1..request.len()).step_by(step) {
        let slot = slot_of(request.argument(at));
        let known = parts.iter().position(|part| part.slot == slot);
        let place = known.unwrap_or(parts.len());
        if known.is_none() {
            parts.push(PartOf {
                slot,
                arguments: Vec::new(),
            });
        }
        parts[place].arguments.extend(at..at + step);
    }
    Some(parts)
}

/// How many low bits of a cursor are the node's own cursor; the higher bits select the node.
const CURSOR_BITS: u32 = 48;

impl Engine {
    /// Sends each part to the node of its slot.
    pub(super) fn send_parts(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        parts: Vec<PartOf>,
        join: Join,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let name = request.argument(0);
        let parts = parts.into_iter().map(|part| {
            let mut bytes = Vec::new();
            let arguments: Vec<&[u8]> = std::iter::once(name)
                .chain(part.arguments.iter().map(|at| request.argument(*at)))
                .collect();
            reply::request(&mut bytes, arguments.into_iter());
            let node = self
                .cluster
                .as_ref()
                .map_or(NOWHERE, |cluster| cluster.owner(part.slot));
            (node, bytes)
        });
        let parts = parts.collect();
        self.send_joined(request, row, parts, join, caller, replies)
    }

    /// Sends a request to all of `nodes`.
    pub(super) fn send_to_all(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        nodes: &[NodeId],
        join: Join,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let mut bytes = Vec::new();
        reply::request(&mut bytes, request.arguments());
        let parts = nodes.iter().map(|node| (*node, bytes.clone())).collect();
        self.send_joined(request, row, parts, join, caller, replies)
    }

    fn send_joined(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        parts: Vec<(NodeId, Vec<u8>)>,
        join: Join,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let mut nodes = parts.iter().map(|(node, _)| *node);
        if let Some(outage) = nodes.find_map(|node| self.server(node).outage()) {
            super::super::forward::refuse(request, outage, replies);
            return Outcome::Refused;
        }
        self.spread_script(request, caller);
        let written = self.invalidate_written(request, row.writes);
        let held = parts.iter().map(|(_, bytes)| bytes.len()).sum();
        let cost = Cost {
            expected: 0,
            ..cost(held, replies)
        };
        let words = self.words(request);
        let elements = parts.iter().map(|_| None).collect();
        let place = replies.gather(elements, Elements::Joined(join), cost, words);
        for (element, (node, bytes)) in (0..).zip(parts) {
            let caller = Caller { node, ..caller };
            let waiter = Waiter {
                caller,
                place,
                element: Some(element),
            };
            let forward = Forward {
                waiter: Some(waiter),
                asks: Some(Asks {
                    hash: self.large.hash(row.number, request, 1),
                    repeatable: row.reads_only,
                }),
                encoded: Some(bytes.into()),
                ..Forward::default()
            };
            self.send_forward(forward, written.as_deref(), caller);
        }
        if row.changes_commands {
            self.checks.forget();
            self.renew_table(self.home());
        }
        Outcome::Forwarded
    }

    /// Sends a request of which `forward` keeps the encoded form.
    pub(super) fn send_forward(
        &mut self,
        forward: Forward,
        written: Option<&[&[u8]]>,
        caller: Caller,
    ) {
        let link = caller.link();
        let repeatable = forward.asks.is_some_and(|asks| asks.repeatable);
        if let Some(encoded) = &forward.encoded {
            let batch = self.requests.of(link);
            batch.push(repeatable, |out| out.extend_from_slice(encoded));
        }
        self.in_flight.forward(forward, link, written);
        self.asked += 1;
    }

    /// `SCAN`: one node after another. The highest bits of the cursor say which one is next.
    pub(super) fn scan(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let cursor = std::str::from_utf8(request.argument(1)).ok();
        let Some(cursor) = cursor.and_then(|cursor| cursor.parse::<u64>().ok()) else {
            replies.push_error(b"ERR invalid cursor");
            return Outcome::Refused;
        };
        let at = (cursor >> CURSOR_BITS) as usize;
        let node_cursor = cursor & ((1 << CURSOR_BITS) - 1);
        let nodes: Vec<NodeId> = match &self.cluster {
            Some(cluster) => cluster.nodes().collect(),
            None => Vec::new(),
        };
        let node = match nodes.get(at) {
            Some(node) => *node,
            // The cursor is from a scan that began with more nodes, or no node is known.
            None if nodes.is_empty() => NOWHERE,
            None => {
                replies.push(Reply::Static(b"*2\r\n$1\r\n0\r\n*0\r\n"));
                return Outcome::Here;
            }
        };
        let caller = Caller { node, ..caller };
        if let Some(outage) = self.server(node).outage() {
            super::super::forward::refuse(request, outage, replies);
            return Outcome::Refused;
        }
        let node_cursor = node_cursor.to_string();
        let mut encoded = Vec::new();
        let arguments: Vec<&[u8]> = request
            .arguments()
            .enumerate()
            .map(|(at, argument)| {
                if at == 1 {
                    node_cursor.as_bytes()
                } else {
                    argument
                }
            })
            .collect();
        reply::request(&mut encoded, arguments.into_iter());
        let waiter = Waiter {
            caller,
            place: replies.wait(cost(encoded.len(), replies)),
            element: None,
        };
        let next = (at + 1 < nodes.len()).then_some(at + 1);
        let forward = Forward {
            waiter: Some(waiter),
            words: self.words(request),
            then: Then::Scan { at, next },
            asks: Some(Asks {
                hash: self.large.hash(row.number, request, 1),
                repeatable: true,
            }),
            encoded: Some(encoded.into()),
            ..Forward::default()
        };
        self.send_forward(forward, Some(&[]), caller);
        Outcome::Forwarded
    }
}

/// A node's reply to `SCAN`, with a cursor that encodes the node.
pub(in crate::proxy::engine) fn with_cursor(
    encoded: &[u8],
    at: usize,
    next: Option<usize>,
) -> Option<Reply> {
    let mut reader = Reader::new(encoded);
    (reader.array() == Some(2)).then_some(())?;
    let node_cursor = std::str::from_utf8(reader.text()?)
        .ok()?
        .parse::<u64>()
        .ok()?;
    let rest = reader.value()?;
    let cursor = match (node_cursor, next) {
        (0, None) => 0,
        (0, Some(next)) => (next as u64) << CURSOR_BITS,
        (node_cursor, _) => node_cursor | (at as u64) << CURSOR_BITS,
    };
    let mut out = b"*2\r\n".to_vec();
    reply::bulk(&mut out, cursor.to_string().as_bytes());
    out.extend_from_slice(rest);
    Some(Reply::Owned(out.into()))
}
