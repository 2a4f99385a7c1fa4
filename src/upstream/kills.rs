//! A Redis that is killed at any moment, and restarted or not: its connections are lost in every order, some while they
//! are being opened, and the kernel may accept others for it after its end. Whatever the order, entries are served
//! until Redis has answered again; and once it answers again, changes are reported again. Each request gets one reply,
//! whether the loop or the helper has written it.
//!
//! `KILLS_SEED=7` tries one seed, which the failure names.

use std::collections::VecDeque;
use std::io::{self, ErrorKind};
use std::time::Duration;

use fastrand::Rng;

use super::line::Sent;
use super::node::{Loss, Node, Phase, Role};
use super::rights::tests::{RIGHTS, settings};
use super::{Batch, Event, LinkId, NodeId, Tracking};
use crate::clock::Time;
use crate::resp::Protocol;
use crate::transport::Source;
use crate::transport::dial::Endpoint;

/// How many worlds there are.
const SEEDS: u64 = 600;

/// The most steps in each, before it is left alone.
const STEPS: usize = 300;

/// How long it is left alone then.
const REST: Duration = Duration::from_secs(20);

/// The kernel's side of a connection.
#[derive(Debug, Default)]
struct Socket {
    /// Its id at Redis.
    id: i64,
    /// The commands that Redis has not read, each with the number of losses that were known when it was sent.
    unread: VecDeque<(Vec<u8>, usize)>,
    /// The replies that the node has not read, likewise.
    answers: VecDeque<(Vec<u8>, usize)>,
    /// Redis has closed it, or the kernel for it.
    ended: bool,
}

struct World {
    random: Rng,
    node: Node,
    now: Time,
    /// By the indices of their roles.
    sockets: Vec<Option<Socket>>,
    /// Redis lives.
    alive: bool,
    /// The kernel accepts connections for it.
    listens: bool,
    /// How often it was started.
    starts: u32,
    next_id: i64,
    /// How many connections were lost.
    losses: usize,
    /// How many of them the node knew when it sent the question that Redis answered last.
    outlived: usize,
    /// The state that was reported to the loop.
    tracking: Option<Tracking>,
    /// What the loop has written, and the node has not taken over.
    sent: Vec<(Role, Sent)>,
    /// How many requests have no reply.
    owed: usize,
    history: Vec<String>,
}

impl World {
    fn new(seed: u64) -> Self {
        let settings = super::Settings {
            tracking: true,
            wait: Duration::from_secs(5),
            ..settings(None)
        };
        let mut node = Node::new(NodeId::default(), settings);
        node.set_watched(true, Time::default());
        Self {
            random: Rng::with_seed(seed),
            node,
            now: Time::default(),
            sockets: Vec::new(),
            alive: true,
            listens: true,
            starts: 1,
            next_id: 1,
            losses: 0,
            outlived: 0,
            tracking: None,
            sent: Vec::new(),
            owed: 0,
            history: Vec::new(),
        }
    }

    fn socket(&mut self, role: Role) -> &mut Option<Socket> {
        let place = role.place();
        if self.sockets.len() <= place {
            self.sockets.resize_with(place + 1, || None);
        }
        &mut self.sockets[place]
    }

    fn note(&mut self, step: String) {
        self.history.push(format!("{:?} {step}", self.now));
    }

    /// Any possible step.
    fn step(&mut self) {
        let roles: Vec<Role> = self.node.roles().collect();
        let role = roles[self.random.usize(..roles.len())];
        match self.random.u8(..40) {
            0 if self.alive => self.kill(),
            0 | 1 if !self.alive => self.start(),
            2 => self.close_one(role),
            3 => self.request(),
            4..8 => self.pass(),
            8..14 => self.connect(),
            14..24 => self.process(role),
            24 | 25 if !self.alive => self.listens = false,
            24..28 if !self.alive => self.close_one(role),
            28..32 => self.write(role),
            32 if self.alive => self.go_on(),
            _ => {
                for _ in 0..self.random.usize(1..10) {
                    self.hear(role);
                    self.settle();
                }
            }
        }
        self.settle();
    }

    fn kill(&mut self) {
        self.note("kill".to_owned());
        self.alive = false;
    }

    /// The kernel has closed all connections of the previous process.
    fn start(&mut self) {
        self.note("start".to_owned());
        for socket in self.sockets.iter_mut().flatten() {
            socket.ended = true;
        }
        self.alive = true;
        self.listens = true;
        self.starts += 1;
    }

    /// Redis closes a connection, as it may at any time, or the kernel does.
    fn close_one(&mut self, role: Role) {
        let may_close = !self.alive || self.random.u8(..4) == 0;
        if let Some(socket) = self.socket(role).as_mut().filter(|_| may_close) {
            socket.ended = true;
            self.note(format!("close {role:?}"));
        }
    }

    /// Requests that come together.
    fn requests(&mut self) -> Batch {
        let mut batch = Batch::default();
        for _ in 0..self.random.usize(1..4) {
            batch.push(self.random.bool(), |out| {
                out.extend_from_slice(b"*1\r\n$3\r\nget\r\n")
            });
        }
        self.owed += batch.requests.len();
        batch
    }

    /// The loop passes requests on.
    fn request(&mut self) {
        let protocol = [Protocol::Resp2, Protocol::Resp3][self.random.usize(..2)];
        let database = self.random.u32(..2);
        let mut batch = self.requests();
        self.note(format!("request in {protocol:?} for {database}"));
        let link = LinkId::new(protocol, database).at(self.node.id);
        let role = self.node.role_of(link);
        self.take_sent(role);
        self.node.send(link, &mut batch, self.now);
    }

    /// The loop writes requests by itself, if it may, and as far as the socket takes them.
    fn write(&mut self, role: Role) {
        let is_behind = |(other, sent): &(Role, Sent)| *other == role && sent.unwritten > 0;
        if self.node.idle_link(role).is_none() || self.sent.iter().any(is_behind) {
            return;
        }
        let batch = self.requests();
        let count = batch.requests.len();
        let is_full = self.random.u8(..4) == 0;
        let taken = if is_full {
            self.random.usize(..count)
        } else {
            count
        };
        self.note(format!("{taken} of {count} requests to {role:?}"));
        let written = taken
            .checked_sub(1)
            .map_or(0, |last| batch.requests[last].end);
        let unwritten = batch.bytes.len() - written;
        let losses = self.losses;
        if let Some(socket) = self.socket(role).as_mut() {
            let commands = commands(&batch.bytes[..written]);
            socket
                .unread
                .extend(commands.map(|command| (command, losses)));
        }
        let since = self.now;
        self.sent.push((
            role,
            Sent {
                batch,
                since,
                unwritten,
            },
        ));
    }

    /// The node takes over what the loop has written to a connection.
    fn take_sent(&mut self, role: Role) {
        for (_, mut sent) in self.sent.extract_if(.., |(other, _)| *other == role) {
            self.node.sent(role, &mut sent, self.now);
        }
    }

    /// Time passes, until something is due or not.
    fn pass(&mut self) {
        let until = match self.node.due() {
            Some(due) if self.random.bool() => due.max(self.now),
            _ => self.now.after(Duration::from_millis(self.random.u64(..20))),
        };
        self.now = until;
        self.tick();
    }

    fn tick(&mut self) {
        if self.node.due().is_some_and(|due| due <= self.now) {
            self.node.tick(self.now);
        }
    }

    /// A connection advances a step towards being open.
    fn connect(&mut self) {
        let deadline = self.now.after(self.node.settings.dialer.timeout);
        let connecting = |(role, connection): (Role, &super::node::Connection)| {
            let is_connecting =
                matches!(connection.phase, Phase::LookingUp(_) | Phase::Connecting(_));
            is_connecting.then_some(role)
        };
        if let Some(role) = self.node.wants() {
            if role == Role::Resp2 {
                self.node.looking_up(role, self.now);
            }
            return self.node.connecting(role, deadline);
        }
        let Some(role) = self.node.connections().find_map(connecting) else {
            return;
        };
        if !self.listens {
            return self.lose(role, ErrorKind::ConnectionRefused);
        }
        let endpoint = Endpoint::Tcp(([127, 0, 0, 1], 6379).into());
        let id = self.next_id;
        self.next_id += 1;
        *self.socket(role) = Some(Socket {
            id,
            ..Socket::default()
        });
        self.note(format!("connect {role:?} as {id}"));
        let endpoint = (role == Role::Resp2).then_some(endpoint);
        self.node.connected(role, endpoint, self.now);
    }

    fn lose(&mut self, role: Role, kind: ErrorKind) {
        self.note(format!("lose {role:?}: {kind:?}"));
        self.losses += 1;
        let loss = Loss::Broken(io::Error::from(kind));
        self.node.lost(role, loss, self.now);
    }

    /// Redis reads what arrived on a connection, and answers some of it.
    fn process(&mut self, role: Role) {
        if !self.alive {
            return;
        }
        for _ in 0..self.random.usize(1..10) {
            let Some(socket) = self.socket(role).as_mut().filter(|socket| !socket.ended) else {
                return;
            };
            let id = socket.id;
            let Some((command, losses)) = socket.unread.pop_front() else {
                return;
            };
            let answer = self.answer(&command, id);
            if let Some(socket) = self.socket(role) {
                socket.answers.push_back((answer.into_bytes(), losses));
            }
        }
    }

    /// Redis's reply to a command on the connection with that id.
    fn answer(&self, command: &[u8], id: i64) -> String {
        let text = String::from_utf8_lossy(command).to_ascii_lowercase();
        let words: Vec<&str> = text.lines().skip(2).step_by(2).collect();
        match *words {
            ["client", "id"] => format!(":{id}\r\n"),
            ["client", "tracking", _, _, id] => {
                let is_it = |socket: &&Socket| !socket.ended && socket.id.to_string() == id;
                match self.sockets.iter().flatten().any(|socket| is_it(&socket)) {
                    true => "+OK\r\n".to_owned(),
                    false => {
                        "-ERR The client ID you want redirect to does not exist\r\n".to_owned()
                    }
                }
            }
            ["client", "info"] => "-NOPERM no\r\n".to_owned(),
            ["client", ..] | ["select", _] => "+OK\r\n".to_owned(),
            ["hello", ..] => "%0\r\n".to_owned(),
            ["info", "server"] => {
                let text = format!("run_id:{}", self.starts);
                format!("${}\r\n{text}\r\n", text.len())
            }
            ["info", ..] => "$0\r\n\r\n".to_owned(),
            ["latency", _, "hello"] => "*1\r\n+hello\r\n".to_owned(),
            ["acl", ..] => RIGHTS.to_owned(),
            ["ping"] => "+PONG\r\n".to_owned(),
            ["get"] => "$-1\r\n".to_owned(),
            ["command"] | ["latency", ..] | ["config", ..] => "*0\r\n".to_owned(),
            _ => panic!("{words:?}"),
        }
    }

    /// The node reads what arrived on a connection: a reply, or its end.
    fn hear(&mut self, role: Role) {
        let Some(socket) = self.socket(role) else {
            return;
        };
        // A connection that is reset loses what was not read.
        let is_reset = socket.ended && self.random.u8(..4) == 0;
        let Some(socket) = self.socket(role) else {
            return;
        };
        match socket.answers.pop_front().filter(|_| !is_reset) {
            Some((answer, losses)) => {
                self.outlived = self.outlived.max(losses);
                self.take_sent(role);
                self.node.received(role, &answer, self.now);
            }
            None if socket.ended => match is_reset {
                true => self.lose(role, ErrorKind::ConnectionReset),
                false => {
                    self.note(format!("lose {role:?}: closed"));
                    self.losses += 1;
                    self.node.lost(role, Loss::Closed, self.now);
                }
            },
            None => {}
        }
    }

    /// The helper's work at the end of each turn.
    fn settle(&mut self) {
        for role in self.node.roles() {
            let losses = self.losses;
            let connection = self.node.connection(role);
            let is_open = connection.phase == Phase::Open;
            if !is_open || !Source::is_empty(&connection.link) || self.random.u8(..16) == 0 {
                self.take_sent(role);
            }
            let connection = self.node.connection(role);
            let phase = connection.phase;
            let mut sent = Vec::new();
            if matches!(phase, Phase::SettingUp | Phase::Open) {
                while !Source::is_empty(&connection.link) {
                    let sent = Source::send(&mut connection.link, &mut sent);
                    sent.expect("a list takes all");
                }
            }
            match (phase, self.socket(role)) {
                (Phase::SettingUp | Phase::Open, Some(socket)) => {
                    let commands = commands(&sent);
                    socket
                        .unread
                        .extend(commands.map(|command| (command, losses)));
                }
                (Phase::SettingUp | Phase::Open, None) => panic!("{role:?} is {phase:?}"),
                (_, socket) => *socket = None,
            }
        }
        for event in std::mem::take(&mut self.node.events) {
            self.report(event);
        }
    }

    fn report(&mut self, event: Event) {
        let is_lost = self.tracking == Some(Tracking::Lost);
        let (empties, name) = match &event {
            Event::Tracking(Tracking::On | Tracking::Missing | Tracking::Off { .. }) => {
                (true, format!("{event:?}"))
            }
            Event::Up(_) => (is_lost, "Up".to_owned()),
            Event::Rights { .. } | Event::Swapped | Event::SlotsMoved => {
                (true, format!("{event:?}"))
            }
            Event::Tracking(_) | Event::Away | Event::Down { .. } => (false, format!("{event:?}")),
            _ => (false, String::new()),
        };
        if !name.is_empty() {
            self.note(format!("  reports {name}"));
        }
        assert!(
            !empties || self.outlived == self.losses,
            "what is cached is dropped, though Redis may be gone"
        );
        match event {
            Event::Tracking(tracking) => self.tracking = Some(tracking),
            Event::Replies { replies, .. } => self.owed -= replies.iter().count(),
            _ => {}
        }
    }

    /// Whether there is work to do before time passes.
    fn goes_on(&self) -> bool {
        let is_to_be_made = |phase| {
            matches!(
                phase,
                Phase::Wanted | Phase::LookingUp(_) | Phase::Connecting(_)
            )
        };
        let mut phases = self.node.connections().map(|(_, it)| it.phase);
        let mut sockets = self.sockets.iter().flatten();
        phases.any(is_to_be_made)
            || sockets.any(|it| it.ended || !it.unread.is_empty() || !it.answers.is_empty())
    }

    /// The proxy and Redis do what there is to do before time passes.
    fn go_on(&mut self) {
        while self.goes_on() {
            self.connect();
            for role in self.node.roles() {
                self.process(role);
                self.hear(role);
                self.settle();
            }
        }
    }

    /// Nothing happens any more except what the proxy does, and Redis if it is alive.
    fn rest(&mut self) {
        self.note("rest".to_owned());
        let end = self.now.after(REST);
        if !self.alive {
            self.listens = false;
            for socket in self.sockets.iter_mut().flatten() {
                socket.ended = true;
            }
        }
        while self.now < end {
            self.go_on();
            let soon = self.now.after(Duration::from_millis(250));
            self.now = self.node.due().map_or(soon, |due| due.min(soon));
            self.tick();
            self.settle();
        }
        assert_eq!(self.owed, 0, "each request has its reply in the end");
        if self.alive {
            assert!(self.node.is_up(), "it is up in the end");
            let reports = matches!(self.tracking, Some(Tracking::On | Tracking::Resumed));
            assert!(reports, "{:?} in the end", self.tracking);
        } else {
            assert!(!self.node.is_up(), "it is down in the end");
        }
    }
}

/// The commands that were sent.
fn commands(sent: &[u8]) -> impl Iterator<Item = Vec<u8>> {
    let starts: Vec<usize> = (0..sent.len())
        .filter(|at| sent[*at] == b'*' && (*at == 0 || sent[at - 1] == b'\n'))
        .collect();
    let ends = starts.iter().skip(1).copied().chain([sent.len()]);
    let commands = starts.iter().zip(ends);
    let commands: Vec<_> = commands
        .map(|(start, end)| sent[*start..end].to_vec())
        .collect();
    commands.into_iter()
}

/// Shows the seed at which a test panics, and what happened.
struct Shown(u64, World);

impl Drop for Shown {
    fn drop(&mut self) {
        if std::thread::panicking() {
            let from = self.1.history.len().saturating_sub(60);
            eprintln!(
                "KILLS_SEED={}\n{}",
                self.0,
                self.1.history[from..].join("\n")
            );
        }
    }
}

#[test]
fn what_is_cached_outlives_redis_in_whichever_order_its_connections_are_lost() {
    let seed = std::env::var("KILLS_SEED").ok();
    let seed = seed.map(|seed| seed.parse().expect("a number"));
    let seeds = seed.map_or(0..SEEDS, |seed| seed..seed + 1);
    for seed in seeds {
        let Shown(_, world) = &mut Shown(seed, World::new(seed));
        for _ in 0..world.random.usize(..STEPS) {
            world.step();
        }
        world.rest();
    }
}
