//! What an entry records for inspection: how long it was meant to live, and how often it was read. Both are
//! approximate, as they take only three bytes.

use std::time::Duration;

/// How many bytes the notes take.
pub(super) const NOTES: usize = 3;

/// The number of reads takes one byte. The lower half counts steps, each of which stands for two to the power of the
/// upper half.
const STEPS: u32 = 4;

/// The life, in milliseconds, takes two bytes: the lower bits, with a leading one, are shifted by the upper bits.
const LIFE: u32 = 11;

/// The notes of an entry with this life that was never read.
pub(super) fn new(life: Duration) -> [u8; NOTES] {
    let [low, high] = packed(life).to_le_bytes();
    [0, low, high]
}

/// How long the entry was meant to live, to within a thousandth or a millisecond; at most 139 years.
pub(super) fn life(notes: [u8; NOTES]) -> Duration {
    let [_, low, high] = notes;
    let packed = u16::from_le_bytes([low, high]);
    let (shift, bits) = (packed >> LIFE, u64::from(packed) & ((1 << LIFE) - 1));
    Duration::from_millis(match shift {
        0 => bits,
        _ => (bits | 1 << LIFE) << (shift - 1),
    })
}

fn packed(life: Duration) -> u16 {
    let seconds = life.as_secs().saturating_mul(1000);
    let millis = seconds.saturating_add(life.subsec_millis().into());
    let bits = u64::BITS - millis.leading_zeros();
    // The shift is the number of bits beyond the lower ones.
    let shift = bits.saturating_sub(LIFE);
    if shift >= 1 << (u16::BITS - LIFE) {
        return u16::MAX;
    }
    let lower = millis >> shift.saturating_sub(1);
    (shift as u16) << LIFE | (lower & ((1 << LIFE) - 1)) as u16
}

/// 2³² divided by the golden ratio.
const GOLDEN: u32 = 0x9E37_79B9;

/// Multiples of [`GOLDEN`]. They are spread evenly, and so are those at any distance from one another.
#[derive(Default)]
pub(super) struct Samples(u32);

impl Samples {
    #[inline]
    pub fn next(&mut self) -> u32 {
        self.0 = self.0.wrapping_add(GOLDEN);
        self.0
    }
}

/// Counts a read in the notes at the start of `notes`. If there are many reads, only those with a low sample are
/// counted, for all.
#[inline]
pub(super) fn count(notes: &mut [u8], sample: u32) {
    let Some(reads) = notes.first_mut() else {
        return;
    };
    let power = *reads >> STEPS;
    if (u64::from(sample) << power) >> u32::BITS == 0 {
        *reads = reads.saturating_add(1);
    }
}

/// How many reads there were: up to 16 exactly, more to within a third, and a million at most.
pub(super) fn reads(notes: [u8; NOTES]) -> u32 {
    let [reads, ..] = notes.map(u32::from);
    let (power, steps) = (reads >> STEPS, reads & ((1 << STEPS) - 1));
    let base = 1 << STEPS;
    ((base + steps) << power) - base
}

#[cfg(test)]
mod tests {
    use fastrand::Rng;

    use super::*;

    #[test]
    fn a_life_is_known_to_within_a_thousandth() {
        let mut random = Rng::with_seed(1);
        let lives = (0..100_000).map(|_| {
            let bits = random.u32(1..42);
            random.u64(..1 << bits)
        });
        for millis in lives.chain([0, 1, 2047, 2048, 4095, 4096, 300_000]) {
            let noted = life(new(Duration::from_millis(millis))).as_millis() as u64;
            let error = millis.abs_diff(noted);
            assert!(error * 1000 <= millis, "{millis} is noted as {noted}");
        }
        assert!(life(new(Duration::MAX)) > Duration::from_secs(139 * 365 * 86_400));
    }

    #[test]
    fn some_reads_are_counted_exactly_and_many_nearly() {
        for distance in [1, 2, 3, 7, 100, 1000, 12_345] {
            let mut samples = (1..).map(|at: u32| at.wrapping_mul(distance).wrapping_mul(GOLDEN));
            let mut noted = new(Duration::ZERO);
            for right in 0..100_000_u32 {
                let shown = reads(noted);
                let allowed = if right <= 16 { 0 } else { 8 + right / 3 };
                assert!(shown.abs_diff(right) <= allowed, "{right} are {shown}");
                count(&mut noted, samples.next().unwrap_or_default());
            }
        }
        assert_eq!(reads([u8::MAX, 0, 0]), 1_015_792);
    }
}
