//! What all clients share: the cache, and what Redis is being asked. A request is executed here.

use std::rc::Rc;

use super::ClientId;
use super::in_flight::{InFlight, Waiter, Waiters};
use super::replies::Replies;
use crate::cache::{Cache, Limits, Value};
use crate::clock::Time;
use crate::command::{self, Action};
use crate::resp::reply::{self, Reply, SHARED_MIN};
use crate::resp::request::Request;
use crate::upstream::Batch;

pub(super) struct Store {
    cache: Cache,
    in_flight: InFlight,
    requests: Batch,
    /// The error reply to whoever needs Redis while it can't be reached.
    down: Option<Reply>,
}

/// Whether a client's next request is wanted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    Continue,
    End,
}

/// What waiting for Redis holds beyond the key, in bytes, as [`super::MAX_OWED`] counts it.
const ASKED_COST: usize = 128;

impl Store {
    pub fn new(limits: Limits) -> Self {
        Self {
            cache: Cache::new(limits),
            in_flight: InFlight::default(),
            requests: Batch::default(),
            down: None,
        }
    }

    /// Answers a request, or sees to it that Redis does.
    pub fn execute(
        &mut self,
        request: &Request<'_>,
        client: ClientId,
        replies: &mut Replies,
        now: Time,
    ) -> Flow {
        let command = match command::find(request) {
            Ok(command) => command,
            Err(message) => {
                replies.push(Reply::error(&message));
                return Flow::Continue;
            }
        };
        match command.action {
            Action::Get => self.get(request, client, replies, now),
            Action::Ping if request.len() == 1 => replies.push(Reply::Static(b"+PONG\r\n")),
            Action::Ping | Action::Echo => replies.push_bulk(request.argument(1)),
            Action::Quit => {
                replies.push(Reply::Static(b"+OK\r\n"));
                return Flow::End;
            }
            Action::Forward => self.forward(request, client, replies),
        }
        Flow::Continue
    }

    fn get(&mut self, request: &Request<'_>, client: ClientId, replies: &mut Replies, now: Time) {
        let key = request.argument(1);
        if let Some(value) = self.cache.get(key, now) {
            replies.push_value(&value);
        } else if let Some(error) = &self.down {
            replies.push(error.clone());
        } else {
            let cost = ASKED_COST + key.len();
            if !self.in_flight.join(key, || Waiter {
                client,
                place: replies.wait(cost),
            }) {
                let place = replies.wait(cost);
                self.in_flight.fetch(key, Waiter { client, place });
                self.requests.push(true, |out| {
                    reply::request(out, [&b"GET"[..], key].into_iter())
                });
            }
        }
    }

    fn forward(&mut self, request: &Request<'_>, client: ClientId, replies: &mut Replies) {
        if let Some(error) = &self.down {
            replies.push(error.clone());
            return;
        }
        let before = self.requests.bytes.len();
        self.requests
            .push(true, |out| reply::request(out, request.arguments()));
        let place = replies.wait(ASKED_COST + self.requests.bytes.len() - before);
        self.in_flight.forward(Waiter { client, place });
    }

    /// Redis answered the oldest request: those who wait for it, and the reply in the form in which they
    /// share it if it is a long one. What is worth it is cached.
    pub fn arrived(&mut self, encoded: &[u8], now: Time) -> Option<(Waiters, Option<Rc<[u8]>>)> {
        let asked = self.in_flight.answered()?;
        let shared = (encoded.len() >= SHARED_MIN).then(|| Rc::from(encoded));
        if let Some(key) = &asked.key
            && let Some(bytes) = reply::bulk_value(encoded)
        {
            let value = shared.as_ref().map_or(Value::Bytes(bytes), Value::Shared);
            self.cache.insert(key, &value, now);
        }
        Some((asked.waiters, shared))
    }

    /// Redis can be reached.
    pub fn up(&mut self) {
        self.down = None;
    }

    /// Redis can't be reached: `error` is what those hear who need it.
    pub fn down(&mut self, error: &[u8]) {
        self.down = Some(Reply::copy(error));
    }

    pub fn requests(&mut self) -> &mut Batch {
        &mut self.requests
    }

    pub fn cache(&self) -> &Cache {
        &self.cache
    }

    pub fn expire(&mut self, now: Time) -> usize {
        self.cache.expire(now)
    }
}
