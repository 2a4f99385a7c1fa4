//! GET of what is not cached, SET, and what the way through the proxy adds to them.

use std::io;

use super::{PIPELINES, compare, expect_misses, pipeline, pipeline_name, pipeline_words};
use crate::dataset::Dataset;
use crate::figures::{figure, grouped, ratio};
use crate::load::Shape;
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::requests::Commands;
use crate::servers::Fleet;

/// The most CPU that the proxy's share of a miss may take, as a share of twemproxy's, by the length of the pipeline.
const TARGETS: [(usize, f64); 2] = [(1, 1.0), (16, 0.5)];

/// The same of a SET.
const TARGETS_OF_SETS: [(usize, f64); 2] = [(1, 0.65), (16, 0.38)];

/// How much more than twemproxy the proxy may add to the time of a lone miss, in microseconds: a thread more.
const MOST_MORE: f64 = 10.0;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset::of(plan.many_keys);
    let fleet = Fleet::start(plan, dataset, &["--capacity", "1"])?;
    let servers = [&fleet.redis, &fleet.twemproxy, &fleet.proxy];

    against_twemproxy(plan, &fleet, dataset, Commands::Gets, &TARGETS, report)?;

    let alone = Shape::gets(1, 1);
    // What is compared is a tenth of what is measured.
    let plan = Plan {
        rounds: 3 * plan.rounds,
        ..plan.clone()
    };
    let all = compare(&plan, servers, &fleet.redis, dataset, alone)?;
    let [redis, twemproxy, proxy] = &all;
    expect_misses(proxy)?;
    let mut table = Table::new(&[
        "one client, one request at a time",
        "p50 µs",
        "p99 µs",
        "added to p50, µs",
    ]);
    for (server, series) in servers.iter().zip(&all) {
        table.row([
            server.name.into(),
            figure(series.median(|sample| sample.p50)),
            figure(series.median(|sample| sample.p99)),
            figure(series.difference(redis, |sample| sample.p50)),
        ]);
    }
    report.table(table);
    report.at_most(
        format!(
            "one miss at a time: added latency, against what twemproxy adds and {MOST_MORE} µs"
        ),
        twemproxy.difference(redis, |sample| sample.p50) + MOST_MORE,
        proxy.difference(redis, |sample| sample.p50),
        "µs",
    );
    Ok(())
}

/// SETs, which are forwarded.
pub(super) fn run_sets(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset::of(plan.many_keys);
    let fleet = Fleet::start(plan, dataset, &["--capacity", "1"])?;
    against_twemproxy(
        plan,
        &fleet,
        dataset,
        Commands::Sets,
        &TARGETS_OF_SETS,
        report,
    )
}

/// Measures commands that all go on to Redis, straight, through twemproxy and through the proxy.
fn against_twemproxy(
    plan: &Plan,
    fleet: &Fleet,
    dataset: Dataset,
    commands: Commands,
    targets: &[(usize, f64)],
    report: &mut Report,
) -> io::Result<()> {
    let servers = [&fleet.redis, &fleet.twemproxy, &fleet.proxy];
    let mut table = Table::new(&[
        "pipeline",
        "server",
        "requests/s",
        "CPU µs",
        "to twemproxy",
        "CPU µs of Redis",
        "p50 µs",
        "p99 µs",
    ]);
    for length in PIPELINES {
        let shape = Shape {
            commands,
            ..pipeline(length)
        };
        let all = compare(plan, servers, &fleet.redis, dataset, shape)?;
        let [_, twemproxy, proxy] = &all;
        if commands == Commands::Gets {
            expect_misses(proxy)?;
        }
        for (server, series) in servers.iter().zip(&all) {
            table.row([
                pipeline_name(length),
                server.name.into(),
                grouped(series.median(|sample| sample.rate)),
                figure(series.median(|sample| sample.cpu)),
                ratio(series.ratio(twemproxy, |sample| sample.cpu)),
                figure(series.median(|sample| sample.cpu_redis)),
                figure(series.median(|sample| sample.p50)),
                figure(series.median(|sample| sample.p99)),
            ]);
        }
        if let Some((_, most)) = targets.iter().find(|(target, _)| *target == length) {
            let name = match commands {
                Commands::Sets => "SET",
                Commands::Gets | Commands::Mix => "miss",
            };
            report.at_most(
                format!("{name}, {}: CPU to twemproxy's", pipeline_words(length)),
                *most,
                proxy.ratio(twemproxy, |sample| sample.cpu),
                "",
            );
        }
    }
    report.table(table);
    Ok(())
}
