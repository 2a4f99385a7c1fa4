//! What the proxy costs that does nothing: its size, its memory, its wake-ups, its start.

use std::fs;
use std::io;
use std::thread;

use crate::dataset::Dataset;
use crate::figures::{count, figure, megabytes};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::{self, Server};
use crate::stats;

const MEGABYTE: f64 = 1024.0 * 1024.0;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let redis = Server::redis(plan)?;
    let dataset = Dataset::of(1000);
    redis.client()?.fill(dataset, None)?;

    let size = fs::metadata(&plan.proxy)?.len() as f64;
    // `make build-small` has put it there.
    let small = plan
        .proxy
        .ancestors()
        .nth(2)
        .map(|target| target.join("small/redis-proxy"));
    let small = small.filter(|path| path.is_file());
    let mut first_ping = Vec::new();
    let mut first_get = Vec::new();
    for _ in 0..plan.starts {
        first_ping.push(servers::time_to_first_reply(plan, &redis, |client| {
            client.ask(&[b"PING"])
        })?);
        first_get.push(servers::time_to_first_reply(plan, &redis, |client| {
            client.get(0)
        })?);
    }
    let [ping_ms, get_ms] =
        [&mut first_ping, &mut first_get].map(|times| stats::percentile(times, 0.5) / 1000.0);
    let resident = resident(plan, &redis)?;

    let empty = Server::proxy_as(plan, &redis, &[])?;
    empty.client()?.ask(&[b"PING"])?;
    let holding = Server::proxy_as(plan, &redis, &[])?;
    holding.client()?.check(dataset)?;
    let twemproxy = Server::twemproxy(plan, &redis)?;
    let idle = [&empty, &holding, &redis, &twemproxy];
    let wake_ups = wake_ups(plan, idle)?;

    let mut table = Table::new(&["", "redis-proxy"]);
    table.row(["size of the binary, MB".into(), megabytes(size)]);
    table.row(["resident after the start, MB".into(), megabytes(resident)]);
    if let Some(small) = small {
        let size = fs::metadata(&small)?.len() as f64;
        let plan = Plan {
            proxy: small,
            ..plan.clone()
        };
        let resident = self::resident(&plan, &redis)?;
        table.row(["size without TLS, MB".into(), megabytes(size)]);
        table.row(["resident without TLS, MB".into(), megabytes(resident)]);
        report.at_most("binary without TLS".into(), 1.0, size / MEGABYTE, "MB");
        let what = "resident after the start, without TLS";
        report.at_most(what.into(), 3.0, resident / MEGABYTE, "MB");
    }
    table.row(["start to the reply to PING, ms".into(), figure(ping_ms)]);
    table.row(["start to the reply to GET, ms".into(), figure(get_ms)]);
    report.table(table);

    let seconds = plan.idle.as_secs();
    let names = [
        "redis-proxy, nothing cached",
        "redis-proxy, 1,000 entries",
        "redis-server",
        "twemproxy",
    ];
    let mut table = Table::new(&["idle", &format!("wake-ups in {seconds} s")]);
    for (name, wake_ups) in names.iter().zip(wake_ups) {
        table.row([
            (*name).into(),
            count(u32::try_from(wake_ups).unwrap_or(u32::MAX)),
        ]);
    }
    report.table(table);

    report.at_most("binary".into(), 2.6, size / MEGABYTE, "MB");
    report.at_most(
        format!("wake-ups in {seconds} idle seconds, nothing cached"),
        0.0,
        wake_ups[0] as f64,
        "",
    );
    report.at_most("start to the first reply".into(), 10.0, ping_ms, "ms");
    Ok(())
}

/// The resident memory of the proxy after its start, in bytes. How much of the program's files is mapped at once depends
/// on where they come to lie.
fn resident(plan: &Plan, redis: &Server) -> io::Result<f64> {
    let mut resident = Vec::new();
    for _ in 0..plan.starts {
        let proxy = Server::proxy_as(plan, redis, &[])?;
        proxy.client()?.ask(&[b"PING"])?;
        resident.push(proxy.resident()? as f64);
    }
    Ok(stats::median(resident.into_iter()))
}

/// How often each of these servers wakes up while nothing happens.
fn wake_ups<const N: usize>(plan: &Plan, servers: [&Server; N]) -> io::Result<[u64; N]> {
    thread::sleep(plan.idle / 5);
    let mut counts = [0; N];
    for (server, count) in servers.iter().zip(&mut counts) {
        *count = server.sleeps()?;
    }
    thread::sleep(plan.idle);
    for (server, count) in servers.iter().zip(&mut counts) {
        *count = server.sleeps()? - *count;
    }
    Ok(counts)
}
