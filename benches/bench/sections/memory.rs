//! What an entry and an idle client take.

use std::io;
use std::time::Duration;

use crate::client::Client;
use crate::dataset::{Dataset, KEY};
use crate::figures::{count, grouped, megabytes};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::Server;

const VALUE: usize = 100;

/// Long enough to outlive the benchmark.
const TTL: Duration = Duration::from_secs(24 * 60 * 60);

/// The most bytes that an entry may take beyond its key and value.
const TARGET_ENTRY: f64 = 92.0;
/// The most bytes that an idle client may take.
const TARGET_CLIENT: f64 = 1024.0;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let dataset = Dataset {
        count: plan.many_keys,
        value: VALUE,
    };
    let redis = Server::redis(plan)?;
    let redis_growth = growth(&redis, || redis.client()?.fill(dataset, Some(TTL)))?;
    let proxy = Server::proxy(plan, &redis, &[])?;
    proxy.client()?.ask(&[b"PING"])?;
    let proxy_growth = growth(&proxy, || proxy.client()?.check(dataset))?;

    let entries = format!("{} entries of {KEY} + {VALUE} bytes", count(dataset.count));
    let mut table = Table::new(&[
        &entries,
        "growth, MB",
        "bytes an entry",
        "beyond key and value",
    ]);
    let mut beyond = 0.0;
    for (server, growth) in [(&redis, redis_growth), (&proxy, proxy_growth)] {
        let entry = growth / f64::from(dataset.count);
        beyond = entry - (KEY + VALUE) as f64;
        table.row([
            server.name.into(),
            megabytes(growth),
            grouped(entry),
            grouped(beyond),
        ]);
    }
    report.table(table);
    report.at_most(
        "entry beyond its key and value".into(),
        TARGET_ENTRY,
        beyond,
        "bytes",
    );

    let clients = format!("{} idle clients", count(plan.many_clients as u32));
    let mut table = Table::new(&[&clients, "growth, MB", "bytes a client"]);
    let mut each = 0.0;
    let redis = Server::redis(plan)?;
    redis.client()?.fill(Dataset::of(1), None)?;
    let proxy = Server::proxy(plan, &redis, &[])?;
    for server in [&redis, &proxy] {
        // The first client's buffers serve the others too.
        server.client()?.get(0)?;
        let mut clients: Vec<Client> = Vec::new();
        let growth = growth(server, || {
            for _ in 0..plan.many_clients {
                let mut client = server.client()?;
                client.get(0)?;
                clients.push(client);
            }
            Ok(())
        })?;
        each = growth / plan.many_clients as f64;
        table.row([server.name.into(), megabytes(growth), grouped(each)]);
    }
    report.table(table);
    report.at_most("idle client".into(), TARGET_CLIENT, each, "bytes");
    Ok(())
}

/// By how many bytes a server grows while `fill` runs.
fn growth(server: &Server, fill: impl FnOnce() -> io::Result<()>) -> io::Result<f64> {
    let before = server.resident()?;
    fill()?;
    Ok(server.resident()?.saturating_sub(before) as f64)
}
