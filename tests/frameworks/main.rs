//! Frameworks and libraries by their own default settings: programs that do what applications do, straight at Redis and
//! through the proxy. They print the same, and what they read again comes from the cache.
//!
//! `make test` runs those that are installed and done within seconds, `make test-frameworks` all.

#[path = "../common/mod.rs"]
mod common;
mod gain;
mod monitor;
mod packages;
mod recorder;

use std::io::Write;
use std::thread;

use common::{PATIENT, Proxy, RedisServer, run_program};
use gain::Gain;
use monitor::Monitor;
use packages::{node, programs, python, system};
use recorder::Recorder;

/// The least share of the reads that repeat which the cache is to answer.
const LEAST: f64 = 0.9;

/// Runs a program straight at a Redis and through the proxy, with the port as its last argument. Asserts that it prints the
/// same, and that what it reads again comes from the cache.
#[track_caller]
fn gains(name: &str, command: &[String], program: &str, arguments: &[&str]) {
    let program = programs().join(program);
    let program = program.to_str().expect("a path");
    let run = |port: u16| {
        let port = port.to_string();
        let command = command.iter().map(String::as_str);
        let program = [&[program], arguments, &[&*port]].concat();
        let arguments: Vec<_> = command.chain(program).collect();
        let output = run_program("env", &arguments, "");
        let text = |bytes| {
            String::from_utf8(bytes)
                .expect("a text")
                .replace(&port, "PORT")
        };
        let (stdout, stderr) = (text(output.stdout), text(output.stderr));
        assert!(output.status.success(), "{name}: {stdout}{stderr}");
        stdout
    };
    let (redis, direct) = (RedisServer::start(), RedisServer::start());
    let monitor = Monitor::start(&redis);
    let proxy = Proxy::start(&redis, PATIENT);
    let recorder = Recorder::start(proxy.address());
    let (through_proxy, direct) = thread::scope(|scope| {
        let direct = scope.spawn(|| run(direct.port()));
        (run(recorder.port()), direct.join().expect("a run"))
    });
    assert_eq!(
        through_proxy, direct,
        "left: through the proxy, right: at Redis: {name}"
    );
    let gain = Gain::of(&recorder.exchanges(), &monitor.executed(), &redis);
    tell(&format!("{name}: {gain}\n{}", gain.row(name)));
    assert!(gain.repeated > 0, "{name} reads nothing twice");
    assert!(gain.share() >= LEAST, "{name}: {gain}");
    assert!(gain.strays.is_empty(), "{name}: {gain}");
}

/// Says something that the test runner does not keep to itself.
fn tell(line: &str) {
    // Whoever doesn't listen misses only this.
    let _ = writeln!(std::io::stderr(), "{line}");
}

#[test]
fn flask_session_and_flask_caching() {
    gains(
        "Flask-Session and Flask-Caching",
        &python("flask"),
        "flask/app.py",
        &[],
    );
}

#[test]
fn aiocache() {
    gains("aiocache", &python("aiocache"), "aiocache/app.py", &[]);
}

#[test]
fn rq() {
    gains("RQ", &python("rq"), "rq/app.py", &[]);
}

#[test]
fn redis_py() {
    gains("redis-py", &python("redis-py"), "redis-py/app.py", &[]);
}

#[test]
fn connect_redis() {
    gains(
        "connect-redis",
        &node("connect-redis"),
        "connect-redis/app.js",
        &[],
    );
}

#[test]
fn ioredis() {
    gains("ioredis", &node("ioredis"), "ioredis/app.js", &[]);
}

#[test]
fn node_redis() {
    gains("node-redis", &node("node-redis"), "node-redis/app.js", &[]);
}

#[test]
#[ignore = "a larger framework: make test-frameworks"]
fn django() {
    gains(
        "Django's cache and sessions",
        &python("django"),
        "django/app.py",
        &["django"],
    );
}

#[test]
#[ignore = "a larger framework: make test-frameworks"]
fn django_redis() {
    gains(
        "django-redis",
        &python("django"),
        "django/app.py",
        &["django-redis"],
    );
}

#[test]
#[ignore = "a larger framework: make test-frameworks"]
fn celery() {
    gains(
        "Celery, results in /0",
        &python("celery"),
        "celery/app.py",
        &["0"],
    );
}

#[test]
#[ignore = "a larger framework: make test-frameworks"]
fn celery_in_another_database() {
    gains(
        "Celery, results in /1",
        &python("celery"),
        "celery/app.py",
        &["1"],
    );
}

#[test]
#[ignore = "a larger framework: make test-frameworks"]
fn bullmq() {
    gains("BullMQ", &node("bullmq"), "bullmq/app.js", &[]);
}

#[test]
#[ignore = "its library is the system's: make test-frameworks"]
fn phpredis() {
    gains("phpredis", &system("php"), "phpredis/app.php", &[]);
}

#[test]
#[ignore = "its library is the system's: make test-frameworks"]
fn phpredis_sessions() {
    gains(
        "phpredis sessions",
        &system("php"),
        "phpredis/sessions.php",
        &[],
    );
}

#[test]
#[ignore = "its library is the system's: make test-frameworks"]
fn phpredis_sessions_with_locks() {
    let command = ["php", "-d", "redis.session.locking_enabled=1"].map(str::to_string);
    gains(
        "phpredis sessions with locks",
        &command,
        "phpredis/sessions.php",
        &[],
    );
}

#[test]
#[ignore = "its library is the system's: make test-frameworks"]
fn redis_rb() {
    gains("redis-rb", &system("ruby"), "ruby/app.rb", &[]);
}
