//! A Redis behind a link with a delay: what a miss, a SET and a mix of both take there, and requests that
//! might wait for one another.

mod at_once;
mod load;
mod route;

use std::io;
use std::time::Duration;

use crate::plan::Plan;
use crate::report::Report;
use crate::requests::Commands;

use load::Load;
use route::{CAPACITY, Routes};

/// What is measured, and how.
pub(super) const ABOUT: &str = "\
    Redis is behind a relay that delays each direction. Clients send one request at a time, in RESP2, in RESP3, \
    or half of them in each. Misses and SETs use any of 100,000 keys, of which the proxy caches one. The mix is \
    nine GETs to one SET, and the proxy caches a tenth of the keys; a GET picks the key of rank n with a weight \
    of 1 / n^1.1, and a SET any key. Turns are half as long as elsewhere with 10 ms each way, and there are half \
    as many rounds.";

/// The delays, with how many turns there are in the time of a usual one. With 1 ms, whole turns: a quarter of one has 80
/// round trips, and a percentile of so few is their slowest.
const DISTANCES: [(Duration, u32); 2] = [
    (Duration::from_millis(1), 1),
    (Duration::from_millis(10), 2),
];

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let [mut misses, mut sets, mut mix] =
        [Commands::Gets, Commands::Sets, Commands::Mix].map(Load::new);
    for (each_way, turns) in DISTANCES {
        let plan = Plan {
            rounds: (plan.rounds / 2).max(1),
            turn: plan.turn / turns,
            ..plan.clone()
        };
        let routes = Routes::start(&plan, each_way, 1)?;
        misses.measure(&plan, &routes)?;
        sets.measure(&plan, &routes)?;
        let routes = Routes::start(&plan, each_way, CAPACITY)?;
        routes.proxy.warm()?;
        mix.measure(&plan, &routes)?;
    }
    for load in [misses, sets, mix] {
        load.report(report);
    }
    at_once::run(plan, report)
}
