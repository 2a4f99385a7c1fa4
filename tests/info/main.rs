//! What the proxy says of itself: INFO and SLOWLOG, and that each counter moves when its event happens,
//! and only then.

#[path = "../common/mod.rs"]
mod common;

mod configured;
mod counters;
mod executed;
mod health;
mod of_redis;
mod slow_log;
mod told;

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use common::{Client, Proxy, RedisServer, eventually};

/// Fields of INFO by name; of a field that has parts (`a=1,b=2`), each part as `name.part`.
type Fields = BTreeMap<String, String>;

fn text_of(reply: &[u8]) -> String {
    let text = String::from_utf8(reply.to_vec()).expect("a text");
    let (_, text) = text.split_once("\r\n").expect("a header line");
    text.trim_end().to_owned()
}

fn info(client: &mut Client, sections: &[&str]) -> Fields {
    let reply = client.command(&[&["INFO"], sections].concat());
    let mut fields = Fields::new();
    for line in text_of(&reply).lines() {
        let Some((name, value)) = line.split_once(':') else {
            assert!(line.is_empty() || line.starts_with("# "), "{line:?}");
            continue;
        };
        if value.contains('=') {
            for part in value.split(',') {
                let (part, value) = part.split_once('=').expect("name=value");
                fields.insert(format!("{name}.{part}"), value.to_owned());
            }
        } else {
            fields.insert(name.to_owned(), value.to_owned());
        }
    }
    fields
}

/// What every INFO itself moves, and what measures time or bytes.
fn is_steady(name: &str) -> bool {
    let moving = [
        "_usec",
        "usec_per_call",
        "_seconds",
        "_bytes",
        // What the totals say, by database.
        "cache_db",
        "uptime_",
        "_info.",
        "used_memory",
        "instantaneous_",
        "total_commands_processed",
        "requests_per_batch",
        "cache_hit_ratio",
        ".usec",
        "_ms",
        "server_time",
        "_human",
        "_rss",
        // Redis counts what the proxy asks for itself.
        "cmdstat_",
    ];
    !moving.iter().any(|part| name.contains(part))
}

/// The steady fields that are not as they were, with both values; a field that was not there was 0.
fn changes(before: &Fields, after: &Fields) -> BTreeMap<String, i64> {
    let number = |fields: &Fields, name: &str| -> i64 {
        fields
            .get(name)
            .map_or(0, |value| value.parse().unwrap_or_default())
    };
    let names = before.keys().chain(after.keys());
    names
        .filter(|name| is_steady(name))
        .map(|name| (name.clone(), number(after, name) - number(before, name)))
        .filter(|&(_, change)| change != 0)
        .collect()
}

/// What counts clients and requests here, under a name that Redis has too.
const COUNTED_HERE: [&str; 11] = [
    "connected_clients",
    "maxclients",
    "blocked_clients",
    "total_connections_received",
    "total_commands_processed",
    "instantaneous_ops_per_sec",
    "rejected_connections",
    "keyspace_hits",
    "keyspace_misses",
    "total_error_replies",
    "tcp_port",
];

/// How fields of Redis's start whose names depend on what happened there.
const VARIOUS: [&str; 3] = ["latency_percentiles_", "errorstat_", "db0"];

/// A proxy whose counters are watched.
struct Watched {
    proxy: Proxy,
    redis: RedisServer,
    /// The fields of Redis's own `INFO`.
    of_redis: Fields,
    watcher: Client,
}

impl Watched {
    fn start(flags: &[&str]) -> Self {
        let redis = RedisServer::start();
        let proxy = Proxy::start(&redis, flags);
        let mut watcher = proxy.client();
        // With a password it sees nothing yet.
        eventually("the harness's own client has left", || {
            let fields = info(&mut watcher, &["clients"]);
            fields.is_empty() || fields["connected_clients"] == "1"
        });
        let of_redis = info(&mut redis.client(), &[]);
        Self {
            redis,
            of_redis,
            proxy,
            watcher,
        }
    }

    /// A client that the proxy has counted.
    fn client(&self) -> Client {
        let mut client = self.proxy.client();
        client.command(&["PING"]);
        client
    }

    /// Runs something; of all counters, these and no others move, by so much.
    #[track_caller]
    fn moves(&mut self, event: impl FnOnce(&mut Self), expected: &[(&str, i64)]) {
        let before = self.info();
        event(self);
        let expected: BTreeMap<String, i64> = expected
            .iter()
            .map(|&(name, change)| (name.to_owned(), change))
            .collect();
        let mut seen = BTreeMap::new();
        let start = Instant::now();
        while seen != expected && start.elapsed() < Duration::from_secs(10) {
            seen = changes(&before, &self.info());
        }
        assert_eq!(seen, expected, "left: what moved, right: what should");
    }

    /// The fields that are the proxy's.
    fn info(&mut self) -> Fields {
        let mut fields = info(&mut self.watcher, &["all"]);
        fields.retain(|name, _| {
            let is_redis = self.of_redis.contains_key(name)
                || VARIOUS.iter().any(|start| name.starts_with(start));
            // What has a test of its own; and the request for them counts in what is held, if Redis is asked.
            !name.starts_with("cmdcache_")
                && name != "client_buffers"
                && (!is_redis || COUNTED_HERE.contains(&&name[..]))
        });
        fields
    }
}
