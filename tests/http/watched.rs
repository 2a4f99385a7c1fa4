//! The counters of a proxy, watched from event to event.

use std::collections::BTreeMap;
use std::time::Instant;

use crate::common::{Client, DEADLINE, Http, RedisServer, eventually};

/// Samples, by name (without `redis_proxy_`) and labels.
pub type Samples = BTreeMap<String, f64>;

/// What goes on by itself, by how much it moves nobody knows before, or has a test of its own.
const LEFT_OUT: [&str; 9] = [
    "_bucket{",
    "_sum",
    "request_duration_seconds_total",
    "loop_turn_seconds",
    "process_",
    "received_bytes_total",
    "sent_bytes_total",
    "cache_bytes",
    "uncached_reads_total",
];

/// The samples that count events, at this moment.
pub fn samples(http: &Http) -> Samples {
    let mut samples = all_samples(http);
    samples.retain(|name, _| !LEFT_OUT.iter().any(|part| name.contains(part)));
    samples
}

/// All samples at this moment.
pub fn all_samples(http: &Http) -> Samples {
    let metrics = http.metrics();
    let lines = metrics.lines().filter(|line| !line.starts_with('#'));
    let samples = lines.map(|line| line.rsplit_once(' ').expect("a value"));
    samples
        .map(|(name, value)| {
            let name = name.trim_start_matches("redis_proxy_").replace('"', "");
            (name, value.parse().expect("a number"))
        })
        .collect()
}

/// A proxy that is watched from event to event.
pub struct Watched {
    pub http: Http,
    pub seen: Samples,
    pub client: Client,
}

impl Watched {
    /// Starts a proxy, with one client.
    pub fn start(redis: &RedisServer, flags: &[&str]) -> Self {
        let http = Http::start(redis, flags);
        Self::of(http)
    }

    /// Watches one that runs, with one client.
    pub fn of(http: Http) -> Self {
        let mut client = http.proxy.client();
        // It is accepted, and the client of the harness has left.
        client.command(&["PING"]);
        eventually("one client is there", || {
            http.metric("redis_proxy_clients") == 1.0
        });
        Self {
            seen: samples(&http),
            http,
            client,
        }
    }

    /// Waits until these samples, and no others, have moved since the last call, and by so much.
    #[track_caller]
    pub fn moved(&mut self, expected: &[(&str, f64)]) {
        let mut expected = expected.to_vec();
        expected.sort_by_key(|(name, _)| *name);
        let start = Instant::now();
        loop {
            let now = samples(&self.http);
            let before = |name: &str| self.seen.get(name).copied().unwrap_or_default();
            let moved: Vec<(&str, f64)> = now
                .iter()
                .map(|(name, value)| (name.as_str(), value - before(name)))
                .filter(|(_, by)| *by != 0.0)
                .collect();
            if moved == expected || start.elapsed() > DEADLINE {
                assert_eq!(moved, expected, "left: moved; right: expected");
                self.seen = now;
                return;
            }
        }
    }

    /// Asks for what Redis is asked for, and takes no notice of it.
    pub fn unwatched(&mut self, request: &[&str]) {
        self.client.command(request);
        // Redis may have more to say of it.
        self.client.command(&["DBSIZE"]);
        self.seen = samples(&self.http);
    }
}

/// What every request that Redis is asked by itself adds.
const ASKED: [(&str, f64); 2] = [
    ("batch_requests_count", 1.0),
    ("redis_round_trip_seconds_count", 1.0),
];

/// A miss that is kept, for this reason.
pub fn miss(reason: &str) -> Vec<(&str, f64)> {
    let mut moved = ASKED.to_vec();
    moved.extend([
        ("requests_total{command=get,outcome=miss}", 1.0),
        ("cache_keys_total{result=miss}", 1.0),
        ("cache_inserted_total", 1.0),
        ("cache_entries", 1.0),
        ("miss_duration_seconds_count", 1.0),
        (reason, 1.0),
    ]);
    moved
}

/// A request that Redis answers.
pub fn forwarded(command: &str) -> Vec<(&str, f64)> {
    let mut moved = ASKED.to_vec();
    moved.extend([(command, 1.0), ("forward_duration_seconds_count", 1.0)]);
    moved
}

/// Both together.
pub fn and<'a>(mut moved: Vec<(&'a str, f64)>, more: &[(&'a str, f64)]) -> Vec<(&'a str, f64)> {
    for &(name, by) in more {
        match moved.iter_mut().find(|(known, _)| *known == name) {
            Some(known) => known.1 += by,
            None => moved.push((name, by)),
        }
    }
    moved.retain(|(_, by)| *by != 0.0);
    moved
}

/// A hit.
pub const HIT: [(&str, f64); 3] = [
    ("requests_total{command=get,outcome=hit}", 1.0),
    ("cache_keys_total{result=hit}", 1.0),
    ("hit_duration_seconds_count", 1.0),
];
