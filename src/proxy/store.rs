//! What all clients share: the cache, what Redis is being asked, and what is known of Redis. A request is
//! executed here.

mod freshness;
mod greeting;

use std::rc::Rc;

use super::ClientId;
use super::access::Access;
use super::identity::Identity;
use super::in_flight::{InFlight, Waiter, Waiters};
use super::own::Own;
use super::replies::{Replies, to_reply};
use super::rule::{Rule, obeys};
use super::session::WaitsFor;
use crate::cache::{Cache, Limits, Value};
use crate::clock::Time;
use crate::command::{Cached, Here, Row, Table, Way, written};
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::upstream::{Backend, Batch};
pub(super) use freshness::Coherence;

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
