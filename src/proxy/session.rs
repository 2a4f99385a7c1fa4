//! One client: its unexecuted input, its outstanding replies, and its identity.

use super::admission::Admission;
use super::buffers::Buffers;
use super::dedicated::{Dedicated, Rest};
use super::ending::Ending;
use super::identity::Identity;
use super::input::Input;
use super::replies::Replies;
use super::waiting::WaitsFor;
use super::{ClientId, MAX_OWED};
use crate::clock::Time;
use crate::resp::request::Parser;

/// A client.
pub(super) struct Session {
    pub parser: Parser,
    /// Bytes that were received and not parsed: the start of a request, or requests that have to wait.
    pub input: Input,
    pub replies: Replies,
    pub identity: Identity,
    /// Its dedicated connection to Redis, if it needs one, or has needed one.
    pub dedicated: Option<Box<Dedicated>>,
    /// `input` may contain complete requests that have to wait.
    pub held_back: bool,
    pub waits_for: WaitsFor,
    /// The decision about the request at the start of `input`, if that is decided and has to wait.
    pub admission: Option<Box<Admission>>,
    /// Why the client is ending: nothing more is read from it, and it is closed once its replies are sent.
    pub ending: Option<Ending>,
    /// It is blocked in a command on its dedicated connection.
    pub blocked: bool,
    /// It does not read its replies, so its requests wait.
    pub slowed: bool,
    /// How many bytes it held when last counted, and how many of them were outstanding replies.
    pub held: usize,
    pub owed: usize,
    /// The largest of its outstanding requests and replies, in bytes, if that exceeds [`MAX_OWED`].
    pub largest: usize,
    /// It is on the list of clients to visit.
    pub changed: bool,
    /// Another client redirects invalidations to it: it needs a dedicated connection.
    pub is_redirected_to: bool,
}

impl Session {
    pub fn new(identity: Identity, replies: Replies) -> Self {
        let mut parser = Parser::new();
        parser.restrict(!identity.authenticated);
        Self {
            parser,
            input: Input::default(),
            replies,
            identity,
            dedicated: None,
            held_back: false,
            waits_for: WaitsFor::Nothing,
            admission: None,
            ending: None,
            blocked: false,
            slowed: false,
            held: 0,
            owed: 0,
            largest: 0,
            changed: false,
            is_redirected_to: false,
        }
    }

    /// Reads nothing more from the client. The first reason is kept.
    pub fn end(&mut self, why: Ending) {
        self.ending.get_or_insert(why);
    }

    /// Ends the client at once, and drops its outstanding replies.
    pub fn abort(&mut self, why: Ending) {
        self.ending = Some(why);
        self.replies.forget_all();
        self.take_no_more();
    }

    /// Drops its unexecuted input, and its dedicated connection.
    pub fn take_no_more(&mut self) {
        self.dedicated = None;
        self.held_back = false;
        self.admission = None;
        self.input = Input::default();
    }

    /// The database that the client is in.
    pub fn database(&self) -> u32 {
        match &self.dedicated {
            Some(dedicated) if !dedicated.is_parked() => dedicated.database(),
            _ => self.identity.database,
        }
    }

    /// Whether nothing more is read from the client.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the next request may be executed.
    pub fn may_run(&self) -> bool {
        let dedicated = self.dedicated.as_ref();
        let waits = match self.waits_for {
            WaitsFor::Description | WaitsFor::Redirection | WaitsFor::Hook => true,
            WaitsFor::SetUp => dedicated.is_some_and(|dedicated| !dedicated.is_set_up()),
            _ => false,
        };
        if self.replies.full() || waits {
            return false;
        }
        if let Some(dedicated) = dedicated
            && !dedicated.is_parked()
        {
            let is_free = match self.waits_for {
                WaitsFor::Return | WaitsFor::Permit => false,
                WaitsFor::Replies => self.replies.none_wait(),
                WaitsFor::Quiet => dedicated.is_quiet() && dedicated.to_redis.is_empty(),
                _ => true,
            };
            return is_free && dedicated.takes_requests(self.replies.most, self.rest());
        }
        match self.waits_for {
            WaitsFor::Nothing
            | WaitsFor::Return
            | WaitsFor::SetUp
            | WaitsFor::Permit
            | WaitsFor::Quiet => true,
            WaitsFor::Replies => self.replies.none_wait(),
            WaitsFor::Redis
            | WaitsFor::Description
            | WaitsFor::Redirection
            | WaitsFor::Check
            | WaitsFor::Walk
            | WaitsFor::Hook => false,
        }
    }

    /// Whether the client may still send requests. If not, the rest may go to Redis, whatever it contains.
    pub fn rest(&self) -> Rest {
        match self.is_ending() && !self.identity.is_checked {
            true => Rest::Here,
            false => Rest::ToCome,
        }
    }

    /// Whether to read more, although it can't be executed: Redis unblocks a client that closes its side, and the proxy
    /// finds that end only after everything that the client sent.
    pub fn looks_for_end(&self) -> bool {
        let dedicated = self.dedicated.as_ref();
        self.input.held() < MAX_OWED && dedicated.is_some_and(|dedicated| dedicated.is_blocked())
    }

    /// Whether a client that has been sent all its ready replies still holds nothing, as when last counted. Its input
    /// needs no check, as it is counted when it is buffered.
    #[inline]
    pub fn still_holds_nothing(&self) -> bool {
        self.held == 0 && self.replies.none_wait() && self.dedicated.is_none()
    }

    /// Counts how many bytes the client holds, and updates the sum of all. Returns whether it changed.
    #[inline]
    pub fn count_held(&mut self, client: ClientId, buffers: &mut Buffers) -> bool {
        let owed = self.replies.held();
        if owed != self.owed {
            if owed == 0 {
                self.largest = 0;
            } else if owed.saturating_sub(self.owed) >= MAX_OWED {
                self.largest = self.largest.max(owed - self.owed);
            }
            self.owed = owed;
        }
        let to_redis = self
            .dedicated
            .as_ref()
            .map_or(0, |dedicated| dedicated.held());
        let held = self.input.held() + owed + to_redis;
        self.replies.bound(buffers.most_owed());
        let has_changed = held != self.held;
        if has_changed {
            buffers.change(client, self.held, held);
            self.held = held;
        }
        has_changed
    }

    /// Whether all unexecuted input is the start of one request.
    pub fn is_in_request(&self) -> bool {
        !self.held_back && !self.parser.is_at_start()
    }

    /// Whether the client holds little besides one request or one reply.
    pub fn holds_one_thing(&self) -> bool {
        let request = match &self.dedicated {
            // At most one of the requests in this buffer is larger than what is passed on at once.
            Some(dedicated) => dedicated.to_redis.held(),
            None => 0,
        };
        let received = if self.is_in_request() {
            self.input.held()
        } else {
            0
        };
        let largest = self.largest.max(request).max(received);
        self.held - largest.min(self.held) <= 2 * MAX_OWED
    }

    /// Whether the client waits only for itself or for room, and not for a reply from Redis.
    pub fn waits_for_itself(&self) -> bool {
        !self.replies.output.is_empty()
            || self.waits_for == WaitsFor::Nothing && self.replies.none_wait()
    }

    /// Whether the client has been sent all its replies and will send no more requests.
    pub fn is_done(&self) -> bool {
        let quiet = self
            .dedicated
            .as_ref()
            .is_none_or(|dedicated| dedicated.is_quiet() && dedicated.to_redis.is_empty());
        self.is_ending() && !self.held_back && self.replies.is_empty() && quiet
    }

    /// Whether the client is in the middle of something: a request, a transaction, or waiting for a reply.
    pub fn is_busy(&self) -> bool {
        let dedicated = self.dedicated.as_ref();
        !self.input.is_empty()
            || self.held_back
            || !self.replies.is_empty()
            || dedicated.is_some_and(|dedicated| dedicated.is_busy())
    }

    /// Since when the client has been idle, if it is the one that must act next: it waits for no reply and for no
    /// messages.
    pub fn silent_since(&self) -> Option<Time> {
        let dedicated = self.dedicated.as_ref();
        let waits = self.waits_for != WaitsFor::Nothing
            || !self.replies.none_wait()
            || dedicated.is_some_and(|dedicated| !dedicated.is_quiet() || dedicated.is_listening());
        (!waits).then_some(self.identity.last_request)
    }
}
