//! What changes when a server is reached or lost, or begins or ceases to report changes.

use std::time::Duration;

use super::slots::Slots;
use super::{Coherence, Engine, Redis};
use crate::clock::Time;
use crate::metrics::Cause;
use crate::proxy::outage::Outage;
use crate::resp::reply::Reply;
use crate::status::Right;
use crate::transport::dial::Endpoint;
use crate::upstream::{Backend, NodeId, Tracking, UNKNOWN_TTL};

impl Engine {
    /// A server was reached at `endpoint`.
    pub fn reached(&mut self, node: NodeId, endpoint: &Endpoint) {
        self.server_mut(node).endpoint = Some(endpoint.clone());
    }

    /// A server is up, and has described itself. Returns whether it is another server than before.
    pub fn up(&mut self, node: NodeId, backend: &Backend, now: Time) -> bool {
        let server = self.server(node);
        let before = server.backend.as_ref();
        let is_again = before.is_some();
        let is_another = before.is_some_and(|before| before.is_another(backend));
        // This may be another server, and misses are answered before it is known whether it reports changes.
        if server.coherence == Coherence::Lost || is_another {
            self.invalidate_server(node, Cause::Reconnected);
        }
        self.metrics.redis.reconnects += u64::from(is_again);
        self.metrics.redis.up(now);
        if let Some(specs) = &backend.commands {
            self.learn(specs);
        }
        if is_another {
            self.databases.forget_which_exist();
        }
        self.missing_rights
            .note(Right::Command, backend.commands_refused);
        self.learn_info(&backend.info, now);
        let is_alone = self.cluster.is_none();
        self.slots = (backend.is_cluster && is_alone).then(Slots::default);
        self.change_server(node, |server| {
            server.backend = Some(backend.clone());
            server.redis = Redis::Up;
        });
        self.touches.forget_refusal();
        is_another
    }

    /// A server was replaced by another. Clients that need a dedicated connection wait until the new one is reached.
    pub fn leave_old_server(&mut self, node: NodeId) {
        let server = self.server_mut(node);
        if server.is_up() {
            server.redis = Redis::Unknown;
        }
    }

    /// A connection was lost and reopened, while Redis was reachable.
    pub fn reconnected(&mut self, now: Time) {
        self.metrics.redis.reconnects += 1;
        self.metrics.redis.up(now);
    }

    /// A server was lost, but may be back in a moment.
    pub fn away(&mut self, node: NodeId, now: Time) {
        self.metrics.redis.down(now);
        self.change_server(node, |server| server.redis = Redis::Unknown);
    }

    /// A server is unreachable, or refuses the proxy with `error`.
    pub fn down(&mut self, node: NodeId, error: &[u8], refused: bool, now: Time) {
        self.metrics.redis.down(now);
        let error = Reply::copy(error);
        self.change_server(node, |server| {
            server.redis = Redis::Down(Outage { error, refused });
        });
    }

    /// A server has changed whether it reports changes.
    pub fn tracking(&mut self, node: NodeId, tracking: &Tracking) {
        match tracking {
            Tracking::Off {
                refused: Some(words),
            } => {
                let is_missing = words.starts_with("NOPERM ");
                self.missing_rights.note(Right::Tracking, is_missing);
            }
            Tracking::On | Tracking::Off { refused: None } => {
                self.missing_rights.note(Right::Tracking, false);
            }
            _ => {}
        }
        let coherence = match tracking {
            Tracking::Suspended | Tracking::Resumed => None,
            // Entries are served until Redis is reached again.
            Tracking::Lost => Some(Coherence::Lost),
            Tracking::Missing => Some(Coherence::Missing),
            Tracking::On => Some(Coherence::Tracking),
            Tracking::Off { refused } => Some(Coherence::TimeToLive {
                refused: refused.clone(),
            }),
        };
        let empties = match tracking {
            Tracking::Suspended | Tracking::Resumed | Tracking::Lost => false,
            Tracking::Missing | Tracking::On => true,
            // Entries that were cached while changes were reported are no longer covered by reports.
            Tracking::Off { .. } => {
                !matches!(self.server(node).coherence, Coherence::TimeToLive { .. })
            }
        };
        if empties {
            self.invalidate_server(node, Cause::Reconnected);
        }
        self.change_server(node, |server| {
            server.is_suspended = *tracking == Tracking::Suspended;
            if let Some(coherence) = coherence {
                server.coherence = coherence;
            }
        });
    }

    /// The proxy's user at a server may have other permissions than when values were fetched. `known` is whether the
    /// proxy can learn of changes of the permissions; if not, values are kept only for a short time.
    pub fn rights(&mut self, node: NodeId, known: bool) {
        self.invalidate_server(node, Cause::Reconnected);
        self.checks.forget();
        self.missing_rights.note(Right::GetUser, !known);
        // Commands that were refused may be permitted now, and vice versa.
        if self.server(node).is_up() {
            self.renew_table(self.home());
        }
        self.server_mut(node).longest = match known {
            true => Duration::MAX,
            false => UNKNOWN_TTL,
        };
    }

    /// A server refuses reads because it has lost its master. So does the proxy, until the server serves reads again;
    /// it then reports everything that has changed at the master meanwhile.
    pub fn master_lost(&mut self, node: NodeId, is_lost: bool) {
        self.change_server(node, |server| server.is_refusing = is_lost);
    }
}
