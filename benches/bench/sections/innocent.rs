//! What innocent clients get while others attack their server: how long they wait, which errors they see, and how far
//! the server grows.

mod attack;
mod client;

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use crate::figures::{count, figure, grouped};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::servers::Server;

use attack::Attack;
use client::{Found, Innocent, Kind};

/// What is measured, and how.
pub(super) const ABOUT: &str = "\
    Three innocent clients each send one request at a time, and pause for a millisecond after its reply: one GETs a key \
    that the proxy has cached, one GETs keys that Redis doesn't have, each once, and one SETs a key. Meanwhile others \
    attack redis-server, or the proxy in front of it; a short attack is repeated for three seconds. A request \
    that waits for more than a millisecond also counts for those that would have been sent in each millisecond \
    meanwhile. Attackers and innocent clients share a core, and may wait for each other there. Growth is how far \
    a server's resident memory rose above its value before the attack; the proxy's cache has room for every key, \
    and all limits have their defaults. Where Redis allows 1 MB, it closes clients to which it would send more \
    (`client-output-buffer-limit`). A stopped Redis answers no one: only hits through the proxy are measured.";

/// The bound that the proxy has by default, in MB.
const MAX_BUFFERS: f64 = 256.0;

const MEGABYTE: f64 = 1024.0 * 1024.0;

/// What was found of one server during an attack.
struct Outcome {
    innocent: Vec<Found>,
    /// How many attackers got an error or were closed.
    refused: u32,
    /// By how many MB the server grew at its peak.
    growth: f64,
}

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut waits = Table::new(&[
        "p99, ms",
        "hit: redis-server",
        "redis-proxy",
        "miss: redis-server",
        "redis-proxy",
        "SET: redis-server",
        "redis-proxy",
    ]);
    let mut others = Table::new(&[
        "",
        "longest, ms: redis-server",
        "redis-proxy",
        "errors: redis-server",
        "redis-proxy",
        "growth, MB: redis-server",
        "redis-proxy",
        "attackers refused: redis-server",
        "redis-proxy",
    ]);
    let mut errors = 0;
    let mut growth: f64 = 0.0;
    for attack in Attack::ALL {
        let (direct, proxy) = measure_both(plan, attack)?;
        let both = [direct.as_ref(), Some(&proxy)];
        let cells = |show: &dyn Fn(&Outcome) -> Option<String>| {
            both.map(|outcome| outcome.and_then(show).unwrap_or("-".into()))
        };
        let name = attack.name(plan);
        let kinds = Kind::ALL.map(|kind| cells(&|outcome| outcome.p99(kind).map(figure)));
        waits.row([name.clone()].into_iter().chain(kinds.concat()));
        let figures = [
            cells(&|outcome| Some(figure(outcome.longest()))),
            cells(&|outcome| Some(count(outcome.errors()))),
            cells(&|outcome| Some(grouped(outcome.growth))),
            cells(&|outcome| Some(count(outcome.refused))),
        ];
        others.row([name].into_iter().chain(figures.concat()));
        errors += proxy.errors();
        growth = growth.max(proxy.growth);
    }
    report.table(waits);
    report.table(others);
    report.at_most(
        "attacks: errors of innocent clients".into(),
        0.0,
        f64::from(errors),
        "",
    );
    report.at_most(
        "attacks: growth beside the cache, at worst".into(),
        MAX_BUFFERS,
        growth,
        "MB",
    );
    Ok(())
}

/// Measures a Redis, if it is not stopped, and the proxy in front of it.
fn measure_both(plan: &Plan, attack: Attack) -> io::Result<(Option<Outcome>, Outcome)> {
    let redis = Server::redis_with(plan, attack.redis_options())?;
    attack.fill(plan, &redis)?;
    let direct = if attack == Attack::Stopped {
        None
    } else {
        Some(measure(plan, attack, &redis, None)?)
    };
    let proxy = Server::proxy(plan, &redis, &[])?;
    attack.warm(plan, &proxy)?;
    let stopped = (attack == Attack::Stopped).then_some(&redis);
    Ok((direct, measure(plan, attack, &proxy, stopped)?))
}

/// Measures a server that is attacked. Stops the Redis behind it before, if one is given.
fn measure(
    plan: &Plan,
    attack: Attack,
    server: &Server,
    stopped: Option<&Server>,
) -> io::Result<Outcome> {
    let kinds: &[Kind] = if stopped.is_some() {
        &[Kind::Hit]
    } else {
        &Kind::ALL
    };
    let clients = kinds.iter().map(|kind| Innocent::connect(server, *kind));
    let clients = clients.collect::<io::Result<Vec<Innocent>>>()?;
    if let Some(redis) = stopped {
        redis.stop()?;
    }
    server.reset_peak()?;
    let before = server.peak()?;
    let over = &AtomicBool::new(false);
    let (refused, innocent) = thread::scope(|scope| {
        let clients = clients.into_iter();
        let at_work: Vec<_> = clients
            .map(|client| scope.spawn(move || client.work(over)))
            .collect();
        let refused = attack.repeat(plan, server);
        over.store(true, Ordering::Relaxed);
        let found = at_work.into_iter().map(|client| client.join());
        (refused, found.collect::<thread::Result<Vec<Found>>>())
    });
    let innocent = innocent.map_err(|_| io::Error::other("an innocent client panicked"))?;
    for error in innocent.iter().filter_map(|found| found.error.as_ref()) {
        eprintln!("… {}, {}: {error}", attack.name(plan), server.name);
    }
    Ok(Outcome {
        innocent,
        refused: refused?,
        growth: server.peak()?.saturating_sub(before) as f64 / MEGABYTE,
    })
}

impl Outcome {
    /// The 99th percentile of what requests of that kind waited, in milliseconds, if it was measured.
    fn p99(&self, kind: Kind) -> Option<f64> {
        let found = self.innocent.iter().find(|found| found.kind == kind)?;
        Some(found.p99)
    }

    /// The longest that any request waited, in milliseconds.
    fn longest(&self) -> f64 {
        let longest = self.innocent.iter().map(|found| found.longest);
        longest.fold(0.0, f64::max)
    }

    /// The errors of all innocent clients.
    fn errors(&self) -> u32 {
        self.innocent.iter().map(|found| found.errors).sum()
    }
}
