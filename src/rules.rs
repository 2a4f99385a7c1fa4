//! Rules: options for the keys that match a pattern.
//!
//! Among the rules about entries, only the first one that matches a key applies; so does only the first among the rules
//! about requests. Rules apply in every database, to a key's value and to all answers about it. A rule is looked up
//! when something is fetched, cached or removed, but not when it is read from the cache.

mod clients;
mod pattern;

use std::fmt;
use std::time::Duration;

pub use clients::{Clients, Listener};
pub use pattern::Pattern;

/// The most rules that there may be.
pub const RULES_MAX: usize = 256;

/// The options for some keys. Options that are not given default to the settings for all keys.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Rule {
    /// The keys that the rule is about.
    pub pattern: Pattern,
    /// How long an entry lives, in place of `cache_ttl`.
    pub ttl: Option<Duration>,
    /// How long past that time an entry may be served while Redis is unreachable, in place of `stale_ttl`.
    pub stale: Option<Duration>,
    /// Nothing is cached.
    pub nocache: bool,
    /// The longest cached value or reply, in bytes, in place of `max_reply`; 0 for no limit.
    pub max_reply: Option<usize>,
    /// An entry that is read within this time before its end is refreshed.
    pub refresh: Option<Duration>,
    /// An entry is not evicted while others can be.
    pub pin: bool,
    /// How often reads from the cache are reported to Redis; 0 for never.
    pub touch: Option<Duration>,
    /// How long a missing key is cached, in place of `missing_ttl`; 0 for not at all.
    pub missing_ttl: Option<Duration>,
    /// No client may use a matching key.
    pub deny: bool,
    /// No client may write a matching key.
    pub readonly: bool,
    /// The prefix of a matching key at Redis.
    pub prefix: Option<Box<str>>,
    /// No later rule restricts what clients may do with a matching key.
    pub allow: bool,
    /// The clients whose requests the rule applies to, if it is about requests.
    pub clients: Clients,
}

impl Rule {
    /// A rule without options.
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

    /// Whether the rule has options about entries.
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

    /// Whether the rule restricts what clients may do with keys.
    #[must_use]
    pub fn limits_keys(&self) -> bool {
        self.allow || self.deny || self.readonly
    }

    /// Whether the rule has options about requests.
    #[must_use]
    pub fn is_about_requests(&self) -> bool {
        self.limits_keys() || self.prefix.is_some()
    }
}

/// As written in settings, with times in milliseconds and sizes in bytes.
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

/// All rules, in order. Displays on one line, separated by [`Rules::BETWEEN`].
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Rules {
    list: Vec<Rule>,
}

impl Rules {
    /// The word between two rules of one text.
    pub const BETWEEN: &str = ";";

    /// The first rule about entries that matches a key.
    #[must_use]
    pub fn of(&self, key: &[u8]) -> Option<&Rule> {
        self.position(key).map(|position| &self.list[position])
    }

    /// The index of that rule in [`iter`](Self::iter).
    #[must_use]
    pub fn position(&self, key: &[u8]) -> Option<usize> {
        let mut rules = self.list.iter();
        rules.position(|rule| rule.is_about_entries() && rule.pattern.matches(key))
    }

    /// The rules about requests.
    pub fn of_requests(&self) -> impl Iterator<Item = &Rule> {
        self.list.iter().filter(|rule| rule.is_about_requests())
    }

    /// Appends a rule.
    pub fn push(&mut self, rule: Rule) {
        self.list.push(rule);
    }

    /// All rules.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = &Rule> {
        self.list.iter()
    }

    /// Whether there are no rules.
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
