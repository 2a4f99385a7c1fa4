//! One request of a client: who executes it, or what it has to wait for.

use super::super::admission::{Admission, NO_REQUEST, Passed, Sender};
use super::super::dedicated::{Dedicated, Loan};
use super::super::ending::Ending;
use super::super::engine::{Flow, Leave};
use super::super::identity::Identity;
use super::super::replies::Replies;
use super::super::session::Session;
use super::super::waiting::WaitsFor;
use super::{Next, Turn, is_shared};
use crate::metrics::ErrorKind;
use crate::resp::reply::Reply;
use crate::resp::request::{Parsed, Parser, ProtocolError, Request};

/// A request, and its context.
struct Sent<'a> {
    request: Request<'a>,
    /// The request's encoded form.
    bytes: &'a [u8],
    /// The client's bytes from the request on; empty if the request is not as the client sent it.
    rest: &'a [u8],
    /// How many of the client's bytes the request took.
    length: usize,
    /// The hooks that want to see the reply, a bit for each.
    after: u32,
}

/// The parts of a client's session that a request may change.
struct Served<'a> {
    identity: &'a mut Identity,
    replies: &'a mut Replies,
    dedicated: &'a mut Option<Box<Dedicated>>,
}

/// The route of a request whose client has a dedicated connection.
enum Route {
    /// Over the dedicated connection.
    Dedicated,
    /// Over a shared connection.
    Shared,
    /// Not known before this has happened.
    After(WaitsFor),
    /// Over another dedicated connection, after this one has been closed.
    Another,
}

impl Turn<'_> {
    /// Executes the request at the start of `bytes`.
    #[inline(never)]
    pub(super) fn step(&mut self, session: &mut Session, bytes: &[u8]) -> Next {
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
                // Hooks would not see Redis's error reply.
                Some(dedicated) if !identity.is_checked => {
                    dedicated.pass_unparsed(bytes);
                    Next::Done
                }
                _ => self.refuse(error, replies),
            },
        }
    }

    /// Handles bytes of the client that are not a request.
    #[cold]
    fn refuse(&mut self, error: ProtocolError, replies: &mut Replies) -> Next {
        self.engine.metrics.clients.protocol_errors += 1;
        if error != ProtocolError::TooBigRequest {
            self.engine.metrics.error(ErrorKind::Protocol);
            replies.push(Reply::error(&[b"ERR ", &error.message()[..]].concat()));
        }
        Next::End(Ending::Protocol(error))
    }

    /// Routes a request by its client's state.
    fn go(&mut self, sent: &Sent<'_>, served: Served<'_>) -> Next {
        match is_shared(served.dedicated) {
            true => self.execute(sent, served),
            false => self.pass_on(sent, served),
        }
    }

    /// Decides whether a request is executed, and acts on the decision, which is kept as long as the request has to
    /// wait.
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

    /// Answers a request, when its turn comes, with a reply or an error.
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
            return self.go_back(connection, identity);
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

    /// Passes a request on over the client's dedicated connection. If the client no longer needs that connection,
    /// leaves the request to the next step.
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
        let is_bound = std::mem::take(&mut self.leaves);
        if !is_bound && self.engine.may_go_back(connection, request) {
            return self.go_back(connection, served.identity);
        }
        let route = match is_bound {
            true => Route::Dedicated,
            false => self.route(connection, request, served.replies),
        };
        match route {
            Route::Dedicated => {}
            Route::Shared => return self.execute(sent, served),
            Route::After(waits_for) => return Next::Wait(0, waits_for),
            Route::Another => {
                *served.dedicated = None;
                return Next::Close;
            }
        }
        if !self.has_permit(connection) {
            return Next::Wait(0, WaitsFor::Permit);
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

    /// Returns a client that no longer needs its dedicated connection to the shared ones, and leaves the request to the
    /// next step.
    fn go_back(&mut self, connection: &mut Dedicated, identity: &mut Identity) -> Next {
        connection.park();
        identity.database = connection.database();
        self.engine.selected(connection.database());
        Next::On(0)
    }

    /// The route of a request whose client has a dedicated connection. In front of a cluster, that may lead to another
    /// node than the one the request needs.
    fn route(&self, connection: &Dedicated, request: &Request<'_>, replies: &Replies) -> Route {
        if self.engine.cluster().is_none() {
            return Route::Dedicated;
        }
        let is_right = self.engine.is_right_way(connection, request);
        let is_quiet = connection.is_quiet() && connection.to_redis.is_empty();
        match () {
            () if !is_right && connection.is_clean() => Route::Another,
            // Which route it is depends on the state that the connection has then.
            () if !is_right && !is_quiet => Route::After(WaitsFor::Quiet),
            () if !is_right && connection.only_listens() && self.engine.is_shared_way(request) => {
                Route::Shared
            }
            () if is_quiet && !replies.none_wait() => Route::After(WaitsFor::Replies),
            () => Route::Dedicated,
        }
    }

    /// Whether a dedicated connection has the permit that its next request needs. Takes a permit if one is left.
    fn has_permit(&mut self, connection: &mut Dedicated) -> bool {
        let node = connection.node;
        let is_quiet = connection.is_quiet();
        let Some(borrowed) = connection.borrowed_mut() else {
            return true;
        };
        if !is_quiet || !borrowed.needs_permit() {
            return true;
        }
        let permit = self.engine.take_permit(node, self.client);
        let is_given = permit.is_some();
        if let Some(permit) = permit {
            borrowed.set_permit(permit);
        }
        is_given
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
            Flow::End => Next::End(Ending::Quit),
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
            // Later requests that depend on the refused one must not be executed without it.
            Leave::Refused if !self.engine.asks_for_login() => Next::End(Ending::NoRedis),
            Leave::Refused => Next::On(sent.length),
        }
    }
}
