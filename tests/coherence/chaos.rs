//! What happens to Redis and to the connections while keys are read and written.

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::PoisonError;
use std::time::Duration;

use fastrand::Rng;

use crate::common::{DIRECTIONS, Direction, RedisServer};
use crate::connections::{kill, of_the_proxy};
use crate::ledger::{Change, Ledger, Scope};
use crate::owner::settle;
use crate::wire::{Reply, Wire};

/// What disturbs, in an order that doesn't matter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Disturbance {
    KillReading,
    KillListening,
    KillAll,
    PauseShortly,
    PauseLong,
    Restart,
    Flush,
    Hold,
    Cut,
}

use Disturbance::*;

/// The disturbances of any run, as often as they are to come up.
const ALWAYS: [Disturbance; 9] = [
    KillReading,
    KillReading,
    KillListening,
    KillListening,
    KillAll,
    PauseShortly,
    PauseShortly,
    PauseLong,
    Restart,
];

/// Those that remove all keys.
const NOT_GENTLE: [Disturbance; 2] = [Flush, Flush];

/// Those that need a relay.
const FAR: [Disturbance; 5] = [Hold, Hold, Hold, Cut, Cut];

pub struct Chaos<'a> {
    ledger: &'a Ledger,
    straight: Wire,
    proxied: Wire,
    random: Rng,
    choices: Vec<Disturbance>,
    times: Times,
    /// How often each was done.
    pub done: BTreeMap<Disturbance, usize>,
}

/// How long things take.
#[derive(Clone, Copy)]
pub struct Times {
    /// From one disturbance to the next, at most.
    pub pace: Duration,
    /// How long Redis may keep silent.
    pub timeout: Duration,
    /// How long a connection may be held before the proxy must have noticed it.
    pub notice: Duration,
}

impl<'a> Chaos<'a> {
    /// Where it is to be gentle, nothing is done but to connections and Redis: what is cached stays cached.
    pub fn new(
        ledger: &'a Ledger,
        [straight, proxied]: [Wire; 2],
        random: Rng,
        gentle: bool,
        times: Times,
    ) -> Self {
        let mut choices = ALWAYS.to_vec();
        if !gentle {
            choices.extend(NOT_GENTLE);
        }
        if ledger.relay().is_some() {
            choices.extend(FAR);
        }
        Self {
            ledger,
            straight,
            proxied,
            random,
            choices,
            times,
            done: BTreeMap::new(),
        }
    }

    /// Does something after a while. Returns whether the proxy may recover now.
    pub fn disturb(&mut self, redis: &mut RedisServer) -> bool {
        self.sleep(Duration::from_millis(1)..self.times.pace);
        let disturbance = self.choices[self.random.usize(..self.choices.len())];
        *self.done.entry(disturbance).or_default() += 1;
        let Times {
            timeout, notice, ..
        } = self.times;
        match disturbance {
            KillReading => self.kill_reading(),
            KillListening => self.kill_listening(),
            KillAll => self.kill_all(),
            PauseShortly => self.pause(redis, Duration::from_millis(1)..timeout / 2),
            PauseLong => self.pause(redis, timeout..3 * timeout),
            Restart => self.restart(redis),
            Flush => self.flush(),
            Hold if self.random.u8(..4) == 0 => self.hold(timeout..notice + timeout),
            Hold => self.hold(Duration::from_millis(1)..timeout),
            Cut => self.cut(),
        }
        // Far away, it takes longer to recover.
        let one_in = if self.ledger.relay().is_some() { 2 } else { 4 };
        self.random.u8(..one_in) == 0
    }

    fn sleep(&mut self, Range { start, end }: Range<Duration>) {
        let time = start + (end - start).mul_f64(self.random.f64());
        std::thread::sleep(time);
    }

    fn kill_reading(&mut self) {
        let (data, _) = of_the_proxy(&mut self.straight);
        self.ledger.note_all("a data connection is killed");
        let one = self.random.usize(..data.len().max(1));
        kill(&mut self.straight, data.get(one..=one).unwrap_or_default());
    }

    fn kill_listening(&mut self) {
        let (_, tracking) = of_the_proxy(&mut self.straight);
        self.ledger.note_all("the tracking connection is killed");
        kill(&mut self.straight, &tracking);
    }

    fn kill_all(&mut self) {
        self.ledger.note_all("all connections are killed");
        let _ = self.straight.command("CLIENT KILL TYPE normal SKIPME no");
    }

    fn pause(&mut self, redis: &RedisServer, time: Range<Duration>) {
        self.ledger.note_all("Redis is paused");
        redis.pause();
        self.sleep(time);
        redis.resume();
        self.ledger.note_all("Redis goes on");
    }

    /// Kills Redis in the midst of all, and starts it again, empty, when nobody waits for it any more:
    /// so nothing is sent twice to two of them.
    fn restart(&mut self, redis: &mut RedisServer) {
        self.ledger.note_all("Redis is killed");
        redis.stop();
        self.sleep(Duration::ZERO..Duration::from_millis(50));
        let at_work = self.ledger.at_work.write();
        let _at_work = at_work.unwrap_or_else(PoisonError::into_inner);
        self.ledger.restarted();
        redis.start_again();
    }

    fn flush(&mut self) {
        let at_work = self.ledger.at_work.write();
        let _at_work = at_work.unwrap_or_else(PoisonError::into_inner);
        let command = ["FLUSHALL", "FLUSHALL ASYNC"][self.random.usize(..2)];
        let version = self.ledger.next_version();
        let straight = self.random.bool();
        let (way, wire) = if straight {
            ("straight", &mut self.straight)
        } else {
            ("proxied", &mut self.proxied)
        };
        let what = format!("{way}: {command}");
        self.ledger
            .sent(Scope::All, Change::Removal, version, &what);
        if !matches!(wire.command(command), Ok(Reply::Text(_))) {
            // It may be executed yet, if Redis was away when it was sent: not after this.
            settle(self.ledger, &mut self.straight);
        } else if straight {
            self.ledger.written_straight(Scope::All, version);
        } else {
            self.ledger.written_through_the_proxy(Scope::All, version);
        }
    }

    /// Holds a direction of one connection, or of all, and then releases or cuts it.
    fn hold(&mut self, time: Range<Duration>) {
        let Some(relay) = self.ledger.relay() else {
            return;
        };
        let mut connections = relay.connections();
        if !connections.is_empty() && self.random.u8(..4) > 0 {
            connections = vec![connections[self.random.usize(..connections.len())]];
        }
        let direction = self.direction();
        self.ledger
            .note_all(&format!("{connections:?} are held {direction:?}"));
        self.ledger.hold(connections.clone(), self.times.notice);
        relay.hold(&connections, direction);
        self.sleep(time);
        if self.random.u8(..3) == 0 {
            self.ledger.note_all("they are cut");
            relay.cut(&connections, direction);
        } else {
            self.ledger.note_all("they are released");
            relay.release(&connections, direction);
        }
        self.ledger.release();
    }

    fn cut(&mut self) {
        let Some(relay) = self.ledger.relay() else {
            return;
        };
        let connections = relay.connections();
        let direction = self.direction();
        if let Some(one) = self.random.choice(connections) {
            self.ledger
                .note_all(&format!("{one:?} is cut {direction:?}"));
            relay.cut(&[one], direction);
        }
    }

    fn direction(&mut self) -> Direction {
        DIRECTIONS[self.random.usize(..2)]
    }
}
