//! Sessions of a client that does everything a connection can be made to do, with errors of every kind among it,
//! beside the same straight at Redis. What comes back has to be the same, byte for byte; and what was written is
//! read by others, though nobody but the client's own replies tells the proxy of it.
//!
//! `FUZZ_SECONDS=600 cargo test --test dedicated random -- --nocapture` goes on for ten minutes with seeds that were
//! not tried before, `FUZZ_SEED=7` tries one.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Instant;

use fastrand::Rng;

use super::{GoOn, OK, assert_answers};
use crate::common::{Client, PATIENT, Proxy, RedisServer, assert_same, fuzz, only_time_to_live};

/// The sessions of a normal run.
const SESSIONS: u64 = 250;

/// The keys that are read meanwhile.
const KEYS: [&str; 3] = ["k", "n", "dst"];

/// What may be sent anywhere.
const LINES: &[&str] = &[
    "PING",
    "PING text",
    "PING too many",
    "ECHO text",
    "NONSENSE",
    "GET k",
    "GET",
    "MGET k n none",
    "TYPE k",
    "LRANGE l 0 -1",
    "HGETALL none",
    "SET k",
    "DEL k",
    "DEL dst src",
    "INCR n",
    "INCR l",
    "APPEND k x",
    "LPUSH l message",
    "LPUSH src v",
    "RPOP l",
    "FLUSHDB x",
    "EVAL \"return redis.call('SET', 'k', 'by a script')\" 0",
    "EVAL \"return redis.call('INCR', 'l')\" 0",
    "EVAL \"return redis.status_reply('QUEUED')\" 0",
    "EVAL \"return redis.error_reply('EXECABORT no')\" 0",
    "EVAL \"return {'subscribe', 'a', 1}\" 0",
    "MULTI",
    "MULTI",
    "MULTI",
    "MULTI x",
    "EXEC",
    "EXEC",
    "EXEC",
    "EXEC x",
    "DISCARD",
    "DISCARD x",
    "WATCH k",
    "WATCH",
    "UNWATCH",
    "CLIENT REPLY ON",
    "CLIENT REPLY ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY maybe",
    "CLIENT REPLY",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 SETNAME me",
    "HELLO 9",
    "HELLO x",
    "HELLO 3 AUTH limited right",
    "HELLO 3 AUTH limited wrong",
    "AUTH limited right",
    "AUTH limited wrong",
    "AUTH default any",
    "AUTH",
    "SELECT 1",
    "SELECT 0",
    "SELECT 99",
    "RESET",
    "RESET x",
    "MONITOR",
    "MONITOR x",
    "SYNC x",
    "PSYNC",
    "REPLCONF capa eof",
    "REPLCONF ACK 1",
    "REPLCONF capa eof GETACK *",
    "REPLCONF none 1 ack 1",
    "REPLCONF ack",
    "ASKING",
    "READONLY",
    "",
    "*0",
    "*-1",
];

/// What blocks where there is nothing to take.
const BLOCKING: &[&str] = &[
    "BLPOP none 0.01",
    "BLPOP none 0.01",
    "BLPOP src 0.01",
    "BLPOP none x",
    "BLMOVE src dst LEFT RIGHT 0.01",
    "BRPOPLPUSH src dst 0.01",
    "XREAD BLOCK 1 STREAMS none $",
];

/// Of channels no more than one, as Redis names several in an order of its own when all are left.
const SUBSCRIBING: &[&str] = &[
    "SUBSCRIBE a",
    "SUBSCRIBE a a",
    "SUBSCRIBE",
    "PSUBSCRIBE a* b*",
    "PSUBSCRIBE a*",
    "SSUBSCRIBE s",
    "UNSUBSCRIBE a",
    "UNSUBSCRIBE a b",
    "UNSUBSCRIBE",
    "UNSUBSCRIBE",
    "PUNSUBSCRIBE a*",
    "PUNSUBSCRIBE",
    "SUNSUBSCRIBE",
    "PUBLISH a text",
    "PUBLISH a",
    "SPUBLISH s text",
];

/// What looks like a message. In a transaction that subscribes in RESP2 not even Redis's clients can tell.
const LIKE_MESSAGES: &[&str] = &[
    "EVAL \"return {'message', 'a', 'text'}\" 0",
    "EVAL \"return {'pmessage', 'a*', 'a', 'text'}\" 0",
];

/// What a client sends, and how.
struct Session {
    lines: Vec<String>,
    /// Then it ends its side of the connection, instead of having Redis end it.
    half_close: bool,
    /// How many bytes go at once.
    piece: usize,
}

impl Session {
    fn new(random: &mut Rng) -> Self {
        let blocks = random.bool();
        let others = random.choice([SUBSCRIBING, LIKE_MESSAGES]).expect("two");
        let mut lines = Vec::new();
        if random.bool() {
            lines.push("HELLO 3".to_owned());
        }
        for _ in 0..random.usize(3..25) {
            lines.push(match random.u8(..100) {
                0..25 => format!(
                    "SET {} {}",
                    pick(random, &KEYS[..2]),
                    random.u32(..1_000_000)
                ),
                25..45 => pick(random, others).to_owned(),
                45..52 if blocks => pick(random, BLOCKING).to_owned(),
                _ => pick(random, LINES).to_owned(),
            });
        }
        // Redis closes a blocked client that sends nothing more.
        let half_close = !blocks && random.bool();
        if !half_close {
            // An end without a reply ends nothing there.
            let last = pick(random, &["QUIT", "GET \"unbalanced"]);
            lines.extend(["RESET", "RESET", last].map(str::to_owned));
        }
        Self {
            lines,
            half_close,
            piece: *random.choice(&[3, 40, 1000, 1000]).expect("four"),
        }
    }

    /// Runs it; returns all that came back.
    fn run(&self, mut client: Client) -> Vec<u8> {
        let bytes = self.lines.join("\r\n") + "\r\n";
        for piece in bytes.as_bytes().chunks(self.piece) {
            client.send(piece);
        }
        if self.half_close {
            client.finish_sending();
        }
        comparable(&client.read_to_end())
    }
}

fn pick<'a>(random: &mut Rng, from: &[&'a str]) -> &'a str {
    from[random.usize(..from.len())]
}

/// Received bytes without what differs from connection to connection: ids, and what a monitor sees.
fn comparable(received: &[u8]) -> Vec<u8> {
    let text = String::from_utf8_lossy(received);
    let mut lines = Vec::new();
    let mut id_follows = false;
    for line in text.split_inclusive("\r\n") {
        let monitored =
            line.starts_with('+') && line[1..].starts_with(|c: char| c.is_ascii_digit());
        if monitored {
            continue;
        }
        lines.push(if id_follows && line.starts_with(':') {
            ":id\r\n"
        } else {
            line
        });
        id_follows = line == "id\r\n";
    }
    lines.concat().into_bytes()
}

/// Two servers with the same users, the first of them behind a proxy that is told of no change.
struct Worlds {
    proxy: Proxy,
    redis: RedisServer,
    straight: RedisServer,
}

impl Worlds {
    fn start() -> Self {
        let [redis, straight] = [RedisServer::start(), RedisServer::start()];
        for server in [&redis, &straight] {
            let user = "ACL SETUSER limited on >right ~k ~l &a +@all -multi -psubscribe -client|reply -incr";
            assert_answers(&mut server.client(), user, OK);
        }
        let proxy = Proxy::start(&redis, &[PATIENT, only_time_to_live()].concat());
        Self {
            redis,
            proxy,
            straight,
        }
    }

    /// Runs the session of a seed on both.
    fn run(&self, seed: u64) {
        let session = Session::new(&mut Rng::with_seed(seed));
        assert_answers(&mut self.proxy.client(), "FLUSHALL", OK);
        assert_answers(&mut self.straight.client(), "FLUSHALL", OK);
        let expected = session.run(self.straight.client());
        let actual = session.run(self.proxy.client());
        let about = (seed, &session.lines, session.half_close, session.piece);
        assert_same(&actual, &expected, &about);
        for key in KEYS {
            let there = self.redis.client().get(key);
            assert_same(&self.proxy.client().get(key), &there, &(key, about));
        }
    }
}

#[test]
fn random_sessions_are_answered_as_at_redis_and_their_writes_are_read() {
    let (seeds, end) = fuzz(SESSIONS);
    let worlds = Worlds::start();
    let going = AtomicBool::new(true);
    thread::scope(|scope| {
        let go_on = GoOn(&going);
        // Readers bring the keys back into the cache all the time.
        scope.spawn(|| {
            let mut reader = worlds.proxy.client();
            while going.load(Ordering::Relaxed) {
                reader.send("GET k\r\nMGET k n dst\r\nGET dst\r\nGET n\r\n");
                reader.read_replies(4);
            }
        });
        let mut sessions = 0;
        for seed in seeds {
            worlds.run(seed);
            sessions += 1;
            if end.is_some_and(|end| Instant::now() >= end) {
                break;
            }
        }
        println!("{sessions} sessions");
        drop(go_on);
    });
}
