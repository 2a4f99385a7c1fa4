//! Explores every order in which things can happen in a small world around the core: two keys, a client that reads and
//! one that also writes, other clients that change keys directly at Redis, replies and invalidations in flight,
//! connections that break, and time.
//!
//! After each step it checks that
//!
//! - no client gets a value older than what the proxy had delivered to any client, or knew of, when the request
//!   arrived: a delivered value, the reply to a write, an invalidation, or a new session, which covers everything in
//!   Redis when it began. A client's own writes count from when it sent them;
//! - when everything in flight has arrived, the cache equals Redis or is empty, key by key;
//! - every client gets one reply to each request, in order, and waits forever for none;
//! - a client that reads after a message was passed on does not get a value from before that message;
//! - an entry past its time to live is not served, and nothing is cached while its changes would not be reported;
//! - at most one fetch of each key that later misses may join is in flight.
//!
//! This holds whether Redis is reachable or not: while it is not, an old entry may be served because the proxy has not
//! heard of anything newer.
//!
//! The core is not copied: to try another continuation, the steps that led to a state are repeated.

mod action;
mod cluster;
mod redis;
mod world;

use std::collections::HashSet;
use std::hash::BuildHasher;
use std::num::NonZero;
use std::sync::Mutex;
use std::thread;
use std::time::Instant;

use foldhash::fast::FixedState;

use crate::command::Table;
use action::{Action, Bounds};
use world::World;

/// How many keys there are.
const KEYS: usize = 2;

/// A search through all that can happen within bounds.
struct Explorer {
    bounds: Bounds,
    /// The fingerprints of the states that were visited.
    visited: HashSet<u64, FixedState>,
    steps: usize,
    /// The steps to the current state.
    path: Vec<Action>,
    table: Option<Table>,
}

/// A violation, and the steps to it.
struct Violation {
    path: Vec<Action>,
    what: String,
}

impl Explorer {
    fn new(bounds: Bounds) -> Self {
        Self {
            bounds,
            visited: HashSet::default(),
            steps: 0,
            path: Vec::new(),
            table: None,
        }
    }

    /// Visits every state, or those up to the first violation, which is returned in its shortest form.
    fn run(&mut self) -> Option<Violation> {
        let world = World::new(self.bounds, self.table.take());
        let what = self.visit(world).err()?;
        let mut violation = Violation {
            path: std::mem::take(&mut self.path),
            what,
        };
        while let Some(shorter) = self.shorten(&violation) {
            violation = shorter;
        }
        Some(violation)
    }

    /// Visits what can follow a state that was not visited before.
    fn visit(&mut self, world: World) -> Result<(), String> {
        if !self
            .visited
            .insert(world.fingerprint(FixedState::default().build_hasher()))
        {
            self.table = Some(world.into_table());
            return Ok(());
        }
        let actions = world.actions();
        let mut world = Some(world);
        for action in actions {
            let mut next = match world.take() {
                Some(world) => world,
                None => self.replay(&self.path.clone())?,
            };
            self.steps += 1;
            self.path.push(action);
            next.step(action)?;
            self.visit(next)?;
            self.path.pop();
        }
        if let Some(world) = world {
            self.table = Some(world.into_table());
        }
        Ok(())
    }

    /// Takes steps from the start.
    fn replay(&mut self, path: &[Action]) -> Result<World, String> {
        let mut world = World::new(self.bounds, self.table.take());
        world.repeat(path)?;
        Ok(world)
    }

    /// A way to a violation that needs fewer steps, if there is one: what can't happen without the omitted step is
    /// omitted too.
    fn shorten(&mut self, violation: &Violation) -> Option<Violation> {
        (0..violation.path.len()).find_map(|left_out| {
            let mut world = World::new(self.bounds, self.table.take());
            let mut path = Vec::new();
            for (at, &action) in violation.path.iter().enumerate() {
                if at == left_out || !world.actions().contains(&action) {
                    continue;
                }
                path.push(action);
                if let Err(what) = world.step(action) {
                    return Some(Violation { path, what });
                }
            }
            self.table = Some(world.into_table());
            None
        })
    }
}

impl Violation {
    fn print(&self) {
        for action in &self.path {
            println!("    {action:?}");
        }
        println!("    => {}", self.what);
    }
}

const READERS_AND_WRITERS: &str = "readers, and writers everywhere";
const ASKERS: &str = "those who ask about keys, and writers everywhere";
const OTHERS_WRITE: &str = "readers, and others who write";
const KEYS_THAT_GO: &str = "keys that go";
const SCRIPTS: &str = "scripts";
const DEDICATED_CONNECTION: &str = "a writer on a dedicated connection";
const WHOLE_TRANSACTIONS: &str = "transactions that come as a whole";
const BREAKS: &str = "connections that break";
const AWAY: &str = "a Redis that is away";
const UNTRACKED: &str = "the time to live alone";
const EXPIRY: &str = "keys that expire";
const DATABASES: &str = "two databases, and others who write";
const LATE: &str = "replies that are late";
const MESSAGES: &str = "a listener, and others who write and publish";
const SILENCE: &str = "a tracker that is silent";

/// The worlds. Each is as small as its purpose allows, so that all of them take seconds; `EXPLORE_DEEPER=n` allows n
/// more of each event, `EXPLORE_ONLY=words` selects those whose name contains these words.
fn worlds() -> Vec<(&'static str, Bounds)> {
    let deeper = std::env::var("EXPLORE_DEEPER");
    let deeper = deeper.ok().and_then(|more| more.parse().ok()).unwrap_or(0);
    let tracked = Bounds {
        tracking: true,
        ..Bounds::default()
    };
    let worlds = [
        (
            READERS_AND_WRITERS,
            Bounds {
                gets: 2,
                writes: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            OTHERS_WRITE,
            Bounds {
                gets: 3,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "readers, and values that are fetched anew",
            Bounds {
                refetch: true,
                gets: 2,
                writes: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "entries that are fetched anew ahead of their end",
            Bounds {
                refreshes: true,
                gets: 2,
                writes_at_redis: 1,
                waits: 2,
                ..tracked
            },
        ),
        (
            "entries that are fetched anew ahead of their end, of keys that expire",
            Bounds {
                refreshes: true,
                gets: 2,
                writes_for_a_while: 1,
                waits: 2,
                ..tracked
            },
        ),
        (
            "answers that are fetched anew ahead of their end",
            Bounds {
                refreshes: true,
                asks: 2,
                writes: 1,
                waits: 1,
                ..tracked
            },
        ),
        (
            "values that are fetched anew, and connections that break",
            Bounds {
                refetch: true,
                gets: 2,
                writes_at_redis: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            KEYS_THAT_GO,
            Bounds {
                gets: 2,
                vanishings: 1,
                flushes: 1,
                ..tracked
            },
        ),
        (
            ASKERS,
            Bounds {
                asks: 2,
                writes: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "askers and readers",
            Bounds {
                asks: 1,
                gets: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "askers, and connections that break",
            Bounds {
                asks: 2,
                writes_at_redis: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            "askers, and keys that expire",
            Bounds {
                asks: 2,
                writes_for_a_while: 1,
                waits: 1,
                ..tracked
            },
        ),
        (
            "askers, and replies that are late",
            Bounds {
                asks: 2,
                writes: 1,
                lates: 1,
                ..tracked
            },
        ),
        (
            "askers, and the time to live alone",
            Bounds {
                asks: 2,
                writes: 1,
                writes_at_redis: 1,
                ..Bounds::default()
            },
        ),
        (
            "readers of all, and flushes",
            Bounds {
                gets_of_all: 1,
                flushes: 1,
                ..tracked
            },
        ),
        (
            SCRIPTS,
            Bounds {
                gets: 2,
                scripts: 1,
                ..tracked
            },
        ),
        (
            "scripts, and connections that break",
            Bounds {
                gets: 2,
                scripts: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            DEDICATED_CONNECTION,
            Bounds {
                gets: 2,
                transactions: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            WHOLE_TRANSACTIONS,
            Bounds {
                gets: 2,
                whole_transactions: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "transactions that come as a whole, and connections that break",
            Bounds {
                gets: 1,
                whole_transactions: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            BREAKS,
            Bounds {
                gets: 2,
                writes_at_redis: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            "writes that may be lost",
            Bounds {
                gets: 2,
                writes: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            AWAY,
            Bounds {
                gets: 2,
                breaks: 1,
                absences: 1,
                ..tracked
            },
        ),
        (
            EXPIRY,
            Bounds {
                gets: 2,
                writes_for_a_while: 1,
                waits: 2,
                ..tracked
            },
        ),
        (
            LATE,
            Bounds {
                gets: 2,
                writes: 1,
                lates: 1,
                ..tracked
            },
        ),
        (
            DATABASES,
            Bounds {
                databases: true,
                gets: 2,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "two databases, and copies from one to the other",
            Bounds {
                databases: true,
                gets: 2,
                copies: 1,
                ..tracked
            },
        ),
        (
            "two databases, and values that are fetched anew",
            Bounds {
                databases: true,
                refetch: true,
                gets: 2,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "two databases, and connections that break",
            Bounds {
                databases: true,
                gets: 2,
                breaks: 1,
                ..tracked
            },
        ),
        (
            SILENCE,
            Bounds {
                gets: 2,
                writes_at_redis: 1,
                suspensions: 1,
                ..tracked
            },
        ),
        (
            MESSAGES,
            Bounds {
                gets: 2,
                notices: 1,
                writes_at_redis: 1,
                ..tracked
            },
        ),
        (
            "messages, and connections that break",
            Bounds {
                gets: 2,
                notices: 1,
                breaks: 1,
                ..tracked
            },
        ),
        (
            "messages, and a Redis that is away",
            Bounds {
                gets: 1,
                notices: 2,
                breaks: 1,
                absences: 1,
                ..tracked
            },
        ),
        (
            "messages, and a tracker that is silent",
            Bounds {
                gets: 2,
                notices: 1,
                suspensions: 1,
                ..tracked
            },
        ),
        (
            "a writer on a dedicated connection, and the time to live alone",
            Bounds {
                gets: 2,
                transactions: 1,
                ..Bounds::default()
            },
        ),
        (
            UNTRACKED,
            Bounds {
                gets: 2,
                writes: 1,
                writes_at_redis: 1,
                ..Bounds::default()
            },
        ),
    ];
    let more = |bound: u8| if bound > 0 { bound + deeper } else { 0 };
    let deepen = |bounds: Bounds| Bounds {
        tracking: bounds.tracking,
        databases: bounds.databases,
        refetch: bounds.refetch,
        refreshes: bounds.refreshes,
        gets: more(bounds.gets),
        asks: more(bounds.asks),
        gets_of_all: more(bounds.gets_of_all),
        writes: more(bounds.writes),
        copies: more(bounds.copies),
        scripts: more(bounds.scripts),
        transactions: more(bounds.transactions),
        whole_transactions: more(bounds.whole_transactions),
        writes_at_redis: more(bounds.writes_at_redis),
        writes_for_a_while: more(bounds.writes_for_a_while),
        lates: more(bounds.lates),
        suspensions: more(bounds.suspensions),
        notices: more(bounds.notices),
        vanishings: more(bounds.vanishings),
        flushes: more(bounds.flushes),
        breaks: more(bounds.breaks),
        absences: more(bounds.absences),
        waits: more(bounds.waits),
    };
    let worlds = worlds.into_iter();
    worlds
        .map(|(name, bounds)| (name, deepen(bounds)))
        .collect()
}

#[test]
#[ignore = "takes minutes as it is built here: tests/rules.rs runs it in a faster build"]
fn in_whatever_order_things_happen_the_promises_are_kept() {
    let only = std::env::var("EXPLORE_ONLY").unwrap_or_default();
    let worlds = worlds()
        .into_iter()
        .filter(|(name, _)| name.contains(&only));
    let worlds = Mutex::new(worlds);
    let next = || worlds.lock().expect("nobody panics with it").next();
    let explore_all = || {
        while let Some((name, bounds)) = next() {
            explore(name, bounds)
        }
    };
    let threads = thread::available_parallelism().map_or(1, NonZero::get);
    thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(explore_all);
        }
    });
}

fn explore(name: &str, bounds: Bounds) {
    let start = Instant::now();
    let mut explorer = Explorer::new(bounds);
    let violation = explorer.run();
    println!(
        "{name}: {} states, {} steps, {:.1?}",
        explorer.visited.len(),
        explorer.steps,
        start.elapsed()
    );
    if let Some(violation) = violation {
        violation.print();
        panic!("{}", violation.what);
    }
}
