//! The core: executes clients' requests, returns replies in order, and decides what to request from Redis.
//!
//! It is a state machine without sockets, threads or a clock of its own. The shell calls [`Proxy::receive`] with the
//! bytes of a client and [`Proxy::upstream`] with what the helper thread reports; then it sends the contents of
//! [`Proxy::requests`] to Redis and those of [`Proxy::output`] to each client named by [`Proxy::next_changed`]. Time
//! comes in as an argument.
//!
//! # The path of a request
//!
//! 1. `receive` takes the bytes, and `run` executes the requests in them one by one.
//! 2. `admission` decides whether a request is executed, if there are hooks or its client has a `guard`.
//! 3. `engine`, the state that all clients share, executes it: `engine::get` and `engine::asks` answer hits from the
//!    cache, `engine::answer` has the commands that the proxy answers itself, and `engine::forward` sends all others to
//!    Redis. Requests that Redis has not answered yet are in `in_flight`.
//! 4. `events` takes what the helper thread reports. `engine::arrive` matches a reply with its request, `engine::keep`
//!    caches it, and `deliver` brings it to the clients that wait for it. `engine::invalidate` removes what has
//!    changed.
//! 5. `replies` keeps the replies of a client in order; `output` lists the clients whose replies are ready to be sent.
//!
//! A client that needs a dedicated connection to Redis takes another path, through `dedicated` and `from_dedicated`:
//! the shell opens the connection once [`Proxy::dedicated`] returns its output, moves bytes both ways, and closes it
//! once that returns `None`. `clients` translates requests about clients, and `edited` edits Redis's replies to them.
//!
//! A `session` is one client, `lifecycle` its arrival and departure; `buffers` and `limits` bound what clients hold.

mod access;
mod admin;
mod admission;
mod barriers;
mod buffers;
mod caller;
mod checks;
mod client_lines;
mod clients;
mod dedicated;
mod dedicated_socket;
mod deliver;
mod edited;
mod ending;
mod engine;
mod events;
#[cfg(test)]
mod explorer;
mod from_dedicated;
mod guard;
mod hello;
mod hooks;
mod identity;
mod in_flight;
mod input;
mod lifecycle;
mod limits;
mod outage;
mod output;
mod parked;
mod permits;
mod receive;
mod replies;
mod run;
mod script_digest;
mod scripts;
mod session;
mod settings;
mod slow_log;
mod spare;
mod waiting;
mod work;

pub use access::Access;
pub use ending::Ending;
pub use engine::Wishes;
pub use identity::Peer;

use crate::cache::{self, Cache};
use crate::clock::Time;
use crate::metrics::Metrics;
use crate::resp::request::Spans;
use crate::status::Status;
use crate::upstream::{Check, Requests};
use deliver::Undelivered;
use engine::Engine;
use session::Session;
use spare::Spare;

/// A client, by its slot in the shell. The slot of a client that has left is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub usize);

/// The most bytes that may be outstanding for a client (in its output, queued behind a miss, or on their way to Redis)
/// before its further requests have to wait. One request or reply may exceed it.
pub const MAX_OWED: usize = 1024 * 1024;

/// The most bytes that are read from a client at once.
pub const READ: usize = 64 * 1024;

/// The most bytes of a client's requests that are executed in one go, and the most bytes of their replies; then it is
/// the other clients' turn.
const RUN: usize = 64 * 1024;
const RUN_REPLIES: usize = 256 * 1024;

/// The core of the proxy.
pub struct Proxy {
    sessions: Vec<Session>,
    engine: Engine,
    /// The clients to visit: their output has grown, or they may have to be closed.
    changed: Vec<ClientId>,
    /// Empty buffers of outputs that have been sent, for reuse.
    spare: Spare,
    /// Memory for the arguments of requests.
    spans: Spans,
    /// A buffer, empty between calls, for bytes that arrive on a dedicated connection.
    passed: Vec<u8>,
    /// A dedicated connection has delivered a `READONLY` error.
    readonly: bool,
    undelivered: Option<Undelivered>,
}

impl Proxy {
    /// A proxy without clients and with an empty cache, which has not heard from Redis yet. Clients start in
    /// `database`.
    #[must_use]
    pub fn new(limits: cache::Limits, access: Access, database: u32) -> Self {
        Self {
            sessions: Vec::new(),
            engine: Engine::new(limits, access, database),
            changed: Vec::new(),
            spare: Spare::default(),
            spans: Spans::default(),
            passed: Vec::new(),
            readonly: false,
            undelivered: None,
        }
    }

    /// The requests for Redis since the last call. The shell takes them once a turn.
    pub fn requests(&mut self) -> &mut Requests {
        self.engine.requests()
    }

    /// The passwords to check with Redis since the last call.
    pub fn checks(&mut self) -> &mut Vec<Check> {
        self.engine.checks.wanted()
    }

    /// The barrier to request from the helper thread, if one has been wanted since the last call. The shell calls this
    /// once a turn.
    pub fn take_barrier(&mut self) -> Option<u64> {
        self.engine.barriers.take_wanted()
    }

    /// Removes entries that are past their time to live. Returns how many.
    pub fn expire(&mut self, now: Time) -> usize {
        self.engine.expire(now)
    }

    /// The counters; the shell maintains those of the sockets.
    pub fn metrics(&mut self) -> &mut Metrics {
        &mut self.engine.metrics
    }

    /// The current status.
    #[must_use]
    pub fn status(&self, now: Time) -> Status<'_> {
        self.engine.status(now)
    }

    /// The cache, for inspection.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        self.engine.cache()
    }
}
