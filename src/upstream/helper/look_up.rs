//! Where Redis is: its name is looked up, or sentinels are asked, and what that means is done.

use std::io;
use std::sync::Arc;

use super::super::node::{Loss, Phase, Role};
use super::super::race::Race;
use super::super::resolve::{self, Endpoints};
use super::super::sentinel::{self, Master};
use super::Helper;
use crate::clock::Time;
use crate::config::RedisAddress;
use crate::transport::dial::Endpoint;

impl Helper {
    /// Looks up where Redis is, unless that is being done: the system may take longer for it than anybody waits.
    pub(super) fn look_up(&mut self) {
        if std::mem::replace(&mut self.looking_up, true) {
            return;
        }
        match &mut self.sentinels {
            None => {
                let address = self.node.settings.address.clone();
                self.resolve(&address);
            }
            Some(sentinels) => {
                // What they said last may be old: if so, that shows soon.
                sentinels.hurry(self.clock.now());
                self.look_up_master();
            }
        }
    }

    /// Looks up the address that sentinels name, as soon as they do.
    fn look_up_master(&mut self) {
        let Some(sentinels) = &self.sentinels else {
            return;
        };
        match sentinels.master() {
            Ok(Some(master)) => {
                let address = master.address.clone();
                self.followed = Some(master.clone());
                self.resolve(&address);
            }
            Ok(None) => self.followed = None,
            Err(trouble) => {
                self.followed = None;
                self.found(Err(io::Error::other(trouble)));
            }
        }
    }

    fn resolve(&mut self, address: &RedisAddress) {
        let mailbox = Arc::clone(&self.mailbox);
        let started = resolve::resolve(address, move |endpoints| {
            mailbox.add(|work| work.endpoints = Some(endpoints));
        });
        if let Err(error) = started {
            self.found(Err(error));
        }
    }

    /// Goes on with the sentinels, and leaves a master that is none any more.
    pub(super) fn hear_sentinels(&mut self) {
        let Some(sentinels) = &mut self.sentinels else {
            return;
        };
        sentinels.turn(self.poll.registry(), &mut self.landing, self.clock.now());
        let is_to_be_named = match self.looking_up {
            true => self.followed.is_none(),
            false => sentinels.takes_news(),
        };
        if is_to_be_named {
            self.looking_up = true;
            self.look_up_master();
        }
    }

    /// It was looked up where Redis is.
    pub(super) fn found(&mut self, endpoints: Endpoints) {
        self.looking_up = false;
        let now = self.clock.now();
        let is_waited_for = matches!(self.node.connection(Role::Resp2).phase, Phase::LookingUp(_));
        let endpoints = match (&self.followed, endpoints) {
            (Some(master), Ok(endpoints)) => Ok(sentinel::named(endpoints, &master.address)),
            (_, endpoints) => endpoints,
        };
        match endpoints {
            Ok(endpoints) if is_waited_for => {
                self.targets.clone_from(&endpoints);
                let master = self.followed.as_ref();
                self.node.backend.sentinel = master.map(|master| master.sentinel.clone());
                self.race = Race::between(endpoints);
                let time = self.race.time(&self.node.settings.dialer);
                self.node.connecting(Role::Resp2, now.after(time));
                self.run_race();
            }
            Ok(endpoints) => match self.followed.clone() {
                Some(master) => self.follow(&master, &endpoints, now),
                None => self.node.found(&endpoints, now),
            },
            Err(error) if is_waited_for => self.lose(Role::Resp2, error),
            Err(_) => {}
        }
    }

    /// Leaves the server that is, or is being, connected to unless it is at one of the addresses of that master.
    fn follow(&mut self, master: &Master, endpoints: &[Endpoint], now: Time) {
        let is_among = |target: &Endpoint| {
            let same = |endpoint: &Endpoint| endpoint.address() == target.address();
            endpoints.iter().any(same)
        };
        let is_there = match self.node.is_up() {
            true => self.node.endpoint().is_none_or(is_among),
            false => self.targets.iter().any(is_among),
        };
        if is_there {
            return self.node.retry_at_once(now);
        }
        let loss = Loss::Switched {
            sentinel: master.sentinel.clone(),
            master: master.address.to_string(),
        };
        self.node.switched(&loss, now);
        self.drop_closed();
    }
}
