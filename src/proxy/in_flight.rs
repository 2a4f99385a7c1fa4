//! The requests that Redis has not answered yet. Replies come in the order of the requests, so the oldest
//! is always the next; and a key that is being fetched is found again, to wait for that fetch.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::ClientId;
use super::replies::Place;
use super::rule::{Rule, obeys};
use super::slow_log::Words;
use crate::clock::Time;
use crate::resp::Protocol;

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Caller {
    pub client: ClientId,
    /// What the client speaks: a null differs.
    pub protocol: Protocol,
    /// The command's number in the table.
    pub command: u16,
    /// When its last byte was there.
    pub since: Time,
}

/// Who waits for a reply, and where among that client's replies it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub caller: Caller,
    pub place: Place,
    /// The element of an array reply that it is.
    pub element: Option<u32>,
}

/// A request that is under way.
pub(super) enum Asked {
    /// A key's value.
    Fetch(Fetch),
    /// How long the key of the fetch before it has to live.
    TimeToLive,
    /// What a client sent, and how the slow log would show it.
    Forward(Waiter, Words),
    /// What the command of that name is; without a name, what all are.
    Describe(Option<Box<[u8]>>),
}

/// A GET for all who want that key's value.
pub(super) struct Fetch {
    pub key: Rc<[u8]>,
    /// Whether the value may be cached: the key was not written since.
    pub fresh: bool,
    /// Whether the time to live is asked for behind it.
    pub with_ttl: bool,
    pub waiters: Waiters,
}

/// One or more; one needs no allocation.
pub(super) struct Waiters {
    pub first: Waiter,
    pub others: Vec<Waiter>,
}

impl From<Waiter> for Waiters {
    fn from(first: Waiter) -> Self {
        Self {
            first,
            others: Vec::new(),
        }
    }
}

impl IntoIterator for Waiters {
    type Item = Waiter;
    type IntoIter = std::iter::Chain<std::iter::Once<Waiter>, std::vec::IntoIter<Waiter>>;

    fn into_iter(self) -> Self::IntoIter {
        std::iter::once(self.first).chain(self.others)
    }
}

/// What Redis was asked, oldest first.
#[derive(Default)]
pub(super) struct InFlight {
    asked: VecDeque<Asked>,
    /// How many were answered: the number of the oldest in `asked`.
    answered: u64,
    /// The number of the fetch of each key that a miss may wait for.
    fetches: HashMap<Rc<[u8]>, u64, RandomState>,
}

impl InFlight {
    /// Them all.
    #[cfg(test)]
    pub fn iter(&self) -> impl Iterator<Item = &Asked> {
        self.asked.iter()
    }

    /// Lets a waiter wait for the fetch of a key that is under way. Returns whether there is one.
    pub fn join(&mut self, key: &[u8], waiter: Waiter) -> bool {
        let Some(number) = self.fetches.get(key) else {
            return false;
        };
        let index = (number - self.answered) as usize;
        if let Asked::Fetch(fetch) = &mut self.asked[index] {
            fetch.waiters.others.push(waiter);
        }
        true
    }

    /// A fetch of a key was sent, perhaps with a request for its time to live behind it.
    pub fn fetch(&mut self, key: &[u8], with_ttl: bool, first: Waiter) {
        let key: Rc<[u8]> = key.into();
        self.fetches
            .insert(Rc::clone(&key), self.answered + self.asked.len() as u64);
        let waiters = first.into();
        self.asked.push_back(Asked::Fetch(Fetch {
            key,
            fresh: true,
            with_ttl,
            waiters,
        }));
        if with_ttl {
            self.asked.push_back(Asked::TimeToLive);
        }
    }

    /// Another request was sent.
    pub fn forward(&mut self, waiter: Waiter, words: Words) {
        self.asked.push_back(Asked::Forward(waiter, words));
    }

    /// Redis was asked to describe a command, or all.
    pub fn describe(&mut self, name: Option<Box<[u8]>>) {
        self.asked.push_back(Asked::Describe(name));
    }

    /// A key was changed: what is being fetched of it is for those who wait, but not for the cache nor
    /// for those who come later.
    pub fn changed(&mut self, key: &[u8]) {
        let found = if obeys(Rule::ChangedKeysAreFetchedAnew) {
            self.fetches.remove(key)
        } else {
            self.fetches.get(key).copied()
        };
        if let Some(number) = found {
            self.spoil(number);
        }
    }

    /// The same for all keys.
    pub fn all_changed(&mut self) {
        for number in std::mem::take(&mut self.fetches).into_values() {
            self.spoil(number);
        }
    }

    fn spoil(&mut self, number: u64) {
        if let Asked::Fetch(fetch) = &mut self.asked[(number - self.answered) as usize] {
            fetch.fresh = !obeys(Rule::ChangedKeysAreNotCached);
        }
    }

    /// The oldest is answered.
    pub fn answered(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        // A fetch that is no longer fresh isn't found; a newer one of that key may be.
        if let Asked::Fetch(fetch) = &asked
            && (fetch.fresh
                || !obeys(Rule::NewerFetchesAreKeptTrackOf)
                || !obeys(Rule::ChangedKeysAreFetchedAnew))
        {
            self.fetches.remove(&fetch.key);
        }
        self.answered += 1;
        Some(asked)
    }
}
