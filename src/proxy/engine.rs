//! The state that all clients share: the cache, the requests in flight, and what is known of Redis. Requests are
//! executed here.

mod admission;
mod answer;
mod arrive;
mod asks;
mod cluster;
mod commands;
mod databases;
mod describe;
mod fields;
mod flow;
mod forward;
mod get;
mod greeting;
mod info;
mod invalidate;
mod keep;
mod large;
mod leave;
mod mget;
mod observed;
mod permits;
mod refetch;
mod scripts;
mod server_events;
mod servers;
mod slots;
mod status;
mod touch;
mod transaction;
mod translate;
mod walks;

use std::rc::Rc;
use std::time::Duration;

use super::ClientId;
use super::access::Access;
use super::barriers::Barriers;
use super::buffers::Buffers;
use super::checks::Checks;
use super::clients::{Numbers, is_stateless, unknown_to_upstream};
use super::dedicated::{Awaited, Loan};
use super::guard::Guards;
use super::hooks::Hooks;
use super::identity::Identity;
use super::in_flight::{Caller, InFlight};
use super::replies::{Cost, Replies};
use super::scripts::Harmless;
use super::slow_log::SlowLog;
use super::waiting::WaitsFor;
use crate::cache::{Cache, Limits};
use crate::clock::Time;
use crate::command::{Cached, Here, NotFound, Row, Table, UNKNOWN, Way};
use crate::config::Config;
use crate::metrics::{Counters, Metrics, Outcome};
use crate::resp::reply::Reply;
use crate::resp::request::Request;
use crate::rules::Rules;
use crate::status::{Facts, MissingRights, RedisInfo, TrackingTable};
use crate::upstream::{NodeId, Requests};
pub(super) use arrive::Arrived;
pub(super) use asks::question_command;
pub(super) use cluster::Cluster;
pub use cluster::Wishes;
use commands::{Names, Renewal};
use databases::Databases;
pub(super) use flow::Flow;
pub(super) use get::is_null;
pub(super) use large::LargeReplies;
pub(super) use leave::{Leave, SetUp};
use refetch::Refetches;
use servers::Server;
pub(super) use servers::{Coherence, Redis, Serving};
use slots::Slots;
pub(super) use touch::Touches;
use walks::Walk;
pub(super) use walks::{Job, KEYS_MAX, Walked};

pub(super) struct Engine {
    pub(super) cache: Cache,
    pub(super) in_flight: InFlight,
    /// The keys that blocking requests in flight may write.
    awaited: Awaited,
    pub refetches: Refetches,
    /// Scripts that do not write.
    pub(super) harmless: Harmless,
    /// The expected length of a fetched reply in bytes, derived from the latest ones.
    value_length: usize,
    /// Holds messages back until earlier changes have been reported.
    pub barriers: Barriers,
    requests: Requests,
    /// Memory for the question about a key.
    question: Vec<u8>,
    /// How many fetches and forwarded requests `requests` contains.
    asked: u64,
    pub table: Table,
    /// The ids of clients and of their dedicated connections.
    pub numbers: Numbers,
    /// The time until which Redis pauses clients that write, as far as the proxy has seen a client request it.
    pub paused_until: Time,
    /// Command names that are not in the table.
    names: Names,
    renewal: Renewal,
    pub access: Access,
    /// What clients may do.
    pub guards: Guards,
    pub hooks: Hooks,
    /// Passwords of clients, as checked with Redis.
    pub checks: Checks,
    pub databases: Databases,
    /// The only server, unless Redis is a cluster.
    only: Server,
    cluster: Option<Cluster>,
    /// The slots that the cache may hold entries of, if Redis is a single node of a cluster.
    slots: Option<Slots>,
    /// How long a missing key is cached at most, if that is configured.
    pub missing_ttl: Option<Duration>,
    /// The fields of Redis's latest `INFO`.
    redis_info: RedisInfo,
    /// Redis's table of tracked keys, if it is full.
    pub(super) full_table: Option<TrackingTable>,
    /// Redis's error while it is busy with a script.
    pub(super) busy: Option<Reply>,
    /// How many of the proxy's own connections Redis tracks keys for.
    pub(super) tracked_links: usize,
    /// The permissions that the proxy's user lacks at Redis.
    pub(super) missing_rights: MissingRights,
    pub metrics: Metrics,
    /// The counters as of their last reset.
    pub reset: Option<Box<Counters>>,
    pub slow_log: SlowLog,
    /// The memory that all clients together hold.
    pub buffers: Buffers,
    pub large: LargeReplies,
    /// The clients whose requests for large replies wait for a permit.
    waiting: permits::Queue,
    /// A walk through the cache for a client.
    pub walk: Option<Box<Walk>>,
    /// A walk has ended, for which other clients may be waiting.
    pub walk_ended: bool,
    pub touches: Touches,
    /// The current settings.
    pub config: Box<Config>,
    /// A client has changed the settings since [`super::Proxy::take_reconfigured`] was last called.
    pub is_reconfigured: bool,
    pub facts: Facts,
}

/// The expected length of a fetched reply before there was one, in bytes.
const LENGTH_AT_FIRST: usize = 256;

/// The memory that a request in flight takes besides its own bytes and those of its reply, in bytes.
const ASKED_COST: usize = 512;

impl Engine {
    pub fn new(limits: Limits, access: Access, database: u32) -> Self {
        Self::with_table(Table::default(), limits, access, database)
    }

    /// An engine with an existing command table.
    pub fn with_table(table: Table, limits: Limits, access: Access, database: u32) -> Self {
        Self {
            cache: Cache::new(limits),
            in_flight: InFlight::default(),
            awaited: Awaited::default(),
            refetches: Refetches::default(),
            harmless: Harmless::default(),
            value_length: LENGTH_AT_FIRST,
            barriers: Barriers::default(),
            requests: Requests::default(),
            question: Vec::new(),
            asked: 0,
            table,
            numbers: Numbers::default(),
            paused_until: Time::default(),
            names: Names::default(),
            renewal: Renewal::None,
            access,
            guards: Guards::default(),
            hooks: Hooks::default(),
            checks: Checks::default(),
            databases: Databases::new(database),
            only: Server::default(),
            cluster: None,
            slots: None,
            missing_ttl: None,
            redis_info: RedisInfo::default(),
            full_table: None,
            busy: None,
            tracked_links: 0,
            missing_rights: MissingRights::default(),
            metrics: Metrics::beside(limits.entries),
            reset: None,
            slow_log: SlowLog::default(),
            buffers: Buffers::default(),
            large: LargeReplies::default(),
            waiting: permits::Queue::default(),
            walk: None,
            walk_ended: false,
            touches: Touches::default(),
            config: Box::new(Config {
                touch: Duration::ZERO,
                ..Config::default()
            }),
            is_reconfigured: false,
            facts: Facts::default(),
        }
    }

    /// Answers a request, or sends it to Redis.
    pub fn execute(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        if identity.multi {
            return self.queue_first(request, identity, replies);
        }
        let row = match self.find(request, identity, replies, now) {
            Ok(row) => row,
            Err(flow) => return flow,
        };
        let way = row.way(request);
        if way == Way::Abort {
            return Flow::Abort;
        }
        if !identity.authenticated && !before_authentication(way) {
            return self.refuse_unauthenticated(request, row.number, replies);
        }
        let mut caller = Caller {
            client,
            protocol: identity.protocol,
            database: identity.database,
            node: NodeId::default(),
            command: row.number,
            since: now,
        };
        if self.cluster.is_some() {
            caller.node = match self.route(request, &row, way, caller, identity, replies) {
                Ok(node) => node,
                Err(flow) => return flow,
            };
        }
        if self.is_large(way, caller, request) {
            return Flow::Borrow(Loan::LargeReply);
        }
        if self.goes_apart(way) {
            return Flow::Borrow(Loan::Any);
        }
        identity.last_command = row.number;
        let (outcome, flow) = match self.go(way, request, &row, caller, identity, replies) {
            Ok(done) => done,
            Err(flow) => return flow,
        };
        // A request for a dedicated connection is counted when it is passed on.
        if matches!(
            flow,
            Flow::Continue | Flow::Alone | Flow::Describe | Flow::End
        ) {
            self.count(row.number, outcome, replies);
        }
        flow
    }

    /// Finds a request's command.
    ///
    /// # Errors
    /// If there is no such command, or the number of arguments is wrong: the request is then refused, or Redis is asked
    /// to describe the command.
    fn find(
        &mut self,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Result<Row, Flow> {
        match self.table.find(request) {
            Ok(row) => Ok(row),
            Err(NotFound::WrongArity(refusal) | NotFound::NoName(refusal)) => {
                replies.push_error(&refusal.message);
                self.count(refusal.number, Outcome::Refused, replies);
                Err(Flow::Continue)
            }
            Err(NotFound::Unknown(name)) if identity.authenticated => {
                Err(self.execute_unknown(&name, request, identity.link(), replies, now))
            }
            Err(NotFound::Unknown(_)) => Ok(UNKNOWN),
        }
    }

    /// Refuses a request whose client must authenticate first.
    fn refuse_unauthenticated(
        &mut self,
        request: &Request<'_>,
        command: u16,
        replies: &mut Replies,
    ) -> Flow {
        // Redis fails a transaction whenever its EXEC is refused.
        replies.push_error(if request.argument(0).eq_ignore_ascii_case(b"exec") {
            b"EXECABORT Transaction discarded because of: NOAUTH Authentication required."
        } else {
            b"NOAUTH Authentication required."
        });
        self.count(command, Outcome::Refused, replies);
        Flow::Continue
    }

    /// Routes a request.
    ///
    /// # Errors
    /// The flow, if the request is not completed here, or is already counted.
    fn go(
        &mut self,
        way: Way,
        request: &Request<'_>,
        row: &Row,
        caller: Caller,
        identity: &mut Identity,
        replies: &mut Replies,
    ) -> Result<(Outcome, Flow), Flow> {
        let outcome = match way {
            // The request would hold up all others.
            Way::Forward | Way::Cached(Cached::Answer { .. })
                if caller.since < self.paused_until && row.waits_for_pause() =>
            {
                return Err(Flow::LeaveToPass);
            }
            Way::Cached(Cached::Get) => self.get(request, caller, replies),
            Way::Cached(Cached::Mget) => {
                self.mget(request, caller, replies).ok_or(Flow::Continue)?
            }
            Way::Cached(Cached::Answer { key, .. }) => {
                self.ask(request, key.into(), row, caller, replies)
            }
            // Later requests may use another link, on which they must not overtake earlier ones.
            Way::Here(Here::Hello | Here::Reset) if !replies.none_wait() => {
                return Err(Flow::Wait(WaitsFor::Replies));
            }
            Way::Here(Here::Select) => self.select(request, &mut identity.database, replies)?,
            Way::Here(Here::Info) => self.info(request, caller, replies),
            Way::Here(command) => {
                let flow = self.answer(command, request, identity, replies, caller.since);
                return Ok((Outcome::Here, flow));
            }
            Way::Upstream if !is_stateless(request) => {
                replies.push_error(&unknown_to_upstream(request));
                Outcome::Refused
            }
            Way::Forward | Way::Upstream => {
                return self.forward_shared(request, row, caller, identity, replies);
            }
            Way::Dedicated if row.passes => return Err(Flow::LeaveToPass),
            Way::Dedicated | Way::Abort => return Err(Flow::Leave),
        };
        Ok((outcome, Flow::Continue))
    }

    /// Counts a request that was handled.
    fn count(&mut self, command: u16, outcome: Outcome, replies: &mut Replies) {
        let outcome = match replies.take_refusal() {
            None => outcome,
            Some(kind) => {
                self.metrics.error(kind);
                Outcome::Refused
            }
        };
        self.metrics.commands.add(command, outcome, 1);
    }

    pub fn requests(&mut self) -> &mut Requests {
        if self.cache.has_read_ahead() {
            self.refresh();
        }
        let asked = std::mem::take(&mut self.asked);
        if asked > 0 {
            self.metrics.batch.add(asked);
        }
        &mut self.requests
    }

    /// Replaces the rules.
    pub fn set_rules(&mut self, rules: Rules) {
        self.in_flight.all_changed();
        self.cache.set_rules(Rc::new(rules));
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn expire(&mut self, now: Time) -> usize {
        self.cache.expire(now)
    }
}

/// The cost of waiting for the reply to a request of so many bytes.
fn cost(length: usize, replies: &Replies) -> Cost {
    Cost {
        held: ASKED_COST + length,
        expected: replies.expected(),
    }
}

/// What a client may request before it is authenticated.
fn before_authentication(way: Way) -> bool {
    matches!(
        way,
        Way::Here(Here::Auth | Here::Hello | Here::Quit | Here::Reset)
    )
}
