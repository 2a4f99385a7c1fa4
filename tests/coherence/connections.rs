//! The proxy's connections as Redis lists them.

use std::net::SocketAddr;

use crate::common::RedisServer;
use crate::wire::{Protocol, Reply, Wire};

/// Where Redis listens.
pub fn address(redis: &RedisServer) -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], redis.port()))
}

/// The numbers of the proxy's connections: those that read, and the one that is told what changes.
pub fn of_the_proxy(redis: &mut Wire) -> (Vec<i64>, Vec<i64>) {
    let mut data = Vec::new();
    let mut tracking = Vec::new();
    for line in list(redis) {
        let number = |name: &str| field(&line, name).and_then(|text| text.parse::<i64>().ok());
        if let (Some(id), Some(redirected @ 1..)) = (number("id"), number("redir")) {
            data.push(id);
            tracking.push(redirected);
        }
    }
    tracking.dedup();
    (data, tracking)
}

/// The lines of CLIENT LIST; none while Redis does not answer.
pub fn list(redis: &mut Wire) -> Vec<String> {
    match redis.command("CLIENT LIST") {
        Ok(Reply::Text(text)) => text.lines().map(str::to_string).collect(),
        _ => Vec::new(),
    }
}

/// A field of such a line.
pub fn field<'a>(line: &'a str, name: &str) -> Option<&'a str> {
    line.split(' ')
        .find_map(|field| field.strip_prefix(name)?.strip_prefix('='))
}

/// Has Redis close connections.
pub fn kill(redis: &mut Wire, ids: &[i64]) {
    for id in ids {
        // One that has gone meanwhile is as good.
        let _ = redis.command(&format!("CLIENT KILL ID {id}"));
    }
}

/// Has Redis close all connections.
pub fn kill_all(redis: &RedisServer) {
    let mut straight = Wire::new(address(redis), Protocol::Resp2);
    let killed = straight.command("CLIENT KILL TYPE normal");
    assert!(matches!(killed, Ok(Reply::Number(1..))), "{killed:?}");
}
