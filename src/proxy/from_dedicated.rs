//! Handles what Redis sends on clients' dedicated connections, and how these connections begin and end.

use super::dedicated::{Edited, Received};
use super::ending::Ending;
use super::engine::{Cluster, SetUp};
use super::waiting::WaitsFor;
use super::{ClientId, Proxy};
use crate::clock::Time;
use crate::metrics::ErrorKind;
use crate::resp::reply::Reply;
use crate::upstream::NodeId;

impl Proxy {
    /// Handles bytes that Redis sent on a client's dedicated connection.
    pub fn receive_dedicated(&mut self, client: ClientId, bytes: &[u8], now: Time) {
        let mut rest = bytes;
        // Once, plus once for each edited reply.
        while let Some(used) = self.receive_part(client, rest, now) {
            rest = &rest[used..];
        }
        self.count_held(client);
    }

    /// Handles the bytes up to the end of the first reply that is edited. Returns where that reply ends, if there is
    /// one.
    fn receive_part(&mut self, client: ClientId, bytes: &[u8], now: Time) -> Option<usize> {
        let session = &mut self.sessions[client.0];
        let dedicated = session.dedicated.as_mut()?;
        if dedicated.is_parked() && !bytes.starts_with(b">") {
            // An unsolicited message: Redis says why it closes the connection.
            self.dedicated_over(client, false);
            self.note_change(client);
            return None;
        }
        session.replies.ensure_buffer(&mut self.spare);
        let engine = &mut self.engine;
        let mut has_script = false;
        let (received, news) = dedicated.receive(bytes, &mut self.passed, &mut |effects| {
            engine.invalidate_answered(effects);
            has_script |= effects.is_script;
            let took = effects.since.map(|since| since.until(now));
            engine
                .metrics
                .answered_apart(effects.command, took, effects.failed);
        });
        self.readonly |= news.readonly;
        if has_script {
            session.replies.scripts.wait_for(engine.barrier_of_script());
        }
        if news.tells_of_others && !self.passed.is_empty() && engine.holds_back() {
            let place = session.replies.hold(&self.passed);
            let barrier = engine.barriers.wait(client, place);
            // The client may be served from the cache again before these bytes are passed on.
            session.replies.scripts.wait_for(barrier);
        } else {
            session.replies.pass(&self.passed);
        }
        self.passed.clear();
        if let Some(number) = news.set_up {
            engine.numbers.opened(session.identity.id, number);
            self.wake_if_numbered();
        }
        let mut edited = None;
        match received {
            Received::Passed => self.give_back(client),
            Received::Authenticated => self.authenticated(client),
            Received::ToEdit {
                used,
                reply,
                authenticated,
            } => {
                if authenticated {
                    self.authenticated(client);
                }
                self.edit_dedicated(client, reply, now);
                edited = Some(used);
            }
            Received::Over { reset } => self.dedicated_over(client, reset),
            Received::Refused(refusal) => {
                self.dedicated_refused(client, &refusal);
                return None;
            }
            Received::Failed(reason) => {
                self.dedicated_lost(client, Some(reason));
                return None;
            }
        }
        let dedicated = self.sessions[client.0].dedicated.as_ref();
        if dedicated.is_some_and(|dedicated| dedicated.has_passed()) {
            self.dedicated_over(client, false);
        }
        self.note_change(client);
        edited
    }

    /// Returns a client that only borrows its dedicated connection to the shared ones, once all its requests are
    /// answered.
    fn give_back(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        if let Some(dedicated) = &mut session.dedicated
            && let Some(returned) = dedicated.take_returned()
        {
            let large = &mut self.engine.large;
            for (hashes, length) in returned.replies() {
                // Of a long reply to several keys, it is not known which key made it long.
                if hashes.len() == 1 || !large.is_long(length) {
                    hashes.iter().for_each(|hash| large.note(*hash, length));
                }
            }
            // If the connection has state, the client stays on it, as if it needed it for something else.
            if dedicated.is_clean() {
                dedicated.park();
            }
            if session.waits_for == WaitsFor::Return {
                session.waits_for = WaitsFor::Nothing;
            }
        }
    }

    /// Delivers the edited reply from a client's dedicated connection.
    fn edit_dedicated(&mut self, client: ClientId, edited: Edited, now: Time) {
        // The client is no longer blocked, which the reply may report.
        self.note_change(client);
        let Some(dedicated) = &mut self.sessions[client.0].dedicated else {
            return;
        };
        let protocol = dedicated.protocol();
        let Edited {
            encoded,
            edit,
            is_wanted,
            tells_of_others,
        } = edited;
        let is_redirect = encoded.starts_with(b"-MOVED ") || encoded.starts_with(b"-ASK ");
        let edit = edit.filter(|_| !is_redirect);
        let reply = match edit {
            None if is_redirect => self.engine.reply_for_redirect(&encoded, dedicated.node),
            Some(edit) => self.edit(client, &edit, &encoded, protocol, now),
            None => Reply::copy(&encoded),
        };
        if is_wanted {
            let replies = &mut self.sessions[client.0].replies;
            if tells_of_others && self.engine.holds_back() {
                let place = replies.hold(reply.bytes());
                let barrier = self.engine.barriers.wait(client, place);
                replies.scripts.wait_for(barrier);
            } else {
                replies.push(reply);
            }
        }
        self.end_if_killed(client);
    }

    pub(super) fn authenticated(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        session.identity.authenticate(true);
        session.identity.log("client authenticated");
        session.parser.restrict(false);
    }

    /// A client no longer needs its dedicated connection.
    fn dedicated_over(&mut self, client: ClientId, reset: bool) {
        let session = &mut self.sessions[client.0];
        session.dedicated = None;
        session.is_redirected_to = false;
        session.identity.log("dedicated connection released");
        if reset {
            let home = self.engine.databases.home;
            session
                .identity
                .reset(!self.engine.access.is_restricted(), home);
            self.engine.assign_guard(&mut session.identity);
            session.parser.restrict(!session.identity.authenticated);
        }
        self.dedicated_closed(client);
    }

    /// A client's dedicated connection is closed.
    pub(super) fn dedicated_closed(&mut self, client: ClientId) {
        let id = self.sessions[client.0].identity.id;
        self.engine.numbers.closed(id);
        self.wake_if_numbered();
    }

    /// Resumes the clients that wait for the id of a dedicated connection.
    pub(super) fn wake_if_numbered(&mut self) {
        if self.engine.numbers.take_news() {
            self.wake(WaitsFor::Redirection);
        }
    }

    /// Opens dedicated connections for clients that others redirect invalidations to.
    pub(super) fn open_wanted(&mut self) {
        for client in self.engine.numbers.take_wanted() {
            self.sessions[client.0].is_redirected_to = true;
            self.open_if_redirected_to(client);
        }
    }

    /// Opens the dedicated connection of a client that others redirect to, once it waits for no reply on a shared
    /// connection.
    pub(super) fn open_if_redirected_to(&mut self, client: ClientId) {
        let session = &mut self.sessions[client.0];
        if session.dedicated.is_some() || !session.replies.none_wait() && !session.is_ending() {
            return;
        }
        if session.is_ending()
            || !session.identity.authenticated
            || !self.engine.any_server().is_up()
        {
            session.is_redirected_to = false;
            self.engine.numbers.opened(session.identity.id, None);
            return self.wake_if_numbered();
        }
        let dedicated = self.engine.open_dedicated(&session.identity, &SetUp::WHOLE);
        session.dedicated = Some(Box::new(dedicated));
        self.note_change(client);
    }

    /// A client's dedicated connection has ended, and so the client is closed, as Redis itself would close it. The
    /// client gets `reason`, if there is one, as the error reply to its request.
    pub fn dedicated_lost(&mut self, client: ClientId, reason: Option<&str>) {
        let ending = match reason {
            Some(reason) if self.needs_dedicated(client) => {
                self.engine.metrics.error(ErrorKind::Unreachable);
                let error = [b"ERR ", reason.as_bytes()].concat();
                self.sessions[client.0].replies.push(Reply::error(&error));
                Ending::DedicatedFailed(reason.into())
            }
            _ => Ending::DedicatedEnded,
        };
        self.end_with_dedicated(client, ending);
    }

    /// A client's dedicated connection could not be opened, and so the client is closed, as Redis itself would close
    /// it.
    pub fn dedicated_failed(&mut self, client: ClientId, reason: &str) {
        if self.needs_dedicated(client) {
            self.engine.metrics.error(ErrorKind::Unreachable);
        }
        self.end_with_dedicated(client, Ending::DedicatedFailed(reason.into()));
    }

    /// A server is unreachable or was replaced: ends all dedicated connections to it, as their sockets may not have
    /// noticed.
    pub(super) fn end_dedicated(&mut self, node: NodeId) {
        self.end_dedicated_where(|to| to == node);
    }

    /// The set of nodes has changed: ends the dedicated connections that lead to none of the nodes.
    pub(super) fn end_dedicated_elsewhere(&mut self) {
        let nodes: Vec<NodeId> = self
            .engine
            .cluster()
            .into_iter()
            .flat_map(Cluster::nodes)
            .collect();
        self.end_dedicated_where(|to| !nodes.contains(&to));
    }

    fn end_dedicated_where(&mut self, is_ended: impl Fn(NodeId) -> bool) {
        for slot in 0..self.sessions.len() {
            let dedicated = self.sessions[slot].dedicated.as_ref();
            if dedicated.is_some_and(|dedicated| is_ended(dedicated.node)) {
                self.dedicated_lost(ClientId(slot), None);
            }
        }
    }

    /// Whether a client needs its dedicated connection to continue.
    fn needs_dedicated(&self, client: ClientId) -> bool {
        let session = &self.sessions[client.0];
        let dedicated = session.dedicated.as_ref();
        dedicated.is_none_or(|it| !it.is_parked() || session.is_redirected_to)
    }

    /// A client's dedicated connection is gone. Closes the client, with `ending`, if it needs the connection.
    fn end_with_dedicated(&mut self, client: ClientId, ending: Ending) {
        self.invalidate_in_flight(client);
        if !self.needs_dedicated(client) {
            self.dedicated_over(client, false);
            return self.note_change(client);
        }
        let session = &mut self.sessions[client.0];
        match ending {
            // This reason is more specific than one that is already set.
            Ending::DedicatedFailed(_) => session.ending = Some(ending),
            _ => session.end(ending),
        }
        session.take_no_more();
        self.dedicated_closed(client);
        self.note_change(client);
        self.count_held(client);
    }

    /// Redis refused a client's dedicated connection. The client gets Redis's error, as if it had connected to Redis
    /// directly.
    fn dedicated_refused(&mut self, client: ClientId, words: &str) {
        self.engine.metrics.error(ErrorKind::Redis);
        self.invalidate_in_flight(client);
        let session = &mut self.sessions[client.0];
        let dedicated = session.dedicated.as_ref();
        if let Some(count) = dedicated.and_then(|dedicated| dedicated.borrowed_requests()) {
            // The client did not ask for a dedicated connection, and can do without. Redis has executed none of its
            // requests there.
            for _ in 0..count {
                session.replies.push(Reply::error(words.as_bytes()));
            }
            if matches!(
                session.waits_for,
                WaitsFor::Return | WaitsFor::SetUp | WaitsFor::Permit
            ) {
                session.waits_for = WaitsFor::Nothing;
            }
            self.dedicated_over(client, false);
            self.note_change(client);
            return self.count_held(client);
        }
        session.replies.push(Reply::error(words.as_bytes()));
        let reason = format!("it refused the dedicated connection: {words}");
        session.ending = Some(Ending::DedicatedFailed(reason.into()));
        session.take_no_more();
        self.dedicated_closed(client);
        self.note_change(client);
        self.count_held(client);
    }

    /// Invalidates the keys that a client's requests in flight on its dedicated connection may write, whether or not
    /// Redis executes them.
    pub(super) fn invalidate_in_flight(&mut self, client: ClientId) {
        if let Some(dedicated) = &self.sessions[client.0].dedicated {
            for effects in dedicated.in_flight() {
                self.engine.invalidate_answered(effects);
            }
        }
    }
}
