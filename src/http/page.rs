//! The status page: its files, and the data that its script requests.

use super::Site;
use super::history::{PERIOD, Sample, microseconds};
use super::response::Response;
use crate::clock::Time;
use crate::json::Object;
use crate::metrics::{Counters, Histogram, Outcome, Reason};
use crate::order::sort_by_most;
use crate::status::Status;

/// The file at a path, if there is one.
#[must_use]
pub fn file(path: &str) -> Option<Response> {
    let (media_type, content) = match path {
        "/" => ("text/html; charset=utf-8", include_str!("page/index.html")),
        "/page.css" => ("text/css; charset=utf-8", include_str!("page/page.css")),
        "/page.js" => (
            "text/javascript; charset=utf-8",
            include_str!("page/page.js"),
        ),
        "/icon.svg" => ("image/svg+xml", include_str!("page/icon.svg")),
        _ => return None,
    };
    Some(Response::ok(media_type, content))
}

/// The status, with all samples after the first `after`.
#[must_use]
pub fn status(site: &Site<'_>, after: &str) -> Response {
    let status = &site.status;
    let mut all = Object::default();
    all.text("version", env!("CARGO_PKG_VERSION"))
        .float("started", status.facts.started.as_secs_f64())
        .float("uptime_seconds", status.uptime().as_secs_f64())
        .raw("redis", redis(status))
        .raw("nodes", nodes(status))
        .raw("clients", clients(status))
        .raw("requests", requests(status))
        .raw("cache", cache(status))
        .raw("misses", misses(status))
        .raw("reads", reads(status))
        .raw("removed", counts(&status.removed()))
        .raw("hit_time_us", percentiles(&status.metrics.hit_time))
        .raw("miss_time_us", percentiles(&status.metrics.miss_time))
        .text("advice", &*status.advice())
        .raw("history", history(site, after.parse().unwrap_or(0)));
    Response::ok("application/json", all.finish())
}

fn redis(status: &Status<'_>) -> String {
    let metrics = &status.metrics.redis;
    let mut redis = Object::default();
    redis
        .text("address", &*status.facts.redis)
        .text("state", status.redis.name())
        .text("error", &*status.redis.reason())
        .text("tracking", status.tracking.name())
        .text("refused", status.tracking.refusal())
        .float("away_seconds", metrics.away(status.now).as_secs_f64())
        .integer("outages", metrics.outages)
        .integer("reconnects", metrics.reconnects);
    redis.finish()
}

/// The nodes of the cluster, if there is one.
fn nodes(status: &Status<'_>) -> String {
    let nodes = status.nodes.iter().map(|node| {
        let mut object = Object::default();
        object
            .text("address", node.address)
            .text("state", node.redis.name())
            .text("tracking", node.tracking.name())
            .integer("slots", node.slots as u64)
            .integer("in_flight", node.in_flight as u64)
            .integer("keys", node.keys as u64)
            .float("round_trip_us", node.round_trip.as_secs_f64() * 1e6);
        object.finish()
    });
    array(&nodes.collect::<Vec<_>>())
}

fn clients(status: &Status<'_>) -> String {
    let clients = &status.metrics.clients;
    counts(&[
        ("connected", clients.connected),
        ("most", status.facts.max_clients as u64),
        ("total", clients.total),
        ("refused", clients.refused),
        ("protocol_errors", clients.protocol_errors),
        ("slowed", clients.slowed),
        ("dedicated", clients.dedicated),
    ])
}

/// All requests, by outcome.
fn requests(status: &Status<'_>) -> String {
    let commands = &status.metrics.commands;
    counts(&Outcome::ALL.map(|outcome| (outcome.name(), commands.with(outcome))))
}

fn cache(status: &Status<'_>) -> String {
    let (metrics, limits) = (status.metrics, status.cache.limits());
    counts(&[
        ("entries", status.cache.len() as u64),
        ("capacity", limits.entries as u64),
        ("bytes", status.cache.bytes() as u64),
        ("max_bytes", limits.memory as u64),
        ("resident_bytes", (status.facts.resident_memory)()),
        ("hits", metrics.keys.hits),
        ("misses", metrics.keys.misses),
        ("coalesced", metrics.keys.coalesced),
        ("inserted", metrics.cached),
        ("unread", status.cache.unread()),
    ])
}

fn misses(status: &Status<'_>) -> String {
    let misses = &status.metrics.misses;
    counts(&Reason::ALL.map(|reason| (reason.name(), misses.of(reason))))
}

/// The most commands whose reads are shown.
const READS_MAX: usize = 10;

/// The most frequent commands that read, and why the cache did not answer them.
fn reads(status: &Status<'_>) -> String {
    let mut reads = status.reads(&Counters::of(status.metrics, status.cache));
    sort_by_most(&mut reads, |reads| reads.all);
    let reads = reads.iter().take(READS_MAX).map(|reads| {
        let others = reads.others.iter().map(|(why, count)| {
            let mut other = Object::default();
            other.text("why", why).integer("count", *count);
            other.finish()
        });
        let mut object = Object::default();
        object
            .text("command", &reads.command)
            .integer("all", reads.all)
            .integer("hits", reads.hits)
            .raw("others", array(&others.collect::<Vec<_>>()));
        object.finish()
    });
    array(&reads.collect::<Vec<_>>())
}

/// An object of numbers.
fn counts(counts: &[(&str, u64)]) -> String {
    let mut object = Object::default();
    for &(name, count) in counts {
        object.integer(name, count);
    }
    object.finish()
}

fn percentiles(times: &Histogram) -> String {
    array(&microseconds(times).map(|time| number(time, 3)))
}

/// Rows of numbers, each in the order of its columns.
fn history(site: &Site<'_>, after: u64) -> String {
    const COLUMNS: [&str; 11] = [
        "seconds",
        "requests_per_second",
        "keys",
        "hit_ratio",
        "hit_p50_us",
        "hit_p99_us",
        "miss_p50_us",
        "miss_p99_us",
        "entries",
        "bytes",
        "clients",
    ];
    let rows: Vec<String> = site.history.after(after).map(row).collect();
    let mut history = Object::default();
    history
        .float("period_seconds", PERIOD.as_secs_f64())
        .integer("count", site.history.count())
        .raw("columns", array(&COLUMNS.map(|name| format!("\"{name}\""))))
        .raw("rows", array(&rows));
    history.finish()
}

fn row(sample: &Sample) -> String {
    let columns = [
        (Some(Time::default().until(sample.at).as_secs_f64()), 3),
        (Some(sample.per_second), 1),
        (Some(sample.keys as f64), 0),
        (sample.hit_ratio, 4),
        (sample.hit_time[0], 3),
        (sample.hit_time[1], 3),
        (sample.miss_time[0], 1),
        (sample.miss_time[1], 1),
        (Some(sample.entries as f64), 0),
        (Some(sample.bytes as f64), 0),
        (Some(sample.clients as f64), 0),
    ];
    array(&columns.map(|(value, decimals)| number(value, decimals)))
}

fn number(value: Option<f64>, decimals: usize) -> String {
    value.map_or_else(|| "null".into(), |value| format!("{value:.decimals$}"))
}

fn array(items: &[String]) -> String {
    format!("[{}]", items.join(","))
}
