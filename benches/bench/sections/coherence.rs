//! How soon a change is seen, and what that costs.

use std::io;
use std::time::Instant;

use super::{expect_misses, pipeline, pipeline_name, take_turns};
use crate::client::PATIENCE;
use crate::dataset::Dataset;
use crate::figures::{count, figure, percent, ratio};
use crate::load;
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::Server;
use crate::stats;

/// The most that the 99th percentile of staleness may be, in microseconds.
const TARGET_STALENESS: f64 = 1000.0;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    staleness(plan, report)?;
    cost(plan, report)
}

/// A key is in the cache; it is set at Redis; then it is read through the proxy until it is new.
fn staleness(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let redis = Server::redis(plan)?;
    let proxy = Server::proxy(plan, &redis, &[])?;
    let mut writer = redis.client()?;
    let mut reader = proxy.client()?;
    let mut times = Vec::with_capacity(plan.changes);
    let mut at_once = 0;
    writer.set(0, b"first")?;
    reader.get(0)?;
    for change in 0..plan.changes {
        let value = format!("{change:035}").into_bytes();
        writer.set(0, &value)?;
        let changed_at = Instant::now();
        let mut reads = 1;
        while reader.get(0)? != value {
            reads += 1;
            if changed_at.elapsed() > PATIENCE {
                return Err(io::Error::other("a change is not seen through the proxy"));
            }
        }
        times.push(changed_at.elapsed());
        at_once += usize::from(reads == 1);
    }
    let [p50, p99, max] = [0.5, 0.99, 1.0].map(|share| stats::percentile(&mut times, share));
    let mut table = Table::new(&["a change made straight at Redis", "µs"]);
    table.row(["p50 until a reader has it".into(), figure(p50)]);
    table.row(["p99".into(), figure(p99)]);
    table.row(["longest".into(), figure(max)]);
    report.table(table);
    report.text(&format!(
        "Counted from Redis's reply to the writer until a reader that polls the proxy has the new value, including \
         the fetch of it, over {} changes. In {} of the cases, the first read returned it.",
        count(plan.changes as u32),
        percent(at_once as f64 / plan.changes as f64)
    ));
    report.at_most("staleness, p99".into(), TARGET_STALENESS, p99, "µs");
    Ok(())
}

/// Misses with tracking and without.
fn cost(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset::of(plan.many_keys);
    let redis = Server::redis(plan)?;
    redis.client()?.fill(dataset, None)?;
    let without = ["--capacity", "1", "--tracking", "off"];
    let with = ["--capacity", "1", "--tracking", "on"];
    let proxies = [
        Server::proxy(plan, &redis, &without)?,
        Server::proxy(plan, &redis, &with)?,
    ];
    let mut table = Table::new(&[
        "CPU µs of a miss",
        "pipeline",
        "tracking off",
        "on",
        "on to off",
    ]);
    for length in [1, 16] {
        let all = take_turns(plan, |proxy| {
            load::measure(
                &proxies[proxy],
                &redis,
                dataset,
                pipeline(length),
                plan.turn,
            )
        })?;
        let [off, on] = &all;
        expect_misses(off)?;
        expect_misses(on)?;
        let mut row = |name: &str, of: fn(&stats::Sample) -> f64| {
            table.row([
                name.into(),
                pipeline_name(length),
                figure(off.median(of)),
                figure(on.median(of)),
                ratio(on.ratio(off, of)),
            ]);
        };
        row("redis-server", |sample| sample.cpu_redis);
        row("redis-proxy", |sample| sample.cpu);
    }
    report.table(table);
    report.text(
        "Without tracking, the proxy sends Redis two requests per miss: for the value and for the key's time to \
        live.",
    );
    Ok(())
}
