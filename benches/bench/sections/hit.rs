//! GET of what is cached.

use std::io;

use super::{HIT_HEAD, compare, expect_hits, hit_row, pipeline, pipeline_name, pipeline_words};
use crate::dataset::Dataset;
use crate::figures::count;
use crate::plan::Plan;
use crate::plot::Bars;
use crate::report::{Report, Table};
use crate::servers::{Fleet, Server};
use crate::stats::Series;

/// The most CPU that a hit may take, as a share of another server's.
struct Target {
    pipeline: usize,
    to_redis: f64,
    to_floor: f64,
    /// As a share of redis-server's, with the larger number of keys.
    many_keys: Option<f64>,
}

const TARGETS: [Target; 3] = [
    Target {
        pipeline: 1,
        to_redis: 0.90,
        to_floor: 1.10,
        many_keys: None,
    },
    Target {
        pipeline: 16,
        to_redis: 0.60,
        to_floor: 1.30,
        many_keys: None,
    },
    Target {
        pipeline: 64,
        to_redis: 0.45,
        to_floor: 1.60,
        many_keys: Some(0.50),
    },
];

const FEW_KEYS: u32 = 1000;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    for keys in [FEW_KEYS, plan.many_keys] {
        let fleet = Fleet::start_warm(plan, Dataset::of(keys))?;
        let mut table = Table::new(&[&["keys", "pipeline"], &HIT_HEAD[..]].concat());
        for target in &TARGETS {
            let shape = pipeline(target.pipeline);
            let servers = [&fleet.redis, &fleet.twemproxy, &fleet.proxy, &fleet.floor];
            let all = compare(plan, servers, &fleet.redis, fleet.dataset, shape)?;
            let [redis, _, proxy, floor] = &all;
            expect_hits(proxy)?;
            for (server, series) in servers.iter().zip(&all) {
                let asked = [count(keys), pipeline_name(target.pipeline)];
                let row = hit_row(server, series, redis, floor);
                table.row(asked.into_iter().chain(row));
            }
            judge(report, target, keys, [redis, proxy, floor]);
            if keys == FEW_KEYS {
                report.bars(bars(target.pipeline, &servers, &all));
            }
        }
        report.table(table);
    }
    Ok(())
}

fn judge(report: &mut Report, target: &Target, keys: u32, all: [&Series; 3]) {
    let [redis, proxy, floor] = all;
    let what = format!(
        "hit, {} keys, {}",
        count(keys),
        pipeline_words(target.pipeline)
    );
    let few = keys == FEW_KEYS;
    let to_redis = if few {
        Some(target.to_redis)
    } else {
        target.many_keys
    };
    if let Some(most) = to_redis {
        let cpu = proxy.ratio(redis, |sample| sample.cpu);
        report.at_most(format!("{what}: CPU to redis-server's"), most, cpu, "");
    }
    if few {
        let cpu = proxy.ratio(floor, |sample| sample.cpu);
        report.at_most(
            format!("{what}: CPU to the floor's"),
            target.to_floor,
            cpu,
            "",
        );
    }
    let rate = proxy.ratio(redis, |sample| sample.rate);
    report.at_least(
        format!("{what}: requests/s to redis-server's"),
        1.0,
        rate,
        "",
    );
}

fn bars(pipeline: usize, servers: &[&Server], all: &[Series]) -> Bars {
    Bars {
        title: pipeline_words(pipeline),
        bars: servers
            .iter()
            .zip(all)
            .map(|(server, series)| (server.name, series.median(|sample| sample.cpu)))
            .collect(),
    }
}
