//! What is cached is what Redis has, against a real Redis: what is promised of a change made straight at
//! Redis, of lost connections, of Redis going away and coming back, and of a Redis that does not tell.
//!
//! `SOAK_SECONDS=600 cargo test --test coherence -- --nocapture` lets the random runs go on for ten minutes
//! with seeds that were not tried before; `SOAK_SEED=7` has them do that seed, and `SOAK_DELAY=100` the one far
//! from Redis with delays of at most 100 ms.

#[path = "../common/mod.rs"]
mod common;

mod chaos;
mod connections;
mod held;
mod hot;
mod ledger;
mod lost;
mod notified;
mod owner;
mod random;
mod told;
mod unseen;
mod untold;

use common::wire;
