//! The table of settings: a row ties a name to its check, whichever source the value comes from.

use std::time::Duration;

use log::kv::Value;

use super::flags::{self, Flags};
use super::sources::PREFIX;
use super::value::{
    LOG_LEVELS, host_names, ip_address, log_format, log_level, memory, milliseconds, number,
    on_or_off, redis_address, seconds,
};
use super::{Config, Secret};

/// A setting: its name, where its flag is, its check and how the log shows it.
pub(super) struct Setting {
    /// The name in a file and, after two dashes, the flag. In capitals, with or without a prefix, the variable.
    pub(super) name: &'static str,
    /// How the log shows the value.
    pub(super) shown: Shown,
    /// The values that its flag was given, in order.
    pub(super) given: fn(&Flags) -> &[String],
    /// Checks the text and puts the value in its field, or says what is allowed, as the end of a
    /// sentence that starts with "give".
    pub(super) set: fn(&mut Config, &str) -> Result<(), String>,
    /// The value, for the log.
    pub(super) show: fn(&Config) -> Value<'_>,
}

/// How the log shows a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shown {
    Plain,
    /// Under this key, which ends with its unit.
    As(&'static str),
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
        show: |config| Value::from_display(&config.bind),
    },
    Setting {
        name: "port",
        shown: Shown::Plain,
        given: |flags| &flags.port,
        set: |config, text| number(text, "", 0..=65_535).map(|port| config.port = port),
        show: |config| config.port.into(),
    },
    Setting {
        name: "cache_period",
        shown: Shown::As("cache_period_ms"),
        given: |flags| &flags.cache_period,
        set: |config, text| milliseconds(text, 1..=HOUR_MS).map(|time| config.cache_period = time),
        show: |config| milliseconds_of(config.cache_period),
    },
    Setting {
        name: "cache_ttl",
        shown: Shown::As("cache_ttl_ms"),
        given: |flags| &flags.cache_ttl,
        set: |config, text| milliseconds(text, 1..=YEAR_MS).map(|time| config.cache_ttl = time),
        show: |config| milliseconds_of(config.cache_ttl),
    },
    Setting {
        name: "capacity",
        shown: Shown::Plain,
        given: |flags| &flags.capacity,
        set: |config, text| {
            number(text, "entries", 1..=u32::MAX.into()).map(|count| config.capacity = count)
        },
        show: |config| config.capacity.into(),
    },
    Setting {
        name: "max_memory",
        shown: Shown::As("max_memory_bytes"),
        given: |flags| &flags.max_memory,
        set: |config, text| memory(text).map(|bytes| config.max_memory = bytes),
        show: |config| config.max_memory.into(),
    },
    Setting {
        name: "max_clients",
        shown: Shown::Plain,
        given: |flags| &flags.max_clients,
        set: |config, text| {
            number(text, "clients", 1..=1_000_000).map(|count| config.max_clients = count)
        },
        show: |config| config.max_clients.into(),
    },
    Setting {
        name: "tcp_keepalive",
        shown: Shown::As("tcp_keepalive_seconds"),
        given: |flags| &flags.tcp_keepalive,
        set: |config, text| seconds(text, 0..=32_767).map(|time| config.tcp_keepalive = time),
        show: |config| config.tcp_keepalive.as_secs().into(),
    },
    Setting {
        name: "timeout",
        shown: Shown::As("timeout_seconds"),
        given: |flags| &flags.timeout,
        set: |config, text| seconds(text, 0..=YEAR_MS / 1000).map(|time| config.timeout = time),
        show: |config| config.timeout.as_secs().into(),
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
        name: "password_file",
        shown: Shown::Plain,
        given: |flags| &flags.password_file,
        set: |config, text| {
            config.password_file = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
        show: |config| config.password_file.as_deref().unwrap_or(NONE).into(),
    },
    Setting {
        name: "redis_hostname",
        shown: Shown::Plain,
        given: |flags| &flags.redis_hostname,
        set: |config, text| redis_address(text).map(|address| config.redis = address),
        show: |config| Value::from_display(&config.redis),
    },
    Setting {
        name: "redis_database",
        shown: Shown::Plain,
        given: |flags| &flags.redis_database,
        set: |config, text| {
            number(text, "", 0..=i32::MAX as u64).map(|index| config.redis_database = index)
        },
        show: |config| config.redis_database.into(),
    },
    Setting {
        name: "redis_username",
        shown: Shown::Plain,
        given: |flags| &flags.redis_username,
        set: |config, text| {
            config.redis_username = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
        show: |config| config.redis_username.as_deref().unwrap_or(NONE).into(),
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
        name: "redis_password_file",
        shown: Shown::Plain,
        given: |flags| &flags.redis_password_file,
        set: |config, text| {
            config.redis_password_file = (!text.is_empty()).then(|| text.to_owned());
            Ok(())
        },
        show: |config| config.redis_password_file.as_deref().unwrap_or(NONE).into(),
    },
    Setting {
        name: "redis_timeout",
        shown: Shown::As("redis_timeout_ms"),
        given: |flags| &flags.redis_timeout,
        set: |config, text| milliseconds(text, 1..=HOUR_MS).map(|time| config.redis_timeout = time),
        show: |config| milliseconds_of(config.redis_timeout),
    },
    Setting {
        name: "tracking",
        shown: Shown::Plain,
        given: |flags| &flags.tracking,
        set: |config, text| on_or_off(text).map(|on| config.tracking = on),
        show: |config| if config.tracking { "on" } else { "off" }.into(),
    },
    Setting {
        name: "causal",
        shown: Shown::Plain,
        given: |flags| &flags.causal,
        set: |config, text| on_or_off(text).map(|on| config.causal = on),
        show: |config| if config.causal { "on" } else { "off" }.into(),
    },
    Setting {
        name: "stale_ttl",
        shown: Shown::As("stale_ttl_ms"),
        given: |flags| &flags.stale_ttl,
        set: |config, text| milliseconds(text, 0..=YEAR_MS).map(|time| config.stale_ttl = time),
        show: |config| milliseconds_of(config.stale_ttl),
    },
    Setting {
        name: "slowlog_slower_than",
        shown: Shown::As("slowlog_slower_than_ms"),
        given: |flags| &flags.slowlog_slower_than,
        set: |config, text| {
            milliseconds(text, 0..=HOUR_MS).map(|time| config.slowlog_slower_than = time)
        },
        show: |config| milliseconds_of(config.slowlog_slower_than),
    },
    Setting {
        name: "metrics_port",
        shown: Shown::Plain,
        given: |flags| &flags.metrics_port,
        set: |config, text| number(text, "", 0..=65_535).map(|port| config.metrics_port = port),
        show: |config| config.metrics_port.into(),
    },
    Setting {
        name: "metrics_bind",
        shown: Shown::Plain,
        given: |flags| &flags.metrics_bind,
        set: |config, text| ip_address(text).map(|ip| config.metrics_bind = ip),
        show: |config| Value::from_display(&config.metrics_bind),
    },
    Setting {
        name: "metrics_host",
        shown: Shown::Plain,
        given: |flags| &flags.metrics_host,
        set: |config, text| host_names(text).map(|names| config.metrics_hosts = names),
        show: |config| match &config.metrics_hosts {
            names if names.0.is_empty() => NONE.into(),
            names => Value::from_display(names),
        },
    },
    Setting {
        name: "drain",
        shown: Shown::As("drain_ms"),
        given: |flags| &flags.drain,
        set: |config, text| milliseconds(text, 0..=HOUR_MS).map(|time| config.drain = time),
        show: |config| milliseconds_of(config.drain),
    },
    Setting {
        name: "log_level",
        shown: Shown::Plain,
        given: |flags| &flags.log_level,
        set: |config, text| log_level(text).map(|level| config.log_level = level),
        show: |config| LOG_LEVELS[config.log_level as usize].into(),
    },
    Setting {
        name: "log_format",
        shown: Shown::Plain,
        given: |flags| &flags.log_format,
        set: |config, text| log_format(text).map(|format| config.log_format = format),
        show: |config| config.log_format.name().into(),
    },
];

/// How an empty setting shows.
const NONE: &str = "<none>";

fn secret(secret: Option<&Secret>) -> Value<'_> {
    secret.map_or(NONE.into(), Value::from_display)
}

fn milliseconds_of(time: Duration) -> Value<'static> {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

impl Setting {
    /// The environment variable that beats all others.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    pub(super) fn is_secret(&self) -> bool {
        self.shown == Shown::Hidden
    }

    /// The key for the log.
    pub(super) fn key(&self) -> &'static str {
        match self.shown {
            Shown::Plain | Shown::Hidden => self.name,
            Shown::As(key) => key,
        }
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
