//! Clients with a connection of their own to Redis: what leaves state on a connection, or blocks it,
//! goes on as at Redis, and disturbs nobody.

#[path = "../common/mod.rs"]
mod common;

mod access;
mod away;
mod back;
mod blocking;
mod crowd;
mod killed;
mod listed;
mod messages;
mod numbers;
mod own;
mod paused;
mod random;
mod redirected;
mod replies;
mod spare;
mod state;
mod transactions;
mod twins;

use std::sync::atomic::{AtomicBool, Ordering};

use common::{Client, Proxy, RedisServer, assert_same, bulk, eventually};

const OK: &[u8] = b"+OK\r\n";
const PONG: &[u8] = b"+PONG\r\n";
const QUEUED: &[u8] = b"+QUEUED\r\n";

/// A Redis with `x` ("true"), and a proxy that has it in its cache.
fn proxy_with_x(flags: &[&str]) -> (RedisServer, Proxy) {
    let redis = RedisServer::start();
    redis.set("x", "true");
    let proxy = Proxy::start(&redis, flags);
    assert_x(&mut proxy.client());
    (redis, proxy)
}

#[track_caller]
fn assert_x(client: &mut Client) {
    assert_same(&client.get("x"), &bulk("true"), &"GET x");
}

/// Sends a command, given as words, and asserts what it answers.
#[track_caller]
fn assert_answers(client: &mut Client, command: &str, expected: &[u8]) {
    let arguments: Vec<_> = command.split(' ').collect();
    assert_same(&client.command(&arguments), expected, &command);
}

/// Sends the lines of a session at once, to the proxy and to an empty Redis without one, and asserts
/// that all that comes back is the same. Its last line should be `QUIT`. Returns what came.
#[track_caller]
fn assert_as_at_redis(proxy: &Proxy, session: &[&str]) -> Vec<u8> {
    let redis = RedisServer::start();
    assert_as_at(&redis, proxy, session)
}

/// The same, with a Redis that was prepared.
#[track_caller]
fn assert_as_at(redis: &RedisServer, proxy: &Proxy, session: &[&str]) -> Vec<u8> {
    let lines = session.join("\r\n") + "\r\n";
    let [actual, expected] = [proxy.client(), redis.client()].map(|mut client| {
        client.send(&lines);
        client.read_to_end()
    });
    assert_same(&actual, &expected, &session);
    actual
}

/// Asserts how what a client received ends. What is before it may tell numbers of Redis's choice.
#[track_caller]
fn assert_ends_with(received: &[u8], end: &[u8]) {
    let start = received.len().saturating_sub(end.len());
    assert_same(&received[start..], end, &"the end");
}

/// The lines of `CLIENT LIST` at a Redis, without the one of the client that asks.
fn clients_of(redis: &RedisServer) -> Vec<String> {
    let list = redis.client().command(&["CLIENT", "LIST"]);
    let list = String::from_utf8(list).expect("a text");
    list.lines()
        .filter(|line| line.starts_with("id=") && !line.contains(" cmd=client|list "))
        .map(str::to_string)
        .collect()
}

/// How many clients are connected to Redis when no more come and go, as connections of the proxy do at its start.
#[track_caller]
fn settled_clients(redis: &RedisServer) -> usize {
    let (mut count, mut looks) = (0, 0);
    eventually("no client comes or goes", || {
        let before = std::mem::replace(&mut count, clients_of(redis).len());
        looks = if count == before { looks + 1 } else { 0 };
        looks == 10
    });
    count
}

/// The line of the client that has this name at a Redis.
#[track_caller]
fn client_named(redis: &RedisServer, name: &str) -> String {
    let clients = clients_of(redis);
    let mut named = clients
        .iter()
        .filter(|line| line.contains(&format!(" name={name} ")));
    let found = named
        .next()
        .unwrap_or_else(|| panic!("no {name}: {clients:#?}"));
    assert_eq!(named.next(), None, "{clients:#?}");
    found.clone()
}

/// Until this goes, also by a panic, others go on.
struct GoOn<'a>(&'a AtomicBool);

impl Drop for GoOn<'_> {
    fn drop(&mut self) {
        self.0.store(false, Ordering::Relaxed);
    }
}

/// Waits until so many clients are connected to Redis.
#[track_caller]
fn await_clients(redis: &RedisServer, count: usize) {
    eventually(&format!("{count} clients at Redis"), || {
        clients_of(redis).len() == count
    });
}
