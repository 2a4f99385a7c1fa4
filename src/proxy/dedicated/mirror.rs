//! The state of a connection at Redis, mirrored from its replies.

use super::expectation::{Kind, Wanted};
use super::frames::Frame;
use super::silence::Silence;
use super::subscriptions::{Family, Subscriptions, Verb};
use super::transaction::{Queue, QueueIsFull, Transaction};
use crate::resp::Protocol;

/// The known state of a connection.
#[derive(Debug, Hash)]
pub(super) struct Mirror {
    protocol: Protocol,
    transaction: Transaction,
    subscriptions: Subscriptions,
    /// The connection is in `MONITOR` mode.
    monitors: bool,
    /// Keys are watched.
    watches: bool,
    /// The selected database.
    database: u32,
    silence: Silence,
    /// A request has left state on the connection that may last and that is not mirrored.
    lasting: bool,
}

/// What a frame is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Class {
    /// The reply to a request, or one of them.
    Reply,
    /// One of the replies to `SUBSCRIBE` and the like.
    Confirmation(Verb, Family),
    /// A published message, or an invalidation.
    Message,
    /// A line of `MONITOR`.
    MonitorLine,
}

/// What a frame means for the oldest request in flight.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Answer {
    /// Nothing: it is not a reply.
    Unsolicited,
    /// It is one of several replies; this kind expects the rest.
    More(Kind),
    /// The request is answered.
    Done,
    /// The reply is `+QUEUED`: `EXEC` will execute the request.
    Queued,
    /// The request is `EXEC`, and the replies to the queued requests follow.
    Executing,
    /// The request was `RESET`, and succeeded.
    Reset,
    /// The request was `QUIT`, and succeeded.
    Quit,
    /// From now on, Redis sends no replies.
    Stream,
}

const QUEUED: &[u8] = b"+QUEUED\r\n";

/// How the report of a broken redirection starts; the id of a connection follows.
const REDIRECTION_BROKEN: &[u8] = b">2\r\n$21\r\ntracking-redir-";

/// How a line of `MONITOR` that shows a `PING` ends.
const MONITORED_PING: &[u8] = b"] \"PING\"\r\n";

/// The frames that are told apart by name: what follows their first byte, and the class.
const NAMED: &[(&[u8], Class)] = &[
    (b"3\r\n$7\r\nmessage\r\n", Class::Message),
    (b"4\r\n$8\r\npmessage\r\n", Class::Message),
    (b"3\r\n$8\r\nsmessage\r\n", Class::Message),
    (
        b"3\r\n$9\r\nsubscribe\r\n",
        Class::Confirmation(Verb::Subscribe, Family::Channels),
    ),
    (
        b"3\r\n$10\r\npsubscribe\r\n",
        Class::Confirmation(Verb::Subscribe, Family::Patterns),
    ),
    (
        b"3\r\n$10\r\nssubscribe\r\n",
        Class::Confirmation(Verb::Subscribe, Family::Shards),
    ),
    (
        b"3\r\n$11\r\nunsubscribe\r\n",
        Class::Confirmation(Verb::Unsubscribe, Family::Channels),
    ),
    (
        b"3\r\n$12\r\npunsubscribe\r\n",
        Class::Confirmation(Verb::Unsubscribe, Family::Patterns),
    ),
    (
        b"3\r\n$12\r\nsunsubscribe\r\n",
        Class::Confirmation(Verb::Unsubscribe, Family::Shards),
    ),
];

impl Mirror {
    /// A fresh connection, in this database.
    pub fn new(protocol: Protocol, database: u32) -> Self {
        Self {
            protocol,
            transaction: Transaction::None,
            subscriptions: Subscriptions::default(),
            monitors: false,
            watches: false,
            database,
            silence: Silence::default(),
            lasting: false,
        }
    }

    /// Whether Redis sends unsolicited messages.
    pub fn listens(&self) -> bool {
        self.subscriptions.any() || self.monitors
    }

    /// Whether it has no state left, except that another database may be selected.
    pub fn is_neutral(&self) -> bool {
        self.transaction == Transaction::None
            && !self.listens()
            && !self.watches
            && self.silence == Silence::default()
            && !self.lasting
    }

    /// Whether it has no state left but subscriptions, alongside which other requests may be sent.
    pub fn only_listens(&self) -> bool {
        (self.protocol == Protocol::Resp3 || !self.subscriptions.any())
            && self.transaction == Transaction::None
            && !self.monitors
            && !self.watches
            && self.silence == Silence::default()
            && !self.lasting
    }

    /// A request may leave lasting state beyond what is mirrored.
    pub fn set_lasting(&mut self) {
        self.lasting = true;
    }

    /// Whether requests are queued.
    pub fn queues(&self) -> bool {
        matches!(self.transaction, Transaction::Open(_))
    }

    /// The request whose reply is due: a queued one while `EXEC` is being answered, else the oldest in flight, `front`.
    pub fn due(&self, front: Option<Kind>) -> Option<Kind> {
        match &self.transaction {
            Transaction::Executing(queue) => queue.front(),
            Transaction::None | Transaction::Open(_) => front,
        }
    }

    /// How many requests are queued, if the connection is in a transaction.
    pub fn queued(&self) -> Option<u64> {
        match &self.transaction {
            Transaction::Open(queue) => Some(queue.len()),
            Transaction::None | Transaction::Executing(_) => None,
        }
    }

    pub fn protocol(&self) -> Protocol {
        self.protocol
    }

    pub fn database(&self) -> u32 {
        self.database
    }

    /// The proxy itself has selected a database.
    pub fn set_database(&mut self, database: u32) {
        self.database = database;
    }

    /// The numbers of subscriptions to channels, patterns and shard channels.
    pub fn subscriptions(&self) -> [usize; 3] {
        [Family::Channels, Family::Patterns, Family::Shards]
            .map(|family| self.subscriptions.of(family))
    }

    /// Whether the connection is in `MONITOR` mode, so that Redis shows all clients' requests.
    pub fn monitors(&self) -> bool {
        self.monitors
    }

    /// The queued requests whose replies are arriving in `EXEC`'s array.
    pub fn executing(&mut self) -> Option<&mut Queue> {
        match &mut self.transaction {
            Transaction::Executing(queue) => Some(queue),
            Transaction::None | Transaction::Open(_) => None,
        }
    }

    /// Adds a request that was answered with `+QUEUED`.
    ///
    /// # Errors
    /// If there are too many.
    pub fn push_queued(&mut self, kind: Kind) -> Result<(), QueueIsFull> {
        match &mut self.transaction {
            Transaction::Open(queue) if kind == Kind::Script => queue.push(Kind::Plain),
            Transaction::Open(queue) if matches!(kind, Kind::Altered(_, true)) => {
                let Kind::Altered(number, _) = kind else {
                    return Ok(());
                };
                queue.push(Kind::Altered(number, false))
            }
            Transaction::Open(queue) => queue.push(kind),
            Transaction::None | Transaction::Executing(_) => Ok(()),
        }
    }

    /// Whether Redis does not reply to a request of this kind in the current state.
    pub fn leaves_unanswered(&self, kind: Kind) -> bool {
        match kind {
            Kind::Blank => true,
            Kind::Monitor | Kind::Sync => self.monitors && !self.queues() && !self.refuses_most(),
            _ => false,
        }
    }

    /// Whether a replication stream starts with this byte, when the reply to `asked` is due.
    pub fn starts_stream(&self, first: u8, asked: Option<Kind>) -> bool {
        asked == Some(Kind::Sync) && !matches!(first, b'-' | b'>') && !self.refuses_most()
    }

    /// Whether the connection is in RESP2's subscribed state, where Redis refuses most commands, and messages look like
    /// replies.
    fn refuses_most(&self) -> bool {
        self.protocol == Protocol::Resp2 && self.subscriptions.any()
    }

    /// The class of a frame that starts like this, where the reply to `asked` is due. `None` if more bytes are needed.
    pub fn class(&self, start: &[u8], asked: Option<Kind>) -> Option<Class> {
        let subscribes = || {
            self.subscriptions.any()
                || matches!(asked, Some(Kind::Subscribe(..) | Kind::Unsubscribe(..)))
        };
        match start {
            [] => None,
            [b'>', rest @ ..] => named(rest, Class::Message),
            [b'*', rest @ ..] if self.protocol == Protocol::Resp2 && subscribes() => {
                named(rest, Class::Reply)
            }
            // No command that Redis allows here is answered by a status that starts with a digit.
            [b'+'] if self.monitors => None,
            [b'+', b'0'..=b'9', ..] if self.monitors => Some(Class::MonitorLine),
            _ => Some(Class::Reply),
        }
    }

    /// Whether a frame may reveal other clients' writes to the client, given its first and (so far) last bytes, when
    /// the reply to `asked` is due.
    pub fn tells_of_others(&self, start: &[u8], end: &[u8], asked: Option<Kind>) -> bool {
        match self.class(start, asked) {
            // A `PING` changes nothing, and may come from another proxy's barrier, in answer to which ours would send
            // another `PING`.
            Some(Class::MonitorLine) => !end.ends_with(MONITORED_PING),
            None | Some(Class::Message) => true,
            Some(Class::Confirmation(..)) => false,
            Some(Class::Reply) => {
                asked.is_none_or(Kind::tells_of_others) && !start.starts_with(QUEUED)
            }
        }
    }

    /// Whether the client wants a frame that starts like this, where the reply to `asked` is due. `None` if more bytes
    /// are needed.
    pub fn is_wanted(&self, start: &[u8], asked: Option<Kind>) -> Option<bool> {
        let silent = self.silence.leaves_out();
        if !silent && !asked.is_some_and(Kind::is_substituted) {
            return Some(true);
        }
        match self.class(start, asked)? {
            // CLIENT REPLY does not affect these.
            Class::Message | Class::Confirmation(..) => return Some(true),
            Class::MonitorLine => return Some(!silent),
            Class::Reply => {}
        }
        let changes = matches!(asked, Some(Kind::Reply(_) | Kind::Unanswered));
        match (asked, start) {
            (_, [b'-', ..]) => Some(!silent),
            (_, [b'+']) if changes => None,
            (_, [b'+', b'Q', ..]) if changes => Some(!silent),
            (Some(Kind::Reply(wanted)), _) => Some(wanted == Wanted::All),
            (Some(Kind::Unanswered), _) => Some(false),
            (Some(Kind::Reset), _) => Some(!self.silence.leaves_out_reset()),
            _ => Some(!silent),
        }
    }

    /// Whether the client wants no reply to the current request.
    pub fn is_silent(&self) -> bool {
        self.silence.leaves_out()
    }

    /// Whether the proxy edits a frame that starts like this, when the reply to `asked` is due. `None` if more bytes
    /// are needed. Errors are passed on as they are, and so is `+QUEUED`.
    pub fn is_edited(&self, start: &[u8], asked: Option<Kind>) -> Option<bool> {
        if starts_with(start, REDIRECTION_BROKEN)? {
            return Some(true);
        }
        if let Some(Kind::Refused(_)) = asked {
            return Some(self.class(start, asked)? == Class::Reply);
        }
        if !matches!(
            asked,
            Some(Kind::Edited(_) | Kind::Altered(..) | Kind::Hello(1..))
        ) {
            return Some(false);
        }
        match (self.class(start, asked)?, start) {
            (Class::Reply, [b'-', ..] | [b'+', b'Q', ..]) => Some(false),
            (Class::Reply, [b'+']) => None,
            (class, _) => Some(class == Class::Reply),
        }
    }

    /// A complete frame has arrived, where the reply to `asked` was due.
    pub fn take(&mut self, frame: &Frame, asked: Option<Kind>) -> Answer {
        let class = self.class(frame.start(), asked).unwrap_or(Class::Reply);
        match (class, asked) {
            (Class::Confirmation(verb, family), _) => self.confirm(verb, family, frame, asked),
            (Class::Reply, Some(kind)) => self.reply(frame, kind),
            (Class::Reply, None) | (Class::Message | Class::MonitorLine, _) => Answer::Unsolicited,
        }
    }

    /// The oldest request is complete.
    pub fn end_request(&mut self) {
        if let Transaction::Executing(_) = self.transaction {
            self.transaction = Transaction::None;
        }
        self.silence.end_request();
    }

    fn confirm(
        &mut self,
        verb: Verb,
        family: Family,
        frame: &Frame,
        asked: Option<Kind>,
    ) -> Answer {
        let before = self.subscriptions.of(family);
        if let Some(count) = frame.last_integer() {
            self.subscriptions.confirm(family, count);
        }
        match (verb, asked) {
            (Verb::Subscribe, Some(Kind::Subscribe(of, left))) if of == family && left > 1 => {
                Answer::More(Kind::Subscribe(family, left - 1))
            }
            (Verb::Subscribe, Some(Kind::Subscribe(of, _))) if of == family => Answer::Done,
            (Verb::Unsubscribe, Some(Kind::Unsubscribe(of, left))) if of == family => {
                let all = u32::try_from(before).unwrap_or(u32::MAX);
                match if left == 0 { all } else { left } {
                    left @ 2.. => Answer::More(Kind::Unsubscribe(family, left - 1)),
                    _ => Answer::Done,
                }
            }
            // Redis ends subscriptions to a shard when its slot moves to another server.
            _ => Answer::Unsolicited,
        }
    }

    fn reply(&mut self, frame: &Frame, kind: Kind) -> Answer {
        let executing = matches!(self.transaction, Transaction::Executing(_));
        let is_script = matches!(kind, Kind::Script | Kind::Altered(_, true)) && !self.queues();
        if frame.is(QUEUED) && !executing && !is_script {
            if !self.queues() {
                // `MULTI` has been renamed to something that Redis has not described.
                self.transaction = Transaction::Open(Queue::default());
            }
            return Answer::Queued;
        }
        if frame.is_error() {
            // This error ends the transaction; other errors leave it open.
            if kind == Kind::Exec && frame.start().starts_with(b"-EXECABORT") {
                self.transaction = Transaction::None;
                self.watches = false;
            }
            return Answer::Done;
        }
        self.succeed(frame, kind)
    }

    /// A request was answered without an error.
    fn succeed(&mut self, frame: &Frame, kind: Kind) -> Answer {
        match kind {
            Kind::Multi | Kind::AnsweredMulti => {
                self.transaction = Transaction::Open(Queue::default())
            }
            Kind::Discard => {
                self.transaction = Transaction::None;
                self.watches = false;
            }
            Kind::Exec => return self.execute(frame),
            Kind::Reset => return Answer::Reset,
            Kind::Quit => return Answer::Quit,
            // In a transaction, the request would have been queued.
            _ if self.queues() => self.transaction = Transaction::None,
            _ => {}
        }
        match kind {
            Kind::Hello(_) if frame.start().starts_with(b"%") => self.protocol = Protocol::Resp3,
            Kind::Hello(_) => self.protocol = Protocol::Resp2,
            Kind::Monitor => self.monitors = true,
            Kind::Watch => self.watches = true,
            Kind::Unwatch => self.watches = false,
            Kind::Select(Some(database)) => self.database = database,
            Kind::Reply(wanted) => self.silence.set(wanted),
            Kind::ScriptDebug => return Answer::Stream,
            _ => {}
        }
        Answer::Done
    }

    /// `EXEC` was answered with an array, or with null if a watched key was written.
    fn execute(&mut self, frame: &Frame) -> Answer {
        let transaction = std::mem::take(&mut self.transaction);
        self.watches = false;
        let count = frame
            .array_header()
            .and_then(|count| u64::try_from(count).ok());
        if let (Transaction::Open(mut queue), Some(count @ 1..)) = (transaction, count) {
            queue.execute(count);
            self.transaction = Transaction::Executing(queue);
            return Answer::Executing;
        }
        Answer::Done
    }
}

/// Whether a frame with these first bytes starts like this. `None` if more are needed.
fn starts_with(start: &[u8], wanted: &[u8]) -> Option<bool> {
    match start.starts_with(wanted) {
        false if wanted.starts_with(start) => None,
        starts => Some(starts),
    }
}

/// The class of a frame, given what follows its first byte.
fn named(rest: &[u8], otherwise: Class) -> Option<Class> {
    for (name, class) in NAMED {
        if rest.starts_with(name) {
            return Some(*class);
        }
        if name.starts_with(rest) {
            return None;
        }
    }
    Some(otherwise)
}
