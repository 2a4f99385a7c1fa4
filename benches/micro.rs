//! Instructions per operation of the parser, the cache and the core, counted by callgrind.
//!
//! Each case runs twice in a process of its own under valgrind, the second time with twice as many
//! operations: the difference is the operations alone, without start and preparation. Nothing in it is
//! random, so that the same binary gives the same count every time.
//!
//! `make bench-check` holds the counts against `benches/instructions.txt`, and `make bench-record` renews
//! that file.

use std::collections::BTreeMap;
use std::fs;
use std::hint::black_box;
use std::io::{self, Write};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode};
use std::time::Duration;

use redis_proxy::cache::{Cache, Key, Limits, Value};
use redis_proxy::clock::Time;
use redis_proxy::proxy::{Access, ClientId, Proxy};
use redis_proxy::resp::Protocol;
use redis_proxy::resp::request::{Parsed, Parser, whole_get};
use redis_proxy::upstream::{Backend, Event, LinkId, Replies, Tracking};

/// By how much a count may move unnoticed.
const TOLERANCE: f64 = 0.02;

/// How many operations the shorter run has. It is a multiple of the longest pipeline, and twice as
/// many have as many digits, so that all else is the same in both runs.
const OPERATIONS: u32 = 160 * 64;

/// How many keys there are in the cache.
const KEYS: u32 = 1000;

const NOW: Time = Time::from_millis(1000);

/// Runs so many operations.
type Case = fn(u32);

/// What is measured, by name.
const CASES: &[(&str, Case)] = &[
    ("parse a GET by its start", parse_by_start),
    ("parse a GET", |count| parse(&get(7), count)),
    ("parse an MGET of 100 keys", |count| {
        parse(&mget(100), count)
    }),
    ("parse an inline GET", |count| {
        parse(b"GET key:000000000007\r\n", count)
    }),
    ("find an entry", find),
    ("insert an entry and evict one", insert_and_evict),
    ("hit in the core, no pipeline", |count| hit(1, count)),
    ("hit in the core, pipeline of 16", |count| hit(16, count)),
    ("hit in the core, pipeline of 64", |count| hit(64, count)),
    ("hit with ten rules, no pipeline", |count| {
        hit_with(&ten_rules("ttl=60000"), 1, count)
    }),
    ("hit with ten rules, pipeline of 16", |count| {
        hit_with(&ten_rules("ttl=60000"), 16, count)
    }),
    ("hit of a pinned key, pipeline of 16", |count| {
        hit_with(&ten_rules("pin"), 16, count)
    }),
    ("HGET hit, no pipeline", |count| answer_hit(HGET, 1, count)),
    ("HGET hit, pipeline of 16", |count| {
        answer_hit(HGET, 16, count)
    }),
    ("HGETALL hit, no pipeline", |count| {
        answer_hit(HGETALL, 1, count)
    }),
    ("HGETALL hit, pipeline of 16", |count| {
        answer_hit(HGETALL, 16, count)
    }),
    ("EXISTS hit, no pipeline", |count| {
        answer_hit(EXISTS, 1, count)
    }),
    ("EXISTS hit, pipeline of 16", |count| {
        answer_hit(EXISTS, 16, count)
    }),
    ("miss in the core, no pipeline", |count| miss(1, count)),
    ("miss in the core, pipeline of 16", |count| miss(16, count)),
    ("miss with ten rules, pipeline of 16", |count| {
        miss_with(&ten_rules("ttl=60000"), 16, count)
    }),
    ("SET in the core, no pipeline", |count| set(1, count)),
    ("SET in the core, pipeline of 16", |count| set(16, count)),
];

fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let arguments: Vec<&str> = arguments.iter().map(String::as_str).collect();
    let done = match arguments[..] {
        // `cargo bench` adds --bench, and `cargo test` --test.
        ["--check", ..] => count_all().and_then(|counts| check(&counts)),
        ["--record", ..] => count_all().and_then(|counts| record(&counts)),
        ["--run", case, count] => run(case, count),
        [] | ["--bench"] => count_all().map(|counts| {
            print(&counts);
            true
        }),
        ["--test", ..] => return ExitCode::SUCCESS,
        _ => {
            eprintln!("give --check, --record, or nothing");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("can't count instructions: {error}");
            ExitCode::FAILURE
        }
    }
}

/// Runs a case by its number, under valgrind.
fn run(case: &str, count: &str) -> io::Result<bool> {
    let case = case.parse().ok().and_then(|case: usize| CASES.get(case));
    let ((_, operations), Ok(count)) = (case.ok_or(io::ErrorKind::InvalidInput)?, count.parse())
    else {
        return Err(io::ErrorKind::InvalidInput.into());
    };
    operations(count);
    Ok(true)
}

type Counts = BTreeMap<usize, f64>;

/// Counts the instructions of all cases, by their numbers.
fn count_all() -> io::Result<Counts> {
    (0..CASES.len())
        .map(|case| {
            let short = count(case, OPERATIONS)?;
            let long = count(case, 2 * OPERATIONS)?;
            Ok((case, (long - short) as f64 / f64::from(OPERATIONS)))
        })
        .collect()
}

/// Counts the instructions of a whole process that runs a case.
fn count(case: usize, operations: u32) -> io::Result<u64> {
    let output = Command::new("valgrind")
        .args(["--tool=callgrind", "--callgrind-out-file=/dev/null"])
        .arg(std::env::current_exe()?)
        .args(["--run", &case.to_string(), &operations.to_string()])
        // The environment lies on the stack, and where the stack ends seeds the hasher.
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .output()
        .map_err(|error| io::Error::new(error.kind(), format!("valgrind: {error}")))?;
    let text = String::from_utf8_lossy(&output.stderr);
    let collected = text
        .lines()
        .find_map(|line| line.split_once("Collected :"))
        .and_then(|(_, count)| count.trim().parse().ok());
    match collected {
        Some(count) if output.status.success() => Ok(count),
        _ => Err(io::Error::other(text.into_owned())),
    }
}

fn file() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("benches/instructions.txt")
}

fn print(counts: &Counts) {
    for (&case, count) in counts {
        println!("{:<36} {count:>9.1}", CASES[case].0);
    }
}

/// Writes the file anew.
fn record(counts: &Counts) -> io::Result<bool> {
    print(counts);
    let mut text = String::from(
        "# Instructions per operation, counted by callgrind. `make bench-check` compares with these, and\n\
         # `make bench-record` renews them. They hold for one compiler, C library and kind of CPU.\n",
    );
    for (&case, count) in counts {
        text += &format!("{}: {count:.1}\n", CASES[case].0);
    }
    fs::write(file(), text)?;
    Ok(true)
}

/// Shows what moved. Returns whether nothing did.
fn check(counts: &Counts) -> io::Result<bool> {
    let text = fs::read_to_string(file())?;
    let recorded: BTreeMap<&str, f64> = text
        .lines()
        .filter_map(|line| line.split_once(": "))
        .filter_map(|(name, count)| Some((name, count.parse().ok()?)))
        .collect();
    let mut steady = true;
    println!(
        "{:<36} {:>9} {:>9}",
        "instructions per operation", "recorded", "now"
    );
    for (&case, &count) in counts {
        let name = CASES[case].0;
        let Some(&before) = recorded.get(name) else {
            println!("{name:<36} {:>9} {count:>9.1}  new", "");
            steady = false;
            continue;
        };
        let moved = count / before - 1.0;
        let mark = if moved.abs() > TOLERANCE {
            steady = false;
            "  moved"
        } else {
            ""
        };
        println!(
            "{name:<36} {before:>9.1} {count:>9.1} {:>+7.1} %{mark}",
            moved * 100.0
        );
    }
    if !steady {
        println!("\nMore than 2% off: if that is meant, `make bench-record`.");
    }
    Ok(steady)
}

fn key(number: u32) -> String {
    format!("key:{number:012}")
}

fn get(number: u32) -> Vec<u8> {
    format!("*2\r\n$3\r\nGET\r\n$16\r\n{}\r\n", key(number)).into_bytes()
}

fn mget(keys: u32) -> Vec<u8> {
    let mut request = format!("*{}\r\n$4\r\nMGET\r\n", keys + 1);
    for number in 0..keys {
        request += &format!("$16\r\n{}\r\n", key(number));
    }
    request.into_bytes()
}

const VALUE: &[u8] = b"a value of thirty-five bytes, so so";

fn limits() -> Limits {
    Limits {
        entries: KEYS as usize,
        memory: 0,
        reply: 0,
        ttl: Duration::from_secs(300),
        stale_ttl: Duration::ZERO,
    }
}

/// Parses a GET as those of pipelines are.
fn parse_by_start(count: u32) {
    let request = get(7);
    for _ in 0..count {
        black_box(whole_get(black_box(&request)));
    }
}

/// Parses one request again and again.
fn parse(request: &[u8], count: u32) {
    let mut parser = Parser::new();
    for _ in 0..count {
        match parser.parse(black_box(request)) {
            Ok(Parsed::Request { request, used }) => {
                black_box((request.argument(0), used));
            }
            other => panic!("{other:?}"),
        }
    }
}

fn full_cache() -> Cache {
    let mut cache = Cache::new(limits());
    for number in 0..KEYS {
        cache.insert(
            Key::new(0, key(number).as_bytes()),
            &Value::Bytes(VALUE),
            NOW,
        );
    }
    cache
}

/// Gets entries in an order that is not that of their insertion.
fn find(count: u32) {
    let mut cache = full_cache();
    let keys: Vec<String> = (0..KEYS).map(|number| key(number * 7 % KEYS)).collect();
    for key in keys.iter().cycle().take(count as usize) {
        assert!(black_box(cache.get(black_box(Key::new(0, key.as_bytes())), NOW)).is_some());
    }
}

/// Inserts keys that are not there into a full cache.
fn insert_and_evict(count: u32) {
    let mut cache = full_cache();
    let keys: Vec<String> = (0..4 * KEYS).map(key).collect();
    let after_first = keys.iter().cycle().skip(KEYS as usize);
    for (turn, key) in after_first.take(count as usize).enumerate() {
        let now = NOW.after(Duration::from_millis(turn as u64 / 100));
        cache.insert(
            black_box(Key::new(0, key.as_bytes())),
            &Value::Bytes(VALUE),
            now,
        );
    }
    assert_eq!(cache.len(), KEYS as usize);
}

/// A socket that takes all.
struct Sink;

impl Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        Ok(black_box(bytes).len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// The core, with a client and a Redis that answers every request with the same value.
struct World {
    proxy: Proxy,
    client: ClientId,
}

impl World {
    fn new() -> Self {
        let mut proxy = Proxy::new(limits(), Access::default(), 0);
        proxy.upstream(&Event::Up(Backend::default()), NOW);
        proxy.upstream(&Event::Tracking(Tracking::On), NOW);
        let client = ClientId(0);
        proxy.connect(client, None, NOW);
        Self { proxy, client }
    }

    /// A turn of the loop in which the client sends bytes. Returns how many requests went to Redis.
    fn turn(&mut self, bytes: &[u8]) -> usize {
        self.proxy.receive(self.client, black_box(bytes), NOW);
        let batch = self.proxy.requests().of(LinkId::new(Protocol::Resp2, 0));
        let asked = batch.requests.len();
        batch.clear();
        self.write();
        asked
    }

    /// Redis answers so many requests: each second one asks for a time to live.
    fn answer(&mut self, count: usize) {
        let mut replies = Replies::default();
        for _ in 0..count / 2 {
            replies.push(&[b"$35\r\n", VALUE, b"\r\n"].concat());
            replies.push(b":-1\r\n");
        }
        let link = LinkId::new(Protocol::Resp2, 0);
        self.proxy.upstream(&Event::Replies { link, replies }, NOW);
        self.write();
    }

    fn write(&mut self) {
        while let Some(client) = self.proxy.next_changed() {
            let output = self.proxy.output(client);
            while !output.is_empty() {
                output.send(&mut Sink).expect("a sink takes all");
            }
            self.proxy.output_sent(client);
        }
    }
}

/// Pipelines of GETs of so many keys, with the keys spread.
fn pipelines(length: u32, keys: u32) -> Vec<Vec<u8>> {
    (0..keys)
        .map(|first| {
            (0..length)
                .flat_map(|step| get((first * length + step) * 7 % keys))
                .collect()
        })
        .collect()
}

/// Ten rules for prefixes, of which the last matches all keys of a case.
fn ten_rules(option: &str) -> String {
    let others = (0..9).map(|number| format!("other:{number}:* {option}"));
    let rules: Vec<String> = others.chain([format!("key:* {option}")]).collect();
    rules.join(" ; ")
}

/// GETs of cached keys; an operation is one GET.
fn hit(pipeline: u32, count: u32) {
    hit_with("", pipeline, count);
}

/// The same with rules.
fn hit_with(rules: &str, pipeline: u32, count: u32) {
    let mut world = World::new();
    world.proxy.set_rules(rules.parse().expect("rules"), None);
    for number in 0..KEYS {
        let asked = world.turn(&get(number));
        world.answer(asked);
    }
    let pipelines = pipelines(pipeline, KEYS);
    for requests in pipelines.iter().cycle().take((count / pipeline) as usize) {
        assert_eq!(world.turn(requests), 0, "all are hits");
    }
}

/// A command that asks about a key, what it says behind that, and Redis's reply: as long as that of GET, if it can be.
struct Question {
    name: &'static str,
    rest: &'static [u8],
    reply: &'static [u8],
}

const HGET: Question = Question {
    name: "HGET",
    rest: b"$5\r\nfield\r\n",
    reply: b"$35\r\na value of thirty-five bytes, so so\r\n",
};
const HGETALL: Question = Question {
    name: "HGETALL",
    rest: b"",
    reply: b"*2\r\n$5\r\nfield\r\n$20\r\na value of twenty by\r\n",
};
const EXISTS: Question = Question {
    name: "EXISTS",
    rest: b"",
    reply: b":1\r\n",
};

impl Question {
    fn about(&self, number: u32) -> Vec<u8> {
        let count = if self.rest.is_empty() { 2 } else { 3 };
        let Self { name, rest, .. } = self;
        let start = format!("*{count}\r\n${}\r\n{name}\r\n", name.len());
        let key = format!("$16\r\n{}\r\n", key(number));
        [start.as_bytes(), key.as_bytes(), rest].concat()
    }
}

/// Questions whose answers are cached; an operation is one of them.
fn answer_hit(question: Question, pipeline: u32, count: u32) {
    let mut world = World::new();
    for number in 0..KEYS {
        assert_eq!(world.turn(&question.about(number)), 2, "it is asked for");
        let mut replies = Replies::default();
        replies.push(question.reply);
        replies.push(b":-1\r\n");
        let link = LinkId::new(Protocol::Resp2, 0);
        world.proxy.upstream(&Event::Replies { link, replies }, NOW);
        world.write();
    }
    let pipelines: Vec<Vec<u8>> = (0..KEYS)
        .map(|first| {
            (0..pipeline)
                .flat_map(|step| question.about((first * pipeline + step) * 7 % KEYS))
                .collect()
        })
        .collect();
    for requests in pipelines.iter().cycle().take((count / pipeline) as usize) {
        assert_eq!(world.turn(requests), 0, "all are hits");
    }
}

/// GETs of keys that were evicted since, and Redis's replies to them; an operation is one GET.
fn miss(pipeline: u32, count: u32) {
    miss_with("", pipeline, count);
}

/// The same with rules.
fn miss_with(rules: &str, pipeline: u32, count: u32) {
    let mut world = World::new();
    world.proxy.set_rules(rules.parse().expect("rules"), None);
    let pipelines = pipelines(pipeline, 4 * KEYS);
    for requests in pipelines.iter().cycle().take((count / pipeline) as usize) {
        let asked = world.turn(requests);
        // Each asks for the value and for its time to live.
        assert_eq!(asked, 2 * pipeline as usize, "all are misses");
        world.answer(asked);
    }
}

/// SETs of keys of which a quarter is cached, and Redis's replies to them; an operation is one SET.
fn set(pipeline: u32, count: u32) {
    let mut world = World::new();
    for number in 0..KEYS {
        let asked = world.turn(&get(number));
        world.answer(asked);
    }
    let pipelines: Vec<Vec<u8>> = (0..4 * KEYS)
        .map(|first| {
            let numbers = (0..pipeline).map(|step| (first * pipeline + step) * 7 % (4 * KEYS));
            let request = |number| {
                format!(
                    "*3\r\n$3\r\nSET\r\n$16\r\n{}\r\n$5\r\nvalue\r\n",
                    key(number)
                )
            };
            numbers.map(request).collect::<String>().into_bytes()
        })
        .collect();
    for requests in pipelines.iter().cycle().take((count / pipeline) as usize) {
        let asked = world.turn(requests);
        let mut replies = Replies::default();
        (0..asked).for_each(|_| replies.push(b"+OK\r\n"));
        let link = LinkId::new(Protocol::Resp2, 0);
        world.proxy.upstream(&Event::Replies { link, replies }, NOW);
        world.write();
    }
}
