//! Withdraws requests from a link that is about to end, while the requests that are already written still get their
//! replies.

use std::collections::VecDeque;

use super::{Group, Link, Replies};

impl<Q: Copy> Link<Q> {
    /// Withdraws the requests that have not begun to be written: each gets this encoded reply, once all requests before
    /// it have theirs. A transaction that has begun is written completely. The connection must be set up.
    pub fn withdraw(&mut self, reply: &[u8], replies: &mut Replies) {
        let (answered, writing, written) = (self.answered, self.writing, self.written);
        let mut kept = VecDeque::with_capacity(self.groups.len());
        for (at, mut group) in std::mem::take(&mut self.groups).into_iter().enumerate() {
            if at < writing || group.question.is_some() {
                kept.push_back(group);
                continue;
            }
            let answered = if at == 0 { answered } else { 0 };
            let written = if at == writing { written } else { 0 };
            let first = group.first_unwritten(answered, written);
            for index in first..group.len() {
                self.withdrawn.push(match group.has_failed(index) {
                    true => &self.error,
                    false => reply,
                });
            }
            if first > answered {
                group.truncate(first);
                kept.push_back(group);
            } else if at == writing {
                self.written = 0;
                if at == 0 {
                    self.answered = 0;
                }
            }
        }
        self.groups = kept;
        let requests = self.groups.iter().filter(|group| group.question.is_none());
        let count = requests.map(Group::len).sum::<usize>();
        self.late = self.late.min(count - self.answered_requests());
        // The last request may be completely written by now.
        self.note_written(0);
        self.answer_withdrawn(replies);
    }

    /// How many clients' requests of the first group are answered.
    fn answered_requests(&self) -> usize {
        match self.groups.front() {
            Some(group) if group.question.is_none() => self.answered,
            _ => 0,
        }
    }

    /// Answers the withdrawn requests, unless an earlier request still waits for its reply.
    pub(super) fn answer_withdrawn(&mut self, replies: &mut Replies) {
        let is_request = |group: &Group<Q>| group.question.is_none();
        if !self.groups.iter().any(is_request) {
            replies.append(&self.withdrawn);
            self.withdrawn = Replies::default();
        }
    }
}

impl<Q> Group<Q> {
    /// The first request, after `answered` ones, that need not be written if `written` bytes are.
    fn first_unwritten(&self, answered: usize, written: usize) -> usize {
        let requests = &self.batch.requests;
        let start = |index: usize| match index.checked_sub(1) {
            Some(before) => requests[before].end,
            None => 0,
        };
        let is_begun = |index: usize| start(index) < written || index > 0 && requests[index].joined;
        (answered..self.len())
            .find(|index| !is_begun(*index))
            .unwrap_or(self.len())
    }

    /// Drops the request number `first` and all after it.
    fn truncate(&mut self, first: usize) {
        let end = first
            .checked_sub(1)
            .map_or(0, |last| self.batch.requests[last].end);
        self.batch.bytes.truncate(end);
        self.batch.requests.truncate(first);
        self.failed.truncate(first);
    }
}
