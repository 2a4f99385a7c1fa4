//! A dedicated connection that a client has not asked for, and has only until all is answered.

/// How many requests with large replies are in flight at the most: Redis executes all that it has read of a client before
/// others have their turn.
const LARGE_IN_FLIGHT: usize = 2;

/// The same for those whose replies are not known, where Redis would close the connection if they were large.
const UNKNOWN_IN_FLIGHT: usize = 64;

/// Of how much that was asked about it is remembered how long the replies were.
const HASHES_MAX: usize = 1024;

/// What a client borrows a connection for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Loan {
    /// Requests whose replies are, or may be, large. What else the client sends waits.
    LargeReply,
    /// Anything else, as the shared connection may break. What the client sends behind it goes there too.
    Any,
}

/// What came over a connection that a client has borrowed.
#[derive(Clone, Debug)]
pub(in crate::proxy) struct Borrowed {
    pub loan: Loan,
    /// How many requests may be in flight.
    most: usize,
    /// How many went over it.
    requests: usize,
    /// What they asked about, as [`crate::proxy::store::LargeReplies`] hashes it, and where that ends for each.
    hashes: Vec<u64>,
    ends: Vec<usize>,
    /// How long the replies were.
    lengths: Vec<usize>,
}

impl Borrowed {
    /// One for that. Where Redis has a limit of its own, it sees to it that a client is not owed too much.
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
        }
    }

    /// Whether another request may go over it, while so many are in flight.
    pub fn takes(&self, in_flight: usize) -> bool {
        in_flight < self.most
    }

    /// Whether a request went over it.
    pub fn is_used(&self) -> bool {
        self.requests > 0
    }

    /// A request goes over it, which asks about that.
    pub fn add(&mut self, hashes: impl Iterator<Item = u64>) {
        self.requests += 1;
        if self.ends.len() < HASHES_MAX {
            let room = HASHES_MAX - self.hashes.len();
            self.hashes.extend(hashes.take(room));
            self.ends.push(self.hashes.len());
        }
    }

    /// A reply of so many bytes has come.
    pub fn note_reply(&mut self, length: usize) {
        if self.lengths.len() < HASHES_MAX {
            self.lengths.push(length);
        }
    }

    /// What was asked about, with the length of the reply to each request, if there was one to each.
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
