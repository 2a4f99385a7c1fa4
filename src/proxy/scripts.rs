//! Scripts of one client that may have written keys which they did not declare. Redis reports those, but on another
//! connection than the reply: until it is sure that all reports have come, that client's reads are Redis's to answer. So
//! they are behind a reply that is held on the client's dedicated connection, and may show what others have written.

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::replies::Replies;
use super::script_digest::{self, Digest, digest};
use super::store::Store;
use crate::command::{Writes, Written, written};
use crate::metrics::Cause;
use crate::proxy::store::Coherence;
use crate::resp::request::Request;

/// The scripts of a client, as far as they matter to what it reads.
#[derive(Debug, Default)]
pub(super) struct Scripts {
    /// How many wait for their replies.
    in_flight: u32,
    /// Behind the reports of what the others changed, and of what the client was shown, is this barrier.
    barrier: u64,
}

impl Scripts {
    /// One was sent.
    pub fn sent(&mut self) {
        self.in_flight += 1;
    }

    /// One was answered, and before that barrier all is reported that it changed.
    pub fn answered(&mut self, barrier: u64) {
        self.in_flight = self.in_flight.saturating_sub(1);
        self.wait_for(barrier);
    }

    /// Before that barrier all is reported that those changed which are answered, or that the client was shown.
    pub fn wait_for(&mut self, barrier: u64) {
        self.barrier = barrier;
    }

    /// Whether all that they changed is reported, when that barrier was the last to pass.
    pub fn are_settled(&self, passed: u64) -> bool {
        self.in_flight == 0 && self.barrier <= passed
    }

    /// All that decides what happens next.
    #[cfg(test)]
    pub fn state(&self) -> impl std::hash::Hash + use<> {
        (self.in_flight, self.barrier)
    }
}

/// The most scripts that are known by their digests.
const HARMLESS_MAX: usize = 1024;

/// Scripts that say of themselves that they do not write, by the digests of their texts, so that each is what it was.
#[derive(Debug, Default)]
pub(super) struct Harmless(HashSet<Digest, RandomState>);

impl Store {
    /// A request is sent that may show Redis a script.
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

    /// Whether a script says of itself that it does not write, as it can since Redis 7.0. Whoever calls it by its digest says
    /// nothing else; what it did not say to the proxy is not known.
    fn is_harmless(&self, request: &Request<'_>) -> bool {
        let script = request.argument(request.len().min(2) - 1);
        if is_without_writes(script) {
            return true;
        }
        let name = self.table.own_name(request.argument(0));
        let is_called = !self.harmless.0.is_empty() && name.eq_ignore_ascii_case(b"evalsha");
        is_called
            && script_digest::read(script).is_some_and(|digest| self.harmless.0.contains(&digest))
    }

    /// The keys that a request writes as far as the proxy has to know; `None` stands for perhaps any.
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
                // It waits for Redis to be back, and then the cache is emptied anyway.
                Coherence::Lost => !server.is_up(),
                Coherence::Unknown | Coherence::Missing | Coherence::TimeToLive { .. } => false,
            }
    }

    /// The barrier behind the reports of all that a script changed which was just answered.
    pub(super) fn barrier_of_script(&mut self) -> u64 {
        match self.any_server().coherence {
            Coherence::Unknown | Coherence::Tracking | Coherence::Lost => self.barriers.next(),
            // There are none: Redis reported changes when the script was sent, and does no more.
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

/// Whether the text of a script says that it does not write.
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
