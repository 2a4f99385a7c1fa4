//! Requests on their way to Redis.

use std::time::Instant;

use super::{Replies, empty};
use crate::resp::Protocol;

/// Requests for Redis, encoded, in the order in which they are to be sent.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Batch {
    /// The requests behind one another.
    pub bytes: Vec<u8>,
    /// Where each ends, and whether it may be sent a second time.
    pub requests: Vec<Pending>,
    /// How many of the bytes are sent already, and since when.
    pub sent: Option<(usize, Instant)>,
    /// The replies that came already, and the start of the next; mostly it is the memory for them alone.
    pub replies: Replies,
}

/// A request in a [`Batch`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Pending {
    /// The end of its bytes in [`Batch::bytes`].
    pub end: usize,
    /// The version of the protocol in which its reply is wanted.
    pub protocol: Protocol,
    /// Whether it may be sent again, should the connection break before its reply: it changes nothing.
    pub repeatable: bool,
}

impl Batch {
    /// Adds the request that `encode` appends.
    pub fn push(
        &mut self,
        protocol: Protocol,
        repeatable: bool,
        encode: impl FnOnce(&mut Vec<u8>),
    ) {
        encode(&mut self.bytes);
        self.requests.push(Pending {
            end: self.bytes.len(),
            protocol,
            repeatable,
        });
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.requests.is_empty()
    }

    /// Forgets them, and keeps the memory for others, if it isn't too much.
    pub fn clear(&mut self) {
        empty(&mut self.bytes);
        empty(&mut self.requests);
        self.sent = None;
        self.replies.clear();
    }

    /// Keeps the memory of replies that were delivered for others.
    pub fn reuse(&mut self, mut replies: Replies) {
        replies.clear();
        self.replies = replies;
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
