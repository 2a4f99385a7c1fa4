//! The table of settings: each row ties a name to its check, whatever source the value comes from.

use std::time::Duration;

use log::kv::Value;

use super::flags::Flags;
use super::url::RedisUrl;
use super::value::{
    HOUR_MS, LOG_LEVELS, YEAR_MS, auth_clients, cluster_nodes, config_set, databases, host_names,
    ip_address, log_format, log_level, memory, milliseconds, milliseconds_or_none, number,
    on_or_off, permissions, port_or_none, read_from, redis_address, seconds, sentinels, with_tls,
    yes_or_no,
};
use super::{Addresses, Config, Secret, rules};
use crate::command::CommandList;

/// A setting: its name, its flag, its check, and how the log shows it.
pub(super) struct Setting {
    /// The name in a file and, after two dashes, the flag. In capitals, with or without the prefix, the variable.
    pub(super) name: &'static str,
    /// How the log shows the value.
    pub(super) shown: Shown,
    /// The values given to its flag, in order.
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
    /// As `<hidden>`: it must not appear in the log, in an error or in the process list.
    Hidden,
}
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
        set: |config, text| port_or_none(text).map(|port| config.port = port),
        show: |config| config.port.map_or("none".into(), Value::from),
    },
    Setting {
        name: "unix_socket",
        shown: Shown::Plain,
        given: |flags| &flags.unix_socket,
        set: |config, text| optional(text, &mut config.unix_socket),
        show: |config| text_or_none(config.unix_socket.as_ref()),
    },
    Setting {
        name: "unix_socket_perm",
        shown: Shown::Plain,
        given: |flags| &flags.unix_socket_perm,
        set: |config, text| permissions(text).map(|mode| config.unix_socket_perm = mode),
        show: |config| Value::from_display(&config.unix_socket_perm),
    },
    Setting {
        name: "tls_port",
        shown: Shown::Plain,
        given: |flags| &flags.tls_port,
        set: |config, text| {
            let port = with_tls(number(text, "", 0..=65_535)?, |port| *port != 0, "0")?;
            config.tls_port = Some(port).filter(|port| *port != 0);
            Ok(())
        },
        show: |config| config.tls_port.unwrap_or_default().into(),
    },
    Setting {
        name: "tls_cert",
        shown: Shown::Plain,
        given: |flags| &flags.tls_cert,
        set: |config, text| optional(text, &mut config.tls_cert),
        show: |config| text_or_none(config.tls_cert.as_ref()),
    },
    Setting {
        name: "tls_key",
        shown: Shown::Plain,
        given: |flags| &flags.tls_key,
        set: |config, text| optional(text, &mut config.tls_key),
        show: |config| text_or_none(config.tls_key.as_ref()),
    },
    Setting {
        name: "tls_ca",
        shown: Shown::Plain,
        given: |flags| &flags.tls_ca,
        set: |config, text| optional(text, &mut config.tls_ca),
        show: |config| text_or_none(config.tls_ca.as_ref()),
    },
    Setting {
        name: "tls_auth_clients",
        shown: Shown::Plain,
        given: |flags| &flags.tls_auth_clients,
        set: |config, text| auth_clients(text).map(|auth| config.tls_auth_clients = auth),
        show: |config| config.tls_auth_clients.name().into(),
    },
    Setting {
        name: "protected_mode",
        shown: Shown::Plain,
        given: |flags| &flags.protected_mode,
        set: |config, text| yes_or_no(text).map(|yes| config.protected_mode = yes),
        show: |config| if config.protected_mode { "yes" } else { "no" }.into(),
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
        name: "max_reply",
        shown: Shown::As("max_reply_bytes"),
        given: |flags| &flags.max_reply,
        set: |config, text| memory(text).map(|bytes| config.max_reply = bytes),
        show: |config| config.max_reply.into(),
    },
    Setting {
        name: "max_buffers",
        shown: Shown::As("max_buffers_bytes"),
        given: |flags| &flags.max_buffers,
        set: |config, text| memory(text).map(|bytes| config.max_buffers = bytes),
        show: |config| config.max_buffers.into(),
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
        name: "dedicated_idle",
        shown: Shown::Plain,
        given: |flags| &flags.dedicated_idle,
        set: |config, text| {
            number(text, "connections", 0..=1_000_000).map(|count| config.dedicated_idle = count)
        },
        show: |config| config.dedicated_idle.into(),
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
        set: |config, text| optional(text, &mut config.password_file),
        show: |config| text_or_none(config.password_file.as_ref()),
    },
    Setting {
        name: "redis_url",
        shown: Shown::Hidden,
        given: |flags| &flags.redis_url,
        set: |config, text| {
            if text.is_empty() {
                return Ok(());
            }
            let url = RedisUrl::parse(text)?;
            config.redis_tls.on = with_tls(url.tls, |tls| *tls, "redis:// or unix://")?;
            url.apply(config);
            config.redis_url = Some(Secret::new(text));
            Ok(())
        },
        show: |config| secret(config.redis_url.as_ref()),
    },
    Setting {
        name: "redis_hostname",
        shown: Shown::Plain,
        given: |flags| &flags.redis_hostname,
        set: |config, text| redis_address(text).map(|address| config.redis = address),
        show: |config| Value::from_display(&config.redis),
    },
    Setting {
        name: "redis_cluster",
        shown: Shown::Plain,
        given: |flags| &flags.redis_cluster,
        set: |config, text| cluster_nodes(text).map(|addresses| config.redis_cluster = addresses),
        show: |config| addresses_or_none(&config.redis_cluster),
    },
    Setting {
        name: "redis_read_from",
        shown: Shown::Plain,
        given: |flags| &flags.redis_read_from,
        set: |config, text| read_from(text).map(|from| config.redis_read_from = from),
        show: |config| config.redis_read_from.name().into(),
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
        name: "cached_databases",
        shown: Shown::Plain,
        given: |flags| &flags.cached_databases,
        set: |config, text| databases(text).map(|list| config.cached_databases = list),
        show: |config| Value::from_display(&config.cached_databases),
    },
    Setting {
        name: "redis_username",
        shown: Shown::Plain,
        given: |flags| &flags.redis_username,
        set: |config, text| optional(text, &mut config.redis_username),
        show: |config| text_or_none(config.redis_username.as_ref()),
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
        set: |config, text| optional(text, &mut config.redis_password_file),
        show: |config| text_or_none(config.redis_password_file.as_ref()),
    },
    Setting {
        name: "redis_tls",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls,
        set: |config, text| {
            config.redis_tls.on = with_tls(on_or_off(text)?, |on| *on, "off")?;
            Ok(())
        },
        show: |config| on_off(config.redis_tls.on),
    },
    Setting {
        name: "redis_tls_ca",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls_ca,
        set: |config, text| optional(text, &mut config.redis_tls.ca),
        show: |config| text_or_none(config.redis_tls.ca.as_ref()),
    },
    Setting {
        name: "redis_tls_cert",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls_cert,
        set: |config, text| optional(text, &mut config.redis_tls.cert),
        show: |config| text_or_none(config.redis_tls.cert.as_ref()),
    },
    Setting {
        name: "redis_tls_key",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls_key,
        set: |config, text| optional(text, &mut config.redis_tls.key),
        show: |config| text_or_none(config.redis_tls.key.as_ref()),
    },
    Setting {
        name: "redis_tls_server_name",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls_server_name,
        set: |config, text| optional(text, &mut config.redis_tls.server_name),
        show: |config| text_or_none(config.redis_tls.server_name.as_ref()),
    },
    Setting {
        name: "redis_tls_insecure",
        shown: Shown::Plain,
        given: |flags| &flags.redis_tls_insecure,
        set: |config, text| on_or_off(text).map(|on| config.redis_tls.insecure = on),
        show: |config| on_off(config.redis_tls.insecure),
    },
    Setting {
        name: "redis_sentinels",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinels,
        set: |config, text| sentinels(text).map(|addresses| config.redis_sentinels = addresses),
        show: |config| addresses_or_none(&config.redis_sentinels),
    },
    Setting {
        name: "redis_sentinel_master",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_master,
        set: |config, text| optional(text, &mut config.redis_sentinel_master),
        show: |config| text_or_none(config.redis_sentinel_master.as_ref()),
    },
    Setting {
        name: "redis_sentinel_username",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_username,
        set: |config, text| optional(text, &mut config.redis_sentinel_username),
        show: |config| text_or_none(config.redis_sentinel_username.as_ref()),
    },
    Setting {
        name: "redis_sentinel_password",
        shown: Shown::Hidden,
        given: |flags| &flags.redis_sentinel_password,
        set: |config, text| {
            config.redis_sentinel_password = (!text.is_empty()).then(|| Secret::new(text));
            Ok(())
        },
        show: |config| secret(config.redis_sentinel_password.as_ref()),
    },
    Setting {
        name: "redis_sentinel_password_file",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_password_file,
        set: |config, text| optional(text, &mut config.redis_sentinel_password_file),
        show: |config| text_or_none(config.redis_sentinel_password_file.as_ref()),
    },
    Setting {
        name: "redis_sentinel_tls",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls,
        set: |config, text| {
            config.redis_sentinel_tls.on = with_tls(on_or_off(text)?, |on| *on, "off")?;
            Ok(())
        },
        show: |config| on_off(config.redis_sentinel_tls.on),
    },
    Setting {
        name: "redis_sentinel_tls_ca",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls_ca,
        set: |config, text| optional(text, &mut config.redis_sentinel_tls.ca),
        show: |config| text_or_none(config.redis_sentinel_tls.ca.as_ref()),
    },
    Setting {
        name: "redis_sentinel_tls_cert",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls_cert,
        set: |config, text| optional(text, &mut config.redis_sentinel_tls.cert),
        show: |config| text_or_none(config.redis_sentinel_tls.cert.as_ref()),
    },
    Setting {
        name: "redis_sentinel_tls_key",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls_key,
        set: |config, text| optional(text, &mut config.redis_sentinel_tls.key),
        show: |config| text_or_none(config.redis_sentinel_tls.key.as_ref()),
    },
    Setting {
        name: "redis_sentinel_tls_server_name",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls_server_name,
        set: |config, text| optional(text, &mut config.redis_sentinel_tls.server_name),
        show: |config| text_or_none(config.redis_sentinel_tls.server_name.as_ref()),
    },
    Setting {
        name: "redis_sentinel_tls_insecure",
        shown: Shown::Plain,
        given: |flags| &flags.redis_sentinel_tls_insecure,
        set: |config, text| on_or_off(text).map(|on| config.redis_sentinel_tls.insecure = on),
        show: |config| on_off(config.redis_sentinel_tls.insecure),
    },
    Setting {
        name: "redis_timeout",
        shown: Shown::As("redis_timeout_ms"),
        given: |flags| &flags.redis_timeout,
        set: |config, text| milliseconds(text, 1..=HOUR_MS).map(|time| config.redis_timeout = time),
        show: |config| milliseconds_of(config.redis_timeout),
    },
    Setting {
        name: "redis_wait",
        shown: Shown::As("redis_wait_ms"),
        given: |flags| &flags.redis_wait,
        set: |config, text| milliseconds(text, 0..=HOUR_MS).map(|time| config.redis_wait = time),
        show: |config| milliseconds_of(config.redis_wait),
    },
    Setting {
        name: "tracking",
        shown: Shown::Plain,
        given: |flags| &flags.tracking,
        set: |config, text| on_or_off(text).map(|on| config.tracking = on),
        show: |config| on_off(config.tracking),
    },
    Setting {
        name: "causal",
        shown: Shown::Plain,
        given: |flags| &flags.causal,
        set: |config, text| on_or_off(text).map(|on| config.causal = on),
        show: |config| on_off(config.causal),
    },
    Setting {
        name: "refetch",
        shown: Shown::Plain,
        given: |flags| &flags.refetch,
        set: |config, text| on_or_off(text).map(|on| config.refetch = on),
        show: |config| on_off(config.refetch),
    },
    Setting {
        name: "stale_ttl",
        shown: Shown::As("stale_ttl_ms"),
        given: |flags| &flags.stale_ttl,
        set: |config, text| milliseconds(text, 0..=YEAR_MS).map(|time| config.stale_ttl = time),
        show: |config| milliseconds_of(config.stale_ttl),
    },
    Setting {
        name: "missing_ttl",
        shown: Shown::As("missing_ttl_ms"),
        given: |flags| &flags.missing_ttl,
        set: |config, text| {
            milliseconds_or_none(text, 0..=YEAR_MS).map(|time| config.missing_ttl = time)
        },
        show: |config| config.missing_ttl.map_or("none".into(), milliseconds_of),
    },
    Setting {
        name: "touch",
        shown: Shown::As("touch_ms"),
        given: |flags| &flags.touch,
        set: |config, text| milliseconds(text, 0..=YEAR_MS).map(|time| config.touch = time),
        show: |config| milliseconds_of(config.touch),
    },
    Setting {
        name: "config_set",
        shown: Shown::Plain,
        given: |flags| &flags.config_set,
        set: |config, text| config_set(text).map(|who| config.config_set = who),
        show: |config| config.config_set.name().into(),
    },
    Setting {
        name: RULE,
        shown: Shown::Plain,
        given: |flags| &flags.rule,
        set: |config, text| rules::add(text, &mut config.rules),
        show: |config| match &config.rules {
            rules if rules.is_empty() => NONE.into(),
            rules => Value::from_display(rules),
        },
    },
    Setting {
        name: "deny_command",
        shown: Shown::Plain,
        given: |flags| &flags.deny_command,
        set: |config, text| CommandList::parse(text).map(|list| config.denied_commands = list),
        show: |config| match &config.denied_commands {
            list if list.is_empty() => NONE.into(),
            list => Value::from_display(list),
        },
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

/// The optional prefix of variables. If both exist, the one with the prefix wins.
pub(super) const PREFIX: &str = "REDIS_PROXY_";

/// The variable that lists the settings whose flags were moved to the environment, separated by commas: errors blame the
/// flag.
pub(super) const MOVED: &str = "REDIS_PROXY_MOVED_FLAGS";

/// The setting that may be given several times; each adds to the earlier ones.
const RULE: &str = "rule";

/// How an empty setting is shown.
pub(super) const NONE: &str = "<none>";

/// Stores a text in its field, or nothing if it is empty.
fn optional(text: &str, field: &mut Option<String>) -> Result<(), String> {
    *field = (!text.is_empty()).then(|| text.to_owned());
    Ok(())
}

fn text_or_none(text: Option<&String>) -> Value<'_> {
    text.map_or(NONE.into(), |text| text.as_str().into())
}

fn addresses_or_none(addresses: &Addresses) -> Value<'_> {
    match addresses.0.is_empty() {
        true => NONE.into(),
        false => Value::from_display(addresses),
    }
}

fn on_off(on: bool) -> Value<'static> {
    if on { "on" } else { "off" }.into()
}

fn secret(secret: Option<&Secret>) -> Value<'_> {
    secret.map_or(NONE.into(), Value::from_display)
}

fn milliseconds_of(time: Duration) -> Value<'static> {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX).into()
}

impl Setting {
    /// The environment variable that wins.
    pub(super) fn variable(&self) -> String {
        format!("{PREFIX}{}", self.name.to_ascii_uppercase())
    }

    /// Whether all values of the setting count, and not only the last.
    pub(super) fn is_list(&self) -> bool {
        self.name == RULE
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
