//! The requests that Redis has not answered yet. Replies come in the order of the requests, so the oldest
//! is always the next; and a key that is being fetched is found again, to wait for that fetch.

use std::collections::{HashMap, VecDeque};
use std::rc::Rc;

use foldhash::fast::RandomState;

use super::ClientId;
use super::replies::Place;

/// Who waits for a reply, and where among that client's replies it belongs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Waiter {
    pub client: ClientId,
    pub place: Place,
}

/// A request that is under way.
pub(super) struct Asked {
    /// The key whose value it fetches for the cache.
    pub key: Option<Rc<[u8]>>,
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
    /// The number of the fetch of each key that is being fetched.
    fetches: HashMap<Rc<[u8]>, u64, RandomState>,
}

impl InFlight {
    /// Lets `waiter` wait for the fetch of a key that is under way. Returns whether there is one.
    pub fn join(&mut self, key: &[u8], waiter: impl FnOnce() -> Waiter) -> bool {
        let Some(number) = self.fetches.get(key) else {
            return false;
        };
        let index = (number - self.answered) as usize;
        self.asked[index].waiters.others.push(waiter());
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
        self.asked.push_back(Asked {
            key,
            waiters: Waiters {
                first,
                others: Vec::new(),
            },
        });
    }

    /// The oldest is answered.
    pub fn answered(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        if let Some(key) = &asked.key
            && self.fetches.get(key) == Some(&self.answered)
        {
            self.fetches.remove(key);
        }
        self.answered += 1;
        Some(asked)
    }
}
