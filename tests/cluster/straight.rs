//! A client of the cluster without the proxy, which follows redirections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::DEADLINE;
use crate::common::wire::{Protocol, Reply, Wire, words};

pub struct Straight {
    nodes: HashMap<SocketAddr, Wire>,
    /// Of the node that was last found to have a key.
    owners: HashMap<String, SocketAddr>,
    seed: SocketAddr,
}

impl Straight {
    pub fn new(seed: SocketAddr) -> Self {
        Self {
            nodes: HashMap::new(),
            owners: HashMap::new(),
            seed,
        }
    }

    /// The reply of the master that has the key, which is the second word. None if it broke the connection, so that
    /// nobody knows whether the command was executed.
    ///
    /// # Panics
    /// When no master serves the key before the deadline.
    pub fn command(&mut self, line: &str) -> Option<Reply> {
        let key = line.split(' ').nth(1).expect("a key").to_owned();
        let start = Instant::now();
        let mut asking = None;
        loop {
            assert!(start.elapsed() < DEADLINE, "nobody serves {key}");
            let address = asking
                .or(self.owners.get(&key).copied())
                .unwrap_or(self.seed);
            let node = self
                .nodes
                .entry(address)
                .or_insert_with(|| Wire::new(address, Protocol::Resp2));
            let replies = if asking.take().is_some() {
                node.ask(&[words("ASKING"), words(line)].concat(), 2)
            } else {
                node.ask(&words(line), 1)
            };
            let Some(reply) = replies.ok().and_then(|mut replies| replies.pop()) else {
                self.owners.remove(&key);
                return None;
            };
            let Reply::Error(error) = &reply else {
                return Some(reply);
            };
            let parts: Vec<&str> = error.split(' ').collect();
            match parts[..] {
                ["MOVED", _, to] => {
                    self.owners
                        .insert(key.clone(), to.parse().expect("an address"));
                }
                ["ASK", _, to] => asking = Some(to.parse().expect("an address")),
                ["CLUSTERDOWN" | "TRYAGAIN", ..] => thread::sleep(Duration::from_millis(20)),
                _ => return Some(reply),
            }
        }
    }
}
