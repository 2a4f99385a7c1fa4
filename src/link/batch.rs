//! Requests on their way to Redis.

use super::empty;

/// Requests for Redis, encoded, in the order in which they are to be sent on one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The requests behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends, and what may be done with it.
    pub requests: Vec<Pending>,
}

/// A request in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The end of its bytes in [`Batch::bytes`].
    pub end: usize,
    /// Whether it may be sent again, should the connection break before its reply: it changes nothing.
    pub repeatable: bool,
    /// Whether it makes sense on the same connection as the one before it alone: both are part of one transaction.
    pub joined: bool,
}

impl Batch {
    /// Adds the request that `encode` appends.
    pub fn push(&mut self, repeatable: bool, encode: impl FnOnce(&mut Vec<u8>)) {
        encode(&mut self.bytes);
        self.requests.push(Pending {
            end: self.bytes.len(),
            repeatable,
            joined: false,
        });
    }

    /// Adds the request that `encode` appends, which belongs with the one before it.
    pub fn join(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.push(false, encode);
        if let Some(request) = self.requests.last_mut() {
            request.joined = true;
        }
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Removes them, and keeps the memory for others, if it isn't too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.requests);
    }

    /// Moves all requests of `other` behind these.
    pub fn append(&mut self, other: &mut Self) {
        if self.is_empty() {
            std::mem::swap(self, other);
            return;
        }
        let offset = self.bytes.len();
        self.bytes.append(&mut other.bytes);
        self.requests
            .extend(other.requests.drain(..).map(|request| Pending {
                end: request.end + offset,
                ..request
            }));
    }
}
