//! The proxy's replies to cluster clients. It presents itself as a cluster of a single node that has all slots, so that
//! clients send everything to it.

use super::super::Engine;
use super::Cluster;
use crate::command::is_word;
use crate::metrics::Outcome;
use crate::proxy::identity::{Identity, Peer};
use crate::proxy::replies::Replies;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::resp::{Protocol, integer};
use crate::upstream::{NodeId, SLOTS, slot_of};

/// How a request about the cluster is answered.
pub(super) enum About {
    /// The proxy has answered it.
    Answered(Outcome),
    /// This node, which has the slot in question, answers it.
    Node(NodeId),
}

/// How many characters the id of a node has.
const ID: usize = 40;

/// A new random node id.
pub(super) fn new_id() -> Box<str> {
    let digit = |_| char::from_digit(fastrand::u32(..16), 16).unwrap_or('0');
    (0..ID).map(digit).collect()
}

/// The address of the proxy, as a client reaches it.
struct Myself<'a> {
    id: &'a str,
    host: String,
    port: u16,
}

impl Myself<'_> {
    fn write_slots(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"*1\r\n*3\r\n:0\r\n");
        number(out, (SLOTS - 1).into());
        out.extend_from_slice(b"*4\r\n");
        reply::bulk(out, self.host.as_bytes());
        number(out, self.port.into());
        reply::bulk(out, self.id.as_bytes());
        out.extend_from_slice(b"*0\r\n");
    }

    fn write_shards(&self, out: &mut Vec<u8>, protocol: Protocol) {
        out.extend_from_slice(b"*1\r\n");
        map(out, 2, protocol);
        reply::bulk(out, b"slots");
        out.extend_from_slice(b"*2\r\n:0\r\n");
        number(out, (SLOTS - 1).into());
        reply::bulk(out, b"nodes");
        out.extend_from_slice(b"*1\r\n");
        map(out, 7, protocol);
        let text = |out: &mut Vec<u8>, name: &str, value: &str| {
            reply::bulk(out, name.as_bytes());
            reply::bulk(out, value.as_bytes());
        };
        text(out, "id", self.id);
        reply::bulk(out, b"port");
        number(out, self.port.into());
        text(out, "ip", &self.host);
        text(out, "endpoint", &self.host);
        text(out, "role", "master");
        reply::bulk(out, b"replication-offset");
        number(out, 0);
        text(out, "health", "online");
    }

    /// The line of `CLUSTER NODES`. The proxy has no cluster bus.
    fn line(&self) -> String {
        let Self { id, host, port } = self;
        let last = SLOTS - 1;
        format!("{id} {host}:{port}@0 myself,master - 0 0 1 connected 0-{last}\n")
    }
}

fn number(out: &mut Vec<u8>, number: i64) {
    out.extend_from_slice(format!(":{number}\r\n").as_bytes());
}

fn map(out: &mut Vec<u8>, entries: usize, protocol: Protocol) {
    match protocol {
        Protocol::Resp2 => reply::header(out, b'*', 2 * entries),
        Protocol::Resp3 => reply::header(out, b'%', entries),
    }
}

impl Engine {
    /// Answers `CLUSTER` and other commands of cluster clients.
    pub(super) fn answer_about_cluster(
        &self,
        cluster: &Cluster,
        name: &[u8],
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
    ) -> Option<About> {
        if matches!(name, b"readonly" | b"readwrite" | b"asking") && request.len() == 1 {
            replies.push_static(b"+OK\r\n");
            return Some(About::Answered(Outcome::Here));
        }
        if name != b"cluster" || request.len() < 2 {
            return None;
        }
        let is = |word: &[u8], length: usize| {
            is_word(request.argument(1), word) && request.len() == length
        };
        let (host, port) = match &identity.peer {
            Some(Peer::Tcp { local, .. }) => (local.ip().to_canonical().to_string(), local.port()),
            Some(Peer::Unix(_)) | None => (String::new(), self.facts.port),
        };
        let myself = Myself {
            id: &cluster.id,
            host,
            port,
        };
        let mut out = Vec::new();
        let protocol = identity.protocol;
        let reply = match () {
            () if is(b"slots", 2) => {
                myself.write_slots(&mut out);
                Reply::Owned(out.into())
            }
            () if is(b"shards", 2) => {
                myself.write_shards(&mut out, protocol);
                Reply::Owned(out.into())
            }
            () if is(b"nodes", 2) => Reply::text(myself.line().as_bytes(), protocol),
            () if is(b"info", 2) => Reply::text(self.cluster_info(cluster).as_bytes(), protocol),
            () if is(b"myid", 2) => Reply::bulk(cluster.id.as_bytes()),
            () if is(b"keyslot", 3) => Reply::integer(slot_of(request.argument(2)).into()),
            () if is(b"links", 2) || is(b"replicas", 3) || is(b"slaves", 3) => {
                Reply::Static(b"*0\r\n")
            }
            () if is(b"countkeysinslot", 3) || is(b"getkeysinslot", 4) => {
                let slot = integer(request.argument(2)).and_then(|slot| u16::try_from(slot).ok());
                return Some(About::Node(
                    slot.map_or(cluster.any, |slot| cluster.owner(slot)),
                ));
            }
            () => {
                replies.push_error(
                    b"ERR the proxy is a cluster of one node: send this to the nodes behind it",
                );
                return Some(About::Answered(Outcome::Refused));
            }
        };
        replies.push(reply);
        Some(About::Answered(Outcome::Here))
    }

    /// `CLUSTER INFO`: whether all slots are served.
    fn cluster_info(&self, cluster: &Cluster) -> String {
        let is_assigned = |slot: &u16| cluster.map.owner(*slot).is_some();
        let is_served = |slot: &u16| self.server(cluster.owner(*slot)).is_up();
        let assigned = (0..SLOTS).filter(is_assigned).count();
        let ok = (0..SLOTS)
            .filter(|slot| is_assigned(slot) && is_served(slot))
            .count();
        let state = if ok == SLOTS.into() { "ok" } else { "fail" };
        let lost = assigned - ok;
        format!(
            "cluster_state:{state}\r\ncluster_slots_assigned:{assigned}\r\ncluster_slots_ok:{ok}\r\n\
             cluster_slots_pfail:0\r\ncluster_slots_fail:{lost}\r\ncluster_known_nodes:1\r\ncluster_size:1\r\n\
             cluster_current_epoch:1\r\ncluster_my_epoch:1\r\ncluster_stats_messages_sent:0\r\n\
             cluster_stats_messages_received:0\r\ntotal_cluster_links_buffer_limit_exceeded:0\r\n"
        )
    }
}
