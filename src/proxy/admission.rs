//! Decides whether a request is executed: by the guard of its client, and by the hooks that want it. While there are
//! hooks or its client has a guard, every request is decided here before it is routed, whichever connection to Redis it
//! would use.

use super::identity::Identity;
use super::waiting::WaitsFor;
use super::{ClientId, Proxy};
use crate::clock::Time;
use crate::hooks::Before;
use crate::resp::Protocol;

/// The decision about a request. It is kept as long as the request has to wait.
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
    /// That hook has decided it since.
    Decided {
        decision: Before,
        hook: usize,
        so_far: Passed,
    },
}

/// A request that is executed.
#[derive(Default)]
pub(super) struct Passed {
    /// Its bytes, if they are not the client's.
    pub bytes: Option<Vec<u8>>,
    /// The hooks that want its reply, a bit for each.
    pub after: u32,
}

/// Who sent a request, and how it would be routed.
#[derive(Clone, Copy)]
pub(super) struct Sender<'a> {
    pub client: ClientId,
    pub identity: &'a Identity,
    /// The database that it is in.
    pub database: u32,
    pub protocol: Protocol,
    pub is_shared: bool,
    pub now: Time,
}

impl Proxy {
    /// Resumes the requests that hooks have decided, or deferred for too long.
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
