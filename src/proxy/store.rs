//! What all clients share: the cache, what Redis is being asked, and what is known of Redis. A request is
//! executed here.

mod freshness;
mod gets;
mod greeting;

use std::rc::Rc;

use super::ClientId;
use super::access::Access;
use super::answer::Hello;
use super::dedicated::{Awaited, Dedicated, Keys};
use super::identity::Identity;
use super::in_flight::{Caller, InFlight, Waiter, Waiters};
use super::replies::{Replies, to_reply};
use super::rule::{Rule, obeys};
use super::session::WaitsFor;
use super::slow_log::{SlowLog, Words};
use crate::cache::{Cache, Limits, Value};
use crate::clock::Time;
use crate::command::{Cached, Here, Row, Table, Way, Writes, written};
use crate::metrics::{Metrics, Outcome};
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::status::{Facts, RedisState, Status, Tracking};
use crate::upstream::{Backend, Batch};
pub(super) use freshness::Coherence;

pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) in_flight: InFlight,
    /// What requests that block may write.
    awaited: Awaited,
    requests: Batch,
    pub table: Table,
    pub access: Access,
    pub database: u32,
    pub(super) redis: Redis,
    pub(super) coherence: Coherence,
    /// The newest session in which tracking was lost; 0 for none.
    lost_epoch: u64,
    /// A fetched value that is cached when the time to live of its key is known.
    pub(super) until_ttl: Option<UntilTtl>,
    /// What Redis told when it was last reached.
    pub(super) backend: Option<Backend>,
    /// Why Redis does not say what changes, in its words, if it was asked to and does not.
    pub(super) refused: Option<String>,
    pub metrics: Metrics,
    pub slow_log: SlowLog,
    pub facts: Facts,
}

/// A fetched value that may not outlive its key.
pub(super) struct UntilTtl {
    pub key: Rc<[u8]>,
    pub value: Reply,
    /// When it was asked for: Redis counts the time to live from then or later.
    pub since: Time,
}

/// Whether Redis can be reached.
pub(super) enum Redis {
    /// The first attempt to connect is under way.
    Unknown,
    Up,
    /// The error reply to whoever needs it.
    Down(Reply),
}

/// What becomes of a request, and of the client's next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// It is seen to.
    Continue,
    /// It is, and the client is to be closed when it was sent its replies.
    End,
    /// It needs a dedicated connection.
    Leave,
    /// The same, to authenticate there.
    LeaveToAuthenticate,
}

/// What becomes of a client that needs a dedicated connection.
pub(super) enum Leave {
    /// It has it.
    With(Box<Dedicated>),
    /// It has to wait.
    Wait(WaitsFor),
    /// It can't have one, and is told why.
    Refused,
}

/// A reply of Redis that is to be delivered.
pub(super) struct Arrived {
    /// Those who wait for it; none for what the proxy asked for itself.
    pub waiters: Option<Waiters>,
    /// The key, if its value was asked for.
    pub key: Option<Rc<[u8]>>,
    /// How the slow log would show the request, if it was another.
    pub words: Words,
    /// A long one, in the form in which all who wait share it.
    pub shared: Option<Rc<[u8]>>,
}

/// What waiting for Redis may come to, in bytes, as [`super::MAX_OWED`] counts it, beyond the request: it
/// bounds how many replies of unknown length can be under way to one client.
const ASKED_COST: usize = 1024;

impl Store {
    pub fn new(limits: Limits, access: Access, database: u32) -> Self {
        Self::with_table(Table::default(), limits, access, database)
    }

    /// The same, with a table that is there already.
    pub fn with_table(table: Table, limits: Limits, access: Access, database: u32) -> Self {
        Self {
            cache: Cache::new(limits),
            in_flight: InFlight::default(),
            awaited: Awaited::default(),
            requests: Batch::default(),
            table,
            access,
            database,
            redis: Redis::Unknown,
            coherence: Coherence::Unknown,
            lost_epoch: 0,
            until_ttl: None,
            backend: None,
            refused: None,
            metrics: Metrics::beside(limits.entries),
            slow_log: SlowLog::default(),
            facts: Facts::default(),
        }
    }

    /// Answers a request, or sees to it that Redis does.
    pub fn execute(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        let row = match self.table.find(request) {
            Ok(row) => row,
            Err(wrong) => {
                replies.push_error(&wrong.message);
                self.count(wrong.number, Outcome::Refused, replies);
                return Flow::Continue;
            }
        };
        let way = row.way(request);
        if !identity.authenticated && !before_authentication(way) {
            // Redis has a transaction fail for whatever its EXEC is refused for.
            replies.push_error(if request.argument(0).eq_ignore_ascii_case(b"exec") {
                b"EXECABORT Transaction discarded because of: NOAUTH Authentication required."
            } else {
                b"NOAUTH Authentication required."
            });
            self.count(row.number, Outcome::Refused, replies);
            return Flow::Continue;
        }
        let caller = Caller {
            client,
            protocol: identity.protocol,
            command: row.number,
            since: now,
        };
        let mut flow = Flow::Continue;
        let outcome = match way {
            Way::Cached(Cached::Get) => self.get(request.argument(1), caller, replies),
            Way::Cached(Cached::Mget) => self.mget(request, caller, replies),
            Way::Here(command) => {
                flow = self.answer(command, request, identity, replies, now);
                Outcome::Here
            }
            Way::Forward => self.forward(request, 0, &row, caller, replies),
            Way::Upstream => self.forward(request, 1, &row, caller, replies),
            Way::Dedicated => return Flow::Leave,
        };
        // One that leaves is counted when it is passed on.
        if matches!(flow, Flow::Continue | Flow::End) {
            self.count(row.number, outcome, replies);
        }
        flow
    }

    /// Counts a request that was seen to.
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

    fn get(&mut self, key: &[u8], caller: Caller, replies: &mut Replies) -> Outcome {
        if let Some(value) = self.cached(key, caller.since) {
            replies.push_value(&value, caller.protocol);
            self.metrics.keys.hits += 1;
            return Outcome::Hit;
        }
        self.get_missing(key, caller, replies)
    }

    /// The same, for a key that is not in the cache.
    fn get_missing(&mut self, key: &[u8], caller: Caller, replies: &mut Replies) -> Outcome {
        if let Redis::Down(error) = &self.redis {
            replies.push_unreachable(error);
            return Outcome::Refused;
        }
        let place = replies.wait(ASKED_COST + key.len());
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        self.fetch(key, waiter)
    }

    /// Takes from the cache what is there and fetches the rest, key by key in one pipeline: so each is
    /// fetched once, whoever asks for it how.
    fn mget(&mut self, request: &Request<'_>, caller: Caller, replies: &mut Replies) -> Outcome {
        let now = caller.since;
        let keys = || request.arguments().skip(1);
        if replies.none_wait() && keys().all(|key| self.cached(key, now).is_some()) {
            let count = request.len() - 1;
            replies.push_array_header(count);
            for key in keys() {
                if let Some(value) = self.cached(key, now) {
                    replies.push_value(&value, caller.protocol);
                }
            }
            self.metrics.keys.hits += count as u64;
            return Outcome::Hit;
        }
        let elements: Vec<Option<Reply>> = keys()
            .map(|key| {
                self.cached(key, now)
                    .map(|value| to_reply(&value, caller.protocol))
            })
            .collect();
        let missing: Vec<(u32, &[u8])> = (0..)
            .zip(keys())
            .filter(|&(index, _)| elements[index as usize].is_none())
            .collect();
        if !missing.is_empty()
            && let Redis::Down(error) = &self.redis
        {
            replies.push_unreachable(error);
            return Outcome::Refused;
        }
        self.metrics.keys.hits += (elements.len() - missing.len()) as u64;
        if missing.is_empty() {
            replies.gather(elements, 0, Words::default());
            return Outcome::Hit;
        }
        let cost = missing.iter().map(|(_, key)| ASKED_COST + key.len()).sum();
        let place = replies.gather(elements, cost, self.slow_log.words(request));
        let mut outcome = Outcome::Coalesced;
        for (element, key) in missing {
            let waiter = Waiter {
                caller,
                place,
                element: Some(element),
            };
            if self.fetch(key, waiter) == Outcome::Miss {
                outcome = Outcome::Miss;
            }
        }
        outcome
    }

    /// What the cache has of a key: while Redis can't be reached, that may be stale.
    #[inline]
    fn cached(&mut self, key: &[u8], now: Time) -> Option<Value<'_>> {
        match self.redis {
            Redis::Down(_) => self.cache.get_stale(key, now),
            Redis::Unknown | Redis::Up if obeys(Rule::ExpiredEntriesAreNotServed) => {
                self.cache.get(key, now)
            }
            Redis::Unknown | Redis::Up => self.cache.get(key, Time::default()),
        }
    }

    /// Lets a waiter wait for a key's value: for a fetch that is under way, or a new one.
    fn fetch(&mut self, key: &[u8], waiter: Waiter) -> Outcome {
        if obeys(Rule::OneFetchForAll)
            && !self.awaited.contains(key)
            && self.in_flight.join(key, waiter)
        {
            self.metrics.keys.coalesced += 1;
            return Outcome::Coalesced;
        }
        self.metrics.missed(key, waiter.caller.since);
        let with_ttl = self.coherence == Coherence::TimeToLive;
        self.in_flight.fetch(key, with_ttl, waiter);
        let mut ask = |command: &[u8]| {
            self.requests.push(waiter.caller.protocol, true, |out| {
                reply::request(out, [command, key].into_iter());
            });
        };
        ask(b"GET");
        if with_ttl {
            // Behind it: should the key change between the two, the value is not kept too long.
            ask(b"PTTL");
        }
        Outcome::Miss
    }

    /// Sends a request to Redis, without so many words at its start.
    fn forward(
        &mut self,
        request: &Request<'_>,
        left_out: usize,
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        if let Redis::Down(error) = &self.redis {
            replies.push_unreachable(error);
            return Outcome::Refused;
        }
        if obeys(Rule::WritesAreForgotten) {
            self.forget_request(request, row.writes);
        }
        let before = self.requests.bytes.len();
        self.requests.push(caller.protocol, row.reads_only, |out| {
            reply::request(out, request.arguments().skip(left_out));
        });
        let length = self.requests.bytes.len() - before;
        let place = replies.wait(ASKED_COST + length);
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        self.in_flight.forward(waiter, self.slow_log.words(request));
        Outcome::Forwarded
    }

    /// Sees off a client to a dedicated connection, as soon as all that it asked for before is answered.
    pub fn leave(
        &mut self,
        flow: Flow,
        request: &Request<'_>,
        identity: &Identity,
        replies: &mut Replies,
    ) -> Leave {
        if !replies.none_wait() {
            return Leave::Wait(WaitsFor::Replies);
        }
        match &self.redis {
            Redis::Unknown => return Leave::Wait(WaitsFor::Redis),
            Redis::Down(error) => {
                replies.push_unreachable(error);
                let row = self.table.find(request);
                let number = row.map_or_else(|wrong| wrong.number, |row| row.number);
                self.count(number, Outcome::Refused, replies);
                return Leave::Refused;
            }
            Redis::Up => {}
        }
        let mut requests = Vec::new();
        let mut set_up = (0, 0);
        let authenticating = flow == Flow::LeaveToAuthenticate;
        if !authenticating && let Some(password) = &self.access.redis_password {
            let password = password.expose().as_bytes();
            match &self.access.redis_username {
                Some(user) => {
                    reply::request(
                        &mut requests,
                        [&b"AUTH"[..], user.as_bytes(), password].into_iter(),
                    );
                }
                None => reply::request(&mut requests, [&b"AUTH"[..], password].into_iter()),
            }
            set_up.0 += 1;
        }
        if self.database != 0 {
            let database = self.database.to_string();
            reply::request(
                &mut requests,
                [&b"SELECT"[..], database.as_bytes()].into_iter(),
            );
            set_up.0 += 1;
        }
        // A HELLO that authenticates says itself what is spoken, and perhaps what the client is called.
        let hello = (authenticating && !request.argument(0).eq_ignore_ascii_case(b"auth"))
            .then(|| Hello::parse(request).ok())
            .flatten();
        let with_protocol = hello.is_none();
        let with_name = hello.is_none_or(|hello| !hello.gives_name());
        let (required, optional) = identity.write_set_up(&mut requests, with_protocol, with_name);
        set_up = (set_up.0 + required, optional);
        Leave::With(Box::new(if authenticating {
            Dedicated::authenticating(requests, set_up, identity.protocol)
        } else {
            Dedicated::new(&requests, set_up, identity.protocol)
        }))
    }

    /// Passes a request on over its client's dedicated connection.
    pub fn pass_on(
        &mut self,
        dedicated: &mut Dedicated,
        request: &Request<'_>,
        bytes: &[u8],
    ) -> Flow {
        let (number, writes, blocks) = match self.table.find(request) {
            Ok(row) => {
                let blocks = row.blocks && row.way(request) == Way::Dedicated;
                (row.number, row.writes, blocks)
            }
            Err(wrong) => (wrong.number, Writes::Nothing, false),
        };
        self.metrics.commands.add(number, Outcome::Dedicated, 1);
        self.forget_request(request, writes);
        let keys = Keys::of(written(request, writes));
        if blocks {
            self.awaited.add(&keys);
        }
        dedicated.pass(request, bytes, keys, blocks);
        Flow::Continue
    }

    /// How things are.
    pub fn status(&self, now: Time) -> Status<'_> {
        Status {
            metrics: &self.metrics,
            cache: &self.cache,
            table: &self.table,
            facts: &self.facts,
            redis: match &self.redis {
                Redis::Unknown => RedisState::Unknown,
                Redis::Up => RedisState::Up,
                Redis::Down(error) => RedisState::Down(error.bytes()),
            },
            tracking: match (&self.refused, self.coherence) {
                (Some(words), _) => Tracking::Refused(words),
                (None, Coherence::Unknown) => Tracking::Unknown,
                // Who can't be reached tells nothing, whether that was noticed there or here.
                (None, Coherence::Tracking { .. }) if matches!(self.redis, Redis::Down(_)) => {
                    Tracking::Lost
                }
                (None, Coherence::Tracking { .. }) => Tracking::On,
                (None, Coherence::Lost) => Tracking::Lost,
                (None, Coherence::TimeToLive) => Tracking::Off,
            },
            hello: self
                .backend
                .as_ref()
                .map_or(&[], |backend| &backend.hello[0]),
            database: self.database,
            now,
        }
    }

    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    pub fn requests(&mut self) -> &mut Batch {
        &mut self.requests
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn expire(&mut self, now: Time) -> usize {
        self.cache.expire(now)
    }
}

/// What a client may ask before it is authenticated.
fn before_authentication(way: Way) -> bool {
    matches!(
        way,
        Way::Here(Here::Auth | Here::Hello | Here::Quit | Here::Reset)
    )
}

/// Whether Redis's reply to GET says that there is no such key, in either version of the protocol.
pub(super) fn is_null(encoded: &[u8]) -> bool {
    matches!(encoded, b"$-1\r\n" | b"_\r\n")
}
