//! The servers behind the proxy, as the helper reports them: a single one, or the nodes of a cluster.

use std::time::Duration;

use super::Engine;
use crate::proxy::outage::Outage;
use crate::proxy::permits::Permits;
use crate::status::{RedisState, Tracking};
use crate::transport::dial::Endpoint;
use crate::upstream::{Backend, NodeId};

/// Which entries may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Serving {
    /// Entries within their time to live.
    Fresh,
    /// Stale entries too, while Redis is unreachable.
    Stale,
    /// No entries.
    Nothing,
}

/// Whether Redis is reachable.
pub(in crate::proxy) enum Redis {
    /// It is not known yet, at startup or because Redis was lost a moment ago.
    Unknown,
    Up,
    Down(Outage),
}

/// What keeps cached values from getting stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Coherence {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis reports changes.
    Tracking,
    /// Redis reported changes, but no longer does. It is not known yet whether it soon will again.
    Lost,
    /// Redis can't report changes for now: nothing is cached.
    Missing,
    /// Only the time to live. If Redis was asked to track keys, `refused` is the error.
    TimeToLive {
        /// Redis's error.
        refused: Option<String>,
    },
}

/// A server behind the proxy.
pub(in crate::proxy) struct Server {
    pub redis: Redis,
    pub coherence: Coherence,
    /// Changes that the server should have reported long ago may be outstanding.
    pub(super) is_suspended: bool,
    /// The server refuses reads because it has lost its master.
    pub(super) is_refusing: bool,
    /// The longest time that a value is kept, given what is known of the user's permissions.
    pub(super) longest: Duration,
    /// Which entries may be served, given the state of the server.
    pub(super) serving: Serving,
    /// The endpoint at which the server was last reached.
    pub endpoint: Option<Endpoint>,
    /// What the server reported about itself when it last accepted the proxy.
    pub backend: Option<Backend>,
    /// The round-trip time of its latest batch of requests.
    pub round_trip: Duration,
    /// Its permits for requests with large replies.
    pub(super) permits: Permits,
}

impl Default for Server {
    fn default() -> Self {
        Self {
            redis: Redis::Unknown,
            coherence: Coherence::Unknown,
            is_suspended: false,
            is_refusing: false,
            longest: Duration::MAX,
            serving: Serving::Fresh,
            endpoint: None,
            backend: None,
            round_trip: Duration::ZERO,
            permits: Permits::default(),
        }
    }
}

impl Server {
    /// Why the server can't be asked, if it can't.
    #[inline]
    pub fn outage(&self) -> Option<&Outage> {
        match &self.redis {
            Redis::Down(outage) => Some(outage),
            Redis::Unknown | Redis::Up => None,
        }
    }

    /// Whether values that the server returns may be cached: it reports changes, or values are limited by their time to
    /// live alone.
    pub fn is_kept_coherent(&self) -> bool {
        matches!(
            self.coherence,
            Coherence::Tracking | Coherence::TimeToLive { .. }
        )
    }

    pub fn is_up(&self) -> bool {
        matches!(self.redis, Redis::Up)
    }

    /// Whether the server was reachable until its connections broke.
    pub fn is_lost(&self) -> bool {
        let is_lost = match &self.redis {
            Redis::Unknown => true,
            Redis::Up => false,
            Redis::Down(outage) => !outage.refused,
        };
        is_lost && self.backend.is_some()
    }

    /// Whether the server is reachable, as the status reports it.
    pub(super) fn state(&self) -> RedisState<'_> {
        match &self.redis {
            Redis::Unknown => RedisState::Unknown,
            Redis::Up => RedisState::Up,
            Redis::Down(outage) => RedisState::Down(outage.error.bytes()),
        }
    }

    /// Whether it reports changes, as shown in the status.
    pub(super) fn tracking(&self) -> Tracking<'_> {
        match &self.coherence {
            Coherence::Unknown => Tracking::Unknown,
            Coherence::Tracking => Tracking::On,
            Coherence::Lost | Coherence::Missing => Tracking::Lost,
            Coherence::TimeToLive { refused: None } => Tracking::Off,
            Coherence::TimeToLive {
                refused: Some(words),
            } => Tracking::Refused(words),
        }
    }

    pub(super) fn update_serving(&mut self) {
        self.serving = match self.redis {
            Redis::Unknown | Redis::Down(_) => Serving::Stale,
            Redis::Up if self.is_suspended => Serving::Nothing,
            Redis::Up if self.is_refusing => Serving::Nothing,
            Redis::Up => Serving::Fresh,
        };
    }
}

impl Engine {
    /// The server of this number.
    #[inline]
    pub fn server(&self, node: NodeId) -> &Server {
        match &self.cluster {
            None => &self.only,
            Some(cluster) => cluster.server(node),
        }
    }

    #[inline]
    pub(super) fn server_mut(&mut self, node: NodeId) -> &mut Server {
        match &mut self.cluster {
            None => &mut self.only,
            Some(cluster) => cluster.server_mut(node),
        }
    }

    /// Changes the state of a server.
    pub(super) fn change_server(&mut self, node: NodeId, change: impl FnOnce(&mut Server)) {
        let server = self.server_mut(node);
        change(server);
        server.update_serving();
        if let Some(cluster) = &mut self.cluster {
            cluster.changed();
        }
    }

    /// Notes the time of a server's latest batch of requests.
    pub fn note_round_trip(&mut self, node: NodeId, round_trip: Duration) {
        if self.cluster.is_some() {
            self.server_mut(node).round_trip = round_trip;
        }
    }

    /// Whether the only server, or any node that has slots, can't be asked.
    pub(super) fn is_any_down(&self) -> bool {
        match &self.cluster {
            None => self.only.outage().is_some(),
            Some(cluster) => cluster.is_any_down(),
        }
    }

    /// The node for requests without keys.
    pub fn any_node(&self) -> NodeId {
        self.cluster
            .as_ref()
            .map_or(NodeId::default(), |cluster| cluster.any_node())
    }

    /// The server for requests without keys.
    #[inline]
    pub fn any_server(&self) -> &Server {
        self.server(self.any_node())
    }

    /// The node for requests about a key.
    #[inline]
    pub(super) fn node_of(&self, key: &[u8]) -> NodeId {
        match &self.cluster {
            None => NodeId::default(),
            Some(cluster) => cluster.node_of(key),
        }
    }

    /// Which entries of a key may be served.
    #[inline]
    pub(super) fn serving(&self, key: &[u8]) -> Serving {
        match &self.cluster {
            None => self.only.serving,
            Some(cluster) => cluster.serving(key),
        }
    }

    /// Whether Redis refuses the proxy because it requires a login, which clients may have.
    pub fn asks_for_login(&self) -> bool {
        let outage = self.any_server().outage();
        outage.is_some_and(Outage::refuses_login)
    }

    /// Whether messages that may reveal other clients' writes are held until a barrier has passed.
    ///
    /// This also holds while the tracker is being reopened: either that succeeds soon, and the cache is emptied, or it
    /// is given up. Without a tracker nothing is cached, and only fetches in flight could deliver older values.
    pub fn holds_back(&mut self) -> bool {
        let server = self.any_server();
        if !self.barriers.is_enabled() || server.outage().is_some() {
            return false;
        }
        match server.coherence {
            Coherence::Unknown | Coherence::Tracking | Coherence::Lost => true,
            Coherence::Missing => {
                self.in_flight.all_changed();
                false
            }
            Coherence::TimeToLive { .. } => false,
        }
    }
}
