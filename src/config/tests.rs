//! Helpers of the tests here: a configuration from made-up flags, variables and a file.

use std::ffi::OsString;
use std::io;
use std::time::Duration;

use super::settings::SETTINGS;
use super::{
    AuthClients, Config, ConfigError, DatabaseList, Invocation, ReadFrom, RedisAddress, Secret,
    load,
};
use crate::logging::Format;

mod arguments;
mod file;
mod live;
mod precedence;
mod rules;
mod secrets;
mod together;
mod values;

/// The path of the tests' file; there is no other.
const FILE: &str = "/etc/redis-proxy.conf";

/// A file with a password.
const SECRET_FILE: &str = "/run/secrets/password";

/// A value other than the default for every setting.
const SAMPLES: &[(&str, &str)] = &[
    ("bind", "::1"),
    ("port", "6380"),
    ("unix_socket", "/run/redis-proxy.sock"),
    ("unix_socket_perm", "700"),
    ("tls_port", "6390"),
    ("tls_cert", "/etc/cert.pem"),
    ("tls_key", "/etc/key.pem"),
    ("tls_ca", "/etc/ca.pem"),
    ("tls_auth_clients", "optional"),
    ("protected_mode", "no"),
    ("cache_period", "5"),
    ("cache_ttl", "60000"),
    ("capacity", "7"),
    ("max_memory", "1gb"),
    ("max_reply", "2mb"),
    ("max_buffers", "2gb"),
    ("max_clients", "3"),
    ("dedicated_idle", "3"),
    ("tcp_keepalive", "9"),
    ("timeout", "9"),
    ("password", "e f"),
    ("password_file", SECRET_FILE),
    ("redis_url", "redis://redis.example:7000"),
    ("redis_hostname", "redis.example:7000"),
    ("redis_cluster", "n1.example,[::1]:7000"),
    ("redis_read_from", "replica"),
    ("redis_database", "2"),
    ("cached_databases", "0,2,8-15"),
    ("redis_username", "alice"),
    ("redis_password", "a_b-c=d"),
    ("redis_password_file", SECRET_FILE),
    ("redis_tls", "on"),
    ("redis_tls_ca", "/etc/ca.pem"),
    ("redis_tls_cert", "/etc/cert.pem"),
    ("redis_tls_key", "/etc/key.pem"),
    ("redis_tls_server_name", "redis.example"),
    ("redis_tls_insecure", "on"),
    ("redis_sentinels", "s1.example,[::1]:7000"),
    ("redis_sentinel_master", "mymaster"),
    ("redis_sentinel_username", "bob"),
    ("redis_sentinel_password", "g h"),
    ("redis_sentinel_password_file", SECRET_FILE),
    ("redis_sentinel_tls", "on"),
    ("redis_sentinel_tls_ca", "/etc/ca.pem"),
    ("redis_sentinel_tls_cert", "/etc/cert.pem"),
    ("redis_sentinel_tls_key", "/etc/key.pem"),
    ("redis_sentinel_tls_server_name", "s.example"),
    ("redis_sentinel_tls_insecure", "on"),
    ("redis_timeout", "250"),
    ("redis_wait", "250"),
    ("tracking", "off"),
    ("causal", "off"),
    ("refetch", "off"),
    ("stale_ttl", "9"),
    ("missing_ttl", "9"),
    ("touch", "9"),
    ("config_set", "no"),
    ("rule", "session:* ttl=9"),
    ("deny_command", "flushall"),
    ("slowlog_slower_than", "9"),
    ("metrics_port", "9"),
    ("metrics_bind", "::"),
    ("metrics_host", "proxy.example,redis_proxy"),
    ("drain", "9"),
    ("log_level", "debug"),
    ("log_format", "json"),
];

fn invoke_os(
    args: &[OsString],
    variables: &[(&str, OsString)],
    file: &str,
) -> Result<Invocation, ConfigError> {
    load(
        args,
        &|name| {
            variables
                .iter()
                .find(|(variable, _)| *variable == name)
                .map(|(_, v)| v.clone())
        },
        &|path| match path {
            FILE => Ok(file.to_owned()),
            SECRET_FILE => Ok("from a file\n".to_owned()),
            _ => Err(io::Error::from_raw_os_error(2)),
        },
    )
}

/// Loads from flags, from variables, and from `file` if it is not empty.
fn invoke(
    args: &[&str],
    variables: &[(&str, &str)],
    file: &str,
) -> Result<Invocation, ConfigError> {
    let args: Vec<OsString> = args.iter().map(OsString::from).collect();
    let mut variables: Vec<(&str, OsString)> = variables
        .iter()
        .map(|&(name, value)| (name, value.into()))
        .collect();
    if !file.is_empty() {
        variables.push(("CONFIG", FILE.into()));
    }
    invoke_os(&args, &variables, file)
}

/// The variables that a setting requires, if any.
fn beside(name: &str) -> Vec<(&'static str, &'static str)> {
    match name {
        "redis_read_from" => vec![("REDIS_CLUSTER", "n")],
        "redis_username" => vec![("REDIS_PASSWORD", "p")],
        "tls_port" => vec![("TLS_CERT", "c"), ("TLS_KEY", "k"), ("TLS_CA", "a")],
        "tls_cert" => vec![("TLS_KEY", "k")],
        "tls_key" => vec![("TLS_CERT", "c")],
        "redis_tls_cert" => vec![("REDIS_TLS", "on"), ("REDIS_TLS_KEY", "k")],
        "redis_tls_key" => vec![("REDIS_TLS", "on"), ("REDIS_TLS_CERT", "c")],
        name if name.starts_with("redis_tls_") => vec![("REDIS_TLS", "on")],
        "redis_sentinels" => vec![("REDIS_SENTINEL_MASTER", "m")],
        name if name.starts_with("redis_sentinel_") => {
            let all = [
                ("REDIS_SENTINELS", "s"),
                ("REDIS_SENTINEL_MASTER", "m"),
                ("REDIS_SENTINEL_TLS", "on"),
                ("REDIS_SENTINEL_TLS_CERT", "c"),
                ("REDIS_SENTINEL_TLS_KEY", "k"),
                ("REDIS_SENTINEL_PASSWORD", "p"),
            ];
            // The tested setting itself is left out, and so is any that can't be combined with it.
            let fits = |variable: &str| {
                variable != name.to_ascii_uppercase()
                    && (name, variable)
                        != ("redis_sentinel_password_file", "REDIS_SENTINEL_PASSWORD")
            };
            all.into_iter()
                .filter(|(variable, _)| fits(variable))
                .collect()
        }
        _ => Vec::new(),
    }
}

#[track_caller]
fn from_all(args: &[&str], variables: &[(&str, &str)], file: &str) -> Config {
    match invoke(args, variables, file) {
        Ok(Invocation::Run(config)) => *config,
        Ok(Invocation::Print(text)) => panic!("printed {text}"),
        Err(error) => panic!("{error}"),
    }
}

#[track_caller]
fn from_flags(args: &[&str]) -> Config {
    from_all(args, &[], "")
}

#[track_caller]
fn from_file(file: &str) -> Config {
    from_all(&[], &[], file)
}

#[track_caller]
fn error(args: &[&str], variables: &[(&str, &str)], file: &str) -> String {
    invoke(args, variables, file)
        .expect_err("a configuration")
        .to_string()
}

#[track_caller]
fn flags_error(args: &[&str]) -> String {
    error(args, &[], "")
}

#[track_caller]
fn file_error(file: &str) -> String {
    error(&[], &[], file)
}

#[track_caller]
fn printed(args: &[&str]) -> String {
    match invoke(args, &[], "") {
        Ok(Invocation::Print(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn every_setting_has_a_sample() {
    let samples: Vec<&str> = SAMPLES.iter().map(|(name, _)| *name).collect();
    let settings: Vec<&str> = SETTINGS.iter().map(|setting| setting.name).collect();
    assert_eq!(samples, settings);
}

#[test]
fn without_any_source_the_defaults_hold() {
    let config = from_flags(&[]);
    assert_eq!(config, Config::default());
    assert_eq!(config.bind.to_string(), "127.0.0.1");
    assert_eq!(config.port, Some(8001));
    assert_eq!((config.unix_socket, config.tls_port), (None, None));
    assert_eq!(config.unix_socket_perm.to_string(), "770");
    assert_eq!(config.tls_auth_clients, AuthClients::Yes);
    assert!(config.protected_mode);
    assert!(!config.redis_tls.on && !config.redis_tls.insecure);
    assert_eq!(config.cache_period, Duration::from_millis(100));
    assert_eq!(config.cache_ttl, Duration::from_millis(300_000));
    assert_eq!(config.capacity, 1024);
    assert_eq!(config.max_memory, 67_108_864);
    assert_eq!(config.max_reply, 1_048_576);
    assert_eq!(config.max_buffers, 268_435_456);
    assert_eq!(config.max_clients, 10_000);
    assert_eq!(config.dedicated_idle, 16);
    assert_eq!(config.tcp_keepalive, Duration::from_secs(300));
    assert_eq!(config.timeout, Duration::ZERO);
    assert_eq!(config.password, None);
    assert_eq!(config.password_file, None);
    assert_eq!(config.redis.to_string(), "localhost:6379");
    assert_eq!(config.redis_database, 0);
    assert_eq!(config.cached_databases, DatabaseList::All);
    assert_eq!(config.redis_username, None);
    assert_eq!(config.redis_password, None);
    assert_eq!(config.redis_password_file, None);
    assert_eq!(config.redis_timeout, Duration::from_millis(1000));
    assert_eq!(config.redis_wait, Duration::from_secs(10));
    assert!(config.tracking);
    assert!(config.causal);
    assert!(config.refetch);
    assert_eq!(config.stale_ttl, Duration::ZERO);
    assert_eq!(config.missing_ttl, None);
    assert_eq!(config.touch, Duration::from_secs(60));
    assert_eq!(config.config_set.name(), "local");
    assert!(config.rules.is_empty());
    assert!(config.denied_commands.is_empty());
    assert_eq!(config.slowlog_slower_than, Duration::from_millis(10));
    assert_eq!(config.metrics_port, 0);
    assert_eq!(config.metrics_bind.to_string(), "127.0.0.1");
    assert_eq!(config.metrics_hosts.0, [""; 0]);
    assert_eq!(config.drain, Duration::ZERO);
    assert_eq!(config.log_level, log::LevelFilter::Info);
    assert_eq!(config.log_format, Format::Text);
}

#[test]
fn the_summary_has_every_setting_with_its_unit() {
    assert_eq!(
        Config::default().summary(),
        "bind=127.0.0.1 port=8001 unix_socket=<none> unix_socket_perm=770 tls_port=0 tls_cert=<none> \
         tls_key=<none> tls_ca=<none> tls_auth_clients=yes protected_mode=yes cache_period_ms=100 cache_ttl_ms=300000 capacity=1024 \
         max_memory_bytes=67108864 max_reply_bytes=1048576 max_buffers_bytes=268435456 max_clients=10000 dedicated_idle=16 tcp_keepalive_seconds=300 timeout_seconds=0 \
         password=<none> password_file=<none> \
         redis_url=<none> redis_hostname=localhost:6379 redis_cluster=<none> redis_read_from=master redis_database=0 cached_databases=all redis_username=<none> \
         redis_password=<none> redis_password_file=<none> redis_tls=off redis_tls_ca=<none> \
         redis_tls_cert=<none> redis_tls_key=<none> redis_tls_server_name=<none> redis_tls_insecure=off \
         redis_sentinels=<none> redis_sentinel_master=<none> redis_sentinel_username=<none> \
         redis_sentinel_password=<none> redis_sentinel_password_file=<none> redis_sentinel_tls=off \
         redis_sentinel_tls_ca=<none> redis_sentinel_tls_cert=<none> redis_sentinel_tls_key=<none> \
         redis_sentinel_tls_server_name=<none> redis_sentinel_tls_insecure=off \
         redis_timeout_ms=1000 redis_wait_ms=10000 tracking=on causal=on refetch=on stale_ttl_ms=0 missing_ttl_ms=none touch_ms=60000 config_set=local rule=<none> deny_command=<none> slowlog_slower_than_ms=10 metrics_port=0 \
         metrics_bind=127.0.0.1 metrics_host=<none> drain_ms=0 log_level=info log_format=text"
    );
}

#[test]
fn the_summary_quotes_a_value_that_is_not_one_word() {
    let config = Config {
        redis_username: Some("alice = \"x\"\nbob".to_owned()),
        redis_password: Some(Secret::new("p")),
        ..Config::default()
    };
    let summary = config.summary();
    assert!(
        summary.contains(r#" redis_username="alice = \"x\"\nbob" "#),
        "{summary}"
    );
}

#[test]
fn the_address_of_a_redis_displays_with_brackets_round_ipv6() {
    let show = |host: &str| {
        let host = host.to_owned();
        RedisAddress::Tcp { host, port: 1 }.to_string()
    };
    assert_eq!(show("cache.example"), "cache.example:1");
    assert_eq!(show("10.0.0.1"), "10.0.0.1:1");
    assert_eq!(show("::1"), "[::1]:1");
}
