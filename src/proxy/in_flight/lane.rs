//! The requests in flight on one link, in the order in which Redis answers them.

use std::collections::VecDeque;

use foldhash::fast::RandomState;

use super::asked::{Asked, Fetch, Fetched, Forward, Part, Reads};
use super::written::{Written, WrittenKeys};

/// The requests in flight on one link.
#[derive(Default)]
pub(super) struct Lane {
    /// The requests, the oldest first.
    pub asked: VecDeque<Asked>,
    /// How many requests were answered; also the number of the oldest one in `asked`.
    pub answered: u64,
    /// How many of the oldest are late, so that no client waits for them any more.
    pub late: usize,
    /// How many of them came here by a redirect from another node.
    pub sent_on: usize,
    /// The fetched value whose time to live is answered next, if the value may be cached.
    pub fetched: Option<Fetched>,
    /// The keys that unanswered, or unexecuted, requests write; `None` until a fetch over another link asks.
    written: Option<WrittenKeys>,
    /// What the queued requests of a transaction write and read.
    queued: Vec<(Written, Reads)>,
}

impl Lane {
    /// Counts the keys that requests write from now on, those in flight included.
    pub fn count_written(&mut self) {
        if self.written.is_some() {
            return;
        }
        let mut keys = WrittenKeys::default();
        for asked in &self.asked {
            if let Asked::Forward(forward) = asked {
                keys.add(&forward.written);
            }
        }
        self.queued
            .iter()
            .for_each(|(written, _)| keys.add(written));
        self.written = Some(keys);
    }

    /// Whether a request in flight may write that key. They must be [counted](Self::count_written).
    pub fn writes(&self, key: &[u8], hasher: &RandomState) -> bool {
        let written = self.written.as_ref();
        debug_assert!(written.is_some(), "the written keys are counted");
        written.is_none_or(|written| written.contains(key, hasher))
    }

    /// A forwarded request was sent.
    pub fn push_forward(&mut self, forward: Forward) {
        if let Some(keys) = &mut self.written {
            keys.add(&forward.written);
        }
        self.push(Asked::Forward(forward));
    }

    /// A request was sent.
    pub fn push(&mut self, asked: Asked) {
        self.sent_on += usize::from(asked.tries() > 0);
        self.asked.push_back(asked);
    }

    /// Adds a fetch that was sent, with the requests that determine how long its reply may be cached.
    pub fn push_fetch(&mut self, fetch: Fetch) {
        let reads_fields = fetch.reads_fields;
        self.push(Asked::Fetch(fetch));
        if reads_fields {
            self.push(Asked::FieldsToLive);
        }
        self.push(Asked::TimeToLive);
    }

    /// Removes the oldest request, which is answered.
    pub fn pop(&mut self) -> Option<Asked> {
        let asked = self.asked.pop_front()?;
        self.sent_on -= usize::from(asked.tries() > 0);
        self.answered += 1;
        self.late = self.late.saturating_sub(1);
        Some(asked)
    }

    /// Handles the answer to a forwarded request, which Redis has executed, unless it has queued it.
    pub fn executed(&mut self, forward: &mut Forward) {
        match forward.part.as_deref_mut() {
            None => remove(&mut self.written, &forward.written),
            Some(Part::Queued(reads)) => {
                let written = std::mem::take(&mut forward.written);
                self.queued.push((written, std::mem::take(reads)));
            }
            Some(Part::Exec(all)) => {
                for (written, reads) in self.queued.drain(..) {
                    remove(&mut self.written, &written);
                    all.push(reads);
                }
            }
        }
    }
}

/// A request that writes this was executed.
fn remove(counted: &mut Option<WrittenKeys>, written: &Written) {
    if let Some(keys) = counted {
        keys.remove(written);
    }
}
