//! The proxy as its users meet it: `redis-cli` and `redis-benchmark`, as programs.

mod common;

use std::process::Output;

use common::{Proxy, RedisServer, run_program};

fn redis_with_x() -> RedisServer {
    let redis = RedisServer::start();
    redis.set("x", "true");
    redis
}

/// What a program printed, when it ended well and had nothing to complain about.
#[track_caller]
fn printed(output: Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {errors}", output.status);
    assert_eq!(errors, "");
    let text = String::from_utf8(output.stdout).expect("a text");
    assert!(
        !text.contains("WARNING") && !text.contains("(error)"),
        "{text}"
    );
    text
}

fn redis_cli(port: &str, arguments: &[&str], stdin: &str) -> String {
    printed(run_program(
        "redis-cli",
        &[&["-p", port], arguments].concat(),
        stdin,
    ))
}

/// Runs redis-benchmark to its end and returns the line of each test.
fn redis_benchmark(proxy: &Proxy, arguments: &[&str]) -> Vec<String> {
    let port = proxy.port();
    let arguments = [&["-p", &port, "-q"], arguments].concat();
    let text = printed(run_program("redis-benchmark", &arguments, ""));
    // The running figures before a result end with a carriage return.
    let lines = text.lines().filter_map(|line| line.rsplit('\r').next());
    lines
        .filter(|line| !line.is_empty())
        .map(str::to_string)
        .collect()
}

/// The commands of the transcript in the README, and what follows each.
fn transcript() -> (String, String) {
    let readme = std::fs::read_to_string("README.md").expect("the README");
    let (_, shown) = readme
        .split_once("$ redis-cli -p 8001\n")
        .expect("a transcript");
    let (shown, _) = shown.split_once("```").expect("its end");
    let (mut commands, mut replies) = (String::new(), String::new());
    for line in shown.lines() {
        match line.strip_prefix("127.0.0.1:8001> ") {
            Some(command) => commands += &format!("{command}\n"),
            None => replies += &format!("{line}\n"),
        }
    }
    (commands, replies)
}

#[test]
fn the_transcript_of_the_readme_works_in_redis_cli() {
    let redis = redis_with_x();
    let proxy = Proxy::start(&redis, &[]);
    let (commands, replies) = transcript();
    assert!(commands.starts_with("ping\nGET X\nget x\n"), "{commands}");
    let shown = redis_cli(&proxy.port(), &["--no-raw"], &commands);
    // redis-cli shows how long a slow reply took, as in (0.63s).
    let is_shown = |line: &&str| !(line.starts_with('(') && line.ends_with("s)"));
    let lines: Vec<&str> = shown.lines().filter(is_shown).collect();
    assert_eq!(lines, replies.lines().collect::<Vec<_>>());
}

#[test]
fn redis_cli_at_a_terminal_shows_the_transcript() {
    let redis = redis_with_x();
    let proxy = Proxy::start(&redis, &[]);
    let command = format!("redis-cli -p {}", proxy.port());
    let lines = "ping\nGET X\nget x\nquit\n";
    let output = run_program("script", &["-qec", &command, "/dev/null"], lines);
    let screen = printed(output);
    let mut rest = screen.as_str();
    for answer in ["PONG\r\n", "(nil)\r\n", "\"true\"\r\n"] {
        let (_, after) = rest
            .split_once(answer)
            .unwrap_or_else(|| panic!("{answer}: {screen}"));
        rest = after;
    }
}

#[test]
fn redis_cli_prints_the_same_as_in_front_of_redis() {
    let redis = redis_with_x();
    let proxy = Proxy::start(&redis, &[]);
    let redis_port = redis.port().to_string();
    for (arguments, stdin) in [
        (&["ping"][..], ""),
        (&["ping", "hello world"], ""),
        (&["get", "x"], ""),
        (&["get", "missing"], ""),
        (&["-x", "echo"], "from standard input"),
        (&["-r", "3", "get", "x"], ""),
        (&[], "echo \"quoted \\x41\"\nget x\n"),
    ] {
        let expected = redis_cli(&redis_port, arguments, stdin);
        assert_eq!(
            redis_cli(&proxy.port(), arguments, stdin),
            expected,
            "{arguments:?}"
        );
    }
}

#[test]
fn redis_cli_counts_every_reply_of_a_mass_insertion() {
    let redis = redis_with_x();
    let proxy = Proxy::start(&redis, &[]);
    let requests = "PING\r\nGET x\r\n".repeat(100);
    let output = redis_cli(&proxy.port(), &["--pipe"], &requests);
    assert!(output.contains("errors: 0, replies: 200"), "{output}");
}

#[test]
fn redis_benchmark_runs_to_its_end_without_a_warning() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let lines = redis_benchmark(&proxy, &["-t", "ping,get", "-P", "16", "-n", "20000"]);
    let names: Vec<_> = lines
        .iter()
        .filter_map(|line| line.split(':').next())
        .collect();
    assert_eq!(names, ["PING_INLINE", "PING_MBULK", "GET"], "{lines:?}");
    assert!(
        lines
            .iter()
            .all(|line| line.contains("requests per second")),
        "{lines:?}"
    );
}

#[test]
fn redis_benchmark_reads_random_keys_through_the_cache() {
    let redis = RedisServer::start();
    for key in 0..20 {
        redis.set(format!("key:{key:012}"), "value");
    }
    let proxy = Proxy::start(&redis, &[]);
    let lines = redis_benchmark(&proxy, &["-t", "get", "-r", "20", "-n", "5000", "-c", "20"]);
    assert!(
        lines.len() == 1 && lines[0].contains("requests per second"),
        "{lines:?}"
    );
    assert_eq!(redis.calls("get"), 20);
}
