//! A transaction on a connection: the requests that Redis has queued.

use std::collections::VecDeque;

use super::expectation::Kind;

/// Whether Redis executes requests or queues them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) enum Transaction {
    /// Redis executes them.
    #[default]
    None,
    /// Redis queues them.
    Open(Queue),
    /// The replies to the queued requests are arriving, in `EXEC`'s array.
    Executing(Queue),
}

/// Requests that were queued and have no reply yet.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    runs: VecDeque<Run>,
    length: u64,
}

/// A run of consecutive requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Run {
    /// This many requests of [`Kind::Plain`].
    Plain(u64),
    /// One request of another kind.
    Other(Kind),
}

/// The most runs in a queue. No transaction has a reason to change its connection that often.
const RUNS_MAX: usize = 16 * 1024;

/// The queue would exceed [`RUNS_MAX`].
#[derive(Debug, PartialEq, Eq)]
pub(super) struct QueueIsFull;

impl Queue {
    /// How many requests have no reply yet.
    pub fn len(&self) -> u64 {
        self.length
    }

    /// Whether every request has its reply.
    pub fn is_empty(&self) -> bool {
        self.length == 0
    }

    /// Adds a request that Redis has queued.
    ///
    /// # Errors
    /// If there would be more than [`RUNS_MAX`] runs.
    pub fn push(&mut self, kind: Kind) -> Result<(), QueueIsFull> {
        let full = self.runs.len() >= RUNS_MAX;
        let kind = match kind {
            Kind::Local => Kind::Plain,
            kind => kind,
        };
        match (self.runs.back_mut(), kind) {
            (Some(Run::Plain(count)), Kind::Plain) => *count += 1,
            _ if full => return Err(QueueIsFull),
            (_, Kind::Plain) => self.runs.push_back(Run::Plain(1)),
            _ => self.runs.push_back(Run::Other(kind)),
        }
        self.length += 1;
        Ok(())
    }

    /// Redis announces `count` replies. If a different number of requests was queued, their kinds are unknown.
    pub fn execute(&mut self, count: u64) {
        if self.length != count {
            self.runs = VecDeque::from([Run::Plain(count)]);
            self.length = count;
        }
    }

    /// The kind of the oldest request.
    pub fn front(&self) -> Option<Kind> {
        self.runs.front().map(|run| match run {
            Run::Plain(_) => Kind::Plain,
            Run::Other(kind) => *kind,
        })
    }

    /// The oldest request, which is not [`Kind::Plain`], has received one of its replies.
    pub fn set_front(&mut self, kind: Kind) {
        if let Some(run) = self.runs.front_mut() {
            *run = Run::Other(kind);
        }
    }

    /// The oldest request is answered.
    pub fn pop(&mut self) {
        self.length = self.length.saturating_sub(1);
        match self.runs.front_mut() {
            Some(Run::Plain(count)) if *count > 1 => *count -= 1,
            _ => {
                self.runs.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn requests_leave_the_queue_in_the_order_in_which_they_came() {
        let kinds = [
            Kind::Plain,
            Kind::Plain,
            Kind::Hello(0),
            Kind::Hello(0),
            Kind::Plain,
        ];
        let mut queue = Queue::default();
        for kind in kinds {
            assert_eq!(queue.push(kind), Ok(()));
        }
        queue.execute(5);
        for kind in kinds {
            assert_eq!(queue.front(), Some(kind));
            queue.pop();
        }
        assert!(queue.is_empty());
        assert_eq!(queue.front(), None);
    }

    #[test]
    fn another_number_of_replies_than_of_requests_is_believed() {
        let mut queue = Queue::default();
        assert_eq!(queue.push(Kind::Hello(0)), Ok(()));
        queue.execute(2);
        for _ in 0..2 {
            assert_eq!(queue.front(), Some(Kind::Plain));
            queue.pop();
        }
        assert!(queue.is_empty());
    }

    #[test]
    fn a_million_plain_requests_take_the_room_of_one_and_others_are_limited() {
        let mut queue = Queue::default();
        for _ in 0..1_000_000 {
            assert_eq!(queue.push(Kind::Plain), Ok(()));
        }
        assert_eq!(queue.runs.len(), 1);
        let pushed = (0..RUNS_MAX).take_while(|_| queue.push(Kind::Hello(0)).is_ok());
        assert_eq!(pushed.count(), RUNS_MAX - 1);
    }
}
