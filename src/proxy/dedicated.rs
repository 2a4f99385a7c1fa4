//! A client's dedicated connection to Redis, for commands that leave state on a connection or block it.
//!
//! It is set up with the state of the client's session; then bytes pass both ways as they arrive. The proxy derives the
//! connection's state, and which requests are complete, from Redis's replies alone: each request that is passed on adds
//! one expectation ([`expectation`]), and each frame that Redis sends ([`frames`]) is matched with the oldest. So a
//! request that fails changes nothing ([`mirror`]).

mod borrowed;
mod edits;
mod effects;
mod expectation;
mod fate;
mod frames;
mod keys;
mod mirror;
mod mode;
mod need;
mod pass;
mod receive;
mod set_up;
mod silence;
mod subscriptions;
mod summary;
#[cfg(test)]
mod tests;
mod transaction;

use std::rc::Rc;

use super::MAX_OWED;
use crate::resp::Protocol;
use crate::resp::reply::{self, Output};
use crate::upstream::NodeId;
pub(super) use borrowed::{Borrowed, Loan};
use edits::Edits;
pub(super) use effects::Effects;
use expectation::{Expectation, Expectations, Kind};
use fate::Fate;
use frames::Frames;
pub(super) use keys::{Awaited, Keys};
use mirror::Mirror;
pub(super) use mode::Mode;
use need::Need;
pub(super) use receive::{Edited, Received};
use set_up::SetUp;

/// The state of a dedicated connection.
pub(super) struct Dedicated {
    /// Bytes to send to Redis.
    pub to_redis: Output,
    /// The node that the connection leads to.
    pub node: NodeId,
    /// The node belongs to a cluster, and its redirects must not reach the client.
    in_cluster: bool,
    /// The prefix of the client's keys.
    pub prefix: Option<Rc<[u8]>>,
    /// Why the client has the connection, and which commands need it.
    mode: Mode,
    need: Need,
    phase: Phase,
    /// The requests that set the connection up, unless the client's own `AUTH` or `HELLO` was among them, and its
    /// initial database.
    made_by: Option<(Box<[u8]>, u32)>,
    /// The outstanding replies to the proxy's own requests.
    set_up: SetUp,
    /// The id of the connection at Redis.
    number: Option<i64>,
    /// What Redis sends, and what happens to the current frame's bytes.
    frames: Frames,
    fate: Fate,
    /// The requests that have no reply yet, and how their replies are edited.
    expectations: Expectations,
    edits: Edits,
    /// The request that may be the client's last.
    last: Option<Kind>,
    mirror: Mirror,
    /// What the queued requests of a transaction may do.
    queued: Effects,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Requests pass to Redis, replies to the client.
    Open,
    /// The client's `AUTH` must be answered first; then these bytes set the connection up.
    Authenticating { then: Vec<u8>, set_up: SetUp },
    /// The client sent bytes that are not a request: Redis will answer with an error and close.
    Unparsed,
    /// Redis sends a replication stream or the output of its script debugger. Debugged scripts may write any key.
    Stream { writes: bool },
    /// `QUIT` was answered: Redis will close the connection.
    Closing,
}

/// What a client may still send.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Rest {
    /// The client may send more.
    ToCome,
    /// The client has sent everything; its remaining requests may be anything.
    Here,
}

/// The most memory that expectations may take, in bytes, before further requests are left unread. One request may
/// exceed it.
const IN_FLIGHT_MAX: usize = MAX_OWED;

impl Dedicated {
    /// A connection that is set up by `requests`, with so many replies that must not be errors, followed by so many
    /// that may. It is then in that database.
    pub fn new(requests: &[u8], set_up: (usize, usize), protocol: Protocol, database: u32) -> Self {
        let mut to_redis = Output::default();
        to_redis.copy(requests);
        Self {
            to_redis,
            node: NodeId::default(),
            in_cluster: false,
            prefix: None,
            mode: Mode::Held,
            need: Need::default(),
            phase: Phase::Open,
            made_by: Some((requests.into(), database)),
            set_up: set_up.into(),
            number: None,
            frames: Frames::default(),
            fate: Fate::default(),
            expectations: Expectations::default(),
            edits: Edits::default(),
            last: None,
            mirror: Mirror::new(protocol, database),
            queued: Effects::default(),
        }
    }

    /// Sets the node that the connection leads to, and whether the node belongs to a cluster.
    pub fn lead_to(&mut self, node: NodeId, in_cluster: bool) {
        self.node = node;
        self.in_cluster = in_cluster;
    }

    /// Sends Redis the `MULTI` that the proxy has already answered to the client.
    pub fn begin_transaction(&mut self) {
        self.to_redis
            .write(|out| reply::request(out, [&b"MULTI"[..]].into_iter()));
        self.expect(Kind::AnsweredMulti, Effects::default());
    }

    /// A connection whose first request is the client's own `AUTH` or `HELLO`; only then does the proxy set it up.
    pub fn authenticating(
        then: Vec<u8>,
        set_up: (usize, usize),
        protocol: Protocol,
        database: u32,
    ) -> Self {
        let set_up = set_up.into();
        let mut dedicated = Self {
            phase: Phase::Authenticating { then, set_up },
            made_by: None,
            ..Self::new(&[], (0, 0), protocol, database)
        };
        dedicated.mirror.set_lasting();
        dedicated
    }

    /// Whether the shared connections may serve the client instead: nothing is in flight on this connection, and it has
    /// no state left, except perhaps another database.
    pub fn is_clean(&self) -> bool {
        self.phase == Phase::Open
            && self.set_up.is_done()
            && self.expectations.is_empty()
            && self.to_redis.is_empty()
            && self.frames.is_between()
            && self.mirror.is_neutral()
            && !matches!(self.mode, Mode::OneRequest)
    }

    /// Whether requests for another node may use the shared connections meanwhile, because the client only listens for
    /// messages here.
    pub fn only_listens(&self) -> bool {
        self.phase == Phase::Open
            && self.set_up.is_done()
            && self.mirror.only_listens()
            && matches!(self.mode, Mode::Held)
    }

    /// The requests that set the connection up, unless the client's own `AUTH` or `HELLO` was among them, and its
    /// initial database.
    pub fn made_by(&self) -> Option<(&[u8], u32)> {
        let (requests, database) = self.made_by.as_ref()?;
        Some((requests, *database))
    }

    /// Whether the client's next request may be passed on: it depends on no reply, and not too much is in flight.
    pub fn takes_requests(&self, most_owed: usize, rest: Rest) -> bool {
        self.mode.takes(self.expectations.len())
            && self.to_redis.len() < most_owed
            && self.expectations.cost() < IN_FLIGHT_MAX
            && (!self.edits.is_full() || self.mirror.queues())
            && match self.phase {
                Phase::Authenticating { .. } => self.expectations.is_empty(),
                Phase::Closing => false,
                Phase::Open | Phase::Unparsed | Phase::Stream { .. } => !self.holds_back(rest),
            }
    }

    /// Whether the newest request decides if those after it reach Redis at all. Once the client has sent its last byte,
    /// the requests after one that blocks are no longer held back: only Redis knows whether it notices the client's end
    /// before it continues.
    pub fn holds_back(&self, rest: Rest) -> bool {
        let all_goes = rest == Rest::Here && self.is_blocked();
        let newest = self.expectations.back();
        newest.is_some_and(|newest| {
            newest.kind.holds_back() || Some(newest.kind) == self.last && !all_goes
        })
    }

    /// The bytes buffered for the connection.
    pub fn held(&self) -> usize {
        self.to_redis.held() + self.expectations.cost()
    }

    /// Whether the client's bytes are passed on without being parsed.
    pub fn is_unparsed(&self) -> bool {
        matches!(self.phase, Phase::Unparsed | Phase::Stream { .. })
    }

    /// Whether Redis replies to requests on this connection.
    fn expects_replies(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Authenticating { .. })
    }

    /// Whether every request is answered. Always false if Redis sends no replies on the connection, or is about to
    /// close it.
    pub fn is_quiet(&self) -> bool {
        self.expects_replies() && self.expectations.is_empty()
    }

    /// Whether the client is blocked at Redis.
    pub fn is_blocked(&self) -> bool {
        let waits = |oldest: &Expectation| {
            oldest.effects.blocks && (oldest.kind == Kind::Exec || !self.mirror.queues())
        };
        self.expectations.front().is_some_and(waits)
            && self.expects_replies()
            && self.set_up.is_done()
    }

    /// Whether the client is in a transaction, or waits for a reply.
    pub fn is_busy(&self) -> bool {
        self.mirror.queues() || !self.expectations.is_empty() || !self.to_redis.is_empty()
    }

    /// Whether the client may be connected just to receive messages.
    pub fn is_listening(&self) -> bool {
        self.mirror.listens() || matches!(self.phase, Phase::Stream { .. })
    }

    /// Whether the client's end of input must be passed on to Redis at once, because it ends a blocking request.
    /// Otherwise every request gets its reply first.
    pub fn passes_end_on(&self) -> bool {
        self.is_blocked() || !self.expects_replies()
    }

    /// Whether the command of this name has to wait until the connection is set up: Redis does not start replication on
    /// a connection with outstanding replies.
    pub fn is_to_be_set_up_for(&self, name: &[u8]) -> bool {
        let replicates = name.eq_ignore_ascii_case(b"psync") || name.eq_ignore_ascii_case(b"sync");
        replicates && !self.is_set_up()
    }

    /// The effects of the requests that Redis may execute without the proxy seeing a reply, if the connection ends now.
    pub fn in_flight(&self) -> impl Iterator<Item = &Effects> {
        let sent = self.expectations.iter().map(|sent| &sent.effects);
        // Without a request in flight, no `EXEC` is in flight.
        let queued = (!self.expectations.is_empty()).then_some(&self.queued);
        sent.chain(queued)
    }

    /// All state that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + std::fmt::Debug {
        let Self {
            phase,
            set_up,
            expectations,
            mirror,
            queued,
            ..
        } = self;
        (phase, set_up, expectations, mirror, queued)
    }
}
