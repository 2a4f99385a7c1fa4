//! What an application does: reads of values of every type, transactions, a rate limiter in Lua, and writes.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use fastrand::Rng;

use super::{CLIENTS, take_turns};
use crate::client::{Client, PATIENCE, encode};
use crate::dataset::Dataset;
use crate::figures::{figure, grouped, percent, ratio};
use crate::plan::Plan;
use crate::report::{Report, Table};
use crate::requests::Keys;
use crate::servers::Server;
use crate::stats::{self, Sample};

/// What is measured, and how.
pub(super) const ABOUT: &str = "\
    50 clients each send one request at a time: of 20, on average 7 GET, 5 HGETALL, 2 SMEMBERS, 2 ZRANGE, 1 EXISTS, \
    1 SET, 1 EVALSHA of a rate limiter script, and 1 pipeline in MULTI of GET, HGETALL and \
    INCR. There are 100,000 keys, a quarter of each type, of which the proxy caches a tenth; a read picks the \
    key of rank n of its type with a weight of 1 / n^1.1, and a SET any key. Redis is on the same host, or \
    behind a relay that delays each direction by 1 ms. CPU is per request: that of redis-server alone, of \
    redis-server behind the proxy, and of the proxy. The share from the cache is that of reads outside MULTI for \
    which the proxy did not ask Redis.";

/// The keys of each type.
const KEYS: u32 = 25_000;

/// How many keys the proxy may cache.
const CAPACITY: u32 = 4 * KEYS / 10;

/// That the machine stands still for a second is not what is measured.
const TIMEOUT_MS: &str = "10000";

/// Where Redis is.
const DISTANCES: [(&str, Duration); 2] = [
    ("loopback", Duration::ZERO),
    ("1 ms each way", Duration::from_millis(1)),
];

/// The least share of the reads that come from the cache.
const LEAST_FROM_CACHE: f64 = 0.7;

const LIMITER: &[u8] = b"local n = redis.call('INCR', KEYS[1]) \
    if n == 1 then redis.call('EXPIRE', KEYS[1], ARGV[1]) end return n";

/// What Redis is asked for.
const READS: [&str; 5] = ["get", "hgetall", "smembers", "zrange", "exists"];

/// The reads in a transaction.
const READS_OF_A_TRANSACTION: u64 = 2;

pub(super) fn run(plan: &Plan, report: &mut Report) -> io::Result<()> {
    let mut table = Table::new(&[
        "Redis",
        "requests/s: direct",
        "redis-proxy",
        "p50 µs: direct",
        "redis-proxy",
        "p99 µs: direct",
        "redis-proxy",
        "CPU µs: redis-server, direct",
        "behind the proxy",
        "to direct",
        "redis-proxy",
        "from the cache",
    ]);
    for (name, each_way) in DISTANCES {
        let routes = [
            Route::start(plan, each_way, false)?,
            Route::start(plan, each_way, true)?,
        ];
        let [direct, proxy] = take_turns(plan, |route| routes[route].measure(plan))?;
        let from_cache = proxy.median(|sample| 1.0 - sample.reads);
        let both = |of: fn(&Sample) -> f64| [&direct, &proxy].map(|series| series.median(of));
        let rates = both(|sample| sample.rate).map(grouped);
        let times = [both(|sample| sample.p50), both(|sample| sample.p99)].concat();
        let cpu = both(|sample| sample.cpu_redis).map(figure);
        let mut row = vec![name.to_string()];
        row.extend(rates);
        row.extend(times.into_iter().map(figure));
        row.extend(cpu);
        row.push(ratio(proxy.ratio(&direct, |sample| sample.cpu_redis)));
        row.push(figure(proxy.median(|sample| sample.cpu)));
        row.push(percent(from_cache));
        table.row(row);
        let what = format!("application, {name}: reads from the cache");
        report.at_least(what, LEAST_FROM_CACHE, from_cache, "");
        if !each_way.is_zero() {
            let what = format!("application, {name}: p50 to direct");
            report.at_most(what, 1.0, proxy.ratio(&direct, |sample| sample.p50), "");
        }
    }
    report.table(table);
    Ok(())
}

/// A Redis with all keys, and the way to it.
struct Route {
    redis: Server,
    relay: Option<Server>,
    proxy: Option<Server>,
    /// The digest of the script.
    limiter: Vec<u8>,
}

impl Route {
    fn start(plan: &Plan, each_way: Duration, through_the_proxy: bool) -> io::Result<Self> {
        let redis = Server::redis(plan)?;
        let mut client = redis.client()?;
        fill(&mut client)?;
        let limiter = client.ask(&[b"SCRIPT", b"LOAD", LIMITER])?;
        let relay = (!each_way.is_zero()).then(|| Server::relay(plan, &redis, each_way));
        let mut route = Self {
            redis,
            relay: relay.transpose()?,
            proxy: None,
            limiter,
        };
        if through_the_proxy {
            let capacity = CAPACITY.to_string();
            let flags = ["--capacity", &capacity, "--redis_timeout", TIMEOUT_MS];
            route.proxy = Some(Server::proxy(plan, route.entrance(), &flags)?);
            let start = Instant::now();
            while let Err(error) = route.entrance().client()?.get(0) {
                if start.elapsed() > PATIENCE {
                    return Err(error);
                }
                thread::sleep(Duration::from_millis(5));
            }
        }
        warm(&mut route.entrance().client()?)?;
        route.run(plan.turn)?;
        Ok(route)
    }

    /// What clients connect to.
    fn entrance(&self) -> &Server {
        let front = self.proxy.as_ref().or(self.relay.as_ref());
        front.unwrap_or(&self.redis)
    }

    /// Gives it its turn. [`Sample::reads`] is of the reads outside of transactions.
    fn measure(&self, plan: &Plan) -> io::Result<Sample> {
        let mut at_redis = self.redis.client()?;
        let cpu_time = || -> io::Result<[Duration; 2]> {
            let proxy = self.proxy.as_ref().map(Server::cpu_time);
            Ok([
                self.redis.cpu_time()?,
                proxy.transpose()?.unwrap_or_default(),
            ])
        };
        let (asked, before) = (at_redis.calls(&READS)?, cpu_time()?);
        let mut outcome = self.run(plan.turn)?;
        let (after, asked) = (cpu_time()?, at_redis.calls(&READS)? - asked);
        let requests = outcome.times.len() as f64;
        let asked = asked.saturating_sub(outcome.transactions * READS_OF_A_TRANSACTION);
        Ok(Sample {
            rate: requests / outcome.elapsed.as_secs_f64(),
            cpu: stats::microseconds(after[1] - before[1]) / requests,
            cpu_redis: stats::microseconds(after[0] - before[0]) / requests,
            reads: asked as f64 / outcome.reads as f64,
            p50: stats::percentile(&mut outcome.times, 0.50),
            p99: stats::percentile(&mut outcome.times, 0.99),
        })
    }

    /// Has all clients ask for that long.
    fn run(&self, time: Duration) -> io::Result<Outcome> {
        let keys = Keys::zipf(KEYS);
        let start = Instant::now();
        let found = thread::scope(|scope| {
            let at_work: Vec<_> = (0..CLIENTS)
                .map(|number| {
                    let requests = Requests {
                        keys: &keys,
                        limiter: &self.limiter,
                        client: number,
                        random: Rng::with_seed(fastrand::u64(..)),
                    };
                    scope.spawn(|| work(self.entrance(), requests, start, time))
                })
                .collect();
            let found = at_work.into_iter().map(|client| {
                let panicked = |_| io::Error::other("a client panicked");
                client.join().map_err(panicked)?
            });
            found.collect::<io::Result<Vec<Outcome>>>()
        })?;
        let mut all = Outcome::default();
        for outcome in found {
            all.times.extend(outcome.times);
            all.reads += outcome.reads;
            all.transactions += outcome.transactions;
        }
        all.elapsed = start.elapsed();
        Ok(all)
    }
}

/// What clients did.
#[derive(Default)]
struct Outcome {
    /// How long each request took.
    times: Vec<Duration>,
    elapsed: Duration,
    /// How many were reads outside of transactions.
    reads: u64,
    transactions: u64,
}

/// One client's work.
fn work(
    server: &Server,
    mut requests: Requests<'_>,
    start: Instant,
    time: Duration,
) -> io::Result<Outcome> {
    let mut client = server.client()?;
    let mut outcome = Outcome::default();
    while start.elapsed() < time {
        let (kind, bytes) = requests.draw();
        let sent_at = Instant::now();
        client.send(&bytes)?;
        let replies = match kind {
            Kind::Read | Kind::Other => 1,
            Kind::Transaction => 5,
        };
        for _ in 0..replies {
            client.pass_over()?;
        }
        outcome.times.push(sent_at.elapsed());
        outcome.reads += u64::from(kind == Kind::Read);
        outcome.transactions += u64::from(kind == Kind::Transaction);
    }
    Ok(outcome)
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Read,
    Transaction,
    Other,
}

/// The requests of a client.
struct Requests<'a> {
    keys: &'a Keys,
    limiter: &'a [u8],
    client: usize,
    random: Rng,
}

impl Requests<'_> {
    fn draw(&mut self) -> (Kind, Vec<u8>) {
        let kind = self.random.u8(..20);
        let number = self.keys.draw(&mut self.random);
        let (string, hash) = (Dataset::key(number), key("hash", number));
        match kind {
            0..7 => (Kind::Read, command(&["GET", &string])),
            7..12 => (Kind::Read, command(&["HGETALL", &hash])),
            12..14 => (Kind::Read, command(&["SMEMBERS", &key("set", number)])),
            14..16 => (
                Kind::Read,
                command(&["ZRANGE", &key("zset", number), "0", "9"]),
            ),
            16 => (Kind::Read, command(&["EXISTS", &string])),
            17 => {
                let any = self.random.u32(..KEYS);
                let value = Dataset::of(KEYS).value(any);
                let set = [b"SET", Dataset::key(any).as_bytes(), &value].map(<[u8]>::to_vec);
                (Kind::Other, encode(&set.each_ref().map(Vec::as_slice)))
            }
            18 => {
                let limit = format!("limit:{}", self.client);
                let limiter = [b"EVALSHA", self.limiter, b"1", limit.as_bytes(), b"60"];
                (Kind::Other, encode(&limiter))
            }
            _ => {
                let visits = format!("visits:{}", self.client);
                let commands = [
                    command(&["MULTI"]),
                    command(&["GET", &string]),
                    command(&["HGETALL", &hash]),
                    command(&["INCR", &visits]),
                    command(&["EXEC"]),
                ];
                (Kind::Transaction, commands.concat())
            }
        }
    }
}

fn command(words: &[&str]) -> Vec<u8> {
    let words: Vec<_> = words.iter().map(|word| word.as_bytes()).collect();
    encode(&words)
}

fn key(kind: &str, number: u32) -> String {
    format!("{kind}:{number:010}")
}

/// Has Redis hold keys of all types.
fn fill(client: &mut Client) -> io::Result<()> {
    client.fill(Dataset::of(KEYS), None)?;
    in_batches(client, KEYS, |number| {
        let (name, mail) = (format!("name {number}"), format!("{number}@example.com"));
        let [hash, set, zset] = ["hash", "set", "zset"].map(|kind| key(kind, number));
        [
            command(&["HSET", &hash, "name", &name, "mail", &mail, "age", "42"]),
            command(&["SADD", &set, "one", "two", "three", &name]),
            command(&["ZADD", &zset, "1", "one", "2", "two", "3", &name]),
        ]
    })
}

/// Reads what is read most, so that the cache holds it.
fn warm(client: &mut Client) -> io::Result<()> {
    in_batches(client, CAPACITY / 4, |number| {
        [
            command(&["GET", &Dataset::key(number)]),
            command(&["HGETALL", &key("hash", number)]),
            command(&["SMEMBERS", &key("set", number)]),
            command(&["ZRANGE", &key("zset", number), "0", "9"]),
        ]
    })
}

/// Sends the requests for each of so many keys, a hundred keys at a time.
fn in_batches<const N: usize>(
    client: &mut Client,
    count: u32,
    requests: impl Fn(u32) -> [Vec<u8>; N],
) -> io::Result<()> {
    for start in (0..count).step_by(100) {
        let batch = start..count.min(start + 100);
        let bytes: Vec<_> = batch.clone().flat_map(&requests).flatten().collect();
        client.send(&bytes)?;
        for _ in 0..batch.len() * N {
            client.pass_over()?;
        }
    }
    Ok(())
}
