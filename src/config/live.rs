//! Shows and changes the settings of a running proxy.

use super::check::{self, Origins};
use super::settings::{self, NONE, SETTINGS, Setting};
use super::{Config, Rules};

/// The settings that can be changed while the proxy runs. All others take effect at startup.
const LIVE: [&str; 15] = [
    "cache_period",
    "cache_ttl",
    "capacity",
    "max_memory",
    "max_reply",
    "max_buffers",
    "refetch",
    "stale_ttl",
    "missing_ttl",
    "rule",
    "deny_command",
    "touch",
    "slowlog_slower_than",
    "drain",
    "log_level",
];

/// Why a setting can't be changed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unchanged {
    /// There is no setting with that name.
    Unknown,
    /// It takes effect at startup.
    AtStart,
    /// The value is not allowed. This is what is, as the end of a sentence that starts with "expected".
    NotAllowed(String),
}

/// A setting that differs between two configurations.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// The name of the setting.
    pub name: &'static str,
    /// Its value in one configuration,
    pub before: String,
    /// and in the other.
    pub after: String,
    /// The setting can be changed while the proxy runs.
    pub is_live: bool,
}

impl Config {
    /// Every setting with its value as written; passwords are hidden.
    pub fn values(&self) -> impl Iterator<Item = (&'static str, String)> {
        let values = SETTINGS.iter();
        values.map(|setting| (setting.name, self.value(setting)))
    }

    fn value(&self, setting: &Setting) -> String {
        let shown = (setting.show)(self).to_string();
        if shown == NONE { String::new() } else { shown }
    }

    /// Changes a setting of a running proxy.
    ///
    /// # Errors
    /// If the setting can't be changed. `self` may then be inconsistent, and must be discarded.
    pub fn change(&mut self, name: &str, value: &str) -> Result<(), Unchanged> {
        let setting = settings::find(name).ok_or(Unchanged::Unknown)?;
        if !is_live(setting) {
            return Err(Unchanged::AtStart);
        }
        if setting.is_list() {
            self.rules = Rules::default();
        }
        (setting.set)(self, value).map_err(Unchanged::NotAllowed)
    }

    /// Checks the settings together.
    ///
    /// # Errors
    /// The first setting that can't be combined with another one.
    pub fn check(&self) -> Result<(), Unchanged> {
        check::together(self, Origins::default())
            .map_err(|error| Unchanged::NotAllowed(error.to_string()))
    }

    /// The settings whose values differ between the two configurations.
    #[must_use]
    pub fn differences(&self, other: &Self) -> Vec<Difference> {
        let settings = SETTINGS
            .iter()
            .filter(|setting| !self.is_same(other, setting));
        settings
            .map(|setting| Difference {
                name: setting.name,
                before: self.value(setting),
                after: other.value(setting),
                is_live: is_live(setting),
            })
            .collect()
    }

    fn is_same(&self, other: &Self, setting: &Setting) -> bool {
        match setting.name {
            // Passwords all display the same.
            "password" => self.password == other.password,
            "redis_password" => self.redis_password == other.redis_password,
            "redis_url" => self.redis_url == other.redis_url,
            "redis_sentinel_password" => {
                self.redis_sentinel_password == other.redis_sentinel_password
            }
            _ => self.value(setting) == other.value(setting),
        }
    }

    /// Takes over the settings of `other` that can be changed while the proxy runs.
    pub fn take_live(&mut self, other: &Self) {
        self.cache_period = other.cache_period;
        self.cache_ttl = other.cache_ttl;
        self.capacity = other.capacity;
        self.max_memory = other.max_memory;
        self.max_reply = other.max_reply;
        self.max_buffers = other.max_buffers;
        self.refetch = other.refetch;
        self.stale_ttl = other.stale_ttl;
        self.missing_ttl = other.missing_ttl;
        self.rules = other.rules.clone();
        self.denied_commands = other.denied_commands.clone();
        self.touch = other.touch;
        self.slowlog_slower_than = other.slowlog_slower_than;
        self.drain = other.drain;
        self.log_level = other.log_level;
    }
}

fn is_live(setting: &Setting) -> bool {
    LIVE.contains(&setting.name)
}
