//! The way to the backing Redis: a helper thread with the connections that all clients share, and what goes between
//! it and the loop.
//!
//! The loop collects requests in a [`Batch`] for each link during a turn, and hands them over at its end
//! ([`Upstream::send`]). The helper writes them at once, whatever else is in flight, and hands back [`Event`]s.
//! There is one reply for each request of a link, in order, whatever happens to its connection meanwhile.
//!
//! - `node` is one Redis: which connections to it there are, how they are opened, and what is done when one
//!   breaks. It is a state machine without sockets, of [`Link`](crate::link::Link)s.
//! - `connection` is one of its connections, and `answers` what comes of what Redis sends on it.
//! - `outage` is what it makes of a Redis that can't be reached.
//! - `tracking` is how Redis comes to report what changes.
//! - `loss` is why a connection is lost.
//! - `life` is how it learns whether Redis outlived a connection that was lost.
//! - `health` is what it makes of silence.
//! - `state` is how it notices that a connection is no longer as it was set up.
//! - `rights` is how it learns that the proxy's user may do less than before, or may not log in any more.
//! - `unreported` is how it learns what Redis doesn't report, though it may change what clients read.
//! - `checks` is how it asks about passwords of clients.
//! - `setup` is what the proxy itself asks Redis.
//! - `helper` is the thread: one poll over the sockets and the `mailbox`.
//! - `resolve` finds out where Redis is: it looks names up, on a thread of its own, so that nothing else waits for that.
//! - `race` connects to the first of its addresses that answers.
//! - `sentinel` is how it learns from sentinels where Redis is.
//! - `cluster` is how it learns which nodes a cluster has, and which of them serves which slot.
//! - `moved` is how it learns that Redis is elsewhere by now.

mod answers;
mod busy;
mod checks;
mod cluster;
mod connection;
mod health;
mod helper;
#[cfg(test)]
mod kills;
mod life;
mod loss;
mod mailbox;
mod moved;
mod node;
mod outage;
mod race;
mod resolve;
mod rights;
mod sentinel;
mod setup;
mod state;
mod tracking;
mod unreported;

use std::sync::Arc;
use std::time::Duration;

pub use cluster::{ClusterMap, ClusterNode, Clusters, SLOTS, Seeds, slot_of};
pub use helper::Upstream;
pub use sentinel::Settings as SentinelSettings;

use crate::command::Spec;
use crate::config::{RedisAddress, Secret};
pub use crate::link::{Batch, Invalidated, Pending, Replies};
use crate::resp::Protocol;
use crate::status::{Right, TrackingTable};
use crate::transport::dial::{Dialer, Endpoint};
pub use setup::{refusal, starts_as_refusal};

/// Where Redis is, how to get there, and as whom the proxy comes.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host and port, or Unix socket. The host is looked up for every connection attempt.
    pub address: RedisAddress,
    /// The sentinels that say where it is, if the address is a master's name.
    pub sentinels: Option<SentinelSettings>,
    /// Nodes of the cluster, by which the others are found, if it is one.
    pub cluster: Option<Seeds>,
    /// Whether its replicas are connected to, for reads.
    pub reads_replicas: bool,
    /// Whether this is one of them.
    pub is_replica: bool,
    /// How to connect, and how long that may take, as well as a request may wait for its reply.
    pub dialer: Dialer,
    /// How long requests wait for it when it went away.
    pub wait: Duration,
    /// The database of the first connection, and of every one that is not for another.
    pub database: u32,
    /// The user to authenticate as; without one, Redis's default user.
    pub username: Option<String>,
    /// The password, if Redis asks for one.
    pub password: Option<Secret>,
    /// The file that holds it, if one does: it is read again when Redis refuses.
    pub password_file: Option<String>,
    /// Whether Redis is to report which of the keys that were read change.
    pub tracking: bool,
}

/// How the error replies go on, behind their code, that stand for none of Redis's.
const UNREACHABLE: &str = "backing Redis at ";

/// In the place of a reply: Redis can't be reached, and whoever waits is closed, as by Redis itself. Libraries of clients
/// connect again after that, and repeat what may be repeated; an error they hand on to the application.
pub const CLOSED: &[u8] = b"";

/// The same, as the connection broke under the request; under a request that may be repeated, for the second time.
pub const BROKEN: &[u8] = b"-\r\n";

/// In the place of a reply, in a cluster: the node serves nothing any more, and has not executed the request. It is to be
/// sent to the node that has its slot now.
pub const ELSEWHERE: &[u8] = b"-MOVED\r\n";

/// Whether whoever waits for a reply is closed, in place of this one.
#[must_use]
pub fn closes(encoded: &[u8]) -> bool {
    encoded == CLOSED || encoded == BROKEN
}

/// Whether an encoded reply stands for one that Redis did not give.
#[must_use]
pub fn is_unreachable(encoded: &[u8]) -> bool {
    closes(encoded)
        || [&b"-ERR "[..], b"-LOADING "]
            .into_iter()
            .filter_map(|code| encoded.strip_prefix(code))
            .any(|text| text.starts_with(UNREACHABLE.as_bytes()))
}

/// One of the servers behind the proxy: a node of a cluster, or the only one. A number is never used again.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// A link. There is one for each version of the protocol, as a reply in one can't be made from the other, and for each
/// database: a connection that never leaves its database can't execute a request in another, whatever Redis refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    /// Where it leads.
    pub node: NodeId,
    /// What is spoken on it.
    pub protocol: Protocol,
    /// The database that its requests are for.
    pub database: u32,
}

impl LinkId {
    /// The link for that version of the protocol and that database, to the only server.
    #[must_use]
    pub fn new(protocol: Protocol, database: u32) -> Self {
        Self {
            node: NodeId::default(),
            protocol,
            database,
        }
    }

    /// The same to another node.
    #[must_use]
    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }
}

/// A list with a place for each link that was used.
#[derive(Debug)]
pub struct PerLink<T>(Vec<(LinkId, T)>);

impl<T> Default for PerLink<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerLink<T> {
    /// The place of a link. There are few, and those that were used first are found first.
    #[inline]
    pub fn of(&mut self, link: LinkId) -> &mut T {
        let at = match self.0.iter().position(|(known, _)| *known == link) {
            Some(at) => at,
            None => {
                self.0.push((link, T::default()));
                self.0.len() - 1
            }
        };
        &mut self.0[at].1
    }

    /// All places, with their links.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut T)> {
        self.0.iter_mut().map(|(link, place)| (*link, place))
    }

    /// The same, to look at.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &T)> {
        self.0.iter().map(|(link, place)| (*link, place))
    }

    /// Keeps the places of those links alone.
    pub fn retain(&mut self, is_kept: impl Fn(LinkId) -> bool) {
        self.0.retain(|(link, _)| is_kept(*link));
    }

    /// Whether a link was used.
    #[must_use]
    pub fn has(&self, link: LinkId) -> bool {
        self.0.iter().any(|(known, _)| *known == link)
    }
}

/// Requests that are to be sent, for each link.
pub type Requests = PerLink<Batch>;

/// A question whether Redis accepts a client's password.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// By which its answer is known.
    pub number: u64,
    /// The encoded `AUTH`.
    pub request: Vec<u8>,
}

/// What Redis reported of itself when it was connected to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// Where it was reached, for dedicated connections.
    pub endpoint: Option<Endpoint>,
    /// The sentinel that named it, if one did.
    pub sentinel: Option<String>,
    /// Which server it is, if it says so.
    pub run_id: Option<String>,
    /// Its commands, if it reported them.
    pub commands: Option<Vec<Spec>>,
    /// It refused to report them.
    pub commands_refused: bool,
    /// Its replies to HELLO in RESP2 and RESP3; empty if it knows none.
    pub hello: [Vec<u8>; 2],
    /// Its reply to `INFO`.
    pub info: Vec<u8>,
    /// It is a node of a cluster.
    pub is_cluster: bool,
}

impl Backend {
    /// Whether the other one is not the same server: what leads to this one leads nowhere, or to a stranger.
    #[must_use]
    pub fn is_another(&self, other: &Self) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(this), Some(other)) => this != other,
            _ => self.endpoint != other.endpoint,
        }
    }
}

/// What the helper reports to the loop of a node, in the order in which it happened.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The node.
    pub node: NodeId,
    /// What happened.
    pub event: Event,
}

/// What happened to a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Redis is there, at that endpoint. Whether it takes the proxy is being found out.
    Reached(Endpoint),
    /// Redis is lost, and may be back in a moment: until [`Event::Up`] or [`Event::Down`] requests wait, and so should
    /// whoever needs a dedicated connection.
    Away,
    /// Redis can be reached: requests are worth sending.
    Up(Backend),
    /// A connection was lost and reopened, while Redis was there.
    Reconnected,
    /// Redis is another server than before, while that may still be there: dedicated connections lead to the old one.
    /// Another is made to the new one only after [`Event::Up`].
    Moved,
    /// Redis can't be reached: until [`Event::Up`] it is no use to ask.
    Down {
        /// The encoded error reply that says why.
        error: Vec<u8>,
        /// It is there, but of no use to the proxy, or it was never there: who needs it gets the error. Otherwise they
        /// are [`CLOSED`].
        refused: bool,
    },
    /// And dedicated connections lead nowhere any more, whether or not they end by themselves.
    Gone,
    /// Whether Redis reports changes is another now.
    Tracking(Tracking),
    /// All changes that Redis had made when the barrier of that number was asked for are reported, if it reports any.
    Barrier(u64),
    /// Replies to the oldest requests of a link.
    Replies {
        /// The link.
        link: LinkId,
        /// The replies.
        replies: Replies,
    },
    /// The oldest requests of a link, beyond those that were late before, have waited too long. Their replies still
    /// come, for nobody.
    Late {
        /// The link.
        link: LinkId,
        /// How many they are.
        count: usize,
        /// The encoded error reply to those who wait for them.
        error: Vec<u8>,
    },
    /// Keys changed.
    Invalidated(Invalidated),
    /// The proxy's password at Redis is another now.
    Password(Secret),
    /// The answer to a [`Check`], or an error in its place.
    Checked {
        /// Its number.
        number: u64,
        /// The encoded reply.
        reply: Vec<u8>,
    },
    /// Redis is busy with a script, and refuses nearly everything with this error, or is so no more.
    Busy(Option<Vec<u8>>),
    /// Of so many of the links it tracks the keys.
    TrackedLinks(usize),
    /// Redis's table of tracked keys is full, or is so no more.
    TrackingTable(Option<TrackingTable>),
    /// The output buffer, in bytes, at which Redis closes a client; 0 if there is no such limit, or it is unknown.
    OutputLimit(usize),
    /// Databases were swapped.
    Swapped,
    /// The node of a cluster has other slots than before, where the proxy is in front of that node alone.
    SlotsMoved,
    /// Which node of the cluster serves which slot. Nodes that it doesn't name are gone, with all their links.
    Slots(Arc<ClusterMap>),
    /// Redis refuses reads, as it has lost its master; or it does so no more.
    MasterLost(bool),
    /// The proxy's user lacks a right, or lacks it no more.
    Right {
        /// The right.
        right: Right,
        /// It lacks it.
        is_missing: bool,
    },
    /// The proxy's user may have other rights than before.
    Rights {
        /// Redis shows them, so that each change will be reported. If not, nothing may be cached for longer than
        /// [`UNKNOWN_TTL`].
        known: bool,
    },
}

impl Event {
    /// Whether dedicated connections from before lead nowhere, or perhaps elsewhere.
    #[must_use]
    pub fn ends_dedicated(&self) -> bool {
        matches!(
            self,
            Self::Up(_) | Self::Down { .. } | Self::Gone | Self::Moved
        )
    }
}

/// How long a value may be cached while Redis does not show which rights the proxy's user has.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(5);

/// How cached values are kept from growing old, beside the time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// From now on Redis reports what changes of what is read from now on. Of what was read before, changes may have
    /// been missed.
    On,
    /// Redis has not been heard from for so long that changes may be on their way; whether they are, it is being
    /// asked.
    Suspended,
    /// It was heard from: all changes so far have been reported.
    Resumed,
    /// A connection broke: changes are no longer reported. Whether they soon are again, it is being found out.
    Lost,
    /// They can't be, for now.
    Missing,
    /// They will not be, since Redis is not asked to, or since it refuses, in these words.
    Off {
        /// The words.
        refused: Option<String>,
    },
}
