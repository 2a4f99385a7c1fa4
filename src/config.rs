//! The proxy's configuration. It is read from flags, the environment and a file, and checked once; after that, it is
//! plain values.
//!
//! A flag overrides the environment, the environment overrides the file, the file overrides the default. Only the value
//! that wins is checked, so a flag can always replace an invalid value from elsewhere. If a flag is repeated, the last
//! one wins; only for `rule`, all from one source count.
//!
//! | source | a setting looks like | |
//! |---|---|---|
//! | flag | `--cache_ttl 5`, `--cache-ttl=5` | the value is taken as it is, even if it starts with a dash |
//! | environment | `CACHE_TTL=5`, `REDIS_PROXY_CACHE_TTL=5` | the second wins; an empty variable counts as not set |
//! | file | `cache_ttl = 5` | the file is named by `--config` or `CONFIG`; see below |
//!
//! In the file every line is `name = value`, a comment or blank. A `#` at the start of a line or after white space
//! starts a comment. A value in double quotes is taken as it is, including `#` and white space; inside the quotes, `\"`
//! stands for a quote and `\\` for a backslash. A name may be set only once, except `rule`, and a file can't name
//! another file.
//!
//! ```text
//! # /etc/redis-proxy.conf
//! redis_hostname = redis.example:6379
//! redis_password = "it's #1, \"really\""   # quoted for the sake of the #
//! cache_ttl      = 60000
//! ```
//!
//! A new setting is a field of [`Config`] with its default, an entry of the flags
//! (`config/flags.rs`, where `--help` comes from) and a row of the table (`config/settings.rs`,
//! which ties the name to its check).

use std::ffi::OsString;
use std::fmt;
use std::io;
use std::net::{IpAddr, Ipv4Addr};
use std::time::Duration;

use log::LevelFilter;
use log::kv::{self, Source, VisitSource};

mod address;
mod arguments;
mod check;
mod databases;
mod description;
mod error;
mod file;
mod flags;
mod live;
mod peer_tls;
mod rules;
mod secret;
mod settings;
mod sources;
mod url;
mod value;

#[cfg(test)]
mod tests;

pub use address::{Addresses, RedisAddress};
pub use databases::DatabaseList;
pub use description::{Description, Flag, describe};
pub use error::ConfigError;
pub use live::{Difference, Unchanged};
pub use peer_tls::PeerTls;
pub use secret::{Secret, hide_secret_arguments, read_file as read_secret};
pub use sources::UnknownVariable;

use arguments::Request;
use check::Origins;
use error::Problem;
use settings::{SETTINGS, Setting};
use sources::{Found, Sources};

use crate::cache::Limits;
use crate::command::CommandList;
use crate::logging::{Format, Pairs};
use crate::rules::Rules;

/// The configuration of a proxy. Every value is within its bounds when it comes from [`load`].
///
/// Its `Debug` output and its [`summary`](Config::summary) don't show the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// The address to listen on: IPv4 or IPv6. Default: 127.0.0.1.
    pub bind: IpAddr,
    /// The TCP port that clients connect to; 0 picks a free one. Default: 8001.
    pub port: Option<u16>,
    /// The path of a Unix socket that clients connect to as well. Default: none.
    pub unix_socket: Option<String>,
    /// The permissions of that socket. Default: 770.
    pub unix_socket_perm: Permissions,
    /// The TLS port that clients connect to. Default: none.
    pub tls_port: Option<u16>,
    /// The file with the certificate for the TLS port. Default: none.
    pub tls_cert: Option<String>,
    /// The file with the key of that certificate. Default: none.
    pub tls_key: Option<String>,
    /// The file with the CA certificates for client certificates. Default: none.
    pub tls_ca: Option<String>,
    /// Whether clients must present a certificate. Default: yes, as in Redis.
    pub tls_auth_clients: AuthClients,
    /// Whether clients on other hosts are refused, unless they must give a password or present a certificate. Default:
    /// yes, as in Redis.
    pub protected_mode: bool,
    /// How often expired entries are removed: 1 ms to an hour. Default: 100 ms.
    pub cache_period: Duration,
    /// How long an entry may be served: 1 ms to 365 days. Default: 5 minutes.
    pub cache_ttl: Duration,
    /// The most entries: 1 to 4294967295. Default: 1024.
    pub capacity: usize,
    /// The most memory that entries may take, in bytes; 0 for no limit. Default: 64 MiB.
    ///
    /// Written as in Redis's own configuration: k, m and g are powers of 1000, kb, mb and gb
    /// powers of 1024, in any case.
    pub max_memory: usize,
    /// The longest cached value or reply, in bytes; 0 for no limit. Default: 1 MiB.
    pub max_reply: usize,
    /// The most memory that the requests and replies of all clients together may take besides the cache, in bytes; 0
    /// for no limit. Default: 256 MiB. Written as [`max_memory`](Self::max_memory).
    pub max_buffers: usize,
    /// The most clients at a time: 1 to 1000000. Default: 10000.
    pub max_clients: usize,
    /// The most dedicated connections kept for reuse after their clients have left: 0 to a million. Default: 16.
    pub dedicated_idle: usize,
    /// The idle time after which TCP probes a client or Redis: 1 s to 32767 s, the most that Linux supports; 0 for
    /// never. Default: 300 s, as in Redis.
    pub tcp_keepalive: Duration,
    /// The idle time after which a client is closed: 1 s to 365 days; 0 for never. Default: 0.
    pub timeout: Duration,
    /// The password that clients must give with AUTH. Default: none.
    pub password: Option<Secret>,
    /// The file from which that password was read. Default: none.
    pub password_file: Option<String>,
    /// The URL that sets the address of Redis, the database, the user, the password and TLS. Default: none.
    pub redis_url: Option<Secret>,
    /// The Redis behind the cache: a server, the master that sentinels name, or a cluster. Default: localhost:6379.
    pub redis: RedisAddress,
    /// The seeds of the cluster behind the cache, through which the other nodes are found. Default: none.
    pub redis_cluster: Addresses,
    /// Which nodes of the cluster answer reads that are not cached. Default: masters.
    pub redis_read_from: ReadFrom,
    /// The database at Redis that clients start in: 0 to 2147483647. Default: 0.
    pub redis_database: u32,
    /// Which other databases are cached. Default: all.
    pub cached_databases: DatabaseList,
    /// The user to authenticate as at Redis; never without a password. Default: none.
    pub redis_username: Option<String>,
    /// The password to authenticate with at Redis. Default: none.
    pub redis_password: Option<Secret>,
    /// The file from which that password was read. Default: none.
    pub redis_password_file: Option<String>,
    /// Whether and how to connect to Redis over TLS. Default: without TLS.
    pub redis_tls: PeerTls,
    /// The sentinels that name the master. Default: none.
    pub redis_sentinels: Addresses,
    /// The name by which the sentinels know the master. Default: none.
    pub redis_sentinel_master: Option<String>,
    /// The user to authenticate as at sentinels; never without a password. Default: none.
    pub redis_sentinel_username: Option<String>,
    /// The password to authenticate with at sentinels. Default: none.
    pub redis_sentinel_password: Option<Secret>,
    /// The file from which that password was read. Default: none.
    pub redis_sentinel_password_file: Option<String>,
    /// Whether and how to connect to sentinels over TLS. Default: without TLS.
    pub redis_sentinel_tls: PeerTls,
    /// How long Redis may take to accept a connection or to answer: 1 ms to an hour. Default: 1 s.
    pub redis_timeout: Duration,
    /// How long requests wait for an unreachable Redis before their clients are closed: 0 to an hour. Default: 10 s.
    pub redis_wait: Duration,
    /// Whether Redis is asked to report changes. Default: yes.
    pub tracking: bool,
    /// Whether messages and unblocking replies are held until earlier changes have been invalidated. Default: yes.
    pub causal: bool,
    /// Whether values that were read from the cache are fetched again as soon as they change. Default: yes.
    pub refetch: bool,
    /// How long past its time to live an entry may be served while Redis can't be reached: 0 to 365
    /// days. Default: 0.
    pub stale_ttl: Duration,
    /// How long a missing key is cached: 0 to 365 days. Default: as long as `cache_ttl`.
    pub missing_ttl: Option<Duration>,
    /// How often keys that were read from the cache are reported to a Redis that evicts by use: 0 (never) to 365 days.
    /// Default: a minute.
    pub touch: Duration,
    /// Who may change settings while the proxy runs. Default: clients on this host.
    pub config_set: ConfigSet,
    /// Options for the keys that match a pattern. Default: none.
    pub rules: Rules,
    /// Which commands no client may run. Default: none.
    pub denied_commands: CommandList,
    /// How long a request must wait for Redis to be listed in the slow log: 0 (all requests are) to an hour. Default:
    /// 10 ms, as in Redis.
    pub slowlog_slower_than: Duration,
    /// The TCP port for metrics, health checks and the status page over HTTP; 0 for none. Default: 0.
    pub metrics_port: u16,
    /// The address for that port: IPv4 or IPv6. Default: 127.0.0.1.
    pub metrics_bind: IpAddr,
    /// The host names that HTTP requests may use, besides IP addresses and `localhost`. Default: none.
    pub metrics_hosts: HostNames,
    /// How long clients may take to finish their work after a signal has requested a shutdown: 0 to an hour. Default:
    /// 0.
    pub drain: Duration,
    /// The least severe level of log lines. Default: info.
    pub log_level: LevelFilter,
    /// The format of log lines. Default: text.
    pub log_format: Format,
    /// Environment variables that have the name of a setting, but hold the address of a service, and were ignored.
    pub left_alone: Vec<String>,
}

impl From<&Config> for Limits {
    fn from(config: &Config) -> Self {
        Self {
            entries: config.capacity,
            memory: config.max_memory,
            reply: config.max_reply,
            ttl: config.cache_ttl,
            stale_ttl: config.stale_ttl,
        }
    }
}

impl Default for Config {
    fn default() -> Config {
        Config {
            bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            port: Some(8001),
            unix_socket: None,
            unix_socket_perm: Permissions(0o770),
            tls_port: None,
            tls_cert: None,
            tls_key: None,
            tls_ca: None,
            tls_auth_clients: AuthClients::Yes,
            protected_mode: true,
            cache_period: Duration::from_millis(100),
            cache_ttl: Duration::from_secs(5 * 60),
            capacity: 1024,
            max_memory: 64 * 1024 * 1024,
            max_reply: 1024 * 1024,
            max_buffers: 256 * 1024 * 1024,
            max_clients: 10_000,
            dedicated_idle: 16,
            tcp_keepalive: Duration::from_secs(300),
            timeout: Duration::ZERO,
            password: None,
            password_file: None,
            redis_url: None,
            redis: RedisAddress::default(),
            redis_cluster: Addresses::default(),
            redis_read_from: ReadFrom::default(),
            redis_database: 0,
            cached_databases: DatabaseList::All,
            redis_username: None,
            redis_password: None,
            redis_password_file: None,
            redis_tls: PeerTls::default(),
            redis_sentinels: Addresses::default(),
            redis_sentinel_master: None,
            redis_sentinel_username: None,
            redis_sentinel_password: None,
            redis_sentinel_password_file: None,
            redis_sentinel_tls: PeerTls::default(),
            redis_timeout: Duration::from_secs(1),
            redis_wait: Duration::from_secs(10),
            tracking: true,
            causal: true,
            refetch: true,
            stale_ttl: Duration::ZERO,
            missing_ttl: None,
            touch: Duration::from_secs(60),
            config_set: ConfigSet::Local,
            rules: Rules::default(),
            denied_commands: CommandList::default(),
            slowlog_slower_than: Duration::from_millis(10),
            metrics_port: 0,
            metrics_bind: IpAddr::V4(Ipv4Addr::LOCALHOST),
            metrics_hosts: HostNames::default(),
            drain: Duration::ZERO,
            log_level: LevelFilter::Info,
            log_format: Format::Text,
            left_alone: Vec::new(),
        }
    }
}

impl Config {
    /// Every setting as `key=value`, separated by spaces, as in a text log line. Keys include their unit
    /// (`cache_ttl_ms=300000`), a value that is not one plain word is quoted and escaped, and a password shows as
    /// `<hidden>`, or `<none>` if there is none.
    pub fn summary(&self) -> String {
        Pairs(self).to_string().trim_start().to_owned()
    }
}

/// The settings as the keys and values of a log line.
impl Source for Config {
    fn visit<'kvs>(&'kvs self, visitor: &mut dyn VisitSource<'kvs>) -> Result<(), kv::Error> {
        SETTINGS
            .iter()
            .try_for_each(|setting| visitor.visit_pair(setting.key().into(), (setting.show)(self)))
    }
}

/// The permissions of a file. Displays in octal.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Permissions(pub u32);

impl fmt::Display for Permissions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:o}", self.0)
    }
}

/// Whether clients must present a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    /// Clients must present a certificate.
    Yes,
    /// Clients may present a certificate, which must then be valid.
    Optional,
    /// Clients are not asked for a certificate.
    No,
}

impl AuthClients {
    pub(crate) const ALL: [Self; 3] = [Self::Yes, Self::Optional, Self::No];

    /// The name of the choice in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Optional => "optional",
            Self::No => "no",
        }
    }
}

/// Which nodes of a cluster answer reads that are not cached.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum ReadFrom {
    /// Masters.
    #[default]
    Master,
    /// Replicas, if they are reachable.
    Replica,
}

impl ReadFrom {
    pub(crate) const ALL: [Self; 2] = [Self::Master, Self::Replica];

    /// The name of the choice in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Master => "master",
            Self::Replica => "replica",
        }
    }
}

/// Which clients may change settings while the proxy runs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ConfigSet {
    /// All clients.
    Yes,
    /// Clients on this host, by their address.
    Local,
    /// No clients.
    No,
}

impl ConfigSet {
    pub(crate) const ALL: [Self; 3] = [Self::Yes, Self::Local, Self::No];

    /// The name of the choice in settings.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Local => "local",
            Self::No => "no",
        }
    }
}

/// Host names. Displays as written, separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct HostNames(pub Vec<String>);

impl fmt::Display for HostNames {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0.join(","))
    }
}

/// What the program was started to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Invocation {
    /// Serve clients.
    Run(Box<Config>),
    /// Write this text, of `--help` or `--version`, to standard output and exit. It ends with a newline.
    Print(String),
}

/// Reads the configuration from the arguments and environment of this process and the file that
/// they name.
///
/// # Errors
///
/// See [`load`].
pub fn from_environment() -> Result<Invocation, ConfigError> {
    let args: Vec<OsString> = std::env::args_os().skip(1).collect();
    load(&args, &|name| std::env::var_os(name), &|path| {
        std::fs::read_to_string(path)
    })
}

/// The environment variables that start with `REDIS_PROXY_` and name no setting.
#[must_use]
pub fn unknown_variables() -> Vec<UnknownVariable> {
    sources::unknown(std::env::vars_os().map(|(name, _)| name))
}

/// Reads the configuration from `args` (without the program's name), the variables in `environment`, and the files that
/// they name, through `read_file`.
///
/// # Errors
///
/// The first problem found: an unknown flag or name, a value out of bounds, a file that can't be read, a user name
/// without a password, text that is not UTF-8.
pub fn load(
    args: &[OsString],
    environment: &dyn Fn(&str) -> Option<OsString>,
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<Invocation, ConfigError> {
    let flags = match arguments::parse(args)? {
        Request::Print(text) => return Ok(Invocation::Print(text)),
        Request::Run(flags) => flags,
    };
    let mut sources = Sources::open(*flags, environment, read_file)?;

    let mut config = Config::default();
    let mut origins = Origins::default();
    for setting in SETTINGS {
        for found in sources.find(setting)? {
            set(setting, &mut config, found, &mut origins, read_file)?;
        }
    }
    config.left_alone = sources.left_alone;
    check::together(&config, origins)?;
    if let (false, Some(name)) = (
        config.redis_sentinels.0.is_empty(),
        &config.redis_sentinel_master,
    ) {
        config.redis = RedisAddress::Master(name.clone());
    }
    if !config.redis_cluster.0.is_empty() {
        config.redis = RedisAddress::Cluster(config.redis_cluster.clone());
    }
    Ok(Invocation::Run(Box::new(config)))
}

/// Checks a value and stores it.
fn set(
    setting: &Setting,
    config: &mut Config,
    found: Found,
    origins: &mut Origins,
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<(), ConfigError> {
    if let Some(problem) = check::given_by_url(config, setting.name) {
        return Err(found.origin.error(problem));
    }
    if let Err(allowed) = (setting.set)(config, &found.value) {
        let value = (!setting.is_secret()).then_some(found.value);
        return Err(found.origin.error(Problem::NotAllowed { value, allowed }));
    }
    let origin = found.origin.clone();
    match setting.name {
        // Each of these settings comes after the password itself.
        "password_file" => {
            let path = config.password_file.as_deref();
            secret::read(path, &mut config.password, origin, read_file)?;
        }
        "redis_sentinel_password_file" => {
            let path = config.redis_sentinel_password_file.as_deref();
            secret::read(path, &mut config.redis_sentinel_password, origin, read_file)?;
        }
        "redis_password_file" => {
            let path = config.redis_password_file.as_deref();
            secret::read(path, &mut config.redis_password, origin, read_file)?;
        }
        _ => {}
    }
    origins.add(setting.name, found.origin);
    Ok(())
}
