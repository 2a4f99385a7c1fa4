//! Receives Redis's bytes on a connection, frame by frame: passed on, dropped, or kept to be edited.

use super::effects::WRITES_ANYTHING;
use super::expectation::{Expectation, Kind};
use super::fate::{Fate, Kept};
use super::mirror::{Answer, Class};
use super::{Dedicated, Effects, Phase};
use crate::proxy::clients::Edit;
use crate::upstream;

/// The longest reply that is edited, in bytes: some 100,000 lines of `CLIENT LIST`.
const REPLY_MAX: usize = 64 * 1024 * 1024;

/// The outcome of receiving bytes from Redis.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) enum Received {
    /// All bytes were handled.
    Passed,
    /// The first `used` bytes were handled. The reply that they end with must be edited.
    ToEdit {
        used: usize,
        reply: Edited,
        authenticated: bool,
    },
    /// The client has just authenticated.
    Authenticated,
    /// The connection is no longer needed: the client returns to the shared ones, after a `RESET` or not.
    Over { reset: bool },
    /// Redis refused a request that sets the connection up, with this error.
    Refused(String),
    /// The connection has failed, for this reason.
    Failed(&'static str),
}

/// A reply that is edited before the client gets it.
#[derive(Debug, PartialEq, Eq)]
pub(in crate::proxy) struct Edited {
    /// The reply as Redis encoded it.
    pub encoded: Vec<u8>,
    /// How to edit it; `None` if it is not known which request it answers.
    pub edit: Option<Edit>,
    /// The client has not suppressed the reply.
    pub is_wanted: bool,
    /// The reply may reveal other clients' writes to the client.
    pub tells_of_others: bool,
}

/// What Redis's bytes have shown besides their outcome.
#[derive(Debug, Default, PartialEq, Eq)]
pub(in crate::proxy) struct News {
    /// The bytes for the client may reveal other clients' writes to it. A frame is judged by its first bytes, as Redis
    /// produced it as a whole.
    pub tells_of_others: bool,
    /// Redis replied that it is a replica, which accepts no writes.
    pub readonly: bool,
    /// The connection has just been set up. The inner value is its id at Redis, if Redis reports it.
    pub set_up: Option<Option<i64>>,
}

impl Dedicated {
    /// Handles bytes from Redis, and appends those for the client to `client`. Calls `answered` with the effects of
    /// each request that Redis has executed, before the client can see the reply.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        client: &mut Vec<u8>,
        answered: &mut impl FnMut(&Effects),
    ) -> (Received, News) {
        let mut news = News::default();
        let received = self.receive_frames(bytes, client, &mut news, answered);
        (received, news)
    }

    fn receive_frames(
        &mut self,
        bytes: &[u8],
        client: &mut Vec<u8>,
        news: &mut News,
        answered: &mut impl FnMut(&Effects),
    ) -> Received {
        let mut received = Received::Passed;
        // The first byte for the client that is not copied yet.
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            if self.set_up.is_done()
                && let Some(borrowed) = self.borrowed_mut()
            {
                borrowed.drop_permit();
            }
            let due = self.mirror.due(self.expectations.front_kind());
            if self.starts_stream(bytes[at], due) {
                self.start_stream(false, answered);
            }
            if let Phase::Stream { writes } = self.phase {
                if writes {
                    answered(&WRITES_ANYTHING);
                }
                news.tells_of_others = true;
                at = bytes.len();
                break;
            }
            let is_first = self.frames.is_between();
            let in_parts = due == Some(Kind::Exec) && self.mirror.queues();
            let Ok((used, whole)) = self.frames.feed(&bytes[at..], in_parts) else {
                if !self.is_set_up() {
                    return Received::Failed("it sent what is no reply");
                }
                self.start_stream(false, answered);
                continue;
            };
            let part = &bytes[at..at + used];
            self.begin_reply(due, answered);
            self.decide_fate(part, due, client, news);
            if self.fate != Fate::Passed {
                client.extend_from_slice(&bytes[start..at]);
                start = at + used;
            }
            if let Fate::Kept(kept) = &mut self.fate {
                if kept.bytes.len() + used > REPLY_MAX {
                    return Received::Failed("a reply that is edited is too long");
                }
                kept.bytes.extend_from_slice(part);
            }
            at += used;
            if !whole {
                continue;
            }
            let fate = std::mem::take(&mut self.fate);
            match self.take_frame(due, is_first.then_some(part), news, answered) {
                Received::Passed => {}
                Received::Authenticated => received = Received::Authenticated,
                over => {
                    received = over;
                    break;
                }
            }
            if let Fate::Kept(kept) = fate {
                return Received::ToEdit {
                    used: at,
                    reply: self.take_edited(kept, due),
                    authenticated: received == Received::Authenticated,
                };
            }
        }
        client.extend_from_slice(&bytes[start..at]);
        received
    }

    /// How many of the client's requests Redis has refused by refusing the connection, if the client only borrows it.
    pub fn borrowed_requests(&self) -> Option<usize> {
        let is_plain = |sent: &Expectation| sent.kind.is_answered_once();
        let is_borrowed = self.borrowed().is_some() && self.expectations.iter().all(is_plain);
        is_borrowed.then(|| self.expectations.len())
    }

    /// The frame that was kept, and how it is edited, when the reply to `due` was due.
    fn take_edited(&mut self, kept: Kept, due: Option<Kind>) -> Edited {
        let edit = match kept.bytes.first() {
            _ if kept.is_message => self.prefix.clone().map(Edit::Message),
            Some(b'>') => Some(Edit::RedirectionBroken),
            _ => due.and_then(|due| self.edits.take(due)),
        };
        if self.expectations.is_empty()
            && self.mirror.executing().is_none()
            && !self.mirror.queues()
        {
            self.edits.clear();
        }
        Edited {
            edit,
            is_wanted: kept.is_wanted,
            tells_of_others: kept.is_message || matches!(due, Some(Kind::Altered(..))),
            encoded: kept.bytes,
        }
    }

    /// Whether the connection is ready for replies to the client.
    pub fn is_set_up(&self) -> bool {
        self.set_up.is_done() && !matches!(self.phase, Phase::Authenticating { .. })
    }

    /// Whether the bytes that begin with this one are not a reply.
    fn starts_stream(&self, first: u8, due: Option<Kind>) -> bool {
        self.frames.is_between() && self.set_up.is_done() && self.mirror.starts_stream(first, due)
    }

    /// Reports the oldest request as executed, if the current frame is its reply, even before the frame is complete.
    fn begin_reply(&mut self, due: Option<Kind>, answered: &mut impl FnMut(&Effects)) {
        let frame = self.frames.current();
        if self.set_up.is_done() && self.mirror.class(frame.start(), due) == Some(Class::Reply) {
            self.expectations.begin_reply(frame.is_error(), answered);
        }
    }

    /// The current frame is complete; these are its bytes, if they came at once.
    fn take_frame(
        &mut self,
        due: Option<Kind>,
        whole: Option<&[u8]>,
        news: &mut News,
        answered: &mut impl FnMut(&Effects),
    ) -> Received {
        let frame = self.frames.current();
        let is_error = frame.is_error();
        news.readonly |= is_error && frame.start().starts_with(b"-READONLY ");
        if !self.set_up.is_done() {
            if frame.start().starts_with(b">") {
                // It is not a reply.
                return Received::Passed;
            }
            self.number = frame.integer().or(self.number);
            if upstream::starts_as_refusal(frame.start()) || !self.set_up.take(is_error) {
                let error = upstream::refusal(whole.unwrap_or(frame.start()));
                return Received::Refused(error.unwrap_or_default());
            }
            news.set_up = self.set_up.is_done().then_some(self.number);
            return Received::Passed;
        }
        if is_error
            && due == Some(Kind::AnsweredMulti)
            && self.mirror.class(frame.start(), due) == Some(Class::Reply)
        {
            return Received::Failed("it refuses MULTI");
        }
        let length = frame.len();
        match self.mirror.take(frame, due) {
            Answer::Unsolicited => return Received::Passed,
            Answer::More(kind) => self.set_due(kind),
            Answer::Done => {
                if let Some(borrowed) = self.borrowed_mut() {
                    borrowed.note_reply(length);
                }
                self.end_due();
            }
            Answer::Queued => {
                if let Some(oldest) = self.end_oldest() {
                    self.queued.add(&oldest.effects);
                    if self.mirror.push_queued(oldest.kind).is_err() {
                        return Received::Failed(
                            "its transaction changes the connection too often",
                        );
                    }
                }
            }
            Answer::Executing => {}
            Answer::Reset => return Received::Over { reset: true },
            Answer::Quit => {
                self.end_due();
                self.phase = Phase::Closing;
            }
            Answer::Stream => self.start_stream(true, answered),
        }
        self.skip_unanswered();
        if !self.mirror.queues() && self.queued != Effects::default() {
            // The transaction was executed or discarded.
            answered(&std::mem::take(&mut self.queued));
        }
        self.authenticate(is_error)
    }

    /// Handles the reply to the client's `AUTH`, if the connection was waiting for it.
    fn authenticate(&mut self, is_error: bool) -> Received {
        if !matches!(self.phase, Phase::Authenticating { .. }) {
            return Received::Passed;
        }
        if is_error {
            return Received::Over { reset: false };
        }
        if let Phase::Authenticating { then, set_up } =
            std::mem::replace(&mut self.phase, Phase::Open)
        {
            self.to_redis.copy(&then);
            self.set_up = set_up;
        }
        Received::Authenticated
    }
}
