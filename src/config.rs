//! The proxy's configuration: read from flags, the environment and a file, checked once, plain
//! values afterwards.
//!
//! A flag beats the environment, the environment beats the file, the file beats the default. Only
//! the value that wins is checked, so a flag can always replace a wrong value from elsewhere. Of a
//! flag that is given twice the last one counts; only of `rule` all do that come from one source.
//!
//! | source | a setting looks like | |
//! |---|---|---|
//! | flag | `--cache_ttl 5`, `--cache-ttl=5` | the value is taken as it is, even if it starts with a dash |
//! | environment | `CACHE_TTL=5`, `REDIS_PROXY_CACHE_TTL=5` | the second wins; an empty variable counts as not set |
//! | file | `cache_ttl = 5` | the file is named by `--config` or `CONFIG`; see below |
//!
//! In the file every line is `name = value`, a comment or blank. A `#` at the start of a line or
//! after white space starts a comment. A value in double quotes is taken as it is, `#` and white
//! space included; inside the quotes, `\"` stands for a quote and `\\` for a backslash. A name may be
//! set only once, save `rule`, and a file can't name another file.
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

use check::Places;
use error::Problem;
use flags::Request;
use settings::{SETTINGS, Setting};
use sources::{Found, Sources};

use crate::command::CommandList;
use crate::logging::{Format, Pairs};
use crate::rules::Rules;

/// The configuration of a proxy. Every value is within its bounds when it comes from [`load`].
///
/// Its `Debug` output and its [`summary`](Config::summary) don't show the password.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Config {
    /// Where clients are listened for: an IPv4 or IPv6 address. Default: 127.0.0.1.
    pub bind: IpAddr,
    /// The TCP port that clients connect to; 0 takes a free one. Default: 8001.
    pub port: Option<u16>,
    /// The path of a Unix socket that clients connect to as well. Default: none.
    pub unix_socket: Option<String>,
    /// Who may use it. Default: 770.
    pub unix_socket_perm: Permissions,
    /// The TCP port that clients connect to by TLS. Default: none.
    pub tls_port: Option<u16>,
    /// The file with the certificate that is shown there. Default: none.
    pub tls_cert: Option<String>,
    /// The file with its key. Default: none.
    pub tls_key: Option<String>,
    /// The file with the certificates of who may sign those of clients. Default: none.
    pub tls_ca: Option<String>,
    /// Whether clients must show a certificate. Default: yes, as Redis has it.
    pub tls_auth_clients: AuthClients,
    /// Whether clients of other hosts are refused, unless they give a password or must show a certificate. Default:
    /// yes, as Redis has it.
    pub protected_mode: bool,
    /// How often expired entries are removed: 1 ms to an hour. Default: 100 ms.
    pub cache_period: Duration,
    /// How long an entry may be served: 1 ms to 365 days. Default: 5 minutes.
    pub cache_ttl: Duration,
    /// The most entries that are cached: 1 to 4294967295. Default: 1024.
    pub capacity: usize,
    /// The most memory that entries may take, in bytes; 0 for no limit. Default: 64 MiB.
    ///
    /// Written as in Redis's own configuration: k, m and g are powers of 1000, kb, mb and gb
    /// powers of 1024, in any case.
    pub max_memory: usize,
    /// The longest value or reply that is cached, in bytes; 0 for no limit. Default: 1 MiB.
    pub max_reply: usize,
    /// The most that all clients together may hold beside the cache, in bytes: requests and replies;
    /// 0 for no limit. Default: 256 MiB. Written as [`max_memory`](Self::max_memory).
    pub max_buffers: usize,
    /// The most clients at a time: 1 to 1000000. Default: 10000.
    pub max_clients: usize,
    /// The most dedicated connections that are kept for other clients when theirs have left them: 0 to a million.
    /// Default: 16.
    pub dedicated_idle: usize,
    /// After which silence of a client it is asked whether it is still there: 1 s to 32767 s, the most that Linux
    /// takes; 0 for never. Default: 300 s, as Redis has it.
    pub tcp_keepalive: Duration,
    /// After which silence a client is closed: 1 s to 365 days; 0 for never. Default: 0.
    pub timeout: Duration,
    /// What clients must give with AUTH before they are served. Default: none.
    pub password: Option<Secret>,
    /// The file that it was read from. Default: none.
    pub password_file: Option<String>,
    /// The URL that the Redis, the database, the user, the password and TLS were given by. Default: none.
    pub redis_url: Option<Secret>,
    /// The Redis behind the cache; the one that sentinels name, if there are some, or a cluster. Default: localhost:6379.
    pub redis: RedisAddress,
    /// Nodes of the cluster behind the cache: the others are found through them. Default: none.
    pub redis_cluster: Addresses,
    /// Which of its nodes answer reads that are not cached. Default: masters.
    pub redis_read_from: ReadFrom,
    /// The database selected there: 0 to 2147483647. Default: 0.
    pub redis_database: u32,
    /// Which others are cached. Default: all.
    pub cached_databases: DatabaseList,
    /// The user to authenticate as; never without a password. Default: none.
    pub redis_username: Option<String>,
    /// The password to authenticate with. Default: none.
    pub redis_password: Option<Secret>,
    /// The file that it was read from. Default: none.
    pub redis_password_file: Option<String>,
    /// Whether and how Redis is spoken to by TLS. Default: not.
    pub redis_tls: PeerTls,
    /// The sentinels that say where it is. Default: none.
    pub redis_sentinels: Addresses,
    /// The name of the master that they are asked for. Default: none.
    pub redis_sentinel_master: Option<String>,
    /// The user to authenticate as at sentinels; never without a password. Default: none.
    pub redis_sentinel_username: Option<String>,
    /// The password to authenticate with there. Default: none.
    pub redis_sentinel_password: Option<Secret>,
    /// The file that it was read from. Default: none.
    pub redis_sentinel_password_file: Option<String>,
    /// Whether and how sentinels are spoken to by TLS. Default: not.
    pub redis_sentinel_tls: PeerTls,
    /// How long Redis may take to accept a connection or to answer: 1 ms to an hour. Default: 1 s.
    pub redis_timeout: Duration,
    /// How long requests wait for a Redis that went away before their clients are closed: 0 to an hour. Default: 10 s.
    pub redis_wait: Duration,
    /// Whether Redis is asked to say which entries changed. Default: yes.
    pub tracking: bool,
    /// Whether messages and the like wait until what changed before them is out of the cache. Default: yes.
    pub causal: bool,
    /// Whether values that are read are fetched again as soon as they change. Default: yes.
    pub refetch: bool,
    /// How long past its time to live an entry may be served while Redis can't be reached: 0 to 365
    /// days. Default: 0.
    pub stale_ttl: Duration,
    /// How long it is remembered that a key does not exist: 0 to 365 days. Default: as long as `cache_ttl`.
    pub missing_ttl: Option<Duration>,
    /// How often a Redis that evicts by use is told of keys that are read from the cache: 0 (never) to 365 days. Default:
    /// a minute.
    pub touch: Duration,
    /// Who may change settings while the proxy runs. Default: clients of this host.
    pub config_set: ConfigSet,
    /// What is special about some keys. Default: nothing.
    pub rules: Rules,
    /// Which commands no client may run. Default: none.
    pub denied_commands: CommandList,
    /// From how long on a request that waited for Redis is in the slow log: 0 (all are) to an hour.
    /// Default: 10 ms, as Redis has it.
    pub slowlog_slower_than: Duration,
    /// The TCP port for metrics, health checks and the status page over HTTP; 0 for none. Default: 0.
    pub metrics_port: u16,
    /// Where that port is: an IPv4 or IPv6 address. Default: 127.0.0.1.
    pub metrics_bind: IpAddr,
    /// The names under which it may be asked, beside IP addresses and `localhost`. Default: none.
    pub metrics_hosts: HostNames,
    /// How long clients may finish what they are at when a signal has asked for the end: 0 to an hour.
    /// Default: 0.
    pub drain: Duration,
    /// The least severe messages that are logged. Default: info.
    pub log_level: LevelFilter,
    /// How a line of the log is written. Default: as text.
    pub log_format: Format,
    /// Environment variables that have the name of a setting, but are addresses of services. They were ignored.
    pub left_alone: Vec<String>,
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
    /// Every setting as `key=value`, separated by spaces, as the log shows it in text. Keys carry their
    /// unit (`cache_ttl_ms=300000`), a value that is not one plain word is quoted and escaped, and a
    /// password shows as `<hidden>`, or `<none>` if there is none.
    pub fn summary(&self) -> String {
        Pairs(self).to_string().trim_start().to_owned()
    }
}

/// The settings as keys and values of a line of the log.
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

/// Whether clients must show a certificate.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum AuthClients {
    /// They must.
    Yes,
    /// They may, and it must be valid.
    Optional,
    /// They are not asked for one.
    No,
}

impl AuthClients {
    pub(crate) const ALL: [Self; 3] = [Self::Yes, Self::Optional, Self::No];

    /// How it is written.
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
    /// Replicas, as far as they can be reached.
    Replica,
}

impl ReadFrom {
    pub(crate) const ALL: [Self; 2] = [Self::Master, Self::Replica];

    /// How it is written.
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
    /// All.
    Yes,
    /// Those of this host, by their address.
    Local,
    /// None.
    No,
}

impl ConfigSet {
    pub(crate) const ALL: [Self; 3] = [Self::Yes, Self::Local, Self::No];

    /// How it is written.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Yes => "yes",
            Self::Local => "local",
            Self::No => "no",
        }
    }
}

/// Names of hosts. Displays as they are written, with a comma between two.
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
    /// Write this text, of `--help` or `--version`, to standard output and leave. It ends with a
    /// newline.
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

/// Reads the configuration from `args` (without the program's name), the variables that
/// `environment` gives, and the files that they name, by way of `read_file`.
///
/// # Errors
///
/// The first thing found wrong: an unknown flag or name, a value out of its bounds, a file that
/// can't be read, a user name without a password, text that is not UTF-8.
pub fn load(
    args: &[OsString],
    environment: &dyn Fn(&str) -> Option<OsString>,
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<Invocation, ConfigError> {
    let flags = match flags::parse(args)? {
        Request::Print(text) => return Ok(Invocation::Print(text)),
        Request::Run(flags) => flags,
    };
    let mut sources = Sources::open(*flags, environment, read_file)?;

    let mut config = Config::default();
    let mut places = Places::default();
    for setting in SETTINGS {
        for found in sources.find(setting)? {
            set(setting, &mut config, found, &mut places, read_file)?;
        }
    }
    config.left_alone = sources.left_alone;
    check::together(&config, places)?;
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

/// Checks a value and puts it in its place.
fn set(
    setting: &Setting,
    config: &mut Config,
    found: Found,
    places: &mut Places,
    read_file: &dyn Fn(&str) -> io::Result<String>,
) -> Result<(), ConfigError> {
    if let Some(problem) = check::given_by_url(config, setting.name) {
        return Err(found.place.error(problem));
    }
    if let Err(allowed) = (setting.set)(config, &found.value) {
        let value = (!setting.is_secret()).then_some(found.value);
        return Err(found.place.error(Problem::NotAllowed { value, allowed }));
    }
    let place = found.place.clone();
    match setting.name {
        // Each comes after the password itself.
        "password_file" => {
            let path = config.password_file.as_deref();
            secret::read(path, &mut config.password, place, read_file)?;
        }
        "redis_sentinel_password_file" => {
            let path = config.redis_sentinel_password_file.as_deref();
            secret::read(path, &mut config.redis_sentinel_password, place, read_file)?;
        }
        "redis_password_file" => {
            let path = config.redis_password_file.as_deref();
            secret::read(path, &mut config.redis_password, place, read_file)?;
        }
        _ => {}
    }
    places.add(setting.name, found.place);
    Ok(())
}
