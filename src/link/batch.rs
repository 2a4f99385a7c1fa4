//! Requests to be sent to Redis.

use super::empty;

/// Encoded requests for Redis, in the order in which they are sent on one connection.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The encoded requests, one after another.
    pub bytes: Vec<u8>,
    /// Where each request ends, and how it may be handled.
    pub requests: Vec<Pending>,
}

/// A request in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// Where the request ends in [`Batch::bytes`].
    pub end: usize,
    /// Whether it may be sent again if the connection breaks before its reply: it changes nothing.
    pub repeatable: bool,
    /// Whether it must be on the same connection as the previous one, as both are part of one transaction.
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

    /// Adds the request that `encode` appends, which belongs to the previous one.
    pub fn join(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        self.push(false, encode);
        if let Some(request) = self.requests.last_mut() {
            request.joined = true;
        }
    }

    /// Whether there are no requests.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Removes all requests. Keeps the memory for reuse, unless it is too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.requests);
    }

    /// Moves all requests of `other` to the end of this batch.
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
