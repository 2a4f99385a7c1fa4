//! One Redis, with the connections to it that all clients share. It is a state machine without sockets: the helper
//! reports the time and the events of each connection, and opens the connections that the node wants ([`Node::wants`]).
//!
//! Requests go over one connection for each protocol version and each database that clients use. The tracker is a
//! further connection, on which Redis reports changes of what was read on the others. All must lead to the same server.
//! Each is opened for its first request, and never leaves its database. So no request is executed in another database,
//! whatever happens to a `SELECT` (an index out of range, a revoked permission, a script that keeps Redis busy); if
//! Redis refuses a database, requests for it get Redis's error. The tracker carries no requests, because a reply of 100
//! MB, or a write that Redis delays, would hold up the reports behind it, and a RESP2 connection can't receive reports
//! at all.

use std::time::Duration;

use super::checks::Checks;
use super::cluster::asks::Asks;
pub(super) use super::connection::{Connection, Phase, Role};
use super::life::Life;
use super::line::Sent;
pub(super) use super::loss::Loss;
use super::moved::Moved;
use super::outage::{FIRST_PAUSE, Outage, State};
use super::rights::Rights;
use super::setup;
use super::tracking::{Barriers, Reports, Tracker};
use super::unreported::Unreported;
use super::{BROKEN, Backend, Batch, ELSEWHERE, Event, LinkId, NodeId, Replies, Settings};
use crate::clock::Time;
use crate::logging::Limit;
use crate::resp::Protocol;
use crate::transport::Source;
use crate::transport::dial::Endpoint;

/// How long a connection that answers nothing must last to count as useful, and how long Redis must be up to count as
/// back for good.
pub(super) const STEADY: Duration = Duration::from_secs(1);
/// How many useless connections in a row are allowed before a pause.
pub(super) const USELESS: u8 = 10;

/// One Redis.
pub(super) struct Node {
    /// Its id, which its links and its reports carry.
    pub id: NodeId,
    pub settings: Settings,
    /// The connections, by the index of their role.
    pub(super) connections: Vec<Connection>,
    pub(super) state: State,
    pub(super) tracker: Tracker,
    /// What Redis reported about itself.
    pub(super) backend: Backend,
    /// Which server it is, if it reports that.
    pub(super) run_id: Option<String>,
    /// Redis was reachable before.
    pub(super) known: bool,
    /// When the last outage ended.
    pub(super) returned: Option<Time>,
    /// Whether Redis outlived the connections that were lost.
    pub(super) life: Life,
    /// The outage, since an attempt to connect failed.
    pub(super) outage: Option<Outage>,
    pub(super) pause: Duration,
    /// Why a connection is being reopened while Redis is reachable.
    pub(super) reconnecting: Option<String>,
    /// Limits the log lines about reconnections, as a client may kill connections as often as it likes.
    pub(super) reconnects: Limit,
    /// Whether an outage would matter.
    pub watched: bool,
    /// How often to use connections so that Redis doesn't close them.
    pub(super) keep_alive: Option<Duration>,
    /// When a connection was last found to have changed state, and how often that has happened in quick succession.
    pub(super) distrusted: (Time, u8),
    /// What is known of the user's permissions.
    pub(super) rights: Rights,
    /// What Redis does not report by itself.
    pub(super) unreported: Unreported,
    /// Redis is busy with a script.
    pub(super) is_busy: bool,
    /// On how many links Redis tracks keys, as last reported to the loop.
    pub(super) tracked_links: usize,
    /// Outstanding checks of clients' passwords.
    pub(super) checks: Checks,
    /// The signs that Redis has moved.
    pub(super) moved: Moved,
    /// What the node is asked about its cluster.
    pub(super) asks: Asks,
    pub(super) barriers: Barriers,
    /// A connection was given up, so its socket must be closed.
    has_closed: bool,
    /// The node no longer serves anything in its cluster, and gets no more requests.
    pub(super) is_leaving: bool,
    /// Events to report to the loop.
    pub events: Vec<Event>,
    /// Memory for replies, for reuse.
    pub spare: Vec<Replies>,
    /// The time of the last tick.
    pub(super) ticked: Time,
}

impl Node {
    /// A new node, to be connected to.
    pub fn new(id: NodeId, settings: Settings) -> Self {
        let link = |protocol| Connection::of(LinkId::new(protocol, settings.database).at(id));
        let connections = vec![
            link(Protocol::Resp2),
            link(Protocol::Resp3),
            Connection::default(),
        ];
        let mut node = Self {
            id,
            settings,
            connections,
            state: State::Opening,
            tracker: Tracker::default(),
            backend: Backend::default(),
            run_id: None,
            known: false,
            returned: None,
            life: Life::default(),
            outage: None,
            pause: FIRST_PAUSE,
            reconnecting: None,
            reconnects: Limit::default(),
            watched: false,
            keep_alive: None,
            distrusted: (Time::default(), 0),
            rights: Rights::default(),
            unreported: Unreported::default(),
            is_busy: false,
            tracked_links: 0,
            checks: Checks::default(),
            moved: Moved::default(),
            asks: Asks::default(),
            barriers: Barriers::default(),
            has_closed: false,
            is_leaving: false,
            events: Vec::new(),
            spare: Vec::new(),
            ticked: Time::default(),
        };
        node.open(Time::default());
        node
    }

    pub fn connection(&mut self, role: Role) -> &mut Connection {
        &mut self.connections[role.place()]
    }

    pub fn connections(&self) -> impl Iterator<Item = (Role, &Connection)> {
        let connections = self.connections.iter().enumerate();
        connections.map(|(place, connection)| (Role::at(place), connection))
    }

    /// The roles of all connections.
    pub fn roles(&self) -> impl Iterator<Item = Role> + use<> {
        (0..self.connections.len()).map(Role::at)
    }

    /// The roles of the connections that carry requests.
    pub(super) fn links(&self) -> impl Iterator<Item = Role> + use<> {
        self.roles().filter(|role| *role != Role::Tracker)
    }

    /// The link whose requests a connection carries.
    pub fn link_of(&self, role: Role) -> Option<LinkId> {
        self.connections.get(role.place())?.serves
    }

    /// The link of a connection on which requests may be sent, and on which nothing waits to be written.
    pub fn idle_link(&self, role: Role) -> Option<LinkId> {
        let connection = self.connections.get(role.place())?;
        let is_idle = connection.phase == Phase::Open && connection.link.is_empty();
        connection.serves.filter(|_| is_idle && !self.is_leaving)
    }

    /// The connection that carries the requests of a link.
    pub(super) fn role_of(&mut self, link: LinkId) -> Role {
        let serves = |connection: &Connection| connection.serves == Some(link);
        let place = match self.connections.iter().position(serves) {
            Some(place) => place,
            None => {
                self.connections.push(Connection::of(link));
                self.connections.len() - 1
            }
        };
        Role::at(place)
    }

    /// Whether connections were given up, so that their sockets must be closed. Returns true once.
    pub fn takes_closed(&mut self) -> bool {
        std::mem::take(&mut self.has_closed)
    }

    /// Which connection to open now, if any. All others go to the address of the first.
    pub fn wants(&self) -> Option<Role> {
        let wanted = |(role, connection): (Role, &Connection)| {
            (connection.phase == Phase::Wanted).then_some(role)
        };
        self.connections().find_map(wanted)
    }

    /// Whether Redis is up.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// The last endpoint, if Redis was ever reached.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.backend.endpoint.as_ref()
    }

    /// Takes requests for a link from the loop.
    pub fn send(&mut self, link: LinkId, batch: &mut Batch, now: Time) {
        let role = self.role_of(link);
        self.connection(role).link.send(batch, now);
        self.admit(role, now);
    }

    /// Takes requests that the loop has written to the connection of a link, whether or not that was lost since then.
    pub fn sent(&mut self, role: Role, sent: &mut Sent, now: Time) {
        let connection = self.connection(role);
        let unwritten = std::mem::take(&mut sent.unwritten);
        if connection.phase == Phase::Open {
            connection.link.note_sent(&mut sent.batch, sent.since);
            connection.link.take_back(unwritten);
        } else if !sent.batch.is_empty() {
            let mut replies = self.spare.pop().unwrap_or_default();
            let link = &mut self.connection(role).link;
            link.note_lost(&mut sent.batch, sent.since, BROKEN, &mut replies);
            self.report_replies(role, replies);
            match self.is_leaving {
                true => self.fail(role, ELSEWHERE),
                false => self.admit(role, now),
            }
        }
    }

    /// Sees to it that requests which wait for a connection get one, or an error.
    fn admit(&mut self, role: Role, now: Time) {
        let connection = self.connection(role);
        let is_closed = connection.phase == Phase::Closed;
        let (not_before, refused) = (connection.not_before, connection.refused);
        match self.state {
            State::Down(_) => self.refuse_during_outage(role),
            State::Up(_) if is_closed && not_before <= now => self.want(role),
            State::Up(_) if is_closed && refused => {
                self.refuse(role, "no connection can be opened for it")
            }
            State::Up(_) | State::Opening => {}
        }
    }

    /// Starts to connect.
    pub(super) fn open(&mut self, now: Time) {
        self.state = State::Opening;
        self.expect_tracker(now);
        self.tracker.give_time(now);
        self.run_id = None;
        self.want(Role::Resp2);
    }

    pub(super) fn want(&mut self, role: Role) {
        self.date(role);
        self.connection(role).phase = Phase::Wanted;
    }

    /// The address of a connection is being looked up.
    pub fn looking_up(&mut self, role: Role, now: Time) {
        let deadline = now.after(self.look_up_time());
        self.connection(role).phase = Phase::LookingUp(deadline);
    }

    /// How long a look-up may take. With sentinels, it includes their own look-ups, connections and answers, each of
    /// which may take the timeout.
    pub(super) fn look_up_time(&self) -> Duration {
        let timeout = self.settings.dialer.timeout;
        match self.settings.sentinels {
            Some(_) => 4 * timeout,
            None => timeout,
        }
    }

    /// A connection is being opened, until this deadline.
    pub fn connecting(&mut self, role: Role, deadline: Time) {
        self.connection(role).phase = Phase::Connecting(deadline);
    }

    /// A connection is open: sets it up. The first connection has the endpoint that it leads to.
    pub fn connected(&mut self, role: Role, endpoint: Option<Endpoint>, now: Time) {
        let questions = match role {
            Role::Resp2 => setup::of_resp2(&self.settings),
            Role::Tracker => setup::of_tracker(&self.settings),
            Role::Resp3 | Role::Other(_) => match self.connection(role).serves {
                Some(link) => setup::of_other(&self.settings, link),
                None => Vec::new(),
            },
        };
        let link = &mut self.connection(role).link;
        for (question, command) in questions {
            link.ask(question, &command.get_packed_command(), now);
        }
        let connection = self.connection(role);
        connection.phase = Phase::SettingUp;
        connection.has_answered = false;
        connection.refusal = None;
        match role {
            Role::Resp2 => {
                self.events.extend(endpoint.clone().map(Event::Reached));
                self.backend.endpoint = endpoint;
            }
            Role::Tracker => {
                self.tracker.connected();
                self.begin_unreported();
                self.ask_slots(role, now);
                self.ask_view_on(role, now);
            }
            Role::Resp3 | Role::Other(_) => {}
        }
    }

    /// Makes the progress that the answers so far allow.
    pub(super) fn advance(&mut self, now: Time) {
        let tracker = self.connection(Role::Tracker);
        if tracker.phase == Phase::SettingUp && tracker.link.is_idle() {
            self.set_open(Role::Tracker, now);
            self.ask_output_limit(Role::Tracker, now);
            self.send_checks(now);
        }
        for role in self.links() {
            self.advance_link(role, now);
        }
        self.report_tracking(now);
    }

    fn advance_link(&mut self, role: Role, now: Time) {
        let reports = self.tracker.reports.clone();
        let tracker_is_open = self.connection(Role::Tracker).phase == Phase::Open;
        let connection = self.connection(role);
        if !connection.is_set_up() || connection.redirecting.is_some() {
            return;
        }
        match reports {
            Reports::Open(id) if connection.reports_to != Some(id) => {
                if tracker_is_open {
                    self.redirect(role, id, now);
                }
            }
            // The first requests wait until it is known whether what they read may be cached.
            Reports::Opening if connection.phase == Phase::SettingUp => {
                self.want_tracker(now);
                // If the tracker can only be opened after a pause, they wait no longer.
                if self.connection(Role::Tracker).phase == Phase::Closed {
                    self.link_is_up(role, now);
                }
            }
            _ => {
                if connection.phase == Phase::SettingUp {
                    self.link_is_up(role, now);
                }
            }
        }
    }

    /// The connection of a link is set up: the link's requests may be written.
    fn link_is_up(&mut self, role: Role, now: Time) {
        self.set_open(role, now);
        if role == Role::Resp2 {
            self.up(now);
        } else if self.reconnecting.is_some() {
            self.events.push(Event::Reconnected);
        }
        self.log_reconnected(now);
    }

    pub(super) fn set_open(&mut self, role: Role, now: Time) {
        self.ask_for_first_state(role, now);
        let error = setup::error_reply(&self.settings, "the request timed out");
        let mut replies = self.spare.pop().unwrap_or_default();
        let connection = self.connection(role);
        connection.phase = Phase::Open;
        connection.link.set_ready(&error, &mut replies);
        connection.opened = now;
        connection.last_received = now;
        self.report_replies(role, replies);
    }

    /// Logs that a connection was lost and reopened, if Redis was up all the time.
    pub(super) fn log_reconnected(&mut self, now: Time) {
        if let Some(reason) = self.reconnecting.take()
            && let Some(left_out) = self.reconnects.admit(now)
        {
            log::info!(address:% = self.settings.address, reason, left_out; "reconnected");
        }
    }

    /// A connection can no longer be used, or could not be opened.
    pub fn lost(&mut self, role: Role, loss: Loss, now: Time) {
        if self.is_leaving {
            return self.end(role, &loss);
        }
        let loss = self.judge_end(role, loss, now);
        let connection = self.connection(role);
        let was_open = connection.phase == Phase::Open;
        if was_open && connection.opened.until(now) >= STEADY {
            connection.useless = 0;
        }
        connection.useless = connection.useless.saturating_add(1);
        let at_once = was_open && connection.useless <= USELESS;
        let was_tracked = connection.reports_to.is_some();
        self.close(role);
        self.doubt_life(&loss);
        if role == Role::Tracker {
            self.checks.lost();
        }
        self.renew(role, &loss);
        if was_tracked || role == Role::Tracker {
            self.tracking_lost();
        }
        match role {
            Role::Tracker => self.tracker_lost(&loss, was_open, at_once, now),
            Role::Resp2 if !at_once => return self.down(&loss, now),
            // The new connection may lead to another server.
            Role::Resp2 if self.run_id.is_none() => return self.start_anew(&loss, now),
            Role::Resp2 => {
                self.state = State::Opening;
                self.reconnect(role, loss.to_string());
            }
            Role::Resp3 | Role::Other(_) if at_once => self.reconnect(role, loss.to_string()),
            // The requests wait until it is known whether Redis is up.
            Role::Resp3 | Role::Other(_) if !self.is_up() => {}
            Role::Resp3 | Role::Other(_) => {
                let connection = self.connection(role);
                match connection.refusal.take() {
                    // There may be no such database. Each request for it gets Redis's error.
                    Some(error) => self.fail(role, &error),
                    None => {
                        connection.not_before = now.after(FIRST_PAUSE);
                        connection.refused = !loss.may_be_end();
                        if connection.refused {
                            let error = setup::error_of(&self.settings, &loss);
                            self.fail(role, &error);
                        }
                    }
                }
            }
        }
        self.ask_for_life(now);
        self.advance(now);
    }

    pub(super) fn reconnect(&mut self, role: Role, reason: String) {
        // The first loss is the cause of the others.
        self.reconnecting.get_or_insert(reason);
        self.want(role);
    }

    /// Reopens all connections.
    pub(super) fn start_anew(&mut self, loss: &Loss, now: Time) {
        self.leave();
        self.tracking_lost();
        self.note_busy(b"");
        self.checks.lost();
        self.keep_alive = None;
        for role in self.roles() {
            self.close(role);
            self.renew(role, loss);
        }
        self.reconnecting = Some(loss.to_string());
        self.open(now);
    }

    pub(super) fn close(&mut self, role: Role) {
        self.has_closed = true;
        let connection = self.connection(role);
        connection.phase = Phase::Closed;
        connection.reports_to = None;
        connection.redirecting = None;
        self.rights.lost(role);
        self.asks.lost(role);
        if role == Role::Tracker {
            self.barriers.lost();
        }
    }

    /// Lets the requests in flight on a lost connection wait for the next connection. Clients that wait for requests
    /// which can't be retried are closed; or get an error, if such a request may have caused the loss, as a library
    /// would repeat it.
    pub(super) fn renew(&mut self, role: Role, loss: &Loss) {
        let error =
            setup::error_reply(&self.settings, "the connection broke before its reply came");
        let reply = match loss {
            Loss::Garbled(_) | Loss::Altered(_) => &error,
            _ => BROKEN,
        };
        let mut replies = self.spare.pop().unwrap_or_default();
        self.connection(role).link.renew(reply, &mut replies);
        self.report_replies(role, replies);
    }

    /// Fails all clients' requests on a connection with this error.
    pub(super) fn fail(&mut self, role: Role, error: &[u8]) {
        let mut replies = self.spare.pop().unwrap_or_default();
        self.connection(role).link.fail(error, &mut replies);
        self.report_replies(role, replies);
    }

    /// Whether Redis supports `HELLO`, as it does since version 6.
    pub(super) fn knows_hello(&self) -> bool {
        !self.backend.hello[1].is_empty()
    }
}
