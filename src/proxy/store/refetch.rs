//! A value or an answer that was read from the cache is likely to be read again: when Redis reports that its key has
//! changed, it is fetched anew at once, so that the next read finds it. One that nobody has read since it was fetched is
//! left alone, so Redis is asked no oftener than its clients would ask it without a cache.

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::super::in_flight::About;
use super::asks::{push_ask, read_question};
use super::{Coherence, Redis, Serving, Store, ask_for_value};
use crate::cache::Read;
use crate::clock::Time;
use crate::command::Table;
use crate::resp::Protocol;
use crate::resp::request::{Parsed, Parser};

/// The link that values go over.
const LINK: Protocol = Protocol::Resp2;

/// The most that are in flight: requests of clients wait behind them.
const IN_FLIGHT_MAX: usize = 64;

/// The most keys that clients have written and that Redis has not reported yet; hashes of them.
const WRITTEN_MAX: usize = 1024;

/// What is fetched anew.
#[derive(Default)]
pub(in crate::proxy) struct Refetches {
    enabled: bool,
    in_flight: usize,
    /// What was read of keys which a client has written since, by the hashes of the keys: one that is there by mistake
    /// costs a fetch.
    written: HashMap<u64, Read, RandomState>,
}

impl Refetches {
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// One is answered.
    pub fn answered(&mut self) {
        self.in_flight -= 1;
    }
}

impl Store {
    /// A client writes a key of which that was read from the cache; Redis will report it.
    pub(super) fn note_written(&mut self, key: &[u8], read: Read) {
        if self.refetches.enabled && self.coherence == Coherence::Tracking {
            let written = &mut self.refetches.written;
            if written.len() >= WRITTEN_MAX {
                written.clear();
            }
            let hash = written.hasher().hash_one(key);
            written.entry(hash).or_default().add(read);
        }
    }

    /// Redis reports that a key has changed: fetches what was read of it from the cache anew, for whoever asks next.
    pub(super) fn refetch(&mut self, key: &[u8], read: Read, now: Time) {
        let mut read = read;
        let written = &mut self.refetches.written;
        if !written.is_empty() {
            let hash = written.hasher().hash_one(key);
            read.add(written.remove(&hash).unwrap_or_default());
        }
        if read.is_nothing() || !self.may_refetch(key) {
            return;
        }
        if read.value {
            self.refetch_value(key, now);
        }
        for question in &read.questions {
            self.refetch_answer(key, question, now);
        }
    }

    fn may_refetch(&self, key: &[u8]) -> bool {
        self.refetches.enabled
            && matches!(self.redis, Redis::Up)
            && self.coherence == Coherence::Tracking
            && self.serving == Serving::Fresh
            && !self.awaited.contains(key)
    }

    fn refetch_value(&mut self, key: &[u8], now: Time) {
        if !self.in_flight.is_fetched(key, None)
            && !self.is_large_value(key)
            && self.count_refetch()
        {
            self.in_flight.refetch(key, None, Table::GET, LINK, now);
            ask_for_value(self.requests.of(LINK), key);
        }
    }

    fn refetch_answer(&mut self, key: &[u8], question: &[u8], now: Time) {
        let Some((link, command, rest)) = read_question(question) else {
            return;
        };
        let is_large =
            !self.large.is_empty() && self.large.contains(self.large.hash_of(command, key));
        let Some((row, request)) = self.table.ask(command, key, rest).filter(|_| !is_large) else {
            return;
        };
        if self.in_flight.is_fetched(key, Some(question)) || !self.count_refetch() {
            return;
        }
        let words = match Parser::new().parse(&request) {
            Ok(Parsed::Request { request, .. }) => self.words(&request),
            _ => return,
        };
        let about = About {
            question,
            words,
            reads_fields: row.fields.is_some(),
        };
        self.in_flight.refetch(key, Some(about), command, link, now);
        push_ask(self.requests.of(link), &row, key, question, |out| {
            out.extend_from_slice(&request);
        });
    }

    /// Counts another one, if there may be.
    fn count_refetch(&mut self) -> bool {
        let is_room = self.refetches.in_flight < IN_FLIGHT_MAX;
        if is_room {
            self.refetches.in_flight += 1;
            self.metrics.refetches += 1;
            self.asked += 1;
        }
        is_room
    }
}
