//! What becomes of a hit as there are more entries and more clients.

use std::io;

use super::{compare, expect_hits, pipeline};
use crate::dataset::Dataset;
use crate::figures::{count, figure, ratio};
use crate::load::Shape;
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::Fleet;

const PIPELINE: usize = 16;

const HEAD: [&str; 5] = [
    "redis-server µs",
    "redis-proxy µs",
    "floor µs",
    "proxy to redis",
    "proxy to floor",
];

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut head = vec!["entries"];
    head.extend(HEAD);
    let mut table = Table::new(&head);
    for keys in steps(1000, plan.many_keys) {
        let dataset = Dataset::of(keys);
        let fleet = Fleet::start_warm(plan, dataset)?;
        let row = row(plan, &fleet, pipeline(PIPELINE))?;
        table.row([count(keys)].into_iter().chain(row));
    }
    report.table(table);

    let mut head = vec!["clients"];
    head.extend(HEAD);
    let mut table = Table::new(&head);
    let fleet = Fleet::start_warm(plan, Dataset::of(1000))?;
    for clients in steps(1, plan.many_clients as u32) {
        let shape = Shape::gets(clients as usize, 1);
        let row = row(plan, &fleet, shape)?;
        table.row([count(clients)].into_iter().chain(row));
    }
    report.table(table);
    Ok(())
}

fn row(plan: &Plan, fleet: &Fleet, shape: Shape) -> io::Result<[String; 5]> {
    let servers = [&fleet.redis, &fleet.proxy, &fleet.floor];
    let [redis, proxy, floor] = compare(plan, servers, &fleet.redis, fleet.dataset, shape)?;
    expect_hits(&proxy)?;
    let cpu = [&redis, &proxy, &floor].map(|series| figure(series.median(|sample| sample.cpu)));
    let [redis_cpu, proxy_cpu, floor_cpu] = cpu;
    Ok([
        redis_cpu,
        proxy_cpu,
        floor_cpu,
        ratio(proxy.ratio(&redis, |sample| sample.cpu)),
        ratio(proxy.ratio(&floor, |sample| sample.cpu)),
    ])
}

/// From the first by factors of ten to the last.
fn steps(first: u32, last: u32) -> impl Iterator<Item = u32> {
    let steps = std::iter::successors(Some(first), |step| step.checked_mul(10));
    steps.take_while(move |&step| step < last).chain([last])
}
