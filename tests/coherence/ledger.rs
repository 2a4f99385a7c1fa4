//! What may be read of each key, and what would be going back in time.
//!
//! Every command that changes a key has a version, a number that only grows, and what it writes is that
//! number: so a value says how old it is. The versions of a key are in the order in which Redis executes
//! the commands, because one thread owns the key and sends them one after another, and what changes all
//! keys is sent while no owner is at work. A removal has a version too, which nil stands for.
//!
//! The *floor* of a key is the oldest version that a read may get which is sent from now on. It rises
//!
//! - at once to what was written through the proxy, when the reply is there;
//! - at once to what a read got, whoever's it was, for reads by the same [`Question`];
//! - to what was written straight at Redis, when all that Redis had sent by then has arrived, or the proxy must
//!   have noticed that it is held, and the proxy has shown since, [`CYCLES`](crate::unseen::CYCLES) times in a row, that what was
//!   written there afterwards has reached it (see [`Ledger::fence_passed`]). While the proxy can't reach Redis
//!   it shows no such thing, so hits may be as of before, and no longer;
//! - for all keys to the moment at which Redis was restarted empty, as soon as a read got anything that
//!   was written later: the proxy has reached the new Redis.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Range;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::time::{Duration, Instant};

use crate::common::{ConnectionId, Relay};
use crate::unseen::Unseen;
use crate::wire::Reply;

pub type Version = u64;

/// How many databases there are keys in, from the first on.
pub const DATABASES: usize = 2;

/// The events of a key that are printed when it went back in time.
const REMEMBERED: usize = 40;

/// What a command does to a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    Value,
    Removal,
}

/// How a key is read. What one question shows does not bind the replies to others.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Question {
    /// By GET or MGET, in either version of the protocol.
    Value,
    /// By GETRANGE in RESP2.
    Range2,
    /// By GETRANGE in RESP3.
    Range3,
}

/// Which keys a version is of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Scope {
    Key(usize),
    All,
}

pub struct Ledger {
    start: Instant,
    keys: Vec<Key>,
    /// The floor of all keys.
    floor: AtomicU64,
    versions: AtomicU64,
    /// The version at which Redis was last restarted empty.
    restart: AtomicU64,
    /// The number of the fence that is being waited for.
    cycle: AtomicU64,
    passed: AtomicU64,
    relay: Option<Arc<Relay>>,
    unseen: Mutex<Unseen>,
    /// Held by the owners while they are at work, and alone by who changes all keys.
    pub at_work: RwLock<()>,
    over: AtomicBool,
    failure: Mutex<Option<String>>,
}

struct Key {
    database: u32,
    name: String,
    floor: AtomicU64,
    /// What was read, by question.
    read: [AtomicU64; 3],
    /// The versions that are values of this key.
    values: Mutex<BTreeSet<Version>>,
    /// The versions that nil may stand for.
    removals: Mutex<BTreeSet<Version>>,
    events: Mutex<VecDeque<(Duration, String)>>,
}

impl Ledger {
    /// Nothing has been written. The keys are those of the same names in each of the [`DATABASES`], one database after
    /// the other. Between the proxy and Redis there may be a relay.
    pub fn new(keys: usize, relay: Option<Arc<Relay>>) -> Self {
        let key = |index| Key {
            database: (index / (keys / DATABASES)) as u32,
            name: format!("key:{}", index % (keys / DATABASES)),
            floor: AtomicU64::new(0),
            read: Default::default(),
            values: Mutex::default(),
            removals: Mutex::new(BTreeSet::from([0])),
            events: Mutex::default(),
        };
        Self {
            start: Instant::now(),
            keys: (0..keys).map(key).collect(),
            floor: AtomicU64::new(0),
            // Far from what INCR makes of a key that isn't there.
            versions: AtomicU64::new(1_000_000),
            restart: AtomicU64::new(0),
            cycle: AtomicU64::new(0),
            passed: AtomicU64::new(0),
            relay: relay.clone(),
            unseen: Mutex::new(Unseen::new(relay)),
            at_work: RwLock::default(),
            over: AtomicBool::new(false),
            failure: Mutex::default(),
        }
    }

    pub fn name(&self, key: usize) -> &str {
        &self.keys[key].name
    }

    pub fn database(&self, key: usize) -> u32 {
        self.keys[key].database
    }

    /// The keys of a database.
    pub fn keys_of(&self, database: u32) -> Range<usize> {
        let count = self.keys.len() / DATABASES;
        let first = database as usize * count;
        first..first + count
    }

    pub fn count(&self) -> usize {
        self.keys.len()
    }

    /// A version that is newer than all before.
    pub fn next_version(&self) -> Version {
        self.versions.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// A command that changes something is about to be sent.
    pub fn sent(&self, scope: Scope, change: Change, version: Version, what: &str) {
        for key in self.within(scope) {
            let versions = match change {
                Change::Value => &key.values,
                Change::Removal => &key.removals,
            };
            lock(versions).insert(version);
            self.note(key, || format!("sent {change:?} {version}: {what}"));
        }
    }

    /// Its reply has come through the proxy.
    pub fn written_through_the_proxy(&self, scope: Scope, version: Version) {
        self.raise(scope, version);
    }

    /// Its reply has come from Redis itself.
    pub fn written_straight(&self, scope: Scope, version: Version) {
        let mut unseen = lock(&self.unseen);
        let cycle = self.cycle.load(Ordering::SeqCst);
        unseen.acknowledge(cycle, scope, version);
        for key in self.within(scope) {
            self.note(key, || format!("acknowledged {version} in cycle {cycle}"));
        }
    }

    /// The relay between the proxy and Redis, if there is one.
    pub fn relay(&self) -> Option<&Relay> {
        self.relay.as_deref()
    }

    /// A direction of these connections is about to be held, which the proxy notices in that time.
    pub fn hold(&self, connections: Vec<ConnectionId>, noticed_within: Duration) {
        lock(&self.unseen).hold(connections, noticed_within);
    }

    /// They are held no longer.
    pub fn release(&self) {
        lock(&self.unseen).release();
    }

    /// Redis has lost everything: what is written from now on is newer.
    pub fn restarted(&self) {
        let version = self.next_version();
        self.sent(Scope::All, Change::Removal, version, "Redis restarts empty");
        self.restart.store(version, Ordering::SeqCst);
    }

    /// A value is about to be written straight at Redis that no one else writes: the fence, by number.
    pub fn next_fence(&self) -> u64 {
        self.cycle.fetch_add(1, Ordering::SeqCst) + 1
    }

    /// That value was read through the proxy.
    ///
    /// Redis says what changed in the order in which it changed. So when the proxy no longer serves the
    /// value of the fence before, it has heard of all that had changed earlier.
    pub fn fence_passed(&self, cycle: u64) {
        for (scope, version) in lock(&self.unseen).fence_passed(cycle) {
            self.raise(scope, version);
        }
        self.passed.store(cycle, Ordering::SeqCst);
    }

    /// The number of the last fence that passed.
    pub fn fences_passed(&self) -> u64 {
        self.passed.load(Ordering::SeqCst)
    }

    /// The floor of a key, for a read that is about to be sent.
    pub fn floor(&self, key: usize, question: Question) -> Version {
        let Key { floor, read, .. } = &self.keys[key];
        let floors = [floor, &read[question as usize], &self.floor];
        let floors = floors.map(|floor| floor.load(Ordering::SeqCst));
        floors.into_iter().max().unwrap_or_default()
    }

    /// Judges what a read got whose key had that floor before it was sent.
    pub fn read(&self, index: usize, question: Question, floor: Version, reply: &Reply, who: &str) {
        let key = &self.keys[index];
        let version = match reply {
            Reply::Null => lock(&key.removals).range(floor..).next().copied(),
            Reply::Text(text) if text.is_empty() && question != Question::Value => {
                lock(&key.removals).range(floor..).next().copied()
            }
            Reply::Text(text) => text
                .parse()
                .ok()
                .filter(|version| *version >= floor && lock(&key.values).contains(version)),
            _ => None,
        };
        let Some(version) = version else {
            return self.fail(key, floor, reply, who);
        };
        if key.read[question as usize].fetch_max(version, Ordering::SeqCst) < version {
            self.note(key, || format!("read {reply:?} as {question:?} by {who}"));
        }
        let restart = self.restart.load(Ordering::SeqCst);
        if version > restart && self.floor.fetch_max(restart, Ordering::SeqCst) < restart {
            self.note(key, || "what was before the restart is over".into());
        }
    }

    pub fn is_over(&self) -> bool {
        self.over.load(Ordering::SeqCst)
    }

    pub fn end(&self) {
        self.over.store(true, Ordering::SeqCst);
    }

    /// What went wrong, if anything did.
    pub fn failure(&self) -> Option<String> {
        lock(&self.failure).clone()
    }

    /// Notes what was done to all keys at once, or to the connections.
    pub fn note_all(&self, what: &str) {
        for key in &self.keys {
            self.note(key, || what.to_string());
        }
    }

    fn raise(&self, scope: Scope, version: Version) {
        let floor = match scope {
            Scope::Key(key) => &self.keys[key].floor,
            Scope::All => &self.floor,
        };
        if floor.fetch_max(version, Ordering::SeqCst) < version {
            for key in self.within(scope) {
                self.note(key, || format!("the floor is {version}"));
            }
        }
    }

    fn within(&self, scope: Scope) -> &[Key] {
        match scope {
            Scope::Key(key) => &self.keys[key..=key],
            Scope::All => &self.keys,
        }
    }

    fn note(&self, key: &Key, what: impl FnOnce() -> String) {
        let mut events = lock(&key.events);
        if events.len() == REMEMBERED {
            events.pop_front();
        }
        events.push_back((self.start.elapsed(), what()));
    }

    fn fail(&self, key: &Key, floor: Version, reply: &Reply, who: &str) {
        let mut failure = lock(&self.failure);
        if failure.is_none() {
            let events = lock(&key.events);
            let lines: Vec<String> = events
                .iter()
                .map(|(at, what)| format!("  {:9.3} ms {what}", at.as_secs_f64() * 1000.0))
                .collect();
            *failure = Some(format!(
                "{who} read {reply:?} of {} at {:.3} ms, where its own {floor} or newer was due; its last events:\n{}",
                key.name,
                self.start.elapsed().as_secs_f64() * 1000.0,
                lines.join("\n"),
            ));
        }
        self.end();
    }
}

/// A thread that panicked has pushed or taken something whole.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
