//! One sentinel, as a state machine without a socket: the requests to it, and what its answers mean.
//!
//! The sentinel is asked for the master's address and epoch, and subscribed to. A message from it only triggers a new
//! question, so an answer always reflects a single state, and is never assembled from messages. As a RESP2 connection
//! can't send other requests while it is subscribed, one write carries an unsubscription, the question and a new
//! subscription. A sentinel that permits no subscription is asked more often instead.

use std::collections::VecDeque;
use std::io::{self, Write};
use std::time::Duration;

use redis::Cmd;

use super::answer::{self, Answer};
use crate::clock::Time;
use crate::config::{RedisAddress, Secret};
use crate::link::Frames;
use crate::resp::read::Reader;
use crate::transport::Source;
use crate::upstream::setup::refusal;

/// The channels of a sentinel's messages about a new master. The sentinel that performs the failover uses the first as
/// soon as the new master accepts writes; any sentinel uses the second when it has learned of the change.
const CHANNELS: [&str; 2] = ["+promoted-slave", "+switch-master"];

/// How often a sentinel is asked, in case a message is lost.
const POLL: Duration = Duration::from_secs(5);

/// How often a sentinel is asked that permits no subscription.
const POLL_WITHOUT_REPORTS: Duration = Duration::from_secs(1);

/// The pause before the next connection. It doubles up to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
const LAST_PAUSE: Duration = Duration::from_secs(8);

/// The longest reply that is read, in bytes. Real ones have a hundredth of that.
const MAX_REPLY: usize = 64 * 1024;

/// The first byte that a TLS server sends to a peer that doesn't speak TLS.
const TLS_ALERT: u8 = 0x15;

/// The progress of a sentinel.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Phase {
    /// The proxy connects to it again at this time.
    Resting(Time),
    /// Its name is being looked up, until this deadline.
    LookingUp(Time),
    /// It is being connected to, until this deadline.
    Connecting(Time),
    /// Its answers are due by this time.
    Asking(Time),
    /// It has answered, and is asked again at this time.
    Listening(Time),
}

/// What the next reply is an answer to.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Due {
    Login,
    Name,
    Address,
    Configuration,
    /// The confirmations of this many channels.
    Subscriptions(usize),
}

/// The proxy's credentials, and the name of the master.
#[derive(Clone, Debug)]
pub(super) struct Login {
    pub master: String,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

/// One sentinel.
#[derive(Debug)]
pub(super) struct Peer {
    pub address: RedisAddress,
    pub phase: Phase,
    /// The sentinel's latest answer, while it is reachable.
    pub answer: Option<Answer>,
    /// Why the sentinel does not report the master.
    pub trouble: Option<String>,
    timeout: Duration,
    pause: Duration,
    due: VecDeque<Due>,
    output: Vec<u8>,
    frames: Frames,
    /// A reply has arrived on the current connection.
    has_answered: bool,
    /// The connection is subscribed.
    is_subscribed: bool,
    /// The sentinel has sent a message since it was last asked.
    has_news: bool,
    /// The address of the master, from an answer that has only partly arrived.
    coming: Option<RedisAddress>,
}

impl Peer {
    /// A sentinel that is to be connected to. Each step may take the timeout.
    pub fn new(address: RedisAddress, timeout: Duration) -> Self {
        Self {
            address,
            phase: Phase::Resting(Time::default()),
            answer: None,
            trouble: None,
            timeout,
            pause: FIRST_PAUSE,
            due: VecDeque::new(),
            output: Vec::new(),
            frames: Frames::default(),
            has_answered: false,
            is_subscribed: false,
            has_news: false,
            coming: None,
        }
    }

    /// When something is due, unless an event comes first.
    pub fn due(&self) -> Time {
        match self.phase {
            Phase::Resting(at)
            | Phase::LookingUp(at)
            | Phase::Connecting(at)
            | Phase::Asking(at)
            | Phase::Listening(at) => at,
        }
    }

    /// Asks or connects at once, as the sentinel's answer may be old.
    pub fn hurry(&mut self, login: &Login, now: Time) {
        match self.phase {
            Phase::Listening(_) => self.ask(login, now),
            Phase::Resting(_) => self.phase = Phase::Resting(now),
            Phase::LookingUp(_) | Phase::Connecting(_) | Phase::Asking(_) => {}
        }
    }

    /// A connection is open: logs in, and asks.
    pub fn connected(&mut self, login: &Login, now: Time) {
        if let Some(password) = &login.password {
            let mut auth = redis::cmd("AUTH");
            auth.arg(login.username.as_deref()).arg(password.expose());
            self.send(&auth, Some(Due::Login));
        }
        let mut name = redis::cmd("CLIENT");
        name.arg("SETNAME").arg("redis-proxy");
        self.send(&name, Some(Due::Name));
        self.ask(login, now);
    }

    fn ask(&mut self, login: &Login, now: Time) {
        self.has_news = false;
        if std::mem::take(&mut self.is_subscribed) {
            // Each channel is confirmed separately. These replies are not counted.
            self.send(&redis::cmd("UNSUBSCRIBE"), None);
        }
        let question = |what: &str| {
            let mut question = redis::cmd("SENTINEL");
            question.arg(what).arg(&login.master);
            question
        };
        self.send(&question("GET-MASTER-ADDR-BY-NAME"), Some(Due::Address));
        self.send(&question("MASTER"), Some(Due::Configuration));
        let mut subscribe = redis::cmd("SUBSCRIBE");
        subscribe.arg(&CHANNELS);
        self.send(&subscribe, Some(Due::Subscriptions(CHANNELS.len())));
        self.phase = Phase::Asking(now.after(self.timeout));
    }

    fn send(&mut self, command: &Cmd, due: Option<Due>) {
        self.output.extend(command.get_packed_command());
        self.due.extend(due);
    }

    /// Does what is due.
    ///
    /// # Errors
    /// Why the sentinel must be given up for now.
    pub fn tick(&mut self, login: &Login, now: Time) -> Result<(), String> {
        if now < self.due() {
            return Ok(());
        }
        let timeout = self.timeout.as_millis();
        match self.phase {
            Phase::Resting(_) => Ok(()),
            Phase::Listening(_) => {
                self.ask(login, now);
                Ok(())
            }
            Phase::LookingUp(_) => Err(format!("the DNS lookup took over {timeout} ms")),
            Phase::Connecting(_) | Phase::Asking(_) => Err(format!("timed out after {timeout} ms")),
        }
    }

    /// Handles bytes from the sentinel.
    ///
    /// # Errors
    /// Why the sentinel must be given up for now.
    pub fn receive(&mut self, mut bytes: &[u8], login: &Login, now: Time) -> Result<(), String> {
        if !self.has_answered && bytes.first() == Some(&TLS_ALERT) {
            return Err("its port expects TLS: set redis_sentinel_tls on".to_owned());
        }
        while !bytes.is_empty() {
            let mut frames = std::mem::take(&mut self.frames);
            let frame = match frames.next(&mut bytes, MAX_REPLY) {
                Ok(frame) => frame.map(|frame| frame.into_bytes()),
                Err(error) => return Err(error.to_string()),
            };
            self.frames = frames;
            if let Some(frame) = frame {
                self.has_answered = true;
                self.take(&frame, login)?;
            }
        }
        if self.has_news && self.due.is_empty() {
            self.ask(login, now);
        } else if self.due.is_empty() && matches!(self.phase, Phase::Asking(_)) {
            let pause = match self.is_subscribed {
                true => POLL,
                false => POLL_WITHOUT_REPORTS,
            };
            self.phase = Phase::Listening(now.after(pause));
        }
        Ok(())
    }

    fn take(&mut self, reply: &[u8], login: &Login) -> Result<(), String> {
        match push_kind(reply) {
            Some(b"message") => {
                self.has_news = true;
                return Ok(());
            }
            Some(b"unsubscribe") => return Ok(()),
            Some(b"subscribe") => {
                return match self.due.front_mut() {
                    Some(Due::Subscriptions(1)) => {
                        self.due.pop_front();
                        self.is_subscribed = true;
                        Ok(())
                    }
                    Some(Due::Subscriptions(left)) => {
                        *left -= 1;
                        Ok(())
                    }
                    _ => Err("it sent an unexpected reply".to_owned()),
                };
            }
            _ => {}
        }
        let refused = refusal(reply);
        match (self.due.pop_front(), refused) {
            (Some(Due::Login), Some(words)) => Err(format!(
                "it answers {words}: set redis_sentinel_password to its password (and redis_sentinel_username, if \
                 it has users)"
            )),
            (Some(Due::Address), Some(words)) if is_login(&words) => {
                Err(format!("it answers {words}: set redis_sentinel_password"))
            }
            (Some(Due::Address), Some(words)) if words.starts_with("NOPERM") => Err(format!(
                "it answers {words}: its user needs +sentinel|get-master-addr-by-name"
            )),
            (Some(Due::Address), Some(words)) => Err(format!(
                "it answers {words}: it may not be a sentinel, whose port is usually 26379"
            )),
            (Some(Due::Address), None) => {
                self.coming = answer::address(reply)?;
                match self.coming {
                    Some(_) => Ok(()),
                    None => Err(format!(
                        "No such master with that name: redis_sentinel_master is {:?}, and must be the name after \
                         \"sentinel monitor\" in its configuration",
                        login.master
                    )),
                }
            }
            (Some(Due::Configuration), _) => {
                self.answer = self.coming.take().map(|address| Answer {
                    address,
                    epoch: answer::epoch(reply),
                });
                self.trouble = None;
                self.pause = FIRST_PAUSE;
                Ok(())
            }
            (Some(Due::Login | Due::Name), _) => Ok(()),
            (Some(Due::Subscriptions(_)), Some(_)) => Ok(()),
            (Some(Due::Subscriptions(_)) | None, _) => {
                Err("it sent an unexpected reply".to_owned())
            }
        }
    }

    /// Why the connection ended, with this error if there was one.
    pub fn reason_of_end(&self, error: Option<String>) -> String {
        let reason = error.unwrap_or_else(|| "it closed the connection".to_owned());
        match self.has_answered {
            true => reason,
            false => format!(
                "{reason}, before its first answer; or its port may expect TLS: set redis_sentinel_tls on"
            ),
        }
    }

    /// Gives the sentinel up for now, for this reason. Returns whether the reason is new.
    pub fn lost(&mut self, reason: String, now: Time) -> bool {
        self.phase = Phase::Resting(now.after(self.pause));
        self.pause = (self.pause * 2).min(LAST_PAUSE);
        self.answer = None;
        self.due.clear();
        self.output.clear();
        self.frames = Frames::default();
        self.has_answered = false;
        self.is_subscribed = false;
        let is_new = self.trouble.as_ref() != Some(&reason);
        self.trouble = Some(reason);
        is_new
    }
}

/// Whether an error refuses a client that has not logged in.
fn is_login(words: &str) -> bool {
    words.starts_with("NOAUTH") || words.starts_with("WRONGPASS")
}

/// The kind of a reply about a subscription.
fn push_kind(reply: &[u8]) -> Option<&[u8]> {
    let mut reader = Reader::new(reply);
    let is_push = reader.array() == Some(3);
    let kind = reader.text().filter(|_| is_push)?;
    [&b"message"[..], b"subscribe", b"unsubscribe"]
        .contains(&kind)
        .then_some(kind)
}

impl Source for Peer {
    fn is_empty(&self) -> bool {
        self.output.is_empty()
    }

    fn send(&mut self, writer: &mut impl Write) -> io::Result<usize> {
        let length = writer.write(&self.output)?;
        self.output.drain(..length);
        Ok(length)
    }
}

#[cfg(test)]
mod tests;
