//! The terms that rules set for entries: how long they live, how long they are kept after that, whether they are
//! refreshed before they expire, and whether they are pinned.
//!
//! The deadline of an entry with a refresh time is that much earlier than its end. From then on, the fast path does not
//! find the entry; a read records that it must be refreshed, but still returns it. So entries without a refresh time
//! cost no more to read.
//!
//! There is a separate queue of deadlines for each length of time that entries are kept past their deadlines, so that
//! each queue is in order.

use std::rc::Rc;
use std::time::Duration;

use super::entry::{Deadline, Entry};
use super::queue::{Expiry, Queue};
use super::{Key, KeyBuf, Limits, Value};
use crate::clock::Time;
use crate::resp::reply::bulk_value;
use crate::rules::Rules;

/// The most entries that can wait to be taken for a refresh. Further ones wait for their next read.
const AHEAD_MAX: usize = 64;

/// The terms for the entries of a key.
#[derive(Clone, Copy, Debug)]
pub(super) struct Term {
    pub ttl: Duration,
    /// The longest value or reply that is cached, in bytes; 0 for no bound.
    pub reply: usize,
    /// Nothing is cached.
    pub is_nothing: bool,
    pub is_pinned: bool,
    /// The queue of the deadlines of these entries.
    queue: QueueId,
    /// The queue for entries that are refreshed ahead of their end, and how long ahead.
    refresh: Option<(QueueId, Duration)>,
}

/// The number of a queue.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct QueueId(usize);

/// The deadlines of entries that are kept for the same time past them.
struct Kept {
    /// How long before its end such an entry has its deadline.
    refresh: Duration,
    /// How long past its end an entry may still be used, if a rule says so.
    stale: Option<Duration>,
    queue: Queue,
}

/// The terms of all rules, and the deadlines of all entries.
pub(super) struct Terms {
    rules: Rc<Rules>,
    /// The terms of keys without a rule.
    common: Term,
    /// The terms of each rule.
    of_rules: Vec<Term>,
    /// The queues. The first is for entries without a rule.
    queues: Vec<Kept>,
    /// How long past its end an entry may still be used, if no rule says so.
    stale: Duration,
    /// Entries that were read within their refresh time.
    read_ahead: Vec<(KeyBuf, Time)>,
}

/// Which queue has the deadline of an entry, and the deadline.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Life {
    pub deadline: Deadline,
    queue: QueueId,
}

impl Term {
    /// Whether a value is short enough to be kept.
    pub fn takes(&self, value: &Value<'_>) -> bool {
        match value {
            Value::Bytes(bytes) => self.takes_length(bytes.len()),
            Value::Shared(encoded) => self.takes_reply(encoded),
            Value::Missing => self.takes_length(0),
        }
    }

    /// Whether an encoded reply, or the value in it, is short enough to be kept.
    pub fn takes_reply(&self, encoded: &[u8]) -> bool {
        self.takes_length(bulk_value(encoded).unwrap_or(encoded).len())
    }

    fn takes_length(&self, length: usize) -> bool {
        !self.is_nothing && (self.reply == 0 || length <= self.reply)
    }

    /// The life of an entry that is to end after `ttl`, or when the rule says, if that is earlier.
    pub fn life(&self, ttl: Duration, now: Time) -> Life {
        match self.refresh {
            // A fetch would not prolong an entry whose own time to live ends earlier.
            Some((queue, refresh)) if ttl >= self.ttl && refresh < self.ttl => Life {
                deadline: Deadline::new(now.after(self.ttl - refresh)),
                queue,
            },
            _ => Life {
                deadline: Deadline::new(now.after(ttl.min(self.ttl))),
                queue: self.queue,
            },
        }
    }
}

impl Terms {
    /// The terms of these rules, with the limits for all other keys.
    pub fn new(limits: &Limits, rules: Rc<Rules>) -> Self {
        let common = Term {
            ttl: limits.ttl,
            reply: limits.reply,
            is_nothing: false,
            is_pinned: false,
            queue: QueueId(0),
            refresh: None,
        };
        let mut queues = vec![Kept {
            refresh: Duration::ZERO,
            stale: None,
            queue: Queue::default(),
        }];
        let of_rules = rules.iter().map(|rule| Term {
            ttl: rule.ttl.unwrap_or(limits.ttl),
            reply: rule.max_reply.unwrap_or(limits.reply),
            is_nothing: rule.nocache,
            is_pinned: rule.pin,
            queue: queue_of(&mut queues, Duration::ZERO, rule.stale),
            refresh: rule
                .refresh
                .map(|refresh| (queue_of(&mut queues, refresh, rule.stale), refresh)),
        });
        let of_rules = of_rules.collect();
        Self {
            rules,
            common,
            of_rules,
            queues,
            stale: limits.stale_ttl,
            read_ahead: Vec::new(),
        }
    }

    pub fn rules(&self) -> &Rc<Rules> {
        &self.rules
    }

    /// The terms for the entries of a key.
    #[inline]
    pub fn of(&self, name: &[u8]) -> &Term {
        if self.of_rules.is_empty() {
            return &self.common;
        }
        let rule = self.rules.position(name);
        rule.map_or(&self.common, |rule| &self.of_rules[rule])
    }

    /// The life of an entry.
    pub fn life_of(&self, entry: &Entry, hash: u32) -> Life {
        let deadline = entry.deadline;
        let queue = match self.rules.is_empty() {
            true => QueueId(0),
            false => self.queue_of(entry, hash),
        };
        Life { deadline, queue }
    }

    fn queue_of(&self, entry: &Entry, hash: u32) -> QueueId {
        let term = self.of(entry.name());
        let expiry = Expiry::new(entry.deadline, hash);
        match term.refresh {
            Some((QueueId(queue), _)) if self.queues[queue].queue.has(expiry) => QueueId(queue),
            _ => term.queue,
        }
    }

    /// The life of an entry with two parts, which ends when the first of them does.
    pub fn shorter(&self, name: &[u8], one: Life, other: Life) -> Life {
        let (ends, other_ends) = (self.end(one), self.end(other));
        let shorter = if other_ends < ends { other } else { one };
        if one.queue == other.queue {
            return shorter;
        }
        // A fetch would prolong only one of the two parts.
        Life {
            deadline: Deadline::new(ends.min(other_ends)),
            queue: self.of(name).queue,
        }
    }

    /// The queue of this number, counted from 0: the deadlines of some of the entries.
    pub fn queue(&self, number: usize) -> Option<&Queue> {
        self.queues.get(number).map(|kept| &kept.queue)
    }

    /// Sets other limits. Times to live change only for entries that are inserted later; the time for which stale
    /// entries are used also changes for existing ones.
    pub fn set_limits(&mut self, limits: &Limits) {
        let rules = self.rules.iter();
        for (term, rule) in self.of_rules.iter_mut().zip(rules) {
            term.ttl = rule.ttl.unwrap_or(limits.ttl);
            term.reply = rule.max_reply.unwrap_or(limits.reply);
        }
        self.common.ttl = limits.ttl;
        self.common.reply = limits.reply;
        self.stale = limits.stale_ttl;
    }

    /// When an entry with this life ends.
    pub fn end(&self, life: Life) -> Time {
        life.deadline
            .time()
            .after(self.queues[life.queue.0].refresh)
    }

    pub fn add(&mut self, life: Life, hash: u32) {
        let expiry = Expiry::new(life.deadline, hash);
        self.queues[life.queue.0].queue.insert(expiry);
    }

    /// Removes a deadline. Returns whether it was in its queue.
    pub fn remove(&mut self, life: Life, hash: u32) -> bool {
        let expiry = Expiry::new(life.deadline, hash);
        self.queues[life.queue.0].queue.remove(expiry)
    }

    /// Whether an entry is past its deadline but not past its end, because it is to be refreshed ahead. If so, records
    /// the read.
    #[cold]
    #[inline(never)]
    pub fn reads_ahead(&mut self, entry: &Entry, hash: u32, now: Time) -> bool {
        if self.rules.is_empty() || self.end(self.life_of(entry, hash)) <= now {
            return false;
        }
        let key = Key::new(entry.database(), entry.name());
        let mut noted = self.read_ahead.iter();
        if self.read_ahead.len() < AHEAD_MAX && !noted.any(|(noted, _)| Key::from(noted) == key) {
            self.read_ahead.push((key.into(), now));
        }
        true
    }

    /// Whether an entry is not past its end.
    pub fn is_good(&self, entry: &Entry, hash: u32, now: Time) -> bool {
        entry.deadline.is_after(now) || self.end(self.life_of(entry, hash)) > now
    }

    /// Whether an entry may still be served as stale.
    pub fn is_good_when_stale(&self, entry: &Entry, hash: u32, now: Time) -> bool {
        let life = self.life_of(entry, hash);
        self.end(life)
            .after(self.stale_of(&self.queues[life.queue.0]))
            > now
    }

    /// Takes the entries that were read within their refresh time since the last call, and when they were read.
    pub fn take_read_ahead(&mut self) -> Vec<(KeyBuf, Time)> {
        std::mem::take(&mut self.read_ahead)
    }

    #[inline]
    pub fn has_read_ahead(&self) -> bool {
        !self.read_ahead.is_empty()
    }

    /// The earliest deadline of an entry that may no longer be used.
    pub fn first_due(&self, now: Time) -> Option<(Expiry, Life)> {
        let queues = (0..).map(QueueId).zip(&self.queues);
        let mut due = queues.filter_map(|(queue, kept)| {
            let expiry = kept
                .queue
                .first()
                .filter(|expiry| self.gone(kept, *expiry) <= now)?;
            let deadline = expiry.deadline;
            Some((expiry, Life { deadline, queue }))
        });
        due.next()
    }

    /// When the first entry may no longer be used.
    pub fn next_due(&self) -> Option<Time> {
        let due = self
            .queues
            .iter()
            .filter_map(|kept| Some(self.gone(kept, kept.queue.first()?)));
        due.min()
    }

    /// Whether anything is kept past its end.
    pub fn keeps_stale(&self) -> bool {
        let mut queues = self.queues.iter();
        queues.any(|kept| !self.stale_of(kept).is_zero())
    }

    fn stale_of(&self, kept: &Kept) -> Duration {
        kept.stale.unwrap_or(self.stale)
    }

    /// When the entry with a deadline may no longer be used.
    fn gone(&self, kept: &Kept, expiry: Expiry) -> Time {
        let end = expiry.deadline.time().after(kept.refresh);
        end.after(self.stale_of(kept))
    }

    #[cfg(test)]
    pub fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.queues.iter().flat_map(|kept| kept.queue.expiries())
    }

    #[cfg(test)]
    pub fn assert_whole(&self) {
        self.queues
            .iter()
            .for_each(|kept| kept.queue.assert_whole());
    }
}

/// The queue of entries that are kept for this time past their deadlines. Creates it if there is none.
fn queue_of(queues: &mut Vec<Kept>, refresh: Duration, stale: Option<Duration>) -> QueueId {
    let known = queues
        .iter()
        .position(|kept| kept.refresh == refresh && kept.stale == stale);
    QueueId(known.unwrap_or_else(|| {
        queues.push(Kept {
            refresh,
            stale,
            queue: Queue::default(),
        });
        queues.len() - 1
    }))
}
