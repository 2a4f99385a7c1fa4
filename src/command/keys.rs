//! Where the keys of a request are among its arguments.

use super::is_word;
use crate::resp::integer;
use crate::resp::request::Request;

/// Where the keys of a command are.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keys {
    /// The command has no keys.
    None,
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
    /// The first argument, and as many after the second as the second says.
    DestinationAndCounted,
    /// The first half of the arguments after the word `STREAMS`.
    Streams,
    /// The first argument, and the one after the last word `STORE`; the arguments after `BY` and `GET` name further
    /// keys by patterns.
    Sort,
    /// The first argument, and those after the words `STORE` and `STOREDIST`.
    Stored,
    /// Redis does not report the positions.
    Unknown,
}

const fn range(first: usize, last: i32, step: usize) -> Keys {
    Keys::Range { first, last, step }
}

/// The first argument.
pub(super) const FIRST: Keys = range(1, 1, 1);
/// The first two arguments.
pub(super) const FIRST_TWO: Keys = range(1, 2, 1);
/// All arguments.
pub(super) const ALL: Keys = range(1, -1, 1);
const ALL_BUT_LAST: Keys = range(1, -2, 1);

/// Where the keys are, for commands that Redis describes vaguely or wrongly, and for those with rows of our own.
const KNOWN: &[(Keys, &str)] = &[
    (FIRST, "get"),
    (
        ALL,
        "mget pfcount pfmerge sdiffstore sinterstore sunionstore watch",
    ),
    (range(2, -1, 1), "bitop"),
    (
        FIRST_TWO,
        "blmove brpoplpush copy geosearchstore zrangestore",
    ),
    (ALL_BUT_LAST, "blpop brpop bzpopmax bzpopmin"),
    (
        Keys::Counted(1),
        "lmpop sintercard zdiff zinter zintercard zmpop zunion",
    ),
    (
        Keys::Counted(2),
        "blmpop bzmpop eval eval_ro evalsha evalsha_ro fcall fcall_ro",
    ),
    (
        Keys::DestinationAndCounted,
        "zdiffstore zinterstore zunionstore",
    ),
    (Keys::Streams, "xread xreadgroup"),
    (Keys::Sort, "sort sort_ro"),
    (Keys::Stored, "georadius georadiusbymember"),
    // Their arguments are channels.
    (Keys::None, "spublish ssubscribe sunsubscribe"),
];

impl Keys {
    /// Where the keys of the command `name` (in lower case) are, if we know better than Redis.
    pub(super) fn known(name: &[u8]) -> Option<Self> {
        let is_in = |names: &str| names.split(' ').any(|known| known.as_bytes() == name);
        let mut known = KNOWN.iter().filter(|(_, names)| is_in(names));
        known.next().map(|(keys, _)| *keys)
    }

    /// Calls `key` with the position of each key of a request. Returns whether the positions are known.
    pub fn each(self, request: &Request<'_>, mut key: impl FnMut(usize)) -> bool {
        let length = request.len();
        match self {
            Self::None => {}
            Self::Range { first, last, step } => {
                let last = usize::try_from(last)
                    .unwrap_or_else(|_| length.saturating_sub(last.unsigned_abs() as usize));
                let end = length.min(last.saturating_add(1));
                (first..end).step_by(step.max(1)).for_each(key);
            }
            Self::Counted(position) => counted(request, position).for_each(key),
            Self::DestinationAndCounted => {
                (1..length.min(2)).for_each(&mut key);
                counted(request, 2).for_each(key);
            }
            Self::Streams => {
                let is_streams = |at: &usize| is_word(request.argument(*at), b"streams");
                if let Some(word) = (1..length).find(is_streams) {
                    let count = (length - word - 1) / 2;
                    (word + 1..=word + count).for_each(key);
                }
            }
            Self::Sort | Self::Stored => {
                (1..length.min(2)).for_each(&mut key);
                let is_store = |at: &usize| {
                    let word = request.argument(*at);
                    is_word(word, b"store") || self == Self::Stored && is_word(word, b"storedist")
                };
                (2..length.max(1) - 1)
                    .filter(is_store)
                    .for_each(|at| key(at + 1));
            }
            Self::Unknown => return false,
        }
        true
    }
}

/// The positions of as many arguments after `position` as the argument there says.
fn counted(request: &Request<'_>, position: usize) -> std::ops::Range<usize> {
    let count = request.arguments().nth(position).and_then(integer);
    let count = count.and_then(|count| usize::try_from(count).ok());
    let start = position + 1;
    start
        ..start
            .saturating_add(count.unwrap_or(0))
            .min(request.len())
            .max(start)
}

#[cfg(test)]
mod tests {
    use crate::command::Table;
    use crate::resp::request::{Parsed, Parser};

    /// The keys of a request, given inline, by the table of a Redis that does not describe its commands.
    fn keys(inline: &str) -> Option<Vec<String>> {
        let line = format!("{inline}\r\n");
        let mut parser = Parser::new();
        let Ok(Parsed::Request { request, .. }) = parser.parse(line.as_bytes()) else {
            panic!("{inline} is a request");
        };
        let row = Table::default().find(&request).expect("a row");
        let mut keys = Vec::new();
        let text = |at| String::from_utf8_lossy(request.argument(at)).into_owned();
        let known = row.keys.each(&request, |at| keys.push(text(at)));
        known.then_some(keys)
    }

    #[test]
    fn the_keys_of_each_kind_of_command_are_found() {
        for (line, expected) in [
            ("GET a", "a"),
            ("MGET a b c", "a b c"),
            ("MSET a 1 b 2", "a b"),
            ("SET a 1 EX 5", "a"),
            ("BLPOP a b 0", "a b"),
            ("BITOP AND d a b", "d a b"),
            ("LMPOP 2 a b LEFT", "a b"),
            ("BLMPOP 0 2 a b LEFT", "a b"),
            ("BLMPOP 0 9 a b", "a b"),
            ("BLMPOP 0 -1 a b", ""),
            ("BLMPOP 0 x a b", ""),
            ("BLMPOP", ""),
            ("ZUNIONSTORE d 2 a b WEIGHTS 1 2", "d a b"),
            ("ZUNIONSTORE d", "d"),
            ("ZUNION 1 a WITHSCORES", "a"),
            ("EVAL script 1 a b", "a"),
            ("EVAL script 0 b", ""),
            ("XREAD COUNT 2 BLOCK 5 STREAMS a b 0 0", "a b"),
            ("XREADGROUP GROUP g c STREAMS a >", "a"),
            ("XREAD STREAMS a b 0", "a"),
            ("XREAD COUNT 2", ""),
            ("SORT a BY w_* GET # STORE d", "a d"),
            ("SORT a STORE", "a"),
            ("SORT a", "a"),
            ("GEORADIUS a 1 2 3 m STORE d STOREDIST e", "a d e"),
            ("OBJECT ENCODING a", "a"),
            ("XINFO STREAM a", "a"),
            ("MEMORY USAGE a", "a"),
            ("MEMORY STATS", ""),
            ("RENAME a b", "a b"),
            ("WATCH a b", "a b"),
            ("PING", ""),
            ("KEYS a*", ""),
            ("SCAN 0", ""),
            ("PUBLISH c m", ""),
            ("SPUBLISH c m", ""),
            ("SUBSCRIBE c", ""),
        ] {
            assert_eq!(
                keys(line).map(|keys| keys.join(" ")).as_deref(),
                Some(expected),
                "{line}"
            );
        }
    }

    #[test]
    fn of_what_redis_says_nothing_no_keys_are_known() {
        assert_eq!(keys("MIGRATE host 1 a 0 5"), None);
        assert_eq!(keys("NOSUCH a"), None);
    }
}
