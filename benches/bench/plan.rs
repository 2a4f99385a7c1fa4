//! The sizes and times of a measurement.

use std::path::PathBuf;
use std::time::Duration;

use crate::process::{self, Cores};

/// Sizes and times.
#[derive(Clone)]
pub struct Plan {
    /// How often each server has its turn.
    pub rounds: usize,
    /// How long a turn takes.
    pub turn: Duration,
    /// The larger number of keys.
    pub many_keys: u32,
    /// The largest number of clients.
    pub many_clients: usize,
    /// How many clients ask for one large value at once.
    pub crowd: usize,
    /// How long wake-ups are counted.
    pub idle: Duration,
    /// How many changes staleness is measured with.
    pub changes: usize,
    /// How often a start is timed.
    pub starts: usize,
    /// How long an attack on innocent clients goes on at least.
    pub attack: Duration,
    /// By what the numbers of requests and clients of attacks are divided.
    pub attack_divisor: u32,
    /// The proxy's program.
    pub proxy: PathBuf,
    /// Who runs where; `None` on a machine with one core.
    pub cores: Option<Cores>,
}

impl Plan {
    /// Those of a quick trial, or of the page, for that program of the proxy.
    pub fn new(quick: bool, proxy: PathBuf) -> Self {
        let files = usize::try_from(rlimit::Resource::NOFILE.get_hard().unwrap_or(1024))
            .unwrap_or(usize::MAX);
        let many_clients = if quick { 500 } else { 10_000 };
        Self {
            rounds: if quick { 2 } else { 7 },
            turn: Duration::from_millis(if quick { 50 } else { 800 }),
            many_keys: if quick { 100_000 } else { 1_000_000 },
            many_clients: many_clients.min(files.saturating_sub(200)),
            crowd: if quick { 100 } else { 1000 },
            idle: Duration::from_secs(if quick { 1 } else { 10 }),
            changes: if quick { 200 } else { 10_000 },
            starts: if quick { 3 } else { 20 },
            attack: Duration::from_millis(if quick { 300 } else { 3000 }),
            attack_divisor: if quick { 10 } else { 1 },
            proxy,
            cores: process::cores(),
        }
    }
}
