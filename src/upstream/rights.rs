//! Checks whether the proxy's user may still read what it could read when the cache was filled, and may still log in.
//!
//! Redis reports neither: connections outlive a changed password and a disabled user, and permissions for keys and
//! commands change silently. So while an outage would matter, Redis is asked every [`ASK_AFTER`], and also at once when
//! it denies a request on a shared connection. `ACL GETUSER` of the proxy's own user answers both questions, as it
//! shows the user's permissions, its passwords and whether it is enabled. When the answer changes, the cache is
//! emptied, and the proxy logs in again on the same connection. If the command is denied, only the login is repeated,
//! and entries are kept for [`UNKNOWN_TTL`](super::UNKNOWN_TTL) at most.

use std::hash::{BuildHasher, RandomState};
use std::time::Duration;

use super::Event;
use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use crate::clock::Time;
use crate::config::Secret;

/// How often Redis is asked for the permissions.
const ASK_AFTER: Duration = Duration::from_secs(1);

/// The shortest time between two questions, whatever Redis denies: clients may cause denials as often as they like.
const ASK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// Redis's error to clients that give no password.
const NOAUTH: &str = "NOAUTH Authentication required.";

/// What is known of the user's permissions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Known {
    /// Redis has not been asked.
    Nothing,
    /// The permissions, as a salted hash.
    Hash(u64),
    /// Redis does not reveal them.
    Refused,
}

/// What is known of the user's permissions, and when to ask again.
#[derive(Debug)]
pub(super) struct Rights {
    salt: RandomState,
    known: Known,
    /// The connection on which the permissions were shown, as their encoding depends on its protocol version.
    shown_on: Option<Role>,
    asked: Time,
    /// The connection on which a question is in flight.
    in_flight: Option<Role>,
    /// Redis has denied a request since the last question.
    doubted: bool,
    /// The login must be repeated, with the current password.
    login_is_due: bool,
}

impl Default for Rights {
    fn default() -> Self {
        Self {
            salt: RandomState::new(),
            known: Known::Nothing,
            shown_on: None,
            asked: Time::default(),
            in_flight: None,
            doubted: false,
            login_is_due: false,
        }
    }
}

impl Rights {
    /// When to ask next. `None` while a question is in flight.
    fn due(&self) -> Option<Time> {
        let pause = match self.doubted {
            true => ASK_AGAIN_AFTER,
            false => ASK_AFTER,
        };
        self.in_flight.is_none().then(|| self.asked.after(pause))
    }

    /// A connection is lost, and with it any answer on it.
    pub fn lost(&mut self, role: Role) {
        self.in_flight.take_if(|asked| *asked == role);
    }
}

/// Whether Redis has no such command.
fn is_unknown(words: &str) -> bool {
    words.starts_with("ERR unknown command")
}

impl Node {
    /// When [`Self::ask_for_rights`] is due, if an outage would matter.
    pub(super) fn rights_due(&self) -> Option<Time> {
        let due = self.rights.due().filter(|_| self.watched)?;
        self.role_for_rights().map(|_| due)
    }

    /// The connection to ask on: the tracker, as it carries no clients' replies.
    fn role_for_rights(&self) -> Option<Role> {
        let is_open = |role: &Role| {
            self.connections()
                .any(|(other, connection)| other == *role && connection.phase == Phase::Open)
        };
        [Role::Tracker, Role::Resp2].into_iter().find(is_open)
    }

    /// Asks for the user's permissions, if that is due.
    pub(super) fn ask_for_rights(&mut self, now: Time) {
        if self.rights_due().is_none_or(|due| due > now) {
            return;
        }
        let Some(role) = self.role_for_rights() else {
            return;
        };
        self.rights.asked = now;
        self.rights.doubted = false;
        self.rights.in_flight = Some(role);
        let (question, command) = match self.rights.known {
            Known::Nothing | Known::Hash(_) => (Question::Rights, setup::rights(&self.settings)),
            Known::Refused => (Question::Login, setup::login(&self.settings)),
        };
        let encoded = command.get_packed_command();
        self.connection(role).link.ask(question, &encoded, now);
        self.ask_unreported(role, now);
    }

    /// Redis has denied a client's request, so the permissions may have changed.
    pub(super) fn doubt_rights(&mut self) {
        self.rights.doubted = true;
    }

    /// Handles Redis's answer with the user's permissions, or the error with which Redis denies it.
    pub(super) fn rights_answered(
        &mut self,
        role: Role,
        answer: &[u8],
        refusal: Option<&str>,
    ) -> Result<(), Loss> {
        self.rights.lost(role);
        if let Some(words) = refusal.filter(|words| setup::refuses_login(words)) {
            return Err(Loss::Refused(words.to_owned()));
        }
        if refusal.is_some_and(setup::is_temporary) {
            // The error says nothing about permissions.
            return Ok(());
        }
        let known = match refusal {
            None => Known::Hash(self.rights.salt.hash_one(answer)),
            // A Redis without `HELLO` is older than version 6, and has no users.
            Some(words) if is_unknown(words) && !self.knows_hello() => Known::Hash(0),
            Some(_) => Known::Refused,
        };
        let before = std::mem::replace(&mut self.rights.known, known);
        let shown_before_on = self.rights.shown_on.replace(role);
        if before == known {
            return Ok(());
        }
        self.forget_refusals();
        if before != Known::Nothing && shown_before_on == Some(role) {
            log::info!("permissions of the proxy's user changed");
            self.rights.login_is_due = true;
        }
        if before != Known::Nothing || known == Known::Refused {
            self.report_rights();
        }
        Ok(())
    }

    /// Handles the answer to the repeated login, which was accepted unless there is a refusal.
    pub(super) fn login_answered(&mut self, role: Role, refusal: Option<&str>) -> Result<(), Loss> {
        self.rights.lost(role);
        match refusal.filter(|words| setup::refuses_login(words)) {
            Some(_) if self.settings.password.is_none() => Err(Loss::Refused(NOAUTH.to_owned())),
            Some(words) => Err(Loss::Refused(words.to_owned())),
            None => Ok(()),
        }
    }

    /// Reports that the user may have other permissions than before.
    pub(super) fn report_rights(&mut self) {
        let known = self.rights.known != Known::Refused;
        self.events.push(Event::Rights { known });
    }

    /// Whether to reread the password, which may have changed, as the login must be repeated or was refused. Returns
    /// true once.
    pub(super) fn takes_password(&mut self) -> bool {
        std::mem::take(&mut self.rights.login_is_due)
    }

    /// Logs in again on the connection where permissions are asked for, with the current password, if one was read.
    pub(super) fn log_in_again(&mut self, password: Option<Secret>, now: Time) {
        let is_new = password.is_some() && password != self.settings.password;
        if let Some(password) = password.filter(|_| is_new) {
            self.events.push(Event::Password(password.clone()));
            self.settings.password = Some(password);
        }
        if let Some(role) = self.role_for_rights() {
            let encoded = setup::login(&self.settings).get_packed_command();
            let link = &mut self.connection(role).link;
            link.ask(Question::Login, &encoded, now);
        } else if is_new {
            self.retry_at_once(now);
        }
    }

    /// The login was refused.
    pub(super) fn login_refused(&mut self) {
        self.rights.login_is_due = true;
        self.report_rights();
    }
}

#[cfg(test)]
pub(super) mod tests {
    use super::super::{Batch, LinkId, NodeId, Settings};
    use super::*;
    use crate::config::RedisAddress;
    use crate::resp::Protocol;
    use crate::transport::Source;
    use crate::transport::dial::Dialer;

    /// The settings of a proxy that logs in with this password, without tracking.
    pub(in crate::upstream) fn settings(password: Option<&str>) -> Settings {
        Settings {
            address: RedisAddress::default(),
            sentinels: None,
            cluster: None,
            reads_replicas: false,
            is_replica: false,
            dialer: Dialer {
                tls: None,
                timeout: Duration::from_secs(1),
                keepalive: Duration::ZERO,
            },
            wait: Duration::from_secs(1),
            database: 0,
            username: None,
            password: password.map(Secret::new),
            password_file: None,
            tracking: false,
        }
    }

    /// A Redis that is there, whose changes are not tracked, where the proxy logs in by this password.
    pub(in crate::upstream) fn node(password: Option<&str>, rights: &str) -> Node {
        let mut node = Node::new(NodeId::default(), settings(password));
        let login = if password.is_some() { "+OK\r\n" } else { "" };
        let resp2 = format!("{login}+OK\r\n%0\r\n*0\r\n*0\r\n$0\r\n\r\n$0\r\n\r\n+PONG\r\n");
        let tracker = format!("{login}+OK\r\n*1\r\n+hello\r\n*0\r\n{rights}+PONG\r\n");
        for (role, replies) in [(Role::Resp2, resp2), (Role::Tracker, tracker)] {
            assert_eq!(node.wants(), Some(role));
            node.connecting(role, at(0));
            node.connected(role, None, at(0));
            asked(&mut node, role);
            node.received(role, replies.as_bytes(), at(0));
        }
        assert!(asked(&mut node, Role::Tracker).contains(LIMIT));
        node.received(Role::Tracker, NO_LIMIT, at(0));
        // How the connection is, is not shown.
        asked(&mut node, Role::Resp2);
        node.received(Role::Resp2, b"-NOPERM no\r\n", at(0));
        assert_eq!(node.wants(), None);
        node.set_watched(true, at(0));
        node
    }

    /// A request of a client comes.
    pub(in crate::upstream) fn request(
        node: &mut Node,
        protocol: Protocol,
        repeatable: bool,
        request: &str,
        now: Time,
    ) {
        let mut batch = Batch::default();
        batch.push(repeatable, |out| out.extend_from_slice(request.as_bytes()));
        let link = LinkId::new(protocol, 0).at(node.id);
        node.send(link, &mut batch, now);
    }

    pub(in crate::upstream) fn at(milliseconds: u64) -> Time {
        Time::default().after(Duration::from_millis(milliseconds))
    }

    /// What a connection has to send.
    pub(in crate::upstream) fn asked(node: &mut Node, role: Role) -> String {
        let mut sent = Vec::new();
        let link = &mut node.connection(role).link;
        while !Source::is_empty(link) {
            Source::send(link, &mut sent).expect("a list takes all");
        }
        String::from_utf8(sent).expect("a text")
    }

    /// Answers what the tracker asks.
    pub(in crate::upstream) fn answer_tracker(node: &mut Node, now: Time) {
        for word in asked(node, Role::Tracker).lines() {
            match word.to_ascii_uppercase().as_str() {
                "GETUSER" => node.received(Role::Tracker, RIGHTS.as_bytes(), now),
                "HISTOGRAM" => node.received(Role::Tracker, b"*0\r\n", now),
                "PING" => node.received(Role::Tracker, b"+PONG\r\n", now),
                word if word.eq_ignore_ascii_case(LIMIT) => {
                    node.received(Role::Tracker, NO_LIMIT, now)
                }
                _ => {}
            }
        }
    }

    /// Answers what the tracker asks at a moment, and returns what it asked and what was reported.
    fn answer(node: &mut Node, now: Time, reply: &str) -> (String, Vec<Event>) {
        node.events.clear();
        if node.due().is_some_and(|due| due <= now) {
            node.tick(now);
        }
        if !asked(node, Role::Resp2).is_empty() {
            node.received(Role::Resp2, b"+PONG\r\n", now);
        }
        let mut asked = asked(node, Role::Tracker);
        if !asked.is_empty() {
            node.received(Role::Tracker, reply.as_bytes(), now);
        }
        if let Some(at) = asked.find(UNREPORTED) {
            let limit = if asked.contains(LIMIT) { NO_LIMIT } else { b"" };
            asked.truncate(at);
            let answers = [b"*0\r\n", limit, b"+PONG\r\n"].concat();
            node.received(Role::Tracker, &answers, now);
        }
        (asked, std::mem::take(&mut node.events))
    }

    pub(in crate::upstream) const RIGHTS: &str = "*2\r\n$4\r\nkeys\r\n$2\r\n~*\r\n";
    const LIMIT: &str = "client-output-buffer-limit";
    const NO_LIMIT: &[u8] = b"*2\r\n$26\r\nclient-output-buffer-limit\r\n$12\r\nnormal 0 0 0\r\n";
    const FEWER: &str = "*2\r\n$4\r\nkeys\r\n$2\r\n~a\r\n";
    const GETUSER: &str = "*3\r\n$3\r\nAcL\r\n$7\r\nGETUSER\r\n$7\r\ndefault\r\n";
    /// What is asked behind it each time.
    const UNREPORTED: &str = "*3\r\n$7\r\nLaTENCY\r\n";
    const WRONGPASS: &str = "-WRONGPASS no\r\n";

    #[test]
    fn rights_are_asked_for_each_second_and_reported_when_they_change() {
        let mut node = node(Some("old"), RIGHTS);
        assert_eq!(answer(&mut node, at(999), RIGHTS).0, "");
        for second in 1..4 {
            let (asked, reported) = answer(&mut node, at(1000 * second), RIGHTS);
            assert_eq!((&asked[..], &reported[..]), (GETUSER, &[][..]));
        }
        let (_, reported) = answer(&mut node, at(4000), FEWER);
        assert_eq!(reported, [Event::Rights { known: true }]);
        // The login is repeated, by a password that may be new.
        assert!(node.takes_password() && !node.takes_password());
        node.log_in_again(Some(Secret::new("new")), at(4000));
        let (asked, reported) = answer(&mut node, at(4000), "+OK\r\n");
        assert_eq!(asked, "*2\r\n$4\r\nAuTH\r\n$3\r\nnew\r\n");
        assert_eq!(reported, []);
    }

    #[test]
    fn a_redis_that_is_busy_says_nothing_of_rights() {
        let mut node = node(None, RIGHTS);
        for second in 1..4 {
            let (asked, reported) = answer(&mut node, at(1000 * second), "-BUSY a script\r\n");
            assert_eq!((&asked[..], &reported[..]), (GETUSER, &[][..]));
            assert!(!node.takes_password());
        }
        assert_eq!(answer(&mut node, at(4000), RIGHTS).1, []);
    }

    #[test]
    fn while_a_reply_is_late_the_others_are_asked_often_enough_however_late_the_helper_is() {
        for lateness in [0, 1, 20, 200] {
            let mut node = node(None, RIGHTS);
            request(&mut node, Protocol::Resp2, false, "EVAL\r\n", at(100));
            while let Some(due) = node.due().filter(|due| *due < at(8000)) {
                let now = due.after(Duration::from_millis(lateness));
                node.events.clear();
                node.tick(now);
                asked(&mut node, Role::Resp2);
                answer_tracker(&mut node, now);
                let is_down = |event: &Event| matches!(event, Event::Down { .. });
                assert!(!node.events.iter().any(is_down), "{lateness} ms late");
            }
        }
    }

    #[test]
    fn a_login_that_is_refused_ends_all_connections() {
        let mut node = node(Some("old"), RIGHTS);
        answer(&mut node, at(1000), FEWER);
        assert!(node.takes_password());
        node.log_in_again(None, at(1000));
        let (_, reported) = answer(&mut node, at(1000), WRONGPASS);
        let error = WRONGPASS.as_bytes().to_vec();
        assert_eq!(
            reported,
            [
                Event::Rights { known: true },
                Event::Down {
                    error,
                    refused: true
                }
            ]
        );
        for role in node.roles() {
            assert_eq!(node.connection(role).phase, Phase::Closed);
        }
        // A new password is tried at once, the old one after a pause.
        assert!(node.takes_password());
        node.log_in_again(Some(Secret::new("old")), at(1000));
        assert!(node.due().is_some_and(|due| due > at(2000)));
        node.log_in_again(Some(Secret::new("new")), at(1000));
        assert_eq!(node.due(), Some(at(1000)));
    }

    #[test]
    fn where_rights_are_not_shown_the_login_is_repeated() {
        let mut node = node(None, "-NOPERM no\r\n");
        assert!(node.events.contains(&Event::Rights { known: false }));
        let (asked, reported) = answer(&mut node, at(1000), "+OK\r\n");
        assert_eq!(asked, "*3\r\n$4\r\nAuTH\r\n$7\r\ndefault\r\n$0\r\n\r\n");
        assert_eq!(reported, []);
    }

    #[test]
    fn rights_are_asked_for_at_once_when_redis_refuses_a_request_but_not_too_often() {
        let mut node = node(None, RIGHTS);
        answer(&mut node, at(1000), RIGHTS);
        let mut count = 0;
        for moment in 1001..2000 {
            node.doubt_rights();
            let (asked, _) = answer(&mut node, at(moment), RIGHTS);
            count += usize::from(asked == GETUSER);
        }
        assert_eq!(count, 9);
    }
}
