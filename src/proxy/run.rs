//! A client's turn: executes the requests that it has sent, in order, as long as it may be served.

mod request;

use std::ops::ControlFlow;

use super::dedicated::Dedicated;
use super::ending::Ending;
use super::engine::Engine;
use super::identity::Identity;
use super::in_flight::Caller;
use super::session::Session;
use super::waiting::WaitsFor;
use super::{ClientId, Proxy, RUN};
use crate::clock::Time;
use crate::command::Table;
use crate::resp::reply::Reply;
use crate::resp::request::Spans;
use crate::upstream::NodeId;

/// What to do after a request.
enum Next {
    /// Continue with the request that starts this many bytes further on.
    On(usize),
    /// Continue after so many bytes, once the reply has described the client to itself.
    Describe(usize),
    /// Stop after this many bytes, and what the rest then waits for.
    Wait(usize, WaitsFor),
    /// Stop until the request is complete.
    More,
    /// Stop until the dedicated connection is closed.
    Close,
    /// Stop: nothing is left to execute.
    Done,
    /// Stop: everything is handled. Close the client for this reason once its replies are sent.
    End(Ending),
    /// Close the client at once.
    Abort,
}

/// What is closed at the end of a turn.
#[derive(Clone, Copy)]
enum Cut {
    /// The client's dedicated connection.
    Dedicated,
    /// The client.
    Client,
}

/// The execution of a client's requests in one go.
struct Turn<'a> {
    engine: &'a mut Engine,
    spans: &'a mut Spans,
    client: ClientId,
    now: Time,
    /// The next request needs the dedicated connection.
    leaves: bool,
    cut: Option<Cut>,
}

impl Proxy {
    /// Executes the requests at the start of `buffer`, at most [`RUN`] bytes of them. Returns how many bytes were
    /// consumed.
    pub(super) fn run(&mut self, client: ClientId, buffer: &[u8], now: Time) -> usize {
        let session = &mut self.sessions[client.0];
        session.replies.ensure_buffer(&mut self.spare);
        let mut turn = Turn {
            engine: &mut self.engine,
            spans: &mut self.spans,
            client,
            now,
            leaves: false,
            cut: None,
        };
        turn.begin(session);
        let used = turn.execute_all(session, buffer);
        if let Some(cut) = turn.cut {
            self.cut(client, cut);
        }
        if self.sessions[client.0].replies.broken {
            self.end_broken(client);
        }
        self.note_change(client);
        self.open_wanted();
        used
    }

    /// Closes a client's dedicated connection, and perhaps the client too.
    #[inline(never)]
    fn cut(&mut self, client: ClientId, cut: Cut) {
        if let Cut::Client = cut {
            self.invalidate_in_flight(client);
            self.sessions[client.0].abort(Ending::Http);
        }
        self.dedicated_closed(client);
    }

    /// Closes a client whose reply can't be completed.
    #[inline(never)]
    pub(super) fn end_broken(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        if session.replies.broken {
            session.abort(Ending::Interrupted);
        }
    }
}

impl Turn<'_> {
    fn begin(&mut self, session: &mut Session) {
        session.replies.start_run(self.engine.buffers.most_owed());
        session.identity.last_request = self.now;
        session.held_back = false;
        session.waits_for = WaitsFor::Nothing;
        self.continue_mget(session);
    }

    /// Executes requests until the client has to wait or `buffer` ends. Returns how many bytes were consumed.
    #[inline]
    fn execute_all(&mut self, session: &mut Session, buffer: &[u8]) -> usize {
        let mut used = 0;
        let end = buffer.len().min(RUN);
        while used < end {
            if session.replies.long_mget.is_some() || !session.may_run() {
                session.held_back = true;
                break;
            }
            let hits = self.hits(session, &buffer[used..end]);
            used += hits;
            if hits == 0 {
                let next = self.step(session, &buffer[used..]);
                match self.follow(next, session, buffer.len() - used) {
                    ControlFlow::Continue(length) => used += length,
                    ControlFlow::Break(length) => {
                        used += length;
                        break;
                    }
                }
            }
            if session.replies.ends() {
                session.end(Ending::NoRedis);
                used = buffer.len();
            }
        }
        session.held_back |= session.replies.long_mget.is_some();
        session.held_back |= used >= RUN && used < buffer.len();
        session.parser.rest(self.spans);
        used
    }

    /// Carries out what follows a request. `left` is the number of bytes from that request on. Returns how many of them
    /// are consumed, and whether to continue.
    fn follow(
        &mut self,
        next: Next,
        session: &mut Session,
        left: usize,
    ) -> ControlFlow<usize, usize> {
        match next {
            Next::On(length) => ControlFlow::Continue(length),
            Next::Describe(length) => {
                let line = self.engine.line(session, self.now) + "\n";
                let reply = Reply::text(line.as_bytes(), session.identity.protocol);
                session.replies.push(reply);
                ControlFlow::Continue(length)
            }
            Next::Wait(length, waits_for) => {
                session.waits_for = waits_for;
                session.held_back = true;
                ControlFlow::Break(length)
            }
            Next::More => ControlFlow::Break(0),
            Next::Close => {
                self.cut = Some(Cut::Dedicated);
                session.held_back = true;
                ControlFlow::Break(0)
            }
            Next::Done => ControlFlow::Continue(left),
            Next::End(ending) => {
                session.end(ending);
                ControlFlow::Continue(left)
            }
            Next::Abort => {
                self.cut = Some(Cut::Client);
                ControlFlow::Continue(left)
            }
        }
    }

    fn caller(&self, identity: &Identity) -> Caller {
        Caller {
            client: self.client,
            protocol: identity.protocol,
            database: identity.database,
            node: NodeId::default(),
            command: Table::GET,
            since: self.now,
        }
    }

    fn continue_mget(&mut self, session: &mut Session) {
        if session.replies.long_mget.is_some() {
            let caller = self.caller(&session.identity);
            self.engine.continue_mget(caller, &mut session.replies);
        }
    }

    /// Executes the requests at the start of `bytes` on the fast path: GETs and other requests that the cache can
    /// answer, if the client's state allows it. Returns how many bytes were consumed.
    #[inline]
    fn hits(&mut self, session: &mut Session, bytes: &[u8]) -> usize {
        let may_be_served = is_shared(&session.dedicated)
            && session.identity.is_direct
            && session.parser.is_at_start()
            && self.engine.may_be_served(&session.replies)
            && self.engine.is_in_turn(&session.identity);
        if !may_be_served {
            return 0;
        }
        let caller = self.caller(&session.identity);
        let length = self
            .engine
            .execute_gets(bytes, caller, &mut session.replies);
        if length > 0 {
            session.identity.last_command = Table::GET;
            return length;
        }
        let replies = &mut session.replies;
        let (length, command) = self.engine.execute_asks(bytes, caller, replies);
        if length > 0 {
            session.identity.last_command = command;
        }
        length
    }
}

/// Whether a client is served by the shared connections.
fn is_shared(dedicated: &Option<Box<Dedicated>>) -> bool {
    dedicated.as_ref().is_none_or(|it| it.is_parked())
}
