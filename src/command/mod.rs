//! The command table: a row a command (or subcommand), with the way that it goes and the keys that it
//! writes.
//!
//! The rows come from Redis itself, which reports the arity, flags and key positions of all its commands,
//! modules' included (`learn`), and from a short list of our own for what Redis does not report
//! (`ours`). What the table does not hold is asked of Redis, by its name, before it goes anywhere; should Redis
//! describe none of its commands, there is a list of those of Redis 7.0 (`fallback`).

mod fallback;
mod keys;
mod learn;
mod list;
mod ours;
pub mod own;
mod shortcuts;
mod spread;
mod table;
mod unknown;
mod written;

use crate::resp::integer;
use crate::resp::request::Request;

pub use keys::Keys;
pub use learn::{Spec, read_specs};
pub use list::CommandList;
pub use spread::{Join, Spread};
pub use table::{NotFound, Refusal, Table};
pub use unknown::{is_word, surely_unknown};
pub use written::Written;

/// The way of a command.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Answered by the proxy.
    Here(Here),
    /// Answered from the cache, which Redis fills.
    Cached(Cached),
    /// Sent to Redis over the connection that all clients share.
    Forward,
    /// The same without its first word, which tells it from what the proxy answers itself.
    Upstream,
    /// Sent to Redis over a dedicated connection, with all that the client sends after it.
    Dedicated,
    /// Not at all: the client is closed. It is a browser that a web page sends here (`POST`, `Host:`).
    Abort,
}

/// The commands that the proxy answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are Redis's
pub enum Here {
    Auth,
    ClientGetname,
    ClientId,
    ClientInfo,
    ClientNoEvict,
    ClientNoTouch,
    ClientReply,
    ClientSetinfo,
    ClientSetname,
    Echo,
    Hello,
    Info,
    Ping,
    ProxyCache,
    ProxyConfig,
    ProxyInvalidate,
    ProxyRules,
    ProxySlowlog,
    Quit,
    Reset,
    Select,
}

/// The commands that read through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are Redis's
pub enum Cached {
    Get,
    Mget,
    /// Any other command that only reads a key. Its reply is kept as it is.
    Answer {
        /// The position of the key.
        key: u8,
        /// There may be more keys behind it; then Redis is asked each time.
        alone: bool,
    },
}

/// What a command reads of a hash, where fields may expire by themselves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// Those that it names, behind the key.
    Named,
    /// All.
    All,
}

/// What a command has to do with clients. Redis numbers the connections to it, and the proxy its clients, and shows
/// what the proxy asks for itself: what concerns them is translated, in the request, in the reply, or in both. So is what
/// starts the counters of both anew.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are subcommands of Redis's CLIENT, CONFIG and SLOWLOG
pub enum Clients {
    Getredir,
    Id,
    Info,
    Kill,
    List,
    Pause,
    Resetstat,
    SlowlogGet,
    SlowlogLen,
    Tracking,
    Trackinginfo,
    Unblock,
    Unpause,
}

/// Which keys a command writes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Writes {
    /// None that the cache could hold.
    Nothing,
    /// The arguments from `first` to `last` (from the end, if negative), each `step` further.
    Range {
        /// The position of the first key.
        first: usize,
        /// The position of the last; -1 is the last argument, -2 the one before.
        last: i32,
        /// From key to key.
        step: usize,
    },
    /// As many arguments as one of them says, behind that one, whose position this is.
    Counted(usize),
    /// The same, and keys that it does not name: it is a script.
    Declared(usize),
    /// The argument behind the word STORE or STOREDIST, if there is one.
    Stored,
    /// Perhaps any.
    Anything,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The command's number: it keeps it whatever the table learns.
    pub number: u16,
    /// The fewest arguments, the name (and subcommand) included.
    pub least: usize,
    /// The most.
    pub most: usize,
    /// Where it goes.
    pub way: Way,
    /// What it writes.
    pub writes: Writes,
    /// Where its keys are.
    pub keys: Keys,
    /// To which nodes of a cluster it goes, if Redis says that it goes to several.
    pub spread: Option<Spread>,
    /// It may change data, by what Redis says of it.
    pub may_write: bool,
    /// Whether it only reads: sending it twice is as good as once.
    pub reads_only: bool,
    /// It blocks its connection until there is something to reply.
    pub blocks: bool,
    /// It only blocks, and needs a dedicated connection, with the word BLOCK among its arguments.
    pub only_with_block: bool,
    /// It may leave more on a dedicated connection than the proxy follows there.
    pub lasts: bool,
    /// The proxy answers it if Redis knows it too.
    pub if_redis_knows: bool,
    /// There may be other commands after it, or rights to them.
    pub changes_commands: bool,
    /// What it has to do with clients.
    pub clients: Option<Clients>,
    /// What it reads that may expire without its key, which Redis does not report in time.
    pub fields: Option<Fields>,
    /// It ends what may hold up the shared connections: it has a dedicated one for itself, which it leaves again.
    pub passes: bool,
    /// It has subcommands, with rows of their own.
    pub is_container: bool,
    /// The hooks that want its requests, a bit for each.
    pub hooks: u32,
}

/// A command that neither the table nor Redis describes: it may do anything.
pub const UNKNOWN: Row = Row {
    number: 0,
    least: 0,
    most: usize::MAX,
    way: Way::Dedicated,
    writes: Writes::Anything,
    keys: Keys::Unknown,
    spread: None,
    may_write: true,
    reads_only: false,
    blocks: false,
    only_with_block: false,
    lasts: true,
    if_redis_knows: false,
    changes_commands: false,
    clients: None,
    fields: None,
    passes: false,
    is_container: false,
    hooks: 0,
};

/// The longest name of a command and a subcommand that is looked for, in bytes.
const NAME_MAX: usize = 64;

impl Row {
    /// The row of a command that is called by another name than its own. What the proxy would answer or cache
    /// by the one goes to Redis by the other. Where `SELECT` has another name, a client that selects stays on its dedicated
    /// connection: the proxy can't make one for that database.
    fn under_another_name(self) -> Self {
        let way = match self.way {
            Way::Here(_) | Way::Cached(Cached::Get | Cached::Mget) => Way::Dedicated,
            way => way,
        };
        Self {
            way,
            lasts: self.lasts || self.way == Way::Here(Here::Select),
            ..self
        }
    }

    /// Whether this request may leave more on a dedicated connection than the proxy follows there.
    #[must_use]
    pub fn lasts(&self, request: &Request<'_>) -> bool {
        match self.way(request) {
            Way::Dedicated => self.lasts,
            Way::Here(here) => matches!(
                here,
                Here::Auth
                    | Here::ClientNoEvict
                    | Here::ClientNoTouch
                    | Here::ClientSetinfo
                    | Here::ClientSetname
                    | Here::Hello
            ),
            Way::Cached(_) | Way::Forward | Way::Upstream | Way::Abort => false,
        }
    }

    /// Whether this request is why a client has a dedicated connection, if it is sent there.
    #[must_use]
    pub fn needs_dedicated(&self, request: &Request<'_>) -> bool {
        match self.way(request) {
            Way::Dedicated | Way::Here(Here::Select | Here::ClientReply) => true,
            _ => self.lasts(request),
        }
    }

    /// Whether Redis may let it wait while it pauses who writes (`CLIENT PAUSE`).
    #[must_use]
    pub fn waits_for_pause(&self) -> bool {
        // PFCOUNT counts as one that reads, and does not only that.
        !self.reads_only || self.writes != Writes::Nothing
    }

    /// The way of this request: it may depend on the arguments.
    #[must_use]
    pub fn way(&self, request: &Request<'_>) -> Way {
        let blocks = || {
            let mut arguments = request.arguments().skip(1);
            arguments.any(|argument| is_word(argument, b"block"))
        };
        match self.way {
            // Without the key Redis's error is right.
            Way::Cached(Cached::Answer { key, alone })
                if request.len() <= key.into() || alone && request.len() > usize::from(key) + 1 =>
            {
                Way::Forward
            }
            _ if self.only_with_block && !blocks() => Way::Forward,
            way => way,
        }
    }
}

/// The name of the command that a subcommand belongs to, by its name in the table; `None` for a command.
fn container(name: &[u8]) -> Option<&[u8]> {
    let bar = name.iter().position(|&byte| byte == b'|')?;
    Some(&name[..bar])
}

/// The keys that a request writes, for a script those that it declares; `None` stands for perhaps any.
#[must_use]
pub fn written<'a>(request: &Request<'a>, writes: Writes) -> Option<Written<'a>> {
    match writes {
        Writes::Nothing => Some(Written::default()),
        Writes::Anything => None,
        Writes::Range { first, last, step } => {
            let last = usize::try_from(last)
                .unwrap_or_else(|_| request.len().saturating_sub(last.unsigned_abs() as usize));
            let end = request.len().min(last.saturating_add(1));
            Some(
                (first..end)
                    .step_by(step.max(1))
                    .map(|index| request.argument(index))
                    .collect(),
            )
        }
        Writes::Counted(position) | Writes::Declared(position) => {
            let count = request.arguments().nth(position).and_then(integer);
            let count = count.and_then(|count| usize::try_from(count).ok());
            let behind = request.arguments().skip(position + 1);
            Some(behind.take(count.unwrap_or(0)).collect())
        }
        Writes::Stored => {
            let is_store = |word: &[u8]| is_word(word, b"store") || is_word(word, b"storedist");
            let words = request.arguments().zip(request.arguments().skip(1));
            Some(
                words
                    .filter(|(word, _)| is_store(word))
                    .map(|(_, key)| key)
                    .collect(),
            )
        }
    }
}
