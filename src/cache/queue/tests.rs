use fastrand::Rng;

use super::super::entry::Deadline;
use super::*;
use crate::clock::Time;

fn expiry(milliseconds: u64, hash: u32) -> Expiry {
    Expiry::new(Deadline::new(Time::from_millis(milliseconds)), hash)
}

impl Queue {
    /// All deadlines, the earliest first.
    pub fn expiries(&self) -> impl Iterator<Item = Expiry> {
        self.blocks
            .iter()
            .flat_map(|block| block.expiries.iter().copied())
    }

    /// Checks that its blocks are in order, none is empty or too long, and they are well filled.
    pub fn assert_whole(&self) {
        let mut last = 0;
        for block in &self.blocks {
            assert!((1..=BLOCK).contains(&block.expiries.len()));
            assert!(last <= block.from);
            last = block.from;
            for expiry in &block.expiries {
                assert!(last <= expiry.deadline.steps());
                last = expiry.deadline.steps();
            }
        }
        let expiries = self.expiries().count();
        assert!(self.blocks.len() <= 4 * expiries / BLOCK + 1, "air");
    }
}

#[test]
fn a_deadline_takes_ten_bytes_and_keeps_both_halves() {
    assert_eq!(size_of::<Expiry>(), 10);
    for hash in [0, 1, 0xffff, 0x1_0000, 0x1234_5678, u32::MAX] {
        let expiry = expiry(90_000, hash);
        assert_eq!(
            (expiry.hash(), expiry.deadline.time()),
            (hash, Time::from_millis(90_000))
        );
    }
}

#[test]
fn what_comes_in_order_fills_its_blocks() {
    let mut queue = Queue::default();
    let count = 10 * BLOCK as u64;
    for number in 0..count {
        queue.insert(expiry(number / 3, number as u32));
    }
    queue.assert_whole();
    assert_eq!(queue.blocks.len(), 10);
    for number in 0..count {
        let first = expiry(number / 3, number as u32);
        assert_eq!(queue.first(), Some(first));
        assert!(queue.remove(first));
        queue.assert_whole();
    }
    assert_eq!(queue.first(), None);
}

#[test]
fn a_deadline_that_is_not_there_is_not_removed() {
    let mut queue = Queue::default();
    assert!(!queue.remove(expiry(1, 1)));
    queue.insert(expiry(1, 1));
    for other in [expiry(0, 1), expiry(2, 1), expiry(1, 2)] {
        assert!(!queue.remove(other));
    }
    assert!(queue.remove(expiry(1, 1)));
    assert!(!queue.remove(expiry(1, 1)));
}

#[test]
fn what_leaves_at_random_leaves_no_blocks_that_are_nearly_empty() {
    let mut rng = Rng::with_seed(1);
    let mut queue = Queue::default();
    let mut expiries: Vec<Expiry> = (0..100 * BLOCK as u64)
        .map(|number| expiry(number, number as u32))
        .collect();
    for &expiry in &expiries {
        queue.insert(expiry);
    }
    rng.shuffle(&mut expiries);
    for expiry in expiries.split_off(BLOCK) {
        assert!(queue.remove(expiry));
    }
    queue.assert_whole();
    assert!(queue.blocks.len() <= 2 * BLOCK.div_ceil(MERGED));
}

/// Equal deadlines by the hundred, deadlines before all others, and the same one twice.
#[test]
fn random_deadlines_come_out_in_the_order_of_a_sorted_list() {
    for seed in 0..20 {
        let mut rng = Rng::with_seed(seed);
        let deadlines = [1, 10, 1000, 1_000_000][seed as usize % 4];
        let mut queue = Queue::default();
        let mut list: Vec<Expiry> = Vec::new();
        for step in 0..6000 {
            let growing = step % 3000 < 2000;
            if list.is_empty() || rng.u8(..4) < if growing { 3 } else { 1 } {
                let expiry = expiry(rng.u64(..deadlines), rng.u32(..50));
                let at = expiry.deadline.steps();
                let index = list.partition_point(|other| other.deadline.steps() <= at);
                list.insert(index, expiry);
                queue.insert(expiry);
            } else {
                let expiry = list[rng.usize(..list.len())];
                let index = list.iter().position(|&other| other == expiry);
                list.remove(index.expect("it is there"));
                assert!(queue.remove(expiry));
            }
            assert_eq!(queue.first(), list.first().copied());
            if step % 50 == 0 {
                queue.assert_whole();
                assert!(
                    queue.expiries().eq(list.iter().copied()),
                    "seed {seed}, step {step}"
                );
            }
        }
    }
}
