//! The harness of the end-to-end tests: a real redis-server, the built proxy, and a client that
//! keeps every byte. Whatever a test starts ends when its value is dropped, also when the test
//! panics. Nothing here sleeps for a result: it polls, or waits for an event, until [`DEADLINE`].

// Every test file compiles the harness for itself and uses a part of it.
#![allow(dead_code, unused_imports)]

mod client;
pub mod cluster;
mod fake_redis;
mod http;
mod packages;
mod port;
mod proxy;
mod redis_server;
mod relay;
pub mod wire;

pub use client::{Client, parse_request, reply_length, request};
pub use fake_redis::{Answer, FakeRedis};
pub use http::{Http, Response, read_response};
pub use packages::{NPM, PIP, installed, node_path, python_path, sources};
pub use port::{Port, listen};
pub use proxy::{Proxy, proxy_command, proxy_command_under, proxy_command_with};
pub use redis_server::RedisServer;
pub use relay::{ConnectionId, DIRECTIONS, Direction, Mark, Relay};

use std::fmt::Debug;
use std::io::Read;
use std::ops::Range;
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::time::{Duration, Instant};

/// How long anything may take before a test calls it broken. It is far above what an idle machine
/// needs, because the machine may be busy.
pub const DEADLINE: Duration = Duration::from_secs(30);

/// How long a program with its hundreds or thousands of requests may take.
const PROGRAM_DEADLINE: Duration = Duration::from_secs(300);

/// A mebibyte.
pub const MB: usize = 1024 * 1024;

/// The number in an environment variable, if that is set.
pub fn variable(name: &str) -> Option<u64> {
    let text = std::env::var(name).ok()?;
    let number = text.parse();
    Some(number.unwrap_or_else(|_| panic!("{name} is a number, not {text:?}")))
}

/// The seeds of a random test that compares with Redis, and when it is to end: as many as it has of its own, or, as
/// `make fuzz` says, new ones for so long; or one that is named.
pub fn fuzz(own: u64) -> (Range<u64>, Option<Instant>) {
    let end = variable("FUZZ_SECONDS").map(|seconds| Instant::now() + Duration::from_secs(seconds));
    let seeds = match (variable("FUZZ_SEED"), end) {
        (Some(seed), _) => seed..seed + 1,
        (None, Some(_)) => fastrand::u64(..1 << 48)..u64::MAX,
        (None, None) => 0..own,
    };
    println!("seeds from {}", seeds.start);
    (seeds, end)
}

/// How long a random test is to go on, as `make soak` says; none for a short run.
pub fn soak() -> Option<Duration> {
    variable("SOAK_SECONDS").map(Duration::from_secs)
}

/// The flags under which a cached value goes stale until its time to live is over, and only then.
pub fn only_time_to_live() -> &'static [&'static str] {
    &["--tracking", "off"]
}

/// The flags that every proxy has unless a test gives others: Redis may take as long as anything may. By default it has
/// a second, which is not enough for a long pipeline on a busy machine.
pub const PATIENT: &[&str] = &["--redis_timeout", "30000"];

/// The flags of a proxy whose Redis goes away: clients wait for it no longer than this.
pub const SOON_AWAY: &[&str] = &["--redis_timeout", "1000"];

/// Polls until `condition` holds; panics with `what` when it doesn't before the deadline.
#[track_caller]
pub fn eventually(what: &str, condition: impl FnMut() -> bool) {
    eventually_within(DEADLINE, what, condition);
}

#[track_caller]
fn eventually_within(deadline: Duration, what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        let waited = start.elapsed();
        assert!(waited < deadline, "not so after {waited:?}: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Asserts that two replies are the same; prints what differs as text, and shortened.
#[track_caller]
pub fn assert_same(actual: &[u8], expected: &[u8], about: &dyn Debug) {
    if actual == expected {
        return;
    }
    let same = actual
        .iter()
        .zip(expected)
        .take_while(|(a, b)| a == b)
        .count();
    let excerpt = |bytes: &[u8]| {
        let end = bytes.len().min(same + 200);
        bytes[same.saturating_sub(40)..end]
            .escape_ascii()
            .to_string()
    };
    panic!(
        "{about:?}: the replies differ at byte {same}\n  expected ({} bytes): …{}\n    actual ({} bytes): …{}",
        expected.len(),
        excerpt(expected),
        actual.len(),
        excerpt(actual),
    );
}

/// Asserts that this is the error of a miss while the Redis at `address` can't be reached, or never could be, and returns
/// the reason that it gives.
#[track_caller]
pub fn reason(reply: &[u8], address: &str) -> String {
    let reply = String::from_utf8(reply.to_vec()).expect("a text");
    let start = format!(" backing Redis at {address} can't be reached: ");
    let coded = ["-ERR", "-LOADING"].map(|code| reply.strip_prefix(code));
    let reason = coded
        .into_iter()
        .flatten()
        .find_map(|rest| rest.strip_prefix(&start))
        .and_then(|rest| rest.strip_suffix("\r\n"));
    let reason = reason.unwrap_or_else(|| panic!("{reply:?}"));
    assert!(!reason.trim().is_empty());
    reason.to_string()
}

/// Asks for a key until the reply is the expected one, as it is when Redis is back.
#[track_caller]
pub fn eventually_get(client: &mut Client, key: &str, expected: &[u8]) {
    eventually("Redis is asked again", || client.get(key) == expected);
}

/// Asks for a key, each time as a new client, until the reply is the expected one: who asks a Redis that is away is closed.
#[track_caller]
pub fn eventually_read(proxy: &Proxy, key: &str, expected: &[u8]) {
    eventually("Redis is asked again", || {
        let mut client = proxy.client();
        client.send(request(&["GET", key]));
        client.reply_or_end().is_some_and(|reply| reply == expected)
    });
}

/// Sets a key, each time as a new client, until it is done: whose write was in flight when Redis went away is closed, or
/// told that it took too long.
#[track_caller]
pub fn eventually_set(proxy: &Proxy, key: &str, value: &str) {
    eventually("writes go on", || {
        let mut client = proxy.client();
        client.send(request(&["SET", key, value]));
        client
            .reply_or_end()
            .is_some_and(|reply| reply == b"+OK\r\n")
    });
}

/// Asserts that who needs a Redis that was never there is told why, by the error of one that is starting, and stays.
/// Returns the reason.
#[track_caller]
pub fn assert_never_there(proxy: &Proxy) -> String {
    let mut client = proxy.client();
    let reply = client.get("a key that is not cached");
    let reply = String::from_utf8(reply).expect("a text");
    assert!(reply.starts_with("-LOADING backing Redis at "), "{reply}");
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"it stays");
    let (_, reason) = reply.split_once(" can't be reached: ").expect("a reason");
    reason.trim_end().to_owned()
}

/// Asserts that who needs Redis is closed, as by a Redis that ends.
#[track_caller]
pub fn assert_away(proxy: &Proxy) {
    let mut client = proxy.client();
    client.send(request(&["GET", "a key that is not cached"]));
    client.assert_closed();
}

/// A bulk string reply.
pub fn bulk(value: impl AsRef<[u8]>) -> Vec<u8> {
    let value = value.as_ref();
    let mut reply = format!("${}\r\n", value.len()).into_bytes();
    reply.extend_from_slice(value);
    reply.extend_from_slice(b"\r\n");
    reply
}

/// `count` bytes without a period that a buffer size could hide.
pub fn noise(count: usize) -> Vec<u8> {
    let mut random = fastrand::Rng::with_seed(count as u64);
    let mut bytes = vec![0; count];
    random.fill(&mut bytes);
    bytes
}

/// Raises the soft limit of open files of the test process, and of what it starts, to the hard one.
pub fn raise_open_files(needed: u64) {
    let limit = rlimit::increase_nofile_limit(u64::MAX).expect("the limit of open files");
    assert!(
        limit >= needed,
        "the limit of open files is {limit}, and {needed} are needed"
    );
}

/// Sends a signal (`TERM`, `STOP`, …) to one process.
pub fn send_signal(pid: u32, signal: &str) {
    let kill = format!("kill -{signal} {pid}");
    let status = Command::new("sh")
        .args(["-c", &kill])
        .status()
        .expect("sh runs");
    assert!(status.success(), "{kill}: {status}");
}

/// Runs a program that a user would run, with nothing of this process's environment but the path,
/// and hands back what it printed. Panics when it is missing or doesn't end in time.
pub fn run_program(name: &str, arguments: &[&str], stdin: &str) -> Output {
    let mut child = Command::new(name)
        .args(arguments)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "dumb")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .map(Ended)
        .unwrap_or_else(|error| panic!("{}", missing(name, &error)));
    // The pipe holds the few lines that tests send, so the write can't block.
    let mut input = child.0.stdin.take().expect("a piped stdin");
    std::io::Write::write_all(&mut input, stdin.as_bytes()).expect("the program reads");
    drop(input);
    let stdout = read_in_background(child.0.stdout.take().expect("a piped stdout"));
    let stderr = read_in_background(child.0.stderr.take().expect("a piped stderr"));
    let status = wait_for_exit(&mut child.0, name, PROGRAM_DEADLINE);
    let [stdout, stderr] = [stdout, stderr].map(|reader| reader.join().expect("a reader"));
    Output {
        status,
        stdout,
        stderr,
    }
}

fn read_in_background(mut pipe: impl Read + Send + 'static) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut output = Vec::new();
        pipe.read_to_end(&mut output).expect("a readable pipe");
        output
    })
}

/// Waits for a process to end; panics at the deadline.
#[track_caller]
fn wait_for_exit(child: &mut Child, name: &str, deadline: Duration) -> ExitStatus {
    let mut status = None;
    eventually_within(deadline, &format!("{name} ended"), || {
        status = child.try_wait().expect("a child to wait for");
        status.is_some()
    });
    status.expect("eventually returns when there is a status")
}

/// A child process that is killed, and waited for, when the value goes.
struct Ended(Child);

impl Drop for Ended {
    fn drop(&mut self) {
        // Both fail only when the process has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn missing(program: &str, error: &std::io::Error) -> String {
    format!(
        "the end-to-end tests need {program}, which didn't start ({error}); redis-server, \
         redis-cli, redis-benchmark and script have to be on the PATH \
         (`apt-get install redis-server redis-tools bsdutils`)"
    )
}
