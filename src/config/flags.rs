//! The flags, and what `--help` says about them.

use argh::{ArgsInfo, FromArgs};

/// The flag that names a file of settings.
pub(super) const CONFIG: &str = "config";

/// The flags that are not settings.
pub(super) const NOT_SETTINGS: [&str; 3] = [CONFIG, "version", "help"];

/// The groups of flags in the help: the first flag of each, and its title.
pub(super) const GROUPS: [(&str, &str); 10] = [
    ("bind", "Listening"),
    ("cache_period", "Cache"),
    ("max_buffers", "Clients"),
    ("redis_url", "Redis"),
    ("redis_sentinels", "Sentinels"),
    ("redis_timeout", "Timeouts of Redis"),
    ("tracking", "Freshness"),
    ("config_set", "Rules and administration"),
    ("metrics_port", "Metrics and health"),
    ("drain", "Process"),
];

pub(super) const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// The flags as given: as text, so that one check serves every source, and with repetitions, so that
/// the last one can win.
#[derive(ArgsInfo, FromArgs)]
#[argh(
    description = "A read-through cache for Redis that speaks the Redis protocol (RESP): repeated\n\
                   reads are answered from memory, everything else is forwarded to Redis.",
    usage = "[--name value ...]",
    help_triggers("-h", "--help"),
    example = "{command_name} --port 8001 --redis_hostname redis.example:6379 --max_memory 16mb",
    note = "A flag may be written --cache_ttl 5 or --cache_ttl=5, with _ or - in its name.\n\
            If a flag is repeated, the last one wins; each --rule adds a rule.",
    note = "Every setting can also come from the environment, in capitals (CACHE_TTL=5, or\n\
            REDIS_PROXY_CACHE_TTL=5, which wins), or from the file that --config or CONFIG\n\
            names, one per line (cache_ttl = 5). Flags override the environment, which\n\
            overrides the file."
)]
pub(super) struct Flags {
    /// IP address to listen on (default 127.0.0.1)
    #[argh(option)]
    pub(super) bind: Vec<String>,

    /// TCP port to listen on; 0 picks a free port, none disables it (default 8001)
    #[argh(option)]
    pub(super) port: Vec<String>,

    /// path of a Unix socket to listen on as well (default none)
    #[argh(option)]
    pub(super) unix_socket: Vec<String>,

    /// permissions of that socket, in octal (default 770)
    #[argh(option)]
    pub(super) unix_socket_perm: Vec<String>,

    /// TLS port to listen on as well; 0 disables it (default 0)
    #[argh(option)]
    pub(super) tls_port: Vec<String>,

    /// file with the certificate for the TLS port, in PEM (default none)
    #[argh(option)]
    pub(super) tls_cert: Vec<String>,

    /// file with the key of that certificate, in PEM (default none)
    #[argh(option)]
    pub(super) tls_key: Vec<String>,

    /// file with the CA certificates that client certificates must be signed by, in PEM (default none)
    #[argh(option)]
    pub(super) tls_ca: Vec<String>,

    /// yes, optional or no: whether TLS clients must present a certificate (default yes)
    #[argh(option)]
    pub(super) tls_auth_clients: Vec<String>,

    /// yes or no: whether to refuse clients on other hosts unless a password or a certificate is required (default yes)
    #[argh(option)]
    pub(super) protected_mode: Vec<String>,

    /// interval at which expired entries are removed, in milliseconds (default 100)
    #[argh(option)]
    pub(super) cache_period: Vec<String>,

    /// longest time that an entry may be served, in milliseconds (default 300000)
    #[argh(option)]
    pub(super) cache_ttl: Vec<String>,

    /// maximum number of entries (default 1024)
    #[argh(option)]
    pub(super) capacity: Vec<String>,

    /// maximum memory for entries, in bytes or with a unit: k, m, g (powers of 1000), kb, mb, gb (of 1024); 0 for
    /// no limit (default 64mb)
    #[argh(option)]
    pub(super) max_memory: Vec<String>,

    /// longest value or reply to cache, in the same units; 0 for no limit (default 1mb)
    #[argh(option)]
    pub(super) max_reply: Vec<String>,

    /// maximum memory for the buffered requests and replies of all clients, in the same units; 0 for no limit (default
    /// 256mb)
    #[argh(option)]
    pub(super) max_buffers: Vec<String>,

    /// maximum number of connected clients (default 10000)
    #[argh(option)]
    pub(super) max_clients: Vec<String>,

    /// dedicated connections to Redis to keep for reuse, each for a minute, after their clients have disconnected
    /// (default 16)
    #[argh(option)]
    pub(super) dedicated_idle: Vec<String>,

    /// idle seconds after which TCP keepalive probes a client or Redis; 0 for never (default 300)
    #[argh(option)]
    pub(super) tcp_keepalive: Vec<String>,

    /// idle seconds after which a client is closed; 0 for never (default 0)
    #[argh(option)]
    pub(super) timeout: Vec<String>,

    /// password that clients must send with AUTH; the variable PASSWORD keeps it off the command line (default none)
    #[argh(option)]
    pub(super) password: Vec<String>,

    /// file that holds this password (default none)
    #[argh(option)]
    pub(super) password_file: Vec<String>,

    /// address and credentials of Redis: redis://[[user]:password@]host[:port][/database], rediss:// for TLS, or
    /// unix:///path[?db=database]; the variable REDIS_URL keeps it off the command line (default none)
    #[argh(option)]
    pub(super) redis_url: Vec<String>,

    /// host or host:port of Redis; an IPv6 address followed by a port goes in brackets (default localhost:6379)
    #[argh(option)]
    pub(super) redis_hostname: Vec<String>,

    /// comma-separated host:port of some nodes of a Redis Cluster, instead of redis_hostname; the proxy finds the
    /// others through them (default none)
    #[argh(option)]
    pub(super) redis_cluster: Vec<String>,

    /// master or replica: which nodes of a cluster answer reads that are not cached; a replica may answer with older
    /// data than the client has written (default master)
    #[argh(option)]
    pub(super) redis_read_from: Vec<String>,

    /// database that clients start in (default 0)
    #[argh(option)]
    pub(super) redis_database: Vec<String>,

    /// other databases that are cached: all, none, or a list of numbers and ranges such as 0,2,8-15; a client in any
    /// other database uses a dedicated connection (default all)
    #[argh(option)]
    pub(super) cached_databases: Vec<String>,

    /// user name for Redis; requires a password (default none)
    #[argh(option)]
    pub(super) redis_username: Vec<String>,

    /// password for Redis; the variable REDIS_PASSWORD keeps it off the command line (default none)
    #[argh(option)]
    pub(super) redis_password: Vec<String>,

    /// file that holds this password (default none)
    #[argh(option)]
    pub(super) redis_password_file: Vec<String>,

    /// on or off: whether to connect to Redis over TLS (default off)
    #[argh(option)]
    pub(super) redis_tls: Vec<String>,

    /// file with the CA certificates for Redis, in PEM, instead of the system's (default none)
    #[argh(option)]
    pub(super) redis_tls_ca: Vec<String>,

    /// file with a client certificate to present to Redis, in PEM (default none)
    #[argh(option)]
    pub(super) redis_tls_cert: Vec<String>,

    /// file with the key of that certificate, in PEM (default none)
    #[argh(option)]
    pub(super) redis_tls_key: Vec<String>,

    /// name to expect in Redis's certificate, instead of the host's (default none)
    #[argh(option)]
    pub(super) redis_tls_server_name: Vec<String>,

    /// on or off: accept any certificate from Redis, for tests (default off)
    #[argh(option)]
    pub(super) redis_tls_insecure: Vec<String>,

    /// comma-separated host:port of every sentinel, instead of redis_hostname (default none)
    #[argh(option)]
    pub(super) redis_sentinels: Vec<String>,

    /// name under which the sentinels monitor the master (default none)
    #[argh(option)]
    pub(super) redis_sentinel_master: Vec<String>,

    /// user name for the sentinels; requires a password (default none)
    #[argh(option)]
    pub(super) redis_sentinel_username: Vec<String>,

    /// password for the sentinels; the variable REDIS_SENTINEL_PASSWORD keeps it off the command line (default none)
    #[argh(option)]
    pub(super) redis_sentinel_password: Vec<String>,

    /// file that holds this password (default none)
    #[argh(option)]
    pub(super) redis_sentinel_password_file: Vec<String>,

    /// on or off: whether to connect to sentinels over TLS (default off)
    #[argh(option)]
    pub(super) redis_sentinel_tls: Vec<String>,

    /// file with the CA certificates for sentinels, in PEM, instead of the system's (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_ca: Vec<String>,

    /// file with a client certificate to present to sentinels, in PEM (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_cert: Vec<String>,

    /// file with the key of that certificate, in PEM (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_key: Vec<String>,

    /// name to expect in the sentinels' certificates, instead of each one's host (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_server_name: Vec<String>,

    /// on or off: accept any certificate from sentinels, for tests (default off)
    #[argh(option)]
    pub(super) redis_sentinel_tls_insecure: Vec<String>,

    /// timeout of a DNS lookup, a connection attempt or a reply from Redis, in milliseconds (default 1000)
    #[argh(option)]
    pub(super) redis_timeout: Vec<String>,

    /// how long requests wait for an unreachable Redis before their clients are closed, in milliseconds (default
    /// 10000)
    #[argh(option)]
    pub(super) redis_wait: Vec<String>,

    /// on or off: whether Redis reports changed keys (default on)
    #[argh(option)]
    pub(super) tracking: Vec<String>,

    /// on or off: whether a client that learns of a change, from a message or by being unblocked, never reads the older
    /// value afterwards; delays such messages by one round trip (default on)
    #[argh(option)]
    pub(super) causal: Vec<String>,

    /// on or off: whether a cached value that has been read is fetched again as soon as it changes, so that the next
    /// read is a hit (default on)
    #[argh(option)]
    pub(super) refetch: Vec<String>,

    /// how long past its time to live an entry may be served while Redis is unreachable, in milliseconds (default
    /// 0)
    #[argh(option)]
    pub(super) stale_ttl: Vec<String>,

    /// how long a missing key is cached, in milliseconds; 0 disables it; none: as long as an entry may be served
    /// (default none)
    #[argh(option)]
    pub(super) missing_ttl: Vec<String>,

    /// how often to report the keys that were read from the cache to a Redis with an LRU or LFU eviction policy, in
    /// milliseconds; 0 for never (default 60000)
    #[argh(option)]
    pub(super) touch: Vec<String>,

    /// yes, local or no: which clients may change settings with PROXY CONFIG SET: all, those on this host, or none
    /// (default local)
    #[argh(option)]
    pub(super) config_set: Vec<String>,

    /// options for the keys that match a pattern, as in 'session:* ttl=60000 pin'; may be repeated, and the first
    /// rule that matches a key applies (default none)
    #[argh(option)]
    pub(super) rule: Vec<String>,

    /// commands that no client may run, separated by commas: names or patterns such as 'flushall,config*', client|kill
    /// for a subcommand, @write or @read (default none)
    #[argh(option)]
    pub(super) deny_command: Vec<String>,

    /// requests that wait for Redis at least this long are listed in the proxy's slow log, in milliseconds (default
    /// 10)
    #[argh(option)]
    pub(super) slowlog_slower_than: Vec<String>,

    /// HTTP port for metrics, health checks and the status page; 0 disables it (default 0)
    #[argh(option)]
    pub(super) metrics_port: Vec<String>,

    /// IP address for that port (default 127.0.0.1)
    #[argh(option)]
    pub(super) metrics_bind: Vec<String>,

    /// comma-separated host names to accept in the Host header of HTTP requests, besides IP addresses and localhost
    /// (default none)
    #[argh(option)]
    pub(super) metrics_host: Vec<String>,

    /// how long clients have to finish their work after SIGTERM, in milliseconds (default 0)
    #[argh(option)]
    pub(super) drain: Vec<String>,

    /// off, error, warn, info, debug or trace: lowest severity to log (default info)
    #[argh(option)]
    pub(super) log_level: Vec<String>,

    /// text or json: format of log lines (default text)
    #[argh(option)]
    pub(super) log_format: Vec<String>,

    /// file of settings, one per line: name = value (default none)
    #[argh(option)]
    pub(super) config: Vec<String>,

    /// display the version
    #[argh(switch, short = 'V')]
    pub(super) version: bool,
}

/// The title of the group that begins with a flag, if one does.
pub(super) fn group_of(flag: &str) -> Option<&'static str> {
    let group = GROUPS.iter().find(|(first, _)| *first == flag);
    group.map(|(_, title)| *title)
}

/// The help, with its flags in groups and spelled as the settings are.
pub(super) fn help(text: &str) -> String {
    let mut help = String::new();
    for line in with_underscores(text).lines() {
        let flag = line
            .strip_prefix("  --")
            .and_then(|line| line.split(' ').next());
        if line == "Options:" {
            continue;
        }
        if let Some(title) = flag.and_then(group_of) {
            let gap = if help.ends_with("\n\n") { "" } else { "\n" };
            help += &format!("{gap}{title}:\n");
        }
        help += line;
        help += "\n";
    }
    help
}

/// A text with its flags spelled as the settings are, `--cache_ttl` for `--cache-ttl`.
pub(super) fn with_underscores(help: &str) -> String {
    let mut pieces = help.split("--");
    let mut text = pieces.next().unwrap_or_default().to_owned();
    for piece in pieces {
        let end = piece
            .find(|c: char| c != '-' && !c.is_ascii_alphanumeric())
            .unwrap_or(piece.len());
        text += "--";
        text += &piece[..end].replace('-', "_");
        text += &piece[end..];
    }
    text
}
