//! Detects whether a shared connection still has the state that it was set up with.
//!
//! As far as the proxy knows, no request that leaves state is sent over a shared connection. If one was nevertheless (a
//! renamed command, for example), every client would get wrong replies from then on. So while an outage would matter,
//! each link asks every [`CHECK_AFTER`] for a reply that would be different on such a connection. `PING` reveals a
//! transaction and subscriptions; `CLIENT INFO`, since Redis 6.2, also reveals the database, the user and whether
//! changes are reported. It is first sent when a connection is set up, and later answers must match the first. A
//! permission error reveals nothing.

use std::time::Duration;

use super::health::CHECK_AFTER;
use super::node::{Loss, Node, Phase, Role, STEADY, USELESS};
use super::setup::{self, Question};
use crate::clock::Time;
use crate::resp::read::Reader;

/// The shortest time between two checks of a connection whose replies look as if its state had changed.
const CHECK_AGAIN_AFTER: Duration = Duration::from_millis(100);

/// The known state of a connection.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    asked: Time,
    in_flight: bool,
    /// A reply looked as if the state had changed.
    doubted: bool,
    shown: Shown,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum Shown {
    /// The state has not been asked for.
    #[default]
    Unknown,
    /// These fields were shown when the connection was set up.
    Fields(String),
    /// Redis does not reveal the state.
    Refused,
}

/// The fields of `CLIENT INFO` that no request on a shared connection changes.
const FIELDS: &[&str] = &[
    "db", "user", "resp", "multi", "watch", "sub", "psub", "ssub", "flags",
];

/// The flags that may change: none, and those of tracking, which are checked separately.
const FLAGS_IGNORED: &[char] = &['N', 'R', 't'];

/// A reply to `CLIENT INFO`.
struct Info<'a>(&'a str);

impl<'a> Info<'a> {
    fn fields(&self) -> impl Iterator<Item = (&'a str, &'a str)> {
        self.0
            .split_whitespace()
            .filter_map(|field| field.split_once('='))
    }

    fn field(&self, name: &str) -> Option<&'a str> {
        let mut fields = self.fields();
        fields
            .find(|(known, _)| *known == name)
            .map(|(_, value)| value)
    }

    /// The fields that must not change.
    fn lasting(&self) -> String {
        let mut text = String::new();
        for (name, value) in self.fields().filter(|(name, _)| FIELDS.contains(name)) {
            let value = match name {
                "flags" => value.replace(FLAGS_IGNORED, ""),
                _ => value.to_owned(),
            };
            text += &format!("{name}={value} ");
        }
        text
    }

    /// Whether changes of what is read are reported to the connection with that id, if Redis shows it.
    fn reports_to(&self, id: i64) -> bool {
        let is_on = self.field("flags").is_none_or(|flags| flags.contains('t'));
        let redirect = self
            .field("redir")
            .is_none_or(|redirect| redirect == id.to_string());
        is_on && redirect
    }
}

/// The difference between two states.
fn difference(before: &str, now: &str) -> String {
    let mut fields = now.split(' ').zip(before.split(' '));
    match fields.find(|(now, before)| now != before) {
        Some((now, before)) => format!("{now} in place of {before}"),
        None => "other fields".to_owned(),
    }
}

impl Node {
    /// Asks for the state of a connection, before the first client's request.
    pub(super) fn ask_for_first_state(&mut self, role: Role, now: Time) {
        self.connection(role).state = ConnectionState::default();
        if role != Role::Tracker {
            self.ask_for_state(role, now);
        }
    }

    fn ask_for_state(&mut self, role: Role, now: Time) {
        let connection = self.connection(role);
        connection.state.asked = now;
        connection.state.doubted = false;
        connection.state.in_flight = true;
        if connection.state.shown != Shown::Refused {
            connection.link.ask(Question::State, &setup::state(), now);
        }
    }

    /// When to check a link.
    pub(super) fn state_due(&self, role: Role) -> Option<Time> {
        let connection = &self.connections[role.place()];
        let state = &connection.state;
        let pause = match state.doubted {
            true => CHECK_AGAIN_AFTER,
            false => CHECK_AFTER,
        };
        let may_be =
            connection.serves.is_some() && connection.phase == Phase::Open && !state.in_flight;
        (may_be && (self.watched || state.doubted)).then(|| state.asked.after(pause))
    }

    /// Checks the links that are due.
    pub(super) fn check_states(&mut self, now: Time) {
        for role in self.links() {
            if self.state_due(role).is_some_and(|due| due <= now) {
                let link = &mut self.connection(role).link;
                link.ask(Question::Ping, &setup::ping(), now);
                self.ask_for_state(role, now);
            }
        }
    }

    /// A client's reply looked as if the connection's state had changed.
    pub(super) fn doubt_state(&mut self, role: Role) {
        self.connection(role).state.doubted = true;
    }

    /// Handles the answer to `PING`.
    ///
    /// # Errors
    /// If it is not the answer on a connection without state.
    pub(super) fn pinged(
        &mut self,
        role: Role,
        answer: &[u8],
        refusal: Option<&str>,
    ) -> Result<(), Loss> {
        let state = &mut self.connection(role).state;
        // If Redis reveals the state, its answer about that follows this one.
        state.in_flight &= state.shown != Shown::Refused;
        match refusal {
            Some(words) if setup::refuses_all(words) => Err(Loss::Refused(words.to_owned())),
            Some(words) if setup::refuses_context(words) => Err(altered("it is subscribed")),
            Some(_) => Ok(()),
            None if answer == b"+PONG\r\n" => Ok(()),
            None => Err(altered("PING got an unexpected reply")),
        }
    }

    /// Redis has revealed a connection's state, or refused to.
    ///
    /// # Errors
    /// If the state has changed.
    pub(super) fn state_answered(
        &mut self,
        role: Role,
        answer: &[u8],
        refusal: Option<&str>,
    ) -> Result<(), Loss> {
        let connection = self.connection(role);
        let state = &mut connection.state;
        state.in_flight = false;
        if let Some(words) = refusal {
            return match &state.shown {
                _ if setup::refuses_context(words) => Err(altered("it is subscribed")),
                // The user's permissions have changed, or the connection has another user: a new connection will show
                // which.
                Shown::Fields(_) if words.starts_with("NOPERM ") => {
                    Err(altered("its user has fewer permissions"))
                }
                Shown::Fields(_) => Ok(()),
                Shown::Unknown | Shown::Refused => {
                    state.shown = Shown::Refused;
                    Ok(())
                }
            };
        }
        let text = Reader::new(answer).verbatim().map(String::from_utf8_lossy);
        let Some(text) = text else {
            return Err(altered("CLIENT INFO got an unexpected reply"));
        };
        let info = Info(&text);
        if connection.reports_to.is_some_and(|id| !info.reports_to(id)) {
            return Err(altered("changes are no longer reported"));
        }
        let fields = info.lasting();
        match &state.shown {
            Shown::Fields(before) if *before != fields => {
                Err(altered(&difference(before, &fields)))
            }
            Shown::Fields(_) => Ok(()),
            Shown::Unknown | Shown::Refused => {
                state.shown = Shown::Fields(fields);
                Ok(())
            }
        }
    }

    /// A connection's state has changed, so its replies can't be trusted: reopens all connections, after a pause if
    /// reopening them has not helped.
    pub(super) fn distrust(&mut self, role: Role, loss: &Loss, now: Time) {
        self.report_rights();
        let (latest, count) = self.distrusted;
        let count = match latest.after(STEADY) > now {
            true => count.saturating_add(1),
            false => 1,
        };
        self.distrusted = (now, count);
        if self.connection(role).phase == Phase::Open && count <= USELESS {
            self.start_anew(loss, now);
        } else {
            self.down(loss, now);
        }
    }
}

pub(super) fn altered(how: &str) -> Loss {
    Loss::Altered(how.to_owned())
}

#[cfg(test)]
mod tests {
    use super::super::Event;
    use super::super::rights::tests::{RIGHTS, answer_tracker, asked, at, node, request};
    use super::*;
    use crate::resp::Protocol;

    const CHECK: &str = "*1\r\n$4\r\nPiNG\r\n*2\r\n$6\r\nClIENT\r\n$4\r\nINFO\r\n";

    fn info(text: &str) -> Vec<u8> {
        format!("${}\r\n{text}\r\n", text.len()).into_bytes()
    }

    /// Makes the connection show this when it is new, and then answer the check of the next second with that.
    fn checked(first: &str, answer: &[u8]) -> (Node, Vec<Event>) {
        let mut node = node(None, RIGHTS);
        node.connection(Role::Resp2).state = ConnectionState::default();
        node.ask_for_state(Role::Resp2, at(0));
        asked(&mut node, Role::Resp2);
        node.received(Role::Resp2, &info(first), at(0));
        node.tick(at(1000));
        assert_eq!(asked(&mut node, Role::Resp2), CHECK);
        node.events.clear();
        node.received(Role::Resp2, answer, at(1000));
        let events = std::mem::take(&mut node.events);
        (node, events)
    }

    const AS_SET_UP: &str =
        "id=7 age=0 flags=N db=0 sub=0 psub=0 multi=-1 cmd=client user=default redir=-1 resp=2";

    #[test]
    fn what_changes_on_every_connection_is_no_sign() {
        for now in [
            "id=7 age=5 flags=N db=0 sub=0 psub=0 multi=-1 cmd=client|info user=default redir=-1 resp=2",
            "id=7 flags=tR db=0 sub=0 psub=0 multi=-1 user=default redir=9 resp=2",
        ] {
            let answer = [b"+PONG\r\n", &info(now)[..]].concat();
            let (mut node, events) = checked(AS_SET_UP, &answer);
            assert_eq!(events, [], "{now}");
            assert_eq!(node.connection(Role::Resp2).phase, Phase::Open);
        }
        // Errors: without permission for PING, and from a Redis that is busy with a script.
        for answer in [
            &b"-NOPERM no\r\n-BUSY no\r\n"[..],
            b"-ERR no\r\n-ERR no\r\n",
        ] {
            let (mut node, events) = checked(AS_SET_UP, answer);
            assert!(!events.contains(&Event::Rights { known: true }));
            assert_eq!(node.connection(Role::Resp2).phase, Phase::Open);
        }
    }

    #[test]
    fn each_other_change_is_a_sign() {
        let altered = |from: &str, to: &str| {
            let now = AS_SET_UP.replace(from, to);
            [b"+PONG\r\n", &info(&now)[..]].concat()
        };
        for answer in [
            altered("db=0", "db=1"),
            altered("user=default", "user=other"),
            altered("multi=-1", "multi=0"),
            altered(" sub=0", " sub=1"),
            altered("psub=0", "psub=1"),
            altered("resp=2", "resp=3"),
            altered("flags=N", "flags=O"),
            altered(" db=0", ""),
            b"+QUEUED\r\n+QUEUED\r\n".to_vec(),
            b"*2\r\n$4\r\npong\r\n$0\r\n\r\n".to_vec(),
            b"-ERR Can't execute 'ping'\r\n".to_vec(),
            b"+PONG\r\n-ERR Can't execute 'client|info'\r\n".to_vec(),
            b"+PONG\r\n-NOPERM no\r\n".to_vec(),
            b"+PONG\r\n:1\r\n".to_vec(),
        ] {
            let about = answer.escape_ascii().to_string();
            let (mut node, events) = checked(AS_SET_UP, &answer);
            assert!(events.contains(&Event::Rights { known: true }), "{about}");
            assert_eq!(node.connection(Role::Resp2).phase, Phase::Wanted, "{about}");
        }
    }

    #[test]
    fn a_check_behind_a_slow_reply_is_not_overdue_when_that_comes() {
        let mut node = node(None, RIGHTS);
        request(&mut node, Protocol::Resp2, true, "slow", at(900));
        let tracker_answers = |node: &mut Node, now: u64| {
            node.tick(at(now));
            asked(node, Role::Resp2);
            answer_tracker(node, at(now));
        };
        for now in (1000..=4000).step_by(250) {
            tracker_answers(&mut node, now);
        }
        node.received(Role::Resp2, b"+slow\r\n", at(4000));
        tracker_answers(&mut node, 4900);
        assert_eq!(node.connection(Role::Resp2).phase, Phase::Open);
        // It was asked once, and is overdue now.
        for now in [5000, 5250] {
            tracker_answers(&mut node, now);
        }
        assert_eq!(node.connection(Role::Resp2).phase, Phase::Wanted);
    }
}
