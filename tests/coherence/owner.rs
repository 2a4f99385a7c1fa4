//! The owner of some keys of a database: it changes them, one command after another, straight at Redis and through the
//! proxy, and books each change.

use std::net::SocketAddr;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use fastrand::Rng;

use crate::common::{Direction, request};
use crate::ledger::{Change, Ledger, Scope, Version};
use crate::wire::{Protocol, Reply, Wire, words};

pub struct Owner<'a> {
    ledger: &'a Ledger,
    keys: Range<usize>,
    random: Rng,
    /// Nothing is done through the proxy for which it would empty the whole cache.
    gentle: bool,
    straight: Wire,
    /// Through the proxy, in both versions of the protocol.
    proxied: [Wire; 2],
    /// Through the proxy, on a dedicated connection to Redis: it uses MULTI.
    dedicated: Wire,
    /// How many commands were sent, and how many of them were answered without an error.
    pub sent: usize,
    pub acknowledged: usize,
}

/// The way that commands take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Way {
    Straight,
    Proxied(usize),
    Dedicated,
}

/// Commands that belong together, and what they change.
#[derive(Default)]
struct Step {
    requests: Vec<Vec<u8>>,
    changes: Vec<(usize, Change, Version)>,
    /// The key expires at some time after the commands.
    expires: Option<(usize, Version)>,
    transaction: bool,
    /// It may write any key, as far as the proxy can see.
    vague: bool,
    /// It writes a key that it does not declare.
    secretive: bool,
}

const SCRIPT: &str = "redis.call('SET', KEYS[1], ARGV[1] - 1) return redis.call('INCR', KEYS[1])";
/// It doesn't say which key it writes.
const SECRETIVE: &str = "return redis.call('SET', ARGV[1], ARGV[2])";

impl<'a> Owner<'a> {
    pub fn new(
        ledger: &'a Ledger,
        keys: Range<usize>,
        [redis, proxy]: [SocketAddr; 2],
        random: Rng,
        gentle: bool,
    ) -> Self {
        let database = ledger.database(keys.start);
        let wire = |address, protocol| Wire::new(address, protocol).in_database(database);
        Self {
            ledger,
            keys,
            random,
            gentle,
            straight: wire(redis, Protocol::Resp2),
            proxied: [Protocol::Resp2, Protocol::Resp3].map(|protocol| wire(proxy, protocol)),
            dedicated: wire(proxy, Protocol::Resp3),
            sent: 0,
            acknowledged: 0,
        }
    }

    /// Changes keys until it is told to end.
    pub fn run(mut self, is_over: impl Fn() -> bool) -> Self {
        while !is_over() {
            self.change();
            // Between two changes there are to be hits.
            std::thread::sleep(Duration::from_micros(self.random.u64(..3000)));
        }
        self
    }

    fn change(&mut self) {
        let ledger = self.ledger;
        let at_work = ledger
            .at_work
            .read()
            .unwrap_or_else(PoisonError::into_inner);
        let step = self.choose();
        let way = match self.random.u8(..10) {
            _ if step.vague && self.gentle => Way::Straight,
            _ if step.transaction && self.random.bool() => Way::Dedicated,
            0..5 => Way::Straight,
            5..9 => Way::Proxied(self.random.usize(..2)),
            _ => Way::Dedicated,
        };
        let what = String::from_utf8_lossy(&step.requests.concat()).replace("\r\n", " ");
        for &(key, change, version) in &step.changes {
            let what = format!("{way:?}: {what}");
            ledger.sent(Scope::Key(key), change, version, &what);
        }
        if let Some((key, version)) = step.expires {
            ledger.sent(Scope::Key(key), Change::Removal, version, "it will expire");
        }
        self.sent += 1;
        let wire = match way {
            Way::Straight => &mut self.straight,
            Way::Proxied(index) => &mut self.proxied[index],
            Way::Dedicated => &mut self.dedicated,
        };
        let replies = wire.ask(&step.requests.concat(), step.requests.len());
        let done = replies.is_ok_and(|replies| {
            let executed = !step.transaction || matches!(replies.last(), Some(Reply::Array(_)));
            executed && !replies.iter().any(Reply::failed)
        });
        if !done {
            drop(at_work);
            return settle(self.ledger, &mut self.straight);
        }
        self.acknowledged += 1;
        // What a script does not declare, others see when Redis has reported it.
        let seen_as = match way {
            _ if step.secretive => Way::Straight,
            way => way,
        };
        for &(key, _, version) in &step.changes {
            self.book(seen_as, key, version);
        }
        drop(at_work);
        if let Some((key, version)) = step.expires
            && self.random.bool()
        {
            self.await_expiry(key, version);
        }
    }

    fn book(&self, way: Way, key: usize, version: Version) {
        match way {
            Way::Straight => self.ledger.written_straight(Scope::Key(key), version),
            Way::Proxied(_) | Way::Dedicated => self
                .ledger
                .written_through_the_proxy(Scope::Key(key), version),
        }
    }

    /// Waits until Redis itself no longer has a key.
    fn await_expiry(&mut self, key: usize, version: Version) {
        let exists = format!("EXISTS {}", self.ledger.name(key));
        while let Ok(Reply::Number(1)) = self.straight.command(&exists) {
            std::thread::sleep(Duration::from_millis(1));
        }
        if let Ok(Reply::Number(0)) = self.straight.command(&exists) {
            self.book(Way::Straight, key, version);
        }
    }

    /// Makes up something to do with two of the keys.
    fn choose(&mut self) -> Step {
        let mut keys: Vec<usize> = self.keys.clone().collect();
        self.random.shuffle(&mut keys);
        let (a, b) = (keys[0], keys[1]);
        let name = |key| self.ledger.name(key);
        let (first, second) = (self.ledger.next_version(), self.ledger.next_version());
        let set = format!("SET {} {first}", name(a));
        let value = |key, version| (key, Change::Value, version);
        let removal = |key, version| (key, Change::Removal, version);
        let step = |commands: &[&str], changes: &[(usize, Change, Version)]| Step {
            requests: commands.iter().map(|command| words(command)).collect(),
            changes: changes.to_vec(),
            ..Step::default()
        };
        match self.random.u8(..20) {
            0..3 => step(&[&set], &[value(a, first)]),
            3 => {
                let command = ["DEL", "UNLINK", "GETDEL"][self.random.usize(..3)];
                step(&[&format!("{command} {}", name(a))], &[removal(a, first)])
            }
            4 => {
                let setex = format!("SETEX {} 10000 {first}", name(a));
                step(&[&setex], &[value(a, first)])
            }
            5 => {
                let getset = format!("GETSET {} {first}", name(a));
                step(&[&getset], &[value(a, first)])
            }
            6 | 7 => {
                let mset = format!("MSET {} {first} {} {second}", name(a), name(b));
                step(&[&mset], &[value(a, first), value(b, second)])
            }
            8 => {
                let expire = format!("PEXPIRE {} {}", name(a), self.random.u8(1..40));
                Step {
                    expires: Some((a, second)),
                    ..step(&[&set, &expire], &[value(a, first)])
                }
            }
            9 => {
                let psetex = format!("PSETEX {} {} {first}", name(a), self.random.u8(1..40));
                Step {
                    expires: Some((a, second)),
                    ..step(&[&psetex], &[value(a, first)])
                }
            }
            10 => {
                let expire = format!("EXPIRE {} {}", name(a), ["0", "-1"][self.random.usize(..2)]);
                step(&[&set, &expire], &[value(a, first), removal(a, second)])
            }
            11 => {
                let increase = format!("INCRBY {} {}", name(a), second - first);
                step(&[&set, &increase], &[value(a, first), value(a, second)])
            }
            12 => {
                let rename = format!("RENAME {} {}", name(a), name(b));
                step(
                    &[&set, &rename],
                    &[value(a, first), removal(a, second), value(b, first)],
                )
            }
            13 => {
                let copy = format!("COPY {} {} REPLACE", name(a), name(b));
                step(&[&set, &copy], &[value(a, first), value(b, first)])
            }
            14 => Step {
                requests: vec![request(&["EVAL", SCRIPT, "1", name(a), &first.to_string()])],
                changes: vec![value(a, first)],
                vague: true,
                ..Step::default()
            },
            15 => Step {
                requests: vec![request(&[
                    "EVAL",
                    SECRETIVE,
                    "0",
                    name(a),
                    &first.to_string(),
                ])],
                changes: vec![value(a, first)],
                vague: true,
                secretive: true,
                ..Step::default()
            },
            16 | 17 => {
                let delete = format!("DEL {}", name(b));
                Step {
                    transaction: true,
                    ..step(
                        &["MULTI", &set, &delete, "EXEC"],
                        &[value(a, first), removal(b, second)],
                    )
                }
            }
            _ => {
                let set = format!("SET {} {}", name(a), first - 1);
                let increase = format!("INCR {}", name(a));
                let mset = format!("MSET {} {second}", name(b));
                Step {
                    transaction: true,
                    ..step(
                        &["MULTI", &set, &increase, &mset, "EXEC"],
                        &[value(a, first), value(b, second)],
                    )
                }
            }
        }
    }
}

/// It is not known whether Redis executed something, or whether it lies there or in the relay and waits. When
/// all that was in the relay has passed it, and Redis has answered twice on another connection, it has looked at
/// all that had come before.
pub fn settle(ledger: &Ledger, straight: &mut Wire) {
    if let Some(relay) = ledger.relay() {
        let mark = relay.mark(Direction::ToServer);
        while !relay.has_passed(&mark) && !ledger.is_over() {
            std::thread::sleep(Duration::from_millis(1));
        }
    }
    let mut answered = 0;
    while answered < 3 && !ledger.is_over() {
        match straight.command("PING") {
            Ok(Reply::Text(_)) => answered += 1,
            _ => std::thread::sleep(Duration::from_millis(1)),
        }
    }
}
