//! Either direction of a connection to Redis is held at every moment, as by a firewall that has forgotten an
//! idle connection: what is cached is served no longer than it may take to notice that.

use std::thread;
use std::time::{Duration, Instant};

use crate::common::{
    Client, ConnectionId, DEADLINE, DIRECTIONS, Direction, Proxy, RedisServer, Relay, bulk,
    eventually,
};
use crate::connections::address;
use crate::wire::{Protocol, words};

/// From one health check of a connection to the next.
const CHECK: Duration = Duration::from_secs(1);
/// What a busy machine may take besides.
const MARGIN: Duration = Duration::from_secs(1);

/// How long the proxy may take to notice that a connection to Redis carries nothing any more: until the next
/// health check, and twice as long as Redis may keep silent.
pub fn noticed_within(timeout: Duration) -> Duration {
    CHECK + 2 * timeout + MARGIN
}

const TIMEOUT: Duration = Duration::from_millis(1000);

/// The most connections to Redis that are held one by one.
const CONNECTIONS: usize = 3;

/// From one read to the next.
const READ_EVERY: Duration = Duration::from_millis(20);

/// When the hold begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Moment {
    /// When connected, right before the first read.
    BeforeTheFirstRead,
    /// When connected, long before the first read, while no client is there.
    LongBeforeTheFirstRead,
    /// The first read is under way.
    WhileFetched,
    /// The value has just been cached.
    RightAfterCached,
    /// The value is cached, and nothing happens but health checks.
    Idle,
}

const MOMENTS: [Moment; 5] = [
    Moment::BeforeTheFirstRead,
    Moment::LongBeforeTheFirstRead,
    Moment::WhileFetched,
    Moment::RightAfterCached,
    Moment::Idle,
];

#[derive(Clone, Copy, Debug)]
struct Case {
    moment: Moment,
    direction: Direction,
    /// Which connection is held, by age; all without one.
    connection: Option<usize>,
    /// What the client speaks.
    protocol: Protocol,
}

/// Redis, a relay and the proxy, with a key that has a value.
struct World<'a> {
    case: Case,
    redis: &'a RedisServer,
    key: String,
    proxy: Proxy,
    relay: Relay,
}

#[test]
fn nothing_stale_is_served_for_long_when_either_direction_is_held_at_any_moment() {
    let redis = &RedisServer::start();
    let stale: Vec<String> = thread::scope(|scope| {
        let cases = cases().into_iter().enumerate();
        let cases: Vec<_> = cases
            .map(|(number, case)| scope.spawn(move || World::start(redis, case, number)?.run()))
            .collect();
        let results = cases.into_iter().map(|case| case.join());
        results
            .filter_map(|result| result.expect("a case that ends"))
            .collect()
    });
    assert!(stale.is_empty(), "{}", stale.join("\n"));
}

/// Each direction of each connection, and of all, at each moment.
fn cases() -> Vec<Case> {
    let mut cases = Vec::new();
    for moment in MOMENTS {
        for direction in DIRECTIONS {
            for protocol in [Protocol::Resp2, Protocol::Resp3] {
                for connection in (0..CONNECTIONS).map(Some).chain([None]) {
                    cases.push(Case {
                        moment,
                        direction,
                        connection,
                        protocol,
                    });
                }
            }
        }
    }
    cases
}

impl<'a> World<'a> {
    /// Starts all; none when there are fewer connections than the case is about.
    fn start(redis: &'a RedisServer, case: Case, number: usize) -> Option<Self> {
        let key = format!("key:{number}");
        redis.set(&key, "old");
        let relay = Relay::start(address(redis), |_| Duration::ZERO).expect("a relay");
        let timeout = TIMEOUT.as_millis().to_string();
        let flags = ["--redis_timeout", &timeout];
        let proxy = Proxy::start_at(&relay.address().to_string(), &flags);
        proxy.wait_for_redis();
        let world = Self {
            case,
            redis,
            key,
            relay,
            proxy,
        };
        // Whatever connection this client's requests need is there from now on.
        eventually("it is served", || {
            let mut client = world.client();
            client.send(words("DBSIZE"));
            client.reply_or_end().is_some()
        });
        let connections = world.relay.connections().len();
        case.connection
            .is_none_or(|index| index < connections)
            .then_some(world)
    }

    fn client(&self) -> Client {
        let mut client = self.proxy.client();
        if self.case.protocol == Protocol::Resp3 {
            client.command(&["HELLO", "3"]);
        }
        client
    }

    /// Returns what is wrong, if anything is.
    fn run(self) -> Option<String> {
        let mut waiting = self.client();
        let mut client = match self.case.moment {
            Moment::BeforeTheFirstRead => {
                let mut client = self.client();
                self.hold();
                self.read_old(&mut client);
                client
            }
            Moment::LongBeforeTheFirstRead => {
                drop(waiting);
                self.hold();
                thread::sleep(noticed_within(TIMEOUT));
                let mut client = self.client();
                self.read_old(&mut client);
                client
            }
            Moment::WhileFetched => {
                self.hold();
                self.start_reading(&mut waiting);
                self.client()
            }
            Moment::RightAfterCached => {
                let mut client = self.client();
                self.read_old(&mut client);
                self.hold();
                client
            }
            Moment::Idle => {
                let mut client = self.client();
                self.read_old(&mut client);
                self.await_a_check();
                self.hold();
                client
            }
        };
        self.redis.set(&self.key, "new");
        self.read_new(&mut client)
    }

    /// The connections that the case is about. On a busy machine there may be fewer for a moment.
    fn connections(&self) -> Vec<ConnectionId> {
        let all = self.relay.connections();
        match self.case.connection {
            Some(index) => all.into_iter().skip(index).take(1).collect(),
            None => all,
        }
    }

    fn hold(&self) {
        self.relay.hold(&self.connections(), self.case.direction);
    }

    /// Reads until the value has come, perhaps over connections that were made after the hold.
    fn read_old(&self, client: &mut Client) {
        eventually("the value is read", || self.read(client) == bulk("old"));
    }

    /// Reads once. A client that is closed, as Redis counts as away, comes again, and has read nothing.
    fn read(&self, client: &mut Client) -> Vec<u8> {
        client.send(words(&format!("GET {}", self.key)));
        client.reply_or_end().unwrap_or_else(|| {
            *client = self.client();
            Vec::new()
        })
    }

    /// Sends a read, and waits until it is held, or answered.
    fn start_reading(&self, client: &mut Client) {
        let connections = self.connections();
        client.send(words(&format!("GET {}", self.key)));
        eventually("the read is held or answered", || {
            let held = |id: &ConnectionId| self.relay.under_way(*id, self.case.direction) > 0;
            connections.iter().any(held) || !client.has_received_nothing()
        });
    }

    /// Waits until Redis has answered something without a request.
    fn await_a_check(&self) {
        let answered = || -> u64 {
            let connections = self.relay.connections();
            let passed = |id: &ConnectionId| self.relay.passed(*id, Direction::ToClient);
            connections.iter().map(passed).sum()
        };
        let before = answered();
        eventually("Redis is checked", || answered() != before);
    }

    /// Reads until the new value comes. Returns what is wrong if the old one is served for too long.
    fn read_new(&self, client: &mut Client) -> Option<String> {
        let changed = Instant::now();
        loop {
            let asked = changed.elapsed();
            let reply = self.read(client);
            if reply == bulk("new") {
                return None;
            }
            if reply == bulk("old") && asked > noticed_within(TIMEOUT) {
                return Some(format!(
                    "the old value is served after {asked:?}: {:?}",
                    self.case
                ));
            }
            assert!(asked < DEADLINE, "no value comes: {:?}", self.case);
            thread::sleep(READ_EVERY);
        }
    }
}
