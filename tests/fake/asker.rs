//! A client that asks pipelines of numbered requests and checks every reply.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering};

use fastrand::Rng;

use crate::common::wire::{Protocol, Wire, words};
use crate::numbered::Numbered;

pub struct Asker<'a> {
    wire: Wire,
    /// Where the numbers of requests come from.
    numbers: &'a AtomicU64,
    /// It has a connection to Redis of its own, with which it may lose its connection to the proxy.
    dedicated: bool,
    random: Rng,
}

impl<'a> Asker<'a> {
    pub fn new(
        proxy: SocketAddr,
        protocol: Protocol,
        dedicated: bool,
        numbers: &'a AtomicU64,
        random: Rng,
    ) -> Self {
        Self {
            wire: Wire::new(proxy, protocol),
            numbers,
            dedicated,
            random,
        }
    }

    pub fn is_dedicated(&self) -> bool {
        self.dedicated
    }

    /// Asks once. Returns whether no reply was an error.
    ///
    /// # Panics
    /// When a reply belongs to another request, none comes, or the connection ends without a reason.
    pub fn ask(&mut self) -> bool {
        let count = self.random.u64(1..20);
        let first = self.numbers.fetch_add(count, Ordering::SeqCst);
        let requests: Vec<Numbered> = (first..first + count)
            .map(|number| Numbered::new(&mut self.random, number))
            .collect();
        // What is watched needs a connection of its own.
        let prefix = if self.dedicated {
            words("WATCH key")
        } else {
            Vec::new()
        };
        let bytes: Vec<u8> = prefix
            .into_iter()
            .chain(requests.iter().flat_map(|request| request.bytes.clone()))
            .collect();
        let extra = usize::from(self.dedicated);
        let replies = match self.wire.ask(&bytes, requests.len() + extra) {
            Ok(replies) => replies,
            // As by a Redis that ends.
            Err(_) => return false,
        };
        let replies = &replies[extra..];
        let pairs = requests.iter().zip(replies);
        // Each of them is checked.
        pairs
            .filter(|(request, reply)| request.is_failure(reply))
            .count()
            == 0
    }
}
