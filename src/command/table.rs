//! The table itself: finds the row of a request, and learns from Redis.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::shortcuts::Shortcuts;
use super::unknown::{Wording, is_name, unknown_command, unknown_subcommand};
use super::{
    Cached, CommandList, Here, Keys, NAME_MAX, Row, Spec, UNKNOWN, Way, Writes, container,
    fallback, is_word, ours,
};
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::resp::request::Request;

/// Why there is no row for a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// The proxy would answer the request, but the command does not take that number of arguments.
    WrongArity(Refusal),
    /// No command has such a name.
    NoName(Refusal),
    /// Redis must be asked about this name of a command, or `name|subcommand`, in lower case.
    Unknown(Box<[u8]>),
}

/// The error for a refused request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Refusal {
    /// The command's number.
    pub number: u16,
    /// Redis's error message.
    pub message: Vec<u8>,
}

/// The most rows that the table holds, so that numbers of 16 bits suffice.
const ROWS_MAX: usize = 32 * 1024;

/// How much Redis has described of its commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Told {
    /// Nothing.
    Nothing,
    /// Only the commands, as before Redis 7.0.
    Commands,
    /// Their subcommands too.
    Subcommands,
}

/// The table.
#[derive(Debug)]
pub struct Table {
    /// By name in lower case; a subcommand's is `name|subcommand`.
    rows: HashMap<Box<[u8]>, Row, RandomState>,
    /// The numbers of commands that the table contained before.
    gone: Vec<(Box<[u8]>, u16)>,
    /// The first free number.
    numbers: u16,
    /// The commands that have subcommands.
    containers: Vec<Box<[u8]>>,
    /// The original names of renamed commands (`rename-command`), by their new names. The original names are in `rows`.
    aliases: HashMap<Box<[u8]>, Box<[u8]>, RandomState>,
    told: Told,
    /// Finds the commands of `rows` that ask about one key, and that no hook wants.
    shortcuts: Shortcuts,
    /// Which commands each hook wants.
    wanted: Vec<CommandList>,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(&[])
    }
}

impl Table {
    /// The number of GET.
    pub const GET: u16 = ours::GET.number;

    /// The table for a Redis that has these commands; without any, for a Redis that has not described them.
    #[must_use]
    pub fn new(specs: &[Spec]) -> Self {
        let mut table = Self {
            rows: HashMap::default(),
            gone: Vec::new(),
            numbers: ours::GET.number + 1,
            containers: Vec::new(),
            aliases: HashMap::default(),
            told: Told::Nothing,
            shortcuts: Shortcuts::default(),
            wanted: Vec::new(),
        };
        table.learn(specs);
        table
    }

    /// Learns Redis's description of all its commands.
    pub fn learn(&mut self, specs: &[Spec]) {
        let before = std::mem::take(&mut self.rows);
        self.aliases.clear();
        self.told = match specs {
            [] => Told::Nothing,
            _ if specs.iter().any(|spec| spec.name.contains(&b'|')) => Told::Subcommands,
            _ => Told::Commands,
        };
        let tells_of = |name: &str| specs.iter().any(|spec| &*spec.name == name.as_bytes());
        // Before 7.0, Redis did not describe subcommands. CLIENT INFO was added with GETDEL, in 6.2.
        let has_client_info = self.told == Told::Commands && tells_of("getdel");
        for &(name, row) in ours::ROWS {
            let known = self.told == Told::Nothing
                || tells_of(name)
                || name == "client|info" && has_client_info;
            // If Redis does not have the command, its own error is the right reply.
            let way = if row.if_redis_knows && !known {
                Way::Forward
            } else {
                row.way
            };
            let keys = Keys::known(name.as_bytes()).unwrap_or(row.keys);
            let may_write = row.may_write || row.writes != Writes::Nothing && !row.reads_only;
            let row = Row {
                way,
                keys,
                may_write,
                ..row
            };
            self.rows.insert(name.as_bytes().into(), row);
        }
        if self.told == Told::Nothing {
            for (name, row) in fallback::rows() {
                self.rows.entry(name.as_bytes().into()).or_insert(row);
            }
        }
        specs.iter().for_each(|spec| self.add(spec));
        if self.rows.contains_key(ours::HEXPIRE) {
            self.note_reads_of_hashes();
        }
        self.number_rows(before);
        self.containers = ours::STATEFUL.map(Box::from).to_vec();
        let names: Vec<Box<[u8]>> = self.rows.keys().cloned().collect();
        names.iter().for_each(|name| self.note_container(name));
        self.mark_containers();
    }

    /// Learns Redis's description of one command and its subcommands. `asked` is the name that Redis was asked about.
    /// Returns whether the table now contains it.
    pub fn learn_one(&mut self, asked: &[u8], specs: &[Spec]) -> bool {
        let Some(described) = specs.first().map(|spec| &spec.name) else {
            return false;
        };
        if self.rows.len() + self.aliases.len() + specs.len() > ROWS_MAX {
            return false;
        }
        for spec in specs {
            self.add(spec);
            self.note_container(&spec.name);
        }
        self.number_rows(HashMap::default());
        self.mark_containers();
        if container(asked).is_none() && container(described).is_none() && asked != &**described {
            self.aliases.insert(asked.into(), described.clone());
        }
        self.has_row(asked)
    }

    /// Whether there is a row for a command or subcommand of this name, be it original or new.
    fn has_row(&self, name: &[u8]) -> bool {
        match container(name) {
            None => self.rows.contains_key(self.original_name(name)),
            Some(command) => {
                let original = [self.original_name(command), &name[command.len()..]].concat();
                self.rows.contains_key(&*original)
            }
        }
    }

    /// Adds a row for a command that Redis has described. The proxy's own rows stay as they are.
    fn add(&mut self, spec: &Spec) {
        // A subcommand needs a dedicated connection if its command does.
        let whole = container(&spec.name).and_then(|name| self.rows.get(name));
        let dedicated = whole.is_some_and(|row| row.way == Way::Dedicated);
        self.rows
            .entry(spec.name.clone())
            .and_modify(|row| {
                row.reads_only = spec.reads_only;
                row.keys = spec.keys();
                row.spread = spec.spread;
                // For scripts and server management commands, Redis reports neither.
                row.may_write = spec.writes || row.writes != Writes::Nothing && !spec.reads_only;
            })
            .or_insert_with(|| Row {
                way: if dedicated {
                    Way::Dedicated
                } else {
                    spec.row().way
                },
                ..spec.row()
            });
    }

    /// Marks the commands that read hash fields, which may expire without a timely report from Redis.
    fn note_reads_of_hashes(&mut self) {
        for (name, fields) in ours::READS_OF_HASHES {
            if let Some(row) = self.rows.get_mut(name) {
                row.fields = Some(fields);
            }
        }
    }

    /// Gives each row without a number its own: the one that the command had before, or a new one.
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
                let number = self.numbers;
                self.numbers = self.numbers.saturating_add(1);
                number
            });
        }
        // The last number is shared by all commands for which no number is left.
        known.retain(|_, number| (ours::GET.number + 1..u16::MAX).contains(number));
        self.gone = known.into_iter().collect();
        self.mark_wanted();
    }

    /// Sets which commands each hook wants, at most 32 of them.
    pub fn set_wanted(&mut self, wanted: Vec<CommandList>) {
        self.wanted = wanted;
        self.mark_wanted();
    }

    /// Marks the rows that hooks want.
    fn mark_wanted(&mut self) {
        let wanted = std::mem::take(&mut self.wanted);
        for (name, row) in &mut self.rows {
            row.hooks = bits_of(&wanted, name, row);
        }
        self.wanted = wanted;
        self.shortcuts = Shortcuts::to(self.rows());
    }

    /// Whether a hook wants requests of GET.
    #[must_use]
    pub fn get_is_wanted(&self) -> bool {
        self.rows.get(&b"get"[..]).is_some_and(|row| row.hooks != 0)
    }

    /// The hooks that want a request of this row, which may be the row of unknown commands.
    #[must_use]
    pub fn hooks(&self, row: &Row, name: &[u8]) -> u32 {
        match row.number == UNKNOWN.number {
            true => bits_of(&self.wanted, name, row),
            false => row.hooks,
        }
    }

    /// The name of a request's command, in lower case (`name|subcommand` for a subcommand).
    #[must_use]
    pub fn full_name(&self, request: &Request<'_>) -> Vec<u8> {
        let mut name = self.original_name(request.argument(0)).to_ascii_lowercase();
        if request.len() > 1 && self.is_container(&name) {
            name.push(b'|');
            name.extend(request.argument(1).to_ascii_lowercase());
        }
        name
    }

    /// The number of the command that a client calls by its original name `name`, if a request with `count` arguments
    /// may be answered by a cached answer unchanged.
    #[must_use]
    #[inline]
    pub fn asks(&self, name: &[u8], count: usize) -> Option<u16> {
        self.shortcuts.find(name, count)
    }

    /// The name of the command with this number, in lower case (`name|subcommand` for a subcommand).
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
    /// If the proxy would answer the request but the arity is wrong, or if the table does not contain the command.
    pub fn find(&self, request: &Request<'_>) -> Result<Row, NotFound> {
        let found = self.look_up(request.argument(0), request);
        found.unwrap_or_else(|| self.find_unusual(request))
    }

    /// The row of a request whose command has this original name, if the table contains it.
    fn look_up(&self, name: &[u8], request: &Request<'_>) -> Option<Result<Row, NotFound>> {
        let mut buffer = [0; NAME_MAX];
        // Only the names of subcommands in the table contain a `|`, and no command's name does.
        let mut full = lower_case(&mut buffer, 0, name).filter(|_| !name.contains(&b'|'))?;
        let mut row = self.rows.get(&buffer[..full]);
        let is_container = match row {
            Some(row) => row.is_container,
            None => self.is_container(&buffer[..full]),
        };
        if request.len() > 1 && is_container {
            buffer[full] = b'|';
            full = lower_case(&mut buffer, full + 1, request.argument(1))?;
            row = self.rows.get(&buffer[..full]);
        }
        let row = row?;
        let answered_here = matches!(
            row.way,
            Way::Here(_) | Way::Cached(Cached::Get | Cached::Mget)
        );
        if answered_here && !(row.least..=row.most).contains(&request.len()) {
            let name = String::from_utf8_lossy(&buffer[..full]);
            return Some(Err(NotFound::WrongArity(Refusal {
                number: row.number,
                message: format!("ERR wrong number of arguments for '{name}' command").into_bytes(),
            })));
        }
        Some(Ok(*row))
    }

    /// The row of a request whose command has no row under the name that the client used.
    #[cold]
    fn find_unusual(&self, request: &Request<'_>) -> Result<Row, NotFound> {
        let no_name = || {
            Err(NotFound::NoName(Refusal {
                number: UNKNOWN.number,
                message: self.unknown(request),
            }))
        };
        let sent = request.argument(0);
        if ours::ATTACKS.iter().any(|name| is_word(sent, name)) {
            return Ok(ours::ATTACK);
        }
        if !is_name(sent) {
            return no_name();
        }
        if sent.len() >= NAME_MAX {
            return Ok(UNKNOWN);
        }
        let mut asked = sent.to_ascii_lowercase();
        let original = self.aliases.get(&*asked);
        let name = original.map_or(&*asked, |original| original);
        let is_container = request.len() > 1 && self.is_container(name);
        if is_container
            && (!is_name(request.argument(1)) || [ours::UPSTREAM, ours::PROXY].contains(&name))
        {
            return no_name();
        }
        if original.is_some()
            && let Some(found) = self.look_up(name, request)
        {
            return found.map(Row::under_another_name);
        }
        if is_container {
            let subcommand = request.argument(1).to_ascii_lowercase();
            if self.told != Told::Subcommands {
                return Ok(self.whole(name, &subcommand));
            }
            asked.push(b'|');
            asked.extend(subcommand);
        }
        if self.told == Told::Nothing || asked.len() >= NAME_MAX {
            return Ok(UNKNOWN);
        }
        Err(NotFound::Unknown(asked.into()))
    }

    /// The row of a subcommand that Redis does not describe: that of its command.
    fn whole(&self, name: &[u8], subcommand: &[u8]) -> Row {
        let row = self.rows.get(name).copied().unwrap_or(UNKNOWN);
        let full = [name, b"|", subcommand].concat();
        if ours::may_leave_state(&full) {
            Row {
                way: Way::Dedicated,
                ..row
            }
        } else {
            row
        }
    }

    /// The error message for a request whose command Redis does not have.
    #[must_use]
    pub fn unknown(&self, request: &Request<'_>) -> Vec<u8> {
        let wording = match self.told {
            Told::Commands => Wording::Before7,
            Told::Subcommands | Told::Nothing => Wording::Since7,
        };
        let name = self.original_name(request.argument(0));
        let is_short = name.len() < NAME_MAX && request.len() > 1;
        if is_short && self.has_subcommands(&name.to_ascii_lowercase()) {
            unknown_subcommand(request, wording)
        } else {
            unknown_command(request, wording)
        }
    }

    /// Whether Redis has subcommands of this command.
    fn has_subcommands(&self, name: &[u8]) -> bool {
        self.is_container(name) && self.rows.contains_key(name)
    }

    /// The original name of a command, from the name that a client used.
    #[must_use]
    pub fn original_name<'a>(&'a self, name: &'a [u8]) -> &'a [u8] {
        if self.aliases.is_empty() || name.len() >= NAME_MAX {
            return name;
        }
        let alias = self.aliases.get(&*name.to_ascii_lowercase());
        alias.map_or(name, |original| original)
    }

    /// Whether the table has a command that the proxy answers as `command`.
    #[must_use]
    pub fn answers(&self, command: Here) -> bool {
        self.rows.values().any(|row| row.way == Way::Here(command))
    }

    /// If `name` is that of a subcommand, notes the command that it belongs to.
    fn note_container(&mut self, name: &[u8]) {
        if let Some(command) = container(name)
            && !self.is_container(command)
        {
            self.containers.push(command.into());
        }
    }

    /// Marks the rows of commands with subcommands.
    fn mark_containers(&mut self) {
        for name in &self.containers {
            if let Some(row) = self.rows.get_mut(name) {
                row.is_container = true;
            }
        }
    }

    fn is_container(&self, name: &[u8]) -> bool {
        self.containers.iter().any(|container| **container == *name)
    }

    /// The request by which the command with this number asks about a key, and its row; `None` if the command does not
    /// ask about keys. `rest` are its further arguments, as bulk strings.
    #[must_use]
    pub fn ask(&self, number: u16, key: &[u8], rest: &[u8]) -> Option<(Row, Vec<u8>)> {
        let mut rows = self.rows.iter();
        let (name, row) = rows.find(|(_, row)| row.number == number)?;
        let asks = matches!(row.way, Way::Cached(Cached::Answer { key: 1, .. }));
        if !asks || row.writes != Writes::Nothing {
            return None;
        }
        let mut request = Vec::new();
        reply::header(&mut request, b'*', 2 + Reader::new(rest).values());
        reply::bulk(&mut request, &name.to_ascii_uppercase());
        reply::bulk(&mut request, key);
        request.extend_from_slice(rest);
        Some((*row, request))
    }

    /// All rows with their names, in no particular order.
    pub fn rows(&self) -> impl Iterator<Item = (&[u8], Row)> {
        self.rows.iter().map(|(name, row)| (&**name, *row))
    }
}

/// Which of these lists contain a command, a bit for each.
fn bits_of(wanted: &[CommandList], name: &[u8], row: &Row) -> u32 {
    let holding = wanted.iter().zip(0..u32::BITS);
    let holding = holding.filter(|(list, _)| list.contains(name, row));
    holding.fold(0, |bits, (_, number)| bits | 1 << number)
}

/// Writes `text` in lower case to the buffer, from `start` on. Returns where it ends. One byte always stays free.
fn lower_case(buffer: &mut [u8; NAME_MAX], start: usize, text: &[u8]) -> Option<usize> {
    let end = start + text.len();
    let room = buffer.get_mut(start..end).filter(|_| end < NAME_MAX)?;
    room.copy_from_slice(text);
    room.make_ascii_lowercase();
    Some(end)
}

#[cfg(test)]
mod tests;
