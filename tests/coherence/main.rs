//! What is cached is what Redis has, against a real Redis: what is promised of a change made straight at
//! Redis, of lost connections, of Redis going away and coming back, and of a Redis that does not tell.
//!
//! `SOAK_SECONDS=600 cargo test --test coherence -- --nocapture` lets the random run go on for ten minutes
//! with seeds that were not tried before; `SOAK_SEED=7` has it do that seed.

#[path = "../common/mod.rs"]
mod common;

mod connections;
mod hot;
mod ledger;
mod lost;
mod owner;
mod random;
mod told;
mod untold;
mod wire;

use std::time::Duration;

/// The number in an environment variable, if that is set.
fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// How long a long run is to be; none for a short one.
fn soak() -> Option<Duration> {
    variable("SOAK_SECONDS").map(Duration::from_secs)
}
