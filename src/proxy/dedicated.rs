//! A client's dedicated connection to Redis, for what leaves state on a connection or blocks it.
//!
//! It is set up like the connection that the client has had so far; then bytes pass both ways as they arrive. The
//! proxy learns the connection's state, and which requests are done, from Redis's replies alone: each request that
//! is passed on leaves one expectation ([`expectation`]), and each frame that Redis sends ([`frames`]) is matched
//! with the oldest. So a request that fails changes nothing ([`mirror`]).

mod expectation;
mod frames;
mod keys;
mod mirror;
mod silence;
mod subscriptions;
#[cfg(test)]
mod tests;
mod transaction;

use super::MAX_OWED;
use crate::resp::Protocol;
use crate::resp::reply::Output;
use crate::resp::request::Request;
use expectation::{Expectation, Expectations, Kind};
use frames::Frames;
pub(super) use keys::{Awaited, Keys};
use mirror::{Answer, Class, Mirror};

/// The state of such a connection.
pub(super) struct Dedicated {
    /// What is to be sent to Redis.
    pub to_redis: Output,
    phase: Phase,
    /// The replies that are still to come to requests of the proxy's own.
    set_up: SetUp,
    frames: Frames,
    /// What becomes of the current frame's bytes.
    fate: Fate,
    /// The requests that have no reply yet.
    expectations: Expectations,
    mirror: Mirror,
    /// What the requests that Redis has queued may do.
    queued: Effects,
    /// What was passed on last may tell of what others did.
    tells_of_others: bool,
}

/// The replies to come to requests that set up the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct SetUp {
    /// Those that must be no errors, which come first.
    required: usize,
    /// Those that may.
    optional: usize,
}

#[derive(Debug, PartialEq, Eq, Hash)]
enum Phase {
    /// Requests one way, replies the other.
    Open,
    /// The client's `AUTH` must be answered first; then these bytes set the connection up.
    Authenticating { then: Vec<u8>, set_up: SetUp },
    /// The client sent bytes that are no request: Redis will answer with an error and close.
    Unparsed,
    /// Redis sends a replication stream or the output of its script debugger. Scripts that are debugged may write
    /// any key.
    Stream { writes: bool },
    /// `QUIT` was answered: Redis closes.
    Closing,
}

/// What becomes of a frame's bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Fate {
    /// Not known yet: they are held.
    #[default]
    Unknown,
    /// They go to the client.
    Passed,
    /// They are left out.
    LeftOut,
}

/// What came of bytes from Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// They were passed on.
    Passed,
    /// The client is authenticated.
    Authenticated,
    /// The connection is no longer needed: the client goes back to the shared ones, `reset` or as before.
    Over { reset: bool },
    /// The connection can't go on, for this reason.
    Failed(&'static str),
}

/// What a request may do beyond its connection.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Effects {
    /// The keys that it may write.
    pub keys: Keys,
    /// It may block.
    pub blocks: bool,
    /// There may be other commands after it, or rights to them.
    pub changes_commands: bool,
}

const WRITES_ANYTHING: Effects = Effects {
    keys: Keys::All,
    blocks: false,
    changes_commands: false,
};

/// The most bytes that expectations may take before further requests are left unread. One request may go beyond.
const IN_FLIGHT_MAX: usize = MAX_OWED;

/// A transaction whose keys take more bytes counts as one that may write any key.
const QUEUED_KEYS_MAX: usize = 64 * 1024;

impl Dedicated {
    /// A connection that is set up by `requests`, with so many replies that must be no errors, and so many
    /// behind them that may.
    pub fn new(requests: &[u8], set_up: (usize, usize), protocol: Protocol) -> Self {
        let mut to_redis = Output::default();
        to_redis.copy(requests);
        Self {
            to_redis,
            phase: Phase::Open,
            set_up: set_up.into(),
            frames: Frames::default(),
            fate: Fate::Unknown,
            expectations: Expectations::default(),
            mirror: Mirror::new(protocol),
            queued: Effects::default(),
            tells_of_others: false,
        }
    }

    /// One whose first request is the client's own `AUTH` or `HELLO`, and which is set up after that.
    pub fn authenticating(then: Vec<u8>, set_up: (usize, usize), protocol: Protocol) -> Self {
        let set_up = set_up.into();
        Self {
            phase: Phase::Authenticating { then, set_up },
            ..Self::new(&[], (0, 0), protocol)
        }
    }

    /// Whether the client's next request may be passed on: it depends on no reply, and not too much is in flight.
    pub fn takes_requests(&self) -> bool {
        self.to_redis.len() < MAX_OWED
            && self.expectations.cost() < IN_FLIGHT_MAX
            && match self.phase {
                Phase::Authenticating { .. } => self.expectations.is_empty(),
                Phase::Closing => false,
                Phase::Open | Phase::Unparsed | Phase::Stream { .. } => {
                    let newest = self.expectations.back();
                    !newest.is_some_and(|newest| newest.kind.holds_back())
                }
            }
    }

    /// Whether the client's bytes are passed on without being parsed.
    pub fn is_unparsed(&self) -> bool {
        matches!(self.phase, Phase::Unparsed | Phase::Stream { .. })
    }

    /// Whether Redis answers requests here.
    fn expects_replies(&self) -> bool {
        matches!(self.phase, Phase::Open | Phase::Authenticating { .. })
    }

    /// Whether every request has its reply. That is never known of a connection on which Redis sends no replies or
    /// which it is about to close.
    pub fn is_quiet(&self) -> bool {
        self.expects_replies() && self.expectations.is_empty()
    }

    /// Whether the client is blocked at Redis.
    pub fn is_blocked(&self) -> bool {
        let oldest = self.expectations.front();
        oldest.is_some_and(|oldest| oldest.effects.blocks)
            && self.expects_replies()
            && !self.mirror.queues()
    }

    /// Whether the client is in a transaction, or waits for a reply.
    pub fn is_busy(&self) -> bool {
        self.mirror.queues() || !self.expectations.is_empty() || !self.to_redis.is_empty()
    }

    /// Whether the client may be there for what comes unasked.
    pub fn is_listening(&self) -> bool {
        self.mirror.listens() || matches!(self.phase, Phase::Stream { .. })
    }

    /// Whether Redis must see at once that the client has closed its side, as that ends a request that blocks.
    /// Otherwise every request gets its reply first.
    pub fn passes_end_on(&self) -> bool {
        self.is_blocked() || !self.expects_replies()
    }

    /// Passes on a request, whose encoded form is `bytes`, of the command that Redis itself calls by this name.
    pub fn pass(&mut self, request: &Request<'_>, name: &[u8], bytes: &[u8], effects: Effects) {
        let kind = Kind::of(request, name);
        match kind.substitute(request) {
            Some(substitute) => self.to_redis.copy(&substitute),
            None => self.to_redis.copy(bytes),
        }
        self.expect(kind, effects);
    }

    /// Passes on an empty line or an empty array.
    pub fn pass_blank(&mut self, bytes: &[u8]) {
        self.to_redis.copy(bytes);
        let newest = self.expectations.back();
        // Two have the effect of one.
        if newest.is_none_or(|newest| newest.kind != Kind::Blank) {
            self.expect(Kind::Blank, Effects::default());
        }
    }

    /// Passes on bytes that are no request, and all that follows.
    pub fn pass_unparsed(&mut self, bytes: &[u8]) {
        if !self.is_unparsed() {
            self.phase = Phase::Unparsed;
        }
        self.to_redis.copy(bytes);
    }

    /// What the requests may do that Redis may execute unseen if the connection ends now.
    pub fn in_flight(&self) -> impl Iterator<Item = &Effects> {
        let sent = self.expectations.iter().map(|sent| &sent.effects);
        // Without a request in flight, no `EXEC` is.
        let queued = (!self.expectations.is_empty()).then_some(&self.queued);
        sent.chain(queued)
    }

    /// All that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + std::fmt::Debug {
        let Self {
            phase,
            set_up,
            expectations,
            mirror,
            queued,
            ..
        } = self;
        (phase, set_up, expectations, mirror, queued)
    }

    /// Takes bytes from Redis, and adds those that are for the client. `answered` is called with the effects of each
    /// request that Redis has executed, before the client can know.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        client: &mut Vec<u8>,
        answered: &mut impl FnMut(&Effects),
    ) -> Received {
        self.tells_of_others = false;
        let mut received = Received::Passed;
        // The first byte that is for the client and not copied yet.
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            let due = self.mirror.due(self.expectations.front_kind());
            if self.starts_stream(bytes[at], due) {
                self.start_stream(false, answered);
            }
            if let Phase::Stream { writes } = self.phase {
                if writes {
                    answered(&WRITES_ANYTHING);
                }
                self.tells_of_others = true;
                at = bytes.len();
                break;
            }
            let held = self.frames.unfinished();
            let in_parts = due == Some(Kind::Exec) && self.mirror.queues();
            let Ok((used, whole)) = self.frames.feed(&bytes[at..], in_parts) else {
                if !self.is_set_up() {
                    return Received::Failed("it sent what is no reply");
                }
                self.start_stream(false, answered);
                continue;
            };
            self.begin_reply(due, answered);
            if self.fate == Fate::Unknown {
                self.fate = self.decide(due);
                if self.fate == Fate::Passed {
                    let start = self.frames.current().start();
                    self.tells_of_others |= self.mirror.tells_of_others(start, due);
                    client.extend_from_slice(&start[..held]);
                }
            }
            if self.fate != Fate::Passed {
                client.extend_from_slice(&bytes[start..at]);
                start = at + used;
            }
            at += used;
            if whole {
                self.fate = Fate::Unknown;
                match self.take_frame(due, answered) {
                    Received::Passed => {}
                    Received::Authenticated => received = Received::Authenticated,
                    over => {
                        received = over;
                        break;
                    }
                }
            }
        }
        client.extend_from_slice(&bytes[start..at]);
        received
    }

    /// Whether the client may learn what others did from what [`Self::receive`] just added. Of a frame, the first bytes
    /// count: Redis had made it as a whole.
    pub fn tells_of_others(&self) -> bool {
        self.tells_of_others
    }

    /// Whether the connection is ready for replies to the client.
    fn is_set_up(&self) -> bool {
        self.set_up.is_done() && !matches!(self.phase, Phase::Authenticating { .. })
    }

    /// Whether what begins with this byte is no reply.
    fn starts_stream(&self, first: u8, due: Option<Kind>) -> bool {
        self.frames.is_between() && self.set_up.is_done() && self.mirror.starts_stream(first, due)
    }

    /// What becomes of the current frame, judged by its first bytes.
    fn decide(&self, due: Option<Kind>) -> Fate {
        if !self.set_up.is_done() {
            return Fate::LeftOut;
        }
        match self.mirror.is_wanted(self.frames.current().start(), due) {
            None => Fate::Unknown,
            Some(true) => Fate::Passed,
            Some(false) => Fate::LeftOut,
        }
    }

    /// Reports the oldest request as executed if the current frame is its reply, even before the frame is whole.
    fn begin_reply(&mut self, due: Option<Kind>, answered: &mut impl FnMut(&Effects)) {
        if self.set_up.is_done()
            && self.mirror.class(self.frames.current().start(), due) == Some(Class::Reply)
        {
            self.expectations.begin_reply(answered);
        }
    }

    /// The current frame is whole.
    fn take_frame(&mut self, due: Option<Kind>, answered: &mut impl FnMut(&Effects)) -> Received {
        let frame = self.frames.current();
        let is_error = frame.is_error();
        if !self.set_up.is_done() {
            return self.set_up.take(is_error);
        }
        match self.mirror.take(frame, due) {
            Answer::Unasked => return Received::Passed,
            Answer::More(kind) => self.set_due(kind),
            Answer::Done => self.end_due(),
            Answer::Queued => {
                if let Some(oldest) = self.end_oldest() {
                    self.queued.add(&oldest.effects);
                    if self.mirror.push_queued(oldest.kind).is_err() {
                        return Received::Failed(
                            "its transaction changes the connection too often",
                        );
                    }
                }
            }
            Answer::Executing => {}
            Answer::Reset => return Received::Over { reset: true },
            Answer::Quit => {
                self.end_due();
                self.phase = Phase::Closing;
            }
            Answer::Stream => self.start_stream(true, answered),
        }
        self.skip_unanswered();
        if !self.mirror.queues() && self.queued != Effects::default() {
            // The transaction was executed or discarded.
            answered(&std::mem::take(&mut self.queued));
        }
        self.authenticate(is_error)
    }

    /// The client's `AUTH` is answered, if that is what was waited for.
    fn authenticate(&mut self, is_error: bool) -> Received {
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return Received::Passed;
        }
        if is_error {
            return Received::Over { reset: false };
        }
        if let Phase::Authenticating { then, set_up } =
            std::mem::replace(&mut self.phase, Phase::Open)
        {
            self.to_redis.copy(&then);
            self.set_up = set_up;
        }
        Received::Authenticated
    }

    fn expect(&mut self, kind: Kind, effects: Effects) {
        self.expectations.push(Expectation {
            kind,
            effects,
            answered: false,
        });
        self.skip_unanswered();
    }

    /// Removes the oldest requests as long as they get no reply.
    fn skip_unanswered(&mut self) {
        while let Some(oldest) = self.expectations.front_kind()
            && self.mirror.executing().is_none()
            && self.mirror.leaves_unanswered(oldest)
        {
            self.end_oldest();
        }
    }

    /// The request that is due a reply got one, and expects more.
    fn set_due(&mut self, kind: Kind) {
        match self.mirror.executing() {
            Some(queue) => queue.set_front(kind),
            None => self.expectations.set_front_kind(kind),
        }
    }

    /// The request that was due a reply got it.
    fn end_due(&mut self) {
        if let Some(queue) = self.mirror.executing() {
            queue.pop();
            if !queue.is_empty() {
                return;
            }
        }
        self.end_oldest();
    }

    fn end_oldest(&mut self) -> Option<Expectation> {
        self.mirror.end_request();
        self.expectations.pop()
    }

    /// From now on, Redis sends no replies.
    fn start_stream(&mut self, writes: bool, answered: &mut impl FnMut(&Effects)) {
        self.in_flight().for_each(answered);
        self.expectations = Expectations::default();
        self.queued = Effects::default();
        self.phase = Phase::Stream { writes };
    }
}

impl Effects {
    /// Adds those of a request that Redis queued, which does not block.
    fn add(&mut self, queued: &Self) {
        self.keys.add(&queued.keys, QUEUED_KEYS_MAX);
        self.changes_commands |= queued.changes_commands;
    }
}

impl From<(usize, usize)> for SetUp {
    fn from((required, optional): (usize, usize)) -> Self {
        Self { required, optional }
    }
}

impl SetUp {
    fn is_done(self) -> bool {
        self.required + self.optional == 0
    }

    /// A reply came.
    fn take(&mut self, is_error: bool) -> Received {
        if self.required > 0 {
            self.required -= 1;
            if is_error {
                return Received::Failed("it refused the dedicated connection");
            }
        } else {
            self.optional = self.optional.saturating_sub(1);
        }
        Received::Passed
    }
}
