//! What Redis is expected to reply to each request in flight, in order.

use std::collections::VecDeque;

use super::Effects;
use super::subscriptions::Family;
use crate::command::is_word;
use crate::resp::integer;
use crate::resp::reply;
use crate::resp::request::Request;

/// A request that has no reply yet.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Expectation {
    pub kind: Kind,
    pub effects: Effects,
    /// Its reply has begun to arrive.
    pub answered: bool,
}

/// What a request changes on its connection if it succeeds, and which replies it gets, as in redis-server 7.0.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Kind {
    /// Nothing; one reply.
    Plain,
    /// As `Plain`, for a script, the reply to which may look like any other reply.
    Script,
    /// As `Plain`, but the proxy edits the reply. The number identifies the edit.
    Edited(u32),
    /// As `Edited`, but the reply may reveal other clients' writes. The flag is whether the request may be a script.
    Altered(u32, bool),
    /// Redis refuses the request, and the proxy replaces the error. The number identifies the edit.
    Refused(u32),
    /// As `Plain`, but the reply does not reveal other clients' writes.
    Local,
    /// An empty line or an empty array: no reply. Like any request, it uses up a `CLIENT REPLY SKIP`.
    Blank,
    Multi,
    /// `MULTI` whose reply is dropped: the client has had it already.
    AnsweredMulti,
    /// One reply; if the transaction is executed, the header of an array, and then the replies to the queued
    /// requests.
    Exec,
    Discard,
    Watch,
    Unwatch,
    /// Selects this database. `None` stands for an invalid number, which Redis refuses.
    Select(Option<u32>),
    Reset,
    Quit,
    /// The proxy edits the greeting. The number identifies the edit.
    Hello(u32),
    /// One reply; none if the connection is already in `MONITOR` mode.
    Monitor,
    /// An error, or a replication stream; nothing if the connection is in `MONITOR` mode.
    Sync,
    /// A confirmation for each of this many channels, or an error.
    Subscribe(Family, u32),
    /// A confirmation for each channel unsubscribed from, or an error. 0 stands for all subscriptions of the family; if
    /// there are none, there is one confirmation.
    Unsubscribe(Family, u32),
    /// `CLIENT REPLY`. Redis is always sent `ON`: the proxy needs every reply, and drops those that the client
    /// suppresses.
    Reply(Wanted),
    /// `REPLCONF ACK`, to which Redis replies only if there is an error. It is sent another request in its place, which
    /// gets the same errors, or a reply, which is dropped.
    Unanswered,
    /// `SCRIPT DEBUG YES` or `SYNC`: from then on, what Redis sends follows no rule.
    ScriptDebug,
}

/// Which replies a client wants.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Wanted {
    All,
    /// All but the next reply.
    AllButNext,
    None,
}

/// The longest command name that has a meaning here, in bytes.
const NAME_MAX: usize = 12;

impl Kind {
    /// Whether a request has one reply and leaves nothing behind.
    pub fn is_answered_once(self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::Script
                | Self::Edited(_)
                | Self::Altered(..)
                | Self::Refused(_)
                | Self::Local
        )
    }

    /// The kind of a request, given the name that Redis itself has for its command.
    pub fn of(request: &Request<'_>, name: &[u8]) -> Self {
        let mut buffer = [0; NAME_MAX];
        let name = lower_case(name, &mut buffer);
        // A request cannot have more arguments than that.
        let named = (request.len() - 1) as u32;
        let word = |index: usize, known: &str| {
            index < request.len() && is_word(request.argument(index), known.as_bytes())
        };
        // With a NUL it would not be a subcommand, and is sent so that Redis does not take it for one.
        let subcommand =
            |known: &[u8]| named > 0 && request.argument(1).eq_ignore_ascii_case(known);
        match name {
            b"multi" => Self::Multi,
            b"eval" | b"evalsha" | b"eval_ro" | b"evalsha_ro" | b"fcall" | b"fcall_ro" => {
                Self::Script
            }
            b"exec" => Self::Exec,
            b"discard" => Self::Discard,
            b"watch" => Self::Watch,
            b"unwatch" => Self::Unwatch,
            b"select" if named == 1 => {
                let database = integer(request.argument(1));
                Self::Select(database.and_then(|database| u32::try_from(database).ok()))
            }
            b"reset" if named == 0 => Self::Reset,
            b"quit" => Self::Quit,
            b"hello" => Self::Hello(0),
            b"monitor" if named == 0 => Self::Monitor,
            b"sync" if named == 0 => Self::Sync,
            b"psync" if named >= 2 => Self::Sync,
            b"subscribe" if named > 0 => Self::Subscribe(Family::Channels, named),
            b"psubscribe" if named > 0 => Self::Subscribe(Family::Patterns, named),
            b"ssubscribe" if named > 0 => Self::Subscribe(Family::Shards, named),
            b"unsubscribe" => Self::Unsubscribe(Family::Channels, named),
            b"punsubscribe" => Self::Unsubscribe(Family::Patterns, named),
            b"sunsubscribe" => Self::Unsubscribe(Family::Shards, named),
            b"client" if named == 2 && subcommand(b"reply") => match () {
                () if word(2, "on") => Self::Reply(Wanted::All),
                () if word(2, "off") => Self::Reply(Wanted::None),
                () if word(2, "skip") => Self::Reply(Wanted::AllButNext),
                () => Self::Plain,
            },
            b"script"
                if named == 2 && subcommand(b"debug") && (word(2, "yes") || word(2, "sync")) =>
            {
                Self::ScriptDebug
            }
            b"acl" | b"auth" | b"config" | b"echo" | b"latency" | b"ping" | b"slowlog" => {
                Self::Local
            }
            b"debug" if word(1, "sleep") => Self::Local,
            b"replconf" if named.is_multiple_of(2) && unanswered_option(request).is_some() => {
                Self::Unanswered
            }
            _ => Self::Plain,
        }
    }

    /// The bytes that Redis is sent in place of the client's own, for a request of this kind.
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

    /// Whether Redis replies to what it is sent, although the client expects no reply.
    pub fn is_substituted(self) -> bool {
        matches!(
            self,
            Self::Unanswered | Self::Reply(Wanted::AllButNext | Wanted::None)
        )
    }

    /// Whether the reply may reveal other clients' writes to the client.
    pub fn tells_of_others(self) -> bool {
        matches!(
            self,
            Self::Plain
                | Self::Script
                | Self::Altered(..)
                | Self::Exec
                | Self::Sync
                | Self::Unanswered
                | Self::ScriptDebug
        )
    }

    /// Whether the reply decides if the client's next request reaches Redis at all.
    pub fn holds_back(self) -> bool {
        matches!(self, Self::Reset | Self::Quit)
    }
}

/// The position of the option of `REPLCONF` from which on Redis does not answer.
fn unanswered_option(request: &Request<'_>) -> Option<usize> {
    (1..request.len()).step_by(2).find(|&index| {
        let option = request.argument(index);
        is_word(option, b"ack") || is_word(option, b"getack")
    })
}

/// A name in lower case. Empty if it is too long to have a meaning here.
fn lower_case<'a>(name: &[u8], buffer: &'a mut [u8; NAME_MAX]) -> &'a [u8] {
    match buffer.get_mut(..name.len()) {
        Some(room) => {
            room.copy_from_slice(name);
            room.make_ascii_lowercase();
            room
        }
        None => &[],
    }
}

/// The requests in flight, the oldest first.
#[derive(Debug, Default, Hash)]
pub(super) struct Expectations {
    queue: VecDeque<Expectation>,
    /// The memory that they take, in bytes.
    cost: usize,
}

/// How many requests the empty queue keeps room for.
const KEPT: usize = 16;

impl Expectations {
    /// The memory that they take, in bytes.
    pub fn cost(&self) -> usize {
        self.cost
    }

    pub fn len(&self) -> usize {
        self.queue.len()
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

    /// The reply to the oldest request has begun to arrive: reports the request's effects, once.
    pub fn begin_reply(&mut self, is_error: bool, answered: &mut impl FnMut(&Effects)) {
        if let Some(oldest) = self.queue.front_mut()
            && !oldest.answered
        {
            oldest.answered = true;
            oldest.effects.failed = is_error;
            answered(&oldest.effects);
            oldest.effects.blocks = false;
        }
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
    size_of::<Expectation>() + expectation.effects.keys.bytes()
}
