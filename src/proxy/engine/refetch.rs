//! A value or an answer that was read from the cache is likely to be read again. When Redis reports that its key has
//! changed, it is fetched again at once, so that the next read is a hit. An entry that was not read since it was
//! fetched is not fetched again, so Redis gets no more requests than it would get from its clients without a cache.
//!
//! That alone would never help a session that is read and then written with every request. So a value that a client's
//! miss fetched, and that a client then writes, is fetched again once, in the hope that it will be read: see [`Hopes`].

use std::collections::HashMap;
use std::hash::BuildHasher;

use foldhash::fast::RandomState;

use super::super::in_flight::About;
use super::asks::{push_ask, read_question};
use super::get::ask_for_value;
use super::servers::Server;
use super::{Coherence, Engine, Serving};
use crate::cache::{Key, Read, Removed};
use crate::clock::Time;
use crate::command::{Table, internal};
use crate::resp::request::{Parsed, Parser};
use crate::upstream::LinkId;

/// The most refetches in flight, as clients' requests queue behind them.
const IN_FLIGHT_MAX: usize = 64;

/// The most keys that clients have written and that Redis has not reported yet, by hash.
const WRITTEN_MAX: usize = 1024;

/// How many keys may have hopes, at 8 bytes each.
const HOPES: usize = 1024;

/// The price of a hope, and its reward if it comes true. A hope thus pays off if every other one comes true.
const PRICE: u16 = 16;
const PRIZE: u16 = 2 * PRICE;
/// The largest budget. Each miss adds 1, so that if no hope comes true, Redis gets one more request per 16 misses.
const MEANS_MAX: u16 = 64 * PRICE;

/// The values to refetch.
#[derive(Default)]
pub(in crate::proxy) struct Refetches {
    enabled: bool,
    hopes: Hopes,
    in_flight: usize,
    /// What was read of keys that a client has written since, by the keys' hashes. A collision costs one fetch.
    written: HashMap<u64, Read, RandomState>,
    /// What was read of the key that was just invalidated, for each database that may hold such a key.
    read: Vec<(u32, Read)>,
}

/// The keys whose values have not been read from the cache yet, but may be read soon.
#[derive(Default)]
struct Hopes {
    /// By hash, one key per place. Allocated when the first hope is noted.
    keys: Vec<Hope>,
    means: u16,
}

/// A hope for a key, which is identified by the half of its hash that does not select the place.
#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Hope {
    #[default]
    None,
    /// A client's miss fetched the value.
    Missed(u32),
    /// The value was refetched because a client wrote the key.
    Refetched(u32),
}

fn half(hash: u64) -> u32 {
    (hash >> 32) as u32
}

impl Hopes {
    fn of(&mut self, hash: u64) -> Option<&mut Hope> {
        self.keys.get_mut(hash as usize % HOPES)
    }

    /// A client's miss fetched the value of a key.
    fn missed(&mut self, hash: u64) {
        if self.keys.is_empty() {
            self.keys = vec![Hope::None; HOPES];
            self.means = MEANS_MAX;
        }
        self.means = MEANS_MAX.min(self.means + 1);
        if let Some(hope) = self.of(hash) {
            *hope = Hope::Missed(half(hash));
        }
    }

    /// A client writes a key. `was_read` is whether its value was read from the cache. Returns whether to hope that it
    /// will be.
    fn written(&mut self, hash: u64, was_read: bool) -> bool {
        let means = self.means;
        let Some(hope) = self.of(hash) else {
            return was_read;
        };
        match *hope {
            Hope::Missed(of) if of == half(hash) && !was_read => {
                let is_hoped = means >= PRICE;
                *hope = if is_hoped {
                    Hope::Refetched(half(hash))
                } else {
                    Hope::None
                };
                self.means -= if is_hoped { PRICE } else { 0 };
                is_hoped
            }
            Hope::Refetched(of) if of == half(hash) => {
                // If the value was read, it is an ordinary entry from now on.
                *hope = Hope::None;
                self.means = MEANS_MAX.min(means + if was_read { PRIZE } else { 0 });
                was_read
            }
            _ => was_read,
        }
    }
}

impl Refetches {
    pub fn enable(&mut self, enabled: bool) {
        self.enabled = enabled;
    }

    /// A client's miss fetched the value of a key.
    pub fn missed(&mut self, key: Key<'_>) {
        if self.enabled {
            self.hopes.missed(self.written.hasher().hash_one(key));
        }
    }

    /// Keys of one name are about to be invalidated: drops what was noted of the previous name.
    pub fn forget_read(&mut self) {
        self.read.clear();
    }

    /// Notes what was read of such a key, in its database.
    pub fn note_read(&mut self, removed: Removed) {
        self.read.push((removed.database, removed.read));
    }

    /// Notes that a database may hold such a key too.
    pub fn note_database(&mut self, database: u32) {
        if !self.read.iter().any(|(noted, _)| *noted == database) {
            self.read.push((database, Read::default()));
        }
    }

    /// Redis reports a change of the keys `name`, which were just invalidated. Adds those that were read, either since
    /// they were cached or before a client wrote them.
    pub fn list_changed<'a>(&mut self, name: &'a [u8], changed: &mut Vec<(Key<'a>, Read)>) {
        for (database, mut read) in self.read.drain(..) {
            let key = Key::new(database, name);
            if !self.written.is_empty() {
                let hash = self.written.hasher().hash_one(key);
                read.add(self.written.remove(&hash).unwrap_or_default());
            }
            if !read.is_nothing() {
                changed.push((key, read));
            }
        }
    }

    /// A refetch is answered.
    pub fn answered(&mut self) {
        self.in_flight -= 1;
    }
}

impl Engine {
    /// A client writes the keys `name`, which were just invalidated. Redis will report the change.
    pub(super) fn note_written(&mut self, name: &[u8]) {
        let is_reported = self.server(self.node_of(name)).coherence == Coherence::Tracking;
        let Refetches {
            enabled,
            hopes,
            written,
            read,
            ..
        } = &mut self.refetches;
        let is_known = !hopes.keys.is_empty() || read.iter().any(|(_, read)| !read.is_nothing());
        if !*enabled || !is_known || !is_reported {
            return;
        }
        for (database, mut read) in read.drain(..) {
            let hash = written.hasher().hash_one(Key::new(database, name));
            read.value = hopes.written(hash, read.value);
            if !read.is_nothing() {
                if written.len() >= WRITTEN_MAX {
                    written.clear();
                }
                written.entry(hash).or_default().add(read);
            }
        }
    }

    /// Fetches again what was read of a key from the cache, for the next client that requests it.
    pub(super) fn refetch(&mut self, key: Key<'_>, read: &Read, now: Time) {
        let server = self.server(self.node_of(key.name));
        let reports = server.coherence == Coherence::Tracking;
        if self.refetches.enabled && reports && self.may_refetch(server, key) {
            self.refetch_all(key, read, now);
        }
    }

    /// Whether a key may be refetched. If Redis limits its output buffers, none is: a longer reply than before might
    /// break the connection for all.
    fn may_refetch(&self, server: &Server, key: Key<'_>) -> bool {
        server.is_up()
            && !self.large.is_limited()
            && server.serving == Serving::Fresh
            && !self.awaited.contains(key.name)
    }

    /// Refreshes entries that were read shortly before they expire, as their rules demand, so that the next read is a
    /// hit too.
    #[cold]
    #[inline(never)]
    pub(super) fn refresh(&mut self) {
        for (key, since) in self.cache.take_read_ahead() {
            let key = Key::from(&key);
            let server = self.server(self.node_of(key.name));
            if server.is_kept_coherent() && self.may_refetch(server, key) {
                let read = self.cache.read_of(key);
                self.refetch_all(key, &read, since);
            }
        }
    }

    fn refetch_all(&mut self, key: Key<'_>, read: &Read, now: Time) {
        if read.value {
            self.refetch_value(key, now);
        }
        for question in &read.questions {
            self.refetch_answer(key, question, now);
        }
    }

    fn refetch_value(&mut self, key: Key<'_>, now: Time) {
        if self.in_flight.is_fetched(key, None) || self.is_large_value(key.name) {
            return;
        }
        // Redis's report may have arrived before the reply to the write. Over the link of the write, the fetch comes
        // after the write, so Redis answers with the new value.
        if let Some(link) = self.in_flight.link_for(key)
            && self.count_refetch()
        {
            let name = key.name;
            self.in_flight.refetch(name, None, Table::GET, link, now);
            ask_for_value(self.requests.of(link), internal::GET.as_bytes(), name);
        }
    }

    fn refetch_answer(&mut self, key: Key<'_>, question: &[u8], now: Time) {
        let Some((protocol, command, rest)) = read_question(question) else {
            return;
        };
        let (name, link) = (key.name, LinkId::new(protocol, key.database));
        let is_large =
            !self.large.is_empty() && self.large.contains(self.large.hash_of(command, name));
        let Some((row, request)) = self.table.ask(command, name, rest).filter(|_| !is_large) else {
            return;
        };
        let is_overtaken = self.in_flight.is_written_elsewhere(name, link);
        let is_fetched = self.in_flight.is_fetched(key, Some(question));
        if is_overtaken || is_fetched || !self.count_refetch() {
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
        self.in_flight
            .refetch(name, Some(about), command, link, now);
        push_ask(self.requests.of(link), &row, name, question, |out| {
            out.extend_from_slice(&request);
        });
    }

    /// Counts a refetch, if another one is allowed.
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
