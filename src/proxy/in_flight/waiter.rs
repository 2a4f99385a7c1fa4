//! Clients that wait for a reply.

use super::super::caller::Caller;
use super::super::replies::Place;

/// A client that waits for a reply, and the place of the reply in the client's queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Waiter {
    pub caller: Caller,
    pub place: Place,
    /// The element of an array reply that the reply fills.
    pub element: Option<u32>,
}

/// One or more waiters; a single one needs no allocation.
pub(in crate::proxy) struct Waiters {
    pub first: Waiter,
    pub others: Vec<Waiter>,
}

impl Waiters {
    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &Waiter> {
        std::iter::once(&self.first).chain(&self.others)
    }
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
