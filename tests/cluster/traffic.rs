//! Clients of the proxy that count, read and notice what is lost, wrong or late, while something happens to the cluster.
//!
//! Each worker has keys of its own at every node, which only it changes, by `INCR`: through the proxy, or straight at the
//! key's master. So it knows what a read may get: no less than what it has seen or what was acknowledged to it, and no
//! more than what it has sent.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockWriteGuard};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use fastrand::Rng;

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::wire::{Protocol, Reply, Wire};
use crate::common::{DEADLINE, Proxy, eventually};
use crate::straight::Straight;

const WORKERS: usize = 4;

/// How many keys a worker has at each of the first masters.
const KEYS_AT_EACH: usize = 3;

/// Errors by their text, and how often each came; connections that were closed count as `closed`.
pub type Errors = BTreeMap<String, usize>;

/// Workers that go on until they are stopped.
pub struct Traffic {
    workers: Vec<JoinHandle<Tally>>,
    shared: Arc<Shared>,
}

struct Shared {
    proxy: SocketAddr,
    /// Of any node.
    seed: SocketAddr,
    over: AtomicBool,
    /// Whether workers write straight at masters as well.
    straight: AtomicBool,
    acknowledged: AtomicU64,
    /// Held by the workers while one of their commands is in flight.
    at_work: RwLock<()>,
}

/// What came of the traffic.
#[derive(Debug, Default)]
pub struct Tally {
    /// Writes that were acknowledged, and reads.
    pub writes: u64,
    pub reads: u64,
    pub errors: Errors,
    /// The longest time from a write straight at a master to the first read through the proxy that shows it.
    pub latest: Duration,
    /// The longest time that a command through the proxy took.
    pub slowest: Duration,
}

/// What is known of a key.
struct Key {
    name: String,
    /// The least that a read may get.
    floor: i64,
    /// How many increments were sent.
    sent: i64,
}

impl Traffic {
    /// Starts the workers.
    #[track_caller]
    pub fn start(cluster: &Cluster, proxy: &Proxy) -> Self {
        let shared = Arc::new(Shared {
            proxy: proxy.address(),
            seed: cluster
                .node(MASTERS - 1)
                .address()
                .parse()
                .expect("an address"),
            over: AtomicBool::new(false),
            straight: AtomicBool::new(true),
            acknowledged: AtomicU64::new(0),
            at_work: RwLock::new(()),
        });
        let mut at_nodes = [0, 1, 2].map(|node| cluster.keys_at(node, WORKERS * KEYS_AT_EACH));
        let workers = (0..WORKERS).map(|number| {
            let names = at_nodes
                .iter_mut()
                .flat_map(|keys| keys.drain(..KEYS_AT_EACH));
            let keys = names
                .map(|name| Key {
                    name,
                    floor: 0,
                    sent: 0,
                })
                .collect();
            let worker = Worker::new(number, keys, Arc::clone(&shared));
            thread::spawn(move || worker.run())
        });
        Self {
            workers: workers.collect(),
            shared,
        }
    }

    /// Waits until so many further writes were acknowledged.
    #[track_caller]
    pub fn go_on_for(&self, writes: u64) {
        let acknowledged = || self.shared.acknowledged.load(Ordering::Relaxed);
        let end = acknowledged() + writes;
        eventually("the traffic goes on", || {
            let broken = self.workers.iter().any(JoinHandle::is_finished);
            assert!(!broken, "a worker found something wrong");
            acknowledged() >= end
        });
    }

    /// Sets whether workers write straight at masters as well: a master that is paused would execute and acknowledge later
    /// what was sent to it meanwhile, when it is one no more.
    pub fn write_straight(&self, straight: bool) {
        self.shared.straight.store(straight, Ordering::Relaxed);
    }

    /// Waits until no command of a worker is in flight, and lets none begin until the guard is dropped.
    pub fn hold(&self) -> RwLockWriteGuard<'_, ()> {
        let held = self.shared.at_work.write();
        held.unwrap_or_else(PoisonError::into_inner)
    }

    /// Ends the workers, after a last look at all their keys.
    #[track_caller]
    pub fn stop(mut self) -> Tally {
        self.shared.over.store(true, Ordering::Relaxed);
        let mut total = Tally::default();
        for worker in self.workers.drain(..) {
            total.add(worker.join().expect("a worker that found nothing wrong"));
        }
        println!("{total:?}");
        total
    }
}

impl Drop for Traffic {
    fn drop(&mut self) {
        self.shared.over.store(true, Ordering::Relaxed);
        for worker in self.workers.drain(..) {
            let _ = worker.join();
        }
    }
}

impl Tally {
    fn add(&mut self, other: Self) {
        self.writes += other.writes;
        self.reads += other.reads;
        self.latest = self.latest.max(other.latest);
        self.slowest = self.slowest.max(other.slowest);
        for (text, count) in other.errors {
            *self.errors.entry(text).or_default() += count;
        }
    }
}

struct Worker {
    keys: Vec<Key>,
    proxied: Wire,
    straight: Straight,
    random: Rng,
    shared: Arc<Shared>,
    tally: Tally,
}

impl Worker {
    fn new(number: usize, keys: Vec<Key>, shared: Arc<Shared>) -> Self {
        let protocol = [Protocol::Resp2, Protocol::Resp3][number % 2];
        Self {
            keys,
            proxied: Wire::new(shared.proxy, protocol),
            straight: Straight::new(shared.seed),
            random: Rng::with_seed(number as u64),
            shared,
            tally: Tally::default(),
        }
    }

    fn run(mut self) -> Tally {
        while !self.shared.over.load(Ordering::Relaxed) {
            let shared = Arc::clone(&self.shared);
            let at_work = shared.at_work.read();
            let _at_work = at_work.unwrap_or_else(PoisonError::into_inner);
            let key = self.random.usize(..self.keys.len());
            match self.random.u8(..20) {
                0..5 => self.write(key),
                5 if self.shared.straight.load(Ordering::Relaxed) => self.write_straight(key),
                6..9 => self.read_several(),
                _ => self.read(key),
            }
        }
        for key in 0..self.keys.len() {
            self.read(key);
        }
        self.tally
    }

    fn write(&mut self, key: usize) {
        let line = format!("INCR {}", self.keys[key].name);
        self.keys[key].sent += 1;
        if let Some(Reply::Number(count)) = self.ask(&line) {
            self.acknowledged(key, count);
        }
    }

    /// Writes at the key's master, and waits until the proxy shows it.
    fn write_straight(&mut self, key: usize) {
        let name = self.keys[key].name.clone();
        self.keys[key].sent += 1;
        let Some(Reply::Number(count)) = self.straight.command(&format!("INCR {name}")) else {
            return;
        };
        let start = Instant::now();
        loop {
            let late = start.elapsed();
            match self.ask(&format!("GET {name}")) {
                Some(reply) if number(&reply) >= count => break,
                _ => assert!(late < DEADLINE, "{name} is not {count} after {late:?}"),
            }
        }
        self.tally.latest = self.tally.latest.max(start.elapsed());
        self.acknowledged(key, count);
    }

    fn acknowledged(&mut self, key: usize, count: i64) {
        let key = &mut self.keys[key];
        let possible = key.floor + 1..=key.sent;
        assert!(
            possible.contains(&count),
            "INCR {}: {count}, of {possible:?}",
            key.name
        );
        key.floor = count;
        self.tally.writes += 1;
        self.shared.acknowledged.fetch_add(1, Ordering::Relaxed);
    }

    fn read(&mut self, key: usize) {
        let line = format!("GET {}", self.keys[key].name);
        if let Some(reply) = self.ask(&line) {
            self.seen(key, &reply);
        }
    }

    /// Reads keys of several nodes at once.
    fn read_several(&mut self) {
        let keys: Vec<usize> = (0..4)
            .map(|_| self.random.usize(..self.keys.len()))
            .collect();
        let names: Vec<&str> = keys
            .iter()
            .map(|&key| self.keys[key].name.as_str())
            .collect();
        let line = format!("MGET {}", names.join(" "));
        match self.ask(&line) {
            Some(Reply::Array(values)) => {
                assert_eq!(values.len(), keys.len(), "{line}");
                for (key, value) in keys.into_iter().zip(values) {
                    self.seen(key, &value);
                }
            }
            None => {}
            other => panic!("{line}: {other:?}"),
        }
    }

    fn seen(&mut self, key: usize, reply: &Reply) {
        let key = &mut self.keys[key];
        let possible = key.floor..=key.sent;
        let count = number(reply);
        assert!(
            possible.contains(&count),
            "GET {}: {count}, of {possible:?}",
            key.name
        );
        key.floor = count;
        self.tally.reads += 1;
    }

    /// The reply to a command through the proxy; none if it is an error or the connection was closed, which is noted.
    fn ask(&mut self, line: &str) -> Option<Reply> {
        let start = Instant::now();
        let reply = self.proxied.command(line);
        self.tally.slowest = self.tally.slowest.max(start.elapsed());
        let error = match reply {
            Ok(Reply::Error(error)) => error,
            Ok(reply) => return Some(reply),
            Err(_) => "closed".to_owned(),
        };
        *self.tally.errors.entry(error).or_default() += 1;
        None
    }
}

/// The number in a value; a key that is not there counts from 0.
fn number(reply: &Reply) -> i64 {
    match reply {
        Reply::Text(text) => text.parse().expect("a number"),
        Reply::Null => 0,
        other => panic!("a value: {other:?}"),
    }
}
