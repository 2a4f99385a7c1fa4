//! The proxy's core in a world in which one thing happens at a time, and its promises to its clients.

mod choices;
mod fingerprint;
mod promises;
mod reports;
mod turn;

use std::collections::VecDeque;
use std::time::Duration;

use super::KEYS;
use super::action::{Action, Bounds};
use super::redis::{Key, Message, News, Question, Redis, Report, Version};
use crate::cache::{self, Limits};
use crate::clock::Time;
use crate::command::{Spec, Table, internal};
use crate::proxy::dedicated::Dedicated;
use crate::proxy::engine::Engine;
use crate::proxy::{Access, ClientId, Proxy};
use crate::resp::Protocol;
use crate::resp::scan::Scanner;
use crate::upstream::{Backend, Event, Invalidated, LinkId, Pending, Replies, Tracking};
use promises::{Owed, Seen};

/// The client that only reads and speaks RESP2, and the one that also writes and speaks RESP3. So each has the link of
/// its number. With two databases both speak RESP2, and each link is for one of the databases.
const READER: usize = 0;
const WRITER: usize = 1;
const PROTOCOLS: [Protocol; 2] = [Protocol::Resp2, Protocol::Resp3];

/// The client that receives messages on a dedicated connection, if there are any.
const LISTENER: usize = 2;

/// A message.
const MESSAGE: &[u8] = b">1\r\n+changed\r\n";

/// How many requests a client sends before it waits for a reply.
const PIPELINE: usize = 2;

/// The names of the keys; with two databases, both have the first.
const NAMES: [&str; KEYS] = ["a", "b"];

/// The time to live, in milliseconds.
const TTL: u64 = 1000;

pub struct World {
    proxy: Proxy,
    redis: Redis,
    left: Bounds,
    /// What the clients are owed, the oldest first, and the part of a reply that they have received.
    owed: [VecDeque<Owed>; 2],
    received: [Vec<u8>; 2],
    /// The databases that they have selected.
    selected: [u32; 2],
    /// The bytes on the writer's dedicated connection; empty if there was no request on it since.
    dedicated_asked: Vec<u8>,
    dedicated_line: VecDeque<Vec<u8>>,
    left_for_dedicated: bool,
    /// The version of every key at each message that is on its way to the core, or that the core has not passed on.
    messages: VecDeque<[Version; KEYS]>,
    held_messages: VecDeque<[Version; KEYS]>,
    now: u64,
    /// The newest version of each key that the proxy has delivered to any client, or knows of: later requests must not
    /// get an older one.
    known: [Version; KEYS],
    /// The same for each client's questions about them, in its protocol version: the reply to one question does not
    /// bind the replies to others.
    known_answers: [[Version; KEYS]; 2],
    /// The same for what each client's own scripts wrote, which other clients need not see before Redis reports it.
    scripted: [[Version; KEYS]; 2],
    /// When each key was last requested by a fetch whose value arrived.
    fetched: [u64; KEYS],
    /// The helper's reports in this step.
    news: Vec<News>,
    /// Changes were being reported before this step.
    was_reported: bool,
    /// Redis is unreachable, as far as the core knows.
    heard_down: bool,
    /// The tracker was silent for long.
    suspended: bool,
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
            reply: 0,
            ttl: Duration::from_millis(TTL),
            stale_ttl: Duration::ZERO,
        };
        let table = table.unwrap_or_else(|| {
            Table::new(&[
                spec("incr", false, (1, 1, 1)),
                spec("copy", false, (1, 2, 1)),
                spec("getrange", true, (1, 1, 1)),
                spec("hello", true, (0, 0, 0)),
            ])
        });
        let mut proxy = Proxy {
            sessions: Vec::new(),
            engine: Engine::with_table(table, limits, Access::default(), 0),
            changed: Vec::new(),
            spare: Default::default(),
            spans: Default::default(),
            passed: Vec::new(),
            readonly: false,
            undelivered: None,
        };
        proxy.set_refetch(bounds.refetch);
        if bounds.refreshes {
            let rules = format!("* refresh={} pin", TTL / 2);
            proxy.set_rules(rules.parse().unwrap_or_default(), None);
        }
        if bounds.databases {
            proxy.engine.selected(1);
        }
        let now = TTL;
        for client in [READER, WRITER] {
            proxy.connect(ClientId(client), None, Time::from_millis(now));
            if !bounds.databases {
                proxy.sessions[client].identity.protocol = PROTOCOLS[client];
            }
        }
        if bounds.notices > 0 {
            proxy.connect(ClientId(LISTENER), None, Time::from_millis(now));
            let dedicated = Dedicated::new(b"", (0, 0), Protocol::Resp3, 0);
            proxy.sessions[LISTENER].dedicated = Some(Box::new(dedicated));
        }
        Self {
            proxy,
            redis: Redis::new(bounds.tracking, bounds.databases),
            left: bounds,
            owed: Default::default(),
            received: Default::default(),
            selected: [0; 2],
            dedicated_asked: Vec::new(),
            dedicated_line: VecDeque::new(),
            left_for_dedicated: false,
            messages: VecDeque::new(),
            held_messages: VecDeque::new(),
            now,
            known: [0; KEYS],
            known_answers: [[0; KEYS]; 2],
            scripted: [[0; KEYS]; 2],
            fetched: [0; KEYS],
            news: Vec::new(),
            was_reported: false,
            heard_down: false,
            suspended: false,
            cached: [None; KEYS],
            seen: Vec::new(),
            trouble: false,
        }
    }

    /// The command table, for reuse.
    pub fn into_table(self) -> Table {
        self.proxy.engine.table
    }

    fn time(&self) -> Time {
        Time::from_millis(self.now)
    }

    /// The key of that number, as the core knows it.
    fn key(&self, key: Key) -> cache::Key<'static> {
        match self.left.databases {
            true => cache::Key::new(key as u32, NAMES[0].as_bytes()),
            false => cache::Key::new(0, NAMES[key].as_bytes()),
        }
    }

    fn name(&self, key: Key) -> &'static str {
        match self.left.databases {
            true => NAMES[0],
            false => NAMES[key],
        }
    }

    /// How many requests a client waits for, beside those that only select another database.
    fn due(&self, client: usize) -> usize {
        let due = self.owed[client].iter();
        match self.left.databases {
            true => due.filter(|owed| !matches!(owed, Owed::Word(_))).count(),
            false => due.count(),
        }
    }

    /// A link by its place.
    fn link(&self, link: usize) -> LinkId {
        match self.left.databases {
            true => LinkId::new(Protocol::Resp2, link as u32),
            false => LinkId::new(PROTOCOLS[link], 0),
        }
    }

    /// A client's request to execute a command in the database of that key.
    fn request(&mut self, client: usize, key: Key, command: &str) -> String {
        let database = self.key(key).database;
        if std::mem::replace(&mut self.selected[client], database) == database {
            return format!("{command}\r\n");
        }
        self.owed[client].push_back(Owed::Word("+OK"));
        format!("SELECT {database}\r\n{command}\r\n")
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
        self.was_reported = self.redis.reports();
        let now = self.time();
        match action {
            Action::Get { client, key } => {
                self.left.gets -= 1;
                let least = self.known[key].max(self.scripted[client][key]);
                let command = format!("GET {}", self.name(key));
                let request = self.request(client, key, &command);
                self.ask(client, &request, Owed::Value { key, least })?;
            }
            Action::Ask { client, key } => {
                self.left.asks -= 1;
                let least = self.known_answers[client][key].max(self.scripted[client][key]);
                let request = format!("GETRANGE {} 0 -1\r\n", NAMES[key]);
                self.ask(client, &request, Owed::Answer { key, least })?;
            }
            Action::GetAll { client } => {
                self.left.gets_of_all -= 1;
                let mut least = self.known;
                for (key, least) in least.iter_mut().enumerate() {
                    *least = self.scripted[client][key].max(*least);
                }
                self.ask(client, "MGET a b\r\n", Owed::Values { least })?;
            }
            Action::Write { key } => {
                self.left.writes -= 1;
                let command = format!("INCR {}", self.name(key));
                let request = self.request(WRITER, key, &command);
                self.ask(WRITER, &request, Owed::Written { key })?;
            }
            Action::CopyAcross => {
                self.left.copies -= 1;
                let request = self.request(WRITER, 0, "COPY a a DB 1 REPLACE");
                self.ask(WRITER, &request, Owed::Written { key: 1 })?;
            }
            Action::WriteByScript => {
                self.left.scripts -= 1;
                self.ask(WRITER, "EVAL s 0\r\n", Owed::Scripted { key: 0 })?;
            }
            Action::WriteInTransaction => {
                self.left.transactions -= 1;
                self.left_for_dedicated = true;
                let words = ["+OK", "+OK", "+QUEUED"];
                self.owed[WRITER].extend(words.map(Owed::Word));
                let request = "WATCH b\r\nMULTI\r\nINCR a\r\nEXEC\r\n";
                self.ask(WRITER, request, Owed::Executed { key: 0 })?;
            }
            Action::WriteInWholeTransaction => {
                self.left.whole_transactions -= 1;
                self.owed[WRITER].extend(["+OK", "+QUEUED"].map(Owed::Word));
                let request = "MULTI\r\nINCR a\r\nEXEC\r\n";
                self.ask(WRITER, request, Owed::Executed { key: 0 })?;
            }
            Action::WriteAtRedis { key } => {
                self.left.writes_at_redis -= 1;
                self.redis.change(key, true);
            }
            Action::WriteAndNotify => {
                self.left.notices -= 1;
                self.redis.change(0, true);
                if self.is_listening() {
                    self.messages.push_back(self.redis.versions);
                }
            }
            Action::HearMessage => {
                self.held_messages.extend(self.messages.pop_front());
                self.proxy
                    .receive_dedicated(ClientId(LISTENER), MESSAGE, now);
            }
            Action::WriteForAWhile { key } => {
                self.left.writes_for_a_while -= 1;
                self.redis.change(key, true);
                self.redis.expires[key] = Some(self.now + TTL / 2);
            }
            Action::Vanish { key } => {
                self.left.vanishings -= 1;
                self.redis.change(key, false);
            }
            Action::Flush => {
                self.left.flushes -= 1;
                self.redis.flush();
            }
            Action::Execute { link } => self.redis.execute(link, self.now),
            Action::Hear { link } => self.redis.hear(link, &mut self.news),
            Action::ExecuteDedicated => self.execute_dedicated(),
            Action::HearDedicated => {
                let bytes = self.dedicated_line.pop_front().unwrap_or_default();
                self.proxy.receive_dedicated(ClientId(WRITER), &bytes, now);
            }
            Action::HearTracker => self.hear_tracker(),
            Action::Break { link } => {
                self.left.breaks -= 1;
                self.redis.break_link(link);
            }
            Action::BreakTracker { arrive } => {
                self.left.breaks -= 1;
                self.redis.break_tracker(arrive);
            }
            Action::Notice {
                link,
                arrived,
                were_sent,
            } => {
                self.trouble = true;
                self.redis.notice(link, arrived, were_sent, &mut self.news);
            }
            Action::NoticeTracker => self.redis.notice_tracker(&mut self.news),
            Action::Reopen { link } => self.redis.reopen(link, &mut self.news),
            Action::ReopenTracker => self.redis.reopen_tracker(),
            Action::GiveUp => {
                self.trouble = true;
                self.left.absences -= 1;
                self.redis.give_up(&mut self.news);
            }
            Action::Return => self.redis.open(&mut self.news),
            Action::BeLate { link } => {
                self.trouble = true;
                self.left.lates -= 1;
                self.redis.be_late(link, &mut self.news);
            }
            Action::Suspend { suspended } => {
                self.left.suspensions -= u8::from(suspended);
                self.suspended = suspended;
                let tracking = if suspended {
                    Tracking::Suspended
                } else {
                    Tracking::Resumed
                };
                self.proxy.upstream(&Event::Tracking(tracking), now);
            }
            Action::Wait => {
                self.left.waits -= 1;
                self.now += TTL / 2;
            }
            Action::Expire => {
                self.proxy.expire(now);
            }
        }
        for news in std::mem::take(&mut self.news) {
            self.hear(news);
        }
        if !self.is_listening() {
            self.messages.clear();
        }
        self.turn()?;
        if let Some(number) = self.proxy.take_barrier() {
            self.redis.ask_for_barrier(number);
        }
        Ok(())
    }

    /// Whether the listener has its dedicated connection: it ends with Redis.
    fn is_listening(&self) -> bool {
        let listener = self.proxy.sessions.get(LISTENER);
        listener.is_some_and(|listener| listener.dedicated.is_some())
    }

    /// The listener receives bytes. Later requests get no older value than there was when a message was sent, as long
    /// as Redis is reachable.
    fn listen(&mut self) -> Result<(), String> {
        let output = self.proxy.output(ClientId(LISTENER));
        let mut received = Vec::new();
        while !output.is_empty() {
            let sent = output.send(&mut received);
            sent.map_err(|error| error.to_string())?;
        }
        for message in received.chunks(MESSAGE.len()) {
            let versions = self.held_messages.pop_front();
            let versions = versions.filter(|_| message == MESSAGE);
            let versions = versions.ok_or("the listener gets no message")?;
            if !self.heard_down {
                self.know_all(versions);
            }
        }
        Ok(())
    }

    /// A client sends a request.
    fn ask(&mut self, client: usize, request: &str, owed: Owed) -> Result<(), String> {
        let first = self.due(client) == 0;
        self.owed[client].push_back(owed);
        let now = self.time();
        self.proxy
            .receive(ClientId(client), request.as_bytes(), now);
        self.turn()?;
        let is_hit = first && self.owed[client].is_empty();
        for &(key, seen) in self.seen.iter().filter(|_| is_hit && !self.heard_down) {
            self.check_hit(key, seen)?;
        }
        Ok(())
    }
}

pub(in crate::proxy::explorer) fn spec(
    name: &str,
    reads_only: bool,
    keys: (i64, i64, i64),
) -> Spec {
    Spec {
        name: name.as_bytes().into(),
        writes: !reads_only,
        reads_only,
        blocks: false,
        no_auth: false,
        no_script: false,
        movable_keys: false,
        is_random: false,
        spread: None,
        keys,
    }
}
