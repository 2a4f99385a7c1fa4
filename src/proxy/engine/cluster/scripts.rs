//! Scripts in front of a cluster: a client sends a script's text once, to what it takes for a single server, and from
//! then on only its digest. So the proxy loads each text that it sends to one node on the other nodes too.

use std::collections::HashSet;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::super::Engine;
use crate::proxy::in_flight::Caller;
use crate::resp::reply;
use crate::resp::request::Request;
use crate::upstream::NodeId;

/// The most scripts that are remembered.
const MOST: usize = 1024;

/// Scripts that all nodes know.
#[derive(Default)]
pub(super) struct Known(HashSet<u64, RandomState>);

impl Known {
    /// Forgets all scripts: the nodes may have lost them, or may be other nodes.
    pub fn forget(&mut self) {
        self.0.clear();
    }

    /// Whether the script is new. Remembers it.
    fn is_new(&mut self, text: &[u8]) -> bool {
        let hash = self.0.hasher().hash_one(text);
        if self.0.len() >= MOST {
            self.0.clear();
        }
        self.0.insert(hash)
    }
}

impl Engine {
    /// If a request that goes to one node contains a script, loads the script on the other nodes and ignores their
    /// replies.
    #[inline(never)]
    pub(in crate::proxy::engine) fn spread_script(
        &mut self,
        request: &Request<'_>,
        caller: Caller,
    ) {
        let name = self.table.original_name(request.argument(0));
        let brings = [&b"eval"[..], b"eval_ro"]
            .iter()
            .any(|eval| name.eq_ignore_ascii_case(eval));
        let flushes = name.eq_ignore_ascii_case(b"script");
        let Some(cluster) = &mut self.cluster else {
            return;
        };
        if flushes {
            return cluster.scripts.forget();
        }
        if !brings || request.len() < 3 || !cluster.scripts.is_new(request.argument(1)) {
            return;
        }
        let others: Vec<NodeId> = cluster
            .nodes()
            .filter(|node| *node != caller.node)
            .collect();
        for node in others
            .into_iter()
            .filter(|node| self.server(*node).is_up())
            .collect::<Vec<_>>()
        {
            let link = Caller { node, ..caller }.link();
            self.requests.of(link).push(true, |out| {
                reply::request(
                    out,
                    [&b"SCRIPT"[..], b"LOAD", request.argument(1)].into_iter(),
                );
            });
            self.in_flight.ask_for_nothing(link);
        }
    }
}
