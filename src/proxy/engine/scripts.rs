//! What scripts write, as far as they declare it, and which clients wait until Redis has reported the rest.

use super::super::replies::Replies;
use super::super::scripts::is_without_writes;
use super::{Coherence, Engine};
use crate::command::{Writes, Written, written};
use crate::metrics::Cause;
use crate::resp::request::Request;

impl Engine {
    /// Notes a request that is being sent and may contain a script.
    pub(in crate::proxy) fn note_script(&mut self, request: &Request<'_>, writes: Writes) {
        let is = |index: usize, word: &str| {
            request
                .argument(index)
                .eq_ignore_ascii_case(word.as_bytes())
        };
        let text = match writes {
            Writes::Declared(_) if request.len() > 1 => request.argument(1),
            Writes::Nothing if request.len() == 3 && is(0, "script") && is(1, "load") => {
                request.argument(2)
            }
            _ => return,
        };
        self.harmless.note(text);
    }

    /// Whether a script declares that it does not write, as scripts can since Redis 7.0. A call by digest carries no
    /// declaration, so it counts only if the proxy has seen the script's text.
    fn is_harmless(&self, request: &Request<'_>) -> bool {
        let script = request.argument(request.len().min(2) - 1);
        if is_without_writes(script) {
            return true;
        }
        let name = self.table.original_name(request.argument(0));
        let is_called = !self.harmless.is_empty() && name.eq_ignore_ascii_case(b"evalsha");
        is_called && self.harmless.contains(script)
    }

    /// The keys that a request writes, as far as the proxy must know them itself; `None` stands for possibly any key.
    pub(in crate::proxy) fn written_here<'a>(
        &self,
        request: &Request<'a>,
        writes: Writes,
    ) -> Option<Written<'a>> {
        match writes {
            Writes::Declared(_) if !self.reports_scripts(writes) => None,
            Writes::Declared(_) if self.is_harmless(request) => Some(Written::default()),
            writes => written(request, writes),
        }
    }

    /// Whether a request writes keys that it need not declare, and Redis reports them.
    pub(in crate::proxy) fn reports_scripts(&self, writes: Writes) -> bool {
        let is_script = matches!(writes, Writes::Declared(_));
        let server = self.any_server();
        is_script
            && match server.coherence {
                Coherence::Tracking => true,
                // The client waits until Redis is back, and then the cache is emptied anyway.
                Coherence::Lost => !server.is_up(),
                Coherence::Unknown | Coherence::Missing | Coherence::TimeToLive { .. } => false,
            }
    }

    /// The barrier that follows the reports of all changes by the script that was just answered.
    pub(in crate::proxy) fn barrier_of_script(&mut self) -> u64 {
        match self.any_server().coherence {
            Coherence::Unknown | Coherence::Tracking | Coherence::Lost => self.barriers.next(),
            // No report will come: Redis reported changes when the script was sent, but no longer does.
            Coherence::Missing | Coherence::TimeToLive { .. } => {
                self.invalidate_all(Cause::Written);
                self.barriers.passed()
            }
        }
    }

    /// Whether a client with these replies may be served from the cache.
    #[inline]
    pub(in crate::proxy) fn may_be_served(&self, replies: &Replies) -> bool {
        replies.scripts.are_settled(self.barriers.passed()) || self.any_server().outage().is_some()
    }
}
