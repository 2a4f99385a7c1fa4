//! Hits of short, long and very long values, and many clients that wait for a very long one.

use std::io;

use super::{compare, expect_hits, pipeline};
use crate::client::Client;
use crate::dataset::{self, Dataset};
use crate::options::Plan;
use crate::report::{Report, Table, count, figure, grouped, megabytes, ratio};
use crate::servers::{Fleet, Server};

const MEGABYTE: usize = 1024 * 1024;

/// The sizes, with how many keys have such values.
const SIZES: [(&str, usize, u32); 3] = [
    ("100 B", 100, 1000),
    ("10 KB", 10 * 1024, 1000),
    ("1 MB", MEGABYTE, 10),
];

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut table = Table::new(&[
        "value",
        "server",
        "requests/s",
        "CPU µs",
        "to redis",
        "to floor",
        "p50 µs",
        "p99 µs",
    ]);
    for (size, value, keys) in SIZES {
        let dataset = Dataset { count: keys, value };
        let fleet = Fleet::start_warm(plan, dataset)?;
        let servers = [&fleet.redis, &fleet.twemproxy, &fleet.proxy, &fleet.floor];
        let all = compare(plan, servers, &fleet.redis, dataset, pipeline(1))?;
        let [redis, _, proxy, floor] = &all;
        expect_hits(proxy)?;
        for (server, series) in servers.iter().zip(&all) {
            table.row([
                size.into(),
                server.name.into(),
                grouped(series.median(|sample| sample.rate)),
                figure(series.median(|sample| sample.cpu)),
                ratio(series.ratio(redis, |sample| sample.cpu)),
                ratio(series.ratio(floor, |sample| sample.cpu)),
                figure(series.median(|sample| sample.p50)),
                figure(series.median(|sample| sample.p99)),
            ]);
        }
    }
    report.table(table);
    crowd(plan, report)
}

/// Many clients ask for one value of a megabyte and read nothing.
fn crowd(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset {
        count: 1,
        value: MEGABYTE,
    };
    let redis = Server::redis(plan)?;
    redis.client()?.fill(dataset, None)?;
    let proxy = Server::proxy(plan, &redis, &[])?;
    proxy.client()?.check(dataset)?;
    let mut clients = (0..plan.crowd)
        .map(|_| proxy.client())
        .collect::<io::Result<Vec<Client>>>()?;
    for client in &mut clients {
        client.ask(&[b"PING"])?;
    }
    let before = proxy.resident()?;
    for client in &mut clients {
        client.send(dataset::get(0).as_bytes())?;
    }
    for client in &mut clients {
        client.wait_for_reply()?;
    }
    let growth = proxy.resident()?.saturating_sub(before) as f64;
    report.text(&format!(
        "{} clients that ask for one value of 1 MB at once, and have not read it yet, make the proxy grow by \
         {} MB.",
        count(plan.crowd as u32),
        megabytes(growth)
    ));
    report.at_most(
        format!(
            "{} clients wait for one value of 1 MB: growth",
            count(plan.crowd as u32)
        ),
        1.0,
        growth / MEGABYTE as f64,
        "MB",
    );
    Ok(())
}
