//! Starts a server: its addresses, its poll, the helper thread and the core.

use std::collections::VecDeque;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use mio::{Interest, Poll, Waker};
use slab::Slab;

use super::accept::clients_that_fit;
use super::buffers::Shortage;
use super::floods::Floods;
use super::http::{self, Http};
use super::idle::Idle;
use super::listeners::Listeners;
use super::protection::Protection;
use super::reports::Reports;
use super::settings::Reload;
use super::shutdown::{self, Shutdown};
use super::spares::Spares;
use super::{FIRST_READ, SIGNALS, Server, WAKER, listen};
use crate::cache::Limits;
use crate::clock::{Clock, Time};
use crate::config::{Config, ReadFrom, RedisAddress};
use crate::hooks::Hook;
use crate::logging;
use crate::proxy::{Access, Proxy};
use crate::status::Facts;
use crate::tls::Tls;
use crate::transport::dial::Dialer;
use crate::upstream::{self, Upstream};

impl Server {
    /// Starts as configured.
    ///
    /// # Errors
    /// As for [`super::Builder::start`].
    pub(super) fn start(config: &Config, tls: Tls, hooks: Vec<Box<dyn Hook>>) -> io::Result<Self> {
        let mut listeners = Listeners::bind(config, tls.acceptor.clone())?;
        let for_http = match config.metrics_port {
            0 => None,
            port => Some(listen(SocketAddr::new(config.metrics_bind, port))?),
        };
        listeners.announce()?;
        logging::info(module_path!(), "configured", config);

        let poll = Poll::new()?;
        let registry = poll.registry();
        listeners.register(registry)?;
        let mut signals = shutdown::signals()?;
        registry.register(&mut signals, SIGNALS, Interest::READABLE)?;
        let waker = Arc::new(Waker::new(registry, WAKER)?);
        let dialer = Dialer {
            tls: tls.connector.clone(),
            timeout: config.redis_timeout,
            keepalive: config.tcp_keepalive,
        };
        let settings = upstream_settings(config, &tls, dialer.clone());
        let clock = Clock::start();
        let upstream = Upstream::start(settings, clock, Arc::clone(&waker))?;
        let names = config.metrics_hosts.0.clone();
        let http = for_http
            .map(|listener| Http::start(listener, names, registry))
            .transpose()?;

        let http_files = http.as_ref().map_or(0, |_| http::FILES);
        let max_clients = clients_that_fit(config.max_clients, http_files);
        let mut proxy = core(config, listeners.port(), max_clients);
        if !hooks.is_empty() {
            // Waking fails only if the loop is gone, and then there are no clients.
            let wake = move || waker.wake().unwrap_or_default();
            proxy.set_hooks(hooks, config.redis_timeout, Arc::new(wake));
        }
        proxy.configure(config);
        Ok(Self {
            poll,
            clock,
            listeners,
            protection: Protection::new(config),
            signals,
            upstream,
            reports: Reports::default(),
            proxy,
            connections: Slab::new(),
            spares: Spares::new(config.dedicated_idle),
            http,
            ready: VecDeque::new(),
            lingering: VecDeque::new(),
            handshakes: VecDeque::new(),
            closing: VecDeque::new(),
            connecting: VecDeque::new(),
            buffer: vec![0; FIRST_READ].into(),
            max_clients,
            cache_period: config.cache_period,
            now: Time::default(),
            last_tick: Time::default(),
            watched: false,
            idle: Idle::new(config.timeout),
            out_of_files: false,
            shortage: Shortage::default(),
            floods: Floods::default(),
            shutdown: Shutdown::NotAsked,
            reload: Reload::default(),
            drain: config.drain,
            redis: config.redis.clone(),
            dialer,
            tls,
        })
    }
}

/// The core, configured except for what may change while it runs.
fn core(config: &Config, port: u16, max_clients: usize) -> Proxy {
    let access = Access {
        password: config.password.clone(),
        redis_username: config.redis_username.clone(),
        redis_password: config.redis_password.clone(),
    };
    let mut proxy = Proxy::new(Limits::from(config), access, config.redis_database);
    proxy.set_cached_databases(config.cached_databases.clone());
    if matches!(config.redis, RedisAddress::Cluster(_)) {
        proxy.set_cluster(config.redis_wait);
    }
    proxy.set_causal(config.causal);
    proxy.describe(Facts {
        port,
        max_clients,
        redis: config.redis.to_string(),
        slower_than: Some(config.slowlog_slower_than),
        started: wall_clock(),
        wall_clock,
        resident_memory,
    });
    proxy
}

/// How the helper thread finds Redis.
fn upstream_settings(config: &Config, tls: &Tls, dialer: Dialer) -> upstream::Settings {
    upstream::Settings {
        address: config.redis.clone(),
        sentinels: sentinels(config, tls),
        cluster: match &config.redis {
            RedisAddress::Cluster(nodes) => upstream::Seeds::new(nodes.0.clone()),
            _ => None,
        },
        reads_replicas: config.redis_read_from == ReadFrom::Replica,
        is_replica: false,
        dialer,
        wait: config.redis_wait,
        database: config.redis_database,
        username: config.redis_username.clone(),
        password: config.redis_password.clone(),
        password_file: config.redis_password_file.clone(),
        tracking: config.tracking,
    }
}

/// The sentinels that name the master, if configured.
fn sentinels(config: &Config, tls: &Tls) -> Option<upstream::SentinelSettings> {
    let RedisAddress::Master(master) = &config.redis else {
        return None;
    };
    Some(upstream::SentinelSettings {
        addresses: config.redis_sentinels.0.clone(),
        master: master.clone(),
        username: config.redis_sentinel_username.clone(),
        password: config.redis_sentinel_password.clone(),
        password_file: config.redis_sentinel_password_file.clone(),
        dialer: Dialer {
            tls: tls.to_sentinels.clone(),
            timeout: config.redis_timeout,
            keepalive: config.tcp_keepalive,
        },
    })
}

/// The time since 1970.
fn wall_clock() -> Duration {
    SystemTime::now()
        .duration_since(SystemTime::UNIX_EPOCH)
        .unwrap_or_default()
}

/// The resident memory of this process in bytes, as the kernel counts it; 0 if unknown.
fn resident_memory() -> u64 {
    // The second field, in pages. The file is not on a disk, so reading it doesn't block.
    let pages = std::fs::read_to_string("/proc/self/statm")
        .ok()
        .and_then(|text| text.split(' ').nth(1)?.parse::<u64>().ok());
    pages.unwrap_or_default() * rustix::param::page_size() as u64
}
