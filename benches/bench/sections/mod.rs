//! What is measured, a module for each part of the page.

mod answers;
mod application;
mod cluster;
mod coherence;
mod far;
mod growth;
mod hit;
mod innocent;
mod memory;
mod miss;
mod small_host;
mod value_size;
mod ways;

use std::io;
use std::ops::RangeInclusive;

use crate::dataset::Dataset;
use crate::figures::{figure, grouped, ratio};
use crate::load::{self, Shape};
use crate::plan::Plan;
use crate::report::Report;
use crate::servers::Server;
use crate::stats::{Sample, Series};

/// A part of the page.
pub struct Section {
    /// Its name on the command line.
    pub name: &'static str,
    /// Its heading.
    pub title: &'static str,
    /// What is measured, and how.
    pub about: &'static str,
    /// Measures it.
    pub run: fn(&Plan, &mut Report) -> io::Result<()>,
}

/// All parts, in the order of the page.
pub const ALL: &[Section] = &[
    Section {
        name: "hit",
        title: "Hits",
        about: "50 clients GET values of 35 bytes under keys drawn at random, all of which the proxy has \
                cached. Latency is the time from sending a pipeline to its last reply.",
        run: hit::run,
    },
    Section {
        name: "answers",
        title: "Hits of other commands",
        about: answers::ABOUT,
        run: answers::run,
    },
    Section {
        name: "miss",
        title: "Misses",
        about: "As for hits, but the proxy caches only one key, so that every request goes on to Redis. CPU is that \
                of the front process alone; redis-server is measured without anything in front. A single client \
                is measured in three times as many rounds.",
        run: miss::run,
    },
    Section {
        name: "set",
        title: "SETs",
        about: "As for hits, with SETs of 35 bytes. The proxy removes the key from its cache and forwards the \
        request.",
        run: miss::run_sets,
    },
    Section {
        name: "far",
        title: "A Redis far away",
        about: far::ABOUT,
        run: far::run,
    },
    Section {
        name: "application",
        title: "An application",
        about: application::ABOUT,
        run: application::run,
    },
    Section {
        name: "cluster",
        title: "In front of a cluster",
        about: cluster::ABOUT,
        run: cluster::run,
    },
    Section {
        name: "value-size",
        title: "Hits by the size of the value",
        about: "50 clients, no pipeline.",
        run: value_size::run,
    },
    Section {
        name: "ways",
        title: "By TCP, Unix socket and TLS",
        about: "CPU time of a request, by how clients connect to the proxy and how the proxy connects to Redis: \
                50 clients of redis-benchmark, no pipeline.",
        run: ways::run,
    },
    Section {
        name: "memory",
        title: "Memory",
        about: "Growth of the resident memory of the process.",
        run: memory::run,
    },
    Section {
        name: "small-host",
        title: "On a small host",
        about: "The stripped release binary with its default settings, in front of a local Redis.",
        run: small_host::run,
    },
    Section {
        name: "growth",
        title: "Growth",
        about: "CPU time of a hit as the number of entries grows (50 clients, pipeline of 16), and the number of \
                clients (1,000 keys, no pipeline).",
        run: growth::run,
    },
    Section {
        name: "coherence",
        title: "Coherence",
        about: "How soon a change made directly at Redis is visible through the proxy, and what Redis's change \
                reports cost.",
        run: coherence::run,
    },
    Section {
        name: "innocent",
        title: "Innocent clients during attacks",
        about: innocent::ABOUT,
        run: innocent::run,
    },
];

/// The number of clients, where nothing else is said.
const CLIENTS: usize = 50;

/// The pipelines that are compared.
const PIPELINES: [usize; 3] = [1, 16, 64];

/// So many requests at once from each of [`CLIENTS`].
fn pipeline(pipeline: usize) -> Shape {
    Shape::gets(CLIENTS, pipeline)
}

/// How a pipeline is called in a column of its own.
fn pipeline_name(pipeline: usize) -> String {
    match pipeline {
        1 => "none".into(),
        _ => pipeline.to_string(),
    }
}

/// How it is called in a sentence.
fn pipeline_words(pipeline: usize) -> String {
    match pipeline {
        1 => "no pipeline".into(),
        _ => format!("pipeline of {pipeline}"),
    }
}

/// Gives each of so many servers its turn, round after round.
fn take_turns<const N: usize>(
    plan: &Plan,
    mut turn: impl FnMut(usize) -> io::Result<Sample>,
) -> io::Result<[Series; N]> {
    let mut all = std::array::from_fn(|_| Series::default());
    for _ in 0..plan.rounds {
        for (server, series) in all.iter_mut().enumerate() {
            series.0.push(turn(server)?);
        }
    }
    Ok(all)
}

/// Has servers take turns under one load, all in front of one Redis.
fn compare<const N: usize>(
    plan: &Plan,
    servers: [&Server; N],
    redis: &Server,
    dataset: Dataset,
    shape: Shape,
) -> io::Result<[Series; N]> {
    take_turns(plan, |server| {
        load::measure(servers[server], redis, dataset, shape, plan.turn)
    })
}

/// What tables of hits say of a server, in columns.
const HIT_HEAD: [&str; 7] = [
    "server",
    "requests/s",
    "CPU µs",
    "to redis",
    "to floor",
    "p50 µs",
    "p99 µs",
];

/// A server's cells in these columns.
fn hit_row(server: &Server, series: &Series, redis: &Series, floor: &Series) -> [String; 7] {
    [
        server.name.into(),
        grouped(series.median(|sample| sample.rate)),
        figure(series.median(|sample| sample.cpu)),
        ratio(series.ratio(redis, |sample| sample.cpu)),
        ratio(series.ratio(floor, |sample| sample.cpu)),
        figure(series.median(|sample| sample.p50)),
        figure(series.median(|sample| sample.p99)),
    ]
}

/// Fails unless all requests were hits: a measure of hits that are none is worth nothing.
fn expect_hits(proxy: &Series) -> io::Result<()> {
    expect_reads(proxy, 0.0..=0.001)
}

/// Fails unless all requests were misses. Few are not: two clients may ask for one key at a time.
fn expect_misses(proxy: &Series) -> io::Result<()> {
    expect_reads(proxy, 0.9..=1.001)
}

fn expect_reads(proxy: &Series, expected: RangeInclusive<f64>) -> io::Result<()> {
    let reads = proxy.median(|sample| sample.reads);
    if expected.contains(&reads) {
        Ok(())
    } else {
        Err(io::Error::other(format!(
            "the proxy asked Redis {reads:.4} times per request"
        )))
    }
}
