//! What all clients share: the cache, what Redis is being asked, and what is known of Redis. A request is
//! executed here.

mod commands;
mod freshness;
mod gets;
mod greeting;

use std::net::SocketAddr;
use std::time::Duration;

use super::ClientId;
use super::access::Access;
use super::answer::Hello;
use super::barriers::Barriers;
use super::checks::Checks;
use super::dedicated::{Awaited, Dedicated, Effects, Keys};
use super::identity::Identity;
use super::in_flight::{Caller, InFlight, Waiter};
use super::replies::{Replies, to_reply};
use super::session::WaitsFor;
use super::slow_log::{SlowLog, Words};
use crate::cache::{Cache, Limits, Value};
use crate::clock::Time;
use crate::command::{Cached, Here, NotFound, Row, Table, UNKNOWN, Way};
use crate::metrics::{Metrics, Outcome};
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::status::{Facts, RedisState, Status, Tracking};
use crate::upstream::{Backend, Requests};
use commands::{Names, Renewal};
pub(super) use freshness::{Arrived, Coherence};

pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) in_flight: InFlight,
    /// What requests that block may write.
    awaited: Awaited,
    /// What keeps messages behind the reports of changes before them.
    pub barriers: Barriers,
    requests: Requests,
    /// How many fetches and forwarded requests they are.
    asked: u64,
    pub table: Table,
    /// Names that the table does not hold.
    names: Names,
    renewal: Renewal,
    pub access: Access,
    /// Passwords of clients, as Redis judges them.
    pub checks: Checks,
    pub database: u32,
    pub(super) redis: Redis,
    pub(super) coherence: Coherence,
    /// Whether changes may be on their way that Redis should have reported long ago.
    is_suspended: bool,
    /// How long a value is kept at the most, by what is known of the user's rights.
    longest: Duration,
    /// What that means for hits.
    serving: Serving,
    /// Where Redis was last reached.
    pub(super) address: Option<SocketAddr>,
    /// What Redis reported of itself when it last took the proxy.
    pub(super) backend: Option<Backend>,
    pub metrics: Metrics,
    pub slow_log: SlowLog,
    pub facts: Facts,
}

/// Which entries are served.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Serving {
    /// Those within their time to live.
    Fresh,
    /// While Redis can't be reached, those beyond it too.
    Stale,
    /// None.
    Nothing,
}

/// Whether Redis can be reached.
pub(super) enum Redis {
    /// That is being found out: for the first time, or as it was lost a moment ago.
    Unknown,
    Up,
    Down(Outage),
}

/// Why Redis can't be asked.
pub(super) struct Outage {
    /// The error reply that says so.
    pub error: Reply,
    /// It is Redis that refuses the proxy: who needs it gets that error. Otherwise they are closed.
    pub refused: bool,
}

impl Outage {
    /// Whether Redis refuses the proxy's login, or asks for one: clients may still have a better.
    pub fn refuses_login(&self) -> bool {
        let login = [&b"-NOAUTH "[..], b"-WRONGPASS "];
        let error = self.error.bytes();
        self.refused && login.iter().any(|code| error.starts_with(code))
    }
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
    /// It has to wait, and is to be executed then.
    Wait(WaitsFor),
    /// The client is to be closed at once, without a reply.
    Abort,
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
            barriers: Barriers::default(),
            requests: Requests::default(),
            asked: 0,
            table,
            names: Names::default(),
            renewal: Renewal::None,
            access,
            checks: Checks::default(),
            database,
            redis: Redis::Unknown,
            coherence: Coherence::Unknown,
            is_suspended: false,
            longest: Duration::MAX,
            serving: Serving::Fresh,
            address: None,
            backend: None,
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
            Err(NotFound::WrongArity(refusal) | NotFound::NoName(refusal)) => {
                replies.push_error(&refusal.message);
                self.count(refusal.number, Outcome::Refused, replies);
                return Flow::Continue;
            }
            Err(NotFound::Unknown(name)) if identity.authenticated => {
                return self.execute_unknown(&name, request, identity.protocol, replies, now);
            }
            Err(NotFound::Unknown(_)) => UNKNOWN,
        };
        let way = row.way(request);
        if way == Way::Abort {
            return Flow::Abort;
        }
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
            // What comes behind it may go over another link, where it must not overtake what came before.
            Way::Here(Here::Hello | Here::Reset) if !replies.none_wait() => {
                return Flow::Wait(WaitsFor::Replies);
            }
            Way::Here(command) => {
                flow = self.answer(command, request, identity, replies, now);
                Outcome::Here
            }
            Way::Forward => self.forward(request, 0, &row, caller, replies),
            Way::Upstream => self.forward(request, 1, &row, caller, replies),
            Way::Dedicated | Way::Abort => return Flow::Leave,
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
        if let Redis::Down(outage) = &self.redis {
            replies.push_outage(outage);
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
            && let Redis::Down(outage) = &self.redis
        {
            replies.push_outage(outage);
            return Outcome::Refused;
        }
        self.metrics.keys.hits += (elements.len() - missing.len()) as u64;
        if missing.is_empty() {
            replies.gather(elements, 0, Words::default());
            return Outcome::Hit;
        }
        let cost = missing.iter().map(|(_, key)| ASKED_COST + key.len()).sum();
        let place = replies.gather(elements, cost, self.words(request));
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
        match self.serving {
            Serving::Fresh => self.cache.get(key, now),
            Serving::Stale => self.cache.get_stale(key, now),
            Serving::Nothing => None,
        }
    }

    /// Lets a waiter wait for a key's value: for a fetch that is in flight, or a new one.
    fn fetch(&mut self, key: &[u8], waiter: Waiter) -> Outcome {
        if !self.awaited.contains(key) && self.in_flight.join(key, waiter) {
            self.metrics.keys.coalesced += 1;
            return Outcome::Coalesced;
        }
        self.metrics.missed(key, waiter.caller.since);
        self.in_flight.fetch(key, waiter);
        self.asked += 1;
        let batch = self.requests.of(waiter.caller.protocol);
        // The time to live comes behind: should the key change between the two, the value is not kept too long.
        for start in [&b"*2\r\n$3\r\nGET\r\n"[..], b"*2\r\n$4\r\nPTTL\r\n"] {
            batch.push(true, |out| {
                out.extend_from_slice(start);
                reply::bulk(out, key);
            });
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
        if let Redis::Down(outage) = &self.redis {
            refuse(request, outage, replies);
            return Outcome::Refused;
        }
        let written = self.invalidate_written(request, row.writes);
        let batch = self.requests.of(caller.protocol);
        let before = batch.bytes.len();
        batch.push(row.reads_only, |out| {
            reply::request(out, request.arguments().skip(left_out));
        });
        let length = batch.bytes.len() - before;
        let place = replies.wait(ASKED_COST + length);
        let waiter = Waiter {
            caller,
            place,
            element: None,
        };
        let words = self.words(request);
        self.in_flight.forward(waiter, words, written.as_deref());
        self.asked += 1;
        if row.changes_commands {
            self.checks.forget();
            self.renew_table(caller.protocol);
        }
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
            Redis::Down(outage) if flow == Flow::LeaveToAuthenticate && outage.refuses_login() => {}
            Redis::Down(outage) => {
                replies.push_outage(outage);
                let number = self
                    .table
                    .find(request)
                    .map_or(UNKNOWN.number, |row| row.number);
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

    /// Passes a request on over its client's dedicated connection. What its command is, if that is not known, is asked
    /// over a link.
    pub fn pass_on(
        &mut self,
        dedicated: &mut Dedicated,
        request: &Request<'_>,
        bytes: &[u8],
        link: Protocol,
        now: Time,
    ) -> Flow {
        let (row, bytes) = match self.row_to_pass_on(request, bytes, link, now) {
            Ok(found) => found,
            Err(flow) => return flow,
        };
        self.metrics.commands.add(row.number, Outcome::Dedicated, 1);
        let effects = Effects {
            keys: Keys::of(self.invalidate_written(request, row.writes)),
            blocks: row.blocks && row.way(request) == Way::Dedicated,
            changes_commands: row.changes_commands,
        };
        if effects.blocks {
            self.awaited.add(&effects.keys);
        }
        let name = self.table.own_name(request.argument(0));
        dedicated.pass(request, name, &bytes, effects);
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
                Redis::Down(outage) => RedisState::Down(outage.error.bytes()),
            },
            tracking: match &self.coherence {
                Coherence::Unknown => Tracking::Unknown,
                Coherence::Tracking => Tracking::On,
                Coherence::Lost | Coherence::Missing => Tracking::Lost,
                Coherence::TimeToLive { refused: None } => Tracking::Off,
                Coherence::TimeToLive {
                    refused: Some(words),
                } => Tracking::Refused(words),
            },
            hello: self
                .backend
                .as_ref()
                .map_or(&[], |backend| &backend.hello[0]),
            database: self.database,
            now,
        }
    }

    pub fn requests(&mut self) -> &mut Requests {
        let asked = std::mem::take(&mut self.asked);
        if asked > 0 {
            self.metrics.batch.add(asked);
        }
        &mut self.requests
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn expire(&mut self, now: Time) -> usize {
        self.cache.expire(now)
    }
}

/// Redis can't be asked: the client is closed as by Redis itself, or gets Redis's refusal. But what libraries say of
/// themselves as they connect (`CLIENT SETINFO` and what is to come) is not to cost a client its hits.
fn refuse(request: &Request<'_>, outage: &Outage, replies: &mut Replies) {
    match request.argument(0).eq_ignore_ascii_case(b"client") {
        true => replies.push_error_of(outage),
        false => replies.push_outage(outage),
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
