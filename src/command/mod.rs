//! The command table: a row a command (or subcommand), with the way that it goes and the keys that it
//! writes.
//!
//! The rows come from Redis itself, which tells the arity, flags and key positions of all its commands,
//! modules' included (`learn`), and from a short list of our own for what Redis does not tell
//! (`ours`).

mod learn;
mod ours;

use std::collections::HashMap;

use foldhash::fast::RandomState;

use crate::resp::request::Request;

pub use learn::{Spec, read_specs};

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
    Quit,
    Reset,
    Select,
    SlowlogGet,
    SlowlogLen,
    SlowlogReset,
}

/// The commands that read through the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[allow(missing_docs)] // they are Redis's
pub enum Cached {
    Get,
    Mget,
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
    /// Whether it only reads: sending it twice is as good as once.
    pub reads_only: bool,
    /// It blocks its connection until there is something to reply.
    pub blocks: bool,
    /// It only blocks, and needs a dedicated connection, with the word BLOCK among its arguments.
    pub only_with_block: bool,
    /// The proxy answers it if Redis knows it too.
    pub if_redis_knows: bool,
}

/// A request whose number of arguments is not one that its command takes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WrongArity {
    /// The command's number.
    pub number: u16,
    /// Redis's error message.
    pub message: Vec<u8>,
}

/// A command that the table does not hold: a module's that was loaded since, or none.
const UNKNOWN: Row = Row {
    number: 0,
    least: 0,
    most: usize::MAX,
    way: Way::Forward,
    writes: Writes::Anything,
    reads_only: false,
    blocks: false,
    only_with_block: false,
    if_redis_knows: false,
};

/// The longest name of a command and a subcommand that is looked for, in bytes.
const NAME_MAX: usize = 64;

/// The table.
#[derive(Debug)]
pub struct Table {
    /// By name in lower case; a subcommand's is `name|subcommand`.
    rows: HashMap<Box<[u8]>, Row, RandomState>,
    /// The numbers of commands that it held before.
    gone: Vec<(Box<[u8]>, u16)>,
    /// The first number that no command has.
    numbers: u16,
    /// Those with subcommands.
    containers: Vec<Box<[u8]>>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Table {
    /// The number of GET.
    pub const GET: u16 = ours::GET.number;

    /// The table for a Redis that has these commands; without any, for one that has not told.
    #[must_use]
    pub fn new(specs: &[Spec]) -> Self {
        let mut table = Self {
            rows: HashMap::default(),
            gone: Vec::new(),
            numbers: ours::GET.number + 1,
            containers: Vec::new(),
        };
        table.learn(specs);
        table
    }

    /// Takes over what Redis has to say of its commands.
    pub fn learn(&mut self, specs: &[Spec]) {
        let before = std::mem::take(&mut self.rows);
        for &(name, row) in ours::ROWS {
            let unknown = row.if_redis_knows && !specs.is_empty();
            if !unknown || specs.iter().any(|spec| &*spec.name == name.as_bytes()) {
                self.rows.insert(name.as_bytes().into(), row);
            }
        }
        for spec in specs {
            self.rows
                .entry(spec.name.clone())
                .and_modify(|row| row.reads_only = spec.reads_only)
                .or_insert_with(|| spec.row());
        }
        self.number_rows(before);
        self.containers.clear();
        for name in self.rows.keys() {
            if let Some(bar) = name.iter().position(|&byte| byte == b'|')
                && !self.containers.iter().any(|known| **known == name[..bar])
            {
                self.containers.push(name[..bar].into());
            }
        }
    }

    /// Gives each row that has no number its own: the one that it had before, or a new one.
    fn number_rows(&mut self, before: HashMap<Box<[u8]>, Row, RandomState>) {
        let mut known: HashMap<Box<[u8]>, u16, RandomState> = std::mem::take(&mut self.gone)
            .into_iter()
            .chain(before.into_iter().map(|(name, row)| (name, row.number)))
            .collect();
        for (name, row) in &mut self.rows {
            if row.number != UNKNOWN.number {
                continue;
            }
            row.number = known.remove(name).unwrap_or_else(|| {
                // There is room for ever more, as nobody has that many commands.
                let number = self.numbers;
                self.numbers = self.numbers.saturating_add(1);
                number
            });
        }
        known.retain(|_, number| *number > ours::GET.number);
        self.gone = known.into_iter().collect();
    }

    /// The name of the command with a number, in lower case; a subcommand's is `name|subcommand`.
    #[must_use]
    pub fn name(&self, number: u16) -> &[u8] {
        let rows = self.rows().map(|(name, row)| (name, row.number));
        let gone = self.gone.iter().map(|(name, number)| (&**name, *number));
        rows.chain(gone)
            .find(|&(_, known)| known == number)
            .map_or(b"unknown", |(name, _)| name)
    }

    /// The row of a request.
    ///
    /// # Errors
    /// When the proxy would answer but the arity is another.
    pub fn find(&self, request: &Request<'_>) -> Result<Row, WrongArity> {
        let name = request.argument(0);
        let mut buffer = [0; NAME_MAX];
        // A `|` is in the table's names of subcommands, and in no command's.
        let Some(mut full) = lower_case(&mut buffer, 0, name).filter(|_| !name.contains(&b'|'))
        else {
            return Ok(UNKNOWN);
        };
        if request.len() > 1
            && self
                .containers
                .iter()
                .any(|container| **container == buffer[..full])
        {
            buffer[full] = b'|';
            match lower_case(&mut buffer, full + 1, request.argument(1)) {
                Some(end) if self.rows.contains_key(&buffer[..end]) => full = end,
                _ => {}
            }
        }
        let Some(row) = self.rows.get(&buffer[..full]) else {
            return Ok(UNKNOWN);
        };
        let answered_here = matches!(row.way, Way::Here(_) | Way::Cached(_));
        if answered_here && !(row.least..=row.most).contains(&request.len()) {
            let name = String::from_utf8_lossy(&buffer[..full]);
            return Err(WrongArity {
                number: row.number,
                message: format!("ERR wrong number of arguments for '{name}' command").into_bytes(),
            });
        }
        Ok(*row)
    }

    /// The rows with their names, in no order.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Row)> {
        self.rows.iter().map(|(name, row)| (&**name, *row))
    }
}

impl Row {
    /// The way of this request: some commands need a connection of their own for some arguments only.
    #[must_use]
    pub fn way(&self, request: &Request<'_>) -> Way {
        let blocks = || {
            request
                .arguments()
                .skip(1)
                .any(|argument| argument.eq_ignore_ascii_case(b"block"))
        };
        if self.only_with_block && !blocks() {
            Way::Forward
        } else {
            self.way
        }
    }
}

/// Writes `text` in lower case to the buffer from `start` on; returns its end. One byte stays free.
fn lower_case(buffer: &mut [u8; NAME_MAX], start: usize, text: &[u8]) -> Option<usize> {
    let end = start + text.len();
    let room = buffer.get_mut(start..end).filter(|_| end < NAME_MAX)?;
    room.copy_from_slice(text);
    room.make_ascii_lowercase();
    Some(end)
}

/// The keys that a request writes; `None` stands for perhaps any.
#[must_use]
pub fn written<'a>(request: &Request<'a>, writes: Writes) -> Option<Vec<&'a [u8]>> {
    match writes {
        Writes::Nothing => Some(Vec::new()),
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
        Writes::Stored => {
            let is_store = |word: &[u8]| {
                word.eq_ignore_ascii_case(b"store") || word.eq_ignore_ascii_case(b"storedist")
            };
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
