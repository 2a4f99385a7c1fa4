//! What one client has sent and is owed, and who it is.

use super::MAX_OWED;
use super::dedicated::Dedicated;
use super::ending::Ending;
use super::identity::Identity;
use super::replies::Replies;
use crate::clock::Time;
use crate::resp::request::Parser;

/// A client.
pub(super) struct Session {
    pub parser: Parser,
    /// What was received and not parsed: the start of a request, or requests that have to wait.
    pub input: Vec<u8>,
    pub replies: Replies,
    pub identity: Identity,
    /// Its dedicated connection to Redis, if it needs one, or has needed it.
    pub dedicated: Option<Box<Dedicated>>,
    /// Whole requests may stand in `input`, which have to wait.
    pub held_back: bool,
    pub waits_for: WaitsFor,
    /// Nothing more is taken from the client: it is closed when it was sent what it is owed, for this reason.
    pub ending: Option<Ending>,
    /// It waits for something to come up, on its dedicated connection.
    pub blocked: bool,
    /// It does not take its replies, and is not read from for that.
    pub slowed: bool,
    /// It is on the list of those to look at.
    pub changed: bool,
    /// Another client redirects invalidations to it: it needs a dedicated connection.
    pub is_redirected_to: bool,
}

/// What a held-back request waits for, beside room for its reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum WaitsFor {
    Nothing,
    /// All replies before its own: it goes another way.
    Replies,
    /// To know whether Redis can be reached.
    Redis,
    /// To know what its command is.
    Description,
    /// To know the number at Redis of the dedicated connection that it redirects to.
    Redirection,
    /// To know whether Redis accepts its password.
    Check,
    /// Its dedicated connection to be set up.
    SetUp,
}

impl Session {
    pub fn new(identity: Identity, replies: Replies) -> Self {
        let mut parser = Parser::new();
        parser.restrict(!identity.authenticated);
        Self {
            parser,
            input: Vec::new(),
            replies,
            identity,
            dedicated: None,
            held_back: false,
            waits_for: WaitsFor::Nothing,
            ending: None,
            blocked: false,
            slowed: false,
            changed: false,
            is_redirected_to: false,
        }
    }

    /// Takes nothing more from the client, for this reason if there is none yet.
    pub fn end(&mut self, why: Ending) {
        self.ending.get_or_insert(why);
    }

    /// Ends the client at once: it is owed nothing any more.
    pub fn abort(&mut self, why: Ending) {
        self.ending = Some(why);
        self.replies.forget_all();
        self.take_no_more();
    }

    /// Drops what it has sent and is not executed, and its dedicated connection.
    pub fn take_no_more(&mut self) {
        self.dedicated = None;
        self.held_back = false;
        self.input = Vec::new();
    }

    /// Whether nothing more is taken from the client.
    pub fn is_ending(&self) -> bool {
        self.ending.is_some()
    }

    /// Whether the next request may be executed.
    pub fn may_run(&self) -> bool {
        let dedicated = self.dedicated.as_ref();
        let waits = match self.waits_for {
            WaitsFor::Description | WaitsFor::Redirection => true,
            WaitsFor::SetUp => dedicated.is_some_and(|dedicated| !dedicated.is_set_up()),
            _ => false,
        };
        if self.replies.full() || waits {
            return false;
        }
        if let Some(dedicated) = dedicated
            && !dedicated.is_parked()
        {
            return dedicated.takes_requests();
        }
        match self.waits_for {
            WaitsFor::Nothing | WaitsFor::SetUp => true,
            WaitsFor::Replies => self.replies.none_wait(),
            WaitsFor::Redis | WaitsFor::Description | WaitsFor::Redirection | WaitsFor::Check => {
                false
            }
        }
    }

    /// Whether more is read although it can't be executed: Redis lets a blocked client go when it closes its side, which
    /// is found behind all that it sent.
    pub fn looks_for_end(&self) -> bool {
        let dedicated = self.dedicated.as_ref();
        self.input.len() < MAX_OWED && dedicated.is_some_and(|dedicated| dedicated.is_blocked())
    }

    /// Whether the client was sent all that it is owed and will ask for nothing more.
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
            || !self.replies.is_empty()
            || dedicated.is_some_and(|dedicated| dedicated.is_busy())
    }

    /// Since when the client has sent nothing, if it is the client's turn: it waits for no reply, and is not there
    /// to listen.
    pub fn silent_since(&self) -> Option<Time> {
        let dedicated = self.dedicated.as_ref();
        let waits = self.waits_for != WaitsFor::Nothing
            || !self.replies.none_wait()
            || dedicated.is_some_and(|dedicated| !dedicated.is_quiet() || dedicated.is_listening());
        (!waits).then_some(self.identity.last_request)
    }
}
