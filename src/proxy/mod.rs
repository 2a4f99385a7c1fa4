//! The core: takes requests of clients, returns replies in order, and decides what to ask of Redis in between.
//!
//! It is a state machine without sockets, threads or a clock of its own. The shell calls [`Proxy::receive`] with the
//! bytes of a client and [`Proxy::upstream`] with what the helper thread reports; then it sends the contents of
//! [`Proxy::requests`] to Redis and those of [`Proxy::output`] to each client named by [`Proxy::next_changed`]. Time
//! comes in as an argument.
//!
//! For a client that needs a dedicated connection to Redis, [`Proxy::dedicated`] says so: the shell opens the
//! connection, moves its bytes, and closes it accordingly.

mod access;
mod admin;
mod admission;
mod answer;
mod barriers;
mod buffers;
mod checks;
mod clients;
mod dedicated;
mod deliver;
mod ending;
mod engine;
#[cfg(test)]
mod explorer;
mod fetches;
mod from_dedicated;
mod guard;
mod hello;
mod hooks;
mod identity;
mod in_flight;
mod input;
mod limits;
mod replies;
mod run;
mod script_digest;
mod scripts;
mod session;
mod slow_log;
mod spare;
mod walks;
mod written;

use std::sync::Arc;
use std::time::Duration;

pub use access::Access;
pub use ending::Ending;
pub use identity::Peer;

use crate::cache::{self, Cache};
use crate::clock::Time;
use crate::command::CommandList;
use crate::config::{Config, DatabaseList};
use crate::hooks::Hook;
use crate::metrics::Metrics;
use crate::resp::reply::{Output, Reply};
use crate::resp::request::Spans;
use crate::rules::{Listener, Rules};
use crate::status::{Facts, Status};
use crate::transport::dial::Endpoint;
use crate::upstream::{Check, Event, NodeId, Requests, Tracking};
use admission::Admission;
use deliver::{Room, Undelivered};
pub use engine::Wishes;
use engine::{Cluster, Coherence, Engine};
use hooks::Hooks;
use identity::Identity;
use replies::Replies;
use session::{Session, WaitsFor};
use slow_log::SlowLog;
use spare::Spare;

/// A client, by its slot in the shell. The slot of a client that has left is reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub usize);

/// The most bytes that may be outstanding for a client, in its output, behind a miss, or on their way to Redis, before
/// its further requests wait unexecuted. One request or reply may exceed it.
pub const MAX_OWED: usize = 1024 * 1024;

/// The most bytes that are read from a client at once.
pub const READ: usize = 64 * 1024;

/// The most bytes of a client's requests that are executed in one go, and the most bytes of their replies; then others
/// have their turn.
const RUN: usize = 64 * 1024;
const RUN_REPLIES: usize = 256 * 1024;

/// The core of the proxy.
pub struct Proxy {
    sessions: Vec<Session>,
    engine: Engine,
    /// The clients whose output has grown, or that may have to be closed, since they were last visited.
    changed: Vec<ClientId>,
    /// Empty buffers of outputs that were sent.
    spare: Spare,
    /// Memory for the arguments of requests.
    spans: Spans,
    /// An empty buffer for what comes from a dedicated connection.
    passed: Vec<u8>,
    /// A dedicated connection delivered `READONLY`.
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

    /// Sets whether bytes on a dedicated connection from which the client may learn of others' writes wait until the
    /// cache no longer holds older values. They do by default.
    pub fn set_causal(&mut self, causal: bool) {
        self.engine.barriers.enable(causal);
    }

    /// Sets whether values that are read are fetched again as soon as they change. They are not by default.
    pub fn set_refetch(&mut self, refetch: bool) {
        self.engine.refetches.enable(refetch);
    }

    /// Replaces the rules, and for keys without one the time that a missing key is cached: `None` for as long as any
    /// other entry.
    pub fn set_rules(&mut self, rules: Rules, missing_ttl: Option<Duration>) {
        self.engine.set_rules(rules);
        self.engine.missing_ttl = missing_ttl;
    }

    /// Applies the settings that can be changed while the proxy runs.
    pub fn configure(&mut self, config: &Config) {
        self.engine.configure(config);
        self.assign_guards();
    }

    /// The current settings, if a client has changed them since the last call.
    pub fn take_reconfigured(&mut self) -> Option<&Config> {
        if !std::mem::take(&mut self.engine.is_reconfigured) {
            return None;
        }
        self.assign_guards();
        Some(&self.engine.config)
    }

    /// The current settings.
    #[must_use]
    pub fn config(&self) -> &Config {
        &self.engine.config
    }

    /// When [`Self::work`] next has something to do, unless something happens before.
    #[must_use]
    pub fn work_due(&self) -> Option<Time> {
        self.engine.touches.due(self.engine.metrics.keys.hits)
    }

    /// Sets which databases are cached, beside the one that clients start in. All are by default.
    pub fn set_cached_databases(&mut self, cached: DatabaseList) {
        self.engine.databases.cached = cached;
    }

    /// Sets which commands no client may run.
    pub fn deny_commands(&mut self, commands: CommandList) {
        self.engine.guards.deny(commands);
        self.assign_guards();
    }

    /// Sets the rules about requests.
    pub fn set_request_rules(&mut self, rules: &Rules) {
        self.engine.guards.set_rules(rules);
        self.assign_guards();
    }

    /// Sets the hooks, and how long they may defer a request. `wake`, which may be called from any thread, makes the
    /// shell call [`Self::take_decisions`] soon.
    pub fn set_hooks(
        &mut self,
        hooks: Vec<Box<dyn Hook>>,
        timeout: Duration,
        wake: Arc<dyn Fn() + Send + Sync>,
    ) {
        self.engine.set_hooks(Hooks::new(hooks, timeout, wake));
        self.assign_guards();
    }

    fn assign_guards(&mut self) {
        for session in &mut self.sessions {
            self.engine.assign_guard(&mut session.identity);
        }
    }

    /// Resumes the requests that hooks have decided, or deferred for too long.
    pub fn take_decisions(&mut self, now: Time) {
        while let Some((client, decided, decision)) = self.engine.hooks.next_decided(now) {
            let session = &mut self.sessions[client.0];
            let Some(admission) = session.admission.take_if(|admission| {
                matches!(**admission, Admission::Deferred { ticket, .. } if ticket == decided)
            }) else {
                continue;
            };
            if let Admission::Deferred { hook, so_far, .. } = *admission {
                session.admission = Some(Box::new(Admission::Decided {
                    decision,
                    hook,
                    so_far,
                }));
            }
            if session.waits_for == WaitsFor::Hook {
                session.waits_for = WaitsFor::Nothing;
                self.note_change(client);
            }
        }
    }

    /// When the first deferred request times out.
    #[must_use]
    pub fn decisions_due(&self) -> Option<Time> {
        self.engine.hooks.due()
    }

    /// Sets what `INFO` shows of the world around the core, and how long a slow request takes. Without this call `INFO`
    /// lacks those fields, and no request is slow.
    pub fn describe(&mut self, facts: Facts) {
        self.engine.slow_log = SlowLog::new(facts.slower_than);
        self.engine.facts = facts;
    }

    /// Registers a client in a free slot.
    pub fn connect(&mut self, client: ClientId, peer: Option<Peer>, now: Time) {
        if self.sessions.len() == self.sessions.capacity() {
            // Doubling would reserve much memory for clients that may never connect.
            self.sessions.reserve_exact(self.sessions.len() / 8 + 16);
        }
        while self.sessions.len() <= client.0 {
            let identity = Identity::new(0, false, self.engine.databases.home, now);
            self.sessions
                .push(Session::new(identity, Replies::default()));
        }
        let clients = &mut self.engine.metrics.clients;
        clients.connected += 1;
        clients.total += 1;
        let mut identity = Identity::new(
            clients.total,
            !self.engine.access.is_restricted(),
            self.engine.databases.home,
            now,
        );
        if let Some(Peer::Unix(_)) = peer {
            identity.listener = Listener::UnixSocket;
        }
        identity.peer = peer;
        self.engine.assign_guard(&mut identity);
        self.engine.numbers.connected(identity.id, client);
        self.engine.buffers.add_client();
        self.start_session(client, identity);
    }

    /// Sets the number of a client's socket, for `CLIENT LIST`.
    pub fn note_descriptor(&mut self, client: ClientId, descriptor: i32) {
        self.sessions[client.0].identity.descriptor = descriptor;
    }

    /// Sets the listener that a client connected to.
    pub fn note_listener(&mut self, client: ClientId, listener: Listener) {
        let identity = &mut self.sessions[client.0].identity;
        identity.listener = listener;
        self.engine.assign_guard(identity);
    }

    /// A client has left. What was fetched for it alone is still cached.
    pub fn disconnect(&mut self, client: ClientId, now: Time) {
        self.invalidate_in_flight(client);
        self.engine
            .numbers
            .left(self.sessions[client.0].identity.id);
        self.engine.leave_walk(self.sessions[client.0].identity.id);
        self.wake_if_numbered();
        let clients = &mut self.engine.metrics.clients;
        clients.connected -= 1;
        clients.blocked -= u64::from(self.sessions[client.0].blocked);
        self.start_session(
            client,
            Identity::new(0, false, self.engine.databases.home, now),
        );
        self.engine.buffers.remove_client();
    }

    fn start_session(&mut self, client: ClientId, identity: Identity) {
        let session = &mut self.sessions[client.0];
        let mut replies = std::mem::take(&mut session.replies);
        replies.forget_all();
        self.engine.buffers.change(client, session.held, 0);
        *session = Session {
            changed: session.changed,
            ..Session::new(identity, replies)
        };
    }

    /// Takes bytes that a client has sent, the last of them just now. Its requests are answered, or on their way, when
    /// this returns; the caller then reports to [`Self::end_run`].
    pub fn receive(&mut self, client: ClientId, bytes: &[u8], now: Time) {
        let session = &self.sessions[client.0];
        if session.input.is_empty() && !session.held_back {
            let used = self.run(client, bytes, now);
            if used == bytes.len() {
                // What is outstanding is counted after its socket has taken what it can.
                return;
            }
            self.sessions[client.0].input.extend(&bytes[used..]);
        } else {
            self.sessions[client.0].input.extend(bytes);
            self.sessions[client.0].identity.last_request = now;
            if !self.sessions[client.0].held_back || self.can_resume(client) {
                self.resume(client, now);
            } else {
                // There may be more to read.
                self.note_change(client);
            }
        }
        self.count_held(client);
    }

    /// Resumes requests that were held back, as far as they can be executed now.
    #[inline(never)]
    pub fn resume(&mut self, client: ClientId, now: Time) {
        let mut input = std::mem::take(&mut self.sessions[client.0].input);
        let used = self.run(client, input.rest(), now);
        input.consume(used);
        let session = &mut self.sessions[client.0];
        // The rest of an MGET may also end them.
        if session.replies.ends() {
            return self.end_without_redis(client);
        }
        // An aborted client keeps nothing.
        if !session.is_ending() || session.held_back {
            session.input = input;
        }
        self.count_held(client);
    }

    /// Whether [`Self::end_run`] is to time the requests just handled.
    #[must_use]
    pub fn is_run_timed(&self) -> bool {
        self.engine.metrics.commands.is_run_timed()
    }

    /// The requests just received or resumed were handled in that time.
    pub fn end_run(&mut self, elapsed: Duration) {
        self.engine.metrics.end_run(elapsed);
    }

    /// Nothing more is read from a client: it has closed its side, or the proxy is shutting down.
    pub fn end_of_input(&mut self, client: ClientId, why: Ending) {
        self.sessions[client.0].end(why);
        self.note_change(client);
    }

    /// Whether a client is to be read from now.
    #[must_use]
    pub fn wants_input(&self, client: ClientId) -> bool {
        self.input_room(client) > 0
    }

    /// Whether requests are held back that can be executed now.
    #[must_use]
    pub fn can_resume(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        session.held_back && session.may_run()
    }

    /// Whether a client has been sent all its replies and will send no more requests.
    #[must_use]
    pub fn is_done(&self, client: ClientId) -> bool {
        self.sessions[client.0].is_done()
    }

    /// Whether a client is in the middle of something: a request, a transaction, or waiting for a reply.
    #[must_use]
    pub fn is_busy(&self, client: ClientId) -> bool {
        self.sessions[client.0].is_busy()
    }

    /// Since when a client has been idle, if it is the client's turn: it waits for no reply and for no messages.
    #[must_use]
    pub fn silent_since(&self, client: ClientId) -> Option<Time> {
        self.sessions[client.0].silent_since()
    }

    /// Why a client is to be closed, if it is.
    #[must_use]
    pub fn ending(&self, client: ClientId) -> Option<&Ending> {
        self.sessions[client.0].ending.as_ref()
    }

    /// The id that `CLIENT ID` returns, and the client's address.
    #[must_use]
    pub fn peer(&self, client: ClientId) -> (u64, Option<&Peer>) {
        let identity = &self.sessions[client.0].identity;
        (identity.id, identity.peer.as_ref())
    }

    /// Refuses a client that has just connected: it gets this error, and is closed.
    pub fn refuse(&mut self, client: ClientId, error: &str) {
        let session = &mut self.sessions[client.0];
        session.replies.push(Reply::error(error.as_bytes()));
        session.end(Ending::Protected);
        self.engine.metrics.clients.refused += 1;
        self.note_change(client);
    }

    /// The replies that are ready for a client.
    pub fn output(&mut self, client: ClientId) -> &mut Output {
        &mut self.sessions[client.0].replies.output
    }

    /// The client's output was sent as far as its socket takes it: if that was all, its buffer is reused for others.
    pub fn output_sent(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        let slowed = std::mem::replace(&mut session.slowed, session.replies.full());
        if session.slowed && !slowed {
            self.engine.metrics.clients.slowed += 1;
        }
        let output = &mut session.replies.output;
        if output.is_empty() {
            self.spare.put(output.take_buffer());
            if session.still_holds_nothing() {
                return;
            }
        }
        self.count_held(client);
    }

    /// The next client to visit: its output has grown, it needs a dedicated connection or no longer needs it, or it is
    /// done. Each is named once a turn.
    pub fn next_changed(&mut self) -> Option<ClientId> {
        if self.changed.is_empty() {
            self.resume_permitted();
        }
        let client = self.changed.pop()?;
        self.sessions[client.0].changed = false;
        Some(client)
    }

    /// Resumes the clients that may request a large reply.
    fn resume_permitted(&mut self) {
        while let Some(client) = self.engine.next_permitted() {
            let session = &mut self.sessions[client.0];
            if session.waits_for == WaitsFor::Permit {
                session.waits_for = WaitsFor::Nothing;
                return self.note_change(client);
            }
        }
    }

    /// Makes [`Self::next_changed`] name a client again, because its socket is writable again.
    pub fn look_again(&mut self, client: ClientId) {
        self.note_change(client);
    }

    /// The requests for Redis since the last call, which the shell takes once a turn.
    pub fn requests(&mut self) -> &mut Requests {
        self.engine.requests()
    }

    /// The passwords to check with Redis since the last call.
    pub fn checks(&mut self) -> &mut Vec<Check> {
        self.engine.checks.wanted()
    }

    /// The barrier to request from the helper thread, if there is one since the last call, which the shell makes once a
    /// turn.
    pub fn take_barrier(&mut self) -> Option<u64> {
        self.engine.barriers.take_wanted()
    }

    /// The helper thread reports an event of the only server.
    pub fn upstream(&mut self, event: &Event, now: Time) {
        self.upstream_part(NodeId::default(), event, &mut 0, usize::MAX, now);
    }

    /// The same for a node; but delivers only about `most` replies, or errors in their place. `done` counts those of
    /// the event that are handled. Returns whether the event is complete; if not, the rest must come before the next
    /// event.
    pub fn upstream_part(
        &mut self,
        node: NodeId,
        event: &Event,
        done: &mut usize,
        most: usize,
        now: Time,
    ) -> bool {
        // A change may be noticed early, but not late.
        if let Event::Invalidated(invalidated) = event {
            self.engine.invalidate(node, invalidated, now);
            return true;
        }
        let mut room = Room(most);
        self.deliver_rest(&mut room, now);
        let all = match event {
            _ if self.undelivered.is_some() => return false,
            Event::Replies { link, replies } => {
                self.replies(*link, replies, done, &mut room, now);
                replies.len()
            }
            Event::Late { link, count, error } => {
                self.late(*link, *count, error, done, &mut room, now);
                *count
            }
            event => {
                self.take_event(node, event, now);
                return true;
            }
        };
        *done == all && self.undelivered.is_none()
    }

    /// The helper thread reports an event other than replies.
    fn take_event(&mut self, node: NodeId, event: &Event, now: Time) {
        if self.engine.note_replica(node, event) {
            return;
        }
        match event {
            Event::Reached(endpoint) => {
                self.engine.reached(node, endpoint);
                return;
            }
            Event::Away => return self.engine.away(node, now),
            Event::Up(backend) => {
                self.set_outlived(false);
                if self.engine.up(node, backend, now) {
                    self.end_dedicated(node);
                }
            }
            Event::Down { error, refused } => {
                let is_alone = self.engine.cluster().is_none();
                if is_alone && *refused && self.engine.server(node).is_lost() {
                    self.set_outlived(true);
                }
                self.engine.down(node, error, *refused, now);
                // With several nodes, the others may have something to report.
                if is_alone {
                    self.release(u64::MAX);
                }
            }
            Event::Gone => return self.end_dedicated(node),
            Event::Replies { .. } | Event::Late { .. } | Event::Invalidated(_) => return,
            Event::Tracking(tracking) => {
                self.engine.tracking(node, tracking);
                let is_alone = self.engine.cluster().is_none();
                if is_alone
                    && matches!(
                        tracking,
                        Tracking::On | Tracking::Missing | Tracking::Off { .. }
                    )
                {
                    // Nothing older is cached, or nothing is promised.
                    self.release(u64::MAX);
                }
                return;
            }
            Event::Barrier(number) => {
                if self.engine.cluster().is_some()
                    || self.engine.any_server().coherence == Coherence::Tracking
                {
                    self.release(*number);
                }
                return;
            }
            Event::Password(password) => {
                self.engine.access.redis_password = Some(password.clone());
                return;
            }
            Event::Checked { number, reply } => {
                self.engine.checks.answered(*number, reply, now);
                return self.wake(WaitsFor::Check);
            }
            Event::Rights { known } => return self.engine.rights(node, *known),
            Event::Busy(reply) => {
                self.engine.busy = reply.as_deref().map(Reply::copy);
                return;
            }
            Event::TrackedLinks(count) => {
                self.engine.tracked_links = *count;
                return;
            }
            Event::TrackingTable(table) => {
                self.engine.full_table = *table;
                return;
            }
            Event::OutputLimit(limit) => return self.engine.large.set_limit(*limit),
            Event::Swapped | Event::SlotsMoved => return self.engine.replaced(),
            Event::Slots(map) => {
                self.engine.set_slots(map, now);
                self.end_dedicated_elsewhere();
            }
            Event::MasterLost(is_lost) => return self.engine.master_lost(node, *is_lost),
            Event::Right { right, is_missing } => {
                return self.engine.missing_rights.note(*right, *is_missing);
            }
            Event::Reconnected => return self.engine.reconnected(now),
            Event::Moved => return self.leave_old_server(node),
        }
        self.wake(WaitsFor::Redis);
    }

    /// Dedicated connections lead to a server that has been replaced: ends them and their clients, as a reported
    /// failover does.
    fn leave_old_server(&mut self, node: NodeId) {
        self.engine.leave_old_server(node);
        self.end_dedicated(node);
    }

    /// Sets for all clients whether they were connected when Redis, which now refuses the proxy, was lost.
    fn set_outlived(&mut self, outlived: bool) {
        for session in &mut self.sessions {
            session.replies.set_outlived(outlived);
        }
    }

    /// Resumes the clients that wait for this.
    fn wake(&mut self, waits_for: WaitsFor) {
        for slot in 0..self.sessions.len() {
            if self.sessions[slot].waits_for == waits_for {
                self.sessions[slot].waits_for = WaitsFor::Nothing;
                self.note_change(ClientId(slot));
            }
        }
    }

    /// The bytes to send on a client's dedicated connection to Redis, if it is to have one.
    pub fn dedicated(&mut self, client: ClientId) -> Option<&mut Output> {
        self.sessions[client.0]
            .dedicated
            .as_mut()
            .map(|dedicated| &mut dedicated.to_redis)
    }

    /// Whether a client has a dedicated connection that it does not use at present.
    #[must_use]
    pub fn has_unused_dedicated(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.is_parked())
    }

    /// The endpoint of a client's dedicated connection.
    #[must_use]
    pub fn redis_endpoint(&self, client: ClientId) -> Option<Endpoint> {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        let node = dedicated.map_or_else(|| self.engine.any_node(), |dedicated| dedicated.node);
        self.engine.server(node).endpoint.clone()
    }

    /// Whether a dedicated connection has turned out to lead to a replica, by an error that it delivered. Reports it
    /// once.
    pub fn takes_readonly(&mut self) -> bool {
        std::mem::take(&mut self.readonly)
    }

    /// Whether to read from a client's dedicated connection: the client has read what came before.
    #[must_use]
    pub fn wants_dedicated_input(&self, client: ClientId) -> bool {
        !self.sessions[client.0].replies.full()
    }

    /// Whether the writing side of a client's dedicated connection is to be closed: the client has closed its own, and
    /// Redis may act on it.
    #[must_use]
    pub fn dedicated_is_at_end(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        let passes_end_on = session.dedicated.as_ref().is_some_and(|dedicated| {
            // Requests held back behind a RESET or QUIT are not for this connection.
            let is_all = !session.held_back
                || dedicated.is_blocked() && dedicated.holds_back(session.rest());
            is_all && dedicated.to_redis.is_empty() && dedicated.passes_end_on()
        });
        session.is_ending() && passes_end_on
    }

    /// Whether a client's dedicated connection is set up, including the client's own `AUTH`. Requests that end a script
    /// may wait until Redis replies that it is busy, which takes Redis longer than any timeout of the proxy.
    #[must_use]
    pub fn dedicated_is_set_up(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_none_or(|dedicated| dedicated.is_set_up() || dedicated.is_for_one_request())
    }

    /// Whether a client waits for its dedicated connection to be set up as it would for a reply, until the timeout of
    /// replies: it has not asked for one, and would wait for a busy Redis anyway.
    #[must_use]
    pub fn waits_for_borrowed(&self, client: ClientId) -> bool {
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.borrowed.is_some())
    }

    /// Whether nothing is in flight on a client's dedicated connection, and `RESET` would remove all its state, which
    /// does not include a library name, or that others redirect invalidations there.
    #[must_use]
    pub fn leaves_dedicated_clean(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        let dedicated = session.dedicated.as_ref();
        dedicated.is_some_and(|dedicated| dedicated.is_clean())
            && session.identity.library.is_empty()
            && session.identity.library_version.is_empty()
            && !self.engine.numbers.is_target(session.identity.id)
    }

    /// A server is unreachable or was replaced: ends all dedicated connections to it, which may not have noticed.
    fn end_dedicated(&mut self, node: NodeId) {
        self.end_dedicated_where(|to| to == node);
    }

    /// The set of nodes has changed: the same for connections that lead to none of them.
    fn end_dedicated_elsewhere(&mut self) {
        let nodes: Vec<NodeId> = self
            .engine
            .cluster()
            .into_iter()
            .flat_map(Cluster::nodes)
            .collect();
        self.end_dedicated_where(|to| !nodes.contains(&to));
    }

    fn end_dedicated_where(&mut self, is_ended: impl Fn(NodeId) -> bool) {
        for slot in 0..self.sessions.len() {
            let dedicated = self.sessions[slot].dedicated.as_ref();
            if dedicated.is_some_and(|dedicated| is_ended(dedicated.node)) {
                self.dedicated_lost(ClientId(slot), None);
            }
        }
    }

    /// Sets that Redis is a cluster, and how long a request may wait for the node that has its slot.
    pub fn set_cluster(&mut self, wait: Duration) {
        self.engine.set_cluster(wait);
    }

    /// What to ask the helper about the cluster; the shell takes it once a turn.
    pub fn take_wishes(&mut self) -> Option<Wishes> {
        self.engine.take_wishes()
    }

    /// When to check the requests that wait for a node of the cluster next.
    #[must_use]
    pub fn parked_until(&self) -> Option<Time> {
        self.engine.parked_until()
    }

    /// Sends the requests for nodes of the cluster that have waited long enough, and answers those that have waited for
    /// too long. Must be called before requests are sent.
    pub fn send_parked(&mut self, now: Time) {
        self.engine.park_lost(now);
        if self.engine.parked_until().is_none_or(|until| until > now) {
            return;
        }
        for (arrived, error) in self.engine.take_abandoned(now) {
            self.deliver(
                arrived,
                error.bytes(),
                Duration::MAX,
                &mut Room(usize::MAX),
                now,
            );
        }
        self.engine.send_parked(now);
    }

    /// All barriers up to that one have passed.
    fn release(&mut self, number: u64) {
        self.engine.barriers.pass(number);
        while let Some((client, place)) = self.engine.barriers.next_passed(number) {
            self.sessions[client.0].replies.release(place);
            self.note_change(client);
        }
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

    fn note_change(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        let blocked = session
            .dedicated
            .as_ref()
            .is_some_and(|dedicated| dedicated.is_blocked());
        if session.blocked != blocked {
            session.blocked = blocked;
            let count = &mut self.engine.metrics.clients.blocked;
            *count = if blocked { *count + 1 } else { *count - 1 };
        }
        if !session.changed {
            session.changed = true;
            self.changed.push(client);
        }
        if session.is_redirected_to {
            self.open_if_redirected_to(client);
        }
    }
}
