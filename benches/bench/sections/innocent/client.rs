//! An innocent client: it asks little, waits for each reply, and expects the right one.

use std::io;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, encode};
use crate::servers::Server;
use crate::stats;

/// The pause after a reply.
const PAUSE: Duration = Duration::from_millis(1);

/// What a client sends.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// GETs of a cached key.
    Hit,
    /// GETs of missing keys, each once.
    Miss,
    /// SETs.
    Set,
}

impl Kind {
    pub const ALL: [Self; 3] = [Self::Hit, Self::Miss, Self::Set];

    /// The request of that number, and the reply to it.
    fn request(self, number: u32) -> (Vec<u8>, &'static [u8]) {
        match self {
            Self::Hit => (encode(&[b"GET", b"innocent:hit"]), b"$5\r\nvalue\r\n"),
            Self::Miss => {
                let key = format!("innocent:miss:{number}");
                (encode(&[b"GET", key.as_bytes()]), b"$-1\r\n")
            }
            Self::Set => (encode(&[b"SET", b"innocent:set", b"value"]), b"+OK\r\n"),
        }
    }
}

/// A client. It connects again after an error.
pub(super) struct Innocent<'a> {
    server: &'a Server,
    kind: Kind,
    client: Option<Client>,
    /// How often it has asked.
    asked: u32,
}

/// What a client has met with.
pub(super) struct Found {
    pub kind: Kind,
    /// The 99th percentile of what its requests waited, in milliseconds.
    pub p99: f64,
    /// The longest of that.
    pub longest: f64,
    /// How often it got an error or a wrong reply, or was closed.
    pub errors: u32,
    /// The first of these.
    pub error: Option<io::Error>,
}

impl<'a> Innocent<'a> {
    /// Connects, and asks once; so the proxy has cached what it is to have cached.
    pub fn connect(server: &'a Server, kind: Kind) -> io::Result<Self> {
        let mut client = server.client()?;
        if kind == Kind::Hit {
            client.ask(&[b"SET", b"innocent:hit", b"value"])?;
        }
        let mut innocent = Self {
            server,
            kind,
            client: Some(client),
            asked: 0,
        };
        innocent.ask()?;
        Ok(innocent)
    }

    /// Asks until it is over.
    pub fn work(mut self, over: &AtomicBool) -> Found {
        let mut times = Vec::new();
        let mut errors = 0;
        let mut first = None;
        while !over.load(Ordering::Relaxed) {
            let start = Instant::now();
            if let Err(error) = self.ask() {
                self.client = None;
                errors += 1;
                first.get_or_insert(error);
            }
            add(&mut times, start.elapsed());
            thread::sleep(PAUSE);
        }
        let [p99, longest] = [0.99, 1.0].map(|share| stats::percentile(&mut times, share) / 1000.0);
        Found {
            kind: self.kind,
            p99,
            longest,
            errors,
            error: first,
        }
    }

    fn ask(&mut self) -> io::Result<()> {
        let (request, reply) = self.kind.request(self.asked);
        self.asked += 1;
        let client = match &mut self.client {
            Some(client) => client,
            none => none.insert(self.server.client()?),
        };
        client.expect(&request, reply)
    }
}

/// Adds what a request waited, and what those would have waited that it has kept from being sent.
fn add(times: &mut Vec<Duration>, mut waited: Duration) {
    times.push(waited);
    while waited > PAUSE {
        waited -= PAUSE;
        times.push(waited);
    }
}
