//! Explores orders in which things can happen in front of a cluster: two clients that read and write, other clients
//! that write directly at Redis, a slot that moves key by key, a map that the proxy learns early or late, a node that
//! fails and one that takes over, and connections that break.
//!
//! The promises are those of a single Redis, and
//!
//! - no client sees a redirect;
//! - a client's later requests do not overtake its earlier ones on the way to another node;
//! - a missing key may be believed missing for a second after its slot has moved, and nothing else.
//!
//! There are too many states to visit them all. Instead, a number of lives of the world are tried, each of which is
//! determined by its seed; at its end everything comes to rest.

#![allow(clippy::needless_range_loop)] // several arrays share an index

mod action;
mod nodes;
mod world;

use std::time::Instant;

use crate::command::Table;
use action::{Action, Bounds};
use world::World;

/// How many lives of each world are tried; `EXPLORE_LIVES=n` sets another number.
const LIVES: u64 = 100;

/// The most steps of a life.
const STEPS: usize = 60;

/// The worlds; `EXPLORE_ONLY=words` selects those whose name contains these words.
const WORLDS: &[(&str, Bounds)] = &[
    (
        "a cluster with a slot that moves",
        Bounds {
            moves: 2,
            fails: 0,
            switches: 0,
            breaks: 0,
            absences: 0,
            ..ALL
        },
    ),
    (
        "a cluster with connections that break",
        Bounds {
            fails: 0,
            switches: 0,
            ..ALL
        },
    ),
    (
        "a cluster with nodes that fail",
        Bounds {
            moves: 0,
            breaks: 1,
            ..ALL
        },
    ),
    (
        "a cluster with a slot that moves unreported",
        Bounds {
            gets: 3,
            writes_at_redis: 1,
            moves: 1,
            breaks: 1,
            maps: 1,
            ..NOTHING
        },
    ),
    (
        "a cluster with writers and a node that is succeeded",
        Bounds {
            gets: 2,
            writes: 2,
            fails: 1,
            switches: 1,
            maps: 1,
            ..NOTHING
        },
    ),
    ("a cluster with everything", ALL),
];

const NOTHING: Bounds = Bounds {
    gets: 0,
    asks: 0,
    gets_of_all: 0,
    writes: 0,
    writes_at_redis: 0,
    vanishings: 0,
    moves: 0,
    fails: 0,
    switches: 0,
    breaks: 0,
    absences: 0,
    maps: 0,
    waits: 0,
};

const ALL: Bounds = Bounds {
    gets: 6,
    asks: 2,
    gets_of_all: 1,
    writes: 2,
    writes_at_redis: 2,
    vanishings: 1,
    moves: 1,
    fails: 1,
    switches: 1,
    breaks: 2,
    absences: 1,
    maps: 3,
    waits: 1,
};

/// What happened in a life, and the violation that resulted.
struct Violation {
    path: Vec<Action>,
    what: String,
}

/// Lives a life of at most so many steps, which a seed determines.
fn live(bounds: Bounds, seed: u64, table: &mut Option<Table>) -> Result<usize, Violation> {
    let mut random = fastrand::Rng::with_seed(seed);
    let mut world = World::new(bounds, table.take());
    let mut path = Vec::new();
    for _ in 0..random.usize(10..STEPS) {
        let actions = world.actions();
        let Some(&action) = random.choice(&actions) else {
            break;
        };
        path.push(action);
        if let Err(what) = world.step(action) {
            return Err(Violation { path, what });
        }
    }
    if let Err(what) = world.come_to_rest() {
        return Err(Violation { path, what });
    }
    *table = Some(world.into_table());
    Ok(path.len())
}

impl Violation {
    /// One that needs fewer steps, if there is one.
    fn shorten(&self, bounds: Bounds) -> Option<Self> {
        (0..self.path.len()).find_map(|left_out| {
            let mut world = World::new(bounds, None);
            let mut path = Vec::new();
            for (at, &action) in self.path.iter().enumerate() {
                if at == left_out || !world.actions().contains(&action) {
                    continue;
                }
                path.push(action);
                if let Err(what) = world.step(action) {
                    return Some(Self { path, what });
                }
            }
            let what = world.come_to_rest().err()?;
            Some(Self { path, what })
        })
    }

    fn print(&self) {
        for action in &self.path {
            println!("    {action:?}");
        }
        println!("    => {}", self.what);
    }
}

#[test]
fn in_whatever_order_things_happen_to_a_cluster_the_promises_are_kept() {
    let only = std::env::var("EXPLORE_ONLY").unwrap_or_default();
    let lives = std::env::var("EXPLORE_LIVES").ok();
    let lives = lives.and_then(|lives| lives.parse().ok()).unwrap_or(LIVES);
    let mut table = None;
    for (name, bounds) in WORLDS.iter().filter(|(name, _)| name.contains(&only)) {
        let start = Instant::now();
        let mut steps = 0;
        for seed in 0..lives {
            match live(*bounds, seed, &mut table) {
                Ok(more) => steps += more,
                Err(mut violation) => {
                    while let Some(shorter) = violation.shorten(*bounds) {
                        violation = shorter;
                    }
                    println!("{name}, life {seed}:");
                    violation.print();
                    panic!("{}", violation.what);
                }
            }
        }
        println!(
            "{name}: {lives} lives, {steps} steps, {:.1?}",
            start.elapsed()
        );
    }
}
