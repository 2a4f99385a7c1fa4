//! Scripts of one client that may have written keys which they did not declare. Redis reports those keys, but on
//! another connection than the reply: until all reports have certainly arrived, that client's reads go to Redis. The
//! same applies after a reply that is held on the client's dedicated connection, and that may reveal what others have
//! written.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::engine::Engine;
use super::replies::Replies;
use super::script_digest::{self, Digest, digest};
use crate::command::{Writes, Written, written};
use crate::metrics::Cause;
use crate::proxy::engine::Coherence;
use crate::resp::request::Request;

/// The state of a client's scripts, as far as it affects its reads.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// How many scripts have no reply yet.
    in_flight: u32,
    /// When this barrier has passed, all changes by answered scripts, and all that the client was shown, have been
    /// reported.
    barrier: u64,
}

impl Scripts {
    /// A script was sent.
    pub fn sent(&mut self) {
        self.in_flight += 1;
    }

    /// A script was answered, and all its changes are reported before that barrier.
    pub fn answered(&mut self, barrier: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.wait_for(barrier);
    }

    /// All changes by answered scripts, or that the client was shown, are reported before that barrier.
    pub fn wait_for(&mut self, barrier: u64) {
        self.barrier = barrier;
    }

    /// Whether all their changes are reported, if that barrier was the last to pass.
    pub fn are_settled(&self, passed: u64) -> bool {
        self.in_flight == 0 && self.barrier <= passed
    }

    /// All state that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + use<> {
        (self.in_flight, self.barrier)
    }
}

/// The most scripts that are remembered by their digests.
const HARMLESS_MAX: usize = 1024;

/// Scripts that declare that they do not write, by the digests of their texts, so that each is certainly that script.
#[derive(Debug, Default)]
pub(super) struct Harmless(HashSet<Digest, RandomState>);

impl Engine {
    /// A request is sent that may contain a script.
    pub(super) fn note_script(&mut self, request: &Request<'_>, writes: Writes) {
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
        if is_without_writes(text) {
            let known = &mut self.harmless.0;
            if known.len() >= HARMLESS_MAX {
                known.clear();
            }
            known.insert(digest(text));
        }
    }

    /// Whether a script declares that it does not write, as it can since Redis 7.0. A call by digest carries no
    /// declaration; a script whose text the proxy has not seen is unknown.
    fn is_harmless(&self, request: &Request<'_>) -> bool {
        let script = request.argument(request.len().min(2) - 1);
        if is_without_writes(script) {
            return true;
        }
        let name = self.table.original_name(request.argument(0));
        let is_called = !self.harmless.0.is_empty() && name.eq_ignore_ascii_case(b"evalsha");
        is_called
            && script_digest::read(script).is_some_and(|digest| self.harmless.0.contains(&digest))
    }

    /// The keys that a request writes, as far as the proxy must know them; `None` stands for possibly any.
    pub(super) fn written_here<'a>(
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
    pub(super) fn reports_scripts(&self, writes: Writes) -> bool {
        let is_script = matches!(writes, Writes::Declared(_));
        let server = self.any_server();
        is_script
            && match server.coherence {
                Coherence::Tracking => true,
                // It waits until Redis is back, and then the cache is emptied anyway.
                Coherence::Lost => !server.is_up(),
                Coherence::Unknown | Coherence::Missing | Coherence::TimeToLive { .. } => false,
            }
    }

    /// The barrier that follows the reports of all changes by the script that was just answered.
    pub(super) fn barrier_of_script(&mut self) -> u64 {
        match self.any_server().coherence {
            Coherence::Unknown | Coherence::Tracking | Coherence::Lost => self.barriers.next(),
            // There are no reports: Redis reported changes when the script was sent, but no longer does.
            Coherence::Missing | Coherence::TimeToLive { .. } => {
                self.invalidate_all(Cause::Written);
                self.barriers.passed()
            }
        }
    }

    /// Whether a client with these replies may be served from the cache.
    #[inline]
    pub(super) fn may_be_served(&self, replies: &Replies) -> bool {
        replies.scripts.are_settled(self.barriers.passed()) || self.any_server().outage().is_some()
    }
}

/// Whether the text of a script declares that it does not write.
fn is_without_writes(text: &[u8]) -> bool {
    if !text.starts_with(b"#!") {
        return false;
    }
    let first = text.split(|byte| *byte == b'\n').next();
    let mut words = first
        .unwrap_or_default()
        .split(|byte| *byte == b' ')
        .filter_map(|word| word.strip_prefix(b"flags="));
    words.any(|flags| {
        flags
            .split(|byte| *byte == b',')
            .any(|flag| flag == b"no-writes")
    })
}
