//! A client's turn: executes the requests that it has sent, in order, as long as it may be served.

use super::admission::{Admission, NO_REQUEST, Passed, Sender};
use super::dedicated::{Dedicated, Loan};
use super::ending::Ending;
use super::engine::{Engine, Flow, Leave};
use super::identity::Identity;
use super::in_flight::Caller;
use super::replies::Replies;
use super::session::{Session, WaitsFor};
use super::{ClientId, Proxy, RUN};
use crate::clock::Time;
use crate::command::Table;
use crate::metrics::ErrorKind;
use crate::resp::reply::Reply;
use crate::resp::request::{Parsed, Parser, ProtocolError, Request, Spans};
use crate::upstream::NodeId;

/// What to do after a request.
#[derive(Clone, Copy)]
enum Next {
    /// Continue with the rest, after so many bytes.
    On(usize),
    /// The same, once the client has been described to itself.
    Describe(usize),
    /// Stop, after so many bytes: the rest waits for this.
    Wait(usize, WaitsFor),
    /// Stop until the request is complete.
    More,
    /// Stop until the dedicated connection is closed.
    Close,
    /// Stop: everything is handled.
    Done,
    /// The same, and close the client once its replies are sent: it sent `QUIT`,
    Quit,
    /// or it needs Redis, which is unreachable,
    NoRedis,
    /// or its bytes are not a request.
    Malformed(ProtocolError),
    /// Close the client at once.
    Abort,
}

/// A request, and its context.
struct Sent<'a> {
    request: Request<'a>,
    /// Its encoded form.
    bytes: &'a [u8],
    /// The client's bytes from the request on; empty if the request is not as the client sent it.
    rest: &'a [u8],
    /// How many of the client's bytes it took.
    length: usize,
    /// The hooks that want its reply, a bit for each.
    after: u32,
}

/// The parts of a client's session that a request may change.
struct Served<'a> {
    identity: &'a mut Identity,
    replies: &'a mut Replies,
    dedicated: &'a mut Option<Box<Dedicated>>,
}

/// The state of a step.
struct Run<'a> {
    engine: &'a mut Engine,
    spans: &'a mut Spans,
    client: ClientId,
    now: Time,
    /// The next request needs the dedicated connection.
    leaves: bool,
}

impl Proxy {
    /// Executes the requests at the start of `buffer`, at most [`RUN`] bytes of them. Returns how many bytes were
    /// consumed.
    pub(super) fn run(&mut self, client: ClientId, buffer: &[u8], now: Time) -> usize {
        let session = &mut self.sessions[client.0];
        session.replies.ensure_buffer(&mut self.spare);
        session.replies.start_run(self.engine.buffers.most_owed());
        session.identity.last_request = now;
        session.held_back = false;
        session.waits_for = WaitsFor::Nothing;
        let mut run = Run {
            engine: &mut self.engine,
            spans: &mut self.spans,
            client,
            now,
            leaves: false,
        };
        run.continue_mget(session);
        let mut used = 0;
        let mut closes = false;
        let mut aborts = false;
        let end = buffer.len().min(RUN);
        while used < end {
            if session.replies.long_mget.is_some() || !session.may_run() {
                session.held_back = true;
                break;
            }
            let length = run.hits(session, &buffer[used..end]);
            used += length;
            let next = match length {
                0 => run.step(session, &buffer[used..]),
                _ => Next::On(0),
            };
            match next {
                Next::On(length) => used += length,
                Next::Describe(length) => {
                    let line = run.engine.line(session, now) + "\n";
                    let reply = Reply::text(line.as_bytes(), session.identity.protocol);
                    session.replies.push(reply);
                    used += length;
                }
                Next::Wait(length, waits_for) => {
                    used += length;
                    session.waits_for = waits_for;
                    session.held_back = true;
                    break;
                }
                Next::More => break,
                Next::Close => {
                    closes = true;
                    session.held_back = true;
                    break;
                }
                Next::Done => used = buffer.len(),
                Next::Quit => {
                    session.end(Ending::Quit);
                    used = buffer.len();
                }
                Next::NoRedis => {
                    session.end(Ending::NoRedis);
                    used = buffer.len();
                }
                Next::Malformed(error) => {
                    session.end(Ending::Protocol(error));
                    used = buffer.len();
                }
                Next::Abort => {
                    aborts = true;
                    used = buffer.len();
                }
            }
            if session.replies.ends() {
                session.end(Ending::NoRedis);
                used = buffer.len();
            }
        }
        session.held_back |= session.replies.long_mget.is_some();
        session.held_back |= used >= RUN && used < buffer.len();
        session.parser.rest(run.spans);
        let broken = session.replies.broken;
        if closes || aborts {
            self.cut(client, aborts);
        }
        if broken {
            self.end_broken(client);
        }
        self.note_change(client);
        self.open_wanted();
        used
    }

    /// Closes a client's dedicated connection, and the client too if it is aborted.
    #[inline(never)]
    fn cut(&mut self, client: ClientId, aborts: bool) {
        if aborts {
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

impl Run<'_> {
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

    /// Executes the requests at the start of `bytes` on the fast path: GETs and other hits, if the client may be served
    /// like that. Returns how many bytes were consumed.
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

    /// Executes the request at the start of `bytes`.
    #[inline(never)]
    fn step(&mut self, session: &mut Session, bytes: &[u8]) -> Next {
        let Session {
            parser,
            replies,
            identity,
            dedicated,
            admission,
            ..
        } = session;
        let is_shared = is_shared(dedicated);
        if let Some(dedicated) = dedicated.as_mut().filter(|_| !is_shared)
            && dedicated.is_unparsed()
        {
            dedicated.pass_unparsed(bytes);
            return Next::Done;
        }
        parser.wake(self.spans);
        match parser.parse(bytes) {
            Ok(Parsed::Request {
                request,
                used: length,
            }) => {
                let sent = Sent {
                    request,
                    bytes: &bytes[..length],
                    rest: bytes,
                    length,
                    after: 0,
                };
                let is_checked = identity.is_checked && identity.authenticated;
                let served = Served {
                    identity: &mut *identity,
                    replies,
                    dedicated,
                };
                let next = match is_checked {
                    true => self.decide(&sent, served, admission),
                    false => self.go(&sent, served),
                };
                parser.restrict(!identity.authenticated);
                next
            }
            Ok(Parsed::Nothing { used }) => {
                if let Some(dedicated) = dedicated.as_mut().filter(|_| !is_shared) {
                    dedicated.pass_blank(&bytes[..used]);
                }
                Next::On(used)
            }
            Ok(Parsed::Incomplete) => Next::More,
            Err(error) => match dedicated.as_mut().filter(|_| !is_shared) {
                // Redis's reply to it would not be seen by hooks.
                Some(dedicated) if !identity.is_checked => {
                    dedicated.pass_unparsed(bytes);
                    Next::Done
                }
                _ => self.refuse(error, replies),
            },
        }
    }

    /// The client's bytes are not a request.
    #[cold]
    fn refuse(&mut self, error: ProtocolError, replies: &mut Replies) -> Next {
        self.engine.metrics.clients.protocol_errors += 1;
        if error != ProtocolError::TooBigRequest {
            self.engine.metrics.error(ErrorKind::Protocol);
            replies.push(Reply::error(&[b"ERR ", &error.message()[..]].concat()));
        }
        Next::Malformed(error)
    }

    /// Routes a request by its client's state.
    fn go(&mut self, sent: &Sent<'_>, served: Served<'_>) -> Next {
        match is_shared(served.dedicated) {
            true => self.execute(sent, served),
            false => self.pass_on(sent, served),
        }
    }

    /// Decides a request, and applies the decision, which is kept as long as the request has to wait.
    #[inline(never)]
    fn decide(
        &mut self,
        sent: &Sent<'_>,
        served: Served<'_>,
        kept: &mut Option<Box<Admission>>,
    ) -> Next {
        let dedicated = served.dedicated.as_ref().filter(|it| !it.is_parked());
        let sender = Sender {
            client: self.client,
            identity: served.identity,
            database: dedicated.map_or(served.identity.database, |it| it.database()),
            protocol: dedicated.map_or(served.identity.protocol, |it| it.protocol()),
            is_shared: dedicated.is_none(),
            now: self.now,
        };
        let before = kept.take().map(|admission| *admission);
        let admission = match self.engine.admit(&sent.request, sender, before) {
            Ok(admission) => admission,
            Err(flow) => return self.go_on(flow, sent, served),
        };
        let next = match &admission {
            Admission::Pass(passed) => self.go_as(passed, sent, served),
            Admission::Reply(encoded) => self.answer(encoded, false, sent, served),
            Admission::Refuse(message) => self.answer(message, true, sent, served),
            Admission::Deferred { .. } | Admission::Decided { .. } => Next::Wait(0, WaitsFor::Hook),
        };
        if matches!(next, Next::On(0) | Next::Wait(0, _) | Next::Close) {
            *kept = Some(Box::new(admission));
        }
        next
    }

    /// Continues a request as decided: possibly rewritten, and with its reply observed.
    fn go_as(&mut self, passed: &Passed, sent: &Sent<'_>, served: Served<'_>) -> Next {
        let after = passed.after;
        let Some(bytes) = &passed.bytes else {
            return self.go(&Sent { after, ..*sent }, served);
        };
        match Parser::new().parse(bytes) {
            Ok(Parsed::Request { request, .. }) => {
                let sent = Sent {
                    request,
                    bytes,
                    rest: &[],
                    length: sent.length,
                    after,
                };
                self.go(&sent, served)
            }
            _ => self.answer(NO_REQUEST, true, sent, served),
        }
    }

    /// Answers a request in its turn, with a reply or an error.
    fn answer(
        &mut self,
        reply: &[u8],
        is_refusal: bool,
        sent: &Sent<'_>,
        served: Served<'_>,
    ) -> Next {
        let Served {
            identity,
            replies,
            dedicated,
        } = served;
        let request = &sent.request;
        let Some(connection) = dedicated.as_mut().filter(|it| !it.is_parked()) else {
            self.engine
                .answer_decided(request, reply, is_refusal, replies);
            return Next::On(sent.length);
        };
        if connection.borrowed().is_some() {
            return Next::Wait(0, WaitsFor::Return);
        }
        if connection.is_clean() && self.engine.databases.serves(connection.database()) {
            connection.park();
            identity.database = connection.database();
            self.engine.selected(connection.database());
            return Next::On(0);
        }
        self.engine.count_decided(request, is_refusal);
        match is_refusal {
            true => connection.answer(Reply::error(reply).bytes(), true),
            false => connection.answer(reply, false),
        }
        Next::On(sent.length)
    }

    /// Executes a request of a client that so far needs no dedicated connection.
    fn execute(&mut self, sent: &Sent<'_>, mut served: Served<'_>) -> Next {
        let (client, now) = (self.client, self.now);
        let Served {
            identity, replies, ..
        } = &mut served;
        let request = &sent.request;
        let flow = match sent.after {
            0 => self.engine.execute(request, client, identity, replies, now),
            after => self
                .engine
                .execute_observed(request, client, identity, replies, (after, now)),
        };
        if flow == Flow::Leave
            && let Some(length) = self
                .engine
                .execute_transaction(sent.rest, client, identity, replies, now)
        {
            return Next::On(length);
        }
        self.go_on(flow, sent, served)
    }

    /// Passes a request on over the client's dedicated connection; or, if the client no longer needs that, leaves the
    /// request to the next step.
    fn pass_on(&mut self, sent: &Sent<'_>, served: Served<'_>) -> Next {
        let Sent {
            request,
            bytes,
            after,
            ..
        } = sent;
        let caller = self.caller(served.identity);
        let Some(connection) = served.dedicated else {
            return Next::On(0);
        };
        if connection
            .borrowed()
            .is_some_and(|borrowed| borrowed.loan == Loan::LargeReply && borrowed.is_used())
            && !self.engine.is_large_too(request, caller)
        {
            return Next::Wait(0, WaitsFor::Return);
        }
        let may_go_back = !std::mem::take(&mut self.leaves);
        if may_go_back && self.engine.may_go_back(connection, request) {
            connection.park();
            served.identity.database = connection.database();
            self.engine.selected(connection.database());
            return Next::On(0);
        }
        if self.engine.cluster().is_some() && may_go_back {
            let is_right = self.engine.is_right_way(connection, request);
            if !is_right && connection.is_clean() {
                *served.dedicated = None;
                return Next::Close;
            }
            let is_quiet = connection.is_quiet() && connection.to_redis.is_empty();
            // The connection's remaining state decides.
            if !is_right && !is_quiet {
                return Next::Wait(0, WaitsFor::Quiet);
            }
            if !is_right && connection.only_listens() && self.engine.is_shared_way(request) {
                return self.execute(sent, served);
            }
            if !served.replies.none_wait() && is_quiet {
                return Next::Wait(0, WaitsFor::Replies);
            }
        }
        let node = connection.node;
        if connection.is_quiet()
            && let Some(borrowed) = connection.borrowed_mut()
            && borrowed.needs_permit()
        {
            match self.engine.take_permit(node, self.client) {
                Some(permit) => borrowed.set_permit(permit),
                None => return Next::Wait(0, WaitsFor::Permit),
            }
        }
        let flow = self.engine.pass_on(
            connection,
            request,
            bytes,
            served.identity,
            (*after, self.now),
        );
        self.go_on(flow, sent, served)
    }

    /// Decides what follows a request.
    fn go_on(&mut self, flow: Flow, sent: &Sent<'_>, served: Served<'_>) -> Next {
        match flow {
            Flow::Continue => Next::On(sent.length),
            Flow::Alone => Next::Wait(sent.length, WaitsFor::Replies),
            Flow::Describe => Next::Describe(sent.length),
            Flow::Wait(waits_for) => Next::Wait(0, waits_for),
            Flow::Abort => {
                self.engine.metrics.clients.protocol_errors += 1;
                Next::Abort
            }
            Flow::End => Next::Quit,
            Flow::Leave | Flow::LeaveToAuthenticate | Flow::LeaveToPass | Flow::Borrow(_) => {
                self.leave(flow, sent, served)
            }
        }
    }

    /// Decides what follows a request that needs a dedicated connection.
    fn leave(&mut self, flow: Flow, sent: &Sent<'_>, served: Served<'_>) -> Next {
        let Served {
            identity,
            replies,
            dedicated,
        } = served;
        let leave = self
            .engine
            .leave(flow, &sent.request, identity, replies, dedicated);
        match leave {
            Leave::With(new) => {
                identity.log_dedicated(sent.request.argument(0));
                *dedicated = Some(new);
                self.leaves = true;
                Next::On(0)
            }
            Leave::Close => Next::Close,
            Leave::Answered => Next::On(sent.length),
            Leave::Wait(waits_for) => Next::Wait(0, waits_for),
            // The requests that belong to it must not be executed by themselves.
            Leave::Refused if !self.engine.asks_for_login() => Next::NoRedis,
            Leave::Refused => Next::On(sent.length),
        }
    }
}

/// Whether a client is served by the shared connections.
fn is_shared(dedicated: &Option<Box<Dedicated>>) -> bool {
    dedicated.as_ref().is_none_or(|it| it.is_parked())
}
