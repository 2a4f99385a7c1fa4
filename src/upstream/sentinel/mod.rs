//! Finds the address of the master by sentinels. All of them are asked and subscribed to, over connections in the
//! helper's poll, so that a sentinel that is unreachable or out of date can't mislead the proxy.
//!
//! - [`peer`] is one sentinel, a state machine without a socket.
//! - [`answer`] is its answer, and the choice among several.

mod answer;
mod peer;

use std::io;
use std::net::IpAddr;
use std::sync::Arc;

use mio::event::Event;
use mio::{Registry, Token};

use super::mailbox::Mailbox;
use super::race::Race;
use super::resolve::{self, Endpoints};
use crate::clock::Time;
use crate::config::{RedisAddress, Secret, read_secret};
use crate::transport::dial::{Dialer, Endpoint};
use crate::transport::{ReadResult, Transport};
use answer::{Choice, choose};
use peer::{Login, Peer, Phase};

/// The sentinels to ask, and how.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The sentinels.
    pub addresses: Vec<RedisAddress>,
    /// The name by which the sentinels know the master.
    pub master: String,
    /// The user to authenticate as.
    pub username: Option<String>,
    /// The password, if they require one.
    pub password: Option<Secret>,
    /// The file that contains the password, if one does. It is read again for each connection.
    pub password_file: Option<String>,
    /// How to connect, and the timeout of connecting and of each answer.
    pub dialer: Dialer,
}

/// The master that a sentinel has named.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Master {
    pub address: RedisAddress,
    /// The sentinel that named it.
    pub sentinel: String,
    epoch: Option<u64>,
}

/// The first poll token of the sentinels, and how many tokens each has: first for attempts, by [`Race`], and the last
/// for its connection.
const FIRST: usize = 1 << 20;
const TOKENS: usize = 1 << 16;

/// How often a sentinel is read from before it is another's turn.
const READS: usize = 16;

/// A sentinel with its socket.
struct Seat {
    peer: Peer,
    race: Race,
    transport: Option<Transport>,
    looking_up: bool,
}

/// All sentinels.
pub(super) struct Sentinels {
    settings: Settings,
    login: Login,
    seats: Vec<Seat>,
    /// The master that is followed.
    master: Option<Master>,
    /// The master is currently confirmed.
    is_known: bool,
    /// The master, or whether it is confirmed, has changed.
    has_news: bool,
    mailbox: Arc<Mailbox>,
}

impl Sentinels {
    /// The sentinels, without connecting to them before [`Self::turn`].
    pub fn new(settings: Settings, mailbox: Arc<Mailbox>) -> Self {
        let seat = |address: &RedisAddress| Seat {
            peer: Peer::new(address.clone(), settings.dialer.timeout),
            race: Race::default(),
            transport: None,
            looking_up: false,
        };
        let seats = settings.addresses.iter().map(seat).collect();
        let login = Login {
            master: settings.master.clone(),
            username: settings.username.clone(),
            password: settings.password.clone(),
        };
        Self {
            settings,
            login,
            seats,
            master: None,
            is_known: false,
            has_news: false,
            mailbox,
        }
    }

    /// The master; `Ok(None)` while too few sentinels have answered.
    ///
    /// # Errors
    /// Why the master is unknown: the problem with each sentinel.
    pub fn master(&self) -> Result<Option<&Master>, String> {
        match (self.choose(), &self.master) {
            (Choice::Of(_), Some(master)) => Ok(Some(master)),
            (Choice::None, _) => Err(self.trouble()),
            (Choice::Open | Choice::Of(_), _) => Ok(None),
        }
    }

    fn choose(&self) -> Choice {
        let peers: Vec<&Peer> = self.seats.iter().map(|seat| &seat.peer).collect();
        choose(&peers, self.master.as_ref().and_then(|master| master.epoch))
    }

    fn trouble(&self) -> String {
        let mut text = "no sentinel names the master: ".to_owned();
        for (at, Seat { peer, .. }) in self.seats.iter().enumerate() {
            let separator = if at == 0 { "" } else { "; " };
            let trouble = match &peer.trouble {
                Some(trouble) => trouble,
                None => "it names the master before the last failover",
            };
            text += &format!("{separator}{}: {trouble}", peer.address);
        }
        text
    }

    /// Whether the master has changed since the last call, or is confirmed again. Returns true once.
    pub fn takes_news(&mut self) -> bool {
        std::mem::take(&mut self.has_news)
    }

    /// Asks all sentinels at once.
    pub fn hurry(&mut self, now: Time) {
        for Seat { peer, .. } in &mut self.seats {
            peer.hurry(&self.login, now);
        }
    }

    /// When something is due, unless an event comes first.
    pub fn due(&self) -> Option<Time> {
        let seats = self.seats.iter();
        let due = seats.flat_map(|seat| [Some(seat.peer.due()), seat.race.due()]);
        due.flatten().min()
    }

    /// Whether there is something to read that no event will report.
    pub fn is_readable(&self) -> bool {
        let mut transports = self.seats.iter().flat_map(|seat| &seat.transport);
        transports.any(|open| open.readable && !open.is_connecting())
    }

    /// Notes an event.
    pub fn note(&mut self, event: &Event) {
        let Some(token) = event.token().0.checked_sub(FIRST) else {
            return;
        };
        let Some(seat) = self.seats.get_mut(token / TOKENS) else {
            return;
        };
        match &mut seat.transport {
            Some(transport) if token % TOKENS == TOKENS - 1 => drop(transport.note(event)),
            _ => seat.race.note(event),
        }
    }

    /// The name of a sentinel was looked up.
    pub fn found(&mut self, at: usize, endpoints: Endpoints, now: Time) {
        let dialer = &self.settings.dialer;
        let Some(seat) = self.seats.get_mut(at) else {
            return;
        };
        seat.looking_up = false;
        if !matches!(seat.peer.phase, Phase::LookingUp(_)) {
            return;
        }
        match endpoints {
            Ok(endpoints) => {
                let endpoints = named(endpoints, &seat.peer.address);
                seat.race = Race::between(endpoints, FIRST + at * TOKENS);
                let time = seat.race.time(dialer);
                seat.peer.phase = Phase::Connecting(now.after(time));
            }
            Err(error) => self.lose(at, &error, now),
        }
    }

    /// Advances each sentinel as far as its socket allows.
    pub fn turn(&mut self, registry: &Registry, buffer: &mut [u8], now: Time) {
        for at in 0..self.seats.len() {
            if let Err(error) = self.connect(at, registry, now) {
                self.lose(at, &error, now);
            }
            if let Err(reason) = self.read(at, buffer, now) {
                self.lost(at, reason, now);
            }
            if let Err(reason) = self.seats[at].peer.tick(&self.login, now) {
                self.lost(at, reason, now);
            }
            self.look_up(at, now);
        }
        self.follow();
    }

    /// Writes pending requests.
    pub fn write(&mut self) {
        for Seat {
            peer, transport, ..
        } in &mut self.seats
        {
            if let Some(transport) = transport
                && transport.write(peer).is_err()
            {
                // What the sentinel sent before it closed the connection must still be read; reading then finds the
                // end.
                transport.readable = true;
            }
        }
    }

    fn look_up(&mut self, at: usize, now: Time) {
        let seat = &mut self.seats[at];
        if !matches!(seat.peer.phase, Phase::Resting(until) if until <= now) {
            return;
        }
        seat.peer.phase = Phase::LookingUp(now.after(self.settings.dialer.timeout));
        if std::mem::replace(&mut seat.looking_up, true) {
            return;
        }
        let mailbox = Arc::clone(&self.mailbox);
        let started = resolve::resolve(&seat.peer.address, move |endpoints| {
            mailbox.add(|work| work.sentinels.push((at, endpoints)));
        });
        if let Err(error) = started {
            seat.looking_up = false;
            self.lose(at, &error, now);
        }
    }

    fn connect(&mut self, at: usize, registry: &Registry, now: Time) -> io::Result<()> {
        let seat = &mut self.seats[at];
        if !matches!(seat.peer.phase, Phase::Connecting(_)) {
            return Ok(());
        }
        let Some(result) = seat.race.turn(&self.settings.dialer, registry, now) else {
            return Ok(());
        };
        let (_, transport) = result?;
        let token = FIRST + at * TOKENS + TOKENS - 1;
        transport.register_again(registry, Token(token))?;
        seat.transport = Some(transport);
        if let Some(path) = &self.settings.password_file {
            match read_secret(path) {
                Ok(password) => self.login.password = Some(password),
                Err(error) => {
                    log::warn!(reason:% = error; "cannot reread the password for sentinels");
                }
            }
        }
        seat.peer.connected(&self.login, now);
        Ok(())
    }

    /// Reads answers.
    fn read(&mut self, at: usize, buffer: &mut [u8], now: Time) -> Result<(), String> {
        let Seat {
            peer, transport, ..
        } = &mut self.seats[at];
        let Some(transport) = transport else {
            return Ok(());
        };
        let was_lost = peer.trouble.is_some();
        let is_plain = self.settings.dialer.tls.is_none();
        for _ in 0..READS {
            if !transport.readable {
                break;
            }
            match transport.read(buffer) {
                Ok(ReadResult::Bytes(length)) => {
                    peer.receive(&buffer[..length], &self.login, now)?;
                }
                Ok(ReadResult::Nothing) => break,
                Ok(ReadResult::End) if is_plain => return Err(peer.reason_of_end(None)),
                Ok(ReadResult::End) => return Err("it closed the connection".to_owned()),
                Err(error) if is_plain => return Err(peer.reason_of_end(Some(words(&error)))),
                Err(error) => return Err(words(&error)),
            }
        }
        if was_lost && peer.trouble.is_none() {
            log::info!(sentinel:% = peer.address; "sentinel up");
        }
        Ok(())
    }

    fn lose(&mut self, at: usize, error: &io::Error, now: Time) {
        let timeout = self.settings.dialer.timeout.as_millis();
        let reason = match error.kind() {
            io::ErrorKind::TimedOut if error.get_ref().is_none() => {
                format!("timed out after {timeout} ms")
            }
            _ => words(error),
        };
        self.lost(at, reason, now);
    }

    fn lost(&mut self, at: usize, reason: String, now: Time) {
        let seat = &mut self.seats[at];
        seat.transport = None;
        seat.race = Race::default();
        if seat.peer.lost(reason, now) {
            let reason = seat.peer.trouble.as_deref();
            log::warn!(sentinel:% = seat.peer.address, reason; "sentinel down");
        }
    }

    /// Decides which master is followed.
    fn follow(&mut self) {
        let Choice::Of(at) = self.choose() else {
            self.is_known = false;
            return;
        };
        let peer = &self.seats[at].peer;
        let Some(answer) = &peer.answer else { return };
        self.has_news |= !std::mem::replace(&mut self.is_known, true);
        let before = self.master.as_ref();
        if before.is_some_and(|before| before.address == answer.address) {
            if let Some(master) = &mut self.master {
                master.epoch = answer.epoch.or(master.epoch);
            }
            return;
        }
        let sentinel = peer.address.to_string();
        log::info!(master:% = answer.address, sentinel, epoch = answer.epoch; "master named");
        self.master = Some(Master {
            address: answer.address.clone(),
            sentinel,
            epoch: answer.epoch,
        });
        self.has_news = true;
    }
}

/// Adds the host name of the address, if it has one, to the endpoints.
pub(super) fn named(endpoints: Vec<Endpoint>, address: &RedisAddress) -> Vec<Endpoint> {
    let RedisAddress::Tcp { host, .. } = address else {
        return endpoints;
    };
    if host.parse::<IpAddr>().is_ok() {
        return endpoints;
    }
    let host: Arc<str> = host.as_str().into();
    let named = |endpoint| match endpoint {
        Endpoint::Tcp(address) => Endpoint::Named(address, Arc::clone(&host)),
        other => other,
    };
    endpoints.into_iter().map(named).collect()
}

/// The text of an error, in which settings have the names of those for sentinels.
fn words(error: &io::Error) -> String {
    let text = error.to_string();
    text.replace(", or write redis:// for rediss://", "")
        .replace("redis_tls", "redis_sentinel_tls")
}
