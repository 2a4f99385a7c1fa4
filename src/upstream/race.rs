//! Connecting to whichever of several addresses answers first: the next one is tried when the last one failed, or has not
//! answered after a moment (RFC 8305, "happy eyeballs").

use std::collections::VecDeque;
use std::io;
use std::time::Duration;

use mio::event::Event;
use mio::{Registry, Token};

use super::resolve;
use crate::clock::Time;
use crate::transport::Transport;
use crate::transport::dial::{Dialer, Endpoint};

/// How long an address has before the next is tried beside it.
const HEAD_START: Duration = Duration::from_millis(250);

/// The addresses and the attempts.
#[derive(Default)]
pub(super) struct Race {
    waiting: VecDeque<Endpoint>,
    /// Attempts that are being made, with the tokens by which the poll reports on them.
    attempts: Vec<(Token, Endpoint, Transport)>,
    /// When the next is due.
    next: Option<Time>,
    /// Why the latest that failed did so.
    error: Option<io::Error>,
    /// How many were made.
    count: usize,
}

/// The first token; no others are as high.
const FIRST: usize = 16;

impl Race {
    /// One between these addresses.
    pub fn between(endpoints: Vec<Endpoint>) -> Self {
        Self {
            waiting: endpoints.into(),
            next: Some(Time::default()),
            ..Self::default()
        }
    }

    /// Whether one is on.
    pub fn is_on(&self) -> bool {
        self.next.is_some() || !self.attempts.is_empty()
    }

    /// How long it may take: each address has its time.
    pub fn time(&self, dialer: &Dialer) -> Duration {
        let beside = u32::try_from(self.waiting.len()).unwrap_or(u32::MAX);
        dialer.timeout + HEAD_START.saturating_mul(beside.saturating_sub(1))
    }

    /// When it goes on, if no event comes before.
    pub fn due(&self) -> Option<Time> {
        self.next
    }

    /// Notes what an event says.
    pub fn note(&mut self, event: &Event) {
        let mut attempts = self.attempts.iter_mut();
        if let Some((_, _, attempt)) = attempts.find(|(token, ..)| *token == event.token()) {
            attempt.note(event);
        }
    }

    /// Goes on. Returns the connection that won, or why there is none.
    pub fn turn(
        &mut self,
        dialer: &Dialer,
        registry: &Registry,
        now: Time,
    ) -> Option<io::Result<(Endpoint, Transport)>> {
        if !self.is_on() {
            return None;
        }
        if let Some(winner) = self.judge(now) {
            *self = Self::default();
            return Some(Ok(winner));
        }
        while self.next.is_some_and(|next| next <= now) {
            let Some(endpoint) = self.waiting.pop_front() else {
                self.next = None;
                break;
            };
            self.next = Some(now.after(HEAD_START));
            if let Err(error) = self.attempt(endpoint, dialer, registry, now) {
                self.failed(error, now);
            }
        }
        let is_over = self.attempts.is_empty() && self.next.is_none();
        is_over.then(|| Err(self.error.take().unwrap_or_else(resolve::none)))
    }

    /// Looks at each attempt. Returns the first that succeeded.
    fn judge(&mut self, now: Time) -> Option<(Endpoint, Transport)> {
        let mut at = 0;
        while let Some((_, _, attempt)) = self.attempts.get_mut(at) {
            match attempt.is_connected(now) {
                Ok(true) => {
                    let (_, endpoint, transport) = self.attempts.swap_remove(at);
                    return Some((endpoint, transport));
                }
                Ok(false) => at += 1,
                Err(error) => {
                    self.attempts.remove(at);
                    self.failed(error, now);
                }
            }
        }
        None
    }

    fn attempt(
        &mut self,
        endpoint: Endpoint,
        dialer: &Dialer,
        registry: &Registry,
        now: Time,
    ) -> io::Result<()> {
        let token = Token(FIRST + self.count);
        self.count += 1;
        let attempt = dialer.dial(&endpoint, now)?;
        attempt.register(registry, token)?;
        self.attempts.push((token, endpoint, attempt));
        Ok(())
    }

    /// An attempt failed: the next address has its turn at once.
    fn failed(&mut self, error: io::Error, now: Time) {
        self.error = Some(error);
        self.next = Some(now);
    }
}
