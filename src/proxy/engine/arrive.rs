//! Redis's replies: which request each one answers, and whether it is cached.

use std::rc::Rc;
use std::time::Duration;

use super::super::in_flight::{Asked, Asks, Fetch, Fetched, Forward, Part, Then, Waiters};
use super::super::slow_log::Words;
use super::Engine;
use super::fields::fields_to_live;
use super::keep::Found;
use super::slots::{self, Slots};
use crate::cache::Key;
use crate::clock::Time;
use crate::command::Table;
use crate::resp::reply::{Reply, SHARED_MIN};
use crate::upstream::{self, BROKEN, LinkId};

/// A reply of Redis to deliver.
#[derive(Default)]
pub(in crate::proxy) struct Arrived {
    /// The clients that wait for the reply; `None` for the proxy's own requests, and if the reply is late.
    pub waiters: Option<Waiters>,
    /// The key, if its value was requested.
    pub key: Option<Rc<[u8]>>,
    /// The request as the slow log would show it, if it is not a `GET`.
    pub words: Words,
    /// A long reply, in the form that all waiters share.
    pub shared: Option<Rc<[u8]>>,
    /// The next reply belongs to this one.
    pub with_next: bool,
    /// What to do with the reply.
    pub then: Then,
    /// The reply is a script's, which may have written keys that it did not declare.
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

impl Engine {
    /// Matches a reply with the oldest request of a link, and the next reply too, if it belongs to the same request.
    /// Caches what is worth caching.
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
                    // A late request is not retried: it has already broken the connection once.
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

    /// Remembers that the reply to a request is large, or that the request breaks the connection each time.
    fn note_length(&mut self, hash: u64, is_repeated: bool, encoded: &[u8]) {
        if is_repeated && encoded == BROKEN {
            self.large.suspect(hash);
        } else if !upstream::closes(encoded) {
            self.large.note(hash, encoded.len());
        }
    }

    /// Remembers the length of a fetched value, and whether it is large.
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

    /// Empties the cache if a reply says that another node of the cluster now has a slot of which there may be entries.
    fn note_moved(&mut self, encoded: &[u8]) {
        let is_cached = |slots: &Slots| slots::moved(encoded).is_some_and(|slot| slots.has(slot));
        if self.slots.as_ref().is_some_and(is_cached) {
            self.slots = Some(Slots::default());
            self.replaced();
        }
    }

    /// Handles the reply to a fetch. The reply is cached once the key's time to live is known; if that has arrived too,
    /// it is in `next`.
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
                None => self.cache.remove_value(key),
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
}
