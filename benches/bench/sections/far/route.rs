//! The ways to a Redis far away that are compared.

use std::io;
use std::thread;
use std::time::{Duration, Instant};

use crate::client::{Client, PATIENCE};
use crate::dataset::{self, Dataset};
use crate::plan::Plan;
use crate::servers::Server;

/// The keys that Redis has.
pub(super) const KEYS: u32 = 100_000;

/// How many of them the proxy may cache, for a mix.
pub(super) const CAPACITY: u32 = KEYS / 10;

/// The proxy's timeout: that the machine stands still for a second is not what is measured.
const TIMEOUT_MS: &str = "10000";

/// A way to a Redis of its own, which is far away.
pub(super) struct Route {
    /// The Redis.
    pub redis: Server,
    relay: Server,
    /// What is on the near side of the relay, if anything is.
    front: Option<Server>,
}

impl Route {
    /// Starts a Redis with all keys, and a relay in front of it.
    pub fn direct(plan: &Plan, each_way: Duration) -> io::Result<Self> {
        let redis = Server::redis(plan)?;
        redis.client()?.fill(Dataset::of(KEYS), None)?;
        Ok(Self {
            relay: Server::relay(plan, &redis, each_way)?,
            redis,
            front: None,
        })
    }

    /// Starts twemproxy too.
    pub fn through_twemproxy(plan: &Plan, each_way: Duration) -> io::Result<Self> {
        let mut route = Self::direct(plan, each_way)?;
        route.front = Some(Server::twemproxy(plan, &route.relay)?);
        Ok(route)
    }

    /// Starts the proxy too, with room for so many keys, and waits until it has reached Redis.
    pub fn through_the_proxy(plan: &Plan, each_way: Duration, capacity: u32) -> io::Result<Self> {
        let mut route = Self::direct(plan, each_way)?;
        let capacity = capacity.to_string();
        let flags = ["--capacity", &capacity, "--redis_timeout", TIMEOUT_MS];
        route.front = Some(Server::proxy(plan, &route.relay, &flags)?);
        let start = Instant::now();
        while let Err(error) = route.client()?.get(0) {
            if start.elapsed() > PATIENCE {
                return Err(error);
            }
            thread::sleep(Duration::from_millis(5));
        }
        Ok(route)
    }

    /// The server that clients connect to.
    pub fn entrance(&self) -> &Server {
        self.front.as_ref().unwrap_or(&self.relay)
    }

    /// A client of it.
    pub fn client(&self) -> io::Result<Client> {
        self.entrance().client()
    }

    /// Has the proxy cache the keys that a mix asks for most.
    pub fn warm(&self) -> io::Result<()> {
        let mut client = self.client()?;
        client.send(dataset::mget(CAPACITY).as_bytes())?;
        client.pass_over()
    }
}

/// All three of them.
pub(super) struct Routes {
    /// How far Redis is.
    pub each_way: Duration,
    /// Nothing but the relay.
    pub direct: Route,
    /// Through twemproxy.
    pub twemproxy: Route,
    /// Through the proxy.
    pub proxy: Route,
}

impl Routes {
    /// Starts them. The proxy may cache so many keys.
    pub fn start(plan: &Plan, each_way: Duration, capacity: u32) -> io::Result<Self> {
        Ok(Self {
            each_way,
            direct: Route::direct(plan, each_way)?,
            twemproxy: Route::through_twemproxy(plan, each_way)?,
            proxy: Route::through_the_proxy(plan, each_way, capacity)?,
        })
    }
}
