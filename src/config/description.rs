//! Describes the program's flags, for the manual page and for completions.

use argh::{ArgsInfo, FlagInfoKind};

use super::flags::{Flags, group_of, with_underscores};

/// The program and its flags, as in `--help`.
#[derive(Clone, Debug)]
pub struct Description {
    /// A description of the program.
    pub text: String,
    /// Notes about all flags, a paragraph each.
    pub notes: Vec<String>,
    /// The flags in the order of the help.
    pub flags: Vec<Flag>,
}

/// A flag.
#[derive(Clone, Debug)]
pub struct Flag {
    /// Its name, without dashes.
    pub name: String,
    /// Its short form, without a dash.
    pub short: Option<char>,
    /// Whether a value follows it.
    pub takes_value: bool,
    /// Its description, with its default.
    pub text: String,
    /// The title of the group that begins with this flag, if one does.
    pub group: Option<&'static str>,
}

impl Flag {
    /// The values that the flag takes, if they are words from a list.
    #[must_use]
    pub fn choices(&self) -> Vec<&str> {
        let Some((list, _)) = self.text.split_once(':') else {
            return Vec::new();
        };
        let words = list.split(", ").flat_map(|words| words.split(" or "));
        let words: Vec<&str> = words.collect();
        let are_words = words.iter().all(|word| !word.contains(' '));
        if are_words && words.len() > 1 {
            words
        } else {
            Vec::new()
        }
    }

    /// Whether the flag's value is the path of a file.
    #[must_use]
    pub fn is_path(&self) -> bool {
        self.text.starts_with("file ") || self.text.starts_with("path ")
    }
}

/// Describes the program.
#[must_use]
pub fn describe() -> Description {
    let info = Flags::get_args_info();
    let one_line =
        |text: &str| with_underscores(&text.split_whitespace().collect::<Vec<_>>().join(" "));
    let flags = info.flags.iter().map(|flag| {
        let name = flag.long.trim_start_matches('-').replace('-', "_");
        Flag {
            group: group_of(&name),
            name,
            short: flag.short.filter(char::is_ascii_alphabetic),
            takes_value: matches!(flag.kind, FlagInfoKind::Option { .. }),
            text: one_line(flag.description),
        }
    });
    // The help lists it last.
    let mut flags: Vec<Flag> = flags.collect();
    flags.sort_by_key(|flag| flag.name == "help");
    Description {
        text: one_line(info.description),
        notes: info.notes.iter().map(|note| one_line(note)).collect(),
        flags,
    }
}

#[cfg(test)]
mod tests {
    use super::super::flags::GROUPS;
    use super::*;

    fn flag(name: &str) -> Flag {
        let mut flags = describe().flags.into_iter();
        flags.find(|flag| flag.name == name).expect("the flag")
    }

    #[test]
    fn flags_have_the_values_that_their_help_lists() {
        assert_eq!(
            flag("tls_auth_clients").choices(),
            ["yes", "optional", "no"]
        );
        assert_eq!(flag("tracking").choices(), ["on", "off"]);
        assert_eq!(flag("log_level").choices().len(), 6);
        assert!(flag("cached_databases").choices().is_empty());
        assert!(flag("port").choices().is_empty());
    }

    #[test]
    fn paths_are_known_as_such() {
        assert!(flag("config").is_path() && flag("unix_socket").is_path());
        assert!(!flag("redis_hostname").is_path());
    }

    #[test]
    fn every_group_begins_with_a_flag() {
        let flags = describe().flags;
        let found: Vec<_> = flags.iter().filter_map(|flag| flag.group).collect();
        assert_eq!(found, GROUPS.map(|(_, title)| title));
        assert!(flags[0].group.is_some());
    }

    #[test]
    fn every_flag_of_the_help_is_described() {
        let names: Vec<_> = describe().flags.into_iter().map(|flag| flag.name).collect();
        for setting in super::super::settings::SETTINGS {
            assert!(
                names.iter().any(|name| name == setting.name),
                "{}",
                setting.name
            );
        }
        for name in super::super::flags::NOT_SETTINGS {
            assert!(names.iter().any(|known| known == name), "{name}");
        }
    }
}
