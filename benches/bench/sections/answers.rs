//! Hits of other commands than GET.

use std::io;
use std::process::Stdio;

use super::{pipeline_name, pipeline_words};
use crate::client::encode;
use crate::figures::{figure, ratio};
use crate::plan::Plan;
use crate::process;
use crate::report::{Report, Table};
use crate::servers::Server;
use crate::stats;

pub(super) const ABOUT: &str = "CPU time of a request by 50 clients of redis-benchmark, all hits at the proxy, under \
    1,000 keys, with replies of about 40 bytes (EXISTS: 4).";

/// The most CPU that a hit may take, as a share of that of GET.
const MOST: f64 = 1.3;

const KEYS: u32 = 1000;

/// What redis-benchmark replaces by a number below [`KEYS`], of twelve digits.
const NUMBER: &str = "__rand_int__";

/// A command that reads a key, by what its name starts with, and its further arguments.
const READS: [(&str, &str, &[&str]); 4] = [
    ("GET", "string:", &[]),
    ("HGET", "hash:", &["field"]),
    ("HGETALL", "hash:", &[]),
    ("EXISTS", "string:", &[]),
];

const PIPELINES: [usize; 2] = [1, 16];

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let redis = Server::redis(plan)?;
    let proxy = Server::proxy(plan, &redis, &["--cache_ttl", "3600000"])?;
    let mut client = redis.client()?;
    let mut cached = proxy.client()?;
    for number in 0..KEYS {
        let number = format!("{number:012}");
        let [string, hash] = ["string:", "hash:"].map(|start| format!("{start}{number}"));
        client.ask(&[
            b"SET",
            string.as_bytes(),
            b"a value of thirty-five bytes, so so",
        ])?;
        client.ask(&[b"HSET", hash.as_bytes(), b"field", b"a value of twenty by"])?;
    }
    for number in 0..KEYS {
        for (name, start, rest) in READS {
            let key = format!("{start}{number:012}");
            let words = [&[name, &*key], rest].concat();
            let words: Vec<&[u8]> = words.iter().map(|word| word.as_bytes()).collect();
            cached.send(&encode(&words))?;
            cached.pass_over()?;
        }
    }
    let mut table = Table::new(&[
        "command",
        "pipeline",
        "redis-server µs",
        "redis-proxy µs",
        "to its GET",
    ]);
    for pipeline in PIPELINES {
        let mut get = None;
        for (name, start, rest) in READS {
            let key = format!("{start}{NUMBER}");
            let words = [&[name, &*key], rest].concat();
            let straight = cost(plan, &redis, pipeline, &words)?;
            let hit = cost(plan, &proxy, pipeline, &words)?;
            let to_get = hit / *get.get_or_insert(hit);
            table.row([
                name.into(),
                pipeline_name(pipeline),
                figure(straight),
                figure(hit),
                ratio(to_get),
            ]);
            if name != "GET" {
                let what = format!(
                    "hit of {name}, {}: CPU to that of GET",
                    pipeline_words(pipeline)
                );
                report.at_most(what, MOST, to_get, "");
            }
        }
    }
    report.table(table);
    Ok(())
}

/// The CPU time that such a request takes from a server, in microseconds.
fn cost(plan: &Plan, server: &Server, pipeline: usize, words: &[&str]) -> io::Result<f64> {
    let requests = if plan.rounds > 2 { 200_000 } else { 20_000 };
    let mut costs = Vec::new();
    for _ in 0..plan.rounds.min(3) {
        let before = server.cpu_time()?;
        let mut load = process::pinned("redis-benchmark", plan.cores.map(|cores| cores.load));
        load.args(["-p", &server.address.port().to_string(), "-q"])
            .args(["-n", &requests.to_string()])
            .args(["-P", &pipeline.to_string()])
            .args(["-r", &KEYS.to_string()])
            .args(words);
        let status = load.stdout(Stdio::null()).stderr(Stdio::null()).status()?;
        if !status.success() {
            return Err(io::Error::other(format!("redis-benchmark: {status}")));
        }
        let time = server.cpu_time()?.saturating_sub(before);
        costs.push(time.as_secs_f64() * 1e6 / f64::from(requests));
    }
    Ok(stats::median(costs.into_iter()))
}
