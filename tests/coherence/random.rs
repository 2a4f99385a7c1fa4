//! The random run: owners change keys straight at Redis and through the proxy, readers read them all
//! through the proxy, and meanwhile connections are killed, and Redis is paused, flushed, and killed and
//! started again empty. Every read is judged by the ledger, and at rest the proxy serves what Redis has.

use std::net::SocketAddr;
use std::sync::PoisonError;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::{Proxy, RedisServer, eventually};
use crate::connections::{address, kill, of_the_proxy};
use crate::ledger::{CYCLES, Change, Ledger, Scope};
use crate::owner::Owner;
use crate::wire::{Protocol, Reply, Wire, words};
use crate::{soak, variable};

const OWNERS: usize = 4;
const KEYS_EACH: usize = 4;
const READERS: usize = 4;

const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// How long Redis may keep silent.
const TIMEOUT_MS: u64 = 250;

#[test]
fn no_read_goes_back_in_time_whatever_happens_and_at_rest_the_proxy_serves_what_redis_has() {
    if let Some(seed) = variable("SOAK_SEED") {
        return run(seed, soak().unwrap_or(Duration::from_secs(10)));
    }
    let mut seed = fastrand::u64(..1 << 48);
    let Some(duration) = soak() else {
        run(1, Duration::from_secs(3));
        run(seed, Duration::from_secs(3));
        return;
    };
    let end = Instant::now() + duration;
    while Instant::now() < end {
        run(seed, Duration::from_secs(10));
        seed += 1;
    }
}

/// What a run came to.
#[derive(Default)]
struct Counts {
    reads: AtomicUsize,
    nils: AtomicUsize,
    errors: AtomicUsize,
}

fn run(seed: u64, duration: Duration) {
    println!("seed {seed}");
    let mut random = Rng::with_seed(seed);
    let options = match random.u8(..4) {
        0 => &["--hz", "100", "--tracking-table-max-keys", "3"][..],
        _ => &["--hz", "100"],
    };
    let timeout = TIMEOUT_MS.to_string();
    let mut flags = vec!["--redis_timeout", &timeout];
    flags.extend(match random.u8(..4) {
        0 => &["--capacity", "5"][..],
        1 => &["--cache_ttl", "30", "--cache_period", "10"],
        _ => &[],
    });
    let gentle = random.bool();
    let mut redis = RedisServer::start_with(options);
    let proxy = Proxy::start(&redis, &flags);
    let (redis_address, proxy_address) = (address(&redis), proxy.address());
    let ledger = &Ledger::new(OWNERS * KEYS_EACH);
    let counts = &Counts::default();
    let rest = &AtomicBool::new(false);
    let mut chaos = Chaos {
        ledger,
        straight: Wire::new(redis_address, Protocol::Resp2),
        proxied: Wire::new(proxy_address, Protocol::Resp2),
        random: random.fork(),
        gentle,
        done: [0; DISTURBANCES],
    };
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
                read(ledger, wire, random, counts, &who);
            });
        }
        let owners: Vec<_> = (0..OWNERS)
            .map(|index| {
                let keys = index * KEYS_EACH..(index + 1) * KEYS_EACH;
                let random = random.fork();
                let owner = Owner::new(ledger, keys, redis_address, proxy_address, random, gentle);
                scope.spawn(move || owner.run(|| rest.load(Ordering::SeqCst) || ledger.is_over()))
            })
            .collect();
        let end = Instant::now() + duration;
        while Instant::now() < end && !ledger.is_over() {
            chaos.disturb(&mut redis);
            // Now and then the proxy may recover.
            if chaos.random.u8(..4) == 0 {
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
        "seed {seed}: {} reads, {} of them nil, {} errors, {sent} changes, {acknowledged} of them \
         answered, {} fences, disturbances {:?}, redis was asked {} times; {flags:?} {options:?} gentle: {gentle}",
        counts.reads.load(Ordering::SeqCst),
        counts.nils.load(Ordering::SeqCst),
        counts.errors.load(Ordering::SeqCst),
        ledger.fences_passed(),
        chaos.done,
        redis.calls("get"),
    );
    if let Some(failure) = ledger.failure() {
        panic!("seed {seed}: {failure}");
    }
    // This Redis refuses nothing, also when connections end while others are made.
    let refusal = proxy
        .log()
        .into_iter()
        .find(|line| line.contains("time to live alone") || line.contains("it answers"));
    assert_eq!(refusal, None, "seed {seed}");
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

/// Reads keys at random, alone and together, one by one and in pipelines.
fn read(ledger: &Ledger, mut wire: Wire, mut random: Rng, counts: &Counts, who: &str) {
    while !ledger.is_over() {
        let commands: Vec<Vec<usize>> = (0..[1, 1, 2, 8][random.usize(..4)])
            .map(|_| {
                let keys = [1, 1, 1, 3][random.usize(..4)];
                (0..keys).map(|_| random.usize(..ledger.count())).collect()
            })
            .collect();
        let requests: Vec<Vec<u8>> = commands
            .iter()
            .map(|keys| {
                let names: Vec<&str> = keys.iter().map(|key| ledger.name(*key)).collect();
                let command = if keys.len() == 1 { "GET" } else { "MGET" };
                words(&format!("{command} {}", names.join(" ")))
            })
            .collect();
        let floors: Vec<_> = (0..ledger.count()).map(|key| ledger.floor(key)).collect();
        let replies = wire.ask(&requests.concat(), requests.len());
        // Whatever happens to Redis, it is no reason to drop a client.
        let replies = replies.expect("the proxy keeps its clients");
        if replies.iter().any(Reply::failed) {
            std::thread::sleep(Duration::from_millis(1));
        }
        for (keys, reply) in commands.iter().zip(replies) {
            let replies = match reply {
                Reply::Error(error) => {
                    assert!(error.starts_with("ERR backing Redis at "), "{error}");
                    counts.errors.fetch_add(1, Ordering::Relaxed);
                    continue;
                }
                Reply::Array(replies) if keys.len() > 1 => replies,
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
                ledger.read(*key, floors[*key], reply, who);
            }
        }
    }
}

/// What happens to Redis and to the connections.
struct Chaos<'a> {
    ledger: &'a Ledger,
    straight: Wire,
    proxied: Wire,
    random: Rng,
    /// Nothing is done but to connections and Redis: what is cached stays cached.
    gentle: bool,
    /// How often each was done.
    done: [usize; DISTURBANCES],
}

const DISTURBANCES: usize = 7;

impl Chaos<'_> {
    fn disturb(&mut self, redis: &mut RedisServer) {
        std::thread::sleep(Duration::from_millis(self.random.u64(1..120)));
        let kinds = if self.gentle { 9 } else { 11 };
        let kind = [0, 0, 1, 1, 2, 3, 3, 4, 5, 6, 6][self.random.usize(..kinds)];
        self.done[kind] += 1;
        let (data, tracking) = match kind {
            0..3 => of_the_proxy(&mut self.straight),
            _ => Default::default(),
        };
        match kind {
            0 => {
                self.ledger.note_all("data connections are killed");
                let one = self.random.usize(..data.len().max(1));
                kill(&mut self.straight, data.get(one..=one).unwrap_or_default());
            }
            1 => {
                self.ledger.note_all("the tracking connection is killed");
                kill(&mut self.straight, &tracking);
            }
            2 => {
                self.ledger.note_all("all connections are killed");
                let _ = self.straight.command("CLIENT KILL TYPE normal SKIPME no");
            }
            3 => self.pause(redis, 1..TIMEOUT_MS / 2),
            4 => self.pause(redis, TIMEOUT_MS..3 * TIMEOUT_MS),
            5 => self.restart(redis),
            _ => self.flush(),
        }
    }

    fn pause(&mut self, redis: &RedisServer, milliseconds: std::ops::Range<u64>) {
        self.ledger.note_all("Redis is paused");
        redis.pause();
        std::thread::sleep(Duration::from_millis(self.random.u64(milliseconds)));
        redis.resume();
        self.ledger.note_all("Redis goes on");
    }

    /// Kills Redis in the midst of all, and starts it again, empty, when nobody waits for it any more:
    /// so nothing is sent twice to two of them.
    fn restart(&mut self, redis: &mut RedisServer) {
        self.ledger.note_all("Redis is killed");
        redis.stop();
        std::thread::sleep(Duration::from_millis(self.random.u64(..50)));
        let at_work = self.ledger.at_work.write();
        let _at_work = at_work.unwrap_or_else(PoisonError::into_inner);
        self.ledger.restarted();
        redis.start_again();
    }

    fn flush(&mut self) {
        let at_work = self.ledger.at_work.write();
        let _at_work = at_work.unwrap_or_else(PoisonError::into_inner);
        let command = ["FLUSHALL", "FLUSHALL ASYNC", "FLUSHDB"][self.random.usize(..3)];
        let version = self.ledger.next_version();
        if self.random.bool() {
            self.ledger.sent(
                Scope::All,
                Change::Removal,
                version,
                &format!("straight: {command}"),
            );
            if matches!(self.straight.command(command), Ok(Reply::Text(_))) {
                self.ledger.written_straight(Scope::All, version);
                return;
            }
        } else {
            self.ledger.sent(
                Scope::All,
                Change::Removal,
                version,
                &format!("proxied: {command}"),
            );
            if matches!(self.proxied.command(command), Ok(Reply::Text(_))) {
                self.ledger.written_through_the_proxy(Scope::All, version);
                return;
            }
        }
        // It may be executed yet, if Redis was away when it was sent: not after these.
        eventually("Redis answers", || {
            (0..3).all(|_| self.straight.command("PING").is_ok())
        });
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
    let mut straight = Wire::new(address(redis), Protocol::Resp2);
    eventually("nothing is about to expire", || {
        (0..ledger.count()).all(|key| {
            let ttl = straight.command(&format!("PTTL {}", ledger.name(key)));
            ledger.is_over() || matches!(ttl, Ok(Reply::Number(ttl)) if !(0..1000).contains(&ttl))
        })
    });
    await_fences(ledger);
    for protocol in PROTOCOLS {
        let mut proxied = Wire::new(proxy.address(), protocol);
        for key in 0..ledger.count() {
            let get = format!("GET {}", ledger.name(key));
            let expected = straight.command(&get).expect("Redis is there");
            let served = proxied.command(&get).expect("the proxy is there");
            if !ledger.is_over() {
                assert_eq!(served, expected, "{get} at rest");
            }
        }
    }
}
