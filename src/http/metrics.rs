//! The metrics: the name, help text and source of each.

use std::borrow::Cow;
use std::time::Duration;

use crate::metrics::{Counts, ErrorKind, Histogram, Outcome, Reason};
use crate::status::{NodeStatus, RedisState, Status, Tracking};

/// A metric, with all its samples.
#[derive(Debug)]
pub struct Family {
    /// The name of the metric. That of a counter's samples ends in `_total`, and that of an info's in `_info`.
    pub name: &'static str,
    /// Its help text, without a full stop.
    pub help: &'static str,
    /// Its type.
    pub kind: Kind,
    read: Read,
}

type Read = fn(&Status<'_>) -> Values;

/// The type of a metric.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It only grows.
    Counter,
    /// It can go up and down.
    Gauge,
    /// A distribution of values.
    Histogram,
    /// Constant text.
    Info,
}

/// Labels with their values.
pub type Labels = Vec<(&'static str, Cow<'static, str>)>;

/// The samples of a metric.
#[derive(Debug)]
pub enum Values {
    /// One sample, without labels.
    One(Number),
    /// One sample for each set of labels.
    Labelled(Vec<(Labels, Number)>),
    /// The upper bound of each bucket, infinity last, and how many values are in it.
    Histogram {
        /// The sum of all values.
        sum: f64,
        /// The buckets.
        buckets: Vec<(f64, u64)>,
    },
}

/// The value of a sample.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Number {
    /// A count.
    Whole(u64),
    /// A measure, such as seconds.
    Real(f64),
}

impl Family {
    /// Whether the metric has a sample for each node of a cluster, and none without a cluster.
    pub fn is_of_nodes(&self) -> bool {
        self.name.starts_with("redis_proxy_node_")
    }

    /// Its current samples.
    #[must_use]
    pub fn read(&self, status: &Status<'_>) -> Values {
        (self.read)(status)
    }
}

const fn family(kind: Kind, name: &'static str, help: &'static str, read: Read) -> Family {
    Family {
        name,
        help,
        kind,
        read,
    }
}

const fn counter(name: &'static str, help: &'static str, read: Read) -> Family {
    family(Kind::Counter, name, help, read)
}

const fn gauge(name: &'static str, help: &'static str, read: Read) -> Family {
    family(Kind::Gauge, name, help, read)
}

const fn histogram(name: &'static str, help: &'static str, read: Read) -> Family {
    family(Kind::Histogram, name, help, read)
}

/// All metrics, in order.
pub static FAMILIES: &[Family] = &[
    counter(
        "redis_proxy_requests",
        "Requests by command and outcome: here (answered by the proxy), hit (answered from the cache), miss (fetched \
         from Redis), coalesced (shared another request's fetch), forwarded, dedicated (sent over the client's \
         dedicated connection), or refused with an error",
        requests,
    ),
    counter(
        "redis_proxy_request_duration_seconds",
        "Time from reading the last byte of a request until its reply is queued, by command; requests on dedicated \
         connections are not timed",
        |status| by_command(status, |counts| Number::Real(counts.time.as_secs_f64())),
    ),
    counter(
        "redis_proxy_request_failures",
        "Requests that Redis answered with an error, by command",
        |status| by_command(status, |counts| Number::Whole(counts.failed)),
    ),
    counter(
        "redis_proxy_errors",
        "Error replies sent to clients, by kind: protocol, denied (not authenticated, or not permitted), usage (wrong \
         arguments), unreachable (no connection to Redis), redis (Redis's own)",
        |status| {
            let errors = ErrorKind::ALL.map(|kind| (kind.name(), status.metrics.errors(kind)));
            labelled("kind", &errors)
        },
    ),
    counter(
        "redis_proxy_received_bytes",
        "Bytes read from clients",
        |status| whole(status.metrics.clients.received),
    ),
    counter(
        "redis_proxy_sent_bytes",
        "Bytes written to clients",
        |status| whole(status.metrics.clients.sent),
    ),
    gauge("redis_proxy_clients", "Connected clients", |status| {
        whole(status.metrics.clients.connected)
    }),
    gauge(
        "redis_proxy_max_clients",
        "Maximum number of connected clients",
        |status| whole(status.facts.max_clients as u64),
    ),
    gauge(
        "redis_proxy_clients_on_dedicated_connection",
        "Clients with a dedicated connection to Redis",
        |status| whole(status.metrics.clients.dedicated),
    ),
    gauge(
        "redis_proxy_clients_blocked",
        "Clients waiting in a blocking command such as BLPOP",
        |status| whole(status.metrics.clients.blocked),
    ),
    counter(
        "redis_proxy_connections",
        "Client connections accepted",
        |status| whole(status.metrics.clients.total),
    ),
    counter(
        "redis_proxy_connections_refused",
        "Client connections refused because of --max_clients, the limit of open files, or protected mode",
        |status| whole(status.metrics.clients.refused),
    ),
    counter(
        "redis_proxy_protocol_errors",
        "Clients closed because of malformed requests",
        |status| whole(status.metrics.clients.protocol_errors),
    ),
    counter(
        "redis_proxy_clients_slowed",
        "Number of times that a client's requests were delayed because it did not read its replies or requested too \
         much at once",
        |status| whole(status.metrics.clients.slowed),
    ),
    counter(
        "redis_proxy_clients_evicted",
        "Clients closed to keep the buffers of all clients within --max_buffers",
        |status| whole(status.metrics.clients.evicted),
    ),
    gauge(
        "redis_proxy_buffers_bytes",
        "Bytes of buffered requests and replies of all clients, not counting the cache",
        |status| whole(status.buffers.0 as u64),
    ),
    gauge(
        "redis_proxy_buffers_max_bytes",
        "Maximum bytes of buffered requests and replies (--max_buffers); 0 for no limit",
        |status| whole(status.buffers.1 as u64),
    ),
    gauge(
        "redis_proxy_cache_entries",
        "Entries in the cache, including expired ones that have not been removed yet",
        |status| whole(status.cache.len() as u64),
    ),
    gauge(
        "redis_proxy_cache_capacity_entries",
        "Maximum number of entries in the cache (--capacity)",
        |status| whole(status.cache.limits().entries as u64),
    ),
    gauge(
        "redis_proxy_cache_bytes",
        "Bytes in the cache: keys, values and the overhead of each entry",
        |status| whole(status.cache.bytes() as u64),
    ),
    gauge(
        "redis_proxy_cache_max_bytes",
        "Maximum bytes in the cache (--max_memory); 0 for no limit",
        |status| whole(status.cache.limits().memory as u64),
    ),
    counter(
        "redis_proxy_cache_keys",
        "Keys looked up in the cache: hit, miss (fetched from Redis), or coalesced (another request was already \
         fetching the key)",
        |status| {
            let keys = status.metrics.keys;
            let results = [
                ("hit", keys.hits),
                ("miss", keys.misses),
                ("coalesced", keys.coalesced),
            ];
            labelled("result", &results)
        },
    ),
    counter(
        "redis_proxy_cache_misses",
        "Cache misses by reason: new (first read, or first in a long while), evicted, expired, invalidated (Redis \
         reported a change), written (through the proxy), flushed, reconnected (the cache started empty), or unkept \
         (the previous reply could not be cached)",
        |status| {
            let misses = &status.metrics.misses;
            labelled(
                "reason",
                &Reason::ALL.map(|reason| (reason.name(), misses.of(reason))),
            )
        },
    ),
    counter(
        "redis_proxy_uncached_reads",
        "Reads by cacheable commands that were not hits, by command and reason: the reasons of cache_misses, or \
         coalesced, several_keys, transaction, large_reply, or dedicated (the client used a dedicated connection, \
         because of the command in `by`); for MGET, keys are counted",
        uncached_reads,
    ),
    counter(
        "redis_proxy_cache_inserted",
        "Values added to the cache",
        |status| whole(status.metrics.cached),
    ),
    counter(
        "redis_proxy_cache_removed",
        "Entries removed from the cache, by reason: capacity, memory, expired, invalidated, written, flushed, \
         reconnected",
        |status| labelled("reason", &status.removed()),
    ),
    counter(
        "redis_proxy_cache_removed_unread",
        "Entries removed one by one that had never been read",
        |status| whole(status.cache.unread()),
    ),
    counter(
        "redis_proxy_invalidations",
        "Keys that Redis reported as changed",
        |status| whole(status.metrics.invalidations),
    ),
    counter(
        "redis_proxy_refetches",
        "Values fetched again after a change, before any client requested them",
        |status| whole(status.metrics.refetches),
    ),
    counter(
        "redis_proxy_flushes",
        "Number of times that Redis reported all keys as changed",
        |status| whole(status.metrics.flushes),
    ),
    gauge(
        "redis_proxy_tracking",
        "Whether Redis reports changes; the current state is 1, all others are 0: on, off (by configuration), \
         refused (by Redis), lost (the connection broke), unknown (Redis not reached yet)",
        |status| {
            let now = status.tracking.name();
            labelled(
                "state",
                &Tracking::NAMES.map(|name| (name, u64::from(name == now))),
            )
        },
    ),
    gauge(
        "redis_proxy_redis_up",
        "1 while Redis is reachable, 0 otherwise",
        |status| whole(u64::from(status.redis == RedisState::Up)),
    ),
    counter(
        "redis_proxy_redis_outages",
        "Number of times that Redis became unreachable",
        |status| whole(status.metrics.redis.outages),
    ),
    counter(
        "redis_proxy_redis_away_seconds",
        "Time that Redis was unreachable, including the current outage",
        |status| real(status.metrics.redis.away(status.now).as_secs_f64()),
    ),
    counter(
        "redis_proxy_redis_reconnects",
        "Reconnections to Redis",
        |status| whole(status.metrics.redis.reconnects),
    ),
    histogram(
        "redis_proxy_hit_duration_seconds",
        "Latency of hits, from reading the last byte of the request until the reply is queued",
        |status| seconds(&status.metrics.hit_time),
    ),
    histogram(
        "redis_proxy_miss_duration_seconds",
        "Latency of misses, from reading the last byte of the request until the reply is queued",
        |status| seconds(&status.metrics.miss_time),
    ),
    histogram(
        "redis_proxy_forward_duration_seconds",
        "Latency of forwarded requests, from reading the last byte of the request until the reply is queued",
        |status| seconds(&status.metrics.forward_time),
    ),
    histogram(
        "redis_proxy_redis_round_trip_seconds",
        "Round-trip time of a batch of requests to Redis",
        |status| seconds(&status.metrics.round_trip),
    ),
    histogram(
        "redis_proxy_batch_requests",
        "Requests sent to Redis in one batch",
        |status| distribution(&status.metrics.batch, 1.0),
    ),
    histogram(
        "redis_proxy_loop_turn_seconds",
        "Duration of a turn of the event loop, excluding the wait before it",
        |status| seconds(&status.metrics.turn),
    ),
    family(
        Kind::Info,
        "redis_proxy_upstream",
        "The Redis upstream: the configured address, the address at which it was last reached, and the sentinel that \
         named it",
        |status| {
            let endpoint = status.endpoint.map(ToString::to_string);
            let labels: Labels = vec![
                ("address", status.facts.redis.clone().into()),
                ("endpoint", endpoint.unwrap_or_default().into()),
                ("sentinel", status.sentinel.to_owned().into()),
            ];
            Values::Labelled(vec![(labels, Number::Whole(1))])
        },
    ),
    gauge(
        "redis_proxy_node_up",
        "Whether a node of the cluster is reachable",
        |status| {
            by_node(status, |node| {
                Number::Whole(u64::from(node.redis == RedisState::Up))
            })
        },
    ),
    gauge(
        "redis_proxy_node_slots",
        "Slots that a node of the cluster serves",
        |status| by_node(status, |node| Number::Whole(node.slots as u64)),
    ),
    gauge(
        "redis_proxy_node_in_flight",
        "Requests in flight to a node of the cluster",
        |status| by_node(status, |node| Number::Whole(node.in_flight as u64)),
    ),
    gauge(
        "redis_proxy_node_cached_keys",
        "Cached keys in the slots of a node of the cluster; an estimate if the cache is large",
        |status| by_node(status, |node| Number::Whole(node.keys as u64)),
    ),
    gauge(
        "redis_proxy_node_round_trip_seconds",
        "Time that a node of the cluster took for its last batch of requests",
        |status| by_node(status, |node| Number::Real(node.round_trip.as_secs_f64())),
    ),
    family(
        Kind::Info,
        "redis_proxy_build",
        "The version of the proxy",
        |_| labelled("version", &[(env!("CARGO_PKG_VERSION"), 1)]),
    ),
    gauge(
        "process_start_time_seconds",
        "When the proxy was started, in seconds since 1970",
        |status| real(status.facts.started.as_secs_f64()),
    ),
    gauge(
        "process_resident_memory_bytes",
        "Resident memory of the process",
        |status| whole((status.facts.resident_memory)()),
    ),
];

fn whole(number: u64) -> Values {
    Values::One(Number::Whole(number))
}

fn real(number: f64) -> Values {
    Values::One(Number::Real(number))
}

/// A sample for each value of a label.
#[inline(never)]
fn labelled(label: &'static str, samples: &[(&'static str, u64)]) -> Values {
    let samples = samples.iter().map(|&(value, count)| {
        let labels = vec![(label, Cow::Borrowed(value))];
        (labels, Number::Whole(count))
    });
    Values::Labelled(samples.collect())
}

/// The outcomes that occurred at least once.
fn requests(status: &Status<'_>) -> Values {
    let mut samples = Vec::new();
    for counts in status.metrics.commands.iter() {
        for outcome in Outcome::ALL {
            let count = counts.of(outcome);
            if count > 0 {
                let mut labels = command(status, counts);
                labels.push(("outcome", outcome.name().into()));
                samples.push((labels, Number::Whole(count)));
            }
        }
    }
    Values::Labelled(samples)
}

/// The reasons that occurred at least once.
fn uncached_reads(status: &Status<'_>) -> Values {
    let mut samples = Vec::new();
    for counts in status.metrics.commands.iter() {
        for (why, count) in status.metrics.uncached.of(counts.command) {
            let (reason, by) = status.why_by(why);
            let mut labels = command(status, counts);
            labels.push(("reason", reason.into()));
            labels.push(("by", by.unwrap_or_default().into()));
            samples.push((labels, Number::Whole(count)));
        }
    }
    Values::Labelled(samples)
}

fn by_node(status: &Status<'_>, of: impl Fn(&NodeStatus<'_>) -> Number) -> Values {
    let nodes = status.nodes.iter();
    let samples = nodes.map(|node| (vec![("node", node.address.to_owned().into())], of(node)));
    Values::Labelled(samples.collect())
}

fn by_command(status: &Status<'_>, of: impl Fn(&Counts) -> Number) -> Values {
    let commands = status.metrics.commands.iter();
    let samples = commands.map(|counts| (command(status, counts), of(counts)));
    Values::Labelled(samples.collect())
}

fn command(status: &Status<'_>, counts: &Counts) -> Labels {
    let name = status.command_name(counts);
    vec![("command", name.into())]
}

fn seconds(times: &Histogram) -> Values {
    distribution(times, Duration::from_nanos(1).as_secs_f64())
}

/// A histogram whose values are given in this unit.
#[inline(never)]
fn distribution(histogram: &Histogram, unit: f64) -> Values {
    let per_unit = unit.recip();
    let buckets = histogram.buckets().map(|(bound, held)| {
        // Divided rather than multiplied, so that a bound has few digits.
        let bound = bound.map_or(f64::INFINITY, |bound| bound as f64 / per_unit);
        (bound, held)
    });
    Values::Histogram {
        sum: histogram.sum() as f64 / per_unit,
        buckets: buckets.collect(),
    }
}
