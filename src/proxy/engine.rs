//! The state that all clients share: the cache, the requests in flight, and what is known of Redis. Requests are
//! executed here.

mod asks;
mod cluster;
mod commands;
mod databases;
mod fields;
mod freshness;
mod gets;
mod greeting;
mod info;
mod large;
mod leave;
mod mget;
mod observed;
mod permits;
mod refetch;
mod servers;
mod slots;
mod touch;
mod transaction;

use std::rc::Rc;
use std::time::Duration;

use super::ClientId;
use super::access::Access;
use super::barriers::Barriers;
use super::buffers::Buffers;
use super::checks::Checks;
use super::clients::{Edit, Numbers, Sent, is_stateless, unknown_to_upstream};
use super::dedicated::{Awaited, Loan};
use super::guard::Guards;
use super::hooks::Hooks;
use super::identity::Identity;
use super::in_flight::{Asks, Caller, Forward, InFlight, Then, Waiter};
use super::replies::{Cost, Replies};
use super::scripts::Harmless;
use super::session::WaitsFor;
use super::slow_log::SlowLog;
use super::walks::Walk;
use crate::cache::{Cache, Key, Limits, Value};
use crate::clock::Time;
use crate::command::{Cached, Here, NotFound, Row, Table, UNKNOWN, Way, Writes, own};
use crate::config::Config;
use crate::metrics::{Counters, Metrics, Outcome, Why};
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::rules::Rules;
use crate::status::{Facts, MissingRights, RedisInfo, Status, TrackingTable};
use crate::upstream::{Batch, NodeId, Requests};
pub(super) use asks::question_command;
pub(super) use cluster::Cluster;
pub use cluster::Wishes;
pub(super) use cluster::join;
use commands::{Names, Renewal};
use databases::Databases;
pub(super) use freshness::{Arrived, Coherence};
pub(super) use greeting::with_id;
pub(super) use large::LargeReplies;
pub(super) use leave::{Leave, SetUp};
pub(super) use mget::LongMget;
pub(super) use permits::Permit;
use refetch::Refetches;
use servers::Server;
use slots::Slots;
pub(super) use touch::Touches;

pub(super) struct Engine {
    pub(super) cache: Cache,
    pub(super) in_flight: InFlight,
    /// The keys that blocking requests may write.
    awaited: Awaited,
    pub refetches: Refetches,
    /// Scripts that do not write.
    pub(super) harmless: Harmless,
    /// The expected length of a fetched reply, from the latest ones, in bytes.
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
    /// Until then, Redis pauses clients that write, as far as the proxy has seen it requested.
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
    /// How many of the proxy's own connections it tracks keys for.
    pub(super) tracked_links: usize,
    /// The permissions that the proxy's user lacks there.
    pub(super) missing_rights: MissingRights,
    pub metrics: Metrics,
    /// The counters as of their last reset.
    pub reset: Option<Box<Counters>>,
    pub slow_log: SlowLog,
    /// The memory that all clients together hold.
    pub buffers: Buffers,
    pub large: LargeReplies,
    /// The clients whose requests with large replies are to be sent.
    waiting: permits::Queue,
    /// A walk through the cache for a client.
    pub walk: Option<Box<Walk>>,
    /// A walk has ended, and other clients may be waiting for that.
    pub walk_ended: bool,
    pub touches: Touches,
    /// The current settings.
    pub config: Box<Config>,
    /// A client has changed the settings since this was last asked.
    pub is_reconfigured: bool,
    pub facts: Facts,
}

/// Which entries may be served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Serving {
    /// Those within their time to live.
    Fresh,
    /// While Redis is unreachable, stale ones too.
    Stale,
    /// None.
    Nothing,
}

/// Whether Redis is reachable.
pub(super) enum Redis {
    /// Not known yet, at first or because it was lost a moment ago.
    Unknown,
    Up,
    Down(Outage),
}

/// Why Redis can't be asked.
pub(super) struct Outage {
    /// The error reply that says why.
    pub error: Reply,
    /// Redis is reachable but refuses the proxy: clients that need it get that error. Otherwise they are closed.
    pub refused: bool,
}

impl Outage {
    /// Whether Redis refuses the proxy's login, or requires one: clients may have a valid one.
    pub fn refuses_login(&self) -> bool {
        let login = [&b"-NOAUTH "[..], b"-WRONGPASS "];
        let error = self.error.bytes();
        self.refused && login.iter().any(|code| error.starts_with(code))
    }
}

/// What happens to a request, and to the client's next one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It is handled.
    Continue,
    /// It is handled, and the client is to be closed once its replies are sent.
    End,
    /// It needs a dedicated connection.
    Leave,
    /// The same, to authenticate there.
    LeaveToAuthenticate,
    /// The same, for this request only.
    LeaveToPass,
    /// It is handled, and the client's next request waits for its reply.
    Alone,
    /// The client is to be described to itself.
    Describe,
    /// It needs a dedicated connection until it is answered.
    Borrow(Loan),
    /// It has to wait, and is executed then.
    Wait(WaitsFor),
    /// The client is to be closed at once, without a reply.
    Abort,
}

/// The expected length of a fetched reply before there was one, in bytes.
const LENGTH_AT_FIRST: usize = 256;

/// The memory that a request in flight takes in addition to its own bytes and those of its reply, in bytes.
const ASKED_COST: usize = 512;

impl Engine {
    pub fn new(limits: Limits, access: Access, database: u32) -> Self {
        Self::with_table(Table::default(), limits, access, database)
    }

    /// The same, with an existing table.
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
        let row = match self.table.find(request) {
            Ok(row) => row,
            Err(NotFound::WrongArity(refusal) | NotFound::NoName(refusal)) => {
                replies.push_error(&refusal.message);
                self.count(refusal.number, Outcome::Refused, replies);
                return Flow::Continue;
            }
            Err(NotFound::Unknown(name)) if identity.authenticated => {
                return self.execute_unknown(&name, request, identity.link(), replies, now);
            }
            Err(NotFound::Unknown(_)) => UNKNOWN,
        };
        let way = row.way(request);
        if way == Way::Abort {
            return Flow::Abort;
        }
        if !identity.authenticated && !before_authentication(way) {
            // Redis fails a transaction whenever its EXEC is refused.
            replies.push_error(if request.argument(0).eq_ignore_ascii_case(b"exec") {
                b"EXECABORT Transaction discarded because of: NOAUTH Authentication required."
            } else {
                b"NOAUTH Authentication required."
            });
            self.count(row.number, Outcome::Refused, replies);
            return Flow::Continue;
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
        let mut flow = Flow::Continue;
        let outcome = match way {
            // It would hold up all others.
            Way::Forward | Way::Cached(Cached::Answer { .. })
                if now < self.paused_until && row.waits_for_pause() =>
            {
                return Flow::LeaveToPass;
            }
            Way::Cached(Cached::Get) => self.get(request, caller, replies),
            Way::Cached(Cached::Mget) => match self.mget(request, caller, replies) {
                Some(outcome) => outcome,
                None => return Flow::Continue,
            },
            Way::Cached(Cached::Answer { key, .. }) => {
                self.ask(request, key.into(), &row, caller, replies)
            }
            // Later requests may go over another link, where they must not overtake earlier ones.
            Way::Here(Here::Hello | Here::Reset) if !replies.none_wait() => {
                return Flow::Wait(WaitsFor::Replies);
            }
            Way::Here(Here::Select) => {
                match self.select(request, &mut identity.database, replies) {
                    Ok(outcome) => outcome,
                    Err(flow) => return flow,
                }
            }
            Way::Here(Here::Info) => self.info(request, caller, replies),
            Way::Here(command) => {
                flow = self.answer(command, request, identity, replies, now);
                Outcome::Here
            }
            Way::Upstream if !is_stateless(request) => {
                replies.push_error(&unknown_to_upstream(request));
                Outcome::Refused
            }
            Way::Forward | Way::Upstream => {
                let mut sent = match self.translate_for_shared(&row, request) {
                    Ok(sent) => sent,
                    Err(flow) => return flow,
                };
                if identity.guard.is_some() {
                    sent.edit = self.take_prefix(sent.edit, request, identity);
                }
                // It may kill the client itself.
                if let Some(Edit::Kill(_)) = sent.edit {
                    flow = Flow::Alone;
                }
                if let Way::Cached(_) = row.way {
                    self.metrics.uncached.add(row.number, Why::Keys);
                }
                self.forward(request, sent, &row, caller, replies)
            }
            Way::Dedicated if row.passes => return Flow::LeaveToPass,
            Way::Dedicated | Way::Abort => return Flow::Leave,
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

    /// Whether a request must use a dedicated connection because its reply is large.
    fn is_large(&mut self, way: Way, caller: Caller, request: &Request<'_>) -> bool {
        if self.large.is_empty() || self.server(caller.node).outage().is_some() {
            return false;
        }
        match way {
            Way::Cached(Cached::Get | Cached::Mget) => {
                let mut keys = request.arguments().skip(1);
                keys.any(|key| {
                    self.is_large_value(key) && self.cached(caller.key(key), caller.since).is_none()
                })
            }
            Way::Cached(Cached::Answer { key, .. }) => {
                self.has_large_reply(way, caller.command, request)
                    && !self.has_answer(request, key.into(), caller)
            }
            _ => self.has_large_reply(way, caller.command, request),
        }
    }

    /// Whether a request must use a dedicated connection because its reply may break the shared one: its length is
    /// unknown, or the request can't be retried.
    fn goes_apart(&self, way: Way) -> bool {
        way == Way::Forward && self.large.is_limited() && self.any_server().outage().is_none()
    }

    /// Whether Redis's earlier reply to a request on a shared connection was large.
    fn has_large_reply(&self, way: Way, command: u16, request: &Request<'_>) -> bool {
        let expects = |position| {
            self.large
                .contains(self.large.hash(command, request, position))
        };
        match way {
            _ if self.large.is_empty() => false,
            Way::Forward => expects(1),
            Way::Cached(Cached::Get | Cached::Mget) => {
                let mut keys = request.arguments().skip(1);
                keys.any(|key| self.is_large_value(key))
            }
            Way::Cached(Cached::Answer { key, .. }) => expects(key.into()),
            _ => false,
        }
    }

    /// Whether the value of a key is so large that it must come over a dedicated connection.
    fn is_large_value(&self, key: &[u8]) -> bool {
        !self.large.is_empty() && self.large.contains(self.large.hash_of(Table::GET, key))
    }

    /// The same for a request of a client that already borrows such a connection for a large reply.
    #[inline(never)]
    pub fn is_large_too(&mut self, request: &Request<'_>, caller: Caller) -> bool {
        let Ok(row) = self.table.find(request) else {
            return false;
        };
        let caller = Caller {
            command: row.number,
            ..caller
        };
        self.is_large(row.way(request), caller, request)
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

    fn get(&mut self, request: &Request<'_>, caller: Caller, replies: &mut Replies) -> Outcome {
        let key = request.argument(1);
        if let Some(value) = self.cached_for(replies, caller.key(key), caller.since) {
            replies.push_value(&value, caller.protocol);
            self.metrics.keys.hits += 1;
            return Outcome::Hit;
        }
        self.get_missing(request.argument(0), key, caller, replies)
    }

    /// The same, for a key that is not in the cache. `name` is the client's spelling of GET.
    fn get_missing(
        &mut self,
        name: &[u8],
        key: &[u8],
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let caller = Caller {
            node: self.node_of(key),
            ..caller
        };
        if let Some(outage) = self.server(caller.node).outage() {
            replies.push_outage(outage);
            return Outcome::Refused;
        }
        let place = replies.wait(cost(key.len(), replies));
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        let may_join = self.may_be_served(replies);
        self.fetch(name, key, may_join, waiter)
    }

    /// The cached value of a key, which may be stale while Redis is unreachable.
    #[inline]
    fn cached(&mut self, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        match self.serving(key.name) {
            Serving::Fresh => self.cache.get(key, now),
            Serving::Stale => self.cache.get_stale(key, now),
            Serving::Nothing => None,
        }
    }

    /// The same, for a client with these replies.
    fn cached_for(&mut self, replies: &Replies, key: Key<'_>, now: Time) -> Option<Value<'_>> {
        if self.may_be_served(replies) {
            self.cached(key, now)
        } else {
            None
        }
    }

    /// Adds a waiter for a key's value: to a fetch in flight, if it may join, or to a new one.
    fn fetch(&mut self, name: &[u8], key: &[u8], may_join: bool, waiter: Waiter) -> Outcome {
        if may_join && !self.awaited.contains(key) && self.in_flight.join(key, None, waiter) {
            self.metrics.keys.coalesced += 1;
            return Outcome::Coalesced;
        }
        self.count_miss(key, waiter.caller);
        self.in_flight.fetch(key, None, waiter);
        self.asked += 1;
        ask_for_value(self.requests.of(waiter.caller.link()), name, key);
        Outcome::Miss
    }

    /// Counts a request for a key that goes to Redis.
    fn count_miss(&mut self, key: &[u8], caller: Caller) {
        let key = caller.key(key);
        let (command, now) = (caller.command, caller.since);
        let is_known = || self.cache.knows(key, now);
        self.metrics.missed(key, command, now, is_known);
    }

    /// Sends a request to Redis.
    fn forward(
        &mut self,
        request: &Request<'_>,
        sent: Sent,
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        if let Some(outage) = self.server(caller.node).outage() {
            refuse(request, outage, replies);
            return Outcome::Refused;
        }
        if self.cluster.is_some() && matches!(row.writes, Writes::Declared(_)) {
            self.spread_script(request, caller);
        }
        let written = self.invalidate_written(request, row.writes);
        let batch = self.requests.of(caller.link());
        let before = batch.bytes.len();
        batch.push(row.reads_only, |out| match &sent.bytes {
            Some(bytes) => out.extend_from_slice(bytes),
            None => reply::request(out, request.arguments()),
        });
        let encoded = &batch.bytes[before..];
        let place = replies.wait(cost(encoded.len(), replies));
        let kept = self.cluster.is_some().then(|| encoded.into());
        let name = self.table.own_name(request.argument(0));
        let words = match sent.bytes {
            Some(_) => self.slow_log.words(request, name),
            None => self.slow_log.words_of(request, name, encoded),
        };
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        let then = match sent.edit {
            Some(edit) => Then::Edit(Box::new(edit)),
            None => Then::Pass,
        };
        let is_script = self.reports_scripts(row.writes);
        if is_script {
            replies.scripts.sent();
        }
        let asks = Some(Asks {
            hash: self.large.hash(row.number, request, 1),
            repeatable: row.reads_only,
        });
        let forward = Forward {
            waiter: Some(waiter),
            words,
            then,
            is_script,
            asks,
            encoded: kept,
            ..Forward::default()
        };
        self.in_flight
            .forward(forward, caller.link(), written.as_deref());
        self.asked += 1;
        if row.changes_commands {
            self.checks.forget();
            self.renew_table(caller.link());
        }
        Outcome::Forwarded
    }

    /// Whether Redis refuses the proxy for lack of a login that clients may have.
    pub fn asks_for_login(&self) -> bool {
        let outage = self.any_server().outage();
        outage.is_some_and(Outage::refuses_login)
    }

    /// Resets the counters that `INFO` shows.
    pub fn reset_counters(&mut self) {
        self.reset = Some(Box::new(Counters::of(&self.metrics, &self.cache)));
    }

    /// The current status.
    pub fn status(&self, now: Time) -> Status<'_> {
        let any = self.any_server();
        let backend = any.backend.as_ref();
        Status {
            metrics: &self.metrics,
            buffers: (self.buffers.held(), self.buffers.limit()),
            cache: &self.cache,
            table: &self.table,
            facts: &self.facts,
            redis: any.state(),
            endpoint: backend.and_then(|backend| backend.endpoint.as_ref()),
            sentinel: backend
                .and_then(|backend| backend.sentinel.as_deref())
                .unwrap_or_default(),
            tracking: any.tracking(),
            hello: backend.map_or(&[], |backend| &backend.hello[0]),
            redis_info: &self.redis_info,
            full_table: self.full_table,
            tracked_links: self.tracked_links,
            missing_rights: self.missing_rights,
            nodes: self.node_statuses(),
            reset: self.reset.as_deref(),
            now,
        }
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

/// Requests a key's value, followed by its time to live: if the key changes between the two, the value is not kept too
/// long.
fn ask_for_value(batch: &mut Batch, name: &[u8], key: &[u8]) {
    batch.push(true, |out| {
        out.extend_from_slice(b"*2\r\n$3\r\n");
        out.extend_from_slice(name);
        out.extend_from_slice(b"\r\n");
        reply::bulk(out, key);
    });
    ask_for_time_to_live(batch, key);
}

/// Requests the time to live of a key.
fn ask_for_time_to_live(batch: &mut Batch, key: &[u8]) {
    batch.push(true, |out| {
        out.extend_from_slice(b"*2\r\n$4\r\n");
        out.extend_from_slice(own::PTTL.as_bytes());
        out.extend_from_slice(b"\r\n");
        reply::bulk(out, key);
    });
}

/// The spelling of GET where no client has chosen one.
const GET: &[u8] = b"GET";

/// The cost of waiting for the reply to a request of so many bytes.
fn cost(length: usize, replies: &Replies) -> Cost {
    Cost {
        held: ASKED_COST + length,
        expected: replies.expected(),
    }
}

/// Redis can't be asked: the client is closed as by Redis itself, or gets Redis's error. But what libraries send about
/// themselves on connecting (`CLIENT SETINFO` and future subcommands) must not cost a client its hits.
fn refuse(request: &Request<'_>, outage: &Outage, replies: &mut Replies) {
    match request.argument(0).eq_ignore_ascii_case(b"client") {
        true => replies.push_error_of(outage),
        false => replies.push_outage(outage),
    }
}

/// What a client may request before it is authenticated.
fn before_authentication(way: Way) -> bool {
    matches!(
        way,
        Way::Here(Here::Auth | Here::Hello | Here::Quit | Here::Reset)
    )
}

/// Whether Redis's reply to GET says that the key does not exist, in either protocol version.
pub(super) fn is_null(encoded: &[u8]) -> bool {
    matches!(encoded, b"$-1\r\n" | b"_\r\n")
}
