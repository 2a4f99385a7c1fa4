//! The proxy's core in a world where one thing happens at a time, and what it promises its clients.

mod fingerprint;
mod promises;

use std::collections::VecDeque;
use std::time::Duration;

use super::KEYS;
use super::action::{Action, Bounds};
use super::redis::{Item, Key, Link, Message, Question, Redis, Reply, Version};
use crate::cache::Limits;
use crate::clock::Time;
use crate::command::{Spec, Table};
use crate::proxy::store::Store;
use crate::proxy::{Access, ClientId, Proxy};
use crate::resp::Protocol;
use crate::resp::scan::Scanner;
use crate::upstream::{Backend, Coherence, Event, Invalidated, Replies};
use promises::{Owed, Seen};

/// The client that only reads and speaks RESP2, and the one that also writes and speaks RESP3.
const READER: usize = 0;
const WRITER: usize = 1;
const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// How many requests a client sends before it waits for a reply.
const PIPELINE: usize = 2;

const NAMES: [&str; KEYS] = ["a", "b"];

/// The time to live, in milliseconds.
const TTL: u64 = 1000;

pub struct World {
    proxy: Proxy,
    redis: Redis,
    left: Bounds,
    /// The clients are owed these, the oldest first, and have received the start of a reply.
    owed: [VecDeque<Owed>; 2],
    received: [Vec<u8>; 2],
    /// What comes on the writer's dedicated connection; none if there was no request on it since.
    dedicated_asked: Vec<u8>,
    dedicated_line: VecDeque<Vec<u8>>,
    left_for_dedicated: bool,
    now: u64,
    /// The newest that the proxy has let anyone know of each key, or was told of: nobody who asks from
    /// then on may get an older one.
    known: [Version; KEYS],
    /// For which keys a reply came since time last passed.
    young: [bool; KEYS],
    /// The newest session whose start reached the core.
    heard_up: u8,
    /// The sessions whose tracking's end did, a bit each; that before the first has none.
    heard_lost: u16,
    /// Redis can't be reached, as far as the core knows.
    heard_down: bool,
    /// What was cached before this step.
    cached: [Option<Seen>; KEYS],
    /// What clients received in this step.
    seen: Vec<(Key, Seen)>,
    trouble: bool,
}

impl World {
    /// A world at its start. The table is that of an earlier one, if there was one: it is built slowly.
    pub fn new(bounds: Bounds, table: Option<Table>) -> Self {
        let limits = Limits {
            entries: 10,
            memory: 0,
            ttl: Duration::from_millis(TTL),
            stale_ttl: Duration::ZERO,
        };
        let table = table.unwrap_or_else(|| {
            Table::new(&[
                spec("incr", false, (1, 1, 1)),
                spec("hello", true, (0, 0, 0)),
            ])
        });
        let mut proxy = Proxy {
            sessions: Vec::new(),
            store: Store::with_table(table, limits, Access::default(), 0),
            changed: Vec::new(),
            spare: Default::default(),
        };
        let now = TTL;
        for client in [READER, WRITER] {
            proxy.connect(ClientId(client), None, Time::from_millis(now));
            proxy.sessions[client].identity.protocol = PROTOCOLS[client];
        }
        Self {
            proxy,
            redis: Redis::new(bounds.tracking),
            left: bounds,
            owed: Default::default(),
            received: Default::default(),
            dedicated_asked: Vec::new(),
            dedicated_line: VecDeque::new(),
            left_for_dedicated: false,
            now,
            known: [0; KEYS],
            young: [false; KEYS],
            heard_up: 0,
            heard_lost: 1,
            heard_down: false,
            cached: [None; KEYS],
            seen: Vec::new(),
            trouble: false,
        }
    }

    /// The command table, for the next.
    pub fn into_table(self) -> Table {
        self.proxy.store.table
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// All that may happen now.
    pub fn actions(&self) -> Vec<Action> {
        let mut actions = Vec::with_capacity(32);
        let mut add = |possible: bool, action: Action| {
            if possible {
                actions.push(action);
            }
        };
        let Self { redis, left, .. } = self;
        for client in [READER, WRITER] {
            let asks = self.owed[client].len() < PIPELINE
                && !(client == WRITER && self.left_for_dedicated)
                && self.proxy.wants_input(ClientId(client));
            let writes = asks && client == WRITER;
            for key in 0..KEYS {
                add(asks && left.gets > 0, Action::Get { client, key });
                add(writes && left.writes > 0, Action::Write { key });
            }
            add(asks && left.gets_of_all > 0, Action::GetAll { client });
            add(writes && left.scripts > 0, Action::WriteByScript);
        }
        let transacts = self.owed[WRITER].len() < PIPELINE;
        add(
            transacts && left.transactions > 0,
            Action::WriteInTransaction,
        );
        for key in 0..KEYS {
            add(left.writes_at_redis > 0, Action::WriteAtRedis { key });
            let there = redis.value(key).is_some();
            add(there && left.vanishings > 0, Action::Vanish { key });
        }
        add(left.flushes > 0, Action::Flush);
        let unanswered = redis.line.iter().any(Item::is_unanswered);
        add(unanswered && redis.takes_requests(), Action::Execute);
        let told = redis.line.front().is_some_and(|item| !item.is_unanswered());
        add(told, Action::Hear);
        add(!self.dedicated_asked.is_empty(), Action::ExecuteDedicated);
        add(!self.dedicated_line.is_empty(), Action::HearDedicated);
        add(!redis.tracker.is_empty(), Action::HearTracker);
        add(!redis.late.is_empty(), Action::HearLate);
        let connected = matches!(redis.link, Link::Session { .. });
        if connected && redis.is_whole() && left.breaks > 0 {
            add(true, Action::BreakData);
            add(left.tracking, Action::BreakTracker { arrive: true });
            let some_lost = left.tracking && !redis.tracker.is_empty();
            add(some_lost, Action::BreakTracker { arrive: false });
        }
        if connected && !redis.is_whole() {
            for arrived in 0..=redis.on_the_wire() {
                for were_sent in [true, false] {
                    let differs = were_sent || redis.has_unanswered_write();
                    add(differs, Action::Reconnect { arrived, were_sent });
                }
                add(left.absences > 0, Action::GiveUp { arrived });
            }
        }
        add(!connected, Action::Return);
        add(left.waits > 0, Action::Wait);
        let old = self.cached.iter().zip(self.young);
        let expires = old
            .into_iter()
            .any(|(cached, young)| cached.is_some() && !young);
        add(expires, Action::Expire);
        actions
    }

    /// Something happens. An error says which promise was broken.
    pub fn step(&mut self, action: Action) -> Result<(), String> {
        self.take(action)?;
        self.check()
    }

    /// Something happens again.
    pub fn repeat(&mut self, path: &[Action]) -> Result<(), String> {
        for &action in path {
            self.take(action)?;
        }
        self.look_at_cache();
        Ok(())
    }

    fn take(&mut self, action: Action) -> Result<(), String> {
        self.seen.clear();
        let now = self.time();
        match action {
            Action::Get { client, key } => {
                self.left.gets -= 1;
                let least = self.known[key];
                let request = format!("GET {}\r\n", NAMES[key]);
                self.ask(client, &request, Owed::Value { key, least })?;
            }
            Action::GetAll { client } => {
                self.left.gets_of_all -= 1;
                let least = self.known;
                self.ask(client, "MGET a b\r\n", Owed::Values { least })?;
            }
            Action::Write { key } => {
                self.left.writes -= 1;
                let request = format!("INCR {}\r\n", NAMES[key]);
                self.ask(WRITER, &request, Owed::Written { key })?;
            }
            Action::WriteByScript => {
                self.left.scripts -= 1;
                self.ask(WRITER, "EVAL a\r\n", Owed::Written { key: 0 })?;
            }
            Action::WriteInTransaction => {
                self.left.transactions -= 1;
                self.left_for_dedicated = true;
                self.owed[WRITER].extend([Owed::Word("+OK"), Owed::Word("+QUEUED")]);
                let request = "MULTI\r\nINCR a\r\nEXEC\r\n";
                self.ask(WRITER, request, Owed::Executed { key: 0 })?;
            }
            Action::WriteAtRedis { key } => {
                self.left.writes_at_redis -= 1;
                self.redis.change(key, true);
            }
            Action::Vanish { key } => {
                self.left.vanishings -= 1;
                self.redis.change(key, false);
            }
            Action::Flush => {
                self.left.flushes -= 1;
                self.redis.flush();
            }
            Action::Execute => self.redis.execute(),
            Action::Hear => self.hear(now),
            Action::ExecuteDedicated => self.execute_dedicated(),
            Action::HearDedicated => {
                let bytes = self.dedicated_line.pop_front().unwrap_or_default();
                self.proxy.receive_dedicated(ClientId(WRITER), &bytes);
            }
            Action::HearTracker => {
                let message = self.redis.tracker.pop_front();
                self.hear_tracker(message, now);
            }
            Action::HearLate => {
                let message = self.redis.late.pop_front();
                self.hear_tracker(message, now);
            }
            Action::BreakData => {
                self.left.breaks -= 1;
                self.redis.break_data();
            }
            Action::BreakTracker { arrive } => {
                self.left.breaks -= 1;
                self.redis.break_tracker(arrive);
            }
            Action::Reconnect { arrived, were_sent } => {
                self.trouble = true;
                self.redis.reconnect(arrived, were_sent);
            }
            Action::GiveUp { arrived } => {
                self.trouble = true;
                self.left.absences -= 1;
                self.redis.give_up(arrived);
            }
            Action::Return => self.redis.open(),
            Action::Wait => {
                self.left.waits -= 1;
                self.now += TTL;
                self.young = [false; KEYS];
            }
            Action::Expire => {
                self.proxy.expire(now);
            }
        }
        self.turn()
    }

    /// A client sends a request.
    fn ask(&mut self, client: usize, request: &str, owed: Owed) -> Result<(), String> {
        let first = self.owed[client].is_empty();
        self.owed[client].push_back(owed);
        let now = self.time();
        self.proxy
            .receive(ClientId(client), request.as_bytes(), now);
        self.turn()?;
        let is_hit = first && self.owed[client].is_empty();
        for &(key, seen) in self.seen.iter().filter(|_| is_hit) {
            if seen != Seen::Error && !self.young[key] {
                return Err(format!("{} is served past its time to live", NAMES[key]));
            }
            if seen == Seen::Missing && !self.left.tracking {
                return Err(format!("that {} is missing was cached", NAMES[key]));
            }
        }
        Ok(())
    }

    fn hear(&mut self, now: Time) {
        let Some(item) = self.redis.line.pop_front() else {
            return;
        };
        let event = match item {
            Item::Up { epoch, versions } => {
                self.heard_up = epoch;
                self.heard_down = false;
                let coherence = if self.left.tracking {
                    self.know(versions);
                    Coherence::Tracking {
                        epoch: epoch.into(),
                    }
                } else {
                    Coherence::TimeToLive { refused: None }
                };
                Event::Up {
                    backend: Backend::default(),
                    coherence,
                }
            }
            Item::Down => {
                self.heard_down = true;
                Event::Down {
                    error: Reply::Error.encode(2),
                }
            }
            Item::Asked {
                key,
                protocol,
                reply,
                ..
            } => {
                self.young[key] = true;
                let mut replies = Replies::default();
                replies.push(&reply.unwrap_or(Reply::Error).encode(protocol));
                Event::Replies(replies)
            }
        };
        self.proxy.upstream(&event, now);
    }

    fn hear_tracker(&mut self, message: Option<Message>, now: Time) {
        let mut invalidated = Invalidated::default();
        match message {
            None => return,
            Some(Message::Changed { key, version }) => {
                self.known[key] = self.known[key].max(version);
                invalidated.keys.push(NAMES[key].as_bytes().into());
            }
            Some(Message::Flushed { versions }) => {
                self.know(versions);
                invalidated.all = true;
            }
            Some(Message::Lost { epoch }) => {
                self.heard_lost |= 1 << epoch;
                let epoch = epoch.into();
                return self.proxy.upstream(&Event::TrackingLost { epoch }, now);
            }
        }
        self.proxy.upstream(&Event::Invalidated(invalidated), now);
    }

    fn know(&mut self, versions: [Version; KEYS]) {
        for (known, version) in self.known.iter_mut().zip(versions) {
            *known = version.max(*known);
        }
    }

    /// Redis executes what came on the writer's dedicated connection: how that is set up and a transaction.
    fn execute_dedicated(&mut self) {
        let asked =
            String::from_utf8_lossy(&std::mem::take(&mut self.dedicated_asked)).into_owned();
        let mut before = Vec::new();
        for word in asked.split("\r\n") {
            match word {
                "HELLO" => before.extend(b"%0\r\n"),
                "MULTI" => before.extend(b"+OK\r\n"),
                "INCR a" => before.extend(b"+QUEUED\r\n"),
                "EXEC" => {
                    let version = self.redis.change(0, true);
                    self.dedicated_line.push_back(std::mem::take(&mut before));
                    let reply = format!("*1\r\n:{version}\r\n");
                    self.dedicated_line.push_back(reply.into_bytes());
                }
                _ => {}
            }
        }
    }

    /// What the shell does at the end of a turn: it moves requests to Redis and replies to clients.
    fn turn(&mut self) -> Result<(), String> {
        self.take_requests()?;
        while let Some(id) = self.proxy.next_changed() {
            let ClientId(client) = id;
            let output = self.proxy.output(id);
            while !output.is_empty() {
                let sent = output.send(&mut self.received[client]);
                sent.map_err(|error| error.to_string())?;
            }
            self.proxy.output_sent(id);
            if let Some(output) = self.proxy.dedicated(id) {
                while !output.is_empty() {
                    let sent = output.send(&mut self.dedicated_asked);
                    sent.map_err(|error| error.to_string())?;
                }
            }
            while let Some((_, length)) = Scanner::new()
                .feed(&self.received[client])
                .map_err(|_| "no reply".to_owned())?
            {
                let rest = self.received[client].split_off(length);
                let reply = std::mem::replace(&mut self.received[client], rest);
                self.deliver(client, &String::from_utf8_lossy(&reply))?;
            }
            if self.proxy.can_resume(id) {
                let now = self.time();
                self.proxy.resume(id, now);
                self.take_requests()?;
            }
        }
        Ok(())
    }

    fn take_requests(&mut self) -> Result<(), String> {
        let batch = std::mem::take(self.proxy.requests());
        let mut start = 0;
        for request in &batch.requests {
            let text = String::from_utf8_lossy(&batch.bytes[start..request.end]);
            start = request.end;
            let mut arguments = text.split("\r\n").skip(2).step_by(2);
            let (question, repeatable) = match arguments.next() {
                Some("GET") => (Question::Get, true),
                Some("PTTL") => (Question::TimeToLive, true),
                Some("INCR" | "EVAL") => (Question::Write, false),
                other => return Err(format!("Redis is asked {other:?}")),
            };
            if request.repeatable != repeatable {
                return Err("a write is sent twice, or a read is not".to_owned());
            }
            let name = arguments.next();
            let key = NAMES.iter().position(|known| Some(*known) == name);
            let key = key.ok_or("Redis is asked for no key")?;
            self.redis.ask(question, key, request.protocol);
        }
        Ok(())
    }
}

fn spec(name: &str, reads_only: bool, keys: (i64, i64, i64)) -> Spec {
    Spec {
        name: name.as_bytes().into(),
        writes: !reads_only,
        reads_only,
        blocks: false,
        no_auth: false,
        no_script: false,
        movable_keys: false,
        keys,
    }
}
