//! What all clients share: the cache, what Redis is being asked, and what is known of Redis. A request is
//! executed here.

use std::rc::Rc;
use std::time::Duration;

use super::ClientId;
use super::access::Access;
use super::identity::Identity;
use super::in_flight::{Asked, InFlight, Waiter, Waiters};
use super::own::{Own, Written};
use super::replies::{Replies, to_reply};
use super::rule::{Rule, obeys};
use super::session::WaitsFor;
use crate::cache::{Cache, Limits, Value};
use crate::clock::Time;
use crate::command::{Cached, Here, Row, Table, Way, written};
use crate::resp::Protocol;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply, SHARED_MIN};
use crate::resp::request::Request;
use crate::upstream::{self, Backend, Batch, Invalidated};

pub(super) struct Store {
    pub(super) cache: Cache,
    pub(super) in_flight: InFlight,
    requests: Batch,
    pub table: Table,
    pub access: Access,
    pub database: u32,
    redis: Redis,
    pub(super) coherence: Coherence,
    /// The newest session in which tracking was lost; 0 for none.
    lost_epoch: u64,
    /// A fetched value that is cached when the time to live of its key is known.
    pub(super) until_ttl: Option<(Rc<[u8]>, Reply)>,
    /// What Redis told when it was last reached.
    backend: Option<Backend>,
}

/// Whether Redis can be reached.
enum Redis {
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
    /// It needs a connection of the client's own.
    Leave,
    /// The same, to authenticate there.
    LeaveToAuthenticate,
}

/// What becomes of a client that needs a connection of its own.
pub(super) enum Leave {
    /// It has it.
    With(Box<Own>),
    /// It has to wait.
    Wait(WaitsFor),
    /// It can't have one.
    Error(Reply),
}

/// How cached values are kept from growing old.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Coherence {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis says what changes, in the session of that number.
    Tracking { epoch: u64 },
    /// It did, and does no more.
    Lost,
    /// Only by their time to live.
    TimeToLive,
}

/// A reply of Redis that is to be delivered.
pub(super) struct Arrived {
    /// Those who wait for it; none for what the proxy asked for itself.
    pub waiters: Option<Waiters>,
    /// It is that of a GET.
    pub is_value: bool,
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
            requests: Batch::default(),
            table,
            access,
            database,
            redis: Redis::Unknown,
            coherence: Coherence::Unknown,
            lost_epoch: 0,
            until_ttl: None,
            backend: None,
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
            Err(message) => {
                replies.push_error(&message);
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
            return Flow::Continue;
        }
        match way {
            Way::Cached(Cached::Get) => self.get(request, client, identity.protocol, replies, now),
            Way::Cached(Cached::Mget) => {
                self.mget(request, client, identity.protocol, replies, now)
            }
            Way::Here(command) => return self.answer(command, request, identity, replies, now),
            Way::Forward => self.forward(request, &row, client, identity.protocol, replies),
            Way::Own => return Flow::Leave,
        }
        Flow::Continue
    }

    fn get(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        protocol: Protocol,
        replies: &mut Replies,
        now: Time,
    ) {
        let key = request.argument(1);
        if let Some(value) = self.cached(key, now) {
            replies.push_value(&value, protocol);
        } else if let Redis::Down(error) = &self.redis {
            replies.push(error.clone());
        } else {
            let place = replies.wait(ASKED_COST + key.len());
            self.fetch(
                key,
                Waiter {
                    client,
                    place,
                    element: None,
                    protocol,
                },
            );
        }
    }

    /// Takes from the cache what is there and fetches the rest, key by key in one pipeline: so each is
    /// fetched once, whoever asks for it how.
    fn mget(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        protocol: Protocol,
        replies: &mut Replies,
        now: Time,
    ) {
        let keys = || request.arguments().skip(1);
        if replies.none_wait() && keys().all(|key| self.cached(key, now).is_some()) {
            replies.push_array_header(request.len() - 1);
            for key in keys() {
                if let Some(value) = self.cached(key, now) {
                    replies.push_value(&value, protocol);
                }
            }
            return;
        }
        let elements: Vec<Option<Reply>> = keys()
            .map(|key| {
                self.cached(key, now)
                    .map(|value| to_reply(&value, protocol))
            })
            .collect();
        let missing: Vec<(usize, &[u8])> = keys()
            .enumerate()
            .filter(|&(index, _)| elements[index].is_none())
            .collect();
        if !missing.is_empty()
            && let Redis::Down(error) = &self.redis
        {
            replies.push(error.clone());
            return;
        }
        let cost = missing.iter().map(|(_, key)| ASKED_COST + key.len()).sum();
        let place = replies.gather(elements, cost);
        for (element, key) in missing {
            self.fetch(
                key,
                Waiter {
                    client,
                    place,
                    element: Some(element),
                    protocol,
                },
            );
        }
    }

    /// What the cache has of a key: while Redis can't be reached, that may be stale.
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
    fn fetch(&mut self, key: &[u8], waiter: Waiter) {
        if obeys(Rule::OneFetchForAll) && self.in_flight.join(key, waiter) {
            return;
        }
        let with_ttl = self.coherence == Coherence::TimeToLive;
        self.in_flight.fetch(key, with_ttl, waiter);
        let mut ask = |command: &[u8]| {
            self.requests.push(waiter.protocol, true, |out| {
                reply::request(out, [command, key].into_iter());
            });
        };
        ask(b"GET");
        if with_ttl {
            // Behind it: should the key change between the two, the value is not kept too long.
            ask(b"PTTL");
        }
    }

    fn forward(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        client: ClientId,
        protocol: Protocol,
        replies: &mut Replies,
    ) {
        if let Redis::Down(error) = &self.redis {
            replies.push(error.clone());
            return;
        }
        if obeys(Rule::WritesAreForgotten) {
            self.forget_keys(written(request, row.writes).as_deref());
        }
        let before = self.requests.bytes.len();
        self.requests.push(protocol, row.reads_only, |out| {
            reply::request(out, request.arguments())
        });
        let length = self.requests.bytes.len() - before;
        let place = replies.wait(ASKED_COST + length);
        self.in_flight.forward(Waiter {
            client,
            place,
            element: None,
            protocol,
        });
    }

    /// Sees off a client to a connection of its own, as soon as all that it asked for before is answered.
    pub fn leave(
        &self,
        flow: Flow,
        request: &Request<'_>,
        identity: &Identity,
        replies: &Replies,
    ) -> Leave {
        if !replies.none_wait() {
            return Leave::Wait(WaitsFor::Replies);
        }
        match &self.redis {
            Redis::Unknown => return Leave::Wait(WaitsFor::Redis),
            Redis::Down(error) => return Leave::Error(error.clone()),
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
        // A HELLO that authenticates says itself what is spoken.
        let says_protocol = authenticating && !request.argument(0).eq_ignore_ascii_case(b"auth");
        let (required, optional) = identity.write_set_up(&mut requests, !says_protocol);
        set_up = (set_up.0 + required, optional);
        Leave::With(Box::new(if authenticating {
            Own::authenticating(requests, set_up, identity.protocol)
        } else {
            Own::new(&requests, set_up, identity.protocol)
        }))
    }

    /// Passes a request on over its client's own connection.
    pub fn pass_on(&mut self, own: &mut Own, request: &Request<'_>, bytes: &[u8]) -> Flow {
        let keys = written(request, self.table.writes(request));
        self.forget_keys(keys.as_deref());
        own.pass(request, bytes, keys);
        Flow::Continue
    }

    /// These keys are being written; `None` stands for perhaps any.
    fn forget_keys(&mut self, keys: Option<&[&[u8]]>) {
        match keys {
            Some(keys) => keys.iter().for_each(|key| self.forget(key)),
            None => self.forget_all(),
        }
    }

    /// What a client writes on a connection of its own.
    pub fn forget_written(&mut self, written: &Written) {
        if written.all {
            self.forget_all();
        } else {
            written.keys.iter().for_each(|key| self.forget(key));
        }
    }

    /// Redis says what changed.
    pub fn invalidate(&mut self, invalidated: &Invalidated) {
        if !obeys(Rule::InvalidationsAreHeard) {
            return;
        }
        if invalidated.all {
            self.forget_all();
        } else {
            invalidated.keys.iter().for_each(|key| self.forget(key));
        }
    }

    /// Redis no longer says what changes: what is fetched from now on is not cached. What is cached is
    /// served until Redis is reached again.
    pub fn tracking_lost(&mut self, epoch: u64) {
        self.lost_epoch = self.lost_epoch.max(epoch);
        let this = self.coherence == (Coherence::Tracking { epoch });
        if (this || !obeys(Rule::SessionsAreToldApart)) && obeys(Rule::NothingIsCachedUntracked) {
            self.coherence = Coherence::Lost;
        }
    }

    /// A key changed: neither what is cached of it nor what is on its way is good any more.
    fn forget(&mut self, key: &[u8]) {
        if obeys(Rule::ChangedKeysLeaveTheCache) {
            self.cache.remove(key);
        }
        self.in_flight.changed(key);
        if obeys(Rule::ValuesInWaitingAreForgotten) {
            self.until_ttl.take_if(|(fetched, _)| **fetched == *key);
        }
    }

    fn forget_all(&mut self) {
        if obeys(Rule::FlushesEmptyTheCache) {
            self.cache.clear();
        }
        if obeys(Rule::FlushesReachFetches) {
            self.in_flight.all_changed();
        }
        self.until_ttl = None;
    }

    /// Redis answered the oldest request. What is worth it is cached.
    pub fn arrived(&mut self, encoded: &[u8], now: Time) -> Option<Arrived> {
        let shared = (encoded.len() >= SHARED_MIN).then(|| Rc::from(encoded));
        let fetch = match self.in_flight.answered()? {
            Asked::Fetch(fetch) => fetch,
            Asked::TimeToLive => {
                self.ttl_arrived(encoded, now);
                return Some(Arrived {
                    waiters: None,
                    is_value: false,
                    shared: None,
                });
            }
            Asked::Forward(waiter) => {
                return Some(Arrived {
                    waiters: Some(waiter.into()),
                    is_value: false,
                    shared,
                });
            }
        };
        if fetch.fresh {
            match self.coherence {
                Coherence::Tracking { .. } => {
                    self.keep(&fetch.key, encoded, shared.as_ref(), Duration::MAX, now)
                }
                Coherence::TimeToLive if fetch.with_ttl => {
                    let reply = shared.as_ref().map_or_else(
                        || Reply::copy(encoded),
                        |shared| Reply::Shared(Rc::clone(shared)),
                    );
                    self.until_ttl = Some((fetch.key, reply));
                }
                Coherence::TimeToLive | Coherence::Unknown | Coherence::Lost => {}
            }
        }
        Some(Arrived {
            waiters: Some(fetch.waiters),
            is_value: true,
            shared,
        })
    }

    /// Caches the value that a reply to GET holds, if it holds one.
    fn keep(
        &mut self,
        key: &[u8],
        encoded: &[u8],
        shared: Option<&Rc<[u8]>>,
        ttl: Duration,
        now: Time,
    ) {
        let value = match (reply::bulk_value(encoded), shared) {
            (Some(_), Some(shared)) => Value::Shared(shared),
            (Some(bytes), None) => Value::Bytes(bytes),
            // Redis tells when such a key comes to be.
            (None, _) if is_null(encoded) => Value::Missing,
            (None, _) if obeys(Rule::ErrorsAreNotCached) => return,
            (None, _) => Value::Missing,
        };
        if !obeys(Rule::MissingKeysNeedTracking)
            || value != Value::Missing
            || matches!(self.coherence, Coherence::Tracking { .. })
        {
            self.cache.insert_for(key, &value, ttl, now);
        }
    }

    /// Redis said how long the key that was fetched last has to live: its value does not outlive it.
    fn ttl_arrived(&mut self, encoded: &[u8], now: Time) {
        let Some((key, value)) = self.until_ttl.take() else {
            return;
        };
        let ttl = match Reader::new(encoded).number() {
            Some(-1) => Duration::MAX,
            Some(milliseconds @ 1..) => Duration::from_millis(milliseconds.unsigned_abs()),
            // It is gone already, or Redis does not say.
            _ => return,
        };
        let shared = if let Reply::Shared(shared) = &value {
            Some(shared)
        } else {
            None
        };
        self.keep(&key, value.bytes(), shared, ttl, now);
    }

    /// Redis can be reached, and told of itself. What was cached under other tracking can't be vouched
    /// for any more.
    pub fn up(&mut self, backend: &Backend, coherence: &upstream::Coherence) {
        if let Some(specs) = &backend.commands {
            self.table = Table::new(specs);
        }
        let coherence = match coherence {
            upstream::Coherence::Tracking { epoch }
                if *epoch > self.lost_epoch || !obeys(Rule::LossesAreRemembered) =>
            {
                Coherence::Tracking { epoch: *epoch }
            }
            // It was lost before this could be told.
            upstream::Coherence::Tracking { .. } => Coherence::Lost,
            upstream::Coherence::TimeToLive { .. } => Coherence::TimeToLive,
        };
        let was_or_is_tracked =
            self.coherence != Coherence::TimeToLive || coherence != Coherence::TimeToLive;
        if was_or_is_tracked && obeys(Rule::NewSessionsStartEmpty) {
            self.cache.clear();
        }
        self.coherence = coherence;
        self.until_ttl = None;
        self.backend = Some(backend.clone());
        self.redis = Redis::Up;
    }

    /// Redis can't be reached: `error` is what those hear who need it.
    pub fn down(&mut self, error: &[u8]) {
        self.redis = Redis::Down(Reply::copy(error));
    }

    pub fn backend(&self) -> Option<&Backend> {
        self.backend.as_ref()
    }

    /// The reply to `HELLO`: Redis's own, with the number of this client.
    pub fn greeting(&self, protocol: Protocol, id: u64) -> Reply {
        let told = self.backend.as_ref().map(|backend| match protocol {
            Protocol::Resp2 => &backend.hello[0],
            Protocol::Resp3 => &backend.hello[1],
        });
        let greeting = told
            .filter(|told| told.len() > 1)
            .map_or_else(|| unmet(protocol), |told| told.clone());
        Reply::copy(&with_id(&greeting, id))
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

/// What is said for a Redis that was never reached.
fn unmet(protocol: Protocol) -> Vec<u8> {
    let header: &[u8] = match protocol {
        Protocol::Resp2 => b"*14\r\n",
        Protocol::Resp3 => b"%7\r\n",
    };
    let mut greeting = header.to_vec();
    for text in ["server", "redis", "version", "7.0.0", "proto"] {
        reply::bulk(&mut greeting, text.as_bytes());
    }
    greeting.extend_from_slice(format!(":{}\r\n", protocol.number()).as_bytes());
    reply::bulk(&mut greeting, b"id");
    greeting.extend_from_slice(b":0\r\n");
    for text in ["mode", "standalone", "role", "master", "modules"] {
        reply::bulk(&mut greeting, text.as_bytes());
    }
    greeting.extend_from_slice(b"*0\r\n");
    greeting
}

/// The greeting with another number as the connection's.
fn with_id(greeting: &[u8], id: u64) -> Vec<u8> {
    const FIELD: &[u8] = b"$2\r\nid\r\n:";
    let Some(at) = greeting
        .windows(FIELD.len())
        .position(|window| window == FIELD)
    else {
        return greeting.to_vec();
    };
    let (before, after) = greeting.split_at(at + FIELD.len());
    let digits = after
        .iter()
        .take_while(|byte| byte.is_ascii_digit())
        .count();
    [before, id.to_string().as_bytes(), &after[digits..]].concat()
}

/// Whether Redis's reply to GET says that there is no such key, in either version of the protocol.
pub(super) fn is_null(encoded: &[u8]) -> bool {
    matches!(encoded, b"$-1\r\n" | b"_\r\n")
}
