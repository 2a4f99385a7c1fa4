//! What is expected of Redis for each request that was passed on to it, in order.

use std::collections::VecDeque;

use super::Answered;
use super::keys::Keys;
use super::subscriptions::Family;
use crate::resp::reply;
use crate::resp::request::Request;

/// A request that has no reply yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Expectation {
    pub kind: Kind,
    /// What it may write.
    pub keys: Keys,
    /// It may wait at Redis for something to come up.
    pub blocks: bool,
    /// Its reply has begun to come.
    pub answered: bool,
}

/// What a request changes on its connection, if it succeeds, and what replies it gets. The order of arguments and
/// the number of replies are those of redis-server 7.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Kind {
    /// Nothing; one reply.
    Plain,
    /// An empty line or an empty array: no reply. It ends a `CLIENT REPLY SKIP` as any request does.
    Blank,
    Multi,
    /// One reply; if the transaction is carried out, the header of an array, and then the replies to the requests
    /// that were queued.
    Exec,
    Discard,
    Reset,
    Quit,
    Hello,
    /// One reply; none on a connection that is a monitor's already.
    Monitor,
    /// An error, or bytes that are no replies. Nothing on a monitor's connection.
    Sync,
    /// A confirmation for each of so many channels, or an error.
    Subscribe(Family, u32),
    /// The same. 0 stands for all that there are; if there are none, one confirmation comes.
    Unsubscribe(Family, u32),
    /// `CLIENT REPLY`. Redis is sent `ON` in any case: the proxy needs every reply, and leaves out itself what the
    /// client does not want.
    Reply(Wanted),
    /// `REPLCONF ACK`, to which Redis only replies with an error. It is sent what has the same errors and is
    /// answered else; that reply is left out.
    Unanswered,
    /// `SCRIPT DEBUG YES` or `SYNC`: from then on, what comes is for a person to read.
    ScriptDebug,
}

/// Which replies a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Wanted {
    All,
    /// All but the next.
    AllButNext,
    None,
}

/// The longest name that is looked for, in bytes.
const NAME_MAX: usize = 12;

impl Kind {
    /// The kind of a request.
    pub fn of(request: &Request<'_>) -> Self {
        let mut buffer = [0; NAME_MAX];
        let name = lower_case(request.argument(0), &mut buffer);
        // As many as a request can have.
        let named = (request.len() - 1) as u32;
        let word = |index: usize, known: &str| {
            index < request.len()
                && request
                    .argument(index)
                    .eq_ignore_ascii_case(known.as_bytes())
        };
        match name {
            b"multi" => Self::Multi,
            b"exec" => Self::Exec,
            b"discard" => Self::Discard,
            b"reset" if named == 0 => Self::Reset,
            b"quit" => Self::Quit,
            b"hello" => Self::Hello,
            b"monitor" if named == 0 => Self::Monitor,
            b"sync" if named == 0 => Self::Sync,
            b"psync" if named >= 2 => Self::Sync,
            b"subscribe" if named > 0 => Self::Subscribe(Family::Channels, named),
            b"psubscribe" if named > 0 => Self::Subscribe(Family::Patterns, named),
            b"ssubscribe" if named > 0 => Self::Subscribe(Family::Shards, named),
            b"unsubscribe" => Self::Unsubscribe(Family::Channels, named),
            b"punsubscribe" => Self::Unsubscribe(Family::Patterns, named),
            b"sunsubscribe" => Self::Unsubscribe(Family::Shards, named),
            b"client" if named == 2 && word(1, "reply") => match () {
                () if word(2, "on") => Self::Reply(Wanted::All),
                () if word(2, "off") => Self::Reply(Wanted::None),
                () if word(2, "skip") => Self::Reply(Wanted::AllButNext),
                () => Self::Plain,
            },
            b"script" if named == 2 && word(1, "debug") && (word(2, "yes") || word(2, "sync")) => {
                Self::ScriptDebug
            }
            b"replconf" if named.is_multiple_of(2) && unanswered_option(request).is_some() => {
                Self::Unanswered
            }
            _ => Self::Plain,
        }
    }

    /// The bytes that Redis is sent for a request of this kind in the place of the client's own, if others.
    pub fn substitute(self, request: &Request<'_>) -> Option<Vec<u8>> {
        let mut bytes = Vec::new();
        match self {
            Self::Reply(Wanted::AllButNext | Wanted::None) => {
                reply::request(&mut bytes, [&b"CLIENT"[..], b"REPLY", b"ON"].into_iter());
            }
            Self::Unanswered => {
                let kept = unanswered_option(request)?;
                reply::request(&mut bytes, request.arguments().take(kept));
            }
            _ => return None,
        }
        Some(bytes)
    }

    /// Whether what Redis is sent is answered where the client is not to be.
    pub fn is_substituted(self) -> bool {
        matches!(
            self,
            Self::Unanswered | Self::Reply(Wanted::AllButNext | Wanted::None)
        )
    }

    /// Whether what the client sends next depends on the reply: whether it goes to Redis at all.
    pub fn holds_back(self) -> bool {
        matches!(self, Self::Reset | Self::Quit)
    }
}

/// The position of the option of `REPLCONF` from which on Redis does not answer.
fn unanswered_option(request: &Request<'_>) -> Option<usize> {
    (1..request.len()).step_by(2).find(|&index| {
        let option = request.argument(index);
        option.eq_ignore_ascii_case(b"ack") || option.eq_ignore_ascii_case(b"getack")
    })
}

/// A command's name as Redis compares it: in lower case, and up to a NUL. Empty if it is longer than any that is
/// looked for.
fn lower_case<'a>(name: &[u8], buffer: &'a mut [u8; NAME_MAX]) -> &'a [u8] {
    let length = name
        .iter()
        .position(|&byte| byte == 0)
        .unwrap_or(name.len());
    match buffer.get_mut(..length) {
        Some(room) => {
            room.copy_from_slice(&name[..length]);
            room.make_ascii_lowercase();
            room
        }
        None => &[],
    }
}

/// The requests in flight, oldest first.
#[derive(Debug, Default)]
pub(super) struct Expectations {
    queue: VecDeque<Expectation>,
    /// The bytes that they take.
    cost: usize,
}

/// How many requests an empty queue keeps room for.
const KEPT: usize = 16;

impl Expectations {
    /// The bytes that they take.
    pub fn cost(&self) -> usize {
        self.cost
    }

    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }

    pub fn front(&self) -> Option<&Expectation> {
        self.queue.front()
    }

    pub fn front_kind(&self) -> Option<Kind> {
        self.queue.front().map(|front| front.kind)
    }

    pub fn set_front_kind(&mut self, kind: Kind) {
        if let Some(front) = self.queue.front_mut() {
            front.kind = kind;
        }
    }

    /// The reply to the oldest begins: returns what there is to know of it, the first time.
    pub fn begin_reply(&mut self) -> Option<Answered<'_>> {
        let front = self.queue.front_mut().filter(|front| !front.answered)?;
        front.answered = true;
        Some(Answered {
            keys: &front.keys,
            blocks: std::mem::take(&mut front.blocks),
        })
    }

    pub fn back(&self) -> Option<&Expectation> {
        self.queue.back()
    }

    pub fn iter(&self) -> impl Iterator<Item = &Expectation> {
        self.queue.iter()
    }

    pub fn push(&mut self, expectation: Expectation) {
        self.cost += cost(&expectation);
        self.queue.push_back(expectation);
    }

    pub fn pop(&mut self) -> Option<Expectation> {
        let front = self.queue.pop_front()?;
        self.cost -= cost(&front);
        if self.queue.is_empty() {
            self.queue.shrink_to(KEPT);
        }
        Some(front)
    }
}

fn cost(expectation: &Expectation) -> usize {
    size_of::<Expectation>() + expectation.keys.bytes()
}
