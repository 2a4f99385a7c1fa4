//! One Redis with its sockets. Moves bytes between the sockets and the state machine, and opens the connections that
//! the state machine wants.

use std::io::{self, ErrorKind};
use std::sync::Arc;

use mio::event::Event as Ready;
use mio::{Registry, Token};

use super::super::cluster::view::View;
use super::super::line::Sent;
use super::super::mailbox::Mailbox;
use super::super::node::{Loss, Node, Phase, Role};
use super::super::race::Race;
use super::super::{Batch, LinkId, NodeId, Replies};
use super::{LANDING, Shell};
use crate::clock::{Time, earliest};
use crate::config::Secret;
use crate::transport::dial::Endpoint;
use crate::transport::{ReadResult, Source, Transport};

/// How often a connection is read from before it is another's turn.
const READS: usize = 16;

/// How many poll tokens each member has: first for its connections, by role, of which there are fewer than 256, and
/// then for attempts.
const TOKENS: usize = 1 << 12;
const ATTEMPTS: usize = 256;

/// Whether the loop may write to a connection.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
enum Access {
    /// The connection has no line.
    #[default]
    Never,
    /// Its line is closed.
    Closed,
    /// Its line is open.
    Open,
}

/// One Redis with its sockets.
pub(super) struct Member {
    node: Node,
    /// The sockets, by the index of their role, as are their tokens.
    transports: Vec<Option<Transport>>,
    /// Their lines, likewise.
    lines: Vec<Access>,
    mailbox: Arc<Mailbox>,
    /// The attempts to reach Redis at one of its addresses, while they are in progress.
    race: Race,
    /// The address of Redis is being looked up.
    pub looking_up: bool,
    /// The addresses that were last tried.
    pub targets: Vec<Endpoint>,
    /// The state machine may have changed since `due` was computed.
    is_touched: bool,
    /// When the state machine has something to do, as of the last wait. What has become due since then is done in the next
    /// turn.
    due: Option<Time>,
    /// Something could not be written because the loop was writing.
    is_held_up: bool,
    /// Memory for requests that the loop has written; empty between calls.
    sent: Sent,
}

impl Member {
    pub fn new(node: Node, mailbox: Arc<Mailbox>) -> Self {
        Self {
            node,
            transports: Vec::new(),
            lines: Vec::new(),
            mailbox,
            race: Race::default(),
            looking_up: false,
            targets: Vec::new(),
            is_touched: true,
            due: None,
            is_held_up: false,
            sent: Sent::default(),
        }
    }

    pub fn id(&self) -> NodeId {
        self.node.id
    }

    /// The state machine, to be changed.
    pub fn node(&mut self) -> &mut Node {
        self.is_touched = true;
        &mut self.node
    }

    /// Its state machine, read-only.
    pub fn state(&self) -> &Node {
        &self.node
    }

    pub fn is_up(&self) -> bool {
        self.node.is_up()
    }

    /// Whether to look up the host name again. Returns true once.
    pub fn wants_look_up(&mut self) -> bool {
        self.node.wants_look_up()
    }

    /// Takes the member's view of its cluster, if it is new since the last call.
    pub fn takes_view(&mut self) -> Option<View> {
        self.node.takes_view()
    }

    /// Whether the slot map may have changed. Returns true once.
    pub fn takes_doubt(&mut self) -> bool {
        self.node.takes_doubt()
    }

    /// Memory for replies.
    pub fn spare(&mut self) -> &mut Vec<Replies> {
        &mut self.node.spare
    }

    fn first_token(&self) -> usize {
        usize::from(self.node.id.0) * TOKENS
    }

    fn token(&self, role: Role) -> Token {
        Token(self.first_token() + role.place())
    }

    /// Notes an event. Returns whether it concerns a socket of this member.
    pub fn note(&mut self, event: &Ready) -> bool {
        let Some(place) = event.token().0.checked_sub(self.first_token()) else {
            return false;
        };
        if place >= TOKENS {
            return false;
        }
        self.is_touched = true;
        match self.transports.get_mut(place) {
            Some(Some(transport)) => drop(transport.note(event)),
            _ => self.race.note(event),
        }
        true
    }

    /// Whether there is something to read that no event will report. While earlier replies wait for the loop, only the
    /// tracker is read from.
    pub fn is_readable(&self, is_full: bool) -> bool {
        let open = self.node.roles().zip(&self.transports);
        let mut readable = open.filter(|(_, transport)| {
            let transport = transport.as_ref();
            transport.is_some_and(|transport| transport.readable)
        });
        readable.any(|(role, _)| role == Role::Tracker || !is_full)
    }

    /// When something is due, unless an event comes first.
    pub fn due(&mut self) -> Option<Time> {
        if std::mem::take(&mut self.is_touched) {
            self.due = earliest([self.node.due(), self.race.due()]);
        }
        self.due
    }

    /// Advances each connection as far as its socket allows, and does what is due.
    pub fn turn(&mut self, shell: &mut Shell, now: Time) {
        self.is_touched |= std::mem::take(&mut self.is_held_up)
            || self.due.is_some_and(|due| due <= now)
            || self.is_readable(shell.mailbox.is_full());
        if !self.is_touched {
            return;
        }
        self.run_race(shell);
        for role in self.node.roles() {
            self.finish_connecting(role, now);
            self.read(role, shell);
        }
        if self.due.is_some_and(|due| due <= now) {
            self.node.tick(now);
        }
    }

    /// If Redis refuses the login, or the user's permissions have changed, the password may have changed too: rereads
    /// it if it is in a file, and tries it.
    pub fn log_in_again(&mut self, now: Time) {
        if self.is_touched && self.node.takes_password() {
            let file = self.node.settings.password_file.as_deref();
            let password = file.and_then(read_again);
            self.node.log_in_again(password, now);
        }
    }

    /// Connects to the first of these addresses that answers.
    pub fn race_between(&mut self, endpoints: Vec<Endpoint>, shell: &Shell, now: Time) {
        self.targets.clone_from(&endpoints);
        self.race = Race::between(endpoints, self.first_token() + ATTEMPTS);
        let time = self.race.time(&self.node.settings.dialer);
        self.node().connecting(Role::Resp2, now.after(time));
        self.run_race(shell);
    }

    /// Continues the attempts to reach Redis at one of its addresses.
    fn run_race(&mut self, shell: &Shell) {
        let now = shell.now;
        let registry = shell.poll.registry();
        let dialer = &self.node.settings.dialer;
        let connected = match self.race.turn(dialer, registry, now) {
            None => return,
            Some(result) => result.and_then(|(endpoint, transport)| {
                transport.register_again(registry, self.token(Role::Resp2))?;
                Ok((endpoint, transport))
            }),
        };
        match connected {
            Ok((endpoint, transport)) => {
                self.set_transport(Role::Resp2, transport);
                self.node.connected(Role::Resp2, Some(endpoint), now);
            }
            Err(error) => self.lose(Role::Resp2, error, now),
        }
    }

    /// Opens another connection to the same address as the first.
    pub fn connect(&mut self, role: Role, endpoint: &Endpoint, registry: &Registry, now: Time) {
        let dialer = &self.node.settings.dialer;
        let deadline = now.after(dialer.timeout);
        let connected = dialer.dial(endpoint, now).and_then(|transport| {
            transport.register(registry, self.token(role))?;
            Ok(transport)
        });
        self.node().connecting(role, deadline);
        match connected {
            Ok(transport) => self.set_transport(role, transport),
            Err(error) => self.lose(role, error, now),
        }
    }

    fn set_transport(&mut self, role: Role, transport: Transport) {
        let place = role.place();
        if self.transports.len() <= place {
            self.transports.resize_with(place + 1, || None);
            self.lines.resize(place + 1, Access::Never);
        }
        self.transports[place] = Some(transport);
    }

    /// Checks whether a connection attempt has succeeded.
    fn finish_connecting(&mut self, role: Role, now: Time) {
        let Some(Some(transport)) = self.transports.get_mut(role.place()) else {
            return;
        };
        if !transport.is_connecting() {
            return;
        }
        match transport.is_connected(now) {
            Ok(true) => self.node.connected(role, None, now),
            Ok(false) => {}
            Err(error) => self.lose(role, error, now),
        }
    }

    fn read(&mut self, role: Role, shell: &mut Shell) {
        if role != Role::Tracker && shell.mailbox.is_full() {
            return;
        }
        for _ in 0..READS {
            let Some(Some(transport)) = self.transports.get_mut(role.place()) else {
                return;
            };
            if !transport.readable || transport.is_connecting() {
                return;
            }
            match transport.read(&mut shell.landing) {
                Ok(ReadResult::Bytes(length)) => {
                    let now = shell.now;
                    self.take_sent_to(role, now);
                    let is_open = self.node.connection(role).phase == Phase::Open;
                    self.node.received(role, &shell.landing[..length], now);
                    self.drop_closed(now);
                    if is_open && length == shell.landing.len() && length < LANDING {
                        shell.landing = vec![0; LANDING].into();
                    }
                }
                Ok(ReadResult::Nothing) => return,
                Ok(ReadResult::End) => {
                    let now = shell.now;
                    self.node.lost(role, Loss::Closed, now);
                    self.drop_closed(now);
                }
                Err(error) => self.lose(role, error, shell.now),
            }
        }
    }

    /// Takes requests for a link from the loop.
    pub fn send(&mut self, link: LinkId, batch: &mut Batch, now: Time) {
        self.note_closed(link);
        self.node().send(link, batch, now);
    }

    /// Takes requests for a link of a node that has left.
    pub fn send_elsewhere(&mut self, link: LinkId, batch: &mut Batch, now: Time) {
        self.note_closed(link);
        self.node().send_elsewhere(link, batch, now);
    }

    /// The line of a link is closed, as the loop has passed on requests for it.
    fn note_closed(&mut self, link: LinkId) {
        let place = self.node.role_of(link).place();
        if let Some(line @ Access::Open) = self.lines.get_mut(place) {
            *line = Access::Closed;
        }
    }

    /// Takes what the loop has written.
    pub fn take_sent(&mut self, now: Time) {
        for role in self.node.roles() {
            self.take_sent_to(role, now);
        }
    }

    fn take_sent_to(&mut self, role: Role, now: Time) {
        if let Some(link) = self.line_of(role) {
            self.mailbox.take_sent(link, &mut self.sent);
            self.note_sent(role, now);
        }
    }

    /// The link of a role, if it has a line.
    fn line_of(&self, role: Role) -> Option<LinkId> {
        match self.lines.get(role.place()) {
            None | Some(Access::Never) => None,
            Some(Access::Closed | Access::Open) => self.node.link_of(role),
        }
    }

    fn note_sent(&mut self, role: Role, now: Time) {
        if !self.sent.is_empty() {
            self.is_touched = true;
            self.node.sent(role, &mut self.sent, now);
        }
    }

    /// Lets only the helper write to a connection. Returns whether it may do so already.
    fn close_line(&mut self, role: Role, now: Time) -> bool {
        let Some(link) = self.line_of(role) else {
            return true;
        };
        self.lines[role.place()] = Access::Closed;
        let may_write = self.mailbox.close_line(link, &mut self.sent);
        self.note_sent(role, now);
        may_write
    }

    /// Lets only the helper write.
    pub fn close_lines(&mut self, now: Time) {
        for role in self.node.roles() {
            self.close_line(role, now);
        }
    }

    /// Lets the loop write to a connection on which there is nothing to write.
    fn open_line(&mut self, role: Role) {
        let (Some(link), Some(Some(transport))) =
            (self.node.idle_link(role), self.transports.get(role.place()))
        else {
            return;
        };
        let outlet = match self.lines[role.place()] {
            Access::Open => return,
            Access::Closed => None,
            Access::Never => match transport.outlet() {
                Ok(Some(outlet)) => Some(outlet),
                Ok(None) | Err(_) => return,
            },
        };
        self.mailbox.open_line(link, outlet);
        self.lines[role.place()] = Access::Open;
    }

    /// The connection of a line is lost.
    fn end_line(&mut self, role: Role, now: Time) {
        if let Some(link) = self.line_of(role) {
            self.lines[role.place()] = Access::Never;
            self.mailbox.end_line(link, &mut self.sent);
            self.note_sent(role, now);
        }
    }

    /// Writes pending requests.
    pub fn write(&mut self, now: Time) {
        if !self.is_touched {
            return;
        }
        for role in self.node.roles() {
            let place = role.place();
            let Some(Some(transport)) = self.transports.get(place) else {
                continue;
            };
            let is_due = !self.node.connection(role).link.is_empty() || transport.is_behind();
            if transport.is_connecting() {
                continue;
            }
            if is_due && !self.close_line(role, now) {
                self.is_held_up = true;
                continue;
            }
            let link = &mut self.node.connection(role).link;
            if let Some(Some(transport)) = self.transports.get_mut(place)
                && is_due
                && transport.write(link).is_err()
            {
                // What Redis sent before it closed the connection must still be read; reading then finds the end.
                transport.readable = true;
            }
            self.open_line(role);
        }
    }

    /// Reports events to the loop.
    pub fn report(&mut self) {
        self.mailbox.report(self.node.id, &mut self.node.events);
    }

    /// A connection could not be opened, or broke.
    pub fn lose(&mut self, role: Role, error: io::Error, now: Time) {
        let loss = match error.kind() {
            ErrorKind::TimedOut if error.get_ref().is_none() => {
                Loss::TimedOut(self.node.settings.dialer.timeout)
            }
            _ => Loss::Broken(error),
        };
        self.node().lost(role, loss, now);
        self.drop_closed(now);
    }

    /// Closes the sockets of connections that the node has given up.
    pub fn drop_closed(&mut self, now: Time) {
        if !self.node.takes_closed() {
            return;
        }
        for role in self.node.roles() {
            let phase = self.node.connection(role).phase;
            if matches!(phase, Phase::Closed | Phase::Wanted) {
                self.end_line(role, now);
                if let Some(transport) = self.transports.get_mut(role.place()) {
                    *transport = None;
                }
            }
        }
        let resp2 = self.node.connection(Role::Resp2).phase;
        if self.race.is_on() && !matches!(resp2, Phase::Connecting(_)) {
            self.race = Race::default();
        }
    }
}

fn read_again(path: &str) -> Option<Secret> {
    match crate::config::read_secret(path) {
        Ok(password) => Some(password),
        Err(error) => {
            log::warn!(reason:% = error; "cannot reread the password for redis");
            None
        }
    }
}
