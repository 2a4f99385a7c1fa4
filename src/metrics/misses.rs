//! The reasons of misses, from what is remembered of keys that were recently in the cache.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::Cause;
use crate::cache::Key;
use crate::clock::Time;

/// Why a key was not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// The key was not requested before, or not for a long time.
    New,
    /// Its entry was evicted.
    Evicted,
    /// Its entry had expired.
    Expired,
    /// Redis had reported a change.
    Invalidated,
    /// A client wrote the key through the proxy, or a script may have.
    Written,
    /// All keys had been flushed.
    Flushed,
    /// The connection to Redis had been reopened.
    Reconnected,
    /// Redis's previous reply about the key was not cached.
    Unkept,
}

impl Reason {
    /// All reasons, each at the index of its number.
    pub const ALL: [Self; 8] = [
        Self::New,
        Self::Evicted,
        Self::Expired,
        Self::Invalidated,
        Self::Written,
        Self::Flushed,
        Self::Reconnected,
        Self::Unkept,
    ];

    /// The name of the reason in `INFO` and as a label.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::New => "new",
            Self::Evicted => "evicted",
            Self::Expired => "expired",
            Self::Invalidated => "invalidated",
            Self::Written => "written",
            Self::Flushed => "flushed",
            Self::Reconnected => "reconnected",
            Self::Unkept => "unkept",
        }
    }
}

impl From<Cause> for Reason {
    fn from(cause: Cause) -> Self {
        match cause {
            Cause::Invalidated => Self::Invalidated,
            Cause::Written => Self::Written,
            Cause::Flushed => Self::Flushed,
            Cause::Reconnected => Self::Reconnected,
        }
    }
}

/// How many keys are remembered for each that fits into the cache. A key that is requested again after more others than
/// that counts as new.
const REMEMBERED: usize = 8;

/// The fewest and the most keys that are remembered, in total; each takes 8 bytes.
const LEAST_REMEMBERED: usize = 1024;
const MOST_REMEMBERED: usize = 16 * 1024;

/// The misses, by reason. Only a miss, a fetched value and a change have a cost here: a hash of the key, and a look-up
/// of one slot. Keys that share a slot can only distort these counts.
#[derive(Debug)]
pub struct Misses {
    counts: [u64; Reason::ALL.len()],
    /// A key is remembered in the slot that its hash selects, until another takes the slot. There are no slots before
    /// the first miss. Then their number doubles as keys are added, as a small number of keys never needs most of them.
    slots: Vec<Remembered>,
    /// The most slots, a power of two.
    room: usize,
    hasher: FixedState,
    /// How often the whole cache was emptied, modulo 256, and the latest reason.
    emptied: u8,
    emptied_for: Reason,
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Remembered {
    /// When its entry ends, in [`ticks`].
    deadline: u32,
    /// Part of its hash.
    tag: u16,
    /// The value of [`Misses::emptied`] when the key was requested.
    emptied: u8,
    fate: Fate,
}

/// What happened to a requested key.
#[derive(Clone, Copy, Debug, Default)]
enum Fate {
    /// Its value has not been cached.
    #[default]
    Asked,
    /// Its value was cached.
    Kept,
    /// Its value was cached, and then removed.
    Forgotten(Cause),
}

impl Misses {
    /// No misses yet, for a cache of `entries` entries.
    #[must_use]
    pub fn beside(entries: usize) -> Self {
        let room = entries
            .saturating_mul(REMEMBERED)
            .clamp(LEAST_REMEMBERED, MOST_REMEMBERED);
        Self {
            counts: Default::default(),
            slots: Vec::new(),
            room: room.next_power_of_two(),
            hasher: FixedState::default(),
            emptied: 0,
            emptied_for: Reason::Flushed,
        }
    }

    /// How many misses had this reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many misses had each reason.
    #[must_use]
    pub fn counts(&self) -> [u64; Reason::ALL.len()] {
        self.counts
    }

    /// Counts a miss, for which Redis is asked. Returns the reason. If other answers about the key are cached, as
    /// `is_known` returns, this answer was not requested before, or not for a long time.
    pub fn missed(&mut self, key: Key<'_>, now: Time, is_known: impl FnOnce() -> bool) -> Reason {
        self.make_room();
        let (emptied, emptied_for) = (self.emptied, self.emptied_for);
        let (slot, tag) = self.slot(key);
        let reason = match slot.fate {
            _ if slot.tag != tag => Reason::New,
            Fate::Forgotten(cause) => cause.into(),
            _ if slot.emptied != emptied => emptied_for,
            Fate::Asked => Reason::Unkept,
            Fate::Kept if slot.deadline <= ticks(now) => Reason::Expired,
            Fate::Kept if is_known() => {
                self.counts[Reason::New as usize] += 1;
                return Reason::New;
            }
            Fate::Kept => Reason::Evicted,
        };
        *slot = Remembered {
            deadline: 0,
            tag,
            emptied,
            fate: Fate::Asked,
        };
        self.counts[reason as usize] += 1;
        reason
    }

    /// Notes that the value of a requested key was cached until `deadline`.
    pub fn kept(&mut self, key: Key<'_>, deadline: Time) {
        if let Some(slot) = self.remembered(key) {
            slot.fate = Fate::Kept;
            slot.deadline = ticks(deadline);
        }
    }

    /// Notes that the entry of a key, or a reply in flight, is no longer valid. The first of several causes counts, as
    /// Redis also reports writes made through the proxy.
    pub fn forgotten(&mut self, key: Key<'_>, cause: Cause) {
        if let Some(slot) = self.remembered(key)
            && !matches!(slot.fate, Fate::Forgotten(_))
        {
            slot.fate = Fate::Forgotten(cause);
        }
    }

    /// All keys were removed for this cause.
    pub fn all_forgotten(&mut self, cause: Cause) {
        self.emptied = self.emptied.wrapping_add(1);
        self.emptied_for = cause.into();
    }

    fn remembered(&mut self, key: Key<'_>) -> Option<&mut Remembered> {
        if self.slots.is_empty() {
            return None;
        }
        let (slot, tag) = self.slot(key);
        (slot.tag == tag).then_some(slot)
    }

    /// The slot for a key, and its tag, which is never that of an empty slot. Slots must exist.
    fn slot(&mut self, key: Key<'_>) -> (&mut Remembered, u16) {
        let hash = self.hasher.hash_one(key);
        // One end of the hash selects the slot, as long as there are few slots; the other end, truncated, is the tag.
        let tag = (hash >> 48) as u16 | 1;
        let slot = number(hash as usize % LEAST_REMEMBERED, tag, self.slots.len());
        (&mut self.slots[slot], tag)
    }

    /// Doubles the slots if a quarter of them may be taken.
    fn make_room(&mut self) {
        let length = self.slots.len();
        let new = usize::try_from(self.of(Reason::New)).unwrap_or(usize::MAX);
        if length == self.room || 4 * new.min(self.room) < length {
            return;
        }
        let more = (2 * length).max(LEAST_REMEMBERED);
        let fewer = std::mem::replace(&mut self.slots, vec![Remembered::default(); more]);
        for (slot, remembered) in fewer.into_iter().enumerate() {
            if remembered.tag != 0 {
                let slot = number(slot % LEAST_REMEMBERED, remembered.tag, more);
                self.slots[slot] = remembered;
            }
        }
    }
}

/// The index of a slot among `slots`. With the fewest slots it is `of_fewest`; with more, the tag decides, except for
/// the bit that all tags have set.
fn number(of_fewest: usize, tag: u16, slots: usize) -> usize {
    (of_fewest + usize::from(tag >> 1) * LEAST_REMEMBERED) & (slots - 1)
}

/// A time in units of 67 ms, whose range is nine years.
fn ticks(moment: Time) -> u32 {
    (Time::default().until(moment).as_nanos() >> 26) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TTL: u64 = 10_000;

    fn in_0(name: &[u8]) -> Key<'_> {
        Key::new(0, name)
    }

    fn at(milliseconds: u64) -> Time {
        Time::from_millis(milliseconds)
    }

    /// Requests a key, and returns why it was not there.
    #[track_caller]
    fn miss(misses: &mut Misses, key: &str, now: u64) -> Reason {
        let before = misses.counts;
        misses.missed(in_0(key.as_bytes()), at(now), || false);
        let grown: Vec<Reason> = Reason::ALL
            .into_iter()
            .filter(|&reason| misses.of(reason) > before[reason as usize])
            .collect();
        assert_eq!(grown.len(), 1);
        grown[0]
    }

    /// Misses where `a` was requested, and cached for ten seconds.
    fn with_a_kept() -> Misses {
        let mut misses = Misses::beside(100);
        assert_eq!(miss(&mut misses, "a", 0), Reason::New);
        misses.kept(in_0(b"a"), at(TTL));
        misses
    }

    #[test]
    fn one_that_leaves_within_its_time_to_live_was_evicted() {
        let mut misses = with_a_kept();
        assert_eq!(miss(&mut misses, "b", 1), Reason::New);
        assert_eq!(miss(&mut misses, "a", TTL - 100), Reason::Evicted);
    }

    #[test]
    fn one_past_its_time_to_live_has_expired() {
        assert_eq!(miss(&mut with_a_kept(), "a", TTL), Reason::Expired);
    }

    #[test]
    fn one_that_was_changed_is_missing_for_that() {
        for (cause, reason) in [
            (Cause::Invalidated, Reason::Invalidated),
            (Cause::Written, Reason::Written),
        ] {
            let mut misses = with_a_kept();
            misses.forgotten(in_0(b"b"), cause);
            misses.forgotten(in_0(b"a"), cause);
            misses.forgotten(in_0(b"a"), Cause::Invalidated);
            assert_eq!(miss(&mut misses, "a", TTL), reason);
        }
    }

    #[test]
    fn all_are_missing_after_a_flush_until_they_were_asked_for() {
        let mut misses = with_a_kept();
        misses.all_forgotten(Cause::Flushed);
        assert_eq!(miss(&mut misses, "a", 1), Reason::Flushed);
        misses.kept(in_0(b"a"), at(TTL));
        assert_eq!(miss(&mut misses, "a", 1), Reason::Evicted);
        misses.all_forgotten(Cause::Reconnected);
        assert_eq!(miss(&mut misses, "a", 1), Reason::Reconnected);
    }

    #[test]
    fn one_whose_value_is_never_kept_is_missing_for_that() {
        let mut misses = with_a_kept();
        assert_eq!(miss(&mut misses, "a", 1), Reason::Evicted);
        assert_eq!(miss(&mut misses, "a", 1), Reason::Unkept);
    }

    #[test]
    fn one_that_changes_while_it_is_fetched_is_missing_for_that() {
        let mut misses = with_a_kept();
        assert_eq!(miss(&mut misses, "a", 1), Reason::Evicted);
        misses.forgotten(in_0(b"a"), Cause::Invalidated);
        assert_eq!(miss(&mut misses, "a", 1), Reason::Invalidated);
    }

    #[test]
    fn most_of_the_latest_are_remembered() {
        let mut misses = Misses::beside(100);
        for round in 0..2 {
            for key in 0..200 {
                miss(&mut misses, &key.to_string(), round);
                misses.kept(in_0(key.to_string().as_bytes()), at(TTL));
            }
        }
        let [new, evicted] = [Reason::New, Reason::Evicted].map(|reason| misses.of(reason));
        assert!(evicted > 150, "{evicted}");
        assert_eq!(evicted + new, 400);
        for key in 1000..9000 {
            miss(&mut misses, &key.to_string(), 2);
        }
        assert_eq!(miss(&mut misses, "0", 3), Reason::New);
    }

    #[test]
    fn what_was_remembered_is_when_there_are_more_places() {
        let mut misses = Misses::beside(MOST_REMEMBERED);
        assert_eq!(miss(&mut misses, "a", 0), Reason::New);
        assert_eq!(misses.slots.len(), LEAST_REMEMBERED);
        let mut doubled = 0;
        for key in 0..4000 {
            misses.kept(Key::new(0, b"a"), at(TTL));
            let slots = misses.slots.len();
            miss(&mut misses, &key.to_string(), 0);
            let reason = miss(&mut misses, "a", 0);
            // Otherwise another may have taken its slot, by chance.
            if misses.slots.len() > slots {
                doubled += 1;
                assert_eq!(reason, Reason::Evicted);
            }
        }
        assert_eq!(doubled, 4);
        assert_eq!(misses.slots.len(), MOST_REMEMBERED);
    }

    #[test]
    fn a_change_before_the_first_miss_is_none_of_their_business() {
        let mut misses = Misses::beside(1);
        misses.forgotten(in_0(b"a"), Cause::Written);
        misses.kept(in_0(b"a"), at(TTL));
        assert!(misses.slots.is_empty());
        assert_eq!(miss(&mut misses, "a", 0), Reason::New);
        assert_eq!(size_of::<Remembered>(), 8);
    }
}
