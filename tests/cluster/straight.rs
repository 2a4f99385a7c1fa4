//! A client of the cluster without the proxy, which follows redirections.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use crate::common::DEADLINE;
use crate::common::wire::{Protocol, Reply, Wire, words};

pub struct Straight {
    nodes: HashMap<SocketAddr, Wire>,
    /// The node that is asked first, of every key anew: one that was found to have a key may hang meanwhile, and would
    /// execute later what it was sent.
    seed: SocketAddr,
}

impl Straight {
    pub fn new(seed: SocketAddr) -> Self {
        Self {
            nodes: HashMap::new(),
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
        let (mut to, mut asking) = (self.seed, false);
        loop {
            assert!(start.elapsed() < DEADLINE, "nobody serves {key}");
            let node = self.nodes.entry(to);
            let node = node.or_insert_with(|| Wire::new(to, Protocol::Resp2));
            let replies = if asking {
                node.ask(&[words("ASKING"), words(line)].concat(), 2)
            } else {
                node.ask(&words(line), 1)
            };
            let reply = replies.ok().and_then(|mut replies| replies.pop())?;
            let Reply::Error(error) = &reply else {
                return Some(reply);
            };
            let parts: Vec<&str> = error.split(' ').collect();
            match parts[..] {
                [redirection @ ("MOVED" | "ASK"), _, address] => {
                    (to, asking) = (address.parse().expect("an address"), redirection == "ASK");
                }
                ["CLUSTERDOWN" | "TRYAGAIN", ..] => {
                    thread::sleep(Duration::from_millis(20));
                    (to, asking) = (self.seed, false);
                }
                _ => return Some(reply),
            }
        }
    }
}
