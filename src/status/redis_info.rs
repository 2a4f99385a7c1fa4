//! Redis's own `INFO`, and the sections of it that a client requests.

use crate::clock::Time;

/// The proxy's own sections. Redis is not asked for them.
const OURS: [&str; 4] = ["cache", "upstream", "proxy", "commandcache"];

/// Long sections that are only shown on request.
const LONG: [&str; 3] = ["commandstats", "commandcache", "latencystats"];

/// The longest section name that is considered, in bytes. Redis ignores names that it does not know.
const NAME_MAX: usize = 64;

/// How many sections are remembered, and the maximum length of each, in bytes.
const SECTIONS_MAX: usize = 32;
const SECTION_MAX: usize = 16 * 1024;

/// The sections that a client requests.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanted {
    /// The names of the sections; empty for the default ones.
    names: Vec<Box<[u8]>>,
    /// The client gave names, though perhaps not of any section.
    chosen: bool,
}

impl Wanted {
    /// Parses the arguments of `INFO`.
    pub fn of<'a>(arguments: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut wanted = Self::default();
        for name in arguments {
            wanted.chosen = true;
            if name.len() <= NAME_MAX {
                wanted.names.push(name.into());
            }
        }
        wanted
    }

    /// About how many bytes the list takes besides its own size.
    #[must_use]
    pub fn bytes(&self) -> usize {
        let each = size_of::<Box<[u8]>>();
        self.names.iter().map(|name| each + name.len()).sum()
    }

    /// Whether a section is requested. As in Redis, `all` and `everything` stand for all sections, and `default` for
    /// the default ones.
    #[must_use]
    pub fn has(&self, section: &str) -> bool {
        let usual = !LONG.contains(&section);
        !self.chosen && usual
            || self.names.iter().any(|name| {
                let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
                is(section) || is("all") || is("everything") || is("default") && usual
            })
    }

    /// The sections to request from Redis; `None` if none of them is Redis's.
    #[must_use]
    pub fn of_redis(&self) -> Option<Vec<&[u8]>> {
        let is_ours = |name: &[u8]| {
            let mut ours = OURS.iter();
            ours.any(|ours| name.eq_ignore_ascii_case(ours.as_bytes()))
        };
        let names = self.names.iter().map(|name| &name[..]);
        let names: Vec<&[u8]> = names.filter(|name| !is_ours(name)).collect();
        (!self.chosen || !names.is_empty()).then_some(names)
    }
}

/// Whether a section is the proxy's own.
pub(super) fn is_ours(section: &str) -> bool {
    OURS.contains(&section)
}

/// A section as Redis shows it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Section<'a> {
    /// Its title, such as `Server`.
    pub title: &'a str,
    /// Its lines.
    pub lines: &'a str,
}

impl<'a> Section<'a> {
    /// The sections of a reply to `INFO`.
    pub fn all_in(text: &'a str) -> impl Iterator<Item = Self> {
        let parts = text.strip_prefix("# ").unwrap_or_default().split("\n# ");
        let sections = parts.filter_map(|part| part.split_once('\n'));
        sections.map(|(title, lines)| Self {
            title: title.trim_end(),
            lines: lines.trim_end(),
        })
    }

    /// The fields with their values.
    pub fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        let lines = self.lines.lines();
        lines.filter_map(|line| line.trim_end().split_once(':'))
    }
}

/// Redis's latest `INFO`, for use when Redis can't be asked.
#[derive(Debug, Default)]
pub struct RedisInfo {
    /// The sections, as titles and lines.
    sections: Vec<(Box<str>, Box<str>)>,
    /// When the latest reply arrived.
    at: Option<Time>,
}

impl RedisInfo {
    /// Takes in a reply of Redis.
    pub fn learn(&mut self, text: &str, now: Time) {
        for Section { title, lines } in Section::all_in(text) {
            if is_ours(&title.to_ascii_lowercase()) || lines.len() > SECTION_MAX {
                continue;
            }
            self.at = Some(now);
            let at = self.sections.iter().position(|known| *known.0 == *title);
            if let Some(at) = at {
                self.sections[at].1 = lines.into();
            } else if self.sections.len() < SECTIONS_MAX {
                self.sections.push((title.into(), lines.into()));
            }
        }
    }

    /// The sections, as Redis shows them.
    pub(super) fn sections(&self) -> impl Iterator<Item = Section<'_>> {
        let sections = self.sections.iter();
        sections.map(|(title, lines)| Section { title, lines })
    }

    /// When Redis last replied.
    pub(super) fn at(&self) -> Option<Time> {
        self.at
    }

    /// A field of a section in Redis's latest reply.
    #[must_use]
    pub fn field(&self, section: &str, name: &str) -> Option<&str> {
        let mut sections = self.sections();
        let section = sections.find(|known| known.title == section)?;
        let mut fields = section.fields();
        fields.find_map(|(known, value)| (known == name).then_some(value))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "# Server\r\nredis_version:7.0.15\r\nconfig_file:\r\n\r\n# Persistence\r\n\
                        loading:0\r\n\r\n# Modules\r\n";

    fn wanted(names: &[&str]) -> Wanted {
        Wanted::of(names.iter().map(|name| name.as_bytes()))
    }

    #[test]
    fn redis_is_asked_for_what_is_its_own() {
        assert_eq!(wanted(&[]).of_redis(), Some(vec![]));
        assert_eq!(wanted(&["Cache", "upstream"]).of_redis(), None);
        assert_eq!(
            wanted(&["cache", "server", "ALL"]).of_redis(),
            Some(vec![&b"server"[..], b"ALL"])
        );
        let long = "x".repeat(NAME_MAX + 1);
        assert_eq!(wanted(&[&long]).of_redis(), None);
        assert!(!wanted(&[&long]).has("server"));
    }

    #[test]
    fn the_sections_of_a_reply_are_read_with_their_fields() {
        let mut info = RedisInfo::default();
        info.learn(TEXT, Time::default());
        let titles: Vec<&str> = info.sections().map(|section| section.title).collect();
        assert_eq!(titles, ["Server", "Persistence", "Modules"]);
        assert_eq!(info.field("Server", "config_file"), Some(""));
        assert_eq!(info.field("Server", "loading"), None);
        info.learn("# Persistence\r\nloading:1\r\n", Time::default());
        assert_eq!(info.field("Persistence", "loading"), Some("1"));
        assert_eq!(info.sections().count(), 3);
    }

    #[test]
    fn what_is_remembered_is_bounded() {
        let mut info = RedisInfo::default();
        for number in 0..1000 {
            info.learn(&format!("# Module{number}\r\na:b\r\n"), Time::default());
        }
        info.learn(
            &format!("# Module0\r\na:{}\r\n", "x".repeat(SECTION_MAX)),
            Time::default(),
        );
        assert_eq!(info.sections().count(), SECTIONS_MAX);
        assert_eq!(info.field("Module0", "a"), Some("b"));
    }
}
