//! Finds the address of Redis: looks its name up, or asks sentinels, and acts on the result.

use std::io;
use std::sync::Arc;

use super::super::NodeId;
use super::super::node::{Loss, Phase, Role};
use super::super::resolve::{self, Endpoints};
use super::super::sentinel::{self, Master};
use super::Helper;
use super::member::Member;
use crate::clock::Time;
use crate::config::RedisAddress;
use crate::transport::dial::Endpoint;

impl Helper {
    /// Opens the connections that members want.
    pub(super) fn connect_wanted(&mut self) {
        for at in 0..self.members.len() {
            while let Some(role) = self.members[at].state().wants() {
                let now = self.shell.now;
                let member = &mut self.members[at];
                match member.state().endpoint().cloned() {
                    // All further connections go to the address of the first one.
                    Some(endpoint) if role != Role::Resp2 => {
                        member.connect(role, &endpoint, self.shell.poll.registry(), now);
                    }
                    _ => {
                        member.node().looking_up(role, now);
                        self.look_up(at);
                    }
                }
                self.members[at].drop_closed(now);
            }
        }
    }

    /// Looks up the address of Redis again, if it may have changed.
    pub(super) fn look_up_again(&mut self) {
        for at in 0..self.members.len() {
            if self.members[at].wants_look_up() {
                self.look_up(at);
            }
        }
    }

    /// Looks up the address of Redis, unless a look-up is in progress: the system may take longer for one than anything
    /// waits for it.
    fn look_up(&mut self, at: usize) {
        let member = &mut self.members[at];
        if std::mem::replace(&mut member.looking_up, true) {
            return;
        }
        match &mut self.sentinels {
            None => {
                let address = member.state().settings.address.clone();
                self.resolve(at, &address);
            }
            Some(sentinels) => {
                // The sentinels' latest answers may be old. If they are, that will show soon.
                sentinels.hurry(self.shell.now);
                self.look_up_master(at);
            }
        }
    }

    /// Looks up the address of the master that sentinels name, as soon as they do.
    fn look_up_master(&mut self, at: usize) {
        let Some(sentinels) = &self.sentinels else {
            return;
        };
        match sentinels.master() {
            Ok(Some(master)) => {
                let address = master.address.clone();
                self.followed = Some(master.clone());
                self.resolve(at, &address);
            }
            Ok(None) => self.followed = None,
            Err(trouble) => {
                self.followed = None;
                self.found(self.members[at].id(), Err(io::Error::other(trouble)));
            }
        }
    }

    fn resolve(&mut self, at: usize, address: &RedisAddress) {
        let id = self.members[at].id();
        let mailbox = Arc::clone(&self.shell.mailbox);
        let started = resolve::resolve(address, move |endpoints| {
            mailbox.add(|work| work.endpoints.push((id, endpoints)));
        });
        if let Err(error) = started {
            self.found(id, Err(error));
        }
    }

    /// Takes in what the sentinels report, and leaves a server that is no longer the master.
    pub(super) fn hear_sentinels(&mut self) {
        let (Some(sentinels), Some(member)) = (&mut self.sentinels, self.members.first_mut())
        else {
            return;
        };
        let shell = &mut self.shell;
        let now = shell.now;
        sentinels.turn(shell.poll.registry(), &mut shell.landing, now);
        let is_to_be_named = match member.looking_up {
            true => self.followed.is_none(),
            false => sentinels.takes_news(),
        };
        if is_to_be_named {
            member.looking_up = true;
            self.look_up_master(0);
        }
    }

    /// Handles the result of a look-up of a member's address.
    pub(super) fn found(&mut self, id: NodeId, endpoints: Endpoints) {
        let mut members = self.members.iter_mut();
        let Some(member) = members.find(|member| member.id() == id) else {
            return;
        };
        member.looking_up = false;
        let now = self.shell.now;
        let is_of_cluster = self.nodes.is_some();
        let node = member.node();
        let is_waited_for = matches!(node.connection(Role::Resp2).phase, Phase::LookingUp(_));
        let endpoints = match (&self.followed, endpoints) {
            (Some(master), Ok(endpoints)) => Ok(sentinel::named(endpoints, &master.address)),
            (None, Ok(endpoints)) if is_of_cluster => {
                Ok(sentinel::named(endpoints, &node.settings.address))
            }
            (_, endpoints) => endpoints,
        };
        match endpoints {
            Ok(endpoints) if is_waited_for => {
                let master = self.followed.as_ref();
                node.backend.sentinel = master.map(|master| master.sentinel.clone());
                member.race_between(endpoints, &self.shell, now);
            }
            Ok(endpoints) => match &self.followed {
                Some(master) => member.follow(master, &endpoints, now),
                None => node.found(&endpoints, now),
            },
            Err(error) if is_waited_for => member.lose(Role::Resp2, error, now),
            Err(_) => {}
        }
    }
}

impl Member {
    /// Leaves the current server, connected or being connected to, unless it is at one of the addresses of `master`.
    fn follow(&mut self, master: &Master, endpoints: &[Endpoint], now: Time) {
        let is_among = |target: &Endpoint| {
            let same = |endpoint: &Endpoint| endpoint.address() == target.address();
            endpoints.iter().any(same)
        };
        let is_there = match self.is_up() {
            true => self.state().endpoint().is_none_or(is_among),
            false => self.targets.iter().any(is_among),
        };
        if is_there {
            return self.node().retry_at_once(now);
        }
        let loss = Loss::Switched {
            sentinel: master.sentinel.clone(),
            master: master.address.to_string(),
        };
        self.node().switched(&loss, now);
        self.drop_closed(now);
    }
}
