//! The core: requests of clients in, replies in order out, and what has to be asked of Redis between.
//!
//! It is a state machine without sockets, threads or a clock of its own. The shell calls
//! [`Proxy::receive`] with the bytes of a client and [`Proxy::upstream`] with what the helper thread
//! tells; then it sends what [`Proxy::requests`] holds to Redis and what [`Proxy::output`] holds to each
//! client named by [`Proxy::next_changed`]. Time comes in as an argument.

mod in_flight;
mod replies;
mod store;

use std::rc::Rc;

use crate::cache::{self, Cache};
use crate::clock::Time;
use crate::resp::reply::{Output, Reply};
use crate::resp::request::{Parsed, Parser, ProtocolError};
use crate::upstream::{Batch, Event};
use in_flight::Waiter;
use replies::Replies;
use store::{Flow, Store};

/// A client, by the slot that the shell keeps it in. The slot of one that left may be used again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ClientId(pub usize);

/// The most bytes of replies that may wait for a client, in the output and behind a miss, before its
/// further requests are left unread. One reply may go beyond.
pub const MAX_OWED: usize = 1024 * 1024;

/// The core of the proxy.
pub struct Proxy {
    sessions: Vec<Session>,
    store: Store,
    /// The clients whose output has grown, or who may have to be closed, since they were last looked at.
    changed: Vec<ClientId>,
    /// Empty buffers of outputs that were sent.
    spare: Vec<Vec<u8>>,
}

/// What one client has sent and is owed.
#[derive(Default)]
struct Session {
    parser: Parser,
    /// What was received and not parsed: the start of a request, or requests that wait for room.
    input: Vec<u8>,
    replies: Replies,
    /// Whole requests may stand in `input`: they wait until the client has read its replies.
    held_back: bool,
    /// The client sends nothing more: it is closed when it was sent what it is owed.
    end_of_input: bool,
    changed: bool,
}

/// How many empty output buffers are kept, and how large each may be.
const SPARE_BUFFERS: usize = 64;
const SPARE_CAPACITY: usize = 64 * 1024;

impl Proxy {
    /// A proxy without clients and with an empty cache, which has not heard from Redis yet.
    #[must_use]
    pub fn new(limits: cache::Limits) -> Self {
        Self {
            sessions: Vec::new(),
            store: Store::new(limits),
            changed: Vec::new(),
            spare: Vec::new(),
        }
    }

    /// A client came, in a slot that none is in.
    pub fn connect(&mut self, client: ClientId) {
        if self.sessions.len() <= client.0 {
            self.sessions.resize_with(client.0 + 1, Session::default);
        }
    }

    /// A client left. What was fetched for it alone still serves the cache.
    pub fn disconnect(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        let mut replies = std::mem::take(&mut session.replies);
        replies.forget_all();
        *session = Session {
            replies,
            changed: session.changed,
            ..Session::default()
        };
    }

    /// A client sent bytes. What it asks for is answered, or on its way, when this returns.
    pub fn receive(&mut self, client: ClientId, bytes: &[u8], now: Time) {
        if self.sessions[client.0].input.is_empty() {
            let used = self.run(client, bytes, now);
            self.sessions[client.0]
                .input
                .extend_from_slice(&bytes[used..]);
        } else {
            self.sessions[client.0].input.extend_from_slice(bytes);
            self.resume(client, now);
        }
    }

    /// Goes on with requests that were held back, as far as there is room for their replies again.
    pub fn resume(&mut self, client: ClientId, now: Time) {
        let mut input = std::mem::take(&mut self.sessions[client.0].input);
        let used = self.run(client, &input, now);
        if used < input.len() {
            input.drain(..used);
            self.sessions[client.0].input = input;
        }
    }

    /// A client will send nothing more (it closed its side, or the proxy shuts down).
    pub fn end_of_input(&mut self, client: ClientId) {
        self.sessions[client.0].end_of_input = true;
        self.note_change(client);
    }

    /// Whether a client's further bytes are wanted now.
    #[must_use]
    pub fn wants_input(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        !session.end_of_input && !session.held_back && !session.replies.full()
    }

    /// Whether requests are held back that there is room for again.
    #[must_use]
    pub fn can_resume(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        session.held_back && !session.replies.full()
    }

    /// Whether a client was sent all that it is owed and will ask for nothing more.
    #[must_use]
    pub fn is_done(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        session.end_of_input && !session.held_back && session.replies.is_empty()
    }

    /// The replies that are ready for a client.
    pub fn output(&mut self, client: ClientId) -> &mut Output {
        &mut self.sessions[client.0].replies.output
    }

    /// The client's output was sent as far as its socket takes it: if that was all, its buffer serves
    /// others.
    pub fn output_sent(&mut self, client: ClientId) {
        let output = &mut self.sessions[client.0].replies.output;
        if output.is_empty() {
            let buffer = output.take_buffer();
            if self.spare.len() < SPARE_BUFFERS && (1..=SPARE_CAPACITY).contains(&buffer.capacity())
            {
                self.spare.push(buffer);
            }
        }
    }

    /// A client to look at: its output has grown, or it is done. Each is named once a turn.
    pub fn next_changed(&mut self) -> Option<ClientId> {
        let client = self.changed.pop()?;
        self.sessions[client.0].changed = false;
        Some(client)
    }

    /// The requests for Redis that came up since they were last taken from here.
    pub fn requests(&mut self) -> &mut Batch {
        self.store.requests()
    }

    /// The helper thread tells of Redis.
    pub fn upstream(&mut self, event: &Event, now: Time) {
        match event {
            Event::Up => self.store.up(),
            Event::Down { error } => self.store.down(error),
            Event::Replies(replies) => {
                for reply in replies.iter() {
                    self.reply(reply, now);
                }
            }
        }
    }

    /// Removes entries that are past their time to live. Returns how many.
    pub fn expire(&mut self, now: Time) -> usize {
        self.store.expire(now)
    }

    /// The cache, to look at.
    #[must_use]
    pub fn cache(&self) -> &Cache {
        self.store.cache()
    }

    /// Runs the requests at the start of `buffer` as long as the client is to be served. Returns how many
    /// bytes are done with.
    fn run(&mut self, client: ClientId, buffer: &[u8], now: Time) -> usize {
        let Session {
            parser,
            replies,
            held_back,
            end_of_input,
            ..
        } = &mut self.sessions[client.0];
        replies.ensure_buffer(&mut self.spare);
        let mut used = 0;
        *held_back = false;
        while used < buffer.len() {
            if replies.full() {
                *held_back = true;
                break;
            }
            match parser.parse(&buffer[used..]) {
                Ok(Parsed::Request {
                    request,
                    used: length,
                }) => {
                    used += length;
                    if self.store.execute(&request, client, replies, now) == Flow::End {
                        *end_of_input = true;
                        used = buffer.len();
                    }
                }
                Ok(Parsed::Nothing { used: length }) => used += length,
                Ok(Parsed::Incomplete) => break,
                Err(error) => {
                    if error != ProtocolError::TooBigRequest {
                        replies.push(Reply::error(&[b"ERR ", &error.message()[..]].concat()));
                    }
                    *end_of_input = true;
                    used = buffer.len();
                }
            }
        }
        self.note_change(client);
        used
    }

    /// Redis answered the oldest request that is in flight.
    fn reply(&mut self, encoded: &[u8], now: Time) {
        let Some((waiters, reply)) = self.store.arrived(encoded, now) else {
            debug_assert!(false, "a reply that nothing was asked for");
            return;
        };
        for Waiter { client, place } in waiters {
            let replies = &mut self.sessions[client.0].replies;
            replies.ensure_buffer(&mut self.spare);
            match &reply {
                Some(shared) => replies.fill(place, Reply::Shared(Rc::clone(shared))),
                None => replies.fill_copy(place, encoded),
            }
            self.note_change(client);
        }
    }

    /// Has [`Self::next_changed`] name a client again: its socket takes bytes once more.
    pub fn look_again(&mut self, client: ClientId) {
        self.note_change(client);
    }

    fn note_change(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        if !session.changed {
            session.changed = true;
            self.changed.push(client);
        }
    }
}
