//! Delivers Redis's replies to the clients that wait for them.

use std::iter::Flatten;
use std::option;
use std::rc::Rc;
use std::time::Duration;

use super::engine::{Arrived, is_null};
use super::in_flight::{Caller, Late, Then, Waiter, Waiters};
use super::input::Input;
use super::slow_log::{Words, words_of_get};
use super::waiting::WaitsFor;
use super::{ClientId, Ending, Proxy};
use crate::clock::Time;
use crate::metrics::ErrorKind;
use crate::resp::reply::Reply;
use crate::upstream::{self, LinkId};

/// What is counted and timed of a reply.
struct Answer<'a> {
    /// The kind of error that the reply is, if it is one.
    error: Option<ErrorKind>,
    /// The key, if the reply is its value; `None` for a forwarded request.
    key: Option<&'a [u8]>,
    /// The request as the slow log shows it; empty for a `GET` of the key.
    words: Words,
    round_trip: Duration,
}

/// A reply that has been put in its place in the client's queue.
struct Filled {
    /// The request as the slow log shows it.
    words: Words,
    /// The kind of error that the reply is, if it is one.
    error: Option<ErrorKind>,
}

/// Replies of at least this many bytes are counted towards the clients' buffers at once; shorter ones when they are
/// sent, at the end of the turn.
const COUNTED: usize = 1024;

/// A reply that some of the clients that wait for it have not been given yet.
pub(super) struct Undelivered {
    waiters: Flatten<option::IntoIter<Waiters>>,
    arrived: Arrived,
    reply: Reply,
    round_trip: Duration,
}

/// How many deliveries are left in this turn: one for each reply and client.
pub(super) struct Room(pub usize);

impl Room {
    /// Takes one delivery, if any is left.
    fn take(&mut self) -> bool {
        let some = self.0 > 0;
        self.0 = self.0.saturating_sub(1);
        some
    }
}

impl Proxy {
    /// Delivers the replies to the oldest requests in flight on a link. `done` counts the replies that are handled.
    pub(super) fn replies(
        &mut self,
        link: LinkId,
        replies: &upstream::Replies,
        done: &mut usize,
        room: &mut Room,
        now: Time,
    ) {
        if *done == 0 {
            let metrics = &mut self.engine.metrics;
            metrics.round_trip.add_duration(replies.round_trip);
            self.engine.note_round_trip(link.node, replies.round_trip);
        }
        let mut rest = replies.iter_from(*done).peekable();
        while rest.peek().is_some() && room.take() {
            let Some(reply) = rest.next() else { break };
            let next = rest.peek().copied();
            let Some(mut arrived) = self.engine.arrived(link, reply, next, now) else {
                debug_assert!(false, "a reply that nothing was asked for");
                *done = replies.len();
                return;
            };
            *done += 1;
            if arrived.with_next {
                rest.next();
                *done += 1;
            }
            let used = self.engine.use_reply(&mut arrived, reply, link, now);
            let reply = used.as_ref().map_or(reply, Reply::bytes);
            self.deliver(arrived, reply, replies.round_trip, room, now);
        }
        self.wake_if_described();
    }

    fn wake_if_described(&mut self) {
        if self.engine.take_news_of_commands() {
            self.wake(WaitsFor::Description);
        }
    }

    /// Delivers `error` to the clients whose requests have timed out: the `count` oldest of a link. `done` counts the
    /// requests that are handled.
    pub(super) fn late(
        &mut self,
        link: LinkId,
        count: usize,
        error: &[u8],
        done: &mut usize,
        room: &mut Room,
        now: Time,
    ) {
        while *done < count && room.take() {
            *done += 1;
            for late in self.engine.in_flight.late(link, 1) {
                self.deliver_late(late, link, error, room, now);
            }
        }
        self.wake_if_described();
    }

    fn deliver_late(&mut self, late: Late, link: LinkId, error: &[u8], room: &mut Room, now: Time) {
        match late {
            Late::Reply {
                waiters,
                key,
                words,
                then,
                is_script,
            } => {
                let mut arrived = Arrived {
                    waiters: Some(waiters),
                    key,
                    words,
                    then,
                    is_script,
                    ..Arrived::default()
                };
                let used = self.engine.use_reply(&mut arrived, error, link, now);
                let reply = used.as_ref().map_or(error, Reply::bytes);
                self.deliver(arrived, reply, Duration::MAX, room, now);
            }
            Late::Description(name) => self.engine.described(Some(&name), error, now),
        }
    }

    /// Delivers a reply to the clients that wait for it, until no room is left in this turn; the rest follow in
    /// [`Self::deliver_rest`].
    pub(super) fn deliver(
        &mut self,
        mut arrived: Arrived,
        encoded: &[u8],
        round_trip: Duration,
        room: &mut Room,
        now: Time,
    ) {
        let mut waiters = arrived.waiters.take().into_iter().flatten();
        // The caller has taken the room for the first.
        if let Some(first) = waiters.next() {
            self.deliver_to(first, &mut arrived, encoded, round_trip, now);
        }
        while waiters.size_hint().0 > 0 {
            if !room.take() {
                self.undelivered = Some(Undelivered {
                    waiters,
                    arrived,
                    reply: Reply::copy(encoded),
                    round_trip,
                });
                return;
            }
            if let Some(waiter) = waiters.next() {
                self.deliver_to(waiter, &mut arrived, encoded, round_trip, now);
            }
        }
    }

    /// Continues a delivery that an earlier turn had no room for.
    pub(super) fn deliver_rest(&mut self, room: &mut Room, now: Time) {
        let Some(mut rest) = self.undelivered.take() else {
            return;
        };
        while room.take() {
            let Some(waiter) = rest.waiters.next() else {
                return;
            };
            let encoded = rest.reply.bytes();
            self.deliver_to(waiter, &mut rest.arrived, encoded, rest.round_trip, now);
        }
        self.undelivered = Some(rest);
    }

    /// Delivers a reply to one client.
    fn deliver_to(
        &mut self,
        waiter: Waiter,
        arrived: &mut Arrived,
        encoded: &[u8],
        round_trip: Duration,
        now: Time,
    ) {
        let error = error_of(encoded);
        let client = waiter.caller.client;
        let replies = &mut self.sessions[client.0].replies;
        if !replies.owes(waiter.place) {
            return;
        }
        if upstream::closes(encoded) {
            if !replies.end_at(waiter.place) {
                return;
            }
            self.end_without_redis(client);
            let answer = Answer {
                error,
                key: arrived.key.as_deref(),
                words: std::mem::take(&mut arrived.words),
                round_trip,
            };
            return self.count_answer(waiter.caller, answer, now);
        }
        replies.ensure_buffer(&mut self.spare);
        if arrived.is_script {
            replies.scripts.answered(self.engine.barrier_of_script());
        }
        let observed = replies.take_observed(waiter.place);
        let replaced = observed
            .filter(|_| error.is_none())
            .and_then(|observed| self.observe_shared(waiter.caller, &observed, encoded, now));
        let encoded = replaced.as_ref().map_or(encoded, Reply::bytes);
        let is_edited = matches!(arrived.then, Then::Edit(_)) && error.is_none();
        let filled = match is_edited {
            true => self.fill_edited(waiter, arrived, encoded, now),
            false => self.fill(waiter, arrived, encoded, error, replaced.is_some()),
        };
        if let Some(filled) = filled {
            let answer = Answer {
                error: filled.error,
                key: arrived.key.as_deref(),
                words: filled.words,
                round_trip,
            };
            self.count_answer(waiter.caller, answer, now);
        }
        match is_edited {
            true => self.end_if_killed(client),
            false => self.end_broken(client),
        }
        self.note_change(client);
        if encoded.len() >= COUNTED {
            self.count_held(client);
        }
    }

    /// Fills the place of a reply that describes clients.
    fn fill_edited(
        &mut self,
        waiter: Waiter,
        arrived: &mut Arrived,
        encoded: &[u8],
        now: Time,
    ) -> Option<Filled> {
        let Then::Edit(edit) = &arrived.then else {
            return None;
        };
        let Caller {
            client, protocol, ..
        } = waiter.caller;
        let edited = self.edit(client, edit, encoded, protocol, now);
        let error = edited.bytes().starts_with(b"-").then_some(ErrorKind::Usage);
        let replies = &mut self.sessions[client.0].replies;
        replies.note_length(edited.bytes().len());
        replies.fill(waiter.place, edited);
        let words = std::mem::take(&mut arrived.words);
        Some(Filled { words, error })
    }

    /// Fills the place of a reply, or of one element of an `MGET`. Returns the reply if it is now complete.
    fn fill(
        &mut self,
        waiter: Waiter,
        arrived: &mut Arrived,
        encoded: &[u8],
        error: Option<ErrorKind>,
        is_replaced: bool,
    ) -> Option<Filled> {
        let protocol = waiter.caller.protocol;
        let is_value = arrived.key.is_some() && !is_replaced;
        let shared = arrived.shared.as_ref().filter(|_| !is_replaced);
        let replies = &mut self.sessions[waiter.caller.client.0].replies;
        replies.note_length(encoded.len());
        let null = is_value && is_null(encoded);
        // MGET treats a key that holds no string as missing.
        let null =
            null || is_value && waiter.element.is_some() && encoded.starts_with(b"-WRONGTYPE ");
        let words = match (waiter.element, shared) {
            (None, shared) => {
                match shared {
                    _ if null => replies.fill_copy(waiter.place, protocol.null()),
                    None => replies.fill_copy(waiter.place, encoded),
                    Some(shared) => {
                        replies.fill(waiter.place, Reply::Shared(Rc::clone(shared)));
                    }
                }
                std::mem::take(&mut arrived.words)
            }
            (Some(element), shared) => {
                let reply = match shared {
                    _ if null => Reply::Static(protocol.null()),
                    Some(shared) => Reply::Shared(Rc::clone(shared)),
                    None => Reply::copy(encoded),
                };
                replies.fill_element(waiter.place, element, reply)?
            }
        };
        let error = error.filter(|_| !null);
        Some(Filled { words, error })
    }

    /// Ends a client whose request failed because Redis is unreachable. It is closed after its earlier replies.
    pub(super) fn end_without_redis(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        session.end(Ending::NoRedis);
        session.held_back = false;
        session.input = Input::default();
        self.note_change(client);
        self.count_held(client);
    }

    /// Counts and times a request that Redis has answered.
    fn count_answer(&mut self, caller: Caller, answer: Answer<'_>, now: Time) {
        let took = caller.since.until(now);
        let metrics = &mut self.engine.metrics;
        if let Some(kind) = answer.error {
            metrics.error(kind);
        }
        let failed = answer.error == Some(ErrorKind::Redis);
        metrics.commands.answered(caller.command, took, failed);
        match answer.key {
            Some(_) => metrics.miss_time.add_duration(took),
            None => metrics.forward_time.add_duration(took),
        }
        if self.engine.slow_log.is_slow(took) {
            let words = match answer.key {
                Some(key) if answer.words.is_empty() => words_of_get(key),
                _ => answer.words,
            };
            let identity = &self.sessions[caller.client.0].identity;
            let at = (self.engine.facts.wall_clock)();
            self.engine
                .slow_log
                .add(words, identity, took, answer.round_trip, at);
        } else {
            self.engine.slow_log.recycle(answer.words);
        }
    }
}

/// The kind of error that a reply is, if it is one.
fn error_of(encoded: &[u8]) -> Option<ErrorKind> {
    match encoded {
        _ if upstream::is_unreachable(encoded) => Some(ErrorKind::Unreachable),
        [b'-', ..] => Some(ErrorKind::Redis),
        _ => None,
    }
}
