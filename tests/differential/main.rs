//! The proxy beside a Redis of its own: the same commands are sent to both, and every reply has to be
//! the same, byte for byte.
//!
//! Commands are made up at random (`commands`, `words`), for several clients that have each their own
//! state (`session`), and sent to both worlds in the same order (`run`). What may differ is in `compare`.
//! A run is determined by its seed, but for the times at which bytes arrive.
//!
//! `FUZZ_SECONDS=600 cargo test --test differential -- --nocapture` goes on for ten minutes with seeds
//! that were not tried before; `FUZZ_SEED=7` tries one, and `FUZZ_COMMANDS=100000` makes it longer.

#[path = "../common/mod.rs"]
mod common;

mod cluster;
mod coherence;
mod commands;
mod compare;
mod order;
mod report;
mod run;
mod session;
mod stateful;
mod sweep;
mod types;
mod wire;
mod words;
mod worlds;

use std::thread;
use std::time::{Duration, Instant};

use common::variable;
use run::Count;
use worlds::Worlds;

/// The seeds of the normal run, in two halves at once, and the commands of each.
const SEEDS: u64 = 12;
const COMMANDS: usize = 1000;

/// Runs these seeds one after another.
fn run(seeds: impl Iterator<Item = u64>) -> Count {
    let commands = variable("FUZZ_COMMANDS").map_or(COMMANDS, |commands| commands as usize);
    let worlds = Worlds::start();
    let mut total = Count::default();
    for seed in seeds {
        println!("seed {seed}");
        let count = worlds.run(seed, commands);
        println!("seed {seed}: {count:?}");
        total.add(count);
    }
    total
}

#[test]
fn ten_thousand_random_commands_differ_in_no_byte() {
    if let Some(seed) = variable("FUZZ_SEED") {
        run([seed].into_iter());
        return;
    }
    if let Some(seconds) = variable("FUZZ_SECONDS") {
        let end = Instant::now() + Duration::from_secs(seconds);
        let first = fastrand::u64(..1 << 48);
        run((first..).take_while(|_| Instant::now() < end));
        return;
    }
    let total = thread::scope(|scope| {
        let half = scope.spawn(|| run(0..SEEDS / 2));
        let mut total = run(SEEDS / 2..SEEDS);
        total.add(half.join().expect("no difference in the other half"));
        total
    });
    assert!(total.commands >= 10_000, "{total:?}");
    // Else this says little of the cache, and of anything but errors.
    assert!(total.misses < total.values * 3 / 4, "{total:?}");
    assert!(total.errors < total.replies / 2, "{total:?}");
}

#[test]
fn what_a_command_writes_is_read_afterwards() {
    let worlds = Worlds::start();
    for version in ["2", "3"] {
        let count = worlds.with_empty(0, &["--tracking", "off"], |run| run.sweep(1, version));
        println!("RESP{version}: {count:?}");
    }
}
