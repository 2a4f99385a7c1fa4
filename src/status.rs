//! How things are, for whoever asks: `INFO`, the metrics and the page read the same [`Status`].

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

/// What is known at one moment.
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
    /// What does not change.
    pub facts: &'a Facts,
    /// Whether Redis can be reached.
    pub redis: RedisState<'a>,
    /// Where it was last reached, if it was.
    pub endpoint: Option<&'a Endpoint>,
    /// The sentinel that named it; empty if none did.
    pub sentinel: &'a str,
    /// Whether Redis says what changes.
    pub tracking: Tracking<'a>,
    /// Redis's reply to `HELLO 2`; empty if there is none.
    pub hello: &'a [u8],
    /// What Redis last said in its `INFO`.
    pub redis_info: &'a RedisInfo,
    /// Redis's table of tracked keys, if it is full.
    pub full_table: Option<TrackingTable>,
    /// How many of the proxy's own connections Redis tracks keys for.
    pub tracked_links: usize,
    /// The rights that the proxy's user there lacks.
    pub missing_rights: MissingRights,
    /// The masters, if there is a cluster behind.
    pub nodes: Vec<NodeStatus<'a>>,
    /// The counters when they were last reset, if they were.
    pub reset: Option<&'a Counters>,
    /// The moment.
    pub now: Time,
}

/// How a node of the cluster is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeStatus<'a> {
    /// Its address, as `host:port`.
    pub address: &'a str,
    /// Whether it can be reached.
    pub redis: RedisState<'a>,
    /// Whether it says what changes.
    pub tracking: Tracking<'a>,
    /// How many slots it has.
    pub slots: usize,
    /// How many requests wait for its replies.
    pub in_flight: usize,
    /// How many keys of its slots are cached; of a large cache, estimated from a part of it.
    pub keys: usize,
    /// How long it last took for a batch of requests.
    pub round_trip: Duration,
}

/// Whether Redis can be reached.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RedisState<'a> {
    /// That is being found out: for the first time, or as it was lost a moment ago.
    Unknown,
    /// It can.
    Up,
    /// It can't; clients get this encoded error reply.
    Down(&'a [u8]),
}

impl RedisState<'_> {
    /// Its name.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::Unknown => "connecting",
            Self::Up => "up",
            Self::Down(_) => "down",
        }
    }

    /// Why it can't be reached; empty if it can.
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

/// Whether Redis says what changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tracking<'a> {
    /// Redis has not been reached yet.
    Unknown,
    /// It does.
    On,
    /// It is not asked to.
    Off,
    /// It refused, in these words: the time to live alone holds.
    Refused(&'a str),
    /// The connection for it broke; a new one is being made.
    Lost,
}

impl Tracking<'_> {
    /// All names.
    pub const NAMES: [&'static str; 5] = ["unknown", "on", "off", "refused", "lost"];

    /// Its name.
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

    /// In which words Redis refused; empty if it did not.
    #[must_use]
    pub fn refusal(&self) -> &str {
        match self {
            Self::Refused(words) => words,
            Self::Unknown | Self::On | Self::Off | Self::Lost => "",
        }
    }
}

/// How many keys Redis tracks for all its clients. When there are too many, it reports some that did not change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TrackingTable {
    /// How many they are (`tracking_total_keys`).
    pub keys: u64,
    /// How many there may be (`tracking-table-max-keys`); 0 for no limit.
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

    /// Whether it is as full as can be, or was a moment ago.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.max > 0 && self.keys >= self.max - self.max / 10
    }
}

/// Facts about the process, and what only the shell can read.
#[derive(Clone, Debug)]
pub struct Facts {
    /// The port that clients connect to.
    pub port: u16,
    /// The most clients.
    pub max_clients: usize,
    /// The Redis behind, as `host:port`, path of a socket or `sentinel:NAME`.
    pub redis: String,
    /// From how long on a request is in the slow log; `None`: it is empty.
    pub slower_than: Option<Duration>,
    /// When the proxy was started: the time since 1970.
    pub started: Duration,
    /// The time since 1970.
    pub wall_clock: fn() -> Duration,
    /// The memory of the process that is resident, in bytes.
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

/// What Redis says of itself under a name in its greeting, in the form of RESP2.
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
    /// What Redis says of itself under a name in its greeting, such as `version`.
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

    /// Why entries left the cache, and how many did for it, since the start.
    #[must_use]
    pub fn removed(&self) -> [(&'static str, u64); 7] {
        Counters::of(self.metrics, self.cache).removed()
    }

    /// The name of a command that was counted, in lower case.
    #[must_use]
    pub fn command_name(&self, counts: &Counts) -> String {
        String::from_utf8_lossy(self.table.name(counts.command)).into_owned()
    }

    /// How long the proxy has run.
    #[must_use]
    pub fn uptime(&self) -> Duration {
        Time::default().until(self.now)
    }
}
