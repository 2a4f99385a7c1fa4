//! Transactions that arrive as a whole, as client libraries send their pipelines. They go over the shared connection. A
//! transaction that arrives in parts would hold up everything else on that connection, so it gets a dedicated one.

use super::super::identity::Identity;
use super::super::in_flight::{Asks, Caller, Forward, Part, Reads, Waiter};
use super::super::replies::{Replies, to_reply};
use super::super::{ClientId, MAX_OWED};
use super::asks::write_question;
use super::{Engine, cost};
use crate::cache::{Key, Value};
use crate::clock::Time;
use crate::command::{Cached, Row, Way, Written};
use crate::metrics::{Outcome, Why};
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::resp::request::{Parsed, Parser, Request};
use crate::upstream::LinkId;

/// The steps of a transaction.
enum Step {
    Multi,
    /// A command that is queued.
    Queue,
    Exec,
}

impl Engine {
    /// Sends the transaction at the start of `bytes`, if it is complete and nothing in it needs a dedicated connection.
    /// Returns its length.
    pub fn execute_transaction(
        &mut self,
        bytes: &[u8],
        client: ClientId,
        identity: &mut Identity,
        replies: &mut Replies,
        now: Time,
    ) -> Option<usize> {
        let is_possible = now >= self.paused_until && !self.large.is_limited();
        let (length, hash) = is_possible
            .then(|| self.whole_transaction(bytes, identity))
            .flatten()?;
        let node = self.node_of_transaction(&bytes[..length])?;
        if !self.server(node).is_up() {
            return None;
        }
        let mut parser = Parser::new();
        let mut used = 0;
        let mut has_script = false;
        while used < length {
            match parser.parse(&bytes[used..length]) {
                Ok(Parsed::Request {
                    request,
                    used: length,
                }) => {
                    let (row, step) = self.step(&request)?;
                    identity.last_command = row.number;
                    let caller = Caller {
                        client,
                        protocol: identity.protocol,
                        database: identity.database,
                        node,
                        command: row.number,
                        since: now,
                    };
                    has_script |= self.reports_scripts(row.writes);
                    let executes_script = has_script && matches!(step, Step::Exec);
                    if executes_script {
                        replies.scripts.sent();
                    }
                    let asks = matches!(step, Step::Exec).then_some(Asks {
                        hash,
                        repeatable: false,
                    });
                    let forward = Forward {
                        is_script: executes_script,
                        asks,
                        ..Forward::default()
                    };
                    self.send_step(&request, &row, step, caller, forward, replies);
                    used += length;
                }
                Ok(Parsed::Nothing { used: length }) => used += length,
                Ok(Parsed::Incomplete) | Err(_) => break,
            }
        }
        Some(length)
    }

    /// The length of the transaction at the start of `bytes`, and the hash by which the length of its reply is
    /// remembered, if it may go over a shared connection.
    fn whole_transaction(&self, bytes: &[u8], identity: &Identity) -> Option<(usize, u64)> {
        let bytes = &bytes[..bytes.len().min(MAX_OWED)];
        let mut parser = Parser::new();
        let mut used = 0;
        let mut hash = 0;
        let mut is_begun = false;
        loop {
            match parser.parse(&bytes[used..]).ok()? {
                Parsed::Request {
                    request,
                    used: length,
                } => {
                    let (row, step) = self.step(&request)?;
                    if identity.is_checked && self.is_special(&request, &row, identity) {
                        return None;
                    }
                    match step {
                        Step::Multi if !is_begun => is_begun = true,
                        Step::Queue if is_begun => {
                            hash = self.large.hash_behind(hash, row.number, &request);
                        }
                        Step::Exec if is_begun => {
                            hash = self.large.hash_behind(hash, row.number, &request);
                            let is_large = self.large.contains(hash);
                            return (!is_large).then_some((used + length, hash));
                        }
                        _ => return None,
                    }
                    used += length;
                }
                Parsed::Nothing { used: length } => used += length,
                Parsed::Incomplete => return None,
            }
        }
    }

    /// The role of a request in a transaction on a shared connection, with its row; `None` if it can't be part of one.
    fn step(&self, request: &Request<'_>) -> Option<(Row, Step)> {
        let row = self.table.find(request).ok()?;
        let name = self.table.original_name(request.argument(0));
        // With more arguments, Redis refuses the command, so the transaction is not begun, or continues.
        let is = |word: &[u8]| request.len() == 1 && name.eq_ignore_ascii_case(word);
        if is(b"multi") {
            return Some((row, Step::Multi));
        }
        if is(b"exec") {
            return Some((row, Step::Exec));
        }
        let is_plain = row.clients.is_none()
            && !row.changes_commands
            && !name.eq_ignore_ascii_case(b"exec")
            && !self.has_large_reply(row.way(request), row.number, request);
        match row.way(request) {
            Way::Forward | Way::Cached(_) if is_plain => Some((row, Step::Queue)),
            _ => None,
        }
    }

    fn send_step(
        &mut self,
        request: &Request<'_>,
        row: &Row,
        step: Step,
        caller: Caller,
        forward: Forward,
        replies: &mut Replies,
    ) {
        let batch = self.requests.of(caller.link());
        let before = batch.bytes.len();
        let encode = |out: &mut Vec<u8>| reply::request(out, request.arguments());
        match step {
            Step::Multi => batch.push(false, encode),
            Step::Queue | Step::Exec => batch.join(encode),
        }
        let length = batch.bytes.len() - before;
        let waiter = Waiter {
            caller,
            place: replies.wait(cost(length, replies)),
            element: None,
        };
        let words = self.words(request);
        let (keys, part) = match step {
            Step::Multi => (Some(Written::default()), None),
            Step::Queue => {
                if let Way::Cached(_) = row.way {
                    self.metrics.uncached.add(row.number, Why::Transaction);
                }
                let reads = reads(request, row, caller);
                let written = self.invalidate_written(request, row.writes);
                (written, Some(Box::new(Part::Queued(reads))))
            }
            Step::Exec => (
                Some(Written::default()),
                Some(Box::new(Part::Exec(Vec::new()))),
            ),
        };
        let forward = Forward {
            waiter: Some(waiter),
            words,
            part,
            ..forward
        };
        self.in_flight
            .forward(forward, caller.link(), keys.as_deref());
        self.asked += 1;
        self.count(row.number, Outcome::Forwarded, replies);
    }

    /// A transaction was executed, with this reply. The client that gets it must not get older values later, so this
    /// removes cached values that differ from what the transaction read, and makes fetches of these keys in flight over
    /// other links outdated.
    pub(super) fn executed(&mut self, all: &[Reads], link: LinkId, reply: &[u8]) {
        let mut elements = Reader::new(reply);
        if elements.array() != Some(all.len()) {
            return;
        }
        for reads in all {
            match reads {
                Reads::Nothing => {
                    elements.skip(1);
                }
                Reads::One { key, question } => {
                    self.was_read(key, question.as_deref(), link, elements.value());
                }
                Reads::Values(keys) => {
                    // The reply may be an error.
                    let count = elements.array().unwrap_or_default();
                    for key in keys.iter().take(count) {
                        self.was_read(key, None, link, elements.value());
                    }
                }
            }
        }
    }

    fn was_read(
        &mut self,
        name: &[u8],
        question: Option<&[u8]>,
        link: LinkId,
        read: Option<&[u8]>,
    ) {
        let key = Key::new(link.database, name);
        let now = Time::default();
        let is_same = match question {
            None => {
                let value = self.cache.get(key, now);
                let cached = value.map(|value| to_reply(&value, link.protocol));
                cached.is_none_or(|cached| Some(cached.bytes()) == read)
            }
            Some(question) => match self.cache.answer(key, question.into(), now) {
                None => true,
                Some(Value::Bytes(answer)) => Some(answer) == read,
                Some(Value::Shared(answer)) => Some(&**answer) == read,
                Some(Value::Missing) => false,
            },
        };
        match question {
            _ if is_same => {}
            None => self.cache.remove_value(key),
            Some(question) => self.cache.remove_answer(key, question.into()),
        }
        self.in_flight.overtaken(name, link);
    }
}

/// What a request reads that the cache may hold.
fn reads(request: &Request<'_>, row: &Row, caller: Caller) -> Reads {
    match row.way(request) {
        Way::Cached(Cached::Get) if request.len() == 2 => Reads::One {
            key: request.argument(1).into(),
            question: None,
        },
        Way::Cached(Cached::Mget) => {
            let keys = request.arguments().skip(1);
            Reads::Values(keys.map(Box::from).collect())
        }
        Way::Cached(Cached::Answer { key, .. }) => {
            let position = key.into();
            let mut question = Vec::new();
            write_question(&mut question, request, position, caller);
            Reads::One {
                key: request.argument(position).into(),
                question: Some(question.into()),
            }
        }
        _ => Reads::Nothing,
    }
}
