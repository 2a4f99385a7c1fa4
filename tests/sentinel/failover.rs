//! Failovers: asked for, and forced by a master that is killed, or stopped for a while.

use std::io::{BufRead, BufReader, Write};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use crate::common::{Proxy, assert_same, bulk, eventually, eventually_set, python_path, sources};
use crate::setup::{NAME, World, field, has};

/// How much later than a sentinel names the new master writes may go on: at once, so before sentinels would be asked again,
/// which is done each five seconds. A busy machine takes its time.
const PROMISED: Duration = Duration::from_secs(4);

#[test]
fn a_demoted_master_is_left_though_it_answers() {
    let world = World::start();
    let proxy = world.proxy(&[]);
    let address = format!("sentinel:{NAME}");
    assert_eq!(field(&proxy, "upstream_address"), address);
    assert_eq!(field(&proxy, "upstream_endpoint"), world.first.address());
    let sentinel = field(&proxy, "upstream_sentinel");
    assert!(world.addresses().contains(&sentinel), "{sentinel}");
    let line = proxy.wait_for_log("master named");
    let named = format!("master={}", world.first.address());
    assert!(line.contains(&named), "{line}");
    without_a_sentinel(&world, &proxy);
    asked_for(&world, &proxy);
}

/// Sentinels die, and come back: nobody notices but the log.
fn without_a_sentinel(world: &World, proxy: &Proxy) {
    let mut client = proxy.client();
    for sentinel in &world.sentinels[..2] {
        sentinel.stop();
        proxy.wait_for_log(&format!("sentinel down sentinel={}", sentinel.address()));
    }
    assert_same(&client.command(&["SET", "a", "1"]), b"+OK\r\n", &"SET");
    // A new connection is made by what the third one says.
    let killed = world
        .first
        .client()
        .command(&["CLIENT", "KILL", "TYPE", "normal"]);
    assert!(killed.starts_with(b":"), "{killed:?}");
    eventually_set(proxy, "a", "1");
    for sentinel in &world.sentinels[..2] {
        sentinel.start_again();
    }
    proxy.wait_for_logs("sentinel up", 2);
    world.wait_until_all_know_each_other();
    assert_eq!(proxy.count_in_log("master named"), 1);
}

/// `SENTINEL FAILOVER`: the old master is there, and a master still to those who ask it.
fn asked_for(world: &World, proxy: &Proxy) {
    let mut client = proxy.client();
    assert_same(&client.command(&["SET", "a", "old"]), b"+OK\r\n", &"SET");
    assert_same(&client.get("a"), &bulk("old"), &"a");
    let mut blocked = proxy.client();
    blocked.send(b"BLPOP list 0\r\n");
    let mut subscribed = proxy.client();
    subscribed.command(&["SUBSCRIBE", "channel"]);
    eventually("it is blocked", || {
        has(
            &mut proxy.client(),
            &["INFO", "clients"],
            "blocked_clients:1",
        )
    });
    let reply = world.sentinels[1]
        .client()
        .command(&["SENTINEL", "FAILOVER", NAME]);
    assert_same(&reply, b"+OK\r\n", &"SENTINEL FAILOVER");
    world.wait_for_failover();
    blocked.read_to_end();
    subscribed.read_to_end();
    eventually("the new master is used", || {
        field(proxy, "upstream_endpoint") == world.second.address()
    });
    let line = proxy.wait_for_log("reconnected");
    assert!(!line.contains("redis down"), "{line}");
    // From here on, no value is older than what the new master says.
    world.second.set("a", "new");
    eventually("the change is seen", || client.get("a") == bulk("new"));
    assert_same(&client.command(&["SET", "b", "1"]), b"+OK\r\n", &"SET");
    assert_same(&world.second.client().get("b"), &bulk("1"), &"b");
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    assert_same(&client.command(&["SET", "b", "2"]), b"+QUEUED\r\n", &"SET");
    assert_same(&client.command(&["EXEC"]), b"*1\r\n+OK\r\n", &"EXEC");
    assert_same(&world.second.client().get("b"), &bulk("2"), &"b");
}

#[test]
fn a_master_that_is_killed_under_traffic_is_replaced_without_a_stale_read() {
    let mut world = World::start();
    let proxy = world.proxy(&[]);
    let mut traffic = Command::new("python3")
        .arg(sources("python").join("failover.py"))
        .args([&proxy.port(), "3"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env(
            "PYTHONPATH",
            python_path().trim_start_matches("PYTHONPATH="),
        )
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("python3 starts");
    let mut lines = BufReader::new(traffic.stdout.take().expect("a piped stdout")).lines();
    let mut line = || lines.next().expect("a line").expect("text");
    assert_eq!(line(), "writing");
    let second = world.second.address();
    world.first.stop();
    world.fail_over();
    let named = Instant::now();
    let mut input = traffic.stdin.take().expect("a piped stdin");
    input.write_all(b"\n").expect("it reads");
    assert_eq!(line(), "writing again");
    let took = named.elapsed();
    println!("writes go on {took:?} after a sentinel names the new master");
    assert!(took < PROMISED, "{took:?}");
    let result = line();
    assert!(traffic.wait().expect("an end").success(), "{result}");
    assert_eq!(result, "no stale read");
    assert_eq!(field(&proxy, "upstream_endpoint"), second);
    let count = world.second.client().get("count");
    assert_same(&proxy.client().get("count"), &count, &"count");
}

#[test]
fn a_stopped_master_that_wakes_up_after_the_failover_is_never_used_again() {
    let world = World::start();
    let proxy = world.proxy(&[]);
    let mut client = proxy.client();
    world.first.set("a", "old");
    assert_same(&client.get("a"), &bulk("old"), &"a");
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    assert_same(&client.command(&["GET", "a"]), b"+QUEUED\r\n", &"GET");
    world.first.pause();
    world.fail_over();
    // Its connection led to the old master.
    client.read_to_end();
    eventually_set(&proxy, "a", "new");
    assert_same(&world.second.client().get("a"), &bulk("new"), &"a");
    // It wakes up, and takes itself for a master until it is told otherwise.
    world.first.resume();
    assert!(has(&mut world.first.client(), &["ROLE"], "master"));
    let mut client = proxy.client();
    for number in 1..=100 {
        let text = number.to_string();
        assert_same(&client.command(&["SET", "n", &text]), b"+OK\r\n", &number);
        assert_same(&client.get("n"), &bulk(&text), &number);
        assert_same(&world.second.client().get("n"), &bulk(&text), &number);
        let mut fresh = proxy.client();
        assert_same(&fresh.command(&["MULTI"]), b"+OK\r\n", &number);
        assert_same(&fresh.command(&["INCR", "m"]), b"+QUEUED\r\n", &number);
        let executed = format!("*1\r\n:{number}\r\n");
        assert_same(&fresh.command(&["EXEC"]), executed.as_bytes(), &number);
    }
    assert_eq!(field(&proxy, "upstream_endpoint"), world.second.address());
    assert_eq!(proxy.count_in_log("master named"), 2);
}
