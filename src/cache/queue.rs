//! The queue of deadlines: sorted, in consecutive blocks. A deadline thus takes ten bytes; the nodes of a tree would
//! each hold half a dozen, and be half empty.
//!
//! Nearly all entries have the same time to live, so nearly all deadlines are appended. To insert any other deadline,
//! or to remove one, takes two binary searches, and moves the deadlines after it in its block.

use std::collections::VecDeque;

use super::entry::Deadline;

/// A deadline, with the hash of the key whose entry has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Expiry {
    pub deadline: Deadline,
    /// The hash, in halves, so that it fits after the deadline without padding.
    hash: [u16; 2],
}

impl Expiry {
    pub fn new(deadline: Deadline, hash: u32) -> Self {
        let hash = [hash as u16, (hash >> 16) as u16];
        Self { deadline, hash }
    }

    pub fn hash(self) -> u32 {
        u32::from(self.hash[0]) | u32::from(self.hash[1]) << 16
    }
}

/// The most deadlines of a block.
const BLOCK: usize = 128;

/// Two neighbouring blocks with no more than this many deadlines in total are merged.
const MERGED: usize = BLOCK * 3 / 4;

/// Consecutive deadlines, in order.
struct Block {
    /// No deadline in the block is earlier than this, and none in the blocks before it is later.
    from: u64,
    /// The deadlines; at least one.
    expiries: Vec<Expiry>,
}

/// The queue. Equal deadlines are kept in the order of insertion.
#[derive(Default)]
pub(super) struct Queue {
    blocks: VecDeque<Block>,
}

impl Queue {
    /// The earliest deadline.
    pub fn first(&self) -> Option<Expiry> {
        self.blocks.front()?.expiries.first().copied()
    }

    /// Adds a deadline, in constant time if it is the latest.
    pub fn insert(&mut self, expiry: Expiry) {
        let at = expiry.deadline.steps();
        let last = |block: &Block| {
            block
                .expiries
                .last()
                .is_some_and(|last| last.deadline.steps() <= at)
        };
        match self.blocks.back_mut() {
            Some(block) if last(block) && block.expiries.len() < BLOCK => {
                block.expiries.push(expiry)
            }
            Some(block) if !last(block) => self.insert_between(expiry),
            _ => {
                let mut expiries = Vec::with_capacity(BLOCK);
                expiries.push(expiry);
                self.blocks.push_back(Block { from: at, expiries });
            }
        }
    }

    fn insert_between(&mut self, expiry: Expiry) {
        let at = expiry.deadline.steps();
        let behind = self.blocks.partition_point(|block| block.from <= at);
        let mut index = behind.saturating_sub(1);
        if self.blocks[index].expiries.len() == BLOCK {
            self.split(index);
            if self.blocks[index + 1].from <= at {
                index += 1;
            }
        }
        let block = &mut self.blocks[index];
        block.from = block.from.min(at);
        let position = block
            .expiries
            .partition_point(|other| other.deadline.steps() <= at);
        block.expiries.insert(position, expiry);
    }

    /// Splits a block in two.
    fn split(&mut self, index: usize) {
        let expiries = self.blocks[index].expiries.split_off(BLOCK / 2);
        let from = expiries[0].deadline.steps();
        self.blocks.insert(index + 1, Block { from, expiries });
    }

    /// Removes a deadline. Returns whether it was in the queue.
    pub fn remove(&mut self, expiry: Expiry) -> bool {
        let Some((index, position)) = self.find(expiry) else {
            return false;
        };
        self.blocks[index].expiries.remove(position);
        if self.blocks[index].expiries.is_empty() {
            self.blocks.remove(index);
        }
        self.merge(index);
        if index > 0 {
            self.merge(index - 1);
        }
        true
    }

    /// Whether a deadline is in the queue.
    pub fn has(&self, expiry: Expiry) -> bool {
        self.find(expiry).is_some()
    }

    /// The deadlines after `deadline`, the earliest first; all of them if it is `None`.
    pub fn behind(&self, deadline: Option<u64>) -> impl Iterator<Item = Expiry> {
        let from = deadline.map_or(0, |deadline| deadline + 1);
        let first = self.blocks.partition_point(|block| block.from < from);
        let blocks = self.blocks.range(first.saturating_sub(1)..);
        let expiries = blocks.flat_map(|block| block.expiries.iter().copied());
        expiries.skip_while(move |expiry| expiry.deadline.steps() < from)
    }

    /// The block that contains a deadline, and the index in the block.
    fn find(&self, expiry: Expiry) -> Option<(usize, usize)> {
        let at = expiry.deadline.steps();
        let first = self
            .blocks
            .partition_point(|block| block.from < at)
            .saturating_sub(1);
        for (index, block) in self.blocks.iter().enumerate().skip(first) {
            if block.from > at {
                break;
            }
            let start = block
                .expiries
                .partition_point(|other| other.deadline.steps() < at);
            let found = block.expiries[start..]
                .iter()
                .position(|&other| other == expiry);
            if let Some(found) = found {
                return Some((index, start + found));
            }
        }
        None
    }

    /// Merges a block with the next one, if both are small.
    fn merge(&mut self, index: usize) {
        let length = |index: usize| self.blocks.get(index).map(|block| block.expiries.len());
        let (Some(left), Some(right)) = (length(index), length(index + 1)) else {
            return;
        };
        if left + right <= MERGED
            && let Some(right) = self.blocks.remove(index + 1)
        {
            self.blocks[index].expiries.extend(right.expiries);
        }
    }
}

#[cfg(test)]
mod tests;
