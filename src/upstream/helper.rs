//! The helper thread: it owns the connections to Redis that all clients share. It polls their sockets and the loop's
//! mailbox together, so it never waits for just one of them.
//!
//! - [`member`] is one Redis with its sockets. There is one, or one for each node of a cluster.
//! - [`look_up`] finds the address of Redis.
//! - [`nodes`] follows a cluster: which nodes there are, and what happens to one that leaves.

mod look_up;
mod member;
mod nodes;

use std::io::{self, ErrorKind};
use std::sync::Arc;
use std::thread;
use std::time::Duration;

use mio::event::Event as Ready;
use mio::{Events, Poll, Token, Waker};

use super::mailbox::{Mailbox, Work};
use super::node::Node;
use super::sentinel::{Master, Sentinels};
use super::{Check, NodeId, Replies, Report, Requests, Settings};
use crate::clock::{Clock, Time, earliest};
use member::Member;
use nodes::Nodes;

/// The loop's side of the helper: requests go in, events come out, and the waker wakes a loop that sleeps.
pub struct Upstream {
    mailbox: Arc<Mailbox>,
    /// Memory for requests that are written by the loop itself.
    bytes: Vec<u8>,
}

impl Upstream {
    /// Starts the helper thread. It connects at once, and reconnects whenever the connection breaks. `waker` wakes the
    /// loop for events.
    ///
    /// # Errors
    /// If the thread or its poll can't be created.
    pub fn start(settings: Settings, clock: Clock, waker: Arc<Waker>) -> io::Result<Self> {
        let poll = Poll::new()?;
        let mailbox = Mailbox::new(Waker::new(poll.registry(), WAKER)?, waker);
        let sentinels = settings.sentinels.clone();
        let cluster = settings.cluster.is_some();
        let mut helper = Helper {
            sentinels: sentinels.map(|settings| Sentinels::new(settings, Arc::clone(&mailbox))),
            followed: None,
            members: Vec::new(),
            leaving: Vec::new(),
            nodes: None,
            shell: Shell {
                mailbox: Arc::clone(&mailbox),
                poll,
                landing: vec![0; FIRST_LANDING].into(),
                clock,
                now: clock.now(),
            },
            dozes: false,
            doze: DOZE.min(settings.dialer.timeout / 2),
            work: Work::default(),
        };
        match cluster {
            true => helper.start_cluster(settings),
            false => {
                let node = Node::new(NodeId::default(), settings);
                helper.members.push(Member::new(node, Arc::clone(&mailbox)));
            }
        }
        thread::Builder::new()
            .name("upstream".into())
            .stack_size(STACK)
            .spawn(move || helper.run())?;
        Ok(Self {
            mailbox,
            bytes: Vec::new(),
        })
    }

    /// Sends the requests of a turn, and leaves the list empty. They are written at once where the helper has nothing to
    /// write, and passed on to it elsewhere.
    pub fn send(&mut self, requests: &mut Requests, now: Time) {
        let mut are_left = false;
        for (link, batch) in requests.iter_mut().filter(|(_, batch)| !batch.is_empty()) {
            are_left |= !self.mailbox.write(link, batch, &mut self.bytes, now);
        }
        if !are_left {
            return;
        }
        self.mailbox.add(|work| {
            for (link, batch) in requests.iter_mut().filter(|(_, batch)| !batch.is_empty()) {
                work.requests.of(link).append(batch);
            }
        });
    }

    /// Wakes the loop as the helper thread does, from another thread.
    pub fn waker_of_loop(&self) -> impl FnOnce() + Send + use<> {
        let mailbox = Arc::clone(&self.mailbox);
        move || mailbox.wake_loop()
    }

    /// Passes on passwords to check with Redis, and leaves the list empty.
    pub fn check(&self, checks: &mut Vec<Check>) {
        if !checks.is_empty() {
            self.mailbox.add(|work| work.checks.append(checks));
        }
    }

    /// Requests a barrier. [`Event::Barrier`](super::Event::Barrier) arrives when all changes so far have been
    /// reported.
    pub fn ask_for_barrier(&self, number: u64) {
        self.mailbox.add(|work| work.barrier = Some(number));
    }

    /// Sets whether an outage would matter: while it would, Redis is checked every second.
    pub fn set_watched(&self, watched: bool) {
        self.mailbox.add(|work| work.watched = Some(watched));
    }

    /// Reports that a client's dedicated connection seems to lead to a demoted Redis.
    pub fn doubt(&self) {
        self.mailbox.add(|work| work.doubts = true);
    }

    /// Reports that the slot map may have changed: the nodes are asked at once, unless they were a moment ago.
    pub fn refresh_slots(&self) {
        self.mailbox.add(|work| work.doubts = true);
    }

    /// Reports that a request must go to the node at this address, as a redirect names it. If the map has no such node,
    /// it is added for a minute, and an [`Event::Slots`](super::Event::Slots) announces it.
    pub fn want_node(&self, address: &str) {
        self.mailbox.add(|work| work.wanted.push(address.into()));
    }

    /// Whether the loop may sleep: there are no events, and it will be woken as soon as there are.
    pub fn may_sleep(&self) -> bool {
        self.mailbox.loop_may_sleep()
    }

    /// Whether there are events. The loop, which is awake, need not be woken for more.
    pub fn has_events(&self) -> bool {
        self.mailbox.loop_has_events()
    }

    /// Takes the events since the last call, in order, in exchange for an empty list.
    pub fn take_events(&self, events: &mut Vec<Report>) {
        self.mailbox.take_events(events);
    }

    /// Returns the memory of delivered replies, for reuse.
    pub fn recycle(&self, replies: Replies) {
        self.mailbox.recycle(replies);
    }
}

/// The stack of the helper thread, in bytes.
const STACK: usize = 256 * 1024;

/// How many bytes one read takes at most.
const LANDING: usize = 64 * 1024;

/// How much one read takes at first, in bytes. This is enough for the set-up, whose replies are long (`COMMAND`), and for
/// hosts that read few values.
const FIRST_LANDING: usize = 16 * 1024;

/// How many events one poll returns.
const EVENTS: usize = 64;

/// How soon the helper learns of requests that the loop has written, if nothing else wakes it: before they can be late.
const DOZE: Duration = Duration::from_millis(100);

const WAKER: Token = Token(usize::MAX);

/// What all members share.
struct Shell {
    mailbox: Arc<Mailbox>,
    poll: Poll,
    landing: Box<[u8]>,
    clock: Clock,
    /// When the current turn started.
    now: Time,
}

struct Helper {
    /// The only Redis, or the nodes of the cluster.
    members: Vec<Member>,
    /// Nodes that have left the cluster and still have replies outstanding.
    leaving: Vec<Member>,
    /// Follows the cluster's nodes.
    nodes: Option<Nodes>,
    /// The sentinels, if configured.
    sentinels: Option<Sentinels>,
    /// The master that is being looked up, or was looked up last.
    followed: Option<Master>,
    shell: Shell,
    /// The loop has written requests in the last turn, so more may follow.
    dozes: bool,
    /// How long the helper sleeps then.
    doze: Duration,
    /// Memory for work from the loop; empty between turns.
    work: Work,
}

impl Helper {
    fn run(mut self) {
        let mut events = Events::with_capacity(EVENTS);
        self.connect_wanted();
        loop {
            self.wait(&mut events);
            for event in &events {
                self.note(event);
            }
            let now = self.shell.clock.now();
            self.shell.now = now;
            self.take_work(now);
            self.dozes = self.work.has_sent;
            for member in self.members.iter_mut().chain(&mut self.leaving) {
                if self.dozes {
                    member.take_sent(now);
                }
                member.turn(&mut self.shell, now);
                // Replies need not wait for the rest of the turn.
                member.report();
            }
            self.hear_sentinels();
            self.follow_nodes(now);
            self.look_up_again();
            for member in &mut self.members {
                member.log_in_again(now);
            }
            for member in self.members.iter_mut().chain(&mut self.leaving) {
                member.drop_closed(now);
            }
            self.connect_wanted();
            for member in self.members.iter_mut().chain(&mut self.leaving) {
                member.write(now);
            }
            if let Some(sentinels) = &mut self.sentinels {
                sentinels.write();
            }
            for member in self.members.iter_mut().chain(&mut self.leaving) {
                member.report();
            }
            self.drop_left();
            self.report_barriers();
        }
    }

    /// Notes an event.
    fn note(&mut self, event: &Ready) {
        let mut members = self.members.iter_mut().chain(&mut self.leaving);
        if members.any(|member| member.note(event)) {
            return;
        }
        if let Some(sentinels) = &mut self.sentinels {
            sentinels.note(event);
        }
    }

    /// Waits for work, for a socket, or until something is due.
    fn wait(&mut self, events: &mut Events) {
        let sentinels = self.sentinels.as_ref();
        let others = [
            sentinels.and_then(Sentinels::due),
            self.nodes.as_ref().and_then(Nodes::due),
            self.dozes.then(|| self.shell.now.after(self.doze)),
        ];
        // Members look at what is due by this, even if there is no time to sleep.
        let members = self.members.iter_mut().chain(&mut self.leaving);
        let due = earliest([members.filter_map(Member::due).min(), earliest(others)]);
        let is_full = self.shell.mailbox.is_full();
        let is_readable = self
            .members
            .iter()
            .chain(&self.leaving)
            .any(|member| member.is_readable(is_full))
            || sentinels.is_some_and(Sentinels::is_readable);
        let timeout = if is_readable || !self.shell.mailbox.may_sleep(self.dozes) {
            Some(Duration::ZERO)
        } else {
            due.map(|due| self.shell.now.until(due))
        };
        // Pending work is checked even if the poll was interrupted.
        if let Err(error) = self.shell.poll.poll(events, timeout)
            && error.kind() != ErrorKind::Interrupted
        {
            log::error!(reason:% = error; "cannot poll the connections to Redis");
        }
    }

    /// Takes the work from the loop.
    fn take_work(&mut self, now: Time) {
        let has_work = self.shell.mailbox.take(&mut self.work);
        self.share_spare();
        if !has_work {
            return;
        }
        if let Some(watched) = self.work.watched.take() {
            for member in &mut self.members {
                member.node().set_watched(watched, now);
            }
            self.set_nodes_watched(watched);
        }
        self.check(now);
        if let Some(number) = self.work.barrier.take() {
            self.ask_for_barrier(number, now);
        }
        if std::mem::take(&mut self.work.doubts) {
            self.doubt(now);
        }
        self.want_nodes(now);
        self.send(now);
        for (at, endpoints) in self.work.sentinels.drain(..) {
            if let Some(sentinels) = &mut self.sentinels {
                sentinels.found(at, endpoints, now);
            }
        }
        for (node, endpoints) in std::mem::take(&mut self.work.endpoints) {
            self.found(node, endpoints);
        }
    }

    /// Gives the memory of delivered replies to the member that has the least.
    fn share_spare(&mut self) {
        for spare in self.work.spare.drain(..) {
            let members = self.members.iter_mut().map(Member::spare);
            if let Some(spares) = members.min_by_key(|spares| spares.len()) {
                spares.push(spare);
            }
        }
    }

    /// Sends password checks to a reachable member, as all members have the same users.
    fn check(&mut self, now: Time) {
        let members = &mut self.members;
        let at = members.iter().position(Member::is_up).unwrap_or_default();
        if let Some(member) = members.get_mut(at)
            && !self.work.checks.is_empty()
        {
            member.node().check(&mut self.work.checks, now);
        }
    }

    /// Gives each member the requests for its links.
    fn send(&mut self, now: Time) {
        for (link, batch) in self.work.requests.iter_mut() {
            if batch.is_empty() {
                continue;
            }
            let mut members = self.members.iter_mut();
            if let Some(member) = members.find(|member| member.id() == link.node) {
                member.send(link, batch, now);
                continue;
            }
            let mut leaving = self.leaving.iter_mut();
            match leaving.find(|member| member.id() == link.node) {
                Some(member) => member.send_elsewhere(link, batch, now),
                None => nodes::send_elsewhere(link, batch, &self.shell.mailbox),
            }
        }
        self.forget_links();
    }
}
