//! Decides whether a request is executed: its client's guard decides first, then the hooks that want it. If there are
//! hooks, or the client has a guard, every request is decided here before it is routed, whichever connection to Redis
//! it would use.

use super::identity::Identity;
use super::waiting::WaitsFor;
use super::{ClientId, Proxy};
use crate::clock::Time;
use crate::hooks::{Before, Client, Deferrals};
use crate::resp::Protocol;

/// The decision about a request, kept for as long as the request has to wait.
pub(super) enum Admission {
    /// It is executed.
    Pass(Passed),
    /// This is the encoded reply.
    Reply(Vec<u8>),
    /// It is refused with this error.
    Refuse(Vec<u8>),
    /// A hook has deferred it.
    Deferred {
        ticket: u64,
        /// The number of the hook.
        hook: usize,
        so_far: Passed,
    },
    /// The hook that deferred it has since decided.
    Decided {
        decision: Before,
        hook: usize,
        so_far: Passed,
    },
}

/// A request that may be executed.
#[derive(Default)]
pub(super) struct Passed {
    /// The bytes of the rewritten request, if it was rewritten.
    pub bytes: Option<Vec<u8>>,
    /// The hooks that want its reply, a bit for each.
    pub after: u32,
}

/// Who sent a request, and how it would be routed.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub client: ClientId,
    pub identity: &'a Identity,
    /// The client's current database.
    pub database: u32,
    pub protocol: Protocol,
    pub is_shared: bool,
    pub now: Time,
}

impl Sender<'_> {
    /// The client, as hooks see it. `proxy_user` is the user as which the proxy authenticates.
    pub fn as_client<'a>(&'a self, proxy_user: &'a [u8], deferrals: &'a Deferrals) -> Client<'a> {
        Client {
            id: self.identity.id,
            peer: self.identity.peer.as_ref(),
            user: self.identity.user_or(proxy_user),
            name: &self.identity.name,
            database: self.database,
            deferrals,
        }
    }
}

impl Proxy {
    /// Resumes the deferred requests that hooks have decided or that have timed out.
    pub fn take_decisions(&mut self, now: Time) {
        while let Some((client, decided, decision)) = self.engine.hooks.next_decided(now) {
            let session = &mut self.sessions[client.0];
            let Some(admission) = session.admission.take_if(|admission| {
                matches!(**admission, Admission::Deferred { ticket, .. } if ticket == decided)
            }) else {
                continue;
            };
            if let Admission::Deferred { hook, so_far, .. } = *admission {
                session.admission = Some(Box::new(Admission::Decided {
                    decision,
                    hook,
                    so_far,
                }));
            }
            if session.waits_for == WaitsFor::Hook {
                session.waits_for = WaitsFor::Nothing;
                self.note_change(client);
            }
        }
    }

    /// When the first deferred request times out.
    #[must_use]
    pub fn decisions_due(&self) -> Option<Time> {
        self.engine.hooks.due()
    }
}

/// The error for a rewritten request that is invalid.
pub(super) const NO_REQUEST: &[u8] = b"ERR a hook produced an invalid request";
