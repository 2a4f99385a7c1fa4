//! Requests that were sent together.

use super::batch::{Batch, Pending};
use crate::clock::Time;

/// Requests that were sent together.
#[derive(Debug)]
pub(super) struct Group<Q> {
    pub batch: Batch,
    /// Which of them failed: they are not sent, and get the error in their turn. Empty for none.
    pub failed: Vec<bool>,
    /// The question, if it is one of the proxy's own.
    pub question: Option<Q>,
    pub since: Time,
}

impl<Q> Group<Q> {
    pub fn len(&self) -> usize {
        self.batch.requests.len()
    }

    pub fn has_failed(&self, index: usize) -> bool {
        self.failed.get(index).copied().unwrap_or_default()
    }

    /// Whether the reply to a request means that a transaction may be open after it.
    pub fn may_be_queuing(&self, index: usize, reply: &[u8]) -> bool {
        if !matches!(reply.first(), Some(b'+' | b'-')) {
            return false;
        }
        let is_joined = |at: usize| self.batch.requests.get(at).is_some_and(|it| it.joined);
        match (is_joined(index), is_joined(index + 1)) {
            (false, _) => reply == b"+QUEUED\r\n",
            (true, true) => false,
            // A discarded transaction is closed; before 6.2, not if Redis refuses EXEC itself.
            (true, false) => reply.starts_with(b"-") && !reply.starts_with(b"-EXECABORT "),
        }
    }

    /// The rest of the group for another connection, without the answered requests. `written` of its bytes were
    /// written; `late` of its requests were late, and are subtracted.
    pub fn renewed(self, answered: usize, written: usize, late: &mut usize) -> Self {
        let mut batch = Batch::default();
        let mut failed = Vec::new();
        let mut start = 0;
        // The previous request can no longer be sent.
        let mut is_lost = false;
        for (index, request) in self.batch.requests.iter().enumerate() {
            let bytes = &self.batch.bytes[start..request.end];
            start = request.end;
            if index < answered {
                is_lost = true;
                continue;
            }
            let was_late = *late > 0;
            *late = late.saturating_sub(1);
            let was_written = request.end <= written;
            let fails = was_late
                || self.has_failed(index)
                || was_written && !request.repeatable
                || request.joined && is_lost;
            is_lost = fails || was_written;
            let bytes = if fails { &[][..] } else { bytes };
            batch.bytes.extend_from_slice(bytes);
            batch.requests.push(Pending {
                end: batch.bytes.len(),
                repeatable: request.repeatable && !was_written,
                joined: request.joined,
            });
            failed.push(fails);
        }
        Self {
            batch,
            failed,
            ..self
        }
    }
}
