//! The upstream, Redis: a helper thread that owns the connections which all clients share, and the messages between it
//! and the loop.
//!
//! During a turn, the loop collects requests in a [`Batch`] for each link. At the end of the turn, it sends them
//! ([`Upstream::send`]): it writes them by itself, or has the helper do so, in either case at once, whatever else is in
//! flight. The helper reads the replies, and returns [`Event`]s. Each request of a link gets one reply, in order,
//! whatever happens to the link's connection meanwhile.
//!
//! - `node` is one Redis: which connections to it there are, how they are opened, and what happens when one breaks. It
//!   is a state machine without sockets, of [`Link`](crate::link::Link)s.
//! - `connection` is one of its connections, and `answers` handles what Redis sends on it.
//! - `outage` handles a Redis that is unreachable.
//! - `tracking` makes Redis report changes.
//! - `loss` is why a connection was lost.
//! - `life` detects whether Redis outlived a connection that was lost.
//! - `health` handles silence.
//! - `state` detects that a connection no longer has the state that was set up.
//! - `rights` detects that the proxy's user has fewer permissions than before, or can no longer log in.
//! - `unreported` detects what Redis doesn't report, though it may change what clients read.
//! - `checks` checks passwords of clients.
//! - `setup` has the proxy's own requests to Redis.
//! - `helper` is the thread: one poll over the sockets and the `mailbox`.
//! - `line` lets the loop write requests to a connection by itself.
//! - `resolve` finds the address of Redis: it looks names up, on a thread of its own, so that nothing else waits for
//!   that.
//! - `race` connects to the first of its addresses that answers.
//! - `sentinel` learns from sentinels where Redis is.
//! - `cluster` learns which nodes a cluster has, and which of them serves which slot.
//! - `moved` detects that Redis has moved.

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
mod line;
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

/// The address of Redis, how to connect to it, and the credentials.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The host and port, or Unix socket. The host is looked up for every connection attempt.
    pub address: RedisAddress,
    /// The sentinels that name the master, if the address is a master's name.
    pub sentinels: Option<SentinelSettings>,
    /// The seeds, if Redis is a cluster.
    pub cluster: Option<Seeds>,
    /// Whether to connect to the cluster's replicas, for reads.
    pub reads_replicas: bool,
    /// Whether this server is a replica.
    pub is_replica: bool,
    /// How to connect, and the timeout of connecting and of replies.
    pub dialer: Dialer,
    /// How long requests wait for Redis once it has become unreachable.
    pub wait: Duration,
    /// The database of the first connection, and of all others that are not for a particular database.
    pub database: u32,
    /// The user to authenticate as; `None` for Redis's default user.
    pub username: Option<String>,
    /// The password, if Redis requires one.
    pub password: Option<Secret>,
    /// The file that contains the password, if one does. It is read again when Redis refuses the login.
    pub password_file: Option<String>,
    /// Whether Redis should report changes of the keys that were read.
    pub tracking: bool,
}

/// How error replies of the proxy's own continue after their code.
const UNREACHABLE: &str = "backing Redis at ";

/// In place of a reply: Redis is unreachable, and the waiting client is closed, as Redis would close it. Client
/// libraries then reconnect, and retry what may be retried, whereas they pass an error on to the application.
pub const CLOSED: &[u8] = b"";

/// In place of a reply: the connection broke under the request, and the client is closed as for [`CLOSED`]. A request that
/// may be retried has been retried once.
pub const BROKEN: &[u8] = b"-\r\n";

/// In place of a reply, in a cluster: the node no longer serves anything and has not executed the request, which must
/// be sent to the node that has the slot now.
pub const ELSEWHERE: &[u8] = b"-MOVED\r\n";

/// Whether the waiting client is closed instead of getting this reply.
#[must_use]
pub fn closes(encoded: &[u8]) -> bool {
    encoded == CLOSED || encoded == BROKEN
}

/// Whether an encoded reply takes the place of one that Redis did not give.
#[must_use]
pub fn is_unreachable(encoded: &[u8]) -> bool {
    closes(encoded)
        || [&b"-ERR "[..], b"-LOADING "]
            .into_iter()
            .filter_map(|code| encoded.strip_prefix(code))
            .any(|text| text.starts_with(UNREACHABLE.as_bytes()))
}

/// One of the servers behind the proxy: the only one, or a node of a cluster. A number is never reused.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct NodeId(pub u16);

/// Identifies a link. There is a link for each protocol version, as a reply in one version can't be converted to the
/// other, and for each database: a connection that never leaves its database can't execute a request in another one,
/// whatever Redis refuses.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct LinkId {
    /// The node that the link leads to.
    pub node: NodeId,
    /// Its protocol version.
    pub protocol: Protocol,
    /// The database that its requests are for.
    pub database: u32,
}

impl LinkId {
    /// The link to the only server, for this protocol version and database.
    #[must_use]
    pub fn new(protocol: Protocol, database: u32) -> Self {
        Self {
            node: NodeId::default(),
            protocol,
            database,
        }
    }

    /// This link's counterpart to another node.
    #[must_use]
    pub fn at(self, node: NodeId) -> Self {
        Self { node, ..self }
    }
}

/// A list with an entry for each link that was used.
#[derive(Debug)]
pub struct PerLink<T>(Vec<(LinkId, T)>);

impl<T> Default for PerLink<T> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T: Default> PerLink<T> {
    /// The entry of a link. There are few links, and those that were used first are found first.
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

    /// All entries, with their links.
    pub fn iter_mut(&mut self) -> impl Iterator<Item = (LinkId, &mut T)> {
        self.0.iter_mut().map(|(link, place)| (*link, place))
    }

    /// All entries with their links, read-only.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &T)> {
        self.0.iter().map(|(link, place)| (*link, place))
    }

    /// Keeps only the entries of these links.
    pub fn retain(&mut self, is_kept: impl Fn(LinkId) -> bool) {
        self.0.retain(|(link, _)| is_kept(*link));
    }

    /// Whether a link was used.
    #[must_use]
    pub fn has(&self, link: LinkId) -> bool {
        self.0.iter().any(|(known, _)| *known == link)
    }
}

/// Requests to send, for each link.
pub type Requests = PerLink<Batch>;

/// A check whether Redis accepts a client's password.
#[derive(Debug, PartialEq, Eq)]
pub struct Check {
    /// Identifies the answer.
    pub number: u64,
    /// The encoded `AUTH`.
    pub request: Vec<u8>,
}

/// What Redis reported about itself when the proxy connected.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Backend {
    /// The endpoint at which it was reached, for dedicated connections.
    pub endpoint: Option<Endpoint>,
    /// The sentinel that named it, if any.
    pub sentinel: Option<String>,
    /// Which server it is, if it reports that.
    pub run_id: Option<String>,
    /// Its commands, if it reported them.
    pub commands: Option<Vec<Spec>>,
    /// It refused to report its commands.
    pub commands_refused: bool,
    /// Its replies to `HELLO` in RESP2 and RESP3; empty if it does not support the command.
    pub hello: [Vec<u8>; 2],
    /// Its reply to `INFO`.
    pub info: Vec<u8>,
    /// It is a node of a cluster.
    pub is_cluster: bool,
}

impl Backend {
    /// Whether `other` is another server. If so, connections to this one lead nowhere, or to the wrong server.
    #[must_use]
    pub fn is_another(&self, other: &Self) -> bool {
        match (&self.run_id, &other.run_id) {
            (Some(this), Some(other)) => this != other,
            _ => self.endpoint != other.endpoint,
        }
    }
}

/// An event that the helper reports to the loop, in order of occurrence.
#[derive(Debug, PartialEq, Eq)]
pub struct Report {
    /// The node.
    pub node: NodeId,
    /// The event.
    pub event: Event,
}

/// An event of a node.
#[derive(Debug, PartialEq, Eq)]
pub enum Event {
    /// Redis is reachable at this endpoint. It is not known yet whether it accepts the proxy.
    Reached(Endpoint),
    /// Redis is lost, and may be back in a moment: until [`Event::Up`] or [`Event::Down`], requests wait, and so should
    /// clients that need a dedicated connection.
    Away,
    /// Redis is up: requests may be sent.
    Up(Backend),
    /// A connection was lost and reopened, while Redis was reachable.
    Reconnected,
    /// Redis was replaced by another server, while the old one may still be up: dedicated connections lead to the old
    /// one. New ones must not be opened before [`Event::Up`].
    Moved,
    /// Redis is unreachable. Until [`Event::Up`], requests are pointless.
    Down {
        /// The encoded error reply that says why.
        error: Vec<u8>,
        /// Redis is up but refuses the proxy, or was never reachable: clients that need it get the error. Otherwise
        /// they are [`CLOSED`].
        refused: bool,
    },
    /// After [`Event::Down`]: dedicated connections lead nowhere any more, whether or not they have ended by
    /// themselves.
    Gone,
    /// Redis now reports changes, or no longer does.
    Tracking(Tracking),
    /// All changes that Redis had made when this barrier was requested have been reported, if Redis reports any.
    Barrier(u64),
    /// Replies to the oldest requests of a link.
    Replies {
        /// The link.
        link: LinkId,
        /// The replies.
        replies: Replies,
    },
    /// The oldest requests of a link that were not late before have timed out. Their replies may still arrive, and are
    /// dropped.
    Late {
        /// The link.
        link: LinkId,
        /// The number of requests.
        count: usize,
        /// The encoded error reply for the clients that wait for them.
        error: Vec<u8>,
    },
    /// Keys have changed.
    Invalidated(Invalidated),
    /// The proxy's password at Redis has changed.
    Password(Secret),
    /// The answer to a [`Check`], or an error in its place.
    Checked {
        /// The number of the check.
        number: u64,
        /// The encoded reply.
        reply: Vec<u8>,
    },
    /// Redis is busy with a script and refuses nearly everything with this error; `None` when it no longer is.
    Busy(Option<Vec<u8>>),
    /// Redis tracks the keys read on this many links.
    TrackedLinks(usize),
    /// Redis's table of tracked keys is full; `None` when it no longer is.
    TrackingTable(Option<TrackingTable>),
    /// The size of the output buffer, in bytes, at which Redis closes a client; 0 if there is no such limit, or it is
    /// unknown.
    OutputLimit(usize),
    /// Databases were swapped (`SWAPDB`).
    Swapped,
    /// The slots of the node have changed. Only reported if the proxy is in front of a single node of a cluster.
    SlotsMoved,
    /// A new slot map of the cluster. Nodes that it doesn't name are gone, with all their links.
    Slots(Arc<ClusterMap>),
    /// Redis refuses reads because it has lost its master, or no longer does.
    MasterLost(bool),
    /// The proxy's user lacks a permission, or no longer lacks it.
    Right {
        /// The permission.
        right: Right,
        /// Whether the user lacks the permission.
        is_missing: bool,
    },
    /// The proxy's user may have other permissions than before.
    Rights {
        /// Redis reveals the user's permissions, so that every change of them will be reported. If not, nothing may be
        /// cached for longer than [`UNKNOWN_TTL`].
        known: bool,
    },
}

impl Event {
    /// Whether this means that existing dedicated connections lead nowhere, or perhaps to another server.
    #[must_use]
    pub fn ends_dedicated(&self) -> bool {
        matches!(
            self,
            Self::Up(_) | Self::Down { .. } | Self::Gone | Self::Moved
        )
    }
}

/// The longest time that a value may be cached while Redis does not reveal the permissions of the proxy's user.
pub const UNKNOWN_TTL: Duration = Duration::from_secs(5);

/// How cached values are kept from getting stale, besides their time to live.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Tracking {
    /// From now on, Redis reports changes of what is read from now on. Changes of what was read before may have been
    /// missed.
    On,
    /// Redis has been silent for so long that reports may be outstanding. A check is in progress.
    Suspended,
    /// Redis is no longer silent: all changes so far have been reported.
    Resumed,
    /// A connection broke, so changes are no longer reported. It is not known yet whether they soon will be again.
    Lost,
    /// Changes can't be reported for now.
    Missing,
    /// Changes are not reported, because Redis is not asked to, or refuses with this error.
    Off {
        /// The error.
        refused: Option<String>,
    },
}
