//! A client's dedicated connection to Redis, for what leaves state on a connection or blocks it.
//!
//! It is set up as the client's is so far; then bytes pass both ways as they are. They are looked at only
//! as far as the proxy must know: which keys the client writes, and when `RESET` is answered.

use crate::command::is_word;
use crate::resp::Protocol;
use crate::resp::reply::Output;
use crate::resp::request::Request;
use crate::resp::scan::Scanner;

/// The state of such a connection.
pub(super) struct Dedicated {
    /// What is to be sent to Redis.
    pub to_redis: Output,
    scanner: Scanner,
    /// What Redis sends is no longer a stream of replies.
    unframed: bool,
    /// The replies that are still to come to requests of the proxy's own: those that must be no errors,
    /// then those that may.
    set_up: (usize, usize),
    phase: Phase,
    /// The requests whose replies have not come.
    unanswered: usize,
    /// Replies and requests don't match one to one (any more): there are subscriptions and the like.
    uncounted: bool,
    /// The unanswered requests from before that.
    countable: usize,
    /// Something was written since.
    writes_uncounted: bool,
    in_transaction: bool,
    /// A request that blocks may have no reply yet.
    blocked: bool,
    /// The unanswered requests from before the transaction.
    older: usize,
    /// The client has asked for messages.
    listening: bool,
    /// Redis speaks RESP3 here: what it says unasked is told from replies, and subscribing has no reply.
    resp3: bool,
    /// The next request is not answered.
    skips_next: bool,
    /// What it writes, until the replies are there.
    written: Written,
    /// The last bytes that came.
    latest: [u8; RESET_REPLY.len()],
}

/// The end of the reply to `RESET`, and of no other status.
const RESET_REPLY: [u8; 8] = *b"+RESET\r\n";

#[derive(Debug, PartialEq, Eq)]
enum Phase {
    /// Bytes pass both ways.
    Open,
    /// The reply to the client's `AUTH` has to come before anything else is done; these bytes set the
    /// connection up then.
    Authenticating {
        then: Vec<u8>,
        set_up: (usize, usize),
    },
    /// `RESET` was sent: when its reply is there, this connection ends.
    Resetting,
    /// The client sends what is no request: Redis will see to it.
    Unparsed,
}

/// What came of bytes from Redis.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Received {
    /// They were passed on.
    Passed,
    /// The client is authenticated.
    Authenticated,
    /// The connection is of no more use: the client goes back to the shared one, `reset` or as before.
    Over { reset: bool },
    /// Redis refuses the connection.
    Refused,
}

/// The keys that are being written.
#[derive(Debug, Default)]
pub(super) struct Written {
    pub keys: Vec<Box<[u8]>>,
    /// Too many to tell, or unknown: perhaps all.
    pub all: bool,
    /// What commands there are, or rights to them, may change too.
    pub commands: bool,
}

/// From how many keys on they are no longer told apart.
const KEYS_TOLD: usize = 1024;

impl Written {
    fn add(&mut self, keys: Option<Vec<&[u8]>>) {
        match keys {
            Some(keys) if !self.all && self.keys.len() + keys.len() <= KEYS_TOLD => {
                for key in keys {
                    if !self.keys.iter().any(|known| **known == *key) {
                        self.keys.push(key.into());
                    }
                }
            }
            Some(keys) if keys.is_empty() => {}
            _ => {
                self.keys = Vec::new();
                self.all = true;
            }
        }
    }
}

impl Dedicated {
    /// A connection that is set up by `requests`, with so many replies that must be no errors, and so many
    /// that may.
    pub fn new(requests: &[u8], set_up: (usize, usize), protocol: Protocol) -> Self {
        let resp3 = protocol == Protocol::Resp3;
        let mut to_redis = Output::default();
        to_redis.copy(requests);
        Self {
            to_redis,
            scanner: Scanner::new(),
            unframed: false,
            set_up,
            phase: Phase::Open,
            unanswered: 0,
            uncounted: false,
            countable: 0,
            writes_uncounted: false,
            in_transaction: false,
            blocked: false,
            older: 0,
            listening: false,
            resp3,
            skips_next: false,
            written: Written::default(),
            latest: [0; RESET_REPLY.len()],
        }
    }

    /// One whose first request is the client's own `AUTH` or `HELLO`, and which is set up after that.
    pub fn authenticating(then: Vec<u8>, set_up: (usize, usize), protocol: Protocol) -> Self {
        let phase = Phase::Authenticating { then, set_up };
        Self {
            phase,
            ..Self::new(&[], (0, 0), protocol)
        }
    }

    /// Whether the client's next request has to wait for a reply of Redis.
    pub fn holds_back(&self) -> bool {
        match self.phase {
            Phase::Authenticating { .. } => self.unanswered > 0,
            Phase::Resetting => true,
            Phase::Open | Phase::Unparsed => false,
        }
    }

    /// Whether the client's bytes are no longer taken for requests.
    pub fn is_unparsed(&self) -> bool {
        self.phase == Phase::Unparsed
    }

    /// Whether every request has its reply, as far as that can be told.
    pub fn is_quiet(&self) -> bool {
        self.unanswered == 0 || self.uncounted
    }

    /// Passes on bytes that are no request, and all that follows.
    pub fn pass_unparsed(&mut self, bytes: &[u8]) {
        self.phase = Phase::Unparsed;
        self.to_redis.copy(bytes);
    }

    /// Whether the client waits for something to come up.
    pub fn is_blocked(&self) -> bool {
        self.blocked
    }

    /// Whether the client is in a transaction, or waits for a reply.
    pub fn is_busy(&self) -> bool {
        self.in_transaction || self.blocked || !self.is_quiet() || !self.to_redis.is_empty()
    }

    /// Whether the client may be there for what comes unasked.
    pub fn is_listening(&self) -> bool {
        self.listening
    }

    /// Passes on a request, given with the name that its command has of its own and as it came, that writes
    /// these keys (`None` stands for perhaps any), and may block.
    pub fn pass(
        &mut self,
        request: &Request<'_>,
        name: &[u8],
        bytes: &[u8],
        keys: Option<Vec<&[u8]>>,
        blocks: bool,
    ) {
        self.to_redis.copy(bytes);
        self.blocked |= blocks;
        self.writes_uncounted |=
            self.uncounted && keys.as_ref().is_none_or(|keys| !keys.is_empty());
        self.written.add(keys);
        let is = |names: &[&str]| {
            names
                .iter()
                .any(|known| name.eq_ignore_ascii_case(known.as_bytes()))
        };
        let word = |index| {
            if index < request.len() {
                request.argument(index)
            } else {
                b""
            }
        };
        self.listening |= is(LISTENING) || is(STREAMING);
        let unanswered = std::mem::take(&mut self.skips_next);
        if is(SUBSCRIBING) && self.resp3 {
            return;
        }
        if is(&["multi"]) && !self.in_transaction {
            self.in_transaction = true;
            self.older = self.unanswered;
        } else if is(&["exec", "discard"]) {
            self.in_transaction = false;
        } else if is(&["reset"]) && request.len() == 1 {
            self.in_transaction = false;
            // Behind a CLIENT REPLY SKIP its reply would be waited for in vain.
            if !unanswered {
                self.phase = Phase::Resetting;
            }
        } else if is(&["client"]) && word(1).eq_ignore_ascii_case(b"reply") {
            self.stop_counting();
            self.skips_next = is_word(word(2), b"skip");
        } else if is(&["hello"]) && request.len() > 1 {
            self.resp3 = word(1) == b"3";
        } else if is(SUBSCRIBING) || is(STREAMING) {
            self.stop_counting();
        }
        self.unanswered += 1;
    }

    /// Whether the request that was passed on last may change what commands there are.
    pub fn changes_commands(&mut self, changes: bool) {
        self.written.commands |= changes;
    }

    /// Whether what comes from Redis next may mean that a write was carried out. In a transaction none is.
    pub fn may_write(&self) -> bool {
        !self.in_transaction || self.older > 0
    }

    /// Bytes of Redis came: passes on to the client what is the client's.
    pub fn receive(&mut self, bytes: &[u8], client: &mut Output) -> Received {
        let mut result = Received::Passed;
        let mut passed = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.unframed {
                break;
            }
            let Ok(found) = self.scanner.feed(&bytes[at..]) else {
                // A replication stream, say: it is the client's to read.
                self.unframed = true;
                self.stop_counting();
                break;
            };
            let Some((kind, length)) = found else {
                self.note_latest(&bytes[at..]);
                break;
            };
            self.note_latest(&bytes[at..at + length]);
            at += length;
            if self.is_setting_up() {
                if self.set_up_reply(kind) == Received::Refused {
                    return Received::Refused;
                }
                passed = at;
                continue;
            }
            if kind == b'>' {
                continue;
            }
            self.unanswered = self.unanswered.saturating_sub(1);
            self.older = self.older.saturating_sub(1);
            self.blocked &= self.unanswered > 0;
            self.settle();
            match &mut self.phase {
                Phase::Authenticating { .. } if kind == b'-' => {
                    result = Received::Over { reset: false };
                }
                Phase::Authenticating { then, set_up } => {
                    client.copy(&bytes[passed..at]);
                    passed = at;
                    self.set_up = *set_up;
                    self.to_redis.copy(then);
                    self.phase = Phase::Open;
                    result = Received::Authenticated;
                }
                Phase::Resetting if kind == b'+' && self.latest == RESET_REPLY => {
                    result = Received::Over { reset: true };
                }
                Phase::Resetting | Phase::Open | Phase::Unparsed => {}
            }
            if let Received::Over { .. } = result {
                break;
            }
        }
        if let Received::Over { .. } = result {
            client.copy(&bytes[passed..at]);
        } else if !self.is_setting_up() {
            client.copy(&bytes[passed..]);
        }
        result
    }

    /// What it writes and has no reply yet, or just got it.
    pub fn written(&self) -> &Written {
        &self.written
    }

    /// A reply came: forgets what was written, if all of it has its reply.
    fn settle(&mut self) {
        let all_answered = if self.uncounted {
            self.countable = self.countable.saturating_sub(1);
            self.countable == 0 && !self.writes_uncounted
        } else {
            self.unanswered == 0
        };
        if all_answered && !self.in_transaction {
            self.written = Written::default();
        }
    }

    /// From this request on, replies can't be told from what comes unasked.
    fn stop_counting(&mut self) {
        if !self.uncounted {
            self.uncounted = true;
            self.countable = self.unanswered;
        }
    }

    fn note_latest(&mut self, bytes: &[u8]) {
        let kept = bytes.len().min(self.latest.len());
        self.latest.rotate_left(kept);
        let start = self.latest.len() - kept;
        self.latest[start..].copy_from_slice(&bytes[bytes.len() - kept..]);
    }

    fn is_setting_up(&self) -> bool {
        self.set_up != (0, 0)
    }

    fn set_up_reply(&mut self, kind: u8) -> Received {
        if self.set_up.0 > 0 {
            self.set_up.0 -= 1;
            if kind == b'-' {
                return Received::Refused;
            }
        } else {
            self.set_up.1 -= 1;
        }
        Received::Passed
    }
}

/// In RESP2 what comes after these can't be told from replies.
const SUBSCRIBING: &[&str] = &[
    "psubscribe",
    "punsubscribe",
    "ssubscribe",
    "subscribe",
    "sunsubscribe",
    "unsubscribe",
];

/// After these, the client gets messages.
const LISTENING: &[&str] = &["psubscribe", "ssubscribe", "subscribe"];

/// After these, replies come without requests in any version.
const STREAMING: &[&str] = &["monitor", "psync", "sync"];
