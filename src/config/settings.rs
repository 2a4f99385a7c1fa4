//! The table of settings: a row ties a name to its check, whichever source the value comes from.

use super::flags::{self, Flags};
use super::value::{ip_address, log_level, memory, milliseconds, number, on_or_off, redis_address};
use super::{Config, Secret};

/// A setting: its name, where its flag is, its check and how the log shows it.
pub(super) struct Setting {
    /// The name in a file and, after two dashes, the flag. In capitals, the variable.
    pub(super) name: &'static str,
    /// How the log shows the value.
    pub(super) shown: Shown,
    /// The values that its flag was given, in order.
    pub(super) given: fn(&Flags) -> &[String],
    /// Checks the text and puts the value in its field, or says what is allowed, as the end of a
    /// sentence that starts with "give".
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value as text.
    pub(super) show: fn(&Config) -> String,
}

/// How the log shows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Plain,
    /// With this unit at the end of the key.
    In(&'static str),
    /// As `<hidden>`: neither the log nor an error nor the process list may have it.
    Hidden,
}

const HOUR_MS: u64 = 60 * 60 * 1000;
const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

/// Every setting, in the order of the help.
pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        name: "bind",
        shown: Shown::Plain,
        given: |flags| &flags.bind,
        set: |config, text| ip_address(text).map(|ip| config.bind = ip),
        show: |config| config.bind.to_string(),
    },
    Setting {
        name: "port",
        shown: Shown::Plain,
        given: |flags| &flags.port,
        set: |config, text| number(text, "", 0..=65_535).map(|port| config.port = port),
        show: |config| config.port.to_string(),
    },
    Setting {
        name: "cache_period",
        shown: Shown::In("ms"),
        given: |flags| &flags.cache_period,
        set: |config, text| milliseconds(text, 1..=HOUR_MS).map(|time| config.cache_period = time),
        show: |config| config.cache_period.as_millis().to_string(),
    },
    Setting {
        name: "cache_ttl",
        shown: Shown::In("ms"),
        given: |flags| &flags.cache_ttl,
        set: |config, text| milliseconds(text, 1..=YEAR_MS).map(|time| config.cache_ttl = time),
        show: |config| config.cache_ttl.as_millis().to_string(),
    },
    Setting {
        name: "capacity",
        shown: Shown::Plain,
        given: |flags| &flags.capacity,
        set: |config, text| {
            number(text, "entries", 1..=u32::MAX.into()).map(|count| config.capacity = count)
        },
        show: |config| config.capacity.to_string(),
    },
    Setting {
        name: "max_memory",
        shown: Shown::In("bytes"),
        given: |flags| &flags.max_memory,
        set: |config, text| memory(text).map(|bytes| config.max_memory = bytes),
        show: |config| config.max_memory.to_string(),
    },
    Setting {
        name: "max_clients",
        shown: Shown::Plain,
        given: |flags| &flags.max_clients,
        set: |config, text| {
            number(text, "clients", 1..=1_000_000).map(|count| config.max_clients = count)
        },
        show: |config| config.max_clients.to_string(),
    },
    Setting {
        name: "password",
        shown: Shown::Hidden,
        given: |flags| &flags.password,
        set: |config, text| {
            config.password = (!text.is_empty()).then(|| Secret::new(text));
            Ok(())
        },
        show: |config| secret(config.password.as_ref()),
    },
    Setting {
        name: "redis_hostname",
        shown: Shown::Plain,
        given: |flags| &flags.redis_hostname,
        set: |config, text| redis_address(text).map(|address| config.redis = address),
        show: |config| config.redis.to_string(),
    },
    Setting {
        name: "redis_database",
        shown: Shown::Plain,
        given: |flags| &flags.redis_database,
        set: |config, text| {
            number(text, "", 0..=i32::MAX as u64).map(|index| config.redis_database = index)
        },
        show: |config| config.redis_database.to_string(),
    },
    Setting {
        name: "redis_username",
        shown: Shown::Plain,
        given: |flags| &flags.redis_username,
        set: |config, text| {
            config.redis_username = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
        show: |config| config.redis_username.clone().unwrap_or_else(none),
    },
    Setting {
        name: "redis_password",
        shown: Shown::Hidden,
        given: |flags| &flags.redis_password,
        set: |config, text| {
            config.redis_password = (!text.is_empty()).then(|| Secret::new(text));
            Ok(())
        },
        show: |config| secret(config.redis_password.as_ref()),
    },
    Setting {
        name: "redis_timeout",
        shown: Shown::In("ms"),
        given: |flags| &flags.redis_timeout,
        set: |config, text| milliseconds(text, 1..=HOUR_MS).map(|time| config.redis_timeout = time),
        show: |config| config.redis_timeout.as_millis().to_string(),
    },
    Setting {
        name: "tracking",
        shown: Shown::Plain,
        given: |flags| &flags.tracking,
        set: |config, text| on_or_off(text).map(|on| config.tracking = on),
        show: |config| if config.tracking { "on" } else { "off" }.to_owned(),
    },
    Setting {
        name: "stale_ttl",
        shown: Shown::In("ms"),
        given: |flags| &flags.stale_ttl,
        set: |config, text| milliseconds(text, 0..=YEAR_MS).map(|time| config.stale_ttl = time),
        show: |config| config.stale_ttl.as_millis().to_string(),
    },
    Setting {
        name: "slowlog_slower_than",
        shown: Shown::In("ms"),
        given: |flags| &flags.slowlog_slower_than,
        set: |config, text| {
            milliseconds(text, 0..=HOUR_MS).map(|time| config.slowlog_slower_than = time)
        },
        show: |config| config.slowlog_slower_than.as_millis().to_string(),
    },
    Setting {
        name: "metrics_port",
        shown: Shown::Plain,
        given: |flags| &flags.metrics_port,
        set: |config, text| number(text, "", 0..=65_535).map(|port| config.metrics_port = port),
        show: |config| config.metrics_port.to_string(),
    },
    Setting {
        name: "log_level",
        shown: Shown::Plain,
        given: |flags| &flags.log_level,
        set: |config, text| log_level(text).map(|level| config.log_level = level),
        show: |config| config.log_level.as_str().to_ascii_lowercase(),
    },
];

fn secret(secret: Option<&Secret>) -> String {
    secret.map_or_else(none, Secret::to_string)
}

fn none() -> String {
    "<none>".to_owned()
}

impl Setting {
    /// The environment variable.
    pub(super) fn variable(&self) -> String {
        self.name.to_ascii_uppercase()
    }

    pub(super) fn is_secret(&self) -> bool {
        self.shown == Shown::Hidden
    }

    /// `key=value` for the log.
    pub(super) fn summary(&self, config: &Config) -> String {
        let value = word((self.show)(config));
        match self.shown {
            Shown::Plain | Shown::Hidden => format!("{}={value}", self.name),
            Shown::In(unit) => format!("{}_{unit}={value}", self.name),
        }
    }
}

/// The value as one word of a log line: quoted and escaped where it would not be one.
fn word(value: String) -> String {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=');
    if !value.is_empty() && value.chars().all(plain) {
        value
    } else {
        format!("{value:?}")
    }
}

/// The setting with this name, where `-` and `_` are the same.
pub(super) fn find(name: &str) -> Option<&'static Setting> {
    let name = name.replace('-', "_");
    SETTINGS.iter().find(|setting| setting.name == name)
}

/// The flag that was probably meant by a name that isn't one: no more than one letter in three is
/// different.
pub(super) fn nearest(name: &str) -> Option<&'static str> {
    let name = name.replace('-', "_");
    SETTINGS
        .iter()
        .map(|setting| setting.name)
        .chain(flags::NOT_SETTINGS)
        .map(|known| (distance(&name, known), known))
        .min()
        .and_then(|(distance, known)| (distance * 3 <= name.len()).then_some(known))
}

/// How many letters have to be changed, added or removed to get from `a` to `b`.
fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, a) in a.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in b.bytes().enumerate() {
            let changed = diagonal + usize::from(a != b);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}
