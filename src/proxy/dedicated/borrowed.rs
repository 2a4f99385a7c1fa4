//! A dedicated connection that the client did not ask for, and keeps only until its requests are answered.

use crate::proxy::permits::Permit;

/// How many requests with large replies may be in flight: Redis executes everything that it has read from a client
/// before others have their turn.
const LARGE_IN_FLIGHT: usize = 2;

/// How many requests may be in flight whose reply size is unknown, where Redis would close the connection if the replies
/// were large.
const UNKNOWN_IN_FLIGHT: usize = 64;

/// For how many queries the reply lengths are remembered.
const HASHES_MAX: usize = 1024;

/// What a client borrows a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Loan {
    /// Requests with replies that are large, or may be. The client's other requests wait.
    LargeReply,
    /// Any requests, as the shared connection might break. The client's later requests also use the borrowed
    /// connection.
    Any,
}

/// What a client has done with a borrowed connection.
#[derive(Debug)]
pub(in crate::proxy) struct Borrowed {
    pub loan: Loan,
    /// How many requests may be in flight.
    most: usize,
    /// How many requests were sent over it.
    requests: usize,
    /// The hashes by which large replies are remembered, of all keys that were read, and where those of each request
    /// end.
    hashes: Vec<u64>,
    ends: Vec<usize>,
    /// The lengths of the replies.
    lengths: Vec<usize>,
    /// A permit to request a large reply. It is returned when the reply begins.
    permit: Option<Permit>,
}

impl Borrowed {
    /// A connection borrowed for `loan`. If Redis limits its output buffers, Redis itself bounds what is outstanding
    /// for a client.
    pub fn new(loan: Loan, is_limited: bool) -> Self {
        let most = match (loan, is_limited) {
            (Loan::LargeReply, false) => LARGE_IN_FLIGHT,
            (Loan::LargeReply, true) => UNKNOWN_IN_FLIGHT,
            (Loan::Any, _) => usize::MAX,
        };
        Self {
            loan,
            most,
            requests: 0,
            hashes: Vec::new(),
            ends: Vec::new(),
            lengths: Vec::new(),
            permit: None,
        }
    }

    /// Whether another request may be sent over it while `in_flight` requests are.
    pub fn takes(&self, in_flight: usize) -> bool {
        in_flight < self.most
    }

    /// Whether a request was sent over it.
    pub fn is_used(&self) -> bool {
        self.requests > 0
    }

    /// Whether the next request needs a permit, if it is the only one. A request whose reply is merely not known to be
    /// short needs none.
    pub fn needs_permit(&self) -> bool {
        self.most == LARGE_IN_FLIGHT && self.permit.is_none()
    }

    /// Stores the permit.
    pub fn set_permit(&mut self, permit: Permit) {
        self.permit = Some(permit);
    }

    /// Returns the permit, as the reply has begun.
    pub fn drop_permit(&mut self) {
        self.permit = None;
    }

    /// Records a request that is sent over it, with the hashes of what it reads.
    pub fn add(&mut self, hashes: impl Iterator<Item = u64>) {
        self.requests += 1;
        if self.ends.len() < HASHES_MAX {
            let room = HASHES_MAX - self.hashes.len();
            self.hashes.extend(hashes.take(room));
            self.ends.push(self.hashes.len());
        }
    }

    /// Records a reply of `length` bytes.
    pub fn note_reply(&mut self, length: usize) {
        if self.lengths.len() < HASHES_MAX {
            self.lengths.push(length);
        }
    }

    /// The hashes of each request with the length of its reply, if every request had one.
    pub fn replies(&self) -> impl Iterator<Item = (&[u64], usize)> {
        let known = self.lengths.len() == self.ends.len();
        let starts = std::iter::once(0).chain(self.ends.iter().copied());
        let ranges = starts.zip(&self.ends).map(|(start, end)| start..*end);
        let replies = ranges
            .zip(&self.lengths)
            .take(if known { HASHES_MAX } else { 0 });
        replies.map(|(range, length)| (&self.hashes[range], *length))
    }
}
