//! Transactions that come as a whole, as client libraries send their pipelines: they go over the connection that all
//! share. One that trickles in holds up whatever else goes over its connection, and has one of its own.

use super::super::identity::Identity;
use super::super::in_flight::{Caller, Then, Waiter};
use super::super::replies::Replies;
use super::super::{ClientId, MAX_OWED};
use super::{ASKED_COST, Redis, Store};
use crate::clock::Time;
use crate::command::{Row, Way};
use crate::metrics::Outcome;
use crate::resp::reply;
use crate::resp::request::{Parsed, Parser, Request};

/// What a request is to a transaction.
enum Part {
    Start,
    /// It is queued.
    Middle,
    End,
}

impl Store {
    /// Sends the transaction that `bytes` start with, if all of it is there and nothing in it needs a dedicated
    /// connection. Returns its length.
    pub fn execute_transaction(
        &mut self,
        bytes: &[u8],
        client: ClientId,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Option<usize> {
        let is_possible = matches!(self.redis, Redis::Up) && now >= self.paused_until;
        let length = is_possible
            .then(|| self.whole_transaction(bytes))
            .flatten()?;
        let mut parser = Parser::new();
        let mut used = 0;
        while used < length {
            match parser.parse(&bytes[used..length]) {
                Ok(Parsed::Request {
                    request,
                    used: length,
                }) => {
                    let part = self.part(&request)?;
                    identity.last_command = part.0.number;
                    let caller = Caller {
                        client,
                        protocol: identity.protocol,
                        command: part.0.number,
                        since: now,
                    };
                    self.send_part(&request, part, caller, replies);
                    used += length;
                }
                Ok(Parsed::Nothing { used: length }) => used += length,
                Ok(Parsed::Incomplete) | Err(_) => break,
            }
        }
        Some(length)
    }

    /// The length of the transaction that `bytes` start with, if it may go over a shared connection.
    fn whole_transaction(&self, bytes: &[u8]) -> Option<usize> {
        let bytes = &bytes[..bytes.len().min(MAX_OWED)];
        let mut parser = Parser::new();
        let mut used = 0;
        let mut is_begun = false;
        loop {
            match parser.parse(&bytes[used..]).ok()? {
                Parsed::Request {
                    request,
                    used: length,
                } => {
                    let (_, part) = self.part(&request)?;
                    match part {
                        Part::Start if !is_begun => is_begun = true,
                        Part::Middle if is_begun => {}
                        Part::End if is_begun => return Some(used + length),
                        _ => return None,
                    }
                    used += length;
                }
                Parsed::Nothing { used: length } => used += length,
                Parsed::Incomplete => return None,
            }
        }
    }

    /// What a request is to a transaction that goes over a shared connection, with its row; nothing if there is no place
    /// for it.
    fn part(&self, request: &Request<'_>) -> Option<(Row, Part)> {
        let row = self.table.find(request).ok()?;
        let name = self.table.own_name(request.argument(0));
        // With more words, Redis refuses them, and the transaction is not begun or goes on.
        let is = |word: &[u8]| request.len() == 1 && name.eq_ignore_ascii_case(word);
        if is(b"multi") {
            return Some((row, Part::Start));
        }
        if is(b"exec") {
            return Some((row, Part::End));
        }
        let is_plain = row.clients.is_none()
            && !row.changes_commands
            && !name.eq_ignore_ascii_case(b"exec")
            && self.configures(request).is_none();
        match row.way(request) {
            Way::Forward | Way::Cached(_) if is_plain => Some((row, Part::Middle)),
            _ => None,
        }
    }

    fn send_part(
        &mut self,
        request: &Request<'_>,
        part: (Row, Part),
        caller: Caller,
        replies: &mut Replies,
    ) {
        let (row, part) = part;
        let batch = self.requests.of(caller.protocol);
        let before = batch.bytes.len();
        let encode = |out: &mut Vec<u8>| reply::request(out, request.arguments());
        match part {
            Part::Start => batch.push(false, encode),
            Part::Middle | Part::End => batch.join(encode),
        }
        let length = batch.bytes.len() - before;
        let waiter = Waiter {
            caller,
            place: replies.wait(ASKED_COST + length),
            element: None,
        };
        let words = self.words(request);
        match part {
            Part::Middle => {
                let written = self.invalidate_written(request, row.writes);
                self.in_flight.queue(waiter, words, written.as_deref());
            }
            Part::Start | Part::End => {
                self.in_flight.forward(waiter, words, Some(&[]), Then::Pass);
            }
        }
        self.asked += 1;
        self.count(row.number, Outcome::Forwarded, replies);
    }
}
