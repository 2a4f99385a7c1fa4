//! A Redis that answers in parts, slowly, out of the blue, wrongly or not at all: whatever it does, each client
//! gets its own replies or errors, in order, and nobody waits for ever.
//!
//! `SOAK_SECONDS=600 cargo test --test fake -- --nocapture` goes on for ten minutes with seeds that were not
//! tried before; `SOAK_SEED=7` has it do that seed.

#[path = "../common/mod.rs"]
mod common;

mod asker;
mod numbered;
mod trouble;
mod unruly;

use std::sync::atomic::AtomicU64;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use asker::Asker;
use common::wire::Protocol;
use common::{Proxy, RedisServer, eventually, soak, variable};
use trouble::Trouble;
use unruly::Unruly;

/// How long a short run goes on.
const SHORT: Duration = Duration::from_secs(4);

#[test]
fn no_reply_goes_to_another_request_whatever_redis_does() {
    let redis = RedisServer::start();
    if let Some(seed) = variable("SOAK_SEED") {
        return run(seed, &redis);
    }
    let end = Instant::now() + soak().unwrap_or(SHORT);
    let first = fastrand::u64(..1 << 48);
    let mut rounds = 0;
    for seed in first.. {
        run(seed, &redis);
        rounds += 1;
        if Instant::now() >= end {
            break;
        }
    }
    println!("{rounds} rounds");
}

/// How long Redis may keep silent.
const TIMEOUT: Duration = Duration::from_millis(300);

/// What each client speaks, and whether it has a dedicated connection.
const KINDS: [(Protocol, bool); 6] = [
    (Protocol::Resp2, false),
    (Protocol::Resp2, false),
    (Protocol::Resp2, true),
    (Protocol::Resp3, false),
    (Protocol::Resp3, false),
    (Protocol::Resp3, true),
];

/// Clients of all kinds ask while Redis causes trouble, and then until all is well again.
fn run(seed: u64, redis: &RedisServer) {
    println!("SOAK_SEED={seed}");
    let mut random = Rng::with_seed(seed);
    let unruly = &Unruly::start(redis.address(), random.fork());
    let timeout = TIMEOUT.as_millis().to_string();
    let mut flags = vec!["--redis_timeout", &timeout];
    if random.bool() {
        flags.extend(["--capacity", "4"]);
    }
    if random.u8(..4) == 0 {
        flags.extend(["--tracking", "off"]);
    }
    let proxy = Proxy::start_at(&unruly.address().to_string(), &flags);
    proxy.wait_for_redis();
    let troubles: Vec<Trouble> = (0..random.usize(1..4))
        .map(|_| Trouble::draw(&mut random))
        .collect();
    println!("SOAK_SEED={seed}: {troubles:?} {flags:?}");
    unruly.cause(troubles);
    let numbers = AtomicU64::new(0);
    let mut askers: Vec<Asker> = KINDS
        .into_iter()
        .map(|(protocol, dedicated)| {
            Asker::new(
                proxy.address(),
                protocol,
                dedicated,
                &numbers,
                random.fork(),
            )
        })
        .collect();
    ask(&mut askers, || unruly.is_calm());
    askers.retain(|asker| !asker.is_dedicated());
    say_more_than_asked(unruly);
    ask(&mut askers, || true);
    unruly.assert_asked_no_more_often_than_allowed();
}

/// Has all of them ask at once, until it is calm and each has had all of its replies without an error.
fn ask(askers: &mut [Asker], is_calm: impl Fn() -> bool + Sync) {
    let is_calm = &is_calm;
    thread::scope(|scope| {
        for asker in askers {
            scope.spawn(move || {
                eventually("all is well again", || {
                    let was_calm = is_calm();
                    asker.ask() && was_calm
                });
            });
        }
    });
}

/// Redis sends a reply while none is due: the proxy leaves those connections.
fn say_more_than_asked(unruly: &Unruly) {
    let connections = unruly.send_a_reply_too_many();
    eventually(
        "the proxy leaves connections that send more than was asked for",
        || connections.iter().all(|connection| connection.is_over()),
    );
}
