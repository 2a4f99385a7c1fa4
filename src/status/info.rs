//! The text of `INFO`: Redis's, with the proxy's own fields added.
//!
//! Clients and tools act on what Redis reports about itself. So each field is Redis's current one, except those that
//! count what clients do at the proxy, which Redis does not see. These fields have Redis's names, where Redis has them.

use std::fmt::{Display, Write};

use super::Status;
use super::redis_info::{Section, Wanted, is_ours};
use super::statistics::Statistics;
use crate::metrics::{Counters, ErrorKind, Histogram, Outcome, Reason};
use crate::order::sort_by_number;

/// Writes the proxy's own fields of a section.
type WriteFields = fn(&Shown<'_>, &mut Fields);

/// The sections that have fields of the proxy's own, by their titles.
const SECTIONS: [(&str, WriteFields); 10] = [
    ("Server", server),
    ("Clients", clients),
    ("Persistence", persistence),
    ("Stats", stats),
    ("Replication", replication),
    ("Commandstats", command_stats),
    ("Commandcache", command_cache),
    ("Cache", cache),
    ("Upstream", upstream),
    ("Proxy", proxy),
];

/// What is shown, and the state that it is taken from.
struct Shown<'a> {
    status: &'a Status<'a>,
    counters: Counters,
    /// Redis's fields have just been read.
    is_fresh: bool,
}

/// The fields of a section, in order.
#[derive(Default)]
struct Fields(Vec<Field>);

struct Field {
    name: String,
    value: Value,
}

/// The proxy's part of a field.
enum Value {
    /// This value, whatever Redis reports.
    Own(String),
    /// This much more than Redis reports.
    More(u64),
    /// This much less than Redis reports. Omitted if Redis does not report the field.
    Less(u64),
    /// The proxy's statistics of a command, which are added to Redis's.
    Statistics(Statistics),
}

impl Value {
    /// The value, given the one that Redis reports.
    fn beside(&self, of_redis: &str) -> String {
        let number = of_redis.parse::<u64>();
        match (self, number) {
            (Self::More(more), Ok(number)) => number.saturating_add(*more).to_string(),
            (Self::Less(less), Ok(number)) => number.saturating_sub(*less).to_string(),
            (Self::Statistics(local), _) => local.beside(of_redis),
            (Self::Less(_), Err(_)) => of_redis.to_owned(),
            _ => self.alone().unwrap_or_default(),
        }
    }

    /// The value, if Redis does not report the field.
    fn alone(&self) -> Option<String> {
        match self {
            Self::Own(value) => Some(value.clone()),
            Self::More(more) => Some(more.to_string()),
            Self::Less(_) => None,
            Self::Statistics(local) => Some(local.to_string()),
        }
    }
}

impl Fields {
    fn line(&mut self, name: impl Display, value: impl Display) {
        self.add(name, Value::Own(value.to_string()));
    }

    fn add(&mut self, name: impl Display, value: Value) {
        let name = name.to_string();
        self.0.push(Field { name, value });
    }

    /// Removes a field.
    fn take(&mut self, name: &str) -> Option<Value> {
        let at = self.0.iter().position(|field| field.name == name)?;
        Some(self.0.remove(at).value)
    }
}

/// The lines of the text.
struct Lines(String);

impl Lines {
    fn title(&mut self, title: &str) {
        if !self.0.is_empty() {
            self.0.push_str("\r\n");
        }
        // Writing to a string can't fail.
        let _ = write!(self.0, "# {title}\r\n");
    }

    fn line(&mut self, name: &str, value: &str) {
        let _ = write!(self.0, "{name}:{value}\r\n");
    }

    fn fields(&mut self, fields: Fields) {
        for Field { name, value } in fields.0 {
            if let Some(value) = value.alone() {
                self.line(&name, &value);
            }
        }
    }
}

impl Status<'_> {
    /// The text of these sections. `fresh` is Redis's current reply. If Redis could not be asked, its latest reply is
    /// used.
    #[must_use]
    pub fn info(&self, wanted: &Wanted, fresh: Option<&str>) -> String {
        let shown = Shown {
            status: self,
            counters: self.counters(),
            is_fresh: fresh.is_some(),
        };
        let mut lines = Lines(String::new());
        let mut ours: Vec<(&str, WriteFields)> = SECTIONS.to_vec();
        ours.retain(|(title, _)| wanted.has(&title.to_ascii_lowercase()));
        let mut merge = |section: Section<'_>| {
            let at = ours.iter().position(|(title, _)| *title == section.title);
            let mut fields = Fields::default();
            if let Some(at) = at {
                ours.remove(at).1(&shown, &mut fields);
            }
            lines.title(section.title);
            if !is_ours(&section.title.to_ascii_lowercase()) {
                for (name, value) in section.fields() {
                    let shown = fields.take(name).map(|local| local.beside(value));
                    lines.line(name, shown.as_deref().unwrap_or(value));
                }
            }
            lines.fields(fields);
        };
        match fresh {
            Some(text) => Section::all_in(text).for_each(&mut merge),
            None => {
                let known = self.redis_info.sections();
                known
                    .filter(|section| wanted.has(&section.title.to_ascii_lowercase()))
                    .for_each(&mut merge);
            }
        }
        for (title, write) in ours {
            let mut fields = Fields::default();
            write(&shown, &mut fields);
            if !fields.0.is_empty() || is_ours(&title.to_ascii_lowercase()) {
                lines.title(title);
                lines.fields(fields);
            }
        }
        lines.0
    }

    /// Whether Redis has never reported this section.
    fn lacks(&self, title: &str) -> bool {
        !self.redis_info.sections().any(|known| known.title == title)
    }
}

fn server(shown: &Shown<'_>, fields: &mut Fields) {
    let status = shown.status;
    if status.lacks("Server") {
        // A user without permission for INFO gets only these of Redis's fields, which come from the greeting.
        for (name, field) in [("redis_version", "version"), ("redis_mode", "mode")] {
            fields.line(name, status.hello_field(field).unwrap_or_default());
        }
    }
    fields.line("tcp_port", status.facts.port);
    fields.line("redis_proxy_version", env!("CARGO_PKG_VERSION"));
}

fn clients(shown: &Shown<'_>, fields: &mut Fields) {
    let clients = &shown.status.metrics.clients;
    fields.line("connected_clients", clients.connected);
    fields.line("maxclients", shown.status.facts.max_clients);
    fields.line("blocked_clients", clients.blocked);
    fields.line("clients_on_dedicated_connection", clients.dedicated);
    fields.add(
        "tracking_clients",
        Value::Less(shown.status.tracked_links as u64),
    );
    let (held, limit) = shown.status.buffers;
    fields.line("client_buffers", held);
    fields.line("max_buffers", limit);
}

/// While Redis loads its data, it answers nothing but `INFO`, and clients wait for this field to become 0.
fn persistence(shown: &Shown<'_>, fields: &mut Fields) {
    if shown.status.redis.reason().starts_with("-LOADING ") {
        fields.line("loading", 1);
    }
}

fn stats(shown: &Shown<'_>, fields: &mut Fields) {
    let (status, counters) = (shown.status, &shown.counters);
    let clients = &counters.clients;
    fields.line("total_connections_received", clients.total);
    fields.line("total_commands_processed", counters.calls());
    fields.line(
        "instantaneous_ops_per_sec",
        status.metrics.per_second(status.now),
    );
    fields.line("total_net_input_bytes", clients.received);
    fields.line("total_net_output_bytes", clients.sent);
    fields.line("rejected_connections", clients.refused);
    fields.line("protocol_error_connections", clients.protocol_errors);
    fields.line("slowed_clients", clients.slowed);
    fields.line("evicted_clients", clients.evicted);
    fields.line("keyspace_hits", counters.keys.hits);
    fields.line(
        "keyspace_misses",
        counters.keys.misses + counters.keys.coalesced,
    );
    let total: u64 = counters.errors.iter().sum();
    let local = total - counters.errors[ErrorKind::Redis as usize];
    fields.add("total_error_replies", Value::More(local));
    for kind in ErrorKind::ALL {
        let name = format!("{}_error_replies", kind.name());
        fields.line(name, counters.errors[kind as usize]);
    }
    fields.line("loop_turn_usec", percentiles(&counters.turn));
}

/// The fields by which clients recognize a server that accepts writes, if Redis reports them only in its greeting.
fn replication(shown: &Shown<'_>, fields: &mut Fields) {
    if shown.status.lacks("Replication") {
        let role = shown.status.hello_field("role").unwrap_or_default();
        let role = if role == "replica" { "slave" } else { &role };
        fields.line("role", role);
    }
}

/// The commands that Redis did not see, because the proxy answered them.
fn command_stats(shown: &Shown<'_>, fields: &mut Fields) {
    for counts in &shown.counters.commands {
        let name = shown.status.command_name(counts);
        let local = Statistics::of(counts, &name);
        if local != Statistics::default() {
            fields.add(format_args!("cmdstat_{name}"), Value::Statistics(local));
        }
    }
}

/// The reads by each cacheable command, by outcome.
fn command_cache(shown: &Shown<'_>, fields: &mut Fields) {
    for reads in shown.status.reads(&shown.counters) {
        let mut line = format!(
            "reads={},hits={},hit_ratio={:.4}",
            reads.all,
            reads.hits,
            reads.hits as f64 / reads.all as f64
        );
        for (why, count) in &reads.others {
            // Writing to a string can't fail.
            let _ = write!(line, ",{why}={count}");
        }
        fields.line(format_args!("cmdcache_{}", reads.command), line);
    }
}

fn cache(shown: &Shown<'_>, fields: &mut Fields) {
    let (status, counters, cache) = (shown.status, &shown.counters, shown.status.cache);
    let limits = cache.limits();
    fields.line("cache_entries", cache.len());
    fields.line("cache_capacity", limits.entries);
    fields.line("cache_bytes", cache.bytes());
    fields.line("cache_max_memory", limits.memory);
    let mut databases = cache.databases().to_vec();
    databases.retain(|tally| tally.entries > 0);
    sort_by_number(&mut databases, |tally| tally.database.into());
    for tally in databases {
        let (entries, bytes) = (tally.entries, tally.bytes);
        fields.line(
            format_args!("cache_db{}", tally.database),
            format_args!("entries={entries},bytes={bytes}"),
        );
    }
    fields.line("cache_ttl_ms", limits.ttl.as_millis());
    fields.line("cache_stale_ttl_ms", limits.stale_ttl.as_millis());
    fields.line("cache_hits", counters.keys.hits);
    fields.line("cache_misses", counters.keys.misses);
    fields.line("cache_coalesced", counters.keys.coalesced);
    let ratio = counters.keys.hit_ratio().unwrap_or_default();
    fields.line("cache_hit_ratio", format_args!("{ratio:.4}"));
    fields.line("cache_advice", status.advice());
    for reason in Reason::ALL {
        let name = format!("cache_misses_{}", reason.name());
        fields.line(name, counters.misses(reason));
    }
    fields.line("cache_inserted", counters.cached);
    for (reason, count) in counters.removed() {
        fields.line(format_args!("cache_removed_{reason}"), count);
    }
    fields.line("cache_removed_unread", counters.unread);
    for counts in &counters.commands {
        let ways = Outcome::ALL.map(|outcome| format!("{}={}", outcome.name(), counts.of(outcome)));
        let name = status.command_name(counts);
        fields.line(format_args!("requests_{name}"), ways.join(","));
    }
    fields.line("hit_time_usec", percentiles(&counters.hit_time));
    fields.line("miss_time_usec", percentiles(&counters.miss_time));
    fields.line("forward_time_usec", percentiles(&counters.forward_time));
}

fn upstream(shown: &Shown<'_>, fields: &mut Fields) {
    let status = shown.status;
    let metrics = status.metrics;
    fields.line("upstream_address", &status.facts.redis);
    let endpoint = status.endpoint.map(ToString::to_string);
    fields.line("upstream_endpoint", endpoint.unwrap_or_default());
    fields.line("upstream_sentinel", status.sentinel);
    fields.line("upstream_status", status.redis.name());
    fields.line("upstream_error", status.redis.reason());
    fields.line("upstream_outages", metrics.redis.outages);
    let away = metrics.redis.away(status.now);
    fields.line(
        "upstream_away_seconds",
        format_args!("{:.3}", away.as_secs_f64()),
    );
    fields.line("upstream_reconnects", metrics.redis.reconnects);
    let age = status.redis_info.at().map(|at| at.until(status.now));
    let age = age.filter(|_| !shown.is_fresh).unwrap_or_default();
    fields.line("upstream_info_age_ms", age.as_millis());
    for (at, node) in status.nodes.iter().enumerate() {
        fields.line(
            format_args!("upstream_node_{at}"),
            format_args!(
                "address={},status={},tracking={},slots={},in_flight={},cached_keys={},round_trip_usec={}",
                node.address,
                node.redis.name(),
                node.tracking.name(),
                node.slots,
                node.in_flight,
                node.keys,
                node.round_trip.as_micros(),
            ),
        );
    }
    fields.line("tracking", status.tracking.name());
    fields.line("tracking_refused", status.tracking.refusal());
    fields.line("rights_missing", status.missing_rights.line());
    fields.line("invalidations_received", metrics.invalidations);
    fields.line("refetches", metrics.refetches);
    fields.line("flushes_received", metrics.flushes);
    fields.line("round_trip_usec", percentiles(&metrics.round_trip));
    let batch = |share| metrics.batch.quantile(share).unwrap_or_default().ceil();
    let (half, most) = (batch(0.5), batch(0.99));
    fields.line(
        "requests_per_batch",
        format_args!("p50={half:.0},p99={most:.0}"),
    );
}

/// The process of the proxy, under names that differ from those of Redis's own process.
fn proxy(shown: &Shown<'_>, fields: &mut Fields) {
    let status = shown.status;
    fields.line("proxy_process_id", std::process::id());
    fields.line("proxy_uptime_seconds", status.uptime().as_secs());
    fields.line("proxy_memory_rss", (status.facts.resident_memory)());
}

/// The p50, p99 and p99.9, in microseconds.
fn percentiles(times: &Histogram) -> String {
    let at = |share| times.microseconds(share).unwrap_or_default();
    format!(
        "p50={:.3},p99={:.3},p99.9={:.3}",
        at(0.5),
        at(0.99),
        at(0.999)
    )
}
