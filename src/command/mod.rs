//! The command table: a row for each command or subcommand, which says how it is handled and which keys it writes.
//!
//! The rows come from Redis itself, which reports the arity, flags and key positions of all its commands, including
//! those of modules (`learn`), and from a short list of our own for what Redis does not report (`ours`). If a name is
//! not in the table, Redis is asked about it before the request is sent anywhere. If Redis describes none of its
//! commands, a list of those of Redis 7.0 takes its place (`fallback`).

mod fallback;
pub mod internal;
mod keys;
mod learn;
mod list;
mod ours;
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

/// How a command is handled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Answered by the proxy.
    Here(Here),
    /// Answered from the cache, which is filled from Redis.
    Cached(Cached),
    /// Sent to Redis over the connection that all clients share.
    Forward,
    /// Sent to Redis without its first word, `UPSTREAM`, which distinguishes it from a command that the proxy answers itself.
    Upstream,
    /// Sent to Redis over a dedicated connection, as are the client's later requests.
    Dedicated,
    /// Not executed: the client is closed. It is a browser that a web page makes connect to the proxy (`POST`,
    /// `Host:`).
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
    ProxyHelp,
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
    /// Any other command that only reads a key. Its reply is cached unchanged.
    Answer {
        /// The position of the key.
        key: u8,
        /// There may be more keys after this one. If there are, Redis is asked each time.
        alone: bool,
    },
}

/// Which fields of a hash a command reads. Fields may expire on their own.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fields {
    /// The fields that it names after the key.
    Named,
    /// All fields.
    All,
}

/// How a command concerns clients. Redis has ids for its connections, and the proxy has ids for its clients; and Redis
/// also shows the proxy's own requests. So these requests, their replies, or both are translated. Commands that reset
/// the counters of both are included.
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
    /// No keys that the cache could hold.
    Nothing,
    /// The arguments from `first` to `last` (counted from the end, if negative), every `step`-th.
    Range {
        /// The position of the first key.
        first: usize,
        /// The position of the last; -1 is the last argument, -2 the one before.
        last: i32,
        /// The distance from key to key.
        step: usize,
    },
    /// As many arguments after this position as the argument there says.
    Counted(usize),
    /// As [`Self::Counted`], and possibly keys that it does not name: it is a script.
    Declared(usize),
    /// The argument after the word STORE or STOREDIST, if there is one.
    Stored,
    /// Possibly any key.
    Anything,
}

/// A row of the table.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Row {
    /// The command's number, which never changes, whatever the table learns.
    pub number: u16,
    /// The fewest arguments, including the name and subcommand.
    pub least: usize,
    /// The most arguments.
    pub most: usize,
    /// How the command is handled.
    pub way: Way,
    /// Which keys the command writes.
    pub writes: Writes,
    /// Where the command's keys are.
    pub keys: Keys,
    /// Which nodes of a cluster the command goes to, if Redis reports that it goes to several.
    pub spread: Option<Spread>,
    /// Redis reports that the command may change data.
    pub may_write: bool,
    /// The command only reads, so that it may be sent twice.
    pub reads_only: bool,
    /// The command blocks its connection until there is something to reply.
    pub blocks: bool,
    /// The command blocks, and needs a dedicated connection, only if the word BLOCK is among its arguments.
    pub only_with_block: bool,
    /// The command may leave more state on a dedicated connection than the proxy mirrors.
    pub lasts: bool,
    /// The proxy answers the command only if Redis has it too.
    pub if_redis_knows: bool,
    /// The command may change which commands there are, or the permissions for them.
    pub changes_commands: bool,
    /// How the command concerns clients.
    pub clients: Option<Clients>,
    /// Which hash fields the command reads that may expire before their key, which Redis does not report in time.
    pub fields: Option<Fields>,
    /// The command ends what may hold up the shared connections. It gets a dedicated connection, and leaves it right
    /// afterwards.
    pub passes: bool,
    /// The command has subcommands, with rows of their own.
    pub is_container: bool,
    /// The hooks that want to see its requests, a bit for each.
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

/// The longest name that is looked up, of a command with its subcommand, in bytes.
const NAME_MAX: usize = 64;

impl Row {
    /// The row of a renamed command, given its row under the original name. If the proxy would answer or cache the
    /// command, it is sent to Redis under its new name instead, over a dedicated connection. If `SELECT` is renamed, a
    /// client that selects a database stays on its dedicated connection, as the proxy can't set up a link for that
    /// database.
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

    /// Whether this request may leave more state on a dedicated connection than the proxy mirrors.
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

    /// Whether a client needs a dedicated connection because of this request.
    #[must_use]
    pub fn needs_dedicated(&self, request: &Request<'_>) -> bool {
        match self.way(request) {
            Way::Dedicated | Way::Here(Here::Select | Here::ClientReply) => true,
            _ => self.lasts(request),
        }
    }

    /// Whether Redis may delay the command while it pauses writers (`CLIENT PAUSE`).
    #[must_use]
    pub fn waits_for_pause(&self) -> bool {
        // PFCOUNT is flagged as a read, but may write.
        !self.reads_only || self.writes != Writes::Nothing
    }

    /// How this request is handled, which may depend on its arguments.
    #[must_use]
    pub fn way(&self, request: &Request<'_>) -> Way {
        let blocks = || {
            let mut arguments = request.arguments().skip(1);
            arguments.any(|argument| is_word(argument, b"block"))
        };
        match self.way {
            // Without the key, Redis's error is the right reply.
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

/// The name of the command that a subcommand belongs to, given the subcommand's name in the table; `None` for a
/// command.
fn container(name: &[u8]) -> Option<&[u8]> {
    let bar = name.iter().position(|&byte| byte == b'|')?;
    Some(&name[..bar])
}

/// The keys that a request writes; for a script, those that it declares. `None` stands for possibly any.
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
