//! Parses Redis's description of its commands: the reply to `COMMAND` or `COMMAND INFO`
//! (<https://redis.io/docs/latest/commands/command/>), in RESP2.

use super::unknown::is_full_name;
use super::{Cached, Keys, NAME_MAX, Row, Spread, UNKNOWN, Way, Writes, ours};
use crate::resp::read::Reader;

/// A command or subcommand of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name in lower case; a subcommand's is `name|subcommand`.
    pub name: Box<[u8]>,
    /// The command may write.
    pub writes: bool,
    /// The command only reads.
    pub reads_only: bool,
    /// The command may block its connection.
    pub blocks: bool,
    /// A client that is not authenticated may send it.
    pub no_auth: bool,
    /// No script may call it. Commands that leave state on a connection are among these.
    pub no_script: bool,
    /// The keys can't be found by position alone.
    pub movable_keys: bool,
    /// The reply may change although no key does. Reported since Redis 7.0.
    pub is_random: bool,
    /// Which nodes of a cluster it goes to. Reported since Redis 7.0.
    pub spread: Option<Spread>,
    /// The position of the first key (0 for none) and of the last, and the distance from key to key.
    pub keys: (i64, i64, i64),
}

impl Spec {
    /// The row of a command about which we know nothing else.
    pub(super) fn row(&self) -> Row {
        Row {
            way: if self.blocks || self.may_leave_state() {
                Way::Dedicated
            } else {
                self.cached().map_or(Way::Forward, Way::Cached)
            },
            writes: self.written(),
            keys: self.keys(),
            spread: self.spread,
            may_write: self.writes,
            reads_only: self.reads_only,
            blocks: self.blocks,
            ..UNKNOWN
        }
    }

    /// Whether the command may leave state on its connection, as far as we know.
    fn may_leave_state(&self) -> bool {
        let is_suspect = self.no_auth || self.no_script;
        is_suspect && !ours::leaves_no_state(&self.name) || ours::may_leave_state(&self.name)
    }

    /// How the command's replies are cached, if they are: it must only read and have one key at a fixed position, and
    /// its reply must depend on that key alone.
    fn cached(&self) -> Option<Cached> {
        let depends_on_more = self.movable_keys
            || self.is_random
            || self.no_script
            || ours::depends_on_more(&self.name);
        if !self.reads_only || self.writes || depends_on_more {
            return None;
        }
        let (first, last, step) = self.keys;
        let key = u8::try_from(first).ok().filter(|&first| first > 0)?;
        match last {
            _ if last == first => Some(Cached::Answer { key, alone: false }),
            -1 if step == 1 => Some(Cached::Answer { key, alone: true }),
            _ => None,
        }
    }

    /// Where the command's keys are.
    pub(super) fn keys(&self) -> Keys {
        if let Some(keys) = Keys::known(&self.name) {
            return keys;
        }
        match self.keys {
            _ if self.movable_keys => Keys::Unknown,
            (0, _, _) => Keys::None,
            (first @ 1.., last, step @ 1..) => {
                match (usize::try_from(first), i32::try_from(last)) {
                    (Ok(first), Ok(last)) => Keys::Range {
                        first,
                        last,
                        step: step as usize,
                    },
                    _ => Keys::Unknown,
                }
            }
            _ => Keys::Unknown,
        }
    }

    fn written(&self) -> Writes {
        if !self.writes {
            return Writes::Nothing;
        }
        match self.keys {
            _ if self.movable_keys => Writes::Anything,
            (first @ 1.., last, step @ 1..) => {
                match (usize::try_from(first), i32::try_from(last)) {
                    (Ok(first), Ok(last)) => Writes::Range {
                        first,
                        last,
                        step: step as usize,
                    },
                    _ => Writes::Anything,
                }
            }
            _ => Writes::Anything,
        }
    }
}

/// The most commands and subcommands that are read. Redis 7.0 has 366; modules add a few hundred.
const SPECS_MAX: usize = 16 * 1024;

/// Parses the reply to `COMMAND` or `COMMAND INFO`. Commands that Redis does not have are left out. `None` if the reply
/// is an error, does not have the documented form, or is longer than that of any real Redis.
#[must_use]
pub fn read_specs(reply: &[u8]) -> Option<Vec<Spec>> {
    let mut specs = Vec::new();
    let mut reader = Reader::new(reply);
    for _ in 0..reader.array()? {
        if !reader.null() {
            read_spec(&mut reader, &mut specs, Level::Command)?;
        }
    }
    Some(specs)
}

/// The level of a description. Subcommands have no subcommands, so deeper levels of a reply are skipped.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Level {
    Command,
    Subcommand,
}

/// Reads one description: name, arity, flags, first key, last key, step; since 6.0 ACL categories; since 7.0 tips, key
/// specifications and subcommands.
fn read_spec(reader: &mut Reader<'_>, specs: &mut Vec<Spec>, level: Level) -> Option<()> {
    const KEYS_END: usize = 6;
    const TIPS: usize = 7;
    const SUBCOMMANDS: usize = 9;
    let fields = reader.array()?;
    let name = reader.text()?;
    reader.skip(1)?;
    let mut spec = Spec {
        name: Box::default(),
        writes: false,
        reads_only: false,
        blocks: false,
        no_auth: false,
        no_script: false,
        movable_keys: false,
        is_random: false,
        spread: None,
        keys: (0, 0, 0),
    };
    let (mut request_policy, mut response_policy) = (&[][..], &[][..]);
    for _ in 0..reader.array()? {
        match reader.text()? {
            b"write" => spec.writes = true,
            b"readonly" => spec.reads_only = true,
            b"blocking" => spec.blocks = true,
            b"no_auth" | b"no-auth" => spec.no_auth = true,
            b"noscript" => spec.no_script = true,
            b"movablekeys" => spec.movable_keys = true,
            _ => {}
        }
    }
    spec.keys = (reader.number()?, reader.number()?, reader.number()?);
    let mut left = fields.checked_sub(KEYS_END)?;
    if fields > TIPS {
        reader.skip(TIPS - KEYS_END)?;
        for _ in 0..reader.array()? {
            let tip = reader.text()?;
            spec.is_random |= tip == b"nondeterministic_output";
            request_policy = tip
                .strip_prefix(b"request_policy:")
                .unwrap_or(request_policy);
            response_policy = tip
                .strip_prefix(b"response_policy:")
                .unwrap_or(response_policy);
        }
        left = fields - TIPS - 1;
    }
    if specs.len() == SPECS_MAX {
        return None;
    }
    // Other names are never looked up.
    if name.len() < NAME_MAX && is_full_name(name) {
        spec.name = name.to_ascii_lowercase().into();
        spec.spread = Spread::of_tips(&spec.name, request_policy, response_policy);
        specs.push(spec);
    }
    if level == Level::Subcommand || fields <= SUBCOMMANDS {
        return reader.skip(left);
    }
    reader.skip(SUBCOMMANDS - TIPS - 1)?;
    for _ in 0..reader.array()? {
        read_spec(reader, specs, Level::Subcommand)?;
    }
    reader.skip(fields - SUBCOMMANDS - 1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_command_and_its_subcommands_are_read() {
        let reply = b"*2\r\n\
            *10\r\n$3\r\nSET\r\n:-3\r\n*2\r\n+write\r\n+denyoom\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n\
            *10\r\n$6\r\nobject\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*1\r\n+@slow\r\n*0\r\n*0\r\n*1\r\n\
            *10\r\n$15\r\nobject|encoding\r\n:3\r\n*1\r\n+readonly\r\n:2\r\n:2\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n";
        let specs = read_specs(reply).expect("a reply in the documented form");
        let names: Vec<&[u8]> = specs.iter().map(|spec| &*spec.name).collect();
        assert_eq!(names, [&b"set"[..], b"object", b"object|encoding"]);
        assert_eq!(
            specs[0].row().writes,
            Writes::Range {
                first: 1,
                last: 1,
                step: 1
            }
        );
        assert!(specs[2].reads_only);
    }

    #[test]
    fn the_shorter_form_of_older_versions_is_read() {
        let reply =
            b"*1\r\n*6\r\n$5\r\nblpop\r\n:-3\r\n*2\r\n+write\r\n+blocking\r\n:1\r\n:-2\r\n:1\r\n";
        let specs = read_specs(reply).expect("a reply in the documented form");
        assert_eq!(specs[0].row().way, Way::Dedicated);
        assert_eq!(
            specs[0].row().writes,
            Writes::Range {
                first: 1,
                last: -2,
                step: 1
            }
        );
    }

    #[test]
    fn a_write_whose_keys_are_not_told_may_write_anything() {
        for (movable_keys, keys) in [(true, (1, 1, 1)), (false, (0, 0, 0)), (false, (1, 1, 0))] {
            let spec = Spec {
                name: b"x".as_slice().into(),
                writes: true,
                reads_only: false,
                blocks: false,
                no_auth: false,
                no_script: false,
                movable_keys,
                is_random: false,
                spread: None,
                keys,
            };
            assert_eq!(spec.row().writes, Writes::Anything);
        }
    }

    /// A description that nests subcommands so deep.
    fn nested(depth: usize) -> Vec<u8> {
        let start = b"*1\r\n*10\r\n$1\r\nx\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n";
        [start.repeat(depth), b"*0\r\n".to_vec()].concat()
    }

    #[test]
    fn subcommands_of_subcommands_are_stepped_over_however_deep() {
        for (depth, known) in [(1, 1), (2, 2), (3, 2), (20_000, 2)] {
            let specs = read_specs(&nested(depth)).expect("a reply in the documented form");
            assert_eq!(specs.len(), known, "{depth}");
        }
        let mut unfinished = nested(20_000);
        unfinished.truncate(unfinished.len() - 4);
        assert_eq!(read_specs(&unfinished), None);
        let arrays = b"*1\r\n".repeat(20_000);
        assert_eq!(read_specs(&arrays), None);
    }

    #[test]
    fn a_number_of_commands_is_only_a_promise() {
        let one = b"*6\r\n$1\r\nx\r\n:1\r\n*0\r\n:0\r\n:0\r\n:0\r\n";
        let told = |announced: usize, count: usize| {
            let header = format!("*{announced}\r\n").into_bytes();
            read_specs(&[header, one.repeat(count)].concat()).map(|specs| specs.len())
        };
        assert_eq!(told(SPECS_MAX, SPECS_MAX), Some(SPECS_MAX));
        assert_eq!(told(SPECS_MAX + 1, SPECS_MAX + 1), None);
        assert_eq!(told(usize::MAX / 2, 10), None);
        assert_eq!(told(usize::MAX, 10), None);
    }

    #[test]
    fn a_name_that_no_client_could_use_is_left_out() {
        let described = |name: &str| {
            let header = format!("*1\r\n*6\r\n${}\r\n{name}\r\n", name.len());
            let reply = header + ":1\r\n*0\r\n:0\r\n:0\r\n:0\r\n";
            read_specs(reply.as_bytes()).expect("a reply in the documented form")
        };
        assert_eq!(described("get").len(), 1);
        for name in ["", "multi\0x", "a b", "a|b|c", &"n".repeat(NAME_MAX)] {
            assert_eq!(described(name), [], "{name:?}");
        }
    }

    #[test]
    fn a_command_that_redis_does_not_know_is_none() {
        for null in ["*-1", "$-1", "_"] {
            let reply = format!("*1\r\n{null}\r\n");
            assert_eq!(read_specs(reply.as_bytes()), Some(Vec::new()));
        }
    }

    #[test]
    fn another_reply_teaches_nothing() {
        for reply in [
            &b"-NOPERM no\r\n"[..],
            b"*1\r\n:1\r\n",
            b"*1\r\n*6\r\n$3\r\nget\r\n",
            b"",
        ] {
            assert_eq!(read_specs(reply), None);
        }
    }
}
