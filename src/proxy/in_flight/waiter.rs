//! Clients that wait for a reply.

use super::super::ClientId;
use super::super::replies::Place;
use crate::cache::Key;
use crate::clock::Time;
use crate::resp::Protocol;
use crate::upstream::{LinkId, NodeId};

/// Whose request it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Caller {
    pub client: ClientId,
    /// The client's protocol version and database, which select the link for its requests.
    pub protocol: Protocol,
    pub database: u32,
    /// The node that the request is sent to.
    pub node: NodeId,
    /// The command's number in the table.
    pub command: u16,
    /// When its last byte had arrived.
    pub since: Time,
}

impl Caller {
    /// The link that its requests go over.
    #[inline]
    pub fn link(&self) -> LinkId {
        LinkId::new(self.protocol, self.database).at(self.node)
    }

    /// The key of that name in its database.
    #[inline]
    pub fn key<'a>(&self, name: &'a [u8]) -> Key<'a> {
        Key::new(self.database, name)
    }
}

/// A client that waits for a reply, and the reply's place among those of the client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Waiter {
    pub caller: Caller,
    pub place: Place,
    /// The element of an array reply that it fills.
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
