//! A connection to Redis as a state machine without a socket. Requests and bytes go in; bytes, replies and pushes come
//! out. When the connection breaks, the requests in flight come out too.
//!
//! A [`Link`] outlives its connections. Each new connection is set up by the proxy's own questions ([`Link::ask`]), and
//! the clients' requests wait until then ([`Link::set_ready`]). Whatever happens, each request that was
//! [sent](Link::send) gets one reply, in order.

mod batch;
mod frames;
mod group;
mod invalidated;
mod replies;
mod sent;
#[cfg(test)]
mod tests;
mod withdrawn;

use std::collections::VecDeque;
use std::fmt;
use std::io::{self, IoSlice, Write};

pub use batch::{Batch, Pending};
use frames::Frame;
pub(crate) use frames::Frames;
pub use frames::{FrameError, MAX_ANSWER, MAX_REPLY};
use group::Group;
pub use invalidated::Invalidated;
pub use replies::Replies;

use crate::clock::Time;
use crate::transport::Source;

/// How much memory of an emptied list is kept for reuse, in bytes.
const KEPT: usize = 64 * 1024;

/// Empties a list that is passed back and forth between the threads, and keeps its memory. If one thread allocated it
/// and the other freed it, a miss would take half as many instructions again, and a cache that fills while Redis is
/// slow would take a tenth more memory, as its entries would lie in the gaps of two heaps.
fn empty<T>(list: &mut Vec<T>) {
    list.clear();
    list.shrink_to(KEPT / size_of::<T>());
}

/// The most slices of one write.
const PIECES: usize = 16;

/// A connection to Redis. `Q` identifies the proxy's own questions.
#[derive(Debug)]
pub struct Link<Q> {
    /// The requests without a reply, the oldest first.
    groups: VecDeque<Group<Q>>,
    /// How many requests of the first group have been answered.
    answered: usize,
    /// The first group that is not completely written, and how many bytes of it are.
    writing: usize,
    written: usize,
    /// The clients' requests may be written.
    ready: bool,
    /// How many of the clients' requests were [reported late](Self::late).
    late: usize,
    frames: Frames,
    /// The error reply for requests that failed.
    error: Vec<u8>,
    /// The replies to [withdrawn](Self::withdraw) requests, held until all earlier requests have theirs.
    withdrawn: Replies,
    /// Memory of answered groups, for reuse.
    spare: Vec<Batch>,
}

/// How many groups' memory is kept.
const SPARE: usize = 4;

/// The result of received bytes.
#[derive(Debug)]
pub struct Received<Q> {
    /// Replies to clients' requests.
    pub replies: Replies,
    /// Answers to questions of the proxy's own.
    pub answers: Vec<(Q, Vec<u8>)>,
    /// Changed keys.
    pub invalidated: Invalidated,
    /// A message has arrived, or the confirmation of a subscription.
    pub is_subscribed: bool,
    /// A transaction may be open: a request outside a transaction was queued, or the end of a transaction was refused.
    pub may_be_queuing: bool,
}

impl<Q> Default for Received<Q> {
    fn default() -> Self {
        Self {
            replies: Replies::default(),
            answers: Vec::new(),
            invalidated: Invalidated::default(),
            is_subscribed: false,
            may_be_queuing: false,
        }
    }
}

/// Redis's bytes don't match the requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum LinkError {
    /// The bytes can't be parsed.
    Frame(FrameError),
    /// A reply arrived to which there was no request.
    Unexpected,
}

impl fmt::Display for LinkError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Frame(error) => error.fmt(f),
            Self::Unexpected => f.write_str("it sent an unexpected reply"),
        }
    }
}

impl std::error::Error for LinkError {}

/// The oldest request in flight.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Oldest {
    /// When it was sent.
    pub since: Time,
    /// It is one of the proxy's own questions.
    pub is_question: bool,
}

impl<Q: Copy> Default for Link<Q> {
    fn default() -> Self {
        Self {
            groups: VecDeque::new(),
            answered: 0,
            writing: 0,
            written: 0,
            ready: false,
            late: 0,
            frames: Frames::default(),
            error: Vec::new(),
            withdrawn: Replies::default(),
            spare: Vec::new(),
        }
    }
}

impl<Q: Copy> Link<Q> {
    /// Takes clients' requests to send. Leaves the batch empty, with spare memory.
    pub fn send(&mut self, batch: &mut Batch, now: Time) {
        if !batch.is_empty() {
            let group = self.group_of(batch, now);
            self.groups.push_back(group);
        }
    }

    fn group_of(&mut self, batch: &mut Batch, since: Time) -> Group<Q> {
        let spare = self.spare.pop().unwrap_or_default();
        Group {
            batch: std::mem::replace(batch, spare),
            failed: Vec::new(),
            question: None,
            since,
        }
    }

    /// Sends one of the proxy's own questions, encoded. While the connection is being set up, questions go before the
    /// clients' requests.
    pub fn ask(&mut self, question: Q, encoded: &[u8], now: Time) {
        let mut batch = self.spare.pop().unwrap_or_default();
        batch.push(false, |out| out.extend_from_slice(encoded));
        let questions = |group: &&Group<Q>| group.question.is_some();
        let at = if self.ready {
            self.groups.len()
        } else {
            self.groups.iter().take_while(questions).count()
        };
        let group = Group {
            batch,
            failed: Vec::new(),
            question: Some(question),
            since: now,
        };
        self.groups.insert(at, group);
    }

    /// The connection is set up: clients' requests may be written. Late ones are not written, but get this encoded
    /// error: their clients were informed long ago, and may have sent other requests since.
    pub fn set_ready(&mut self, error: &[u8], replies: &mut Replies) {
        let was_ready = std::mem::replace(&mut self.ready, true);
        if was_ready || self.late == 0 {
            return;
        }
        self.error = error.to_vec();
        let (mut late, mut answered) = (self.late, std::mem::take(&mut self.answered));
        for group in std::mem::take(&mut self.groups) {
            let answered = std::mem::take(&mut answered);
            self.groups.push_back(match group.question {
                Some(_) => group,
                None => group.renewed(answered, 0, &mut late),
            });
        }
        self.answer_failed(replies);
    }

    /// Restarts the clock for clients' requests: they count as sent at `now`.
    pub fn wait_from(&mut self, now: Time) {
        let groups = self.groups.iter_mut();
        for group in groups.filter(|group| group.question.is_none()) {
            group.since = now;
        }
    }

    /// Whether the connection is set up.
    #[must_use]
    pub fn is_ready(&self) -> bool {
        self.ready
    }

    /// Whether any of the proxy's own questions is in flight.
    #[must_use]
    pub fn has_questions(&self) -> bool {
        self.groups.iter().any(|group| group.question.is_some())
    }

    /// Whether no request is in flight or waits to be sent.
    #[must_use]
    pub fn is_idle(&self) -> bool {
        self.groups.is_empty()
    }

    /// The oldest request in flight.
    #[must_use]
    pub fn oldest(&self) -> Option<Oldest> {
        self.groups.front().map(|group| Oldest {
            since: group.since,
            is_question: group.question.is_some(),
        })
    }

    /// Handles bytes from Redis, and adds the results.
    ///
    /// # Errors
    /// If the bytes don't match the requests: the connection can't be used any more. The results before that are added.
    pub fn receive(
        &mut self,
        mut bytes: &[u8],
        received: &mut Received<Q>,
        now: Time,
    ) -> Result<(), LinkError> {
        let mut frames = std::mem::take(&mut self.frames);
        let result = loop {
            let most = match self.groups.front() {
                Some(group) if group.question.is_none() => MAX_REPLY,
                _ => MAX_ANSWER,
            };
            match frames.next(&mut bytes, most) {
                Ok(None) => break Ok(()),
                Err(error) => break Err(LinkError::Frame(error)),
                Ok(Some(frame)) if frame.kind() == b'>' => {
                    received.invalidated.read(frame.bytes());
                    received.is_subscribed |= invalidated::is_of_subscription(frame.bytes());
                }
                Ok(Some(frame)) => {
                    if let Err(error) = self.answer(frame, received, now) {
                        break Err(error);
                    }
                }
            }
        };
        let is_reply = frames.begun().is_some_and(|kind| kind != b'>');
        self.frames = frames;
        // A request might be sent before the rest of the reply arrives, and take it for its own.
        if is_reply && result.is_ok() && !self.expects_reply() {
            return Err(LinkError::Unexpected);
        }
        result
    }

    /// Handles the answer to the oldest request.
    fn answer(
        &mut self,
        frame: Frame<'_>,
        received: &mut Received<Q>,
        now: Time,
    ) -> Result<(), LinkError> {
        let group = self.groups.front().ok_or(LinkError::Unexpected)?;
        if !self.expects_reply() {
            return Err(LinkError::Unexpected);
        }
        match group.question {
            Some(question) => received.answers.push((question, frame.into_bytes())),
            None => {
                if received.replies.is_empty() {
                    received.replies.round_trip = group.since.until(now);
                }
                received.may_be_queuing |= group.may_be_queuing(self.answered, frame.bytes());
                received.replies.push_frame(frame);
                self.late = self.late.saturating_sub(1);
            }
        }
        self.step();
        self.answer_failed(&mut received.replies);
        Ok(())
    }

    /// Whether the oldest request is written, so that its reply is due.
    fn expects_reply(&self) -> bool {
        !self.groups.is_empty() && self.is_written(self.answered)
    }

    /// Whether request number `index` of the first group is written.
    fn is_written(&self, index: usize) -> bool {
        let ends = |group: &Group<Q>| group.batch.requests.get(index).map(|request| request.end);
        self.writing > 0 || self.groups.front().and_then(ends) <= Some(self.written)
    }

    /// Moves on to the next request, as the oldest has its reply.
    fn step(&mut self) {
        self.answered += 1;
        if let Some(group) = self.groups.front()
            && self.answered == group.len()
            && let Some(mut group) = self.groups.pop_front()
        {
            self.answered = 0;
            if self.writing > 0 {
                self.writing -= 1;
            } else {
                self.written = 0;
            }
            if self.spare.len() < SPARE {
                group.batch.clear();
                self.spare.push(group.batch);
            }
        }
    }

    /// Answers the next requests, as far as they failed, with their error.
    fn answer_failed(&mut self, replies: &mut Replies) {
        while self
            .groups
            .front()
            .is_some_and(|group| group.has_failed(self.answered))
        {
            replies.push(&self.error);
            self.late = self.late.saturating_sub(1);
            self.step();
        }
        if !self.withdrawn.is_empty() {
            self.answer_withdrawn(replies);
        }
    }

    /// Counts the clients' requests that were sent at `moment` or before, have no reply, and were not counted before.
    /// They stay in flight: the reply to each, or an error in its place, still follows.
    pub fn late(&mut self, moment: Time) -> usize {
        let mut count = 0;
        let mut answered = self.answered;
        for group in &self.groups {
            if group.since > moment {
                break;
            }
            if group.question.is_none() {
                count += group.len() - answered;
            }
            answered = 0;
        }
        let news = count.saturating_sub(self.late);
        self.late += news;
        news
    }

    /// When the oldest request that [`Self::late`] has not counted was sent.
    #[must_use]
    pub fn oldest_in_time(&self) -> Option<Time> {
        let mut late = self.late + self.answered;
        let mut groups = self.groups.iter().filter(|group| group.question.is_none());
        let group = groups.find(|group| {
            let all = late >= group.len();
            late = late.saturating_sub(group.len());
            !all
        });
        group.map(|group| group.since)
    }

    /// The connection is lost, and will be replaced. Requests that were not written wait for the next connection, and
    /// so do those that may be retried, once. All others, and late ones, get this encoded error.
    pub fn renew(&mut self, error: &[u8], replies: &mut Replies) {
        self.error = error.to_vec();
        let mut late = self.late;
        let (answered, writing, written) = (self.answered, self.writing, self.written);
        let groups = std::mem::take(&mut self.groups);
        for (at, group) in groups.into_iter().enumerate() {
            if group.question.is_some() {
                continue;
            }
            let skipped = if at == 0 { answered } else { 0 };
            let written = match at {
                _ if at < writing => usize::MAX,
                _ if at == writing => written,
                _ => 0,
            };
            self.groups
                .push_back(group.renewed(skipped, written, &mut late));
        }
        self.answered = 0;
        self.writing = 0;
        self.written = 0;
        self.ready = false;
        self.frames = Frames::default();
        self.answer_failed(replies);
        self.drop_answered();
    }

    /// Drops the answered requests of the first group, as the questions of a new connection will go before it.
    fn drop_answered(&mut self) {
        if self.answered > 0
            && let Some(group) = self.groups.pop_front()
        {
            let rest = group.renewed(std::mem::take(&mut self.answered), 0, &mut 0);
            self.groups.push_front(rest);
        }
    }

    /// The connection is lost, and will not be replaced soon. All clients' requests get this encoded error, except
    /// those that have failed and have an error of their own.
    pub fn fail(&mut self, error: &[u8], replies: &mut Replies) {
        let mut answered = self.answered;
        for group in &self.groups {
            let skipped = std::mem::take(&mut answered);
            if group.question.is_some() {
                continue;
            }
            for index in skipped..group.len() {
                replies.push(match group.has_failed(index) {
                    true => &self.error,
                    false => error,
                });
            }
        }
        replies.append(&self.withdrawn);
        *self = Self {
            spare: std::mem::take(&mut self.spare),
            ..Self::default()
        };
    }
}

impl<Q: Copy> Source for Link<Q> {
    fn is_empty(&self) -> bool {
        match self.groups.get(self.writing) {
            None => true,
            Some(group) => !self.ready && group.question.is_none(),
        }
    }

    fn send(&mut self, writer: &mut impl Write) -> io::Result<usize> {
        let mut pieces = [IoSlice::new(&[]); PIECES];
        let mut skip = self.written;
        let mut count = 0;
        let groups = self.groups.range(self.writing..);
        let allowed = groups.take_while(|group| self.ready || group.question.is_some());
        for (piece, group) in pieces.iter_mut().zip(allowed) {
            *piece = IoSlice::new(&group.batch.bytes[skip..]);
            skip = 0;
            count += 1;
        }
        let sent = match &pieces[..count] {
            [piece] if piece.is_empty() => 0,
            [piece] => writer.write(piece)?,
            pieces => writer.write_vectored(pieces)?,
        };
        self.note_written(sent);
        Ok(sent)
    }
}

impl<Q: Copy> Link<Q> {
    fn note_written(&mut self, sent: usize) {
        self.written += sent;
        while let Some(group) = self.groups.get(self.writing)
            && (self.ready || group.question.is_some())
            && self.written >= group.batch.bytes.len()
        {
            self.written -= group.batch.bytes.len();
            self.writing += 1;
        }
    }
}
