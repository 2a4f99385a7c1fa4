//! The helper thread: it owns the connections to Redis that all clients share, and is the only one that
//! ever waits for a reply there.

use std::io;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use mio::{Registry, Token, Waker};

use super::link::LinkError;
use super::mailbox::{Mailbox, Waited};
use super::session::Session;
use super::{Batch, Coherence, Event, Pending, Replies, Settings, UNREACHABLE};
use crate::clock::Clock;
use crate::logging::Limit;
use crate::resp::reply;

/// The loop's end: requests go in, events come out, and the waker rings when there are some.
pub struct Upstream {
    mailbox: Arc<Mailbox>,
    holds: Arc<AtomicBool>,
    needed: Arc<AtomicBool>,
    /// Replies came this turn, and requests may wait for that in the mailbox.
    received: bool,
}

impl Upstream {
    /// Starts the helper thread. It connects at once, and for ever again when the connection breaks. The waker
    /// tells of events. The connections that the loop is lent are registered under these tokens: what its poll
    /// shows of them is to be given to [`Self::receive`].
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn start(
        settings: Settings,
        waker: Waker,
        registry: Registry,
        tokens: [Token; 2],
    ) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::new(waker, registry, tokens)?);
        let holds = Arc::new(AtomicBool::new(false));
        let needed = Arc::new(AtomicBool::new(false));
        let helper = Helper {
            settings,
            mailbox: Arc::clone(&mailbox),
            holds: Arc::clone(&holds),
            needed: Arc::clone(&needed),
            epoch: 0,
            opened: Instant::now(),
            down: None,
            refused: None,
            pause: FIRST_PAUSE,
            clock: Clock::start(),
            reconnects: Limit::default(),
        };
        thread::Builder::new()
            .name("upstream".into())
            .stack_size(STACK)
            .spawn(move || helper.run())?;
        Ok(Self {
            mailbox,
            holds,
            needed,
            received: false,
        })
    }

    /// Hands requests over, at the end of a turn, and leaves `batch` empty.
    pub fn send(&mut self, batch: &mut Batch) {
        let received = std::mem::take(&mut self.received);
        if received || !batch.is_empty() {
            self.mailbox.put_requests(batch);
        }
    }

    /// Reads once from a connection that the loop was lent. `landing` is where the bytes go first.
    pub fn receive(&mut self, event: &mio::event::Event, landing: &mut [u8]) {
        self.received = true;
        self.mailbox.receive(event, landing);
    }

    /// Says whether anything is cached: as long as that is so, it is noticed when Redis can no longer say
    /// what changes.
    pub fn set_holds(&self, holds: bool) {
        self.holds.store(holds, Ordering::SeqCst);
        if holds {
            self.mailbox.ring();
        }
    }

    /// Says whether anybody would miss Redis: as long as that is so, it is asked every second whether it is
    /// still there.
    pub fn set_needed(&self, needed: bool) {
        self.needed.store(needed, Ordering::Relaxed);
        if needed {
            self.mailbox.ring();
        }
    }

    /// Takes what happened since this was last called, in order, for an empty list.
    pub fn take_events(&self, events: &mut Vec<Event>) {
        self.mailbox.take_events(events);
    }
}

/// The stack of the helper thread, in bytes: ample for a name look-up, less than the usual 2 MB.
const STACK: usize = 512 * 1024;

/// The pause before the first new attempt to connect; it doubles until [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// How long a session must last for the pauses to start anew when it ends.
const STEADY: Duration = Duration::from_secs(1);
/// The longest pause, and the one after Redis refused the proxy.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// After so long without a request, Redis is asked whether it is still there.
const CHECK_AFTER: Duration = Duration::from_secs(1);

/// The most bytes and requests that are sent before their replies are read: so much fits into any
/// socket's buffers, or is read by Redis while it answers.
const PIECE_BYTES: usize = 1024 * 1024;
const PIECE_REQUESTS: usize = 4096;

struct Helper {
    settings: Settings,
    mailbox: Arc<Mailbox>,
    /// Whether anything is cached.
    holds: Arc<AtomicBool>,
    /// Whether anybody would miss Redis.
    needed: Arc<AtomicBool>,
    /// The number of the session.
    epoch: u64,
    /// When it began.
    opened: Instant,
    /// Since an attempt failed: why Redis can't be reached, and since when.
    down: Option<Down>,
    /// Why Redis does not tell what changes, when that was last logged.
    refused: Option<String>,
    pause: Duration,
    clock: Clock,
    /// Of lines that say that connections were made anew: a client may kill them as often as it likes.
    reconnects: Limit,
}

struct Down {
    reason: String,
    since: Instant,
}

impl Helper {
    fn run(mut self) {
        loop {
            if let Err(error) = self.serve() {
                self.lost(&error);
            }
            self.pause();
        }
    }

    /// Connects, and serves requests until Redis can't be reached.
    fn serve(&mut self) -> Result<(), LinkError> {
        let mut session = self.open()?;
        let mut last_heard = Instant::now();
        let mut used = Batch::default();
        loop {
            if self.holds.load(Ordering::SeqCst) {
                session.watch();
            }
            let needed = self.needed.load(Ordering::Relaxed);
            // A request may be sent ahead meanwhile, and Redis keep silent.
            let silent_at = Instant::now() + self.settings.timeout;
            let look_at = needed.then(|| silent_at.min(last_heard + CHECK_AFTER));
            let wake_at = look_at.into_iter().chain(self.reconnects_due()).min();
            let waited =
                self.mailbox
                    .wait(std::mem::take(&mut used), &session.connections(), wake_at);
            self.end_reconnects();
            last_heard = last_heard.max(self.mailbox.heard().unwrap_or(last_heard));
            // Perhaps nobody would miss it any more.
            let check = matches!(waited, Waited::Deadline)
                && Instant::now() >= last_heard + CHECK_AFTER
                && self.needed.load(Ordering::Relaxed);
            if self.is_lost(&mut session, &waited, check)?
                && let Err(error) = self.reopen(&mut session, "it closed a connection")
            {
                if let Waited::Requests(batch) = waited {
                    self.lost(&error);
                    self.fail(batch.requests.len());
                }
                return Err(error);
            }
            match waited {
                Waited::Requests(mut batch) => {
                    self.serve_batch(&mut session, &mut batch)?;
                    used = batch;
                }
                Waited::Unasked => {}
                Waited::Deadline if check => {}
                Waited::Deadline | Waited::Bell => continue,
            }
            last_heard = Instant::now();
        }
    }

    /// Whether the session is over, after that wait, or after Redis was asked if it is to be checked. Redis may
    /// close a connection at any time.
    fn is_lost(
        &self,
        session: &mut Session,
        waited: &Waited,
        check: bool,
    ) -> Result<bool, LinkError> {
        let lost = match waited {
            Waited::Unasked => true,
            // What became of the connection on which they were sent will show.
            Waited::Requests(batch) if batch.sent.is_some() => return Ok(false),
            _ if check => match session.check(&self.settings) {
                Ok(()) => false,
                Err(LinkError::Broken(_)) => true,
                Err(error) => return Err(error),
            },
            _ => false,
        };
        Ok(lost || !session.is_whole())
    }

    /// Opens new connections and tells the loop.
    fn open(&mut self) -> Result<Session, LinkError> {
        self.epoch += 1;
        let opened = Session::open(&self.settings, self.epoch, &self.holds, &self.mailbox);
        let (session, backend, coherence) = opened?;
        self.opened = Instant::now();
        let down = self.down.take();
        if down.is_some() || self.epoch == 1 {
            let away_ms = down.map(|down| milliseconds(down.since.elapsed()));
            log::info!(address:% = self.settings.address, away_ms; "redis up");
        }
        self.log_coherence(&coherence);
        self.mailbox.tell(Event::Up { backend, coherence });
        Ok(session)
    }

    /// Logs whether Redis says what changes, when that is news.
    fn log_coherence(&mut self, coherence: &Coherence) {
        match coherence {
            Coherence::TimeToLive {
                refused: Some(words),
            } if self.refused.as_ref() != Some(words) => {
                log::warn!(
                    reason = words;
                    "redis does not tell what changes, so the time to live alone holds"
                );
                self.refused = Some(words.clone());
            }
            Coherence::Tracking { .. } if self.refused.is_some() => {
                log::info!("redis tells what changes again");
                self.refused = None;
            }
            _ => {}
        }
    }

    /// Opens new connections in the place of those of which one was lost.
    fn reopen(&mut self, session: &mut Session, reason: &str) -> Result<(), LinkError> {
        let reason = match session.tracking_loss() {
            Some(reason) => format!("tracking lost: {reason}"),
            None => reason.to_owned(),
        };
        *session = self.open()?;
        if let Some(left_out) = self.reconnects.admit(self.clock.now()) {
            log::info!(address:% = self.settings.address, reason, left_out; "reconnected");
        }
        Ok(())
    }

    /// When [`Self::end_reconnects`] is due.
    fn reconnects_due(&self) -> Option<Instant> {
        let due = self.reconnects.due()?;
        Some(Instant::now() + self.clock.now().until(due))
    }

    fn end_reconnects(&mut self) {
        if let Some(left_out) = self.reconnects.end(self.clock.now()) {
            log::info!(of = "reconnected", left_out; "lines left out");
        }
    }

    /// Gets every request of a batch its reply, in order.
    ///
    /// When a connection breaks (Redis was restarted, an idle one was closed somewhere), there is one new
    /// attempt at once, and what may be sent twice is. After a timeout there is none: those who wait have
    /// waited long enough.
    fn serve_batch(&mut self, session: &mut Session, batch: &mut Batch) -> Result<(), LinkError> {
        let mut replies = std::mem::take(&mut batch.replies);
        let requests = &batch.requests;
        let (mut sent, start) = batch.sent.unwrap_or((0, Instant::now()));
        // The first request without a reply, and the first that was never sent.
        let mut next = replies.ends.len();
        let mut unsent = 0;
        let mut retried = false;
        while next < requests.len() {
            if next < unsent && !requests[next].repeatable {
                let error =
                    error_reply(&self.settings, "the connection broke before its reply came");
                replies.push(&error);
                next += 1;
                continue;
            }
            let end = piece_end(requests, next, unsent);
            unsent = unsent.max(end);
            let first = if next == 0 { 0 } else { requests[next - 1].end };
            let bytes = &batch.bytes[first..requests[end - 1].end];
            // All that was sent ahead is in the first piece, perhaps behind what is answered.
            let ahead = std::mem::take(&mut sent).saturating_sub(first);
            let bytes = &bytes[ahead..];
            let waited = if ahead > 0 {
                start.elapsed()
            } else {
                Duration::ZERO
            };
            let mut answered = 0;
            let before = replies.ends.len();
            let result = session
                .link(requests[next].protocol, &self.settings)
                .and_then(|link| {
                    let mut enough = |mut replies: Replies| {
                        answered += replies.ends.len();
                        replies.round_trip = start.elapsed();
                        self.hand_over(replies);
                    };
                    let settings = &self.settings;
                    link.exchange(
                        bytes,
                        end - next,
                        &mut replies,
                        &mut enough,
                        waited,
                        settings,
                    )
                });
            next += answered + replies.ends.len() - before;
            let Err(error) = result else { continue };
            // What came before the break must not be taken for what came after it.
            replies.round_trip = start.elapsed();
            self.hand_over(std::mem::take(&mut replies));
            let again = match error {
                LinkError::Broken(reason) if !retried => self.reopen(session, &reason.to_string()),
                error => Err(error),
            };
            retried = true;
            if let Err(error) = again {
                self.lost(&error);
                self.fail(requests.len() - next);
                return Err(error);
            }
        }
        replies.round_trip = start.elapsed();
        replies.completes = requests.len();
        self.hand_over(replies);
        Ok(())
    }

    /// Waits for the next attempt to connect; requests that come meanwhile get an error at once.
    fn pause(&mut self) {
        // Up to a quarter less, so that the proxies of many hosts don't come back in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        let deadline = Instant::now() + pause;
        loop {
            match self
                .mailbox
                .wait(Batch::default(), &[None, None], Some(deadline))
            {
                Waited::Requests(batch) => self.fail(batch.requests.len()),
                Waited::Bell => {}
                Waited::Deadline | Waited::Unasked => break,
            }
        }
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    /// The connection broke or there was none. What waits for it gets the error.
    fn lost(&mut self, error: &LinkError) {
        // One that comes and goes gets the longer pauses of one that is away.
        if self.down.is_none() && self.opened.elapsed() >= STEADY {
            self.pause = FIRST_PAUSE;
        }
        if matches!(error, LinkError::Refused(words) if !words.starts_with("LOADING")) {
            self.pause = LAST_PAUSE;
        }
        let reason = error.to_string();
        if self.down.as_ref().is_none_or(|down| down.reason != reason) {
            let message = match self.down {
                Some(_) => "redis still down",
                None => "redis down",
            };
            log::warn!(address:% = self.settings.address, reason; "{message}");
            self.mailbox.tell(Event::Down {
                error: error_reply(&self.settings, &reason),
            });
            let since = self
                .down
                .as_ref()
                .map_or_else(Instant::now, |down| down.since);
            self.down = Some(Down { reason, since });
        }
    }

    /// Gives so many requests an error for a reply.
    fn fail(&self, count: usize) {
        let reason = match &self.down {
            Some(down) => &down.reason,
            None => "there is no connection",
        };
        let error = error_reply(&self.settings, reason);
        let mut replies = Replies::default();
        for _ in 0..count {
            replies.push(&error);
        }
        self.hand_over(replies);
    }

    fn hand_over(&self, replies: Replies) {
        if !replies.ends.is_empty() {
            self.mailbox.tell(Event::Replies(replies));
        }
    }
}

/// The end of the requests from `next` on that can be sent together: of one protocol, not too many, and
/// none that was sent before and may not be sent again.
fn piece_end(requests: &[Pending], next: usize, unsent: usize) -> usize {
    let first = requests[next];
    let start = if next == 0 { 0 } else { requests[next - 1].end };
    let fits = |&(index, request): &(usize, &Pending)| {
        request.protocol == first.protocol
            && request.end - start <= PIECE_BYTES
            && (index >= unsent || request.repeatable)
    };
    let rest = requests
        .iter()
        .enumerate()
        .take(next + PIECE_REQUESTS)
        .skip(next + 1);
    next + 1 + rest.take_while(fits).count()
}

/// A time for the log.
fn milliseconds(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

/// The error reply to a request that Redis did not answer.
fn error_reply(settings: &Settings, reason: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    let message = format!(
        "{UNREACHABLE}{} can't be reached: {reason}",
        settings.address
    );
    reply::error(&mut encoded, message.as_bytes());
    encoded
}
