//! Clients whose bytes are nearly requests: changed, left out and doubled at random, split anywhere, with pauses, and
//! with an end of the client's side wherever it comes. What comes back is the same as straight from Redis, byte for
//! byte, and so is what is written.
//!
//! `FUZZ_SECONDS=600 cargo test --test garbled -- --nocapture` goes on for ten minutes with seeds that were not tried
//! before; `FUZZ_SEED=7` tries one. What may differ, and why, is in [`EXPLAINED`].

mod common;

use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream, ToSocketAddrs};
use std::thread;
use std::time::{Duration, Instant};

use common::{Client, DEADLINE, Proxy, RedisServer, fuzz, only_time_to_live, request};
use fastrand::Rng;

/// The sessions of a normal run.
const SESSIONS: u64 = 400;

/// How often is looked at most whether connections still come and go.
const LOOKS: usize = 50;

/// What a client may be at, whatever it is made to say.
const LINES: &[&str] = &[
    "PING",
    "PING text",
    "ECHO text",
    "NONSENSE a b",
    "GET k",
    "GET none",
    "GET",
    "MGET k n none",
    "SET k 12",
    "SET n 5",
    "SET k \"a b\"",
    "DEL k n",
    "INCR n",
    "APPEND k x",
    "GETRANGE k 0 -1",
    "LPUSH l a b",
    "LRANGE l 0 -1",
    "HGETALL h",
    "HSET h f v",
    "TYPE k",
    "EXPIRE k 100",
    "EVAL \"return redis.call('SET', 'k', 'by a script')\" 0",
    "EVAL \"return {1, {2, 'x'}}\" 0",
    "OBJECT HELP",
    "OBJECT ENCODING n",
    "MULTI",
    "MULTI",
    "EXEC",
    "EXEC",
    "DISCARD",
    "WATCH k",
    "UNWATCH",
    "CLIENT REPLY ON",
    "CLIENT REPLY OFF",
    "CLIENT REPLY SKIP",
    "CLIENT REPLY SKIP",
    "CLIENT GETNAME",
    "CLIENT SETNAME me",
    "HELLO 2",
    "HELLO 3",
    "HELLO 3 SETNAME me",
    "AUTH default any",
    "AUTH limited right",
    "AUTH limited wrong",
    "SELECT 1",
    "SELECT 0",
    "RESET",
    "SUBSCRIBE a",
    "SUBSCRIBE a",
    "UNSUBSCRIBE a",
    "UNSUBSCRIBE",
    "PSUBSCRIBE a*",
    "PUNSUBSCRIBE",
    "SSUBSCRIBE s",
    "SUNSUBSCRIBE",
    "PUBLISH a text",
    "BLPOP none 0",
    "BLPOP l 0",
    "BLMOVE none l LEFT RIGHT 0",
    "XREAD BLOCK 0 STREAMS none $",
    "MONITOR",
    "ASKING",
    "READONLY",
    "REPLCONF ACK 1",
    "QUIT",
    "",
    "",
    "*0",
    "*-1",
    "*1048577",
    "*1\r\n$1048577",
    "GET \"unbalanced",
    "PING a\0b",
    "*1\r\n$4\0",
    "POST / HTTP/1.1",
    "Host: localhost",
    "CLIENT",
    "CLIENT NO-EVICT on",
    "CLIENT CACHING yes",
    "CLIENT TRACKING on",
    "CLIENT TRACKINGINFO",
    "CLIENT GETREDIR",
    "CLIENT UNPAUSE",
    "ACL WHOAMI",
    "XADD s 1-1 f v",
    "XREAD COUNT 1 STREAMS s 0",
    "XRANGE s - +",
    "SORT l",
    "SORT l STORE k",
    "GETEX k PERSIST",
    "SETRANGE k 2 x",
    "PFADD h2 a",
    "SADD set a",
    "SCARD set",
    "ZADD z 1 a",
    "ZRANGE z 0 -1 WITHSCORES",
    "EXISTS k n",
    "TOUCH k",
    "COPY k n",
    "RENAME k n",
    "LMOVE l l2 LEFT RIGHT",
    "WAIT 0 0",
    "SCRIPT EXISTS x",
    "FUNCTION LIST",
    "EVAL \"return redis.status_reply('QUEUED')\" 0",
    "FLUSHDB",
    "DBSIZE",
    "RANDOMKEY x",
    "MEMORY HELP",
];

/// What is put among the bytes.
const WORDS: &[&[u8]] = &[
    b"\r\n",
    b"\n",
    b"\r",
    b"\0",
    b"*1\r\n",
    b"$4\r\n",
    b"$0\r\n\r\n",
    b"$-1\r\n",
    b"*",
    b"$",
    b"\"",
    b"'",
    b"\\x0",
    b" ",
    b"-",
    b"0",
    b"9",
    b"PING\r\n",
    b"\xff",
    b"a|b",
];

/// A difference that is known.
struct Explained {
    reason: &'static str,
    /// Whether what came back from the proxy, and from Redis, to these bytes differs for this reason.
    applies: fn(&[u8], &[u8], &[u8]) -> bool,
}

/// The differences that are known, and their reasons.
const EXPLAINED: &[Explained] = &[
    Explained {
        reason: "POST and Host: end a connection at once, and what its earlier requests had been sent or written by then \
                 is a matter of time, at Redis as here",
        applies: |bytes, actual, expected| {
            let bytes = bytes.to_ascii_lowercase();
            let starts_same = actual.starts_with(expected) || expected.starts_with(actual);
            starts_same && (contains(&bytes, b"post") || contains(&bytes, b"host:"))
        },
    },
    Explained {
        reason: "a name with a NUL is sent to Redis without it, with a blank that shows in its error, so that it can't \
                 stand for another command",
        applies: |bytes, actual, expected| {
            let without = |text: &[u8]| text.escape_ascii().to_string().replace(" \\'", "\\'");
            bytes.contains(&0) && without(actual) == without(expected)
        },
    },
    Explained {
        reason: "RANDOMKEY may name any key",
        applies: |bytes, actual, expected| {
            let lines = |text: &[u8]| -> Vec<Vec<u8>> {
                let lines = text.split(|&byte| byte == b'\n');
                lines.map(|line| line.trim_ascii_end().to_vec()).collect()
            };
            let (actual, expected) = (lines(actual), lines(expected));
            // Every key was named by the session.
            let is_name = |line: Option<&Vec<u8>>| {
                line.is_some_and(|line| !line.is_empty() && contains(bytes, line))
            };
            let same = |at: usize| {
                let is_length = actual[at].starts_with(b"$") && expected[at].starts_with(b"$");
                let name = if is_length { at + 1 } else { at };
                actual[at] == expected[at]
                    || is_name(actual.get(name)) && is_name(expected.get(name))
            };
            contains(&bytes.to_ascii_lowercase(), b"randomkey")
                && actual.len() == expected.len()
                && (0..actual.len()).all(same)
        },
    },
    Explained {
        reason: "INFO is about the proxy",
        applies: |_, actual, expected| {
            contains(expected, b"redis_version:") && contains(actual, b"redis_proxy_version:")
        },
    },
    Explained {
        reason: "CLIENT INFO shows the proxy's client",
        applies: |_, actual, expected| {
            let is_shown = |line: &[u8]| line.starts_with(b"id=") && contains(line, b" laddr=");
            let without = |text: &[u8]| {
                let mut lines: Vec<Vec<u8>> = Vec::new();
                for line in text.split(|&byte| byte == b'\n') {
                    if is_shown(line) {
                        // It follows on its length, which differs too.
                        lines.pop();
                        lines.push(b"id=".to_vec());
                    } else {
                        lines.push(line.to_vec());
                    }
                }
                lines
            };
            contains(expected, b" laddr=") && without(actual) == without(expected)
        },
    },
    Explained {
        reason: "each Redis ends several subscriptions in an order of its own",
        applies: |bytes, actual, expected| {
            let lines = |text: &[u8]| {
                let mut lines: Vec<_> = text
                    .split(|&byte| byte == b'\n')
                    .map(<[u8]>::to_vec)
                    .collect();
                lines.sort_unstable();
                lines
            };
            contains(&bytes.to_ascii_lowercase(), b"unsubscribe")
                && lines(actual) == lines(expected)
        },
    },
];

fn contains(bytes: &[u8], word: &[u8]) -> bool {
    bytes.windows(word.len()).any(|part| part == word)
}

/// What a client sends, and how.
#[derive(Debug)]
struct Session {
    bytes: Vec<u8>,
    /// Where it is split, and how long the client waits there.
    splits: Vec<(usize, Duration)>,
}

impl Session {
    fn new(random: &mut Rng) -> Self {
        let mut bytes = Vec::new();
        for _ in 0..random.usize(1..12) {
            let line = LINES[random.usize(..LINES.len())];
            bytes.extend(encode(random, line));
        }
        for _ in 0..[0, 1, 1, 2, 4][random.usize(..5)] {
            mutate(random, &mut bytes);
        }
        let mut splits: Vec<_> = (0..[0, 0, 1, 3, 10][random.usize(..5)])
            .map(|_| (random.usize(..=bytes.len()), pause(random)))
            .collect();
        splits.sort_unstable();
        Self { bytes, splits }
    }

    /// Sends it, then ends the client's side; returns all that comes back.
    fn run(&self, address: impl ToSocketAddrs) -> Vec<u8> {
        let mut stream = TcpStream::connect(address).expect("the server accepts");
        stream.set_nodelay(true).expect("a socket option");
        stream
            .set_read_timeout(Some(DEADLINE))
            .expect("a socket option");
        let mut start = 0;
        // A server that has closed takes no more.
        for &(at, pause) in &self.splits {
            let _ = stream.write_all(&self.bytes[start..at]);
            thread::sleep(pause);
            start = at;
        }
        let _ = stream.write_all(&self.bytes[start..]);
        let _ = stream.shutdown(Shutdown::Write);
        let mut received = Vec::new();
        match stream.read_to_end(&mut received) {
            Ok(_) => {}
            // It left what it did not want to read.
            Err(error) if error.kind() == ErrorKind::ConnectionReset => {}
            Err(error) => panic!(
                "{error}: \"{}\" is all that came of \"{}\" {:?}",
                received.escape_ascii(),
                self.bytes.escape_ascii(),
                self.splits
            ),
        }
        received
    }
}

/// A line as an inline request or as an array.
fn encode(random: &mut Rng, line: &str) -> Vec<u8> {
    let is_plain = !line.is_empty() && !line.contains(['"', '*', '\0']);
    if is_plain && random.bool() {
        return request(&line.split(' ').collect::<Vec<_>>());
    }
    [
        line.as_bytes(),
        if random.u8(..4) == 0 { b"\n" } else { b"\r\n" },
    ]
    .concat()
}

/// Often none, so that much comes at once.
fn pause(random: &mut Rng) -> Duration {
    Duration::from_micros([0, 100, 1000, 5000][random.usize(..4)])
}

fn mutate(random: &mut Rng, bytes: &mut Vec<u8>) {
    let start = random.usize(..=bytes.len());
    let end = random.usize(start..=bytes.len().min(start + 20));
    match random.u8(..8) {
        0 => bytes.truncate(start),
        1 if start < bytes.len() => bytes[start] = random.u8(..),
        2 => bytes.insert(start, random.u8(..)),
        3 => drop(bytes.drain(start..end)),
        4 => {
            let again = bytes[start..end].to_vec();
            bytes.splice(end..end, again);
        }
        _ => {
            let word = WORDS[random.usize(..WORDS.len())];
            bytes.splice(
                start..if random.bool() { start } else { end },
                word.iter().copied(),
            );
        }
    }
}

/// What came back, without what differs from connection to connection: ids, and what a monitor sees.
fn comparable(received: &[u8]) -> Vec<u8> {
    let mut lines = Vec::new();
    let mut id_follows = false;
    for line in received.split_inclusive(|&byte| byte == b'\n') {
        if line.len() > 12 && line[0] == b'+' && line[1..11].iter().all(u8::is_ascii_digit) {
            continue;
        }
        lines.push(if id_follows && line[0] == b':' {
            b":id\r\n"
        } else {
            line
        });
        id_follows = line == b"id\r\n";
    }
    lines.concat()
}

/// The ids of the connections to the server that a client asks.
fn connections(client: &mut Client) -> Vec<String> {
    let list = client.command(&["CLIENT", "LIST"]);
    let text = String::from_utf8_lossy(&list);
    let ids = text.lines().filter_map(|line| line.split(' ').next());
    ids.filter(|word| word.starts_with("id="))
        .map(str::to_owned)
        .collect()
}

/// Two servers with the same users, the first of them behind two proxies.
struct Worlds {
    proxies: [Proxy; 2],
    redis: RedisServer,
    straight: RedisServer,
    /// A client for each shared connection to Redis that sessions use: what comes back to it was behind all that a
    /// session sent there.
    behind: Vec<Client>,
    /// A client of each server.
    watchers: [Client; 2],
}

impl Worlds {
    fn start() -> Self {
        let options = ["--enable-debug-command", "yes"];
        let [redis, straight] = [
            RedisServer::start_with(&options),
            RedisServer::start_with(&options),
        ];
        for server in [&redis, &straight] {
            let user = "ACL SETUSER limited on >right ~k ~l &a +@all -multi -incr";
            let words: Vec<&str> = user.split(' ').collect();
            assert_eq!(server.client().command(&words), b"+OK\r\n");
        }
        let proxies = [&[][..], only_time_to_live()].map(|flags| Proxy::start(&redis, flags));
        let shared = proxies.iter().flat_map(|proxy| {
            let connections = [("2", "0"), ("2", "1"), ("3", "0"), ("3", "1")];
            connections.map(|(protocol, database)| {
                let mut client = proxy.client();
                client.command(&["HELLO", protocol]);
                assert_eq!(client.command(&["SELECT", database]), b"+OK\r\n");
                client
            })
        });
        let behind = shared.collect();
        let watchers = [&redis, &straight].map(RedisServer::client);
        Self {
            redis,
            proxies,
            straight,
            behind,
            watchers,
        }
    }

    /// Waits until nothing is on its way any more that the session before sent: where it was closed before its requests
    /// were answered, they may reach Redis later than another client's.
    fn settle(&mut self) {
        for client in &mut self.behind {
            assert_eq!(client.command(&["DEL", "no-such-key"]), b":0\r\n");
        }
        for client in &mut self.watchers {
            let mut before = connections(client);
            for _ in 0..LOOKS {
                let now = connections(client);
                if std::mem::replace(&mut before, now) == before {
                    break;
                }
            }
        }
    }

    /// Runs the session of a seed on both; returns what differs.
    fn run(&mut self, seed: u64) -> Option<String> {
        self.settle();
        let mut random = Rng::with_seed(seed);
        let session = Session::new(&mut random);
        let proxy = &self.proxies[random.usize(..2)];
        for mut client in [proxy.client(), self.straight.client()] {
            assert_eq!(client.command(&["FLUSHALL"]), b"+OK\r\n");
        }
        let expected = comparable(&session.run(self.straight.address()));
        let actual = comparable(&session.run(proxy.address()));
        let of_data = |mut client: Client| client.command(&["DEBUG", "DIGEST"]);
        let same_data = of_data(self.redis.client()) == of_data(self.straight.client());
        if actual == expected && same_data {
            return None;
        }
        let applies = |known: &&Explained| (known.applies)(&session.bytes, &actual, &expected);
        if let Some(known) = EXPLAINED.iter().find(applies) {
            println!("FUZZ_SEED={seed} differs: {}", known.reason);
            return None;
        }
        let data = if same_data { "the same" } else { "other" };
        Some(format!(
            "FUZZ_SEED={seed}\n    sent: \"{}\"\n  splits: {:?}\nexpected: \"{}\"\n  actual: \"{}\"\n    data: {data}",
            session.bytes.escape_ascii(),
            session.splits,
            expected.escape_ascii(),
            actual.escape_ascii(),
        ))
    }
}

#[test]
fn random_bytes_are_answered_as_at_redis() {
    let (seeds, end) = fuzz(SESSIONS);
    let mut worlds = Worlds::start();
    let (mut sessions, mut differences) = (0, Vec::new());
    for seed in seeds {
        differences.extend(worlds.run(seed));
        sessions += 1;
        if end.is_some_and(|end| Instant::now() >= end) {
            break;
        }
    }
    println!("{sessions} sessions");
    let count = differences.len();
    assert!(
        differences.is_empty(),
        "{count} differ\n{}",
        differences.join("\n\n")
    );
}
