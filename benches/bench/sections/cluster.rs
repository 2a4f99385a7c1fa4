//! In front of three servers: the proxy before a cluster, twemproxy before three that know nothing of each other.

mod nodes;

use std::io;
use std::time::Instant;

use super::{CLIENTS, pipeline_name, pipeline_words};
use crate::dataset::Dataset;
use crate::figures::{figure, grouped, ratio};
use crate::packages::python_path;
use crate::plan::Plan;
use crate::process;
use crate::report::{Report, Table};
use crate::servers::Server;
use crate::stats;
use nodes::Cluster;

pub(super) const ABOUT: &str = "\
    Three masters of a Redis Cluster behind the proxy, three plain redis-servers behind twemproxy, and 50 clients of \
    redis-benchmark with 10,000 keys. For hits the proxy has cached all keys, for misses only one. An MGET has \
    10 keys, spread over all three servers. CPU is that of the front process alone. Below, one Python process \
    with redis-py requests one key after another: as a cluster client without a proxy, and through the proxy, \
    where all keys are cached.";

/// The most CPU that a request may take, as a share of twemproxy's.
const MOST: f64 = 1.0;

const KEYS: u32 = 10_000;
const KEY: &str = "key:__rand_int__";
const PIPELINES: [usize; 2] = [1, 16];

/// What is asked, and whether the proxy has it cached.
struct Asked {
    name: &'static str,
    words: &'static [&'static str],
    cached: bool,
}

const MGET: &[&str] = &["MGET", KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY, KEY];

const ASKED: [Asked; 5] = [
    Asked {
        name: "GET, hits",
        words: &["GET", KEY],
        cached: true,
    },
    Asked {
        name: "GET, misses",
        words: &["GET", KEY],
        cached: false,
    },
    Asked {
        name: "SET",
        // Keys of its own: what is cached of the others is checked.
        words: &[
            "SET",
            "set:__rand_int__",
            "a value of thirty-five bytes, no less",
        ],
        cached: false,
    },
    Asked {
        name: "MGET of 10, hits",
        words: MGET,
        cached: true,
    },
    Asked {
        name: "MGET of 10, misses",
        words: MGET,
        cached: false,
    },
];

/// What a turn gave.
#[derive(Clone, Copy)]
struct Turn {
    rate: f64,
    cpu: f64,
}

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset::of(KEYS);
    let cluster = Cluster::start(plan)?;
    let plain = (0..3)
        .map(|_| Server::redis(plan))
        .collect::<io::Result<Vec<_>>>()?;
    let twemproxy = Server::twemproxy_over(plan, &plain)?;
    let warm = Server::proxy_before_cluster(plan, &cluster.nodes, &[])?;
    let cold = Server::proxy_before_cluster(plan, &cluster.nodes, &["--capacity", "1"])?;
    for front in [&twemproxy, &warm] {
        front.client()?.fill(dataset, None)?;
    }
    let mut table = Table::new(&[
        "asked",
        "pipeline",
        "server",
        "requests/s",
        "CPU µs",
        "to twemproxy",
    ]);
    for asked in &ASKED {
        let proxy = if asked.cached { &warm } else { &cold };
        for pipeline in PIPELINES {
            if asked.cached {
                warm.client()?.check(dataset)?;
            }
            let [theirs, ours] = compare(plan, [&twemproxy, proxy], pipeline, asked.words)?;
            for (server, turns) in [(&twemproxy, &theirs), (proxy, &ours)] {
                table.row([
                    asked.name.into(),
                    pipeline_name(pipeline),
                    server.name.into(),
                    grouped(median(turns, |turn| turn.rate)),
                    figure(median(turns, |turn| turn.cpu)),
                    ratio(to(turns, &theirs)),
                ]);
            }
            report.at_most(
                format!(
                    "before a cluster, {}, {}: CPU to twemproxy's",
                    asked.name,
                    pipeline_words(pipeline)
                ),
                MOST,
                to(&ours, &theirs),
                "",
            );
        }
    }
    report.table(table);
    redis_py(plan, &cluster, &warm, report)
}

fn median(turns: &[Turn], of: impl Fn(&Turn) -> f64) -> f64 {
    stats::median(turns.iter().map(of))
}

/// The CPU time of these turns to that of others, round by round.
fn to(turns: &[Turn], others: &[Turn]) -> f64 {
    stats::median(
        turns
            .iter()
            .zip(others)
            .map(|(one, other)| one.cpu / other.cpu),
    )
}

/// Has two servers take turns.
fn compare(
    plan: &Plan,
    servers: [&Server; 2],
    pipeline: usize,
    words: &[&str],
) -> io::Result<[Vec<Turn>; 2]> {
    let mut all = [Vec::new(), Vec::new()];
    for _ in 0..plan.rounds.min(3) {
        for (server, turns) in servers.iter().zip(&mut all) {
            turns.push(turn(plan, server, pipeline, words)?);
        }
    }
    Ok(all)
}

fn turn(plan: &Plan, server: &Server, pipeline: usize, words: &[&str]) -> io::Result<Turn> {
    let requests = if plan.rounds > 2 { 200_000 } else { 20_000 };
    let mut load = process::pinned("redis-benchmark", plan.cores.map(|cores| cores.load));
    load.args(["-p", &server.address.port().to_string(), "-q"])
        .args(["-c", &CLIENTS.to_string(), "-n", &requests.to_string()])
        .args(["-P", &pipeline.to_string(), "-r", &KEYS.to_string()])
        .args(words);
    let before = server.cpu_time()?;
    let start = Instant::now();
    output(&mut load)?;
    let elapsed = start.elapsed();
    let cpu = server.cpu_time()?.saturating_sub(before);
    Ok(Turn {
        rate: f64::from(requests) / elapsed.as_secs_f64(),
        cpu: stats::microseconds(cpu) / f64::from(requests),
    })
}

/// What a program prints; an error unless it ends well.
fn output(command: &mut std::process::Command) -> io::Result<String> {
    let output = command.output()?;
    if !output.status.success() {
        let errors = String::from_utf8_lossy(&output.stderr);
        return Err(io::Error::other(format!("{}: {errors}", output.status)));
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// Asks for one key after another with the arguments PORT CLASS REQUESTS KEYS, and prints the time and the CPU time that
/// a request took, in microseconds.
const PYTHON: &str = include_str!("cluster/gets.py");

fn redis_py(plan: &Plan, cluster: &Cluster, proxy: &Server, report: &mut Report) -> io::Result<()> {
    let requests = if plan.rounds > 2 { 20_000 } else { 2_000 };
    let mut table = Table::new(&[
        "redis-py",
        "µs per GET",
        "CPU µs of the client",
        "to RedisCluster",
    ]);
    let ways = [
        ("RedisCluster, straight", &cluster.nodes[0], "RedisCluster"),
        ("Redis, through the proxy", proxy, "Redis"),
        ("RedisCluster, through the proxy", proxy, "RedisCluster"),
    ];
    let mut all: [Vec<(f64, f64)>; 3] = Default::default();
    for _ in 0..plan.rounds.min(3) {
        for ((_, server, class), times) in ways.iter().zip(&mut all) {
            let mut python = process::pinned("env", plan.cores.map(|cores| cores.load));
            python
                .args([python_path().as_str(), "python3", "-c", PYTHON])
                .args([server.address.port().to_string().as_str(), class])
                .args([requests.to_string(), KEYS.to_string()]);
            let printed = output(&mut python)?;
            let mut numbers = printed
                .split_whitespace()
                .filter_map(|number| number.parse().ok());
            let (Some(wall), Some(cpu)) = (numbers.next(), numbers.next()) else {
                return Err(io::Error::other(printed));
            };
            times.push((wall, cpu));
        }
    }
    let wall = |times: &[(f64, f64)]| stats::median(times.iter().map(|(wall, _)| *wall));
    for ((name, ..), times) in ways.iter().zip(&all) {
        table.row([
            (*name).into(),
            figure(wall(times)),
            figure(stats::median(times.iter().map(|(_, cpu)| *cpu))),
            ratio(wall(times) / wall(&all[0])),
        ]);
    }
    report.table(table);
    Ok(())
}
