//! Rules: what is special about the keys that match a pattern.
//!
//! Of several rules about entries the first that matches a key counts, and the others say nothing of it; the same holds of
//! those about requests. They apply in every
//! database, to a key's value and to all answers about it. A rule is looked up when something is fetched, kept or removed,
//! not when it is read from the cache.

mod clients;
mod pattern;

use std::fmt;
use std::time::Duration;

pub use clients::{Clients, Listener};
pub use pattern::Pattern;

/// The most rules.
pub const RULES_MAX: usize = 256;

/// What is special about some keys. What is not given is as the settings for all keys have it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// Which keys.
    pub pattern: Pattern,
    /// How long an entry lives, in place of `cache_ttl`.
    pub ttl: Option<Duration>,
    /// How long past that it may be served while Redis can't be reached, in place of `stale_ttl`.
    pub stale: Option<Duration>,
    /// Nothing is cached.
    pub nocache: bool,
    /// The longest value or reply that is cached, in bytes, in place of `max_reply`; 0 for no limit.
    pub max_reply: Option<usize>,
    /// An entry that is read within this time before its end is fetched anew ahead of it.
    pub refresh: Option<Duration>,
    /// An entry is not evicted while others can be.
    pub pin: bool,
    /// How often Redis is told of keys that are read here; 0 for never.
    pub touch: Option<Duration>,
    /// How long it is remembered that a key does not exist, in place of `missing_ttl`; 0 for not at all.
    pub missing_ttl: Option<Duration>,
    /// No client may use such a key.
    pub deny: bool,
    /// No client may write such a key.
    pub readonly: bool,
    /// What is put before such a key on its way to Redis.
    pub prefix: Option<Box<str>>,
    /// Clients may do with such a key what they like, though a later rule says something else.
    pub allow: bool,
    /// The clients whose requests it is about, if it is about requests.
    pub clients: Clients,
}

impl Rule {
    /// A rule that changes nothing yet.
    #[must_use]
    pub fn new(pattern: Pattern) -> Self {
        Self {
            pattern,
            ttl: None,
            stale: None,
            nocache: false,
            max_reply: None,
            refresh: None,
            pin: false,
            touch: None,
            missing_ttl: None,
            deny: false,
            readonly: false,
            prefix: None,
            allow: false,
            clients: Clients::default(),
        }
    }

    /// Whether it says how entries are kept.
    #[must_use]
    pub fn is_about_entries(&self) -> bool {
        let times = [
            self.ttl,
            self.stale,
            self.refresh,
            self.touch,
            self.missing_ttl,
        ];
        let has_time = times.iter().any(Option::is_some);
        has_time || self.nocache || self.pin || self.max_reply.is_some()
    }

    /// Whether it says what clients may do with keys.
    #[must_use]
    pub fn limits_keys(&self) -> bool {
        self.allow || self.deny || self.readonly
    }

    /// Whether it is about requests.
    #[must_use]
    pub fn is_about_requests(&self) -> bool {
        self.limits_keys() || self.prefix.is_some()
    }
}

/// As it is written, with times in milliseconds and sizes in bytes.
impl fmt::Display for Rule {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.pattern)?;
        let times = [
            ("ttl", self.ttl),
            ("stale", self.stale),
            ("refresh", self.refresh),
            ("touch", self.touch),
            ("missing_ttl", self.missing_ttl),
        ];
        for (name, time) in times {
            if let Some(time) = time {
                write!(f, " {name}={}", time.as_millis())?;
            }
        }
        if let Some(bytes) = self.max_reply {
            write!(f, " max_reply={bytes}")?;
        }
        let flags = [
            ("nocache", self.nocache),
            ("pin", self.pin),
            ("deny", self.deny),
            ("readonly", self.readonly),
            ("allow", self.allow),
        ];
        for (name, _) in flags.into_iter().filter(|(_, given)| *given) {
            write!(f, " {name}")?;
        }
        if let Some(prefix) = &self.prefix {
            write!(f, " prefix={prefix}")?;
        }
        self.clients.fmt(f)
    }
}

/// All rules, in order. They display on one line, with [`Rules::BETWEEN`] between two.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    list: Vec<Rule>,
}

impl Rules {
    /// The word that stands between two rules in one text.
    pub const BETWEEN: &str = ";";

    /// The first rule about entries that matches a key.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> Option<&Rule> {
        self.position(key).map(|position| &self.list[position])
    }

    /// Which of [`iter`](Self::iter) that is.
    #[must_use]
    pub fn position(&self, key: &[u8]) -> Option<usize> {
        let mut rules = self.list.iter();
        rules.position(|rule| rule.is_about_entries() && rule.pattern.matches(key))
    }

    /// Those about requests.
    pub fn of_requests(&self) -> impl Iterator<Item = &Rule> {
        self.list.iter().filter(|rule| rule.is_about_requests())
    }

    /// Adds a rule behind the others.
    pub fn push(&mut self, rule: Rule) {
        self.list.push(rule);
    }

    /// All of them.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.list.iter()
    }

    /// Whether there are none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }
}

impl fmt::Display for Rules {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (number, rule) in self.list.iter().enumerate() {
            if number > 0 {
                write!(f, " {} ", Self::BETWEEN)?;
            }
            rule.fmt(f)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rule(pattern: &str) -> Rule {
        Rule::new(Pattern::new(pattern.as_bytes()))
    }

    #[test]
    fn the_first_rule_about_entries_that_matches_counts() {
        let mut rules = Rules::default();
        rules.push(Rule {
            pin: true,
            ..rule("user:1*")
        });
        rules.push(Rule {
            deny: true,
            ..rule("user:*")
        });
        rules.push(Rule {
            nocache: true,
            ..rule("user:*")
        });
        let pattern = |key: &[u8]| rules.of(key).map(|rule| rule.pattern.to_string());
        assert_eq!(pattern(b"user:12").as_deref(), Some("user:1*"));
        assert_eq!(pattern(b"user:2").as_deref(), Some("user:*"));
        assert_eq!(pattern(b"session:1"), None);
    }

    #[test]
    fn rules_display_as_they_are_written() {
        let mut rules = Rules::default();
        rules.push(Rule {
            ttl: Some(Duration::from_secs(60)),
            pin: true,
            ..rule("flag:*")
        });
        rules.push(Rule {
            max_reply: Some(1024),
            prefix: Some("app1:".into()),
            ..rule("*")
        });
        assert_eq!(
            rules.to_string(),
            "flag:* ttl=60000 pin ; * max_reply=1024 prefix=app1:"
        );
        assert_eq!(Rules::default().to_string(), "");
    }
}
