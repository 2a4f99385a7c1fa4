//! Handles the bytes that Redis sends: replies to clients, and answers to the proxy's own questions.

use std::io;

use super::connection::{Phase, Role};
use super::loss::Loss;
use super::node::{Node, STEADY};
use super::setup::{self, Doubt, Question};
use super::state::altered;
use super::unreported::lacks_master;
use super::{Event, Replies, busy};
use crate::clock::Time;
use crate::command::read_specs;
use crate::link::{LinkError, Received};
use crate::status::greeting_field;

/// The first byte that a TLS server sends to a peer that doesn't speak TLS.
const TLS_ALERT: u8 = 0x15;

impl Node {
    /// Handles bytes that have arrived.
    pub fn received(&mut self, role: Role, bytes: &[u8], now: Time) {
        if self.is_leaving {
            return self.received_last(role, bytes, now);
        }
        let mut received = Received {
            replies: self.spare.pop().unwrap_or_default(),
            ..Received::default()
        };
        let connection = self.connection(role);
        let result = connection.link.receive(bytes, &mut received, now);
        let served = !received.replies.is_empty() || !received.invalidated.is_empty();
        if served || !received.answers.is_empty() {
            connection.last_received = now;
            connection.has_answered = true;
            self.answered_on(role);
        }
        let connection = self.connection(role);
        let is_tls = !connection.has_answered && bytes.first() == Some(&TLS_ALERT);
        // A new connection answers its first questions, whatever its state.
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
        if received.replies.has_errors {
            self.note_errors(role, &received.replies, now);
        }
        if let Some(latest) = received.replies.latest()
            && (self.is_busy || busy::says_so(latest))
        {
            self.note_busy(latest);
        }
        if received.may_be_queuing {
            self.doubt_state(role);
        }
        self.report_replies(role, received.replies);
        let has_answers = !received.answers.is_empty();
        for (question, answer) in received.answers {
            if let Err(loss) = self.answered(role, question, &answer, now) {
                return match &loss {
                    Loss::Refused(words) if setup::refuses_login(words) => self.down(&loss, now),
                    Loss::NoCluster(_) => self.down(&loss, now),
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
            // Redis refuses a client beyond `maxclients` before it receives any request.
            let refused = setup::refusal(bytes).filter(|words| setup::refuses_connections(words));
            if refused.is_none() && error == LinkError::Unexpected {
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

    /// Notes what the errors among the replies to clients reveal.
    fn note_errors(&mut self, role: Role, replies: &Replies, now: Time) {
        for doubt in replies.iter().filter_map(Doubt::of) {
            match doubt {
                Doubt::Rights => self.doubt_rights(),
                Doubt::State => self.doubt_state(role),
            }
        }
        if replies.iter().any(lacks_master) {
            self.note_master(true);
        }
        self.judge(replies, now);
    }

    pub(super) fn report_replies(&mut self, role: Role, replies: Replies) {
        match self.connection(role).serves {
            Some(link) if !replies.is_empty() => self.events.push(Event::Replies { link, replies }),
            _ => self.spare.push(replies),
        }
    }

    /// Handles the answer to one of the proxy's own questions.
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
            // An error counts as an answer too, as Redis answers in order.
            Question::Barrier(number) => {
                self.note_busy(answer);
                self.passed(number);
                return Ok(());
            }
            Question::Life(losses) => {
                self.note_busy(answer);
                self.outlived(losses);
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
            (Question::Auth | Question::ReadOnly, Some(words)) => return Err(Loss::Refused(words)),
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
                    // Redis may have refused to answer `ROLE`.
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
            (Question::Shards | Question::ClusterSlots, refusal) => {
                self.slot_map_answered(question, answer, refusal.as_deref())?;
            }
            (Question::Nodes, _) => self.nodes_answered(role, answer, now),
            (Question::Id, None) => self.tracker.numbered(setup::number(answer)),
            _ => {}
        }
        Ok(())
    }
}

/// Checks that the server named by sentinels is a master.
///
/// # Errors
/// If the server reports another role.
fn require_master(role: Option<String>) -> Result<(), Loss> {
    match role {
        Some(role) if role != "master" => Err(Loss::NotMaster(role)),
        _ => Ok(()),
    }
}

/// The longest reply to `HELLO` that is passed on to clients, in bytes. It lists the modules.
const GREETING_MAX: usize = 64 * 1024;

/// The reply to HELLO, to be passed on to clients; empty if Redis refused.
fn greeting(answer: &[u8], refusal: Option<String>) -> Vec<u8> {
    match refusal {
        None if answer.len() <= GREETING_MAX => answer.to_vec(),
        None | Some(_) => Vec::new(),
    }
}
