//! The requests that Redis has not answered yet. Replies come in the order of the requests, so the oldest
//! is always the next; and a key that is being fetched is found again, to wait for that fetch.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::ClientId;
use super::replies::Place;
use crate::resp::Protocol;

/// Who waits for a reply, and where among that client's replies it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub client: ClientId,
    pub place: Place,
    /// The element of an array reply that it is.
    pub element: Option<usize>,
    /// What the client speaks: a null differs.
    pub protocol: Protocol,
}

/// A request that is under way.
pub(super) struct Asked {
    /// The key whose value it fetches.
    pub key: Option<Rc<[u8]>>,
    /// Whether the value may be cached: the key was not written since.
    pub fresh: bool,
    pub waiters: Waiters,
}

/// One or more; one needs no allocation.
pub(super) struct Waiters {
    first: Waiter,
    others: Vec<Waiter>,
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
    /// Lets a waiter wait for the fetch of a key that is under way. Returns whether there is one.
    pub fn join(&mut self, key: &[u8], waiter: Waiter) -> bool {
        let Some(number) = self.fetches.get(key) else {
            return false;
        };
        let index = (number - self.answered) as usize;
        self.asked[index].waiters.others.push(waiter);
        true
    }

    /// A fetch of a key was sent.
    pub fn fetch(&mut self, key: &[u8], waiter: Waiter) {
        let key: Rc<[u8]> = key.into();
        self.fetches
            .insert(Rc::clone(&key), self.answered + self.asked.len() as u64);
        self.ask(Some(key), waiter);
    }

    /// Another request was sent.
    pub fn forward(&mut self, waiter: Waiter) {
        self.ask(None, waiter);
    }

    fn ask(&mut self, key: Option<Rc<[u8]>>, first: Waiter) {
        let waiters = Waiters {
            first,
            others: Vec::new(),
        };
        self.asked.push_back(Asked {
            key,
            fresh: true,
            waiters,
        });
    }

    /// A key is being written: what is being fetched of it is for those who wait, but not for the cache
    /// nor for those who come later.
    pub fn written(&mut self, key: &[u8]) {
        if let Some(number) = self.fetches.remove(key) {
            self.asked[(number - self.answered) as usize].fresh = false;
        }
    }

    /// The same for all keys.
    pub fn all_written(&mut self) {
        for number in std::mem::take(&mut self.fetches).into_values() {
            self.asked[(number - self.answered) as usize].fresh = false;
        }
    }

    /// The oldest is answered.
    pub fn answered(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        // A fetch that is no longer fresh isn't found; a newer one of that key may be.
        if let Some(key) = &asked.key
            && asked.fresh
        {
            self.fetches.remove(key);
        }
        self.answered += 1;
        Some(asked)
    }
}
