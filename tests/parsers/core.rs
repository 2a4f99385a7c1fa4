//! The core with a client and a Redis that both send anything.

use std::time::Duration;

use fastrand::Rng;

use redis_proxy::cache::Limits;
use redis_proxy::clock::Time;
use redis_proxy::command::read_specs;
use redis_proxy::proxy::{Access, ClientId, Proxy};
use redis_proxy::resp::scan::Scanner;
use redis_proxy::upstream::{Backend, Event, PerLink, Replies, Tracking};

use crate::mutate::Corpus;
use crate::{INPUTS_OF_CORE, Taking, fuzz, pieces, replies, requests};

const CLIENT: ClientId = ClientId(0);

/// What changes the way of what follows it.
const LINES: &[&str] = &[
    "MULTI",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "SUBSCRIBE c d",
    "UNSUBSCRIBE",
    "PSUBSCRIBE p*",
    "HELLO 3",
    "HELLO 2",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY ON",
    "MONITOR",
    "SYNC",
    "RESET",
    "BLPOP l 0",
    "REPLCONF ACK 1",
    "SCRIPT DEBUG YES",
    "AUTH u p",
    "SELECT 3",
    "SELECT 0",
    "SELECT 99",
    "GET k",
    "MGET k l",
    "SET k v",
    "EVAL x 0",
    "COMMAND",
    "ACL SETUSER u",
    "nosuch x",
    "SLOWLOG GET",
    "INFO all",
];

/// A proxy with one client, and what its Redis owes it.
struct World {
    proxy: Proxy,
    due: PerLink<usize>,
    now: u64,
}

impl World {
    fn new(hello: &[u8], commands: &[u8]) -> Self {
        let limits = Limits {
            entries: 10,
            memory: 10_000,
            reply: 0,
            ttl: Duration::from_secs(1),
            stale_ttl: Duration::ZERO,
        };
        let mut proxy = Proxy::new(limits, Access::default(), 0);
        let backend = Backend {
            endpoint: None,
            commands: read_specs(commands),
            hello: [hello.to_vec(), hello.to_vec()],
            ..Backend::default()
        };
        proxy.upstream(&Event::Up(backend), Time::default());
        proxy.upstream(&Event::Tracking(Tracking::On), Time::default());
        proxy.connect(CLIENT, None, Time::default());
        Self {
            proxy,
            due: PerLink::default(),
            now: 0,
        }
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// The client sends these bytes, as far as they are wanted.
    fn send(&mut self, bytes: &[u8]) {
        if self.proxy.wants_input(CLIENT) {
            self.proxy.receive(CLIENT, bytes, self.time());
        }
        self.turn();
    }

    /// Redis sends these bytes on the client's dedicated connection; without one, in reply to what it was asked.
    fn answer(&mut self, random: &mut Rng, bytes: &[u8]) {
        if self.proxy.dedicated(CLIENT).is_some() {
            for piece in pieces(random, bytes) {
                self.proxy.receive_dedicated(CLIENT, piece, self.time());
            }
            return self.turn();
        }
        for (link, due) in self.due.iter_mut() {
            let mut replies = Replies::default();
            let mut rest = bytes;
            // A link hands over whole replies, and a push is none.
            while replies.len() < *due
                && let Ok(Some((kind, length))) = Scanner::new().feed(rest)
            {
                if kind != b'>' {
                    replies.push(&rest[..length]);
                }
                rest = &rest[length..];
            }
            *due -= replies.len();
            if !replies.is_empty() {
                let now = Time::from_millis(self.now);
                self.proxy.upstream(&Event::Replies { link, replies }, now);
            }
        }
        self.turn();
    }

    /// What the shell does at the end of a turn.
    fn turn(&mut self) {
        self.now += 7;
        while self.proxy.can_resume(CLIENT) {
            let now = self.time();
            self.proxy.resume(CLIENT, now);
        }
        for (link, batch) in self.proxy.requests().iter_mut() {
            *self.due.of(link) += batch.requests.len();
            batch.clear();
        }
        self.proxy.checks().clear();
        if let Some(to_redis) = self.proxy.dedicated(CLIENT) {
            while !to_redis.is_empty() {
                to_redis.send(&mut Taking).expect("it takes everything");
            }
        }
        while self.proxy.next_changed().is_some() {}
        let output = self.proxy.output(CLIENT);
        while !output.is_empty() {
            output.send(&mut Taking).expect("it takes everything");
        }
        self.proxy.output_sent(CLIENT);
        self.proxy.expire(Time::from_millis(self.now));
    }
}

#[test]
fn core() {
    let from_redis = replies::corpus();
    let mut corpus: Corpus = requests::corpus();
    corpus
        .inputs
        .extend(LINES.iter().map(|line| format!("{line}\r\n").into_bytes()));
    corpus
        .words
        .extend(LINES.iter().map(|line| format!("{line}\r\n").into_bytes()));
    fuzz("core", INPUTS_OF_CORE, &corpus, |input, random| {
        let mut world = World::new(&from_redis.input(random), &from_redis.input(random));
        for piece in pieces(random, input) {
            world.send(piece);
            if random.u8(..4) == 0 {
                let bytes = from_redis.input(random);
                world.answer(random, &bytes);
            }
        }
        for _ in 0..random.u8(..4) {
            let line = LINES[random.usize(..LINES.len())];
            world.send(format!("{line}\r\n").as_bytes());
            let bytes = from_redis.input(random);
            world.answer(random, &bytes);
        }
        let now = world.time();
        world.proxy.disconnect(CLIENT, now);
    });
}
