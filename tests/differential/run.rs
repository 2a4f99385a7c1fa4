//! Clients that say the same in both worlds. One client goes on when the one before has all its replies, so both worlds see the same order.

use std::net::SocketAddr;
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use crate::common::{DEADLINE, eventually};
use crate::compare::Compare;
use crate::report;
use crate::session::{Batch, End, Kind, Session};
use crate::stateful::WAKING;
use crate::wire::Connection;
use crate::words::{self, Known, Words};

/// Who talks.
const CLIENTS: &[Kind] = &[
    Kind::Plain,
    Kind::Plain,
    Kind::Plain,
    Kind::Wild,
    Kind::Wild,
    Kind::Wild,
];

/// What tells how many listen.
const COUNTS_OF_LISTENERS: &[&str] = &[
    "PUBSUB NUMSUB c1 c2 c3",
    "PUBSUB SHARDNUMSUB s1 s2",
    "PUBSUB NUMPAT",
];

/// What came of a run.
#[derive(Clone, Copy, Debug, Default)]
pub struct Count {
    pub commands: usize,
    pub replies: usize,
    pub errors: usize,
    /// How many values GET and MGET asked the proxy for, and how often its Redis was asked for one.
    pub values: u64,
    pub misses: u64,
}

impl Count {
    pub fn add(&mut self, other: Self) {
        self.commands += other.commands;
        self.replies += other.replies;
        self.errors += other.errors;
        self.values += other.values;
        self.misses += other.misses;
    }
}

/// A client in both worlds.
struct Pair {
    session: Session,
    proxied: Connection,
    direct: Connection,
}

/// A run, from empty servers on.
pub struct Run<'a> {
    seed: u64,
    flags: &'static [&'static str],
    pub random: Rng,
    ids: u64,
    known: &'a Known,
    /// The hash tag of all keys.
    tag: &'static str,
    /// How replies to `HELLO` are compared.
    pub greeting: Compare,
    /// Of the proxy, and of the Redis that is asked directly.
    addresses: [SocketAddr; 2],
    /// Of the Redis behind the proxy, and of the one that is asked directly.
    servers: [SocketAddr; 2],
    pairs: Vec<Pair>,
    /// The requests of each step, and whose they were.
    history: Vec<(usize, Vec<Vec<u8>>)>,
    pub count: Count,
}

impl Pair {
    fn open(kind: Kind, addresses: [SocketAddr; 2]) -> Self {
        let [proxied, direct] = addresses.map(Connection::open);
        Self {
            session: Session::new(kind),
            proxied,
            direct,
        }
    }
}

impl<'a> Run<'a> {
    /// A run of the clients of [`CLIENTS`]. The addresses are those of the proxy, and of the Redis that
    /// is asked directly; the servers are the Redis behind the proxy, and again the one that is asked directly.
    pub fn new(
        seed: u64,
        flags: &'static [&'static str],
        known: &'a Known,
        addresses: [SocketAddr; 2],
        servers: [SocketAddr; 2],
    ) -> Self {
        let pairs = CLIENTS.iter().map(|&kind| Pair::open(kind, addresses));
        Self {
            seed,
            flags,
            random: Rng::with_seed(seed),
            ids: 0,
            known,
            tag: "",
            greeting: Compare::ButId,
            addresses,
            servers,
            pairs: pairs.collect(),
            history: Vec::new(),
            count: Count::default(),
        }
    }

    /// The same with this hash tag in all keys.
    pub fn with_tag(self, tag: &'static str) -> Self {
        Self { tag, ..self }
    }

    /// What makes up words, most keys of which are the one in `focus`.
    pub fn words(&mut self, focus: Option<Vec<u8>>) -> Words<'_> {
        Words {
            random: &mut self.random,
            ids: &mut self.ids,
            known: self.known,
            tag: self.tag,
            focus,
        }
    }

    /// One client, chosen at random, does something.
    pub fn step(&mut self) {
        match self.random.u16(..1000) {
            0..6 => self.block_and_wake(),
            6..12 => self.leave_without_a_word(),
            12..40 => self.look_for_messages(),
            _ => {
                let focus = self.random.bool().then(|| self.read_one());
                let client = self.random.usize(..self.pairs.len());
                let mut words = Words {
                    random: &mut self.random,
                    ids: &mut self.ids,
                    known: self.known,
                    tag: self.tag,
                    focus: focus.clone(),
                };
                let batch = self.pairs[client].session.batch(&mut words);
                self.exchange(client, &batch);
                if let Some(key) = focus {
                    self.read(key);
                }
            }
        }
    }

    /// Lets a client say the same in both worlds, and compares what it hears.
    pub fn exchange(&mut self, client: usize, batch: &Batch) {
        let bytes = self.note(client, batch);
        let cuts = cuts(&mut self.random, bytes.len());
        let Pair {
            proxied, direct, ..
        } = &mut self.pairs[client];
        let (mut heard, mut expected) = (Vec::new(), Vec::new());
        let (ours, theirs) = if bytes.len() < SENT_AT_ONCE {
            // Where it can't be sent, there is an end to read.
            let _ = direct.send(&bytes, &[]);
            let _ = proxied.send(&bytes, &cuts);
            (
                batch.read(proxied, &mut heard),
                batch.read(direct, &mut expected),
            )
        } else {
            let (to_proxied, to_direct) = (proxied.sender(), direct.sender());
            thread::scope(|scope| {
                scope.spawn(|| to_direct.send(&bytes, &[]));
                scope.spawn(|| to_proxied.send(&bytes, &cuts));
                (
                    batch.read(proxied, &mut heard),
                    batch.read(direct, &mut expected),
                )
            })
        };
        for (whose, result) in [("Redis", theirs), ("the proxy", ours)] {
            if let Err(error) = result {
                let what = format!("{whose}, after {} frames: {error}", heard.len());
                let common = heard.len().min(expected.len());
                self.fail(client, &what, &heard[common..], &expected[common..]);
            }
        }
        self.compare(client, batch, &heard, &expected);
        if batch.end == End::Closed {
            self.reconnect(client);
            self.let_listeners_leave();
        }
    }

    fn compare(&mut self, client: usize, batch: &Batch, heard: &[Vec<u8>], expected: &[Vec<u8>]) {
        let mut compares = batch.replies.iter().copied();
        for index in 0..heard.len().max(expected.len()) {
            let (one, other) = (heard.get(index), expected.get(index));
            let asked = other.is_some_and(|frame| frame[0] != b'>') && !batch.mixed;
            let compare = if asked { compares.next() } else { None }.unwrap_or(Compare::Exact);
            let same = match (one, other) {
                (Some(one), Some(other)) => compare.same(one, other),
                _ => false,
            };
            if !same {
                let what = format!("frame {index} differs");
                self.fail(
                    client,
                    &what,
                    &heard[index.min(heard.len())..],
                    &expected[index.min(expected.len())..],
                );
            }
            self.count.replies += 1;
            self.count.errors += usize::from(expected[index][0] == b'-');
        }
        let answered = expected.iter().filter(|frame| frame[0] != b'>').count();
        if answered < batch.replies.len() {
            self.fail(
                client,
                "Redis gave fewer replies than the test knows of",
                heard,
                expected,
            );
        }
    }

    /// Notes what is being sent, and returns it in one.
    fn note(&mut self, client: usize, batch: &Batch) -> Vec<u8> {
        self.count.commands += batch.commands;
        self.count.values += batch.values_read as u64;
        self.history.push((client, batch.requests.clone()));
        batch.requests.concat()
    }

    fn reconnect(&mut self, client: usize) {
        let [proxied, direct] = self.addresses.map(Connection::open);
        let pair = &mut self.pairs[client];
        pair.session.forget();
        (pair.proxied, pair.direct) = (proxied, direct);
    }

    /// A client who does everything, for something out of the row.
    pub fn wild(&mut self) -> usize {
        let first = CLIENTS
            .iter()
            .position(|&kind| kind == Kind::Wild)
            .expect("there is one");
        self.random.usize(first..CLIENTS.len())
    }

    /// A client who leaves nothing on its connection, so that it reads through the cache.
    pub fn plain(&mut self) -> usize {
        let plain = CLIENTS.iter().filter(|&&kind| kind == Kind::Plain);
        self.random.usize(..plain.count())
    }

    /// Reads a key that is likely to hold a string, so that it is in the cache.
    fn read_one(&mut self) -> Vec<u8> {
        let keys = words::keys_of_strings(self.tag);
        let key = keys[self.random.usize(..keys.len())].clone();
        self.read(key.clone());
        key
    }

    /// Reads a key through the cache.
    fn read(&mut self, key: Vec<u8>) {
        let client = self.plain();
        self.exchange(client, &Batch::of(&[b"GET".to_vec(), key], Compare::Exact));
    }

    /// Hears what came for subscribers.
    fn look_for_messages(&mut self) {
        for client in 0..self.pairs.len() {
            if self.pairs[client].session.gets_messages() {
                let batch = self.pairs[client].session.look(&mut self.random);
                self.exchange(client, &batch);
            }
        }
    }

    /// A client waits for a key, and another one brings what it waits for.
    fn block_and_wake(&mut self) {
        let waiting = self.wild();
        if !self.pairs[waiting].session.is_free() {
            return;
        }
        let waking = self
            .random
            .usize(..CLIENTS.iter().filter(|&&kind| kind == Kind::Plain).count());
        let resp3 = self.random.bool();
        let mut words = Words {
            random: &mut self.random,
            ids: &mut self.ids,
            known: self.known,
            tag: self.tag,
            focus: None,
        };
        let (block, wake) = words.any(WAKING);
        let [block, wake] = [block, wake].map(|line| words.line(line));
        let delete = words.line("DEL bell");
        self.exchange(waking, &Batch::of(&delete, Compare::Exact));
        let greeting = if resp3 { "HELLO 3" } else { "RESET" };
        for line in ["RESET", greeting] {
            let line: Vec<Vec<u8>> = line.split(' ').map(Into::into).collect();
            self.exchange(waiting, &Batch::of(&line, Compare::ButId));
        }
        self.pairs[waiting].session.set_up_again(resp3);

        let batch = Batch::of(&block, Compare::Exact);
        let bytes = self.note(waiting, &batch);
        let pair = &mut self.pairs[waiting];
        for connection in [&mut pair.proxied, &mut pair.direct] {
            connection.send(&bytes, &[]).expect("the server reads");
        }
        let whose = ["through the proxy", "directly"];
        for (whose, mut inspector) in whose.into_iter().zip(self.inspectors()) {
            let end = Instant::now() + DEADLINE;
            while !blocks_one(&mut inspector) {
                if Instant::now() > end {
                    self.fail(waiting, &format!("does not block {whose}"), &[], &[]);
                }
            }
        }
        self.exchange(waking, &Batch::of(&wake, Compare::Exact));
        self.exchange(waiting, &batch.already_sent());
    }

    /// Connections to both, past the proxy.
    fn inspectors(&self) -> [Connection; 2] {
        self.servers.map(Connection::open)
    }

    /// A client closes its connection, whatever it is at.
    fn leave_without_a_word(&mut self) {
        let client = self.wild();
        let session = &mut self.pairs[client].session;
        if session.gets_messages() {
            let channel = format!("leaving-{}", self.history.len());
            let batch = session.subscribe(&channel, &mut self.random);
            self.exchange(client, &batch);
            self.reconnect(client);
            for mut inspector in self.inspectors() {
                eventually("the subscriber is gone", || {
                    inspector
                        .command(&["PUBSUB", "NUMSUB", &channel])
                        .ends_with(b":0\r\n")
                });
            }
        } else if !session.is_subscribed() {
            self.reconnect(client);
        }
    }

    /// Waits until the Redis behind the proxy counts as many listeners as the other: of a client that was closed, it may hear
    /// later than that client.
    fn let_listeners_leave(&self) {
        let [mut behind, mut alone] = self.inspectors();
        for line in COUNTS_OF_LISTENERS {
            let words: Vec<&str> = line.split(' ').collect();
            eventually("the listener is gone", || {
                behind.command(&words) == alone.command(&words)
            });
        }
    }

    /// Looks at every key as a new client, in both versions of the protocol.
    pub fn compare_all_keys(&mut self) {
        let client = self.pairs.len();
        self.pairs.push(Pair::open(Kind::Plain, self.addresses));
        let keys = words::all_keys(self.tag);
        for version in ["2", "3"] {
            let greeting = [b"HELLO".to_vec(), version.into()];
            self.exchange(client, &Batch::of(&greeting, self.greeting));
            let all = [vec![b"MGET".to_vec()], keys.clone()].concat();
            self.exchange(client, &Batch::of(&all, Compare::Exact));
            for key in &keys {
                for (command, compare) in [
                    ("GET", Compare::Exact),
                    ("TYPE", Compare::Exact),
                    ("DUMP", Compare::SameLength),
                ] {
                    let words = [command.into(), key.clone()];
                    self.exchange(client, &Batch::of(&words, compare));
                }
            }
        }
    }

    fn fail(&self, client: usize, what: &str, heard: &[Vec<u8>], expected: &[Vec<u8>]) -> ! {
        panic!(
            "{}",
            report::difference(
                self.seed,
                self.flags,
                &self.history,
                client,
                what,
                heard,
                expected
            )
        )
    }
}

/// Less than this is taken by any connection without being read.
const SENT_AT_ONCE: usize = 16 * 1024;

/// Where bytes are cut before they are sent, if at all.
fn cuts(random: &mut Rng, length: usize) -> Vec<usize> {
    if random.u8(..4) > 0 {
        return Vec::new();
    }
    let mut cuts: Vec<usize> = (0..random.usize(1..5))
        .map(|_| random.usize(..=length))
        .collect();
    cuts.sort_unstable();
    cuts
}

/// Whether Redis has a client who waits for a key.
fn blocks_one(redis: &mut Connection) -> bool {
    let info = redis.command(&["INFO", "clients"]);
    let field = b"blocked_clients:1\r\n";
    info.windows(field.len()).any(|part| part == field)
}
