//! The random runs: owners change keys straight at Redis and through the proxy, readers read them all
//! through the proxy, and meanwhile connections are killed, held and cut, and Redis is paused, flushed, and
//! killed and started again empty, beside the proxy or far away. Every read is judged by the ledger, and at
//! rest the proxy serves what Redis has.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::chaos::{Chaos, Times};
use crate::common::{Direction, Proxy, RedisServer, Relay, eventually, soak, variable};
use crate::connections::address;
use crate::held::noticed_within;
use crate::ledger::{DATABASES, Ledger, Question};
use crate::owner::Owner;
use crate::unseen::CYCLES;
use crate::wire::{Protocol, Reply, Wire, words};

const OWNERS: usize = 4;
const KEYS_EACH: usize = 4;
const READERS: usize = 4;

const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// How long Redis may keep silent, beside the time that it takes to hear from it.
const TIMEOUT: Duration = Duration::from_millis(250);

/// The longest delays of a direction that are tried, in milliseconds.
const DELAYS_MS: [u64; 3] = [10, 100, 500];

#[test]
fn no_read_goes_back_in_time_whatever_happens_and_at_rest_the_proxy_serves_what_redis_has() {
    run_seeds(&[Duration::ZERO], |seed| {
        for seed in [1, seed] {
            run(seed, Duration::from_secs(3), Duration::ZERO);
        }
    });
}

#[test]
fn no_read_goes_back_in_time_far_from_redis_whatever_happens_to_each_direction() {
    let delays = variable("SOAK_DELAY").map_or(DELAYS_MS.to_vec(), |delay| vec![delay]);
    let delays: Vec<_> = delays.into_iter().map(Duration::from_millis).collect();
    run_seeds(&delays, |seed| {
        run(seed, Duration::from_secs(3), Duration::from_millis(50));
    });
}

/// Runs the seed that the environment names, or new ones for as long as it says, with each of these longest
/// delays. Without either there is a short run.
fn run_seeds(delays: &[Duration], short: impl FnOnce(u64)) {
    const LONG: Duration = Duration::from_secs(10);
    let seed = variable("SOAK_SEED");
    let first = seed.unwrap_or_else(|| fastrand::u64(..1 << 48));
    match (seed, soak()) {
        (None, None) => short(first),
        (Some(seed), duration) => {
            for delay in delays {
                run(seed, duration.unwrap_or(LONG), *delay);
            }
        }
        (None, Some(duration)) => {
            let end = Instant::now() + duration;
            for (seed, delay) in (first..).zip(delays.iter().cycle()) {
                if Instant::now() >= end {
                    break;
                }
                // Where everything takes longer, so does a run.
                run(seed, LONG + 20 * *delay, *delay);
            }
        }
    }
}

/// What a run came to.
#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    nils: AtomicUsize,
    errors: AtomicUsize,
}

/// A run in which each direction of each connection to Redis has a delay of at most `delay`; without one, the
/// proxy is beside Redis.
fn run(seed: u64, duration: Duration, delay: Duration) {
    let repeat = format!("SOAK_SEED={seed} SOAK_DELAY={}", delay.as_millis());
    println!("{repeat}");
    let mut random = Rng::with_seed(seed);
    let options = match random.u8(..4) {
        0 => &["--hz", "100", "--tracking-table-max-keys", "3"][..],
        _ => &["--hz", "100"],
    };
    let timeout = TIMEOUT + 2 * delay;
    let timeout_ms = timeout.as_millis().to_string();
    let mut flags = vec!["--redis_timeout", &timeout_ms];
    flags.extend(match random.u8(..4) {
        0 => &["--capacity", "5"][..],
        1 => &["--cache_ttl", "30", "--cache_period", "10"],
        _ => &[],
    });
    let gentle = random.bool();
    let mut redis = RedisServer::start_with(options);
    let redis_address = address(&redis);
    let is_far = !delay.is_zero();
    let relay = is_far.then(|| Arc::new(start_relay(redis_address, delay, random.fork())));
    let behind = relay
        .as_ref()
        .map_or(redis_address, |relay| relay.address());
    let proxy = Proxy::start_at(&behind.to_string(), &flags);
    proxy.wait_for_redis();
    let proxy_address = proxy.address();
    let ledger = &Ledger::new(OWNERS * KEYS_EACH, relay);
    let counts = &Counts::default();
    let rest = &AtomicBool::new(false);
    let wires = [redis_address, proxy_address].map(|at| Wire::new(at, Protocol::Resp2));
    let times = Times {
        pace: Duration::from_millis(120) + 4 * delay,
        timeout,
        notice: noticed_within(timeout),
    };
    let mut chaos = Chaos::new(ledger, wires, random.fork(), gentle, times);
    let (mut sent, mut acknowledged) = (0, 0);
    std::thread::scope(|scope| {
        let _end = EndOnDrop(ledger);
        let fence = Wire::new(proxy_address, PROTOCOLS[random.usize(..2)]);
        scope.spawn(move || run_fence(ledger, redis_address, fence));
        for index in 0..READERS {
            let protocol = PROTOCOLS[index % 2];
            let (wire, random) = (Wire::new(proxy_address, protocol), random.fork());
            let who = format!("reader {index} in {protocol:?}");
            scope.spawn(move || {
                let _end = EndOnDrop(ledger);
                read(ledger, wire, protocol, random, counts, &who);
            });
        }
        let owners: Vec<_> = (0..OWNERS)
            .map(|index| {
                let keys = index * KEYS_EACH..(index + 1) * KEYS_EACH;
                let random = random.fork();
                let ends = [redis_address, proxy_address];
                let owner = Owner::new(ledger, keys, ends, random, gentle);
                scope.spawn(move || owner.run(|| rest.load(Ordering::SeqCst) || ledger.is_over()))
            })
            .collect();
        let end = Instant::now() + duration;
        while Instant::now() < end && !ledger.is_over() {
            if chaos.disturb(&mut redis) && Instant::now() < end {
                await_fences(ledger);
            }
        }
        rest.store(true, Ordering::SeqCst);
        for owner in owners {
            let owner = owner.join().expect("an owner doesn't panic");
            sent += owner.sent;
            acknowledged += owner.acknowledged;
        }
        assert_at_rest(ledger, &redis, &proxy);
    });
    println!(
        "{repeat}: {} reads, {} of them nil, {} errors, {sent} changes, {acknowledged} of them \
         answered, {} fences, disturbances {:?}, Redis was asked {} times; {flags:?} {options:?} gentle: {gentle}",
        counts.reads.load(Ordering::SeqCst),
        counts.nils.load(Ordering::SeqCst),
        counts.errors.load(Ordering::SeqCst),
        ledger.fences_passed(),
        chaos.done,
        redis.calls("get"),
    );
    if let Some(failure) = ledger.failure() {
        panic!("{repeat}: {failure}");
    }
    // This Redis refuses nothing, also when connections end while others are made.
    let refusal = proxy.log().into_iter().find(|line| {
        line.contains("may be outdated until they expire") || line.contains("it answers")
    });
    assert_eq!(refusal, None, "{repeat}");
}

/// A relay with delays drawn at random for each direction of each connection.
fn start_relay(redis: SocketAddr, most: Duration, mut random: Rng) -> Relay {
    let delay = move |_| most.mul_f64(random.f64());
    Relay::start(redis, delay).expect("a relay")
}

/// Ends the run when a thread ends, also by a panic.
struct EndOnDrop<'a>(&'a Ledger);

impl Drop for EndOnDrop<'_> {
    fn drop(&mut self) {
        self.0.end();
    }
}

/// Shows again and again that what changes at Redis reaches the proxy.
fn run_fence(ledger: &Ledger, redis: SocketAddr, mut proxied: Wire) {
    let mut straight = Wire::new(redis, Protocol::Resp2);
    while !ledger.is_over() {
        let cycle = ledger.next_fence();
        let set = format!("SET fence {cycle}");
        let passed = Reply::Text(cycle.to_string());
        let mut is_set = false;
        while !ledger.is_over() {
            if !is_set {
                is_set = straight.command(&set).is_ok();
            }
            match proxied.command("GET fence") {
                Ok(reply) if reply == passed => break,
                // It was flushed away.
                Ok(Reply::Null) => is_set = false,
                _ => {}
            }
            if !is_set {
                std::thread::sleep(Duration::from_millis(1));
            }
        }
        if !ledger.is_over() {
            ledger.fence_passed(cycle);
        }
        // So that it does not take all the time that there is.
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// Reads keys at random, in one database and another, alone and together, whole and in part, one by one and in pipelines.
fn read(
    ledger: &Ledger,
    mut wire: Wire,
    protocol: Protocol,
    mut random: Rng,
    counts: &Counts,
    who: &str,
) {
    let range = match protocol {
        Protocol::Resp2 => Question::Range2,
        Protocol::Resp3 => Question::Range3,
    };
    while !ledger.is_over() {
        let database = random.u32(..DATABASES as u32);
        let commands: Vec<(Question, Vec<usize>)> = (0..[1, 1, 2, 8][random.usize(..4)])
            .map(|_| {
                let (question, keys) = match random.u8(..5) {
                    0 => (Question::Value, 3),
                    1 => (range, 1),
                    _ => (Question::Value, 1),
                };
                let keys = (0..keys).map(|_| random.usize(ledger.keys_of(database)));
                (question, keys.collect())
            })
            .collect();
        let select = words(&format!("SELECT {database}"));
        let requests: Vec<Vec<u8>> = std::iter::once(select)
            .chain(commands.iter().map(|(question, keys)| {
                let names: Vec<&str> = keys.iter().map(|key| ledger.name(*key)).collect();
                let names = names.join(" ");
                words(&match (question, keys.len()) {
                    (Question::Value, 1) => format!("GET {names}"),
                    (Question::Value, _) => format!("MGET {names}"),
                    _ => format!("GETRANGE {names} 0 -1"),
                })
            }))
            .collect();
        let floors = [Question::Value, range].map(|question| {
            let keys = 0..ledger.count();
            keys.map(|key| ledger.floor(key, question))
                .collect::<Vec<_>>()
        });
        let replies = wire.ask(&requests.concat(), requests.len());
        // As by a Redis that ends.
        let Ok(mut replies) = replies else {
            counts.errors.fetch_add(1, Ordering::Relaxed);
            continue;
        };
        if replies.remove(0).failed() {
            counts.errors.fetch_add(1, Ordering::Relaxed);
            continue;
        }
        if replies.iter().any(Reply::failed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        for ((question, keys), reply) in commands.iter().zip(replies) {
            let replies = match reply {
                Reply::Array(replies) if keys.len() > 1 => replies,
                Reply::Error(error) if keys.len() > 1 => vec![Reply::Error(error); keys.len()],
                reply => vec![reply],
            };
            assert_eq!(replies.len(), keys.len());
            for (key, reply) in keys.iter().zip(&replies) {
                if let Reply::Error(error) = reply {
                    assert!(error.starts_with("ERR backing Redis at "), "{error}");
                    counts.errors.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                counts.reads.fetch_add(1, Ordering::Relaxed);
                counts
                    .nils
                    .fetch_add(usize::from(*reply == Reply::Null), Ordering::Relaxed);
                let floor = floors[usize::from(*question != Question::Value)][*key];
                ledger.read(*key, *question, floor, reply, who);
            }
        }
    }
}

/// Waits until what changes at Redis reaches the proxy.
fn await_fences(ledger: &Ledger) {
    let passed = ledger.fences_passed();
    eventually("what changes at Redis reaches the proxy", || {
        ledger.is_over() || ledger.fences_passed() > passed + CYCLES
    });
}

/// Nothing changes any more: the proxy serves what Redis has.
fn assert_at_rest(ledger: &Ledger, redis: &RedisServer, proxy: &Proxy) {
    let wires = |address, protocol| {
        (0..DATABASES as u32).map(move |at| Wire::new(address, protocol).in_database(at))
    };
    let mut straight: Vec<_> = wires(address(redis), Protocol::Resp2).collect();
    eventually("nothing is about to expire", || {
        (0..ledger.count()).all(|key| {
            let straight = &mut straight[ledger.database(key) as usize];
            let ttl = straight.command(&format!("PTTL {}", ledger.name(key)));
            ledger.is_over() || matches!(ttl, Ok(Reply::Number(ttl)) if !(0..1000).contains(&ttl))
        })
    });
    if let Some(relay) = ledger.relay() {
        let mark = relay.mark(Direction::ToClient);
        eventually("what Redis has said has arrived", || {
            relay.has_passed(&mark)
        });
    }
    await_fences(ledger);
    for protocol in PROTOCOLS {
        let mut proxied: Vec<_> = wires(proxy.address(), protocol).collect();
        for key in 0..ledger.count() {
            let database = ledger.database(key) as usize;
            let (straight, proxied) = (&mut straight[database], &mut proxied[database]);
            let get = format!("GET {}", ledger.name(key));
            let expected = straight.command(&get).expect("Redis is there");
            // A machine that stood still for a while is a reason for an error, or to be closed, as Redis counts as away
            // then; and none for another value.
            let mut served = None;
            eventually(&format!("{get} is answered"), || {
                let reply = proxied.command(&get).ok();
                served = reply.filter(|reply| !reply.failed());
                served.is_some()
            });
            if !ledger.is_over() {
                assert_eq!(served, Some(expected), "{get} at rest");
            }
        }
    }
}
