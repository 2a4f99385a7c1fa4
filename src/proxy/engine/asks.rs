//! Questions about a key: commands other than GET that only read it. Redis's replies are cached as they are encoded,
//! beside the key's value, by protocol version and by the request without its key.

use super::super::in_flight::{About, Caller, Waiter};
use super::super::replies::{Replies, to_reply};
use super::fields::ask_for_life;
use super::get::ask_for_time_to_live;
use super::{Engine, Serving, cost};
use crate::cache::{Key, Question, Value};
use crate::clock::Time;
use crate::command::Row;
use crate::metrics::Outcome;
use crate::resp::Protocol;
use crate::resp::reply::{self, Reply};
use crate::resp::request::{Ask, Request, Start};
use crate::upstream::Batch;

/// How much memory is kept for the next question, in bytes.
const KEPT: usize = 1024;

impl Engine {
    /// Answers the requests at the start of `bytes` from the cache, on the fast path, as long as each one is complete,
    /// asks about one key, is a hit, and has room for its reply. Returns how many bytes were consumed, and the command
    /// of the last request.
    ///
    /// [`Self::execute`], which handles the other requests, would have the same result.
    /// [`Self::execute`] would have the same result, as for the other requests.
    #[inline(never)]
    pub fn execute_asks(
        &mut self,
        bytes: &[u8],
        caller: Caller,
        replies: &mut Replies,
    ) -> (usize, u16) {
        let mut command = caller.command;
        let mut start = &[][..];
        let mut used = 0;
        let mut hits = 0;
        while !replies.full() {
            let rest = &bytes[used..];
            // Most requests start like the one before.
            if start.is_empty() || !rest.starts_with(start) {
                let Some(first) = Start::of(rest) else {
                    break;
                };
                let Some(number) = self.table.asks(first.name, first.count) else {
                    break;
                };
                self.metrics.hits(command, std::mem::take(&mut hits));
                (start, command) = (first.bytes, number);
            }
            let Some(ask) = Ask::behind(start, rest) else {
                break;
            };
            let question = Question {
                words: ask.rest,
                ..Question::of_kind(kind(caller.protocol, command))
            };
            let Some(answer) = self.cached_answer(caller.key(ask.key), question, caller.since)
            else {
                break;
            };
            replies.push_answer(&answer);
            hits += 1;
            used += ask.length;
        }
        self.metrics.hits(command, hits);
        (used, command)
    }

    /// Answers a request that asks about the key at `position`, from the cache or through Redis.
    pub(super) fn ask(
        &mut self,
        request: &Request<'_>,
        position: usize,
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let mut question = std::mem::take(&mut self.question);
        write_question(&mut question, request, position, caller);
        let key = request.argument(position);
        let answer = match self.may_be_served(replies) {
            true => self.cached_answer(caller.key(key), (&*question).into(), caller.since),
            false => None,
        };
        let outcome = if let Some(answer) = answer {
            replies.push_answer(&answer);
            self.metrics.keys.hits += 1;
            Outcome::Hit
        } else {
            let caller = Caller {
                node: self.node_of(key),
                ..caller
            };
            match self.server(caller.node).outage() {
                Some(outage) => {
                    replies.push_outage(outage);
                    Outcome::Refused
                }
                None => self.fetch_answer(request, key, &question, row, caller, replies),
            }
        };
        question.clear();
        question.shrink_to(KEPT);
        self.question = question;
        outcome
    }

    /// The cached answer to a request about a key, if the client may be served from the cache.
    pub(super) fn answer_from_cache(
        &mut self,
        request: &Request<'_>,
        position: usize,
        caller: Caller,
        replies: &Replies,
    ) -> Option<Reply> {
        if !self.may_be_served(replies) {
            return None;
        }
        let mut question = Vec::new();
        write_question(&mut question, request, position, caller);
        let key = caller.key(request.argument(position));
        let answer = self.cached_answer(key, (&*question).into(), caller.since)?;
        Some(to_reply(&answer, caller.protocol))
    }

    /// Whether the answer to a request about a key is cached.
    pub(super) fn has_answer(
        &mut self,
        request: &Request<'_>,
        position: usize,
        caller: Caller,
    ) -> bool {
        let mut question = std::mem::take(&mut self.question);
        write_question(&mut question, request, position, caller);
        let key = request.argument(position);
        let answer = self.cached_answer(caller.key(key), (&*question).into(), caller.since);
        let has_answer = answer.is_some();
        question.clear();
        question.shrink_to(KEPT);
        self.question = question;
        has_answer
    }

    /// The cached answer to a question about a key, which may be stale while Redis is unreachable.
    #[inline]
    fn cached_answer(
        &mut self,
        key: Key<'_>,
        question: Question<'_>,
        now: Time,
    ) -> Option<Value<'_>> {
        match self.serving(key.name) {
            Serving::Fresh => self.cache.answer(key, question, now),
            Serving::Stale => self.cache.answer_stale(key, question, now),
            Serving::Nothing => None,
        }
    }

    fn fetch_answer(
        &mut self,
        request: &Request<'_>,
        key: &[u8],
        question: &[u8],
        row: &Row,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let waiter = Waiter {
            caller,
            place: replies.wait(cost(key.len() + question.len(), replies)),
            element: None,
        };
        let may_join = self.may_be_served(replies) && !self.awaited.contains(key);
        if may_join && self.in_flight.join(key, Some(question), waiter) {
            self.metrics.keys.coalesced += 1;
            return Outcome::Coalesced;
        }
        self.count_miss(key, caller);
        self.invalidate_written(request, row.writes);
        let words = self.words(request);
        let about = About {
            question,
            words,
            reads_fields: row.fields.is_some(),
        };
        self.in_flight.fetch(key, Some(about), waiter);
        self.asked += 1;
        let batch = self.requests.of(caller.link());
        push_ask(batch, row, key, question, |out| {
            reply::request(out, request.arguments());
        });
        Outcome::Miss
    }
}

/// Requests the answer to a question about a key, followed by what determines how long it may be cached, as for a
/// value.
pub(super) fn push_ask(
    batch: &mut Batch,
    row: &Row,
    key: &[u8],
    question: &[u8],
    write: impl FnOnce(&mut Vec<u8>),
) {
    batch.push(row.reads_only, write);
    if let Some(fields) = row.fields {
        let rest = read_question(question).map_or(&[][..], |(_, _, rest)| rest);
        ask_for_life(batch, fields, key, rest);
    }
    ask_for_time_to_live(batch, key);
}

/// Writes what distinguishes a question from others about the same key: the protocol version, the command, and the
/// other arguments as bulk strings.
pub(super) fn write_question(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    position: usize,
    caller: Caller,
) {
    out.extend_from_slice(&kind(caller.protocol, caller.command));
    for (at, argument) in request.arguments().enumerate().skip(1) {
        if at != position {
            reply::bulk(out, argument);
        }
    }
}

/// The start of a question.
#[inline]
fn kind(protocol: Protocol, command: u16) -> [u8; 3] {
    let protocol = match protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    };
    let [low, high] = command.to_le_bytes();
    [protocol, low, high]
}

/// The number of a question's command.
pub(in crate::proxy) fn question_command(question: Question<'_>) -> u16 {
    let [_, low, high, _] = question.kind.to_le_bytes();
    u16::from_le_bytes([low, high])
}

/// The protocol version of a question, the number of its command, and its arguments except the key, as bulk strings.
pub(super) fn read_question(question: &[u8]) -> Option<(Protocol, u16, &[u8])> {
    let (&[protocol, low, high], rest) = question.split_first_chunk()?;
    let link = match protocol {
        2 => Protocol::Resp2,
        3 => Protocol::Resp3,
        _ => return None,
    };
    Some((link, u16::from_le_bytes([low, high]), rest))
}
