//! Log lines that clients can trigger as often as they like.

use std::io;

use log::Level;

use super::Server;
use crate::clock::{Time, earliest};
use crate::logging::Limit;
use crate::proxy::{ClientId, Ending, Peer};

const HTTP: &str = "possible attack";
const EVICTED: &str = "evicting client";

/// A rate limit for each kind of line.
#[derive(Default)]
pub(super) struct Floods {
    /// Clients sent malformed requests.
    pub broken: Limit,
    /// Clients spoke HTTP.
    pub http: Limit,
    /// Clients were refused because of the maximum.
    pub refused: Limit,
    /// Clients could not be accepted for lack of file descriptors.
    pub unaccepted: Limit,
    /// Clients were closed because all together held too much.
    pub evicted: Limit,
    /// Clients' dedicated connections to Redis could not be opened.
    pub dedicated_failed: Limit,
}

impl Floods {
    /// When [`Self::end`] is due; never, if no lines were left out.
    pub fn due(&self) -> Option<Time> {
        let limits = [
            &self.broken,
            &self.http,
            &self.refused,
            &self.unaccepted,
            &self.evicted,
            &self.dedicated_failed,
        ];
        earliest(limits.map(Limit::due))
    }

    /// Logs how many lines were left out, unless a later line has already done so.
    pub fn end(&mut self, now: Time) {
        if self.due().is_none_or(|due| due > now) {
            return;
        }
        let limits = [
            (Level::Info, "protocol error of a client", &mut self.broken),
            (Level::Warn, HTTP, &mut self.http),
            (Level::Warn, "client refused", &mut self.refused),
            (Level::Warn, "cannot accept clients", &mut self.unaccepted),
            (Level::Warn, EVICTED, &mut self.evicted),
            (
                Level::Warn,
                "dedicated connection failed",
                &mut self.dedicated_failed,
            ),
        ];
        for (level, of, limit) in limits {
            if let Some(left_out) = limit.end(now) {
                log::log!(level, of, left_out; "lines left out");
            }
        }
    }
}

impl Server {
    /// Logs that a client was refused.
    pub(super) fn log_refused(&mut self, address: &Peer, reason: &str) {
        if let Some(left_out) = self.floods.refused.admit(self.now) {
            let clients = self.connections.len();
            log::warn!(address:%, clients, reason, left_out; "client refused");
        }
    }

    /// Logs that a client failed the TLS handshake.
    pub(super) fn log_no_handshake(&mut self, client: ClientId, error: &io::Error) {
        if let Some(left_out) = self.floods.broken.admit(self.now) {
            let (number, address) = self.proxy.peer(client);
            log::info!(
                client = number, address = address.map(Peer::to_string), reason:% = error, left_out;
                "protocol error of a client"
            );
        }
    }

    /// Logs that clients are waiting which can't be accepted for now.
    pub(super) fn log_unaccepted(&mut self, error: &io::Error) {
        if let Some(left_out) = self.floods.unaccepted.admit(self.now) {
            let clients = self.connections.len();
            log::warn!(clients, reason:% = error, left_out; "cannot accept clients");
        }
    }

    /// A client is done or gone. Logs the reason, if it is an error.
    pub(super) fn log_ending(&mut self, client: ClientId) {
        let (number, address) = self.proxy.peer(client);
        let address = || address.map(Peer::to_string);
        let Some(ending) = self.proxy.ending(client) else {
            return;
        };
        match ending {
            Ending::Protocol(_) => {
                if let Some(left_out) = self.floods.broken.admit(self.now) {
                    log::info!(
                        client = number, address = address(), reason:% = ending, left_out;
                        "protocol error of a client"
                    );
                }
            }
            Ending::Http => {
                if let Some(left_out) = self.floods.http.admit(self.now) {
                    log::warn!(
                        client = number, address = address(),
                        reason = "it sent POST or Host:, as a browser does when a web page attacks Redis; the \
                                  connection was closed, and nothing was forwarded",
                        left_out;
                        "{HTTP}"
                    );
                }
            }
            Ending::Evicted { .. } => {
                if let Some(left_out) = self.floods.evicted.admit(self.now) {
                    log::warn!(
                        client = number, address = address(), reason:% = ending,
                        max_buffers = self.proxy.max_buffers(), left_out;
                        "{EVICTED}"
                    );
                }
            }
            Ending::DedicatedFailed(reason) => {
                if let Some(left_out) = self.floods.dedicated_failed.admit(self.now) {
                    log::warn!(
                        client = number, address = address(), reason, left_out;
                        "dedicated connection failed"
                    );
                }
            }
            _ => {}
        }
    }
}
