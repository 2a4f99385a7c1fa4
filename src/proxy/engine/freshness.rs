//! What may be cached, and what must be invalidated: by clients' writes, by Redis's reports, and by what Redis can no
//! longer report.

use std::rc::Rc;
use std::time::Duration;

use super::super::dedicated::Effects;
use super::super::in_flight::{Asked, Asks, Fetch, Fetched, Forward, Part, Then, Waiters};
use super::super::slow_log::Words;
use super::fields::fields_to_live;
use super::slots::{self, Slots};
use super::{Engine, Outage, Redis, is_null};
use crate::cache::{Key, Value};
use crate::clock::Time;
use crate::command::{Table, Writes, Written};
use crate::metrics::Cause;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply, SHARED_MIN};
use crate::resp::request::Request;
use crate::status::Right;
use crate::transport::dial::Endpoint;
use crate::upstream::{self, BROKEN, Backend, Invalidated, LinkId, NodeId, Tracking, UNKNOWN_TTL};

/// How cached values are kept from getting stale.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Coherence {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis reports changes.
    Tracking,
    /// It did, and no longer does: it is not known yet whether it soon will again.
    Lost,
    /// It can't for now: nothing is cached.
    Missing,
    /// Only by their time to live; Redis refused tracking with this error, if it was asked.
    TimeToLive {
        /// The error.
        refused: Option<String>,
    },
}

/// A reply of Redis to deliver.
#[derive(Default)]
pub(in crate::proxy) struct Arrived {
    /// The clients that wait for it; none for the proxy's own requests, and if it is late.
    pub waiters: Option<Waiters>,
    /// The key, if its value was requested.
    pub key: Option<Rc<[u8]>>,
    /// How the slow log would show the request, if it is not a GET.
    pub words: Words,
    /// A long one, in the form that all waiters share.
    pub shared: Option<Rc<[u8]>>,
    /// The next reply belonged to it.
    pub with_next: bool,
    /// How it is handled.
    pub then: Then,
    /// It is a script's reply, and the script may have written keys that it did not declare.
    pub is_script: bool,
}

impl Arrived {
    /// The reply to a forwarded request.
    pub(super) fn of_forward(forward: Forward) -> Self {
        Self {
            waiters: forward.waiter.map(Waiters::from),
            words: forward.words,
            then: forward.then,
            is_script: forward.is_script,
            ..Self::default()
        }
    }

    /// The reply to a fetch.
    pub(super) fn of_fetch(fetch: Fetch) -> Self {
        Self {
            waiters: fetch.waiters,
            key: fetch.question.is_none().then_some(fetch.key),
            words: fetch.words,
            ..Self::default()
        }
    }
}

/// Redis's reply to a fetch.
struct Found<'a> {
    node: NodeId,
    key: Key<'a>,
    question: Option<&'a [u8]>,
    reply: &'a [u8],
    shared: Option<&'a Rc<[u8]>>,
    since: Time,
    longest: Duration,
}

impl<'a> Found<'a> {
    fn of(fetched: &'a Fetched, link: LinkId) -> Self {
        Self {
            node: link.node,
            key: Key::new(link.database, &fetched.key),
            question: fetched.question.as_deref(),
            reply: fetched.reply.bytes(),
            shared: fetched.reply.shared(),
            since: fetched.since,
            longest: fetched.longest,
        }
    }
}

impl Engine {
    /// A request is about to be sent: invalidates the keys that it writes and returns them; `None` stands for possibly
    /// any.
    pub(super) fn invalidate_written<'a>(
        &mut self,
        request: &Request<'a>,
        writes: Writes,
    ) -> Option<Written<'a>> {
        self.note_script(request, writes);
        let keys = self.written_here(request, writes);
        match &keys {
            Some(keys) => {
                for key in keys.iter() {
                    self.invalidate_key(key, Cause::Written);
                    self.note_written(key);
                }
            }
            None if is_flush(request) => self.invalidate_all(Cause::Flushed),
            None => self.invalidate_all(Cause::Written),
        }
        keys
    }

    /// Redis has executed a request on a dedicated connection, or may do so unseen.
    pub fn invalidate_answered(&mut self, effects: &Effects) {
        if effects.changes_commands {
            self.renew_table(self.home());
        }
        if effects.blocks {
            self.awaited.remove(&effects.keys);
        }
        match effects.keys.known() {
            Some(keys) => keys.for_each(|key| self.invalidate_key(key, Cause::Written)),
            None => self.invalidate_all(Cause::Written),
        }
    }

    /// Redis reports changes.
    pub fn invalidate(&mut self, node: NodeId, invalidated: &Invalidated, now: Time) {
        self.metrics.invalidations += invalidated.keys.len() as u64;
        self.metrics.flushes += u64::from(invalidated.all);
        if invalidated.all {
            self.invalidate_server(node, Cause::Flushed);
        } else {
            let mut refetched = Vec::new();
            for key in &invalidated.keys {
                self.invalidate_key(key, Cause::Invalidated);
                self.refetches.list_changed(key, &mut refetched);
            }
            // After all reports: Redis reports a key once for each connection that has read it.
            for (key, read) in refetched {
                self.refetch(key, &read, now);
            }
        }
    }

    /// A key has changed: neither its entry nor replies about it in flight are valid any more. Redis does not report
    /// the database, and a writer may change another than its own (`MOVE`, `COPY`): so the key is removed in all. Notes
    /// what had been read of it.
    fn invalidate_key(&mut self, name: &[u8], cause: Cause) {
        self.hooks.invalidated(Some(name));
        self.refetches.forget_read();
        self.cache.remove_everywhere(name, |removed| {
            self.metrics.forgotten.add(cause, 1);
            self.refetches.note_read(removed);
        });
        let home = self.databases.home;
        let databases = self.cache.databases().iter().map(|tally| tally.database);
        for database in databases.filter(|it| *it != home).chain([home]) {
            let key = Key::new(database, name);
            self.metrics.misses.forgotten(key, cause);
            self.refetches.note_database(database);
        }
        self.large.changed(name);
        self.in_flight.changed(name);
    }

    pub(in crate::proxy) fn invalidate_all(&mut self, cause: Cause) {
        self.hooks.invalidated(None);
        self.empty_cache(cause);
        self.large.all_changed();
        self.in_flight.all_changed();
    }

    /// Drops the entries of a server, cached or being fetched.
    fn invalidate_server(&mut self, node: NodeId, cause: Cause) {
        match &self.cluster {
            None => self.invalidate_all(cause),
            Some(_) => self.invalidate_node(node, cause),
        }
    }

    fn empty_cache(&mut self, cause: Cause) {
        self.metrics.forgotten.add(cause, self.cache.len());
        self.metrics.misses.all_forgotten(cause);
        self.cache.clear();
    }

    /// Redis has answered the oldest request of a link, and the next one if that arrived too. Caches what is worth
    /// caching.
    pub fn arrived(
        &mut self,
        link: LinkId,
        encoded: &[u8],
        next: Option<&[u8]>,
        now: Time,
    ) -> Option<Arrived> {
        if self.slots.is_some() {
            self.note_moved(encoded);
        }
        if self.cluster.is_some()
            && encoded.starts_with(b"-")
            && let Some(arrived) = self.redirected(link, encoded, next, now)
        {
            return Some(arrived);
        }
        let shared = (encoded.len() >= SHARED_MIN).then(|| Rc::from(encoded));
        Some(match self.in_flight.answered(link)? {
            Asked::Fetch(fetch) => self.fetched(link, fetch, encoded, shared, next, now),
            Asked::FieldsToLive => {
                if let Some(fetched) = self.in_flight.take_fetched(link)
                    && let Some(longest) = fields_to_live(encoded)
                {
                    let fetched = Fetched { longest, ..fetched };
                    self.in_flight.keep(link, fetched);
                }
                Arrived::default()
            }
            Asked::TimeToLive => {
                if let Some(fetched) = self.in_flight.take_fetched(link) {
                    self.keep_for(&Found::of(&fetched, link), encoded, now);
                }
                Arrived::default()
            }
            Asked::Policy => {
                self.policy_came(encoded);
                Arrived::default()
            }
            Asked::Touch => {
                self.touched(encoded);
                Arrived::default()
            }
            Asked::Describe(name) => {
                self.described(name.as_deref(), encoded, now);
                Arrived::default()
            }
            Asked::Nothing => Arrived::default(),
            Asked::Forward(forward) => {
                if let Some(Asks { hash, repeatable }) = forward.asks {
                    // A late request is not retried: it has broken the connection once.
                    let is_repeated = repeatable && forward.waiter.is_some();
                    self.note_length(hash, is_repeated, encoded);
                }
                let mut forward = forward;
                if self.cluster.is_some()
                    && encoded.starts_with(b"-")
                    && let Some(instead) = self.say_instead(link, encoded)
                {
                    forward.then = instead;
                }
                if let Some(Part::Exec(reads)) = forward.part.as_deref() {
                    self.executed(reads, link, encoded);
                }
                Arrived {
                    shared,
                    ..Arrived::of_forward(forward)
                }
            }
        })
    }

    /// Remembers whether the reply to a request is large, or breaks the connection each time.
    fn note_length(&mut self, hash: u64, is_repeated: bool, encoded: &[u8]) {
        if is_repeated && encoded == BROKEN {
            self.large.suspect(hash);
        } else if !upstream::closes(encoded) {
            self.large.note(hash, encoded.len());
        }
    }

    /// The same for a fetch.
    fn note_fetched(&mut self, fetch: &Fetch, encoded: &[u8]) {
        self.value_length = (7 * self.value_length + encoded.len()) / 8;
        let is_error = encoded.starts_with(b"-");
        if self.large.ignores(encoded.len()) && !is_error {
            return;
        }
        let command = match fetch.question {
            Some(_) => fetch.command,
            None => Table::GET,
        };
        let hash = self.large.hash_of(command, &fetch.key);
        let memory = self.cache.limits().memory;
        let fits = memory == 0 || encoded.len() <= memory;
        if fits && self.cache.takes_reply(&fetch.key, encoded) && !is_error {
            // One reply serves all.
            let is_limited = self.large.is_limited();
            let length = if is_limited { encoded.len() } else { 0 };
            if fetch.fresh || !is_limited {
                self.large.note(hash, length);
            }
        } else {
            let is_late = fetch.waiters.is_none() && !fetch.is_refetch;
            self.note_length(hash, !is_late, encoded);
        }
    }

    /// If a reply says that another node of the cluster has a slot, drops the entries of that slot.
    fn note_moved(&mut self, encoded: &[u8]) {
        let is_cached = |slots: &Slots| slots::moved(encoded).is_some_and(|slot| slots.has(slot));
        if self.slots.as_ref().is_some_and(is_cached) {
            self.slots = Some(Slots::default());
            self.replaced();
        }
    }

    /// Redis has answered a fetch: the reply is cached when the key's time to live is known, which is in `next` if that
    /// has arrived too.
    fn fetched(
        &mut self,
        link: LinkId,
        fetch: Fetch,
        encoded: &[u8],
        shared: Option<Rc<[u8]>>,
        next: Option<&[u8]>,
        now: Time,
    ) -> Arrived {
        if fetch.is_refetch {
            self.refetches.answered();
        } else if fetch.question.is_none() {
            self.refetches.missed(Key::new(link.database, &fetch.key));
        }
        self.note_fetched(&fetch, encoded);
        let key = Key::new(link.database, &fetch.key);
        let mut kept = false;
        let next = next.filter(|_| !fetch.reads_fields);
        if let Some(time_to_live) = next {
            self.in_flight.answered(link);
            if fetch.fresh {
                let found = Found {
                    node: link.node,
                    key,
                    question: fetch.question.as_deref(),
                    reply: encoded,
                    shared: shared.as_ref(),
                    since: fetch.since,
                    longest: Duration::MAX,
                };
                kept = self.keep_for(&found, time_to_live, now);
            }
        } else if fetch.fresh {
            let reply = match &shared {
                Some(shared) => Reply::Shared(Rc::clone(shared)),
                None => Reply::copy(encoded),
            };
            let fetched = Fetched {
                key: Rc::clone(&fetch.key),
                question: fetch.question.clone(),
                reply,
                since: fetch.since,
                longest: Duration::MAX,
            };
            self.in_flight.keep(link, fetched);
        }
        if fetch.waiters.is_some() && !upstream::closes(encoded) {
            // A client that gets this reply must not get an older one later, be it cached or fetched over another link.
            match &fetch.question {
                _ if kept => {}
                None => {
                    self.cache.remove(key);
                }
                Some(question) => self.cache.remove_answer(key, (&**question).into()),
            }
            self.in_flight.overtaken(&fetch.key, link);
        }
        Arrived {
            shared,
            with_next: next.is_some(),
            ..Arrived::of_fetch(fetch)
        }
    }

    /// Caches a fetched reply for as long as its key lives, which is the reply to PTTL. Redis counts that from the
    /// moment of the request or later. Returns whether it was cached.
    fn keep_for(&mut self, found: &Found<'_>, time_to_live: &[u8], now: Time) -> bool {
        self.missing_rights
            .note_reply(Right::TimeToLive, time_to_live);
        let ttl = match Reader::new(time_to_live).number() {
            Some(-1) => Duration::MAX,
            Some(milliseconds @ 1..) => Duration::from_millis(milliseconds.unsigned_abs()),
            Some(-2) if is_of_no_key(found.reply) => self.missing_ttl(found.key.name),
            // It is gone already, or Redis does not report it.
            _ => return false,
        };
        let server = self.server(found.node);
        let ttl = ttl.min(server.longest).min(found.longest);
        let left = ttl.saturating_sub(found.since.until(now));
        server.is_kept_coherent() && !left.is_zero() && self.keep(found, left, now)
    }

    /// How long a missing key is cached at most.
    fn missing_ttl(&self, name: &[u8]) -> Duration {
        let rule = self.cache.rules().of(name);
        let missing_ttl = rule.and_then(|rule| rule.missing_ttl);
        missing_ttl.or(self.missing_ttl).unwrap_or(Duration::MAX)
    }

    /// Caches a fetched reply. Returns whether it may be cached.
    fn keep(&mut self, found: &Found<'_>, ttl: Duration, now: Time) -> bool {
        let Found { key, reply, .. } = *found;
        // Only Redis knows when a missing key is created.
        let reports = self.server(found.node).coherence == Coherence::Tracking;
        let may_be_missing = !reports && is_of_no_key(reply);
        if self.awaited.contains(key.name) || may_be_missing {
            return false;
        }
        let mut ttl = ttl;
        if self.cluster.is_some() && is_of_no_key(reply) {
            ttl = ttl.min(slots::MISSING_TTL);
        }
        if let Some(slots) = &mut self.slots {
            slots.add(key.name);
            if is_of_no_key(reply) {
                ttl = ttl.min(slots::MISSING_TTL);
            }
        }
        let shared_or = |bytes| found.shared.map_or(Value::Bytes(bytes), Value::Shared);
        let kept = if let Some(question) = found.question {
            let depends_on_more = reply.starts_with(b"-") && !reply.starts_with(b"-WRONGTYPE ");
            if depends_on_more {
                return false;
            }
            self.invalidate_if_walked(key.name);
            self.cache
                .insert_answer(key, question.into(), &shared_or(reply), ttl, now)
        } else {
            let value = match reply::bulk_value(reply) {
                Some(bytes) => shared_or(bytes),
                None if is_null(reply) => Value::Missing,
                None => return false,
            };
            self.cache.insert_for(key, &value, ttl, now)
        };
        if let Some(ttl) = kept {
            self.metrics.kept(key, now.after(ttl));
        }
        kept.is_some()
    }

    /// Whether messages that reveal what others did are held until a barrier has passed.
    ///
    /// This also holds while the tracker is being reopened: either that soon succeeds, and the cache is emptied, or it
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

    /// A server was reached at that endpoint.
    pub fn reached(&mut self, node: NodeId, endpoint: &Endpoint) {
        self.server_mut(node).endpoint = Some(endpoint.clone());
    }

    /// A server is up, and has described itself. Returns whether it is another one than before.
    pub fn up(&mut self, node: NodeId, backend: &Backend, now: Time) -> bool {
        let server = self.server(node);
        let before = server.backend.as_ref();
        let is_another = before.is_some_and(|before| before.is_another(backend));
        // It may be another Redis, and misses are answered before it is known whether that one reports changes.
        if server.coherence == Coherence::Lost || is_another {
            self.invalidate_server(node, Cause::Reconnected);
        }
        self.metrics.redis.up(now);
        if let Some(specs) = &backend.commands {
            self.learn(specs);
        }
        if is_another {
            self.databases.forget_which_exist();
        }
        self.missing_rights
            .note(Right::Command, backend.commands_refused);
        self.learn_info(&backend.info, now);
        let is_alone = self.cluster.is_none();
        self.slots = (backend.is_cluster && is_alone).then(Slots::default);
        self.change_server(node, |server| {
            server.backend = Some(backend.clone());
            server.redis = Redis::Up;
        });
        self.touches.forget_refusal();
        is_another
    }

    /// A server was replaced by another: clients that need a dedicated connection wait until it is reached.
    pub fn leave_old_server(&mut self, node: NodeId) {
        let server = self.server_mut(node);
        if server.is_up() {
            server.redis = Redis::Unknown;
        }
    }

    /// A connection was lost and reopened, while Redis was reachable.
    pub fn reconnected(&mut self, now: Time) {
        self.metrics.redis.up(now);
    }

    /// A server is lost, and may be back in a moment.
    pub fn away(&mut self, node: NodeId, now: Time) {
        self.metrics.redis.down(now);
        self.change_server(node, |server| server.redis = Redis::Unknown);
    }

    /// A server is unreachable, or refuses the proxy with `error`.
    pub fn down(&mut self, node: NodeId, error: &[u8], refused: bool, now: Time) {
        self.metrics.redis.down(now);
        let error = Reply::copy(error);
        self.change_server(node, |server| {
            server.redis = Redis::Down(Outage { error, refused });
        });
    }

    /// A server has changed whether it reports changes.
    pub fn tracking(&mut self, node: NodeId, tracking: &Tracking) {
        match tracking {
            Tracking::Off {
                refused: Some(words),
            } => {
                let is_missing = words.starts_with("NOPERM ");
                self.missing_rights.note(Right::Tracking, is_missing);
            }
            Tracking::On | Tracking::Off { refused: None } => {
                self.missing_rights.note(Right::Tracking, false);
            }
            _ => {}
        }
        let coherence = match tracking {
            Tracking::Suspended | Tracking::Resumed => None,
            // Entries are served until Redis is reached again.
            Tracking::Lost => Some(Coherence::Lost),
            Tracking::Missing => Some(Coherence::Missing),
            Tracking::On => Some(Coherence::Tracking),
            Tracking::Off { refused } => Some(Coherence::TimeToLive {
                refused: refused.clone(),
            }),
        };
        let empties = match tracking {
            Tracking::Suspended | Tracking::Resumed | Tracking::Lost => false,
            Tracking::Missing | Tracking::On => true,
            // Entries that were cached while changes were reported are no longer covered.
            Tracking::Off { .. } => {
                !matches!(self.server(node).coherence, Coherence::TimeToLive { .. })
            }
        };
        if empties {
            self.invalidate_server(node, Cause::Reconnected);
        }
        self.change_server(node, |server| {
            server.is_suspended = *tracking == Tracking::Suspended;
            if let Some(coherence) = coherence {
                server.coherence = coherence;
            }
        });
    }

    /// The proxy's user at a server may have other permissions than when values were fetched. `known` says whether the
    /// user can see changes of them; if not, values are kept only for a short time.
    pub fn rights(&mut self, node: NodeId, known: bool) {
        self.invalidate_server(node, Cause::Reconnected);
        self.checks.forget();
        self.missing_rights.note(Right::GetUser, !known);
        // Refused commands may be permitted now, and the other way round.
        if self.server(node).is_up() {
            self.renew_table(self.home());
        }
        self.server_mut(node).longest = match known {
            true => Duration::MAX,
            false => UNKNOWN_TTL,
        };
    }

    /// Keys may have other values now, though none was reported as changed.
    pub fn replaced(&mut self) {
        self.invalidate_all(Cause::Flushed);
    }

    /// A server refuses reads because it has lost its master. So does the proxy, until the server serves reads again:
    /// all that changed at the master meanwhile is reported then.
    pub fn master_lost(&mut self, node: NodeId, is_lost: bool) {
        self.change_server(node, |server| server.is_refusing = is_lost);
    }
}

/// Whether a reply says that there is nothing, as every reply about a missing key does.
fn is_of_no_key(encoded: &[u8]) -> bool {
    let mut lines = encoded.split(|&byte| byte == b'\n');
    lines.all(|line| {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        matches!(
            line,
            b"" | b":0"
                | b"$-1"
                | b"$0"
                | b"_"
                | b"*-1"
                | b"+none"
                | b"#f"
                | [b'*' | b'~' | b'%', ..]
        )
    })
}

/// Whether a request empties the database.
fn is_flush(request: &Request<'_>) -> bool {
    let name = request.argument(0);
    name.eq_ignore_ascii_case(b"flushall") || name.eq_ignore_ascii_case(b"flushdb")
}
