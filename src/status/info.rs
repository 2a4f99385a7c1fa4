//! The text of `INFO`: sections of `name:value` lines, in Redis's form and, where Redis has the field, under its
//! name, so that what reads Redis's `INFO` reads this one.

use std::fmt::{Display, Write};

use super::Status;
use crate::metrics::{ErrorKind, Histogram, Outcome, Reason};

/// A section, by its name in lower case.
type Section = (&'static str, fn(&Status<'_>, &mut Lines));

/// All sections, in order.
const SECTIONS: &[Section] = &[
    ("server", server),
    ("clients", clients),
    ("memory", memory),
    ("stats", stats),
    ("commandstats", command_stats),
    ("cache", cache),
    ("upstream", upstream),
    ("replication", replication),
    ("keyspace", keyspace),
];

/// Those that are long, and shown only if they are asked for.
const LONG: &[&str] = &["commandstats"];

/// The lines of a text.
struct Lines(String);

impl Lines {
    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        // Writing to a string can't fail.
        let _ = write!(self.0, "# {title}\r\n");
    }

    fn line(&mut self, name: impl Display, value: impl Display) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }
}

impl Status<'_> {
    /// The text for these sections, or for the usual ones if none is named. As in Redis, `all` and `everything`
    /// name them all, `default` the usual ones, and a name that is none is passed over.
    #[must_use]
    pub fn info(&self, sections: &[&[u8]]) -> String {
        let wanted = |known: &str| {
            let usual = !LONG.contains(&known);
            sections.is_empty() && usual
                || sections.iter().any(|name| {
                    let is = |word: &str| name.eq_ignore_ascii_case(word.as_bytes());
                    is(known) || is("all") || is("everything") || is("default") && usual
                })
        };
        let mut lines = Lines(String::new());
        for (name, section) in SECTIONS {
            if wanted(name) {
                section(self, &mut lines);
            }
        }
        lines.0
    }
}

fn server(status: &Status<'_>, lines: &mut Lines) {
    let uptime = status.uptime().as_secs();
    lines.title("Server");
    // That of the Redis behind: clients decide by it what they may ask for.
    let known = |name| status.hello_field(name).unwrap_or_default();
    lines.line("redis_version", known("version"));
    lines.line("redis_mode", known("mode"));
    lines.line("redis_proxy_version", env!("CARGO_PKG_VERSION"));
    lines.line("arch_bits", usize::BITS);
    lines.line("multiplexing_api", "epoll");
    lines.line("process_id", std::process::id());
    lines.line("tcp_port", status.facts.port);
    lines.line("server_time_usec", (status.facts.wall_clock)().as_micros());
    lines.line("uptime_in_seconds", uptime);
    lines.line("uptime_in_days", uptime / (24 * 60 * 60));
}

fn clients(status: &Status<'_>, lines: &mut Lines) {
    let clients = &status.metrics.clients;
    lines.title("Clients");
    lines.line("connected_clients", clients.connected);
    lines.line("maxclients", status.facts.max_clients);
    lines.line("blocked_clients", clients.blocked);
    lines.line("clients_on_dedicated_connection", clients.dedicated);
}

fn memory(status: &Status<'_>, lines: &mut Lines) {
    lines.title("Memory");
    lines.line("used_memory", status.cache.bytes());
    lines.line("used_memory_human", human(status.cache.bytes()));
    lines.line("used_memory_rss", (status.facts.resident_memory)());
    lines.line("maxmemory", status.cache.limits().memory);
    lines.line("maxmemory_human", human(status.cache.limits().memory));
    lines.line("maxmemory_policy", "allkeys-lru");
    let (held, limit) = status.buffers;
    lines.line("mem_clients_normal", held);
    lines.line("max_buffers", limit);
}

fn stats(status: &Status<'_>, lines: &mut Lines) {
    let metrics = status.metrics;
    let evictions = status.cache.evictions();
    lines.title("Stats");
    lines.line("total_connections_received", metrics.clients.total);
    lines.line("total_commands_processed", metrics.commands.calls());
    lines.line("instantaneous_ops_per_sec", metrics.per_second(status.now));
    lines.line("total_net_input_bytes", metrics.clients.received);
    lines.line("total_net_output_bytes", metrics.clients.sent);
    lines.line("rejected_connections", metrics.clients.refused);
    lines.line(
        "protocol_error_connections",
        metrics.clients.protocol_errors,
    );
    lines.line("slowed_clients", metrics.clients.slowed);
    lines.line("expired_keys", evictions.expired);
    lines.line("evicted_clients", metrics.clients.evicted);
    lines.line("evicted_keys", evictions.capacity + evictions.memory);
    lines.line("keyspace_hits", metrics.keys.hits);
    lines.line(
        "keyspace_misses",
        metrics.keys.misses + metrics.keys.coalesced,
    );
    lines.line("total_error_replies", metrics.errors.iter().sum::<u64>());
    for kind in ErrorKind::ALL {
        let name = format!("{}_error_replies", kind.name());
        lines.line(name, metrics.errors(kind));
    }
    lines.line("loop_turn_usec", percentiles(&metrics.turn));
}

fn command_stats(status: &Status<'_>, lines: &mut Lines) {
    lines.title("Commandstats");
    for counts in status.metrics.commands.iter() {
        let calls = counts.calls();
        let micros = counts.time.as_micros();
        let each = micros as f64 / calls.max(1) as f64;
        let refused = counts.of(Outcome::Refused);
        let failed = counts.failed;
        lines.line(
            format_args!("cmdstat_{}", status.command_name(counts)),
            format_args!(
                "calls={calls},usec={micros},usec_per_call={each:.2},rejected_calls={refused},\
                 failed_calls={failed}"
            ),
        );
    }
}

fn cache(status: &Status<'_>, lines: &mut Lines) {
    let (metrics, cache) = (status.metrics, status.cache);
    let limits = cache.limits();
    lines.title("Cache");
    lines.line("cache_entries", cache.len());
    lines.line("cache_capacity", limits.entries);
    lines.line("cache_bytes", cache.bytes());
    lines.line("cache_max_memory", limits.memory);
    lines.line("cache_ttl_ms", limits.ttl.as_millis());
    lines.line("cache_stale_ttl_ms", limits.stale_ttl.as_millis());
    lines.line("cache_hits", metrics.keys.hits);
    lines.line("cache_misses", metrics.keys.misses);
    lines.line("cache_coalesced", metrics.keys.coalesced);
    let ratio = metrics.keys.hit_ratio().unwrap_or_default();
    lines.line("cache_hit_ratio", format_args!("{ratio:.4}"));
    lines.line("cache_advice", status.advice());
    for reason in Reason::ALL {
        let name = format!("cache_misses_{}", reason.name());
        lines.line(name, metrics.misses.of(reason));
    }
    lines.line("cache_inserted", metrics.cached);
    for (reason, count) in status.removed() {
        lines.line(format_args!("cache_removed_{reason}"), count);
    }
    lines.line("cache_removed_unread", cache.unread());
    for counts in metrics.commands.iter() {
        let ways = Outcome::ALL.map(|outcome| format!("{}={}", outcome.name(), counts.of(outcome)));
        let name = status.command_name(counts);
        lines.line(format_args!("requests_{name}"), ways.join(","));
    }
    lines.line("hit_time_usec", percentiles(&metrics.hit_time));
    lines.line("miss_time_usec", percentiles(&metrics.miss_time));
    lines.line("forward_time_usec", percentiles(&metrics.forward_time));
}

fn upstream(status: &Status<'_>, lines: &mut Lines) {
    let metrics = status.metrics;
    lines.title("Upstream");
    lines.line("upstream_address", &status.facts.redis);
    lines.line("upstream_status", status.redis.name());
    lines.line("upstream_error", status.redis.reason());
    lines.line("upstream_outages", metrics.redis.outages);
    let away = metrics.redis.away(status.now);
    lines.line(
        "upstream_away_seconds",
        format_args!("{:.3}", away.as_secs_f64()),
    );
    lines.line("upstream_reconnects", metrics.redis.reconnects());
    lines.line("tracking", status.tracking.name());
    lines.line("tracking_refused", status.tracking.refusal());
    lines.line("invalidations_received", metrics.invalidations);
    lines.line("flushes_received", metrics.flushes);
    lines.line("round_trip_usec", percentiles(&metrics.round_trip));
    let batch = |share| metrics.batch.quantile(share).unwrap_or_default().ceil();
    let (half, most) = (batch(0.5), batch(0.99));
    lines.line(
        "requests_per_batch",
        format_args!("p50={half:.0},p99={most:.0}"),
    );
}

/// What clients look for to know a server that takes writes.
fn replication(status: &Status<'_>, lines: &mut Lines) {
    lines.title("Replication");
    lines.line("role", status.hello_field("role").unwrap_or_default());
    lines.line("connected_slaves", 0);
}

fn keyspace(status: &Status<'_>, lines: &mut Lines) {
    lines.title("Keyspace");
    let entries = status.cache.len();
    if entries > 0 {
        lines.line(
            format_args!("db{}", status.database),
            format_args!("keys={entries},expires={entries},avg_ttl=0"),
        );
    }
}

/// Half, 99 and 99.9 of a hundred requests took no longer, in microseconds.
fn percentiles(times: &Histogram) -> String {
    let at = |share| times.microseconds(share).unwrap_or_default();
    format!(
        "p50={:.3},p99={:.3},p99.9={:.3}",
        at(0.5),
        at(0.99),
        at(0.999)
    )
}

/// Bytes as Redis shows them to people.
fn human(bytes: usize) -> String {
    const UNITS: [&str; 5] = ["B", "K", "M", "G", "T"];
    let mut value = bytes as f64;
    let mut unit = 0;
    while value >= 1024.0 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    match unit {
        0 => format!("{bytes}B"),
        _ => format!("{value:.2}{}", UNITS[unit]),
    }
}
