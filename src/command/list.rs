//! Lists of commands, as users write them: names, patterns of names, and kinds.

use std::fmt;

use super::{Row, container};
use crate::rules::Pattern;

/// A set of commands. Displays as written, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct CommandList(Vec<Item>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Item {
    /// `@write`: commands that may change data.
    Write,
    /// `@read`: commands that only read.
    Read,
    /// Commands whose name matches, or whose container's name does: `config` and `conf*` stand for `config|get` too.
    Named(Pattern),
}

impl CommandList {
    /// Parses a list such as `flushall,config*,@write`. Names are in any case, and subcommands are written
    /// `config|set`; `@all` stands for all commands.
    ///
    /// # Errors
    /// What would be valid in place of an invalid item, as the end of a sentence that starts with "give".
    pub fn parse(text: &str) -> Result<Self, String> {
        let items = text.split(',').map(str::trim);
        let items = items.filter(|item| !item.is_empty());
        items.map(Item::parse).collect::<Result<_, _>>().map(Self)
    }

    /// Whether the list contains no command.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether the list contains the command of a row, given its name in lower case (`name|subcommand` for a
    /// subcommand).
    #[must_use]
    pub fn contains(&self, name: &[u8], row: &Row) -> bool {
        self.0.iter().any(|item| match item {
            Item::Write => row.may_write,
            Item::Read => row.reads_only,
            Item::Named(pattern) => {
                pattern.matches(name) || container(name).is_some_and(|name| pattern.matches(name))
            }
        })
    }
}

impl Item {
    fn parse(text: &str) -> Result<Self, String> {
        match text {
            "@write" => Ok(Self::Write),
            "@read" => Ok(Self::Read),
            "@all" => Ok(Self::Named(Pattern::new(b"*"))),
            kind if kind.starts_with('@') => {
                Err("@all, @read or @write as a kind of commands".into())
            }
            name if name.contains(char::is_whitespace) => {
                Err("names of commands with commas between them, a subcommand as config|set".into())
            }
            name => Ok(Self::Named(Pattern::new(
                name.to_ascii_lowercase().as_bytes(),
            ))),
        }
    }
}

impl fmt::Display for CommandList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, item) in self.0.iter().enumerate() {
            if number > 0 {
                f.write_str(",")?;
            }
            match item {
                Item::Write => f.write_str("@write")?,
                Item::Read => f.write_str("@read")?,
                Item::Named(pattern) => pattern.fmt(f)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::command::UNKNOWN;

    #[test]
    fn a_list_holds_names_patterns_and_kinds() {
        let list = CommandList::parse("FLUSHALL, config*,client|kill ,@read").expect("a list");
        assert_eq!(list.to_string(), "flushall,config*,client|kill,@read");
        let write = Row {
            reads_only: false,
            ..UNKNOWN
        };
        for name in ["flushall", "config", "config|set", "client|kill"] {
            assert!(list.contains(name.as_bytes(), &write), "{name}");
        }
        for name in ["flushdb", "client", "client|list", "get"] {
            assert!(!list.contains(name.as_bytes(), &write), "{name}");
        }
        let read = Row {
            reads_only: true,
            ..UNKNOWN
        };
        assert!(list.contains(b"get", &read));
        let all = CommandList::parse("@all").expect("a list");
        assert!(all.contains(b"config|get", &write));
        assert!(CommandList::parse("").is_ok_and(|list| list.is_empty()));
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for text in ["@admin", "config set"] {
            assert!(CommandList::parse(text).is_err(), "{text}");
        }
    }
}
