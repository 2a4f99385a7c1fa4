//! Questions about a key: commands that only read it, save GET. Their replies are cached beside its value, as Redis
//! encodes them, by all of the request but the key, and by the version of the protocol.

use super::super::in_flight::{Caller, Waiter};
use super::super::replies::Replies;
use super::{Redis, Serving, Store, cost};
use crate::cache::{Key, Value};
use crate::clock::Time;
use crate::command::Row;
use crate::metrics::Outcome;
use crate::resp::Protocol;
use crate::resp::reply;
use crate::resp::request::Request;

/// How much memory is kept for the next question, in bytes.
const KEPT: usize = 1024;

impl Store {
    /// Answers a request that asks about the key at that position: from the cache, or as Redis does.
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
            true => self.cached_answer(caller.key(key), &question, caller.since),
            false => None,
        };
        let outcome = if let Some(answer) = answer {
            replies.push_answer(&answer);
            self.metrics.keys.hits += 1;
            Outcome::Hit
        } else if let Redis::Down(outage) = &self.redis {
            replies.push_outage(outage);
            Outcome::Refused
        } else {
            self.fetch_answer(request, key, &question, row, caller, replies)
        };
        question.clear();
        question.shrink_to(KEPT);
        self.question = question;
        outcome
    }

    /// Whether the answer to such a request is in the cache.
    pub(super) fn has_answer(
        &mut self,
        request: &Request<'_>,
        position: usize,
        caller: Caller,
    ) -> bool {
        let mut question = std::mem::take(&mut self.question);
        write_question(&mut question, request, position, caller);
        let key = request.argument(position);
        let answer = self.cached_answer(caller.key(key), &question, caller.since);
        let has_answer = answer.is_some();
        question.clear();
        question.shrink_to(KEPT);
        self.question = question;
        has_answer
    }

    /// What the cache has of a question about a key: while Redis can't be reached, that may be stale.
    fn cached_answer(&mut self, key: Key<'_>, question: &[u8], now: Time) -> Option<Value<'_>> {
        match self.serving {
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
        self.metrics.missed(caller.key(key), caller.since);
        self.invalidate_written(request, row.writes);
        let words = self.words(request);
        self.in_flight.fetch(key, Some((question, words)), waiter);
        self.asked += 1;
        let batch = self.requests.of(caller.link());
        batch.push(row.reads_only, |out| {
            reply::request(out, request.arguments());
        });
        batch.push(true, |out| {
            out.extend_from_slice(b"*2\r\n$4\r\nPTTL\r\n");
            reply::bulk(out, key);
        });
        Outcome::Miss
    }
}

/// Writes what tells a question from others about the same key.
pub(super) fn write_question(
    out: &mut Vec<u8>,
    request: &Request<'_>,
    position: usize,
    caller: Caller,
) {
    out.push(match caller.protocol {
        Protocol::Resp2 => 2,
        Protocol::Resp3 => 3,
    });
    out.extend_from_slice(&caller.command.to_le_bytes());
    for (at, argument) in request.arguments().enumerate().skip(1) {
        if at != position {
            out.extend_from_slice(&(argument.len() as u64).to_le_bytes());
            out.extend_from_slice(argument);
        }
    }
}
