//! `INFO`, which is Redis's with the proxy's own fields added, and replies that the proxy itself evaluates.

use super::super::in_flight::{Caller, Forward, Then, Waiter};
use super::super::replies::Replies;
use super::cluster::with_cursor;
use super::{Arrived, Engine, Redis};
use crate::clock::Time;
use crate::metrics::Outcome;
use crate::resp::Protocol;
use crate::resp::read::Reader;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::status::{Right, Wanted};
use crate::upstream::LinkId;

/// How Redis's errors about arguments start, unlike those about permissions or state.
const SYNTAX: &[u8] = b"-ERR syntax error";

impl Engine {
    /// Asks Redis for its `INFO`, if it can be asked and the request is not for the proxy's sections alone.
    pub(super) fn info(
        &mut self,
        request: &Request<'_>,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let wanted = Wanted::of(request.arguments().skip(1));
        let sections = match (&self.server(caller.node).redis, wanted.of_redis()) {
            (Redis::Unknown | Redis::Up, Some(sections)) => sections,
            _ => {
                let text = self.status(caller.since).info(&wanted, None);
                replies.push(Reply::text(text.as_bytes(), caller.protocol));
                return Outcome::Here;
            }
        };
        let batch = self.requests.of(caller.link());
        let before = batch.bytes.len();
        batch.push(true, |out| {
            reply::header(out, b'*', 1 + sections.len());
            reply::bulk(out, b"INFO");
            sections.iter().for_each(|name| reply::bulk(out, name));
        });
        let length = batch.bytes.len() - before;
        let waiter = Waiter {
            caller,
            place: replies.wait(super::cost(length, replies)),
            element: None,
        };
        let words = self.words(request);
        let then = Then::Merge(Box::new(wanted));
        let forward = Forward {
            waiter: Some(waiter),
            words,
            then,
            ..Forward::default()
        };
        self.in_flight.forward(forward, caller.link(), Some(&[]));
        self.asked += 1;
        Outcome::Forwarded
    }

    /// Evaluates a reply before it is passed on. Returns the reply that replaces it, if any.
    pub fn use_reply(
        &mut self,
        arrived: &mut Arrived,
        encoded: &[u8],
        link: LinkId,
        now: Time,
    ) -> Option<Reply> {
        match std::mem::take(&mut arrived.then) {
            Then::Pass => None,
            Then::Say(instead) => Some(Reply::Static(instead)),
            Then::Scan { at, next } => with_cursor(encoded, at, next),
            edit @ Then::Edit(_) => {
                arrived.then = edit;
                None
            }
            Then::Merge(_) if encoded.starts_with(SYNTAX) => None,
            Then::Merge(wanted) => {
                arrived.shared = None;
                Some(self.merge_info(&wanted, encoded, link.protocol, now))
            }
        }
    }

    /// `INFO` with the wanted sections, merged with Redis's reply.
    pub fn merge_info(
        &mut self,
        wanted: &Wanted,
        encoded: &[u8],
        protocol: Protocol,
        now: Time,
    ) -> Reply {
        self.learn_info(encoded, now);
        let text = text_of(encoded);
        let info = self.status(now).info(wanted, text.as_deref());
        Reply::text(info.as_bytes(), protocol)
    }

    /// Takes in Redis's reply to an `INFO` of the proxy's own.
    pub(super) fn learn_info(&mut self, encoded: &[u8], now: Time) {
        self.missing_rights.note_reply(Right::Info, encoded);
        if let Some(text) = text_of(encoded) {
            self.redis_info.learn(&text, now);
        }
    }
}

/// The text of a reply to `INFO`.
fn text_of(encoded: &[u8]) -> Option<String> {
    let text = Reader::new(encoded).verbatim()?;
    Some(String::from_utf8_lossy(text).into_owned())
}
