//! Finds the commands that ask about the key in their first argument, by name and in a few instructions. In a pipeline
//! of hits, a look-up in the whole table would take as long as the hit itself.

use std::collections::HashMap;

use foldhash::fast::RandomState;

use super::{Cached, Row, Way};

/// The longest name of such a command, in bytes.
const NAME_MAX: usize = 16;

/// The commands by their names.
#[derive(Debug, Default)]
pub(super) struct Shortcuts {
    commands: HashMap<u128, Shortcut, RandomState>,
    /// The first letters of the names of each length, a bit for each. This rules out most other commands.
    first: [u32; NAME_MAX + 1],
}

#[derive(Clone, Copy, Debug)]
struct Shortcut {
    number: u16,
    /// The length of the command's name.
    length: u8,
    /// The command asks about one key only if the key is its last argument.
    alone: bool,
}

impl Shortcuts {
    /// Builds the shortcuts to these rows.
    pub fn to<'a>(rows: impl Iterator<Item = (&'a [u8], Row)>) -> Self {
        let shortcut = |(name, row): (&[u8], Row)| match row.way {
            Way::Cached(Cached::Answer { key: 1, alone })
                if name.len() <= NAME_MAX
                    && name.iter().all(u8::is_ascii_lowercase)
                    && !row.waits_for_pause()
                    && row.hooks == 0 =>
            {
                let shortcut = Shortcut {
                    number: row.number,
                    length: name.len() as u8,
                    alone,
                };
                Some((fold(name), shortcut))
            }
            _ => None,
        };
        let mut first = [0; NAME_MAX + 1];
        let mut note = |name: &[u8]| first[name.len()] |= bit_of_first(name);
        let commands = rows.filter_map(|(name, row)| {
            let shortcut = shortcut((name, row))?;
            note(name);
            Some(shortcut)
        });
        Self {
            commands: commands.collect(),
            first,
        }
    }

    /// The number of the command `name` (in any case), if a request with `count` arguments asks about one key.
    #[inline]
    pub fn find(&self, name: &[u8], count: usize) -> Option<u16> {
        if self.first.get(name.len())? & bit_of_first(name) == 0 {
            return None;
        }
        let shortcut = self.commands.get(&fold(name))?;
        let asks = usize::from(shortcut.length) == name.len() && (count == 2 || !shortcut.alone);
        asks.then_some(shortcut.number)
    }
}

/// The bit of the letter that a name starts with.
#[inline]
fn bit_of_first(name: &[u8]) -> u32 {
    name.first().map_or(0, |first| 1 << (first & 31))
}

/// Folds a name of at most [`NAME_MAX`] bytes, so that it is the same in any case. Among names of the same length, no
/// other name folds to the same value as a name of letters.
#[inline]
fn fold(name: &[u8]) -> u128 {
    const LOWER_CASE: u128 = u128::from_ne_bytes([b' '; NAME_MAX]);
    let part = |first: u64, last: u64| u128::from(first) | u128::from(last) << 64;
    let bytes = match (
        (name.first_chunk(), name.last_chunk()),
        (name.first_chunk(), name.last_chunk()),
    ) {
        ((Some(first), Some(last)), _) => {
            part(u64::from_le_bytes(*first), u64::from_le_bytes(*last))
        }
        (_, (Some(first), Some(last))) => part(
            u32::from_le_bytes(*first).into(),
            u32::from_le_bytes(*last).into(),
        ),
        _ => name
            .iter()
            .fold(0, |folded, byte| folded << 8 | u128::from(*byte)),
    };
    bytes | LOWER_CASE
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::{UNKNOWN, Writes};

    #[test]
    fn a_command_is_found_by_its_whole_name_in_any_case() {
        let row = |number, way| Row {
            number,
            way,
            reads_only: true,
            writes: Writes::Nothing,
            ..UNKNOWN
        };
        let answer = |alone| Way::Cached(Cached::Answer { key: 1, alone });
        let shortcuts = Shortcuts::to(
            [
                (&b"hget"[..], row(7, answer(false))),
                (b"exists", row(8, answer(true))),
                (b"set", row(9, Way::Forward)),
                (b"a_read", row(10, answer(false))),
            ]
            .into_iter(),
        );
        assert_eq!(shortcuts.find(b"hget", 3), Some(7));
        assert_eq!(shortcuts.find(b"HgEt", 3), Some(7));
        assert_eq!(shortcuts.find(b"EXISTS", 2), Some(8));
        assert_eq!(shortcuts.find(b"EXISTS", 3), None);
        for name in [
            &b"set"[..],
            b"hge",
            b"hget\0",
            b"hget ",
            b"\x08get",
            b"a_read",
            b"",
            b"a name of more than sixteen bytes",
        ] {
            assert_eq!(shortcuts.find(name, 3), None, "{name:?}");
        }
    }
}
