//! Scripts of one client that may have written keys which they did not declare. Redis reports those, but on another
//! connection than the reply: until it is sure that all reports have come, that client's reads are Redis's to answer. So
//! they are behind a reply that is held on the client's dedicated connection, and may show what others have written.

use super::replies::Replies;
use super::store::Store;
use crate::command::{Writes, Written, written};
use crate::metrics::Cause;
use crate::proxy::store::{Coherence, Redis};
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

impl Store {
    /// The keys that a request writes as far as the proxy has to know; `None` stands for perhaps any.
    pub(super) fn written_here<'a>(
        &self,
        request: &Request<'a>,
        writes: Writes,
    ) -> Option<Written<'a>> {
        match writes {
            Writes::Declared(_) if !self.reports_scripts(writes) => None,
            Writes::Declared(_) if is_without_writes(request) => Some(Written::default()),
            writes => written(request, writes),
        }
    }

    /// Whether a request writes keys that it need not declare, and Redis reports them.
    pub(super) fn reports_scripts(&self, writes: Writes) -> bool {
        let is_script = matches!(writes, Writes::Declared(_));
        is_script
            && match self.coherence {
                Coherence::Tracking => true,
                // It waits for Redis to be back, and then the cache is emptied anyway.
                Coherence::Lost => !matches!(self.redis, Redis::Up),
                Coherence::Unknown | Coherence::Missing | Coherence::TimeToLive { .. } => false,
            }
    }

    /// The barrier behind the reports of all that a script changed which was just answered.
    pub(super) fn barrier_of_script(&mut self) -> u64 {
        match self.coherence {
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
        replies.scripts.are_settled(self.barriers.passed()) || matches!(self.redis, Redis::Down(_))
    }
}

/// Whether a script says of itself that it does not write, as it can since Redis 7.0.
fn is_without_writes(request: &Request<'_>) -> bool {
    let mut lines = request
        .argument(request.len().min(2) - 1)
        .split(|byte| *byte == b'\n');
    let first = lines.next().unwrap_or_default();
    let mut words = first
        .split(|byte| *byte == b' ')
        .filter_map(|word| word.strip_prefix(b"flags="));
    first.starts_with(b"#!")
        && words.any(|flags| {
            flags
                .split(|byte| *byte == b',')
                .any(|flag| flag == b"no-writes")
        })
}
