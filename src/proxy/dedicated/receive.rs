//! Receives Redis's bytes on a connection, frame by frame: passed on, dropped, or kept to be edited.

use super::effects::WRITES_ANYTHING;
use super::expectation::{Expectation, Kind};
use super::mirror::{Answer, Class};
use super::{Dedicated, Effects, Fate, Phase, Received};
use crate::command::internal;
use crate::proxy::clients::Edit;
use crate::upstream;

/// The longest reply that is edited, in bytes: some 100,000 lines of `CLIENT LIST`.
const REPLY_MAX: usize = 64 * 1024 * 1024;

impl Dedicated {
    /// Takes bytes from Redis, and adds those for the client to its output. Calls `answered` with the effects of each
    /// request that Redis has executed, before the client can see the reply.
    pub fn receive(
        &mut self,
        bytes: &[u8],
        client: &mut Vec<u8>,
        answered: &mut impl FnMut(&Effects),
    ) -> Received {
        self.tells_of_others = false;
        let mut received = Received::Passed;
        // The first byte that is for the client and not copied yet.
        let mut start = 0;
        let mut at = 0;
        while at < bytes.len() {
            if let Some(borrowed) = &mut self.borrowed
                && self.set_up.is_done()
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
                self.tells_of_others = true;
                at = bytes.len();
                break;
            }
            let held = self.frames.unfinished();
            let in_parts = due == Some(Kind::Exec) && self.mirror.queues();
            let Ok((used, whole)) = self.frames.feed(&bytes[at..], in_parts) else {
                if !self.is_set_up() {
                    return Received::Failed("it sent what is no reply");
                }
                self.start_stream(false, answered);
                continue;
            };
            self.begin_reply(due, answered);
            if self.fate == Fate::Unknown {
                let part = &bytes[at..at + used];
                let mut so_far = std::mem::take(&mut self.undecided);
                self.fate = if so_far.is_empty() {
                    self.decide(part, due)
                } else {
                    so_far.extend_from_slice(part);
                    self.decide(&so_far, due)
                };
                let held = so_far.get(..held).unwrap_or_default();
                match self.fate {
                    Fate::Passed => {
                        let start = self.frames.current().start();
                        self.tells_of_others |= self.mirror.tells_of_others(start, part, due);
                        client.extend_from_slice(held);
                    }
                    Fate::Kept { .. } => self.kept.extend_from_slice(held),
                    Fate::Unknown if held.is_empty() => self.undecided.extend_from_slice(part),
                    Fate::Unknown => self.undecided = so_far,
                    Fate::LeftOut => {}
                }
            }
            if self.fate != Fate::Passed {
                client.extend_from_slice(&bytes[start..at]);
                start = at + used;
            }
            if let Fate::Kept { .. } = self.fate {
                if self.kept.len() + used > REPLY_MAX {
                    return Received::Failed("a reply that is edited is too long");
                }
                self.kept.extend_from_slice(&bytes[at..at + used]);
            }
            at += used;
            if whole {
                let fate = std::mem::take(&mut self.fate);
                self.due = due;
                let news = self.take_frame(due, answered);
                match news {
                    Received::Passed => {}
                    Received::Authenticated => received = news,
                    over => {
                        received = over;
                        if received == Received::Refused {
                            let whole = held == 0;
                            let start = self.frames.current().start();
                            let words = if whole { &bytes[at - used..at] } else { start };
                            self.refusal = upstream::refusal(words).unwrap_or_default();
                        }
                        break;
                    }
                }
                if let Fate::Kept { is_wanted } = fate {
                    return Received::ToEdit {
                        used: at,
                        is_wanted,
                        authenticated: received == Received::Authenticated,
                    };
                }
            }
        }
        client.extend_from_slice(&bytes[start..at]);
        received
    }

    /// Whether the bytes that [`Self::receive`] just added may reveal to the client what others did. A frame is judged
    /// by its first bytes: Redis had produced it as a whole.
    pub fn tells_of_others(&self) -> bool {
        self.tells_of_others
    }

    /// How many requests Redis has rejected with the connection, if the client needs only their replies from it.
    pub fn borrowed_requests(&self) -> Option<usize> {
        let is_plain = |sent: &Expectation| sent.kind.is_answered_once();
        let is_borrowed = self.borrowed.is_some() && self.expectations.iter().all(is_plain);
        is_borrowed.then(|| self.expectations.len())
    }

    /// The reply to edit, and how.
    pub fn take_edited(&mut self) -> (Option<Edit>, Vec<u8>) {
        let is_message = std::mem::take(&mut self.kept_is_message);
        let edit = match self.kept.first() {
            _ if is_message => self.prefix.clone().map(Edit::Message),
            Some(b'>') => Some(Edit::RedirectionBroken),
            _ => self.due.and_then(|due| self.edits.take(due)),
        };
        if self.expectations.is_empty()
            && self.mirror.executing().is_none()
            && !self.mirror.queues()
        {
            self.edits.clear();
        }
        (edit, std::mem::take(&mut self.kept))
    }

    /// Whether the reply to edit may reveal to the client what others did.
    pub fn kept_tells_of_others(&self) -> bool {
        self.kept_is_message || matches!(self.due, Some(Kind::Altered(..)))
    }

    /// Whether a frame that starts like this is a message, or the confirmation of a subscription, that may name keys
    /// with a prefix. `None` if more bytes are needed.
    fn is_prefixed_message(&self, start: &[u8], due: Option<Kind>) -> Option<bool> {
        if self.prefix.is_none() {
            return Some(false);
        }
        let class = self.mirror.class(start, due)?;
        Some(matches!(class, Class::Message | Class::Confirmation(..)))
    }

    /// Whether the connection is ready for replies to the client.
    pub fn is_set_up(&self) -> bool {
        self.set_up.is_done() && !matches!(self.phase, Phase::Authenticating { .. })
    }

    /// Whether the bytes that begin with this one are not a reply.
    fn starts_stream(&self, first: u8, due: Option<Kind>) -> bool {
        self.frames.is_between() && self.set_up.is_done() && self.mirror.starts_stream(first, due)
    }

    /// Decides what happens to the current frame, from the bytes that have arrived.
    fn decide(&mut self, so_far: &[u8], due: Option<Kind>) -> Fate {
        if !self.set_up.is_done() {
            return Fate::LeftOut;
        }
        let frame = self.frames.current().clone();
        let start = frame.start();
        if self.hidden && self.mirror.class(start, due) == Some(Class::Reply) {
            return Fate::LeftOut;
        }
        match self.is_redirect(start) {
            None => return Fate::Unknown,
            Some(true) => {
                return Fate::Kept {
                    is_wanted: !self.mirror.is_silent(),
                };
            }
            Some(false) => {}
        }
        match self.mirror.is_edited(start, due) {
            None => return Fate::Unknown,
            Some(true) => {
                // CLIENT REPLY does not affect unsolicited messages.
                return Fate::Kept {
                    is_wanted: start.starts_with(b">") || !self.mirror.is_silent(),
                };
            }
            Some(false) => {}
        }
        match self.is_prefixed_message(start, due) {
            None => return Fate::Unknown,
            Some(true) => {
                self.kept_is_message = true;
                return Fate::Kept { is_wanted: true };
            }
            Some(false) => {}
        }
        let is_internal = match self.mirror.class(start, due) {
            Some(Class::MonitorLine) => internal::is_internal_line(so_far),
            None if self.mirror.monitors() => None,
            _ => Some(false),
        };
        match is_internal {
            None => return Fate::Unknown,
            Some(true) => return Fate::LeftOut,
            Some(false) => {}
        }
        match self.mirror.is_wanted(start, due) {
            None => Fate::Unknown,
            Some(true) => Fate::Passed,
            Some(false) => Fate::LeftOut,
        }
    }

    /// Whether a frame that starts like this redirects the client to another node, which it does not know.
    fn is_redirect(&self, start: &[u8]) -> Option<bool> {
        if !self.in_cluster || !start.starts_with(b"-") {
            return Some(false);
        }
        let words: [&[u8]; 2] = [b"-MOVED ", b"-ASK "];
        match () {
            () if words.iter().any(|word| start.starts_with(word)) => Some(true),
            () if words.iter().any(|word| word.starts_with(start)) => None,
            () => Some(false),
        }
    }

    /// Reports the oldest request as executed if the current frame is its reply, even before the frame is complete.
    fn begin_reply(&mut self, due: Option<Kind>, answered: &mut impl FnMut(&Effects)) {
        let frame = self.frames.current();
        if self.set_up.is_done() && self.mirror.class(frame.start(), due) == Some(Class::Reply) {
            self.expectations.begin_reply(frame.is_error(), answered);
        }
    }

    /// The current frame is complete.
    fn take_frame(&mut self, due: Option<Kind>, answered: &mut impl FnMut(&Effects)) -> Received {
        let frame = self.frames.current();
        let is_error = frame.is_error();
        self.readonly |= is_error && frame.start().starts_with(b"-READONLY ");
        if !self.set_up.is_done() {
            if frame.start().starts_with(b">") {
                // It is not a reply.
                return Received::Passed;
            }
            self.number = frame.integer().or(self.number);
            let received = match upstream::starts_as_refusal(frame.start()) {
                true => Received::Refused,
                false => self.set_up.take(is_error),
            };
            self.is_news = self.set_up.is_done();
            return received;
        }
        if self.hidden && self.mirror.class(frame.start(), due) == Some(Class::Reply) {
            self.hidden = false;
            if is_error {
                return Received::Failed("it refuses MULTI");
            }
        }
        let length = frame.len();
        match self.mirror.take(frame, due) {
            Answer::Unsolicited => return Received::Passed,
            Answer::More(kind) => self.set_due(kind),
            Answer::Done => {
                if let Some(borrowed) = &mut self.borrowed {
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

    /// The client's `AUTH` is answered, if the connection was waiting for that.
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
