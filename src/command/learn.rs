//! Reads what Redis tells of its commands: the reply to `COMMAND`
//! (<https://redis.io/docs/latest/commands/command/>), in the form of RESP2.

use super::{Row, UNKNOWN, Way, Writes};
use crate::resp::read::Reader;

/// A command or subcommand of Redis.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Spec {
    /// Its name in lower case; a subcommand's is `name|subcommand`.
    pub name: Box<[u8]>,
    /// It may write.
    pub writes: bool,
    /// It only reads.
    pub reads_only: bool,
    /// It may block its connection.
    pub blocks: bool,
    /// Its keys can't be told from their positions alone.
    pub movable_keys: bool,
    /// The positions of its first key (0: none) and its last, and from key to key.
    pub keys: (i64, i64, i64),
}

impl Spec {
    /// Its row, for a command that we know nothing else of.
    pub(super) fn row(&self) -> Row {
        Row {
            way: if self.blocks {
                Way::Dedicated
            } else {
                Way::Forward
            },
            writes: self.written(),
            reads_only: self.reads_only,
            blocks: self.blocks,
            ..UNKNOWN
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

/// Reads the reply to `COMMAND`. `None` if it is not in the form that is documented, or an error.
#[must_use]
pub fn read_specs(reply: &[u8]) -> Option<Vec<Spec>> {
    let mut specs = Vec::new();
    let mut reader = Reader::new(reply);
    for _ in 0..reader.array()? {
        read_spec(&mut reader, &mut specs)?;
    }
    Some(specs)
}

/// Name, arity, flags, first key, last key, step; since 6.0 ACL categories, since 7.0 tips, key
/// specifications and subcommands.
fn read_spec(reader: &mut Reader<'_>, specs: &mut Vec<Spec>) -> Option<()> {
    let fields = reader.array()?;
    let name = reader.text()?.to_ascii_lowercase().into();
    reader.skip(1)?;
    let mut spec = Spec {
        name,
        writes: false,
        reads_only: false,
        blocks: false,
        movable_keys: false,
        keys: (0, 0, 0),
    };
    for _ in 0..reader.array()? {
        match reader.text()? {
            b"write" => spec.writes = true,
            b"readonly" => spec.reads_only = true,
            b"blocking" => spec.blocks = true,
            b"movablekeys" => spec.movable_keys = true,
            _ => {}
        }
    }
    spec.keys = (reader.number()?, reader.number()?, reader.number()?);
    specs.push(spec);
    const SUBCOMMANDS: usize = 9;
    if fields <= SUBCOMMANDS {
        return reader.skip(fields.checked_sub(6)?);
    }
    reader.skip(SUBCOMMANDS - 6)?;
    for _ in 0..reader.array()? {
        read_spec(reader, specs)?;
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
                movable_keys,
                keys,
            };
            assert_eq!(spec.row().writes, Writes::Anything);
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
