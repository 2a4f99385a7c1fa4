//! The arguments: how flags may be written, and what `--help` says about them.

use std::ffi::OsString;
use std::ops::Range;

use argh::FromArgs;

use super::error::{ConfigError, Place, Problem};
use super::settings::{self, Setting};

/// The flag that names a file of settings.
pub(super) const CONFIG: &str = "config";

/// The flags that are no settings.
pub(super) const NOT_SETTINGS: [&str; 3] = [CONFIG, "version", "help"];

const PROGRAM: &str = env!("CARGO_PKG_NAME");

/// The flags as they were given: text, so that one check serves every source, and all of them, so
/// that the last one can win.
#[derive(FromArgs)]
#[argh(
    description = "A cache in front of a Redis that speaks the Redis protocol (RESP): reads that\n\
                   repeat are answered from memory, everything else goes on to the Redis.",
    usage = "[--name value ...]",
    help_triggers("-h", "--help"),
    example = "{command_name} --port 8001 --redis_hostname redis.example:6379 --max_memory 16mb",
    note = "A flag may be written --cache_ttl 5 or --cache_ttl=5, with _ or - in its name.\n\
            If it is given twice, the last one counts; but each --rule adds one.",
    note = "Every setting may also come from the environment, in capitals (CACHE_TTL=5 or,\n\
            which wins, REDIS_PROXY_CACHE_TTL=5), or from the file that --config or CONFIG\n\
            names, a line each (cache_ttl = 5). A flag beats the environment, the\n\
            environment beats the file, the file beats the default."
)]
pub(super) struct Flags {
    /// IP address to listen on, v4 or v6 (default 127.0.0.1)
    #[argh(option)]
    pub(super) bind: Vec<String>,

    /// port to listen on, 0 for any free one, none for no port (default 8001)
    #[argh(option)]
    pub(super) port: Vec<String>,

    /// path of a Unix socket to listen on as well (default none)
    #[argh(option)]
    pub(super) unix_socket: Vec<String>,

    /// who may use this socket, as permissions of the file in octal (default 770)
    #[argh(option)]
    pub(super) unix_socket_perm: Vec<String>,

    /// port to listen on for TLS as well, 0 for none (default 0)
    #[argh(option)]
    pub(super) tls_port: Vec<String>,

    /// file with the certificate that is shown there, in PEM (default none)
    #[argh(option)]
    pub(super) tls_cert: Vec<String>,

    /// file with this certificate's key, in PEM (default none)
    #[argh(option)]
    pub(super) tls_key: Vec<String>,

    /// file with the certificates of who may sign those of clients, in PEM (default none)
    #[argh(option)]
    pub(super) tls_ca: Vec<String>,

    /// yes, optional or no: whether clients must show a certificate (default yes)
    #[argh(option)]
    pub(super) tls_auth_clients: Vec<String>,

    /// yes or no: whether clients of other hosts are refused unless they give a password or must show
    /// a certificate (default yes)
    #[argh(option)]
    pub(super) protected_mode: Vec<String>,

    /// how often expired entries are removed, in milliseconds (default 100)
    #[argh(option)]
    pub(super) cache_period: Vec<String>,

    /// how long an entry may be served, in milliseconds (default 300000)
    #[argh(option)]
    pub(super) cache_ttl: Vec<String>,

    /// the most entries to cache (default 1024)
    #[argh(option)]
    pub(super) capacity: Vec<String>,

    /// the most memory for entries, in bytes or with a unit: k, m, g (powers of 1000), kb, mb, gb
    /// (of 1024); 0 for no limit (default 64mb)
    #[argh(option)]
    pub(super) max_memory: Vec<String>,

    /// the longest value or reply to cache, likewise (default 1mb)
    #[argh(option)]
    pub(super) max_reply: Vec<String>,

    /// the most memory for what all clients together sent and are owed, written likewise; 0 for no limit
    /// (default 256mb)
    #[argh(option)]
    pub(super) max_buffers: Vec<String>,

    /// the most clients at a time (default 10000)
    #[argh(option)]
    pub(super) max_clients: Vec<String>,

    /// how many dedicated connections to the Redis are kept for other clients when theirs have left
    /// them, each for a minute (default 16)
    #[argh(option)]
    pub(super) dedicated_idle: Vec<String>,

    /// after how many silent seconds a client is asked whether it is still there, 0 for never (default
    /// 300)
    #[argh(option)]
    pub(super) tcp_keepalive: Vec<String>,

    /// after how many silent seconds a client is closed, 0 for never (default 0)
    #[argh(option)]
    pub(super) timeout: Vec<String>,

    /// password that clients must give with AUTH; PASSWORD keeps it off the command line (default
    /// none)
    #[argh(option)]
    pub(super) password: Vec<String>,

    /// file that holds this password instead (default none)
    #[argh(option)]
    pub(super) password_file: Vec<String>,

    /// where the Redis is, and as whom to go there: redis://[[user]:password@]host[:port][/database],
    /// rediss:// for TLS, or unix:///path[?db=database]; REDIS_URL keeps it off the command line
    /// (default none)
    #[argh(option)]
    pub(super) redis_url: Vec<String>,

    /// host or host:port of the Redis instead, an IPv6 address with a port in brackets (default
    /// localhost:6379)
    #[argh(option)]
    pub(super) redis_hostname: Vec<String>,

    /// database of the Redis, see redis.io/commands/select (default 0)
    #[argh(option)]
    pub(super) redis_database: Vec<String>,

    /// databases that are cached beside that one: all, none, or numbers and ranges with commas between them, such as
    /// 0,2,8-15; a client in any other has a dedicated connection (default all)
    #[argh(option)]
    pub(super) cached_databases: Vec<String>,

    /// user of the Redis, with a password (default none)
    #[argh(option)]
    pub(super) redis_username: Vec<String>,

    /// password of the Redis; REDIS_PASSWORD keeps it off the command line (default none)
    #[argh(option)]
    pub(super) redis_password: Vec<String>,

    /// file that holds this password instead (default none)
    #[argh(option)]
    pub(super) redis_password_file: Vec<String>,

    /// on or off: whether the Redis is spoken to by TLS (default off)
    #[argh(option)]
    pub(super) redis_tls: Vec<String>,

    /// file with the certificates of who may sign the Redis's, in PEM, in place of those that the system
    /// trusts (default none)
    #[argh(option)]
    pub(super) redis_tls_ca: Vec<String>,

    /// file with a certificate to show to the Redis, in PEM (default none)
    #[argh(option)]
    pub(super) redis_tls_cert: Vec<String>,

    /// file with this certificate's key, in PEM (default none)
    #[argh(option)]
    pub(super) redis_tls_key: Vec<String>,

    /// name that the Redis's certificate must be for, in place of the host's (default none)
    #[argh(option)]
    pub(super) redis_tls_server_name: Vec<String>,

    /// on or off: whether any certificate of the Redis is accepted, for tests (default off)
    #[argh(option)]
    pub(super) redis_tls_insecure: Vec<String>,

    /// host:port of each sentinel that says where the Redis is, with commas between them, in place of
    /// redis_hostname (default none)
    #[argh(option)]
    pub(super) redis_sentinels: Vec<String>,

    /// name by which these know the master (default none)
    #[argh(option)]
    pub(super) redis_sentinel_master: Vec<String>,

    /// user of the sentinels, with a password (default none)
    #[argh(option)]
    pub(super) redis_sentinel_username: Vec<String>,

    /// password of the sentinels; REDIS_SENTINEL_PASSWORD keeps it off the command line (default none)
    #[argh(option)]
    pub(super) redis_sentinel_password: Vec<String>,

    /// file that holds this password instead (default none)
    #[argh(option)]
    pub(super) redis_sentinel_password_file: Vec<String>,

    /// on or off: whether the sentinels are spoken to by TLS (default off)
    #[argh(option)]
    pub(super) redis_sentinel_tls: Vec<String>,

    /// file with the certificates of who may sign the sentinels', in PEM, in place of those that the
    /// system trusts (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_ca: Vec<String>,

    /// file with a certificate to show to the sentinels, in PEM (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_cert: Vec<String>,

    /// file with this certificate's key, in PEM (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_key: Vec<String>,

    /// name that the sentinels' certificates must be for, in place of each one's host (default none)
    #[argh(option)]
    pub(super) redis_sentinel_tls_server_name: Vec<String>,

    /// on or off: whether any certificate of a sentinel is accepted, for tests (default off)
    #[argh(option)]
    pub(super) redis_sentinel_tls_insecure: Vec<String>,

    /// how long the Redis may take to accept a connection or to answer, in milliseconds (default
    /// 1000)
    #[argh(option)]
    pub(super) redis_timeout: Vec<String>,

    /// how long requests wait for a Redis that went away, in milliseconds, before their clients are
    /// closed (default 10000)
    #[argh(option)]
    pub(super) redis_wait: Vec<String>,

    /// on or off: whether the Redis is to say which entries changed (default on)
    #[argh(option)]
    pub(super) tracking: Vec<String>,

    /// on or off: whether a client that is told of a change, by a message or as it was blocked, never
    /// reads the older value from the cache after that; a message takes a round trip longer so
    /// (default on)
    #[argh(option)]
    pub(super) causal: Vec<String>,

    /// on or off: whether a value or an answer that was read from the cache is fetched anew as soon as the Redis
    /// says that it changed, so that the next read finds it (default on)
    #[argh(option)]
    pub(super) refetch: Vec<String>,

    /// how long past its time to live an entry may be served while the Redis can't be reached, in
    /// milliseconds (default 0)
    #[argh(option)]
    pub(super) stale_ttl: Vec<String>,

    /// how long it is remembered that a key does not exist, in milliseconds, 0 for not at all; none: as
    /// long as an entry may be served (default none)
    #[argh(option)]
    pub(super) missing_ttl: Vec<String>,

    /// what is special about the keys that match a pattern, as in 'session:* ttl=60000 pin'; may be given
    /// several times, and the first that matches a key counts (default none)
    #[argh(option)]
    pub(super) rule: Vec<String>,

    /// commands that no client may run, with commas between them: names or patterns such as 'flushall,config*', client|kill
    /// for a subcommand, @write or @read (default none)
    #[argh(option)]
    pub(super) deny_command: Vec<String>,

    /// from how long on a request that waited for the Redis is in the slow log of the proxy, in milliseconds
    /// (default 10)
    #[argh(option)]
    pub(super) slowlog_slower_than: Vec<String>,

    /// port for metrics, health checks and a status page over HTTP; 0 for none (default 0)
    #[argh(option)]
    pub(super) metrics_port: Vec<String>,

    /// IP address to listen on for these (default 127.0.0.1)
    #[argh(option)]
    pub(super) metrics_bind: Vec<String>,

    /// names by which these may be asked for, with commas between them, beside IP addresses and
    /// localhost (default none)
    #[argh(option)]
    pub(super) metrics_host: Vec<String>,

    /// how long clients may finish what they are at after SIGTERM, in milliseconds (default 0)
    #[argh(option)]
    pub(super) drain: Vec<String>,

    /// off, error, warn, info, debug or trace (default info)
    #[argh(option)]
    pub(super) log_level: Vec<String>,

    /// text or json: how a line of the log is written (default text)
    #[argh(option)]
    pub(super) log_format: Vec<String>,

    /// file of settings, a line each: name = value (default none)
    #[argh(option)]
    pub(super) config: Vec<String>,

    /// display the version
    #[argh(switch, short = 'V')]
    version: bool,
}

/// What the arguments ask for.
pub(super) enum Request {
    Run(Box<Flags>),
    /// Text for standard output.
    Print(String),
}

/// Reads the arguments, without checking values.
pub(super) fn parse(args: &[OsString]) -> Result<Request, ConfigError> {
    let arguments = read(args)?;
    let mut words: Vec<String> = Vec::new();
    for given in arguments.given {
        words.push(format!("--{}", given.name.replace('_', "-")));
        words.push(given.value);
    }
    let words: Vec<&str> = words
        .iter()
        .map(String::as_str)
        .chain(arguments.text)
        .collect();

    match Flags::from_args(&[PROGRAM], &words) {
        Ok(flags) if flags.version => Ok(Request::Print(
            concat!(env!("CARGO_PKG_NAME"), " ", env!("CARGO_PKG_VERSION"), "\n").to_owned(),
        )),
        Ok(flags) => Ok(Request::Run(Box::new(flags))),
        Err(exit) if exit.status.is_ok() => Ok(Request::Print(with_underscores(&exit.output))),
        Err(exit) => Err(Place::Word("arguments".to_owned()).error(Problem::Flags(exit.output))),
    }
}

/// The arguments, told apart, every name known.
pub(super) struct Arguments {
    pub(super) given: Vec<Given>,
    /// The flag that asks for a text instead of a run. What comes after it is not read.
    pub(super) text: Option<&'static str>,
}

/// A flag and its value.
pub(super) struct Given {
    pub(super) name: &'static str,
    pub(super) value: String,
    /// The arguments that it takes up: one or two.
    pub(super) at: Range<usize>,
}

impl Given {
    pub(super) fn is_secret(&self) -> bool {
        settings::find(self.name).is_some_and(Setting::is_secret)
    }
}

/// Tells flags from values. A value is the rest of the argument after `=` or else the next
/// argument, whatever it looks like.
pub(super) fn read(args: &[OsString]) -> Result<Arguments, ConfigError> {
    let mut given: Vec<Given> = Vec::new();
    let mut at = 0;
    while let Some(arg) = args.get(at) {
        let arg = arg.to_string_lossy();
        let (word, attached) = match arg.split_once('=') {
            Some((word, value)) => (word, Some(value)),
            None => (&*arg, None),
        };
        let text = match word {
            "-h" | "--help" => Some("--help"),
            "-V" | "--version" => Some("--version"),
            _ => None,
        };
        if text.is_some() && attached.is_some() {
            return Err(Place::Word(word.to_owned()).error(Problem::TakesNoValue));
        }
        if text.is_some() {
            return Ok(Arguments { given, text });
        }

        let name = name_of(word).ok_or_else(|| {
            let after_secret = given.last().is_some_and(Given::is_secret);
            unknown(word, &arg, at + 1, after_secret)
        })?;
        let value_at = if attached.is_some() { at } else { at + 1 };
        let value = args
            .get(value_at)
            .ok_or_else(|| Place::Flag(name).error(Problem::MissingValue))?
            .to_str()
            .ok_or_else(|| Place::Flag(name).error(Problem::NotUtf8))?;
        let value = attached.unwrap_or(value).to_owned();
        given.push(Given {
            name,
            value,
            at: at..value_at + 1,
        });
        at = value_at + 1;
    }
    Ok(Arguments { given, text: None })
}

/// The error for an argument that should be a flag and is not. `word` is the part before its `=`,
/// `number` its place.
fn unknown(word: &str, arg: &str, number: usize, after_secret: bool) -> ConfigError {
    match word.strip_prefix("--") {
        Some(name) => {
            let nearest = settings::nearest(name);
            Place::Word(word.to_owned()).error(Problem::UnknownFlag { nearest })
        }
        None => {
            // A password with a space in it that nobody quoted goes on here.
            let argument = (!after_secret).then(|| arg.to_owned());
            Place::Argument(number).error(Problem::NotAFlag { argument })
        }
    }
}

/// The name of a flag that takes a value.
fn name_of(word: &str) -> Option<&'static str> {
    let name = word.strip_prefix("--")?;
    if name == CONFIG {
        Some(CONFIG)
    } else {
        settings::find(name).map(|setting| setting.name)
    }
}

/// The help with its flags spelled as the settings are, `--cache_ttl` for `--cache-ttl`.
fn with_underscores(help: &str) -> String {
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
