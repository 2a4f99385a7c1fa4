//! Passes on what a client sends on its dedicated connection, and notes which replies to expect.

use super::super::clients::Edit;
use super::expectation::{Expectation, Expectations, Kind};
use super::{Dedicated, Effects, Phase};
use crate::command::internal;
use crate::resp::reply;
use crate::resp::request::Request;

/// A command that Redis does not have.
const REFUSED: &[u8] = b"refused by redis-proxy";

impl Dedicated {
    /// Passes on a request. `bytes` is its encoded form, `name` its command's name at Redis, and `edit` how its reply
    /// is edited. `lasting` means that it may leave lasting state that is not mirrored.
    pub fn pass(
        &mut self,
        request: &Request<'_>,
        name: &[u8],
        bytes: &[u8],
        effects: Effects,
        lasting: bool,
        edit: Option<Edit>,
    ) {
        if lasting {
            self.mirror.set_lasting();
        }
        let kind = Kind::of(request, name);
        let kind = match edit {
            Some(edit) => {
                // Whether the login succeeds decides what the client may do next.
                let may_be_last = matches!(
                    edit,
                    Edit::Kill(_) | Edit::User(_) | Edit::Greeting { user: Some(_) }
                );
                let kind = self.edits.add(kind, edit);
                self.last = may_be_last.then_some(kind);
                kind
            }
            None => kind,
        };
        match kind.substitute(request) {
            Some(substitute) => self.to_redis.copy(&substitute),
            None => self.to_redis.copy(bytes),
        }
        self.expect(kind, effects);
    }

    /// Answers a request that is not passed on, when its turn comes. In its place, Redis is sent another request, which
    /// it refuses, so that a transaction fails, or answers.
    pub fn answer(&mut self, reply: &[u8], is_refusal: bool) {
        let (kind, word) = match is_refusal {
            true => (Kind::Refused(0), REFUSED),
            false => (Kind::Local, internal::PING.as_bytes()),
        };
        let kind = self.edits.add(kind, Edit::Reply(reply.into()));
        let mut request = Vec::new();
        reply::request(&mut request, [word].into_iter());
        self.to_redis.copy(&request);
        self.expect(kind, Effects::default());
    }

    /// Passes on an empty line or an empty array.
    pub fn pass_blank(&mut self, bytes: &[u8]) {
        self.to_redis.copy(bytes);
        let newest = self.expectations.back();
        // Two of them have the same effect as one.
        if newest.is_none_or(|newest| newest.kind != Kind::Blank) {
            self.expect(Kind::Blank, Effects::default());
        }
    }

    /// Passes on bytes that are not a request, and everything after them.
    pub fn pass_unparsed(&mut self, bytes: &[u8]) {
        if !self.is_unparsed() {
            self.phase = Phase::Unparsed;
        }
        self.to_redis.copy(bytes);
    }

    pub(super) fn expect(&mut self, kind: Kind, effects: Effects) {
        self.expectations.push(Expectation {
            kind,
            effects,
            answered: false,
        });
        self.skip_unanswered();
    }

    /// Removes the oldest requests, as far as they get no reply.
    pub(super) fn skip_unanswered(&mut self) {
        while let Some(oldest) = self.expectations.front_kind()
            && self.mirror.executing().is_none()
            && self.mirror.leaves_unanswered(oldest)
        {
            self.end_oldest();
        }
    }

    /// The request whose reply was due has got one, and expects more.
    pub(super) fn set_due(&mut self, kind: Kind) {
        match self.mirror.executing() {
            Some(queue) => queue.set_front(kind),
            None => self.expectations.set_front_kind(kind),
        }
    }

    /// The request whose reply was due is answered.
    pub(super) fn end_due(&mut self) {
        if let Some(queue) = self.mirror.executing() {
            queue.pop();
            if !queue.is_empty() {
                return;
            }
        }
        self.end_oldest();
    }

    pub(super) fn end_oldest(&mut self) -> Option<Expectation> {
        self.mirror.end_request();
        self.expectations.pop()
    }

    /// From now on, Redis sends no replies.
    pub(super) fn start_stream(&mut self, writes: bool, answered: &mut impl FnMut(&Effects)) {
        self.in_flight().for_each(answered);
        self.expectations = Expectations::default();
        self.queued = Effects::default();
        self.phase = Phase::Stream { writes };
    }
}
