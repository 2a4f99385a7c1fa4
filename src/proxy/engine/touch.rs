//! Periodically touches in Redis the keys that are read from the cache. Redis never sees those reads, and if it evicts
//! the least used keys, it would evict exactly the ones that are used most.
//!
//! First Redis is asked whether it evicts by use at all. Then a walk through the cache finds what was read since the
//! last walk.

use std::time::Duration;

use super::super::in_flight::Asked;
use super::Engine;
use crate::cache::{Cursor, Fate, KeyBuf};
use crate::clock::Time;
use crate::command::internal;
use crate::order::sort_by_number;
use crate::resp::Protocol;
use crate::resp::read::Reader;
use crate::resp::reply;
use crate::rules::Rules;
use crate::upstream::{LinkId, NodeId};

/// The most keys of one `TOUCH`.
const BATCH: usize = 256;

/// When to touch which keys.
#[derive(Default)]
pub(in crate::proxy) struct Touches {
    /// How often to touch keys, by default and by each rule, and when next.
    common: Schedule,
    of_rules: Vec<Schedule>,
    stage: Stage,
    /// The next times are set.
    is_scheduled: bool,
    /// How many hits there had been before the last walk.
    hits: u64,
    /// Redis refused `TOUCH`.
    is_refused: bool,
}

/// How often to touch keys; zero for never.
#[derive(Clone, Copy, Default)]
struct Schedule {
    every: Duration,
    next: Time,
    /// It is due in the current walk.
    is_due: bool,
}

#[derive(Clone, Copy, Default, PartialEq, Eq)]
enum Stage {
    #[default]
    Waiting,
    /// Redis is being asked whether it evicts by use.
    Asking,
    Walking(Cursor),
}

impl Schedule {
    fn new(every: Duration) -> Self {
        Self {
            every,
            ..Self::default()
        }
    }

    fn due(&self) -> Option<Time> {
        (!self.every.is_zero()).then_some(self.next)
    }

    /// Whether it is due. If so, sets its next time.
    fn begin(&mut self, now: Time) {
        self.is_due = self.due().is_some_and(|due| due <= now);
        if self.is_due {
            self.next = now.after(self.every);
        }
    }
}

impl Touches {
    /// Sets how often keys are touched by default; rules may say otherwise.
    pub fn set(&mut self, every: Duration, rules: &Rules) {
        self.common = Schedule::new(every);
        let of_rules = rules.iter().map(|rule| rule.touch.unwrap_or(every));
        self.of_rules = of_rules.map(Schedule::new).collect();
        self.stage = Stage::Waiting;
        self.is_scheduled = false;
    }

    fn schedule(&mut self, now: Time) {
        self.schedules_mut()
            .for_each(|schedule| schedule.next = now.after(schedule.every));
        self.is_scheduled = true;
    }

    /// Begins the schedules that are due, and sets when they are due next.
    fn begin(&mut self, now: Time) {
        self.schedules_mut()
            .for_each(|schedule| schedule.begin(now));
    }

    fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        [&self.common].into_iter().chain(&self.of_rules)
    }

    fn schedules_mut(&mut self) -> impl Iterator<Item = &mut Schedule> {
        [&mut self.common].into_iter().chain(&mut self.of_rules)
    }

    /// When there is something to do; `None` while nothing is read.
    pub fn due(&self, hits: u64) -> Option<Time> {
        let is_ready = self.is_scheduled && self.stage == Stage::Waiting && !self.is_refused;
        if !is_ready || hits == self.hits {
            return None;
        }
        self.schedules().filter_map(Schedule::due).min()
    }

    pub fn is_walking(&self) -> bool {
        matches!(self.stage, Stage::Walking(_))
    }

    /// Tries again what Redis has refused.
    pub fn forget_refusal(&mut self) {
        self.is_refused = false;
        self.stage = Stage::Waiting;
    }
}

impl Engine {
    /// Continues with the touches that are due.
    pub(in crate::proxy) fn touch(&mut self, now: Time) {
        if !self.touches.is_scheduled {
            self.touches.schedule(now);
        }
        let may_ask = self.may_touch(self.any_node());
        if self.touches.is_walking() {
            return self.walk_to_touch(may_ask);
        }
        let hits = self.metrics.keys.hits;
        if self.touches.due(hits).is_some_and(|due| due <= now) {
            self.touches.begin(now);
            if may_ask {
                self.touches.hits = hits;
                self.ask_for_policy();
            }
        }
    }

    /// Whether a server is up and its values are cached.
    fn may_touch(&self, node: NodeId) -> bool {
        let server = self.server(node);
        server.is_up() && server.is_kept_coherent()
    }

    /// Asks one server for its eviction policy. The nodes of a cluster are assumed to have the same.
    fn ask_for_policy(&mut self) {
        let Some(link) = self.any_link(self.any_node(), self.databases.home) else {
            return;
        };
        self.touches.stage = Stage::Asking;
        self.asked += 1;
        self.requests.of(link).push(true, |out| {
            reply::request(out, [internal::INFO.as_bytes(), b"memory"].into_iter());
        });
        self.in_flight.ask(Asked::Policy, link);
    }

    /// Redis has returned its eviction policy.
    pub(super) fn policy_came(&mut self, encoded: &[u8]) {
        if self.touches.stage != Stage::Asking {
            return;
        }
        let mut reader = Reader::new(encoded);
        let text = reader.verbatim().unwrap_or_default();
        let text = str::from_utf8(text).unwrap_or_default();
        let field = |name: &str| {
            let mut fields = text
                .lines()
                .filter_map(|line| line.trim_end().split_once(':'));
            fields.find_map(|(known, value)| (known == name).then_some(value))
        };
        let has_limit = field("maxmemory").is_some_and(|limit| limit != "0");
        let policy = field("maxmemory_policy").unwrap_or_default();
        let evicts_by_use = has_limit && (policy.ends_with("-lru") || policy.ends_with("-lfu"));
        self.touches.stage = match evicts_by_use {
            true => Stage::Walking(Cursor::default()),
            false => Stage::Waiting,
        };
    }

    /// Redis has touched keys, or refused to.
    pub(super) fn touched(&mut self, encoded: &[u8]) {
        if encoded.starts_with(b"-NOPERM") && !self.touches.is_refused {
            self.touches.is_refused = true;
            let reason = String::from_utf8_lossy(encoded).trim_end().to_owned();
            log::warn!(reason; "cannot report reads to redis: it may evict keys that are read from the cache");
        }
    }

    fn walk_to_touch(&mut self, may_ask: bool) {
        let Stage::Walking(mut cursor) = self.touches.stage else {
            return;
        };
        if !may_ask {
            self.touches.stage = Stage::Waiting;
            return;
        }
        let mut read: Vec<KeyBuf> = Vec::new();
        let touches = &self.touches;
        let rules = self.cache.shared_rules();
        let has_more = self.cache.walk(&mut cursor, |visited| {
            let rule = rules.position(visited.key().name);
            let schedule = rule.map_or(&touches.common, |rule| &touches.of_rules[rule]);
            if schedule.is_due && visited.take_read() {
                read.push(visited.key().into());
            }
            Fate::Stays
        });
        self.touches.stage = match has_more {
            true => Stage::Walking(cursor),
            false => Stage::Waiting,
        };
        sort_by_number(&mut read, |key| key.database().into());
        for keys in read.chunk_by(|one, other| one.database() == other.database()) {
            // The keys of a cluster are in many slots.
            let is_cluster = self.cluster.is_some() || self.slots.is_some();
            let most = if is_cluster { 1 } else { BATCH };
            keys.chunks(most).for_each(|keys| self.send_touch(keys));
        }
    }

    /// Has the node of these keys touch them.
    fn send_touch(&mut self, keys: &[KeyBuf]) {
        let Some(first) = keys.first() else {
            return;
        };
        let node = self.node_of(first.name());
        let Some(link) = self.any_link(node, first.database()) else {
            return;
        };
        if !self.may_touch(node) {
            return;
        }
        self.asked += 1;
        self.requests.of(link).push(true, |out| {
            reply::header(out, b'*', 1 + keys.len());
            reply::bulk(out, internal::TOUCH.as_bytes());
            keys.iter().for_each(|key| reply::bulk(out, key.name()));
        });
        self.in_flight.ask(Asked::Touch, link);
    }

    /// A link to an existing database of a node.
    fn any_link(&self, node: NodeId, database: u32) -> Option<LinkId> {
        let links = [Protocol::Resp2, Protocol::Resp3].map(|it| LinkId::new(it, database).at(node));
        links.into_iter().find(|link| self.in_flight.has(*link))
    }
}
