//! Hits of short, long and very long values, and many clients that wait for a very long one.

use std::io;

use super::{HIT_HEAD, compare, expect_hits, hit_row, pipeline};
use crate::client::Client;
use crate::dataset::{self, Dataset};
use crate::figures::{count, megabytes};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::{Fleet, Server};

const MEGABYTE: usize = 1024 * 1024;

/// The sizes, with how many keys have such values.
const SIZES: [(&str, usize, u32); 3] = [
    ("100 B", 100, 1000),
    ("10 KB", 10 * 1024, 1000),
    ("1 MB", MEGABYTE, 10),
];

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut table = Table::new(&[&["value"], &HIT_HEAD[..]].concat());
    for (size, value, keys) in SIZES {
        let dataset = Dataset { count: keys, value };
        let fleet = Fleet::start_warm(plan, dataset)?;
        let servers = [&fleet.redis, &fleet.twemproxy, &fleet.proxy, &fleet.floor];
        let all = compare(plan, servers, &fleet.redis, dataset, pipeline(1))?;
        let [redis, _, proxy, floor] = &all;
        expect_hits(proxy)?;
        for (server, series) in servers.iter().zip(&all) {
            let row = hit_row(server, series, redis, floor);
            table.row([size.into()].into_iter().chain(row));
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
        "While {} clients that requested one value of 1 MB at once have not read it yet, the proxy grows by \
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
