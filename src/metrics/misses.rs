//! Why keys that are asked for are not in the cache: by what is remembered of the latest that were.

use std::hash::BuildHasher;

use foldhash::fast::FixedState;

use super::Cause;
use crate::cache::Key;
use crate::clock::Time;

/// Why a key was not in the cache.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reason {
    /// It was not asked for before, or not for long.
    New,
    /// There was no room for its entry any more.
    Evicted,
    /// Its entry was past its time to live.
    Expired,
    /// Redis had said that it changed.
    Invalidated,
    /// It was written through the proxy, or may have been by a script.
    Written,
    /// All keys had been flushed.
    Flushed,
    /// The connection to Redis had been reopened.
    Reconnected,
    /// What Redis replied when it was asked for before was not kept.
    Unkept,
}

impl Reason {
    /// Them all, each at the place of its number.
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

    /// Its name in `INFO` and as a label.
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

/// How many keys are remembered for each that fits into the cache: one that comes back after more others is
/// taken for new.
const REMEMBERED: usize = 8;

/// The fewest and the most keys that are remembered, in all; each takes 8 bytes.
const LEAST_REMEMBERED: usize = 1024;
const MOST_REMEMBERED: usize = 16 * 1024;

/// The misses by their reason. Only a miss, a fetched value and a change cost anything here: a hash of the key,
/// and a look at one place. Whoever finds keys that share a place can confuse no more than these counts.
#[derive(Debug)]
pub struct Misses {
    counts: [u64; Reason::ALL.len()],
    /// What is remembered of a key is at the place that its hash names, until another takes it. Without places
    /// before the first miss; then they double as keys come, as most are never needed where few do.
    places: Vec<Place>,
    /// How many places there may be, a power of two.
    room: usize,
    hasher: FixedState,
    /// How often the whole cache was emptied, as far as it fits, and why it was the last time.
    emptied: u8,
    emptied_for: Reason,
}

/// What is remembered of a key.
#[derive(Clone, Copy, Debug, Default)]
struct Place {
    /// When its entry ends, in [`ticks`].
    deadline: u32,
    /// Some of its hash.
    tag: u16,
    /// [`Misses::emptied`] when it was asked for.
    emptied: u8,
    fate: Fate,
}

/// What became of a key that was asked for.
#[derive(Clone, Copy, Debug, Default)]
enum Fate {
    /// Its value was not kept so far.
    #[default]
    Asked,
    /// It was.
    Kept,
    /// And forgotten.
    Forgotten(Cause),
}

impl Misses {
    /// None yet, beside a cache of so many entries.
    #[must_use]
    pub fn beside(entries: usize) -> Self {
        let room = entries
            .saturating_mul(REMEMBERED)
            .clamp(LEAST_REMEMBERED, MOST_REMEMBERED);
        Self {
            counts: Default::default(),
            places: Vec::new(),
            room: room.next_power_of_two(),
            hasher: FixedState::default(),
            emptied: 0,
            emptied_for: Reason::Flushed,
        }
    }

    /// How many there were for a reason.
    #[must_use]
    pub fn of(&self, reason: Reason) -> u64 {
        self.counts[reason as usize]
    }

    /// How many there were for each reason.
    #[must_use]
    pub fn counts(&self) -> [u64; Reason::ALL.len()] {
        self.counts
    }

    /// A key was not in the cache, and Redis is asked for it. Returns why it was not. If something else of the key is
    /// there, as `is_known` returns, this was not asked for before, or not for long.
    pub fn missed(&mut self, key: Key<'_>, now: Time, is_known: impl FnOnce() -> bool) -> Reason {
        self.make_room();
        let (emptied, emptied_for) = (self.emptied, self.emptied_for);
        let (place, tag) = self.place(key);
        let reason = match place.fate {
            _ if place.tag != tag => Reason::New,
            Fate::Forgotten(cause) => cause.into(),
            _ if place.emptied != emptied => emptied_for,
            Fate::Asked => Reason::Unkept,
            Fate::Kept if place.deadline <= ticks(now) => Reason::Expired,
            Fate::Kept if is_known() => {
                self.counts[Reason::New as usize] += 1;
                return Reason::New;
            }
            Fate::Kept => Reason::Evicted,
        };
        *place = Place {
            deadline: 0,
            tag,
            emptied,
            fate: Fate::Asked,
        };
        self.counts[reason as usize] += 1;
        reason
    }

    /// The value of a key that was asked for is kept until then.
    pub fn kept(&mut self, key: Key<'_>, deadline: Time) {
        if let Some(place) = self.remembered(key) {
            place.fate = Fate::Kept;
            place.deadline = ticks(deadline);
        }
    }

    /// What was kept of a key, or is on its way, is no good any more. Of several causes the first counts:
    /// Redis also reports writes made through the proxy.
    pub fn forgotten(&mut self, key: Key<'_>, cause: Cause) {
        if let Some(place) = self.remembered(key)
            && !matches!(place.fate, Fate::Forgotten(_))
        {
            place.fate = Fate::Forgotten(cause);
        }
    }

    /// The same of all keys.
    pub fn all_forgotten(&mut self, cause: Cause) {
        self.emptied = self.emptied.wrapping_add(1);
        self.emptied_for = cause.into();
    }

    fn remembered(&mut self, key: Key<'_>) -> Option<&mut Place> {
        if self.places.is_empty() {
            return None;
        }
        let (place, tag) = self.place(key);
        (place.tag == tag).then_some(place)
    }

    /// The place for a key, and its tag, which is never that of an empty place. There must be places.
    fn place(&mut self, key: Key<'_>) -> (&mut Place, u16) {
        let hash = self.hasher.hash_one(key);
        // Truncated: of the two ends of the hash, one is the place, as long as there are few, and one the tag.
        let tag = (hash >> 48) as u16 | 1;
        let place = number(hash as usize % LEAST_REMEMBERED, tag, self.places.len());
        (&mut self.places[place], tag)
    }

    /// Doubles the places when a quarter of them may be taken.
    fn make_room(&mut self) {
        let length = self.places.len();
        let new = usize::try_from(self.of(Reason::New)).unwrap_or(usize::MAX);
        if length == self.room || 4 * new.min(self.room) < length {
            return;
        }
        let more = (2 * length).max(LEAST_REMEMBERED);
        let fewer = std::mem::replace(&mut self.places, vec![Place::default(); more]);
        for (place, remembered) in fewer.into_iter().enumerate() {
            if remembered.tag != 0 {
                let place = number(place % LEAST_REMEMBERED, remembered.tag, more);
                self.places[place] = remembered;
            }
        }
    }
}

/// The number of a place, of so many: among the fewest it is the first number, and beyond that the tag decides, but for
/// the bit that all tags have.
fn number(of_fewest: usize, tag: u16, places: usize) -> usize {
    (of_fewest + usize::from(tag >> 1) * LEAST_REMEMBERED) & (places - 1)
}

/// A moment in units of 67 ms, of which nine years fit.
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

    /// Asks for a key, and says why it was not there.
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

    /// Misses that have seen `a` asked for, and kept for ten seconds.
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
        assert_eq!(misses.places.len(), LEAST_REMEMBERED);
        let mut doubled = 0;
        for key in 0..4000 {
            misses.kept(Key::new(0, b"a"), at(TTL));
            let places = misses.places.len();
            miss(&mut misses, &key.to_string(), 0);
            let reason = miss(&mut misses, "a", 0);
            // Otherwise another may have taken its place, by chance.
            if misses.places.len() > places {
                doubled += 1;
                assert_eq!(reason, Reason::Evicted);
            }
        }
        assert_eq!(doubled, 4);
        assert_eq!(misses.places.len(), MOST_REMEMBERED);
    }

    #[test]
    fn a_change_before_the_first_miss_is_none_of_their_business() {
        let mut misses = Misses::beside(1);
        misses.forgotten(in_0(b"a"), Cause::Written);
        misses.kept(in_0(b"a"), at(TTL));
        assert!(misses.places.is_empty());
        assert_eq!(miss(&mut misses, "a", 0), Reason::New);
        assert_eq!(size_of::<Place>(), 8);
    }
}
