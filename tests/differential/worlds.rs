//! The two worlds: a Redis with the proxy in front, and a Redis that is asked directly.

use std::net::SocketAddr;

use crate::common::{PATIENT, Proxy, RedisServer, eventually};
use crate::run::{Count, Run};
use crate::wire::Connection;
use crate::words::{Known, SCRIPTS};

/// A Redis for the proxy, and one that is asked directly.
pub struct Worlds {
    behind: RedisServer,
    alone: RedisServer,
    pub known: Known,
}

/// How the proxy is started, by the seed. Without tracking it knows of writes only from what its own
/// clients send: so nothing hides what it overlooks there.
pub const FLAGS: &[&[&str]] = &[
    &["--tracking", "off"],
    &[],
    &["--tracking", "off", "--capacity", "3"],
    &["--max_memory", "20kb"],
    &["--tracking", "off"],
    &["--cache_ttl", "30", "--cache_period", "1"],
];

impl Worlds {
    pub fn start() -> Self {
        let options = [
            // The compression reads memory that nobody wrote.
            ["--rdbcompression", "no"],
            // For subscribers to hear of every write.
            ["--notify-keyspace-events", "KEA"],
        ]
        .concat();
        let alone = RedisServer::start_with(&options);
        Self {
            behind: RedisServer::start_with(&options),
            known: know(&mut Connection::open(address(&alone))),
            alone,
        }
    }

    /// Runs about that many commands at random. Panics at the first difference.
    pub fn run(&self, seed: u64, commands: usize) -> Count {
        self.with_empty(seed, FLAGS[(seed % FLAGS.len() as u64) as usize], |run| {
            while run.count.commands < commands {
                run.step();
            }
            run.compare_all_keys();
        })
    }

    /// Has `what` done with empty servers and a new proxy.
    pub fn with_empty(
        &self,
        seed: u64,
        flags: &'static [&'static str],
        what: impl FnOnce(&mut Run<'_>),
    ) -> Count {
        clear(&self.behind);
        clear(&self.alone);
        let proxy = Proxy::start(&self.behind, &[PATIENT, flags].concat());
        // It knows its Redis as soon as it has asked it something.
        Connection::open(proxy.address()).command(&["GET", "any"]);
        let [behind, alone] = [&self.behind, &self.alone].map(address);
        let addresses = [proxy.address(), alone];
        let mut run = Run::new(seed, flags, &self.known, addresses, [behind, alone]);
        let asked = || self.behind.calls("get") + self.behind.calls("mget");
        let before = asked();
        what(&mut run);
        run.count.misses = asked() - before;
        run.count
    }
}

fn address(redis: &RedisServer) -> SocketAddr {
    redis.address().parse().expect("an address")
}

/// Empties a Redis after the clients of the run before are gone.
fn clear(redis: &RedisServer) {
    let mut client = Connection::open(address(redis));
    eventually("the clients before are gone", || {
        let list = client.command(&["CLIENT", "LIST"]);
        list.windows(6).filter(|part| part == b" addr=").count() == 1
    });
    for line in [
        "FLUSHALL",
        "SCRIPT FLUSH",
        "FUNCTION FLUSH",
        "ACL SETUSER alice reset on >secret ~* &* +@all -flushall -mget -incr",
    ] {
        let reply = client.command(&line.split(' ').collect::<Vec<_>>());
        assert_eq!(reply, b"+OK\r\n", "{line}");
    }
}

/// Asks Redis for what the runs have to know.
pub fn know(redis: &mut Connection) -> Known {
    let long = "x".repeat(300);
    let mut dumps = Vec::new();
    for line in [
        "SET key text",
        "SET key 42",
        &format!("SET key {long}"),
        "RPUSH key a b 3",
        "SADD key 1 2 3",
        "SADD key a b 3",
        "HSET key f1 v1 f2 v2",
        &format!("HSET key f1 {long}"),
        "ZADD key 1 a 2.5 b inf c",
        "GEOADD key 13.361389 38.115556 Palermo",
        "PFADD key a b c",
        "XADD key 1-1 f v",
    ] {
        redis.command(&["DEL", "key"]);
        redis.command(&line.split(' ').collect::<Vec<_>>());
        dumps.push(content(&redis.command(&["DUMP", "key"])));
    }
    let load = |script: &&str| content(&redis.command(&["SCRIPT", "LOAD", *script]));
    let mut hashes: Vec<Vec<u8>> = SCRIPTS.iter().map(load).collect();
    // That of a script with an error.
    hashes.retain(|hash| hash.len() == 40);
    Known { dumps, hashes }
}

/// What is in a bulk string.
fn content(reply: &[u8]) -> Vec<u8> {
    let line = reply
        .iter()
        .position(|&byte| byte == b'\n')
        .expect("a line")
        + 1;
    reply[line..]
        .strip_suffix(b"\r\n")
        .unwrap_or_default()
        .to_vec()
}
