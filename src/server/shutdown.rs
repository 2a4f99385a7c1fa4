//! Ends the proxy on a signal: at once, or after clients have had time to finish.

use std::io;

use signal_hook::consts::{
    SIGALRM, SIGHUP, SIGINT, SIGIO, SIGPROF, SIGQUIT, SIGTERM, SIGUSR1, SIGUSR2, SIGVTALRM,
    SIGXCPU, SIGXFSZ,
};
use signal_hook::low_level::signal_name;
use signal_hook_mio::v1_0::Signals;

use super::{LAST_READS, STOP_MARGIN, Server};
use crate::clock::Time;
use crate::logging::Limit;
use crate::proxy::{ClientId, Ending};
use crate::systemd::{self, State};

/// Signals that end the proxy.
const ENDING: [i32; 3] = [SIGINT, SIGQUIT, SIGTERM];

/// Signals that would end the process by default, but do not end the proxy.
const IGNORED: [i32; 8] = [
    SIGALRM, SIGHUP, SIGIO, SIGPROF, SIGUSR1, SIGUSR2, SIGVTALRM, SIGXCPU,
];

/// Makes signals wake the poll instead of ending the process. `SIGPIPE` is ignored by Rust's runtime.
///
/// # Errors
/// If the system refuses.
pub(super) fn signals() -> io::Result<Signals> {
    // If a log file exceeds a size limit, writing to it then returns an error instead of ending the process.
    signal_hook::flag::register(SIGXFSZ, std::sync::Arc::default())?;
    Signals::new(ENDING.iter().chain(&IGNORED))
}

/// The progress of the shutdown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Shutdown {
    /// Not requested.
    NotAsked,
    /// Clients are served as usual, but `/readyz` says that the proxy is not ready. New clients are accepted until
    /// `listen_until`; then the proxy stops as soon as no client is in the middle of anything, at the latest at
    /// `until`.
    Draining { listen_until: Time, until: Time },
    /// No more requests are read. Those received are answered, until `until`.
    Stopping { until: Time },
}

impl Shutdown {
    /// Whether it has begun.
    pub fn has_begun(self) -> bool {
        self != Self::NotAsked
    }

    /// Whether requests are no longer read.
    pub fn is_stopping(self) -> bool {
        matches!(self, Self::Stopping { .. })
    }

    /// When the shutdown advances by itself.
    pub fn due(self, listening: bool) -> Option<Time> {
        match self {
            Self::NotAsked => None,
            Self::Draining { listen_until, .. } if listening => Some(listen_until),
            Self::Draining { until, .. } | Self::Stopping { until } => Some(until),
        }
    }
}

impl Server {
    /// Handles signals. Returns whether to end at once.
    pub(super) fn take_signals(&mut self) -> bool {
        let signals: Vec<i32> = self.signals.pending().collect();
        for signal in signals {
            let name = signal_name(signal);
            if signal == SIGHUP && self.reload_settings(name) {
                continue;
            }
            if IGNORED.contains(&signal) {
                log::info!(signal = name; "signal ignored");
                continue;
            }
            let clients = self.connections.len();
            if self.shutdown.has_begun() {
                log::warn!(signal = name, clients_cut_off = clients; "stopped at once");
                return true;
            }
            log::info!(signal = name, clients; "shutting down");
            self.begin_shutdown();
        }
        false
    }

    fn begin_shutdown(&mut self) {
        systemd::notify(State::Stopping);
        if self.drain.is_zero() {
            return self.stop();
        }
        self.shutdown = Shutdown::Draining {
            listen_until: self.now.after(self.drain / 2),
            until: self.now.after(self.drain),
        };
    }

    /// Advances the shutdown when a period of the drain has passed.
    pub(super) fn end_drain(&mut self) {
        if let Shutdown::Draining {
            listen_until,
            until,
        } = self.shutdown
        {
            if self.now >= listen_until {
                self.stop_listening();
            }
            if self.now >= until {
                self.stop();
            }
        }
    }

    /// Advances the shutdown at the end of a turn, if it has begun. Returns whether it is complete.
    pub(super) fn shut_down(&mut self) -> bool {
        match self.shutdown {
            Shutdown::NotAsked => false,
            Shutdown::Draining { .. } => {
                if self.listeners.is_empty() && !self.anyone_is_busy() {
                    // The next turn comes at once, and ends the drain.
                    self.shutdown = Shutdown::Draining {
                        listen_until: self.now,
                        until: self.now,
                    };
                }
                false
            }
            Shutdown::Stopping { until } => {
                let has_come = self.connections.is_empty() || self.now >= until;
                if has_come {
                    self.floods.end(self.now.after(Limit::PERIOD));
                    log::info!(clients_cut_off = self.connections.len(); "stopped");
                }
                has_come
            }
        }
    }

    /// Stops accepting clients and reading requests; those received are answered.
    fn stop(&mut self) {
        self.shutdown = Shutdown::Stopping {
            until: self.now.after(self.dialer.timeout + STOP_MARGIN),
        };
        self.stop_listening();
        let slots = self.connections.iter().map(|(slot, _)| ClientId(slot));
        for client in slots.collect::<Vec<_>>() {
            let mut reads = LAST_READS;
            while reads > 0 && self.proxy.wants_input(client) && self.read(client) {
                reads -= 1;
            }
            if self.connections.contains(client.0) {
                self.proxy.end_of_input(client, Ending::Shutdown);
            }
        }
    }

    fn stop_listening(&mut self) {
        if self.listeners.stop() && !self.shutdown.is_stopping() {
            log::info!(clients = self.connections.len(); "no longer accepting clients");
        }
    }

    /// Whether any client is in the middle of something.
    fn anyone_is_busy(&self) -> bool {
        self.connections.iter().any(|(slot, connection)| {
            connection.lingering.is_none() && self.proxy.is_busy(ClientId(slot))
        })
    }
}
