//! One Redis: the connections to it that all clients share, from the first to the last. It is a state machine
//! without sockets: the helper reports what happened to each connection and the time, and opens the connections that it
//! wants ([`Node::wants`]).
//!
//! There is a connection for each version of the protocol and each database that clients use, which carry requests, and
//! the tracker, on which Redis reports what changes of what was read on the others. All are to lead to the same server.
//! Each is made when the first request for it comes, and never leaves its database: so no request is executed in another
//! one, whatever becomes of a `SELECT` (an index out of range, a right that is taken away, a script that keeps Redis busy).
//! A database that Redis refuses costs those who asked for it an error, in Redis's words. That the
//! tracker carries no requests has a reason: a reply of 100 MB or a write that Redis delays would hold up the reports
//! behind it, and a connection in RESP2 can't have them at all.

use std::io;
use std::time::Duration;

use super::busy;
use super::checks::Checks;
pub(super) use super::loss::Loss;
use super::moved::Moved;
use super::outage::{FIRST_PAUSE, Outage, State};
use super::rights::Rights;
use super::setup::{self, Doubt, Question};
use super::state::{ConnectionState, altered};
use super::tracking::{Reports, Tracker};
use super::unreported::{Unreported, lacks_master};
use super::{BROKEN, Backend, Event, LinkId, Replies, Requests, Settings};
use crate::clock::Time;
use crate::command::read_specs;
use crate::link::{Link, LinkError, Oldest, Received};
use crate::logging::Limit;
use crate::resp::Protocol;
use crate::status::greeting_field;
use crate::transport::dial::Endpoint;

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Role {
    /// Requests in RESP2.
    Resp2,
    /// Requests in RESP3; it is made when the first comes.
    Resp3,
    /// Reports of changes, and whether Redis is there.
    Tracker,
    /// Requests for another database, likewise; the number distinguishes such connections.
    Other(u8),
}

/// How many roles there are without those for other databases.
const NAMED: u8 = 3;

impl Role {
    fn at(place: usize) -> Self {
        match place {
            0 => Self::Resp2,
            1 => Self::Resp3,
            2 => Self::Tracker,
            // There are fewer than 256: the loop uses so few databases at a time.
            place => Self::Other((place as u8).wrapping_sub(NAMED)),
        }
    }

    /// Its place among all.
    pub fn place(self) -> usize {
        match self {
            Self::Resp2 => 0,
            Self::Resp3 => 1,
            Self::Tracker => 2,
            Self::Other(number) => usize::from(NAMED) + usize::from(number),
        }
    }
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// There is none.
    Closed,
    /// One is to be made.
    Wanted,
    /// Where to, is being looked up, which may take until then.
    LookingUp(Time),
    /// It is being made, and may take until then.
    Connecting(Time),
    /// Questions that set it up are in flight.
    SettingUp,
    /// It is set up.
    Open,
}

/// A connection, its successors included.
#[derive(Debug)]
pub(super) struct Connection {
    /// Whose requests it carries, if it does.
    pub serves: Option<LinkId>,
    pub phase: Phase,
    pub link: Link<Question>,
    /// When Redis last answered on it.
    pub heard: Time,
    /// Something was answered on it.
    pub has_answered: bool,
    /// When it was set up.
    opened: Time,
    /// How many of its predecessors were lost before they were of any use.
    pub useless: u8,
    /// The tracker to which Redis reports changes of what was read on it, by its number.
    pub reports_to: Option<i64>,
    /// Redis is being asked to report them to that one.
    pub redirecting: Option<i64>,
    /// Until then no other is made.
    pub not_before: Time,
    /// The last one was of no use by itself: that is no sign that Redis has gone.
    pub refused: bool,
    /// Whether it is as it was set up.
    pub state: ConnectionState,
    /// What Redis answered to the `SELECT` that was to set it up, if that was an error.
    refusal: Option<Box<[u8]>>,
}

/// How long a connection that answers nothing must last to have been of use, and Redis be there to have come back for
/// good.
pub(super) const STEADY: Duration = Duration::from_secs(1);
/// The first byte of what a server for TLS says to whoever doesn't speak it.
const TLS_ALERT: u8 = 0x15;
/// How many connections in a row may be of no use before there is a pause.
pub(super) const USELESS: u8 = 10;

/// One Redis.
pub(super) struct Node {
    pub settings: Settings,
    /// By the places of their roles.
    pub(super) connections: Vec<Connection>,
    pub(super) state: State,
    pub(super) tracker: Tracker,
    /// What Redis reported of itself.
    pub(super) backend: Backend,
    /// Which server it is, if it says so.
    pub(super) run_id: Option<String>,
    /// It was there before.
    pub(super) known: bool,
    /// When the last outage ended.
    pub(super) returned: Option<Time>,
    /// Since an attempt to connect failed.
    pub(super) outage: Option<Outage>,
    pub(super) pause: Duration,
    /// Why a connection is reopened, if that happens while Redis is reachable.
    pub(super) reconnecting: Option<String>,
    /// Of lines that say so: a client may kill connections as often as it likes.
    pub(super) reconnects: Limit,
    /// Whether anybody would miss Redis.
    pub watched: bool,
    /// How often connections are to be used so that Redis doesn't close them.
    pub(super) keep_alive: Option<Duration>,
    /// When a connection was last found to be not as it was set up, and how often that was in quick succession.
    pub(super) distrusted: (Time, u8),
    /// What is known of the user's rights.
    pub(super) rights: Rights,
    /// What it doesn't report.
    pub(super) unreported: Unreported,
    /// It is busy with a script.
    pub(super) is_busy: bool,
    /// How many of the links' keys it tracks, as far as the loop knows.
    pub(super) tracked_links: usize,
    /// Passwords of clients that it is asked about.
    pub(super) checks: Checks,
    /// What speaks for its being elsewhere by now.
    pub(super) moved: Moved,
    /// What is to be reported to the loop.
    pub events: Vec<Event>,
    /// Memory for replies.
    pub spare: Vec<Replies>,
    /// When time was last looked at.
    pub(super) ticked: Time,
}

impl Default for Connection {
    fn default() -> Self {
        Self {
            serves: None,
            phase: Phase::Closed,
            link: Link::default(),
            heard: Time::default(),
            has_answered: false,
            opened: Time::default(),
            useless: 0,
            reports_to: None,
            redirecting: None,
            not_before: Time::default(),
            refused: false,
            state: ConnectionState::default(),
            refusal: None,
        }
    }
}

impl Connection {
    fn of(link: LinkId) -> Self {
        Self {
            serves: Some(link),
            ..Self::default()
        }
    }

    /// Whether what sets it up is answered.
    pub fn is_set_up(&self) -> bool {
        match self.phase {
            Phase::SettingUp => !self.link.has_questions(),
            Phase::Open => true,
            Phase::Closed | Phase::Wanted | Phase::LookingUp(_) | Phase::Connecting(_) => false,
        }
    }

    /// The request whose answer is due, if one is in flight.
    pub fn silence(&self) -> Option<Oldest> {
        let mut oldest = self.link.oldest()?;
        match self.phase {
            // Its answer was not due before that to what went before it.
            Phase::Open if oldest.is_question => {
                oldest.since = oldest.since.max(self.heard);
                Some(oldest)
            }
            Phase::Open => Some(oldest),
            Phase::SettingUp if oldest.is_question => Some(oldest),
            _ => None,
        }
    }
}

impl Node {
    /// One that is to be connected to.
    pub fn new(settings: Settings) -> Self {
        let link = |protocol| Connection::of(LinkId::new(protocol, settings.database));
        let connections = vec![
            link(Protocol::Resp2),
            link(Protocol::Resp3),
            Connection::default(),
        ];
        let mut node = Self {
            settings,
            connections,
            state: State::Opening,
            tracker: Tracker::default(),
            backend: Backend::default(),
            run_id: None,
            known: false,
            returned: None,
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

    /// The roles of those that carry requests.
    pub(super) fn links(&self) -> impl Iterator<Item = Role> + use<> {
        self.roles().filter(|role| *role != Role::Tracker)
    }

    /// The connection that carries the requests of a link.
    fn role_of(&mut self, link: LinkId) -> Role {
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

    /// Which connection is to be made now, if one is. The others go where the first one went.
    pub fn wants(&self) -> Option<Role> {
        let wanted = |(role, connection): (Role, &Connection)| {
            (connection.phase == Phase::Wanted).then_some(role)
        };
        self.connections().find_map(wanted)
    }

    /// Whether Redis can be reached.
    pub fn is_up(&self) -> bool {
        matches!(self.state, State::Up(_))
    }

    /// Where it was reached, if it was.
    pub fn endpoint(&self) -> Option<&Endpoint> {
        self.backend.endpoint.as_ref()
    }

    /// Takes requests that the loop hands over.
    pub fn send(&mut self, requests: &mut Requests, now: Time) {
        for (link, batch) in requests.iter_mut() {
            if batch.is_empty() {
                continue;
            }
            let role = self.role_of(link);
            self.connection(role).link.send(batch, now);
            let connection = self.connection(role);
            let is_closed = connection.phase == Phase::Closed;
            let (not_before, refused) = (connection.not_before, connection.refused);
            match self.state {
                State::Down(_) => self.refuse_during_outage(role),
                State::Up(_) if is_closed && not_before <= now => self.want(role),
                State::Up(_) if is_closed && refused => {
                    self.refuse(role, "no connection for that can be made")
                }
                State::Up(_) | State::Opening => {}
            }
        }
    }

    /// Begins to connect.
    pub(super) fn open(&mut self, now: Time) {
        self.state = State::Opening;
        self.expect_tracker(now);
        self.run_id = None;
        self.want(Role::Resp2);
    }

    pub(super) fn want(&mut self, role: Role) {
        self.connection(role).phase = Phase::Wanted;
    }

    /// Where a connection is to lead is being looked up.
    pub fn looking_up(&mut self, role: Role, now: Time) {
        let deadline = now.after(self.look_up_time());
        self.connection(role).phase = Phase::LookingUp(deadline);
    }

    /// How long a look-up may take. Sentinels have to be looked up, connected to and asked, for which each has its time.
    pub(super) fn look_up_time(&self) -> Duration {
        let timeout = self.settings.dialer.timeout;
        match self.settings.sentinels {
            Some(_) => 4 * timeout,
            None => timeout,
        }
    }

    /// A connection is being made, which may take until then.
    pub fn connecting(&mut self, role: Role, deadline: Time) {
        self.connection(role).phase = Phase::Connecting(deadline);
    }

    /// It is there, and leads to that address if it is the first: sets it up.
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
            }
            Role::Resp3 | Role::Other(_) => {}
        }
    }

    /// Bytes came.
    pub fn received(&mut self, role: Role, bytes: &[u8], now: Time) {
        let mut received = Received {
            replies: self.spare.pop().unwrap_or_default(),
            ..Received::default()
        };
        let connection = self.connection(role);
        let result = connection.link.receive(bytes, &mut received, now);
        let served = !received.replies.is_empty() || !received.invalidated.is_empty();
        if served || !received.answers.is_empty() {
            connection.heard = now;
            connection.has_answered = true;
        }
        let is_tls = !connection.has_answered && bytes.first() == Some(&TLS_ALERT);
        // A new connection answers the first questions, whatever it is like.
        let is_steady = connection.opened.until(now) >= STEADY;
        let answers = connection.phase == Phase::Open && !received.answers.is_empty();
        if served || answers && is_steady {
            connection.useless = 0;
        }
        if !received.invalidated.is_empty() {
            self.events.push(Event::Invalidated(received.invalidated));
        }
        if role == Role::Tracker && !received.answers.is_empty() {
            self.resume_tracking();
        }
        for doubt in received.replies.iter().filter_map(Doubt::of) {
            match doubt {
                Doubt::Rights => self.doubt_rights(),
                Doubt::State => self.doubt_state(role),
            }
        }
        if let Some(latest) = received.replies.latest()
            && (self.is_busy || busy::says_so(latest))
        {
            self.note_busy(latest);
        }
        if received.may_be_queuing {
            self.doubt_state(role);
        }
        if received.replies.iter().any(lacks_master) {
            self.note_master(true);
        }
        self.judge(&received.replies, now);
        self.report_replies(role, received.replies);
        let has_answers = !received.answers.is_empty();
        for (question, answer) in received.answers {
            if let Err(loss) = self.answered(role, question, &answer, now) {
                return match &loss {
                    Loss::Refused(words) if setup::refuses_login(words) => self.down(&loss, now),
                    Loss::Elsewhere => self.start_anew(&loss, now),
                    Loss::Altered(_) => self.distrust(role, &loss, now),
                    _ => self.lost(role, loss, now),
                };
            }
        }
        if received.is_subscribed {
            return self.distrust(role, &altered("it is subscribed"), now);
        }
        if let Err(error) = result {
            // Redis refuses one client too many before it is asked for anything.
            let refused = setup::refusal(bytes).filter(|words| setup::refuses_connections(words));
            if refused.is_none() && error == LinkError::Unasked {
                return self.distrust(role, &altered(&error.to_string()), now);
            }
            let loss = match refused {
                Some(words) => Loss::Refused(words),
                None if is_tls => Loss::Tls,
                None => Loss::Garbled(error),
            };
            return self.lost(role, loss, now);
        }
        // Not before the last of them: no answer is outstanding on the connection from the first on.
        if has_answers {
            self.advance(now);
        }
    }

    fn report_replies(&mut self, role: Role, replies: Replies) {
        match self.connection(role).serves {
            Some(link) if !replies.is_empty() => self.events.push(Event::Replies { link, replies }),
            _ => self.spare.push(replies),
        }
    }

    /// Redis answered a question of the proxy's own.
    fn answered(
        &mut self,
        role: Role,
        question: Question,
        answer: &[u8],
        now: Time,
    ) -> Result<(), Loss> {
        let refusal = setup::refusal(answer);
        match question {
            Question::Check(number) => {
                self.checked(number, answer);
                return Ok(());
            }
            // An error is an answer too, and none before it is to come.
            Question::Barrier(number) => {
                self.note_busy(answer);
                self.events.push(Event::Barrier(number));
                return Ok(());
            }
            _ => {}
        }
        if let Some(words) = refusal
            .clone()
            .filter(|words| setup::refuses_connections(words))
        {
            return Err(Loss::Refused(words));
        }
        match (question, refusal) {
            (Question::Select, Some(words)) => {
                self.connection(role).refusal = Some(answer.into());
                return Err(Loss::Refused(words));
            }
            (Question::Auth, Some(words)) => return Err(Loss::Refused(words)),
            (Question::Hello3, Some(words)) if matches!(role, Role::Resp3 | Role::Other(_)) => {
                return Err(Loss::Refused(words));
            }
            (Question::Ping, refusal) => {
                self.note_busy(answer);
                self.pinged(role, answer, refusal.as_deref())?;
                self.ping_answered(answer);
            }
            (Question::State, refusal) => self.state_answered(role, answer, refusal.as_deref())?,
            (Question::Hello3 | Question::Server | Question::Id, Some(words))
                if role == Role::Tracker && setup::is_temporary(&words) =>
            {
                return Err(Loss::Broken(io::Error::other(words)));
            }
            (Question::Hello3 | Question::Id, Some(words)) if role == Role::Tracker => {
                self.tracker.refused(words);
            }
            (Question::Rights, refusal) => {
                self.rights_answered(role, answer, refusal.as_deref())?;
            }
            (Question::Login, refusal) => self.login_answered(role, refusal.as_deref())?,
            (Question::Role, None) => require_master(setup::role(answer))?,
            (Question::Track, refusal) => self.redirected(role, refusal, now),
            (Question::Server, None) => self.identified(role, setup::run_id(answer))?,
            (Question::Hello3, refusal) if role == Role::Resp2 => {
                self.backend.hello[1] = greeting(answer, refusal);
            }
            (Question::Hello2, refusal) => {
                self.backend.hello[0] = greeting(answer, refusal);
                if self.settings.sentinels.is_some() {
                    // It may have refused to answer ROLE.
                    require_master(greeting_field(&self.backend.hello[0], "role"))?;
                }
            }
            (Question::Commands, refusal) => {
                self.backend.commands = read_specs(answer);
                self.backend.commands_refused = refusal.is_some();
            }
            (Question::Info, _) => self.info_answered(answer),
            (Question::Histograms, _) => self.histograms_answered(role, answer, now),
            (Question::Swaps(seen), _) => self.swaps_answered(role, seen, answer, now),
            (Question::TableMax, _) => self.table_max_answered(answer),
            (Question::TableKeys, _) => self.table_keys_answered(answer),
            (Question::OutputLimit, _) => self.output_limit_answered(answer),
            (Question::Slots, _) => self.slots_answered(answer),
            (Question::Id, None) => self.tracker.numbered(setup::number(answer)),
            _ => {}
        }
        Ok(())
    }

    /// Goes on as far as what was answered allows.
    fn advance(&mut self, now: Time) {
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
            // The first requests wait until it is known whether what they read can be kept.
            Reports::Opening if connection.phase == Phase::SettingUp => {
                self.want_tracker(now);
                // If it may be made only after a pause, they wait no longer.
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

    /// The connection of a link is set up: its requests may be written.
    fn link_is_up(&mut self, role: Role, now: Time) {
        self.set_open(role, now);
        if role == Role::Resp2 {
            self.up(now);
        } else if self.reconnecting.is_some() {
            self.events.push(Event::Reconnected);
        }
        self.log_reconnected(now);
    }

    fn set_open(&mut self, role: Role, now: Time) {
        self.ask_for_first_state(role, now);
        let error = setup::error_reply(&self.settings, "the request waited for too long");
        let mut replies = self.spare.pop().unwrap_or_default();
        let connection = self.connection(role);
        connection.phase = Phase::Open;
        connection.link.set_ready(&error, &mut replies);
        connection.opened = now;
        connection.heard = now;
        self.report_replies(role, replies);
    }

    /// If that was while Redis was there: a connection was lost and reopened.
    pub(super) fn log_reconnected(&mut self, now: Time) {
        if let Some(reason) = self.reconnecting.take()
            && let Some(left_out) = self.reconnects.admit(now)
        {
            log::info!(address:% = self.settings.address, reason, left_out; "reconnected");
        }
    }

    /// A connection is of no more use, or could not be made.
    pub fn lost(&mut self, role: Role, loss: Loss, now: Time) {
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
            // Whether the next one leads to the same server is unknown.
            Role::Resp2 if self.run_id.is_none() => return self.start_anew(&loss, now),
            Role::Resp2 => {
                self.state = State::Opening;
                self.reconnect(role, loss.to_string());
            }
            Role::Resp3 | Role::Other(_) if at_once => self.reconnect(role, loss.to_string()),
            // Its requests wait until it is known whether Redis is there.
            Role::Resp3 | Role::Other(_) if !self.is_up() => {}
            Role::Resp3 | Role::Other(_) => {
                let connection = self.connection(role);
                match connection.refusal.take() {
                    // There is no such database, say. Whoever asks for it hears that from Redis each time.
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
        self.advance(now);
    }

    pub(super) fn reconnect(&mut self, role: Role, reason: String) {
        // What came first is why the others are lost.
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
        let connection = self.connection(role);
        connection.phase = Phase::Closed;
        connection.reports_to = None;
        connection.redirecting = None;
        self.rights.lost(role);
    }

    /// What is in flight on a connection that is lost waits for another. Who waits for what can't be repeated is closed,
    /// or gets an error if it may be the request that brought the loss about: a library would repeat it.
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

    /// All clients' requests of a connection get the error.
    pub(super) fn fail(&mut self, role: Role, error: &[u8]) {
        let mut replies = self.spare.pop().unwrap_or_default();
        self.connection(role).link.fail(error, &mut replies);
        self.report_replies(role, replies);
    }

    /// Whether Redis knows HELLO, as it does since version 6.
    pub(super) fn knows_hello(&self) -> bool {
        !self.backend.hello[1].is_empty()
    }
}

/// What sentinels name the master has to be one.
///
/// # Errors
/// If it says that its role is another.
fn require_master(role: Option<String>) -> Result<(), Loss> {
    match role {
        Some(role) if role != "master" => Err(Loss::NotMaster(role)),
        _ => Ok(()),
    }
}

/// The longest reply to HELLO that is repeated to clients, in bytes. It names the modules.
const GREETING_MAX: usize = 64 * 1024;

/// The reply to HELLO, to be repeated to clients; nothing if Redis refused.
fn greeting(answer: &[u8], refusal: Option<String>) -> Vec<u8> {
    match refusal {
        None if answer.len() <= GREETING_MAX => answer.to_vec(),
        None | Some(_) => Vec::new(),
    }
}
