//! Edits Redis's replies about clients, so that they describe the proxy's clients.

use std::collections::HashMap;

use super::client_lines;
use super::clients::{Edit, Facts, Kill, Listed, Type, slowlog};
use super::ending::Ending;
use super::guard::{message_without_prefix, without_prefix};
use super::hello::with_id;
use super::replies::Replies;
use super::session::Session;
use super::{ClientId, Proxy};
use crate::clock::Time;
use crate::command::Here;
use crate::order::sort_by_number;
use crate::resp::Protocol;
use crate::resp::read::Reader;
use crate::resp::reply::Reply;
use crate::resp::request::{Parsed, Parser};

const SYNTAX_ERROR: &[u8] = b"ERR syntax error";

impl Proxy {
    /// The reply that a client gets in place of Redis's, which must not be an error.
    pub(super) fn edit(
        &mut self,
        client: ClientId,
        edit: &Edit,
        encoded: &[u8],
        protocol: Protocol,
        now: Time,
    ) -> Reply {
        match edit {
            Edit::Here(here, request) => self.answer_later(client, *here, request, protocol, now),
            Edit::Greeting { user } => {
                let identity = &mut self.sessions[client.0].identity;
                identity.protocol = protocol;
                if let Some(user) = user {
                    identity.user = Some(user.clone());
                    self.engine.assign_guard(identity);
                }
                let identity = &self.sessions[client.0].identity;
                Reply::copy(&with_id(encoded, identity.id))
            }
            Edit::User(user) => {
                let identity = &mut self.sessions[client.0].identity;
                identity.user = Some(user.clone());
                self.engine.assign_guard(identity);
                Reply::copy(encoded)
            }
            Edit::Line => {
                let line = text(encoded).trim_end_matches('\n').to_owned();
                let line = self.translate(&line, client, now) + "\n";
                Reply::text(line.as_bytes(), protocol)
            }
            Edit::List(Some(listed)) => {
                let text = self.list(listed, &text(encoded), now);
                Reply::text(text.as_bytes(), protocol)
            }
            Edit::Kill(Some(kill)) => {
                let killed = self.kill(kill, client, now);
                match (kill.is_old_form, killed) {
                    (true, 0) => Reply::error(b"ERR No such client"),
                    (true, _) => Reply::Static(b"+OK\r\n"),
                    (false, killed) => Reply::integer(killed),
                }
            }
            Edit::List(None) | Edit::Kill(None) => Reply::error(SYNTAX_ERROR),
            Edit::Getredir => {
                let number = Reader::new(encoded).number().unwrap_or(-1);
                Reply::copy(format!(":{}\r\n", self.redirection(client, number)).as_bytes())
            }
            Edit::Trackinginfo => self.renumber(client, encoded, b"$8\r\nredirect\r\n:"),
            Edit::Redirected(numbers) => {
                self.sessions[client.0].identity.redirects_to = *numbers;
                Reply::copy(encoded)
            }
            Edit::RedirectionBroken => self.renumber(client, encoded, b"broken\r\n:"),
            Edit::Paused(period) => {
                let until = now.after(*period);
                self.engine.paused_until = until.max(self.engine.paused_until);
                Reply::copy(encoded)
            }
            Edit::Unpaused => {
                self.engine.paused_until = Time::default();
                Reply::copy(encoded)
            }
            Edit::SlowlogGet(count) => match slowlog::entries(encoded, *count) {
                Some(entries) => Reply::copy(&entries),
                None => Reply::copy(encoded),
            },
            Edit::SlowlogLen => match slowlog::length(encoded) {
                Some(length) => Reply::integer(length),
                None => Reply::copy(encoded),
            },
            Edit::Info(wanted) => self.engine.merge_info(wanted, encoded, protocol, now),
            Edit::CountersReset => {
                self.engine.reset_counters();
                Reply::copy(encoded)
            }
            Edit::Reply(reply) => Reply::copy(reply),
            Edit::WithoutPrefix(prefix, named) => {
                Reply::copy(&without_prefix(encoded, *named, prefix))
            }
            Edit::Message(prefix) => Reply::copy(&message_without_prefix(encoded, prefix)),
            Edit::Observed {
                hooks,
                request,
                prefix,
            } => self.observed(
                client,
                (*hooks, request),
                encoded,
                prefix.as_ref(),
                (protocol, now),
            ),
            Edit::TooMuch => Reply::error(b"ERR too many requests about clients at once"),
        }
    }

    /// Answers a request of the proxy's own commands late: in the place of Redis's reply.
    fn answer_later(
        &mut self,
        client: ClientId,
        here: Here,
        request: &[u8],
        protocol: Protocol,
        now: Time,
    ) -> Reply {
        let mut parser = Parser::new();
        let mut replies = Replies::default();
        let identity = &mut self.sessions[client.0].identity;
        identity.protocol = protocol;
        if let Ok(Parsed::Request { request, .. }) = parser.parse(request) {
            self.engine
                .answer(here, &request, identity, &mut replies, now);
        }
        let mut answer = Vec::new();
        // Writing to memory can't fail.
        while let Ok(1..) = replies.output.send(&mut answer) {}
        Reply::copy(&answer)
    }

    /// The id of the client that a client's invalidations are redirected to, given the connection's id at Redis.
    fn redirection(&self, client: ClientId, at_redis: i64) -> i64 {
        match self.sessions[client.0].identity.redirects_to {
            _ if at_redis <= 0 => at_redis,
            Some((number, id)) if number == at_redis => id,
            // The connection is not one of the proxy's.
            _ => 0,
        }
    }

    /// Translates the id that follows `label` in a reply.
    fn renumber(&self, client: ClientId, encoded: &[u8], label: &[u8]) -> Reply {
        let at = encoded.windows(label.len()).position(|part| part == label);
        let Some(start) = at.map(|at| at + label.len()) else {
            return Reply::copy(encoded);
        };
        let length = encoded[start..]
            .iter()
            .take_while(|&&byte| byte != b'\r')
            .count();
        let (digits, rest) = encoded[start..].split_at(length);
        let number = crate::resp::integer(digits).unwrap_or(-1);
        let number = self.redirection(client, number).to_string();
        Reply::copy(&[&encoded[..start], number.as_bytes(), rest].concat())
    }

    /// The lines for the selected clients. Redis's text has the lines of those with a dedicated connection.
    fn list(&self, listed: &Listed, encoded: &str, now: Time) -> String {
        let at_redis: HashMap<u64, &str> = encoded
            .lines()
            .filter_map(|line| {
                Some((
                    self.engine.numbers.client(client_lines::number(line)?)?,
                    line,
                ))
            })
            .collect();
        let mut all: Vec<(u64, ClientId)> = self.clients().collect();
        sort_by_number(&mut all, |&(id, _)| id);
        let listed: Vec<(u64, ClientId)> = match listed {
            Listed::All => all,
            Listed::Ids(ids) => {
                let find = |id: &i64| {
                    let id = u64::try_from(*id).ok()?;
                    let index = all.binary_search_by_key(&id, |&(id, _)| id).ok()?;
                    Some(all[index])
                };
                ids.iter().filter_map(find).collect()
            }
            Listed::OfType(kind) => {
                all.retain(|&(_, client)| self.sessions[client.0].kind() == *kind);
                all
            }
        };
        let mut text = String::new();
        for (id, client) in listed {
            // Redis does not see the requests of a client that has returned to the shared connections.
            let dedicated = self.sessions[client.0].dedicated.as_ref();
            let is_parked = dedicated.is_some_and(|dedicated| dedicated.is_parked());
            text += &match at_redis.get(&id) {
                Some(line) if !is_parked => self.translate(line, client, now),
                _ => self.info_line(client, now),
            };
            text.push('\n');
        }
        text
    }

    /// The clients that are not ending, in no particular order.
    fn clients(&self) -> impl Iterator<Item = (u64, ClientId)> {
        let sessions = self.sessions.iter().enumerate();
        let there = sessions.filter(|(_, session)| session.identity.id > 0 && !session.is_ending());
        there.map(|(slot, session)| (session.identity.id, ClientId(slot)))
    }

    fn translate(&self, line: &str, client: ClientId, now: Time) -> String {
        let redirection = client_lines::redirection(line).unwrap_or(-1);
        let redirection = self.redirection(client, redirection);
        client_lines::translated(line, &self.sessions[client.0], redirection, now)
    }

    fn info_line(&self, client: ClientId, now: Time) -> String {
        let session = &self.sessions[client.0];
        self.engine.line(session, now)
    }

    /// Closes the selected clients. Returns how many there were.
    fn kill(&mut self, kill: &Kill, client: ClientId, now: Time) -> usize {
        let selected: Vec<ClientId> = self
            .clients()
            .filter(|&(id, other)| {
                let session = &self.sessions[other.0];
                let identity = &session.identity;
                let facts = Facts {
                    id,
                    peer: identity.peer.as_ref(),
                    kind: session.kind(),
                    user: self.engine.user(session),
                    age: identity.connected.until(now).as_secs(),
                };
                !(kill.skip_me && other == client) && kill.selects(&facts)
            })
            .map(|(_, other)| other)
            .collect();
        for &other in selected.iter().filter(|&&other| other != client) {
            self.invalidate_in_flight(other);
            self.sessions[other.0].abort(Ending::Killed);
            self.dedicated_closed(other);
            self.note_change(other);
        }
        if selected.contains(&client) {
            self.sessions[client.0].end(Ending::Killed);
        }
        selected.len()
    }

    /// Takes no more requests from a client that has killed itself; it stays connected until it has the reply.
    pub(super) fn end_if_killed(&mut self, client: ClientId) {
        let session = &self.sessions[client.0];
        if session.ending == Some(Ending::Killed) && !session.is_done() {
            self.invalidate_in_flight(client);
            self.sessions[client.0].take_no_more();
            self.dedicated_closed(client);
        }
    }
}

/// The text of a reply.
fn text(encoded: &[u8]) -> String {
    let text = Reader::new(encoded).verbatim().unwrap_or_default();
    String::from_utf8_lossy(text).into_owned()
}

impl Session {
    /// The type of client, as in `CLIENT LIST TYPE`.
    fn kind(&self) -> Type {
        let dedicated = self.dedicated.as_ref();
        dedicated.map_or(Type::Normal, |dedicated| match dedicated.summary() {
            state if state.flags.contains('S') && !state.flags.contains('O') => Type::Replica,
            state if state.subscriptions != [0; 3] => Type::PubSub,
            _ => Type::Normal,
        })
    }
}
