//! The status of the proxy: `INFO`, the metrics and the page read the same [`Status`].

mod advice;
mod info;
mod reads;
mod redis_info;
mod rights;
mod statistics;

use std::time::Duration;

use crate::cache::Cache;
use crate::clock::Time;
use crate::command::Table;
use crate::metrics::{Counters, Counts, Metrics};
use crate::resp::read::Reader;
use crate::transport::dial::Endpoint;
pub use reads::Reads;
pub use redis_info::{RedisInfo, Wanted};
pub use rights::{MissingRights, Right};

/// The status at one point in time.
#[derive(Clone)]
pub struct Status<'a> {
    /// The counters.
    pub metrics: &'a Metrics,
    /// The bytes that all clients together hold, and the most that they may hold; 0 for no limit.
    pub buffers: (usize, usize),
    /// The cache.
    pub cache: &'a Cache,
    /// The commands, for their names.
    pub table: &'a Table,
    /// Facts that do not change.
    pub facts: &'a Facts,
    /// Whether Redis is reachable.
    pub redis: RedisState<'a>,
    /// The endpoint at which Redis was last reached, if it ever was.
    pub endpoint: Option<&'a Endpoint>,
    /// The sentinel that named Redis as the master; empty if none did.
    pub sentinel: &'a str,
    /// Whether Redis reports changes.
    pub tracking: Tracking<'a>,
    /// Redis's reply to `HELLO 2`; empty if there is none.
    pub hello: &'a [u8],
    /// The fields of Redis's latest `INFO`.
    pub redis_info: &'a RedisInfo,
    /// Redis's table of tracked keys, if it is full.
    pub full_table: Option<TrackingTable>,
    /// How many of the proxy's own connections Redis tracks keys for.
    pub tracked_links: usize,
    /// The permissions that the proxy's user lacks at Redis.
    pub missing_rights: MissingRights,
    /// The masters, if Redis is a cluster.
    pub nodes: Vec<NodeStatus<'a>>,
    /// The counters as of their last reset, if there was one.
    pub reset: Option<&'a Counters>,
    /// The current time.
    pub now: Time,
}

/// The status of a node of the cluster.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus<'a> {
    /// The address of the node, as `host:port`.
    pub address: &'a str,
    /// Whether the node is reachable.
    pub redis: RedisState<'a>,
    /// Whether the node reports changes.
    pub tracking: Tracking<'a>,
    /// How many slots the node has.
    pub slots: usize,
    /// How many requests to the node are in flight.
    pub in_flight: usize,
    /// How many keys of the node's slots are cached. It is an estimate if the cache is large.
    pub keys: usize,
    /// The round-trip time of the latest batch of requests.
    pub round_trip: Duration,
}

/// Whether Redis is reachable.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisState<'a> {
    /// It is not known yet, at startup or because Redis was lost a moment ago.
    Unknown,
    /// Redis is reachable.
    Up,
    /// Redis is unreachable. Clients get this encoded error reply.
    Down(&'a [u8]),
}

impl RedisState<'_> {
    /// The name of the state.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "connecting",
            Self::Up => "up",
            Self::Down(_) => "down",
        }
    }

    /// Why Redis is unreachable; empty if it is reachable.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Down(error) => {
                let text = String::from_utf8_lossy(error);
                text.trim_start_matches("-ERR ").trim_end().to_owned()
            }
            Self::Unknown | Self::Up => String::new(),
        }
    }
}

/// Whether Redis reports changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking<'a> {
    /// Redis has not been reached yet.
    Unknown,
    /// Redis reports changes.
    On,
    /// Redis is not asked to report changes.
    Off,
    /// Redis refused with this error, so only the time to live applies.
    Refused(&'a str),
    /// The tracking connection broke; a new one is being opened.
    Lost,
}

impl Tracking<'_> {
    /// All names.
    pub const NAMES: [&'static str; 5] = ["unknown", "on", "off", "refused", "lost"];

    /// The name of the state.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "unknown",
            Self::On => "on",
            Self::Off => "off",
            Self::Refused(_) => "refused",
            Self::Lost => "lost",
        }
    }

    /// Redis's error, if it refused; empty otherwise.
    #[must_use]
    pub fn refusal(&self) -> &str {
        match self {
            Self::Refused(words) => words,
            Self::Unknown | Self::On | Self::Off | Self::Lost => "",
        }
    }
}

/// How many keys Redis tracks for all its clients. If there are too many, Redis reports some of them although they have
/// not changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackingTable {
    /// The current number (`tracking_total_keys`).
    pub keys: u64,
    /// The maximum (`tracking-table-max-keys`); 0 for no limit.
    pub max: u64,
}

impl Default for TrackingTable {
    fn default() -> Self {
        Self {
            keys: 0,
            max: Self::DEFAULT_MAX,
        }
    }
}

impl TrackingTable {
    /// Redis's default.
    pub const DEFAULT_MAX: u64 = 1_000_000;

    /// Whether the table is full, or was a moment ago.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max > 0 && self.keys >= self.max - self.max / 10
    }
}

/// Facts about the process, and functions for what only the shell can read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The port that clients connect to.
    pub port: u16,
    /// The most clients.
    pub max_clients: usize,
    /// The address of Redis, as `host:port`, path of a socket or `sentinel:NAME`.
    pub redis: String,
    /// How long a request must take to be listed in the slow log; `None` if none is.
    pub slower_than: Option<Duration>,
    /// When the proxy was started, as the time since 1970.
    pub started: Duration,
    /// Returns the time since 1970.
    pub wall_clock: fn() -> Duration,
    /// Returns the resident memory of the process, in bytes.
    pub resident_memory: fn() -> u64,
}

impl Default for Facts {
    fn default() -> Self {
        Self {
            port: 0,
            max_clients: 0,
            redis: String::new(),
            slower_than: None,
            started: Duration::ZERO,
            wall_clock: || Duration::ZERO,
            resident_memory: || 0,
        }
    }
}

/// A field of Redis's greeting, which must be in RESP2.
pub(crate) fn greeting_field(greeting: &[u8], name: &str) -> Option<String> {
    let mut reader = Reader::new(greeting);
    let fields = reader.array()? / 2;
    for _ in 0..fields {
        if reader.text()? == name.as_bytes() {
            return Some(String::from_utf8_lossy(reader.text()?).into_owned());
        }
        reader.skip(1)?;
    }
    None
}

impl Status<'_> {
    /// A field of Redis's greeting, such as `version`.
    #[must_use]
    pub fn hello_field(&self, name: &str) -> Option<String> {
        greeting_field(self.hello, name)
    }

    /// The counters since they were last reset.
    #[must_use]
    pub fn counters(&self) -> Counters {
        let counters = Counters::of(self.metrics, self.cache);
        match self.reset {
            Some(earlier) => counters.since(earlier),
            None => counters,
        }
    }

    /// How many entries left the cache for each reason, since the start.
    #[must_use]
    pub fn removed(&self) -> [(&'static str, u64); 7] {
        Counters::of(self.metrics, self.cache).removed()
    }

    /// The name of a command that was counted, in lower case.
    #[must_use]
    pub fn command_name(&self, counts: &Counts) -> String {
        String::from_utf8_lossy(self.table.name(counts.command)).into_owned()
    }

    /// The uptime of the proxy.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Time::default().until(self.now)
    }
}
