//! Requests that are sent at once, and could share a round trip.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use super::route::Route;
use crate::client::Client;
use crate::dataset;
use crate::figures::figure;
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::stats;

/// The keys of the MGET.
const KEYS: u32 = 10_000;
const EACH_WAY: Duration = Duration::from_millis(10);

/// The misses that change protocol each time.
const CHANGES: u32 = 20;
const EACH_WAY_OF_CHANGES: Duration = Duration::from_millis(25);

/// From one of them to the next: enough for it to arrive alone.
const GAP: Duration = Duration::from_micros(200);

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut table = Table::new(&["in ms", "direct", "twemproxy", "redis-proxy"]);

    let direct = Route::direct(plan, EACH_WAY)?;
    let twemproxy = Route::through_twemproxy(plan, EACH_WAY)?;
    let proxy = Route::through_the_proxy(plan, EACH_WAY, 1)?;
    let mut row = vec!["MGET of 10,000 missing keys, 10 ms each way".into()];
    for route in [&direct, &twemproxy, &proxy] {
        let mut client = route.client()?;
        row.push(median(plan, |_| mget(&mut client))?);
    }
    table.row(row);

    let direct = Route::direct(plan, EACH_WAY_OF_CHANGES)?;
    let proxy = Route::through_the_proxy(plan, EACH_WAY_OF_CHANGES, 1)?;
    let mut times = Vec::new();
    for route in [&direct, &proxy] {
        let mut clients = [route.client()?, route.client()?];
        clients[1].ask_for_resp3()?;
        // The proxy may connect for the first of each.
        changes(&mut clients, 0)?;
        times.push(median(plan, |round| {
            changes(&mut clients, (round + 1) * CHANGES)
        })?);
    }
    let what = "20 misses, a RESP2 and a RESP3 client in turns, 25 ms each way";
    let [direct, proxy] = <[String; 2]>::try_from(times).expect("two routes");
    table.row([what.into(), direct, "-".into(), proxy]);
    report.table(table);
    Ok(())
}

/// The median of the times that so many rounds take.
fn median(plan: &Plan, mut round: impl FnMut(u32) -> io::Result<Duration>) -> io::Result<String> {
    let times = (0..plan.rounds as u32).map(&mut round);
    let times = times.collect::<io::Result<Vec<Duration>>>()?;
    let milliseconds = times.iter().map(|time| stats::microseconds(*time) / 1000.0);
    Ok(figure(stats::median(milliseconds)))
}

fn mget(client: &mut Client) -> io::Result<Duration> {
    let request = dataset::mget(KEYS);
    let start = Instant::now();
    client.send(request.as_bytes())?;
    client.pass_over()?;
    Ok(start.elapsed())
}

/// The clients take turns in sending a GET each, from the key of that number on, and wait for all replies.
fn changes(clients: &mut [Client; 2], first: u32) -> io::Result<Duration> {
    let start = Instant::now();
    for number in 0..CHANGES {
        let client = &mut clients[number as usize % 2];
        client.send(dataset::get(first + number).as_bytes())?;
        thread::sleep(GAP);
    }
    for number in 0..CHANGES {
        clients[number as usize % 2].pass_over()?;
    }
    Ok(start.elapsed())
}
