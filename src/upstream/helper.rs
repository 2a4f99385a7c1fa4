//! The helper thread: it owns the connection to Redis, and is the only one that ever waits for it.

use std::io;
use std::sync::Arc;
use std::thread;
use std::time::{Duration, Instant};

use mio::Waker;

use super::link::{Link, LinkError};
use super::mailbox::Mailbox;
use super::{Backend, Batch, Event, Pending, Replies, Settings};
use crate::resp::{Protocol, reply};

/// The loop's end: requests go in, events come out, and the waker rings when there are some.
pub struct Upstream {
    mailbox: Arc<Mailbox>,
}

impl Upstream {
    /// Starts the helper thread. It connects at once, and for ever again when the connection breaks.
    ///
    /// # Errors
    /// If the thread can't be started.
    pub fn start(settings: Settings, waker: Waker) -> io::Result<Self> {
        let mailbox = Arc::new(Mailbox::default());
        let helper = Helper {
            settings,
            mailbox: Arc::clone(&mailbox),
            waker,
            down: None,
            pause: FIRST_PAUSE,
        };
        thread::Builder::new()
            .name("upstream".into())
            .stack_size(STACK)
            .spawn(move || helper.run())?;
        Ok(Self { mailbox })
    }

    /// Hands requests over and leaves `batch` empty.
    pub fn send(&self, batch: &mut Batch) {
        if !batch.is_empty() {
            self.mailbox.put_requests(batch);
        }
    }

    /// What happened since this was last called, in order.
    #[must_use]
    pub fn events(&self) -> Vec<Event> {
        self.mailbox.take_events()
    }
}

/// The stack of the helper thread, in bytes: ample for a name look-up, less than the usual 2 MB.
const STACK: usize = 512 * 1024;

/// The pause before the first new attempt to connect; it doubles until [`LAST_PAUSE`].
const FIRST_PAUSE: Duration = Duration::from_millis(100);
/// The longest pause, and the one after Redis refused the proxy.
const LAST_PAUSE: Duration = Duration::from_secs(5);

/// The most bytes and requests that are sent before their replies are read: so much fits into any
/// socket's buffers, or is read by Redis while it answers.
const PIECE_BYTES: usize = 1024 * 1024;
const PIECE_REQUESTS: usize = 4096;

struct Helper {
    settings: Settings,
    mailbox: Arc<Mailbox>,
    waker: Waker,
    /// Why Redis can't be reached, since an attempt failed.
    down: Option<String>,
    pause: Duration,
}

impl Helper {
    fn run(mut self) {
        loop {
            if let Err(error) = self.serve() {
                self.lost(&error);
            }
            self.wait();
        }
    }

    /// Connects, and serves requests until the connection breaks for good.
    fn serve(&mut self) -> Result<(), LinkError> {
        let mut link = Link::connect(&self.settings, Protocol::Resp2)?;
        self.up(link.ask_backend(&self.settings)?);
        let mut links = Links {
            resp2: link,
            resp3: None,
        };
        loop {
            let batch = self.mailbox.take_requests(None);
            self.serve_batch(&mut links, &batch)?;
        }
    }

    /// Gets every request of a batch its reply, in order.
    ///
    /// When a connection breaks (Redis was restarted, an idle one was closed somewhere), there is one new
    /// attempt at once, and what may be sent twice is. After a timeout there is none: those who wait have
    /// waited long enough.
    fn serve_batch(&mut self, links: &mut Links, batch: &Batch) -> Result<(), LinkError> {
        let requests = &batch.requests;
        let mut replies = Replies::default();
        // The first request without a reply, and the first that was never sent.
        let mut next = 0;
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
            let start = if next == 0 { 0 } else { requests[next - 1].end };
            let bytes = &batch.bytes[start..requests[end - 1].end];
            let mut answered = 0;
            let before = replies.ends.len();
            let result = links
                .get(requests[next].protocol, &self.settings)
                .and_then(|link| {
                    let mut enough = |replies: &mut Replies| {
                        answered += replies.ends.len();
                        self.hand_over(std::mem::take(replies));
                    };
                    link.exchange(bytes, end - next, &mut replies, &mut enough, &self.settings)
                });
            next += answered + replies.ends.len() - before;
            let Err(error) = result else { continue };
            let again = match error {
                LinkError::Broken(_) if !retried => links.renew(&self.settings),
                error => Err(error),
            };
            retried = true;
            if let Err(error) = again {
                self.lost(&error);
                self.fail(requests.len() - next, replies);
                return Err(error);
            }
            log::debug!("reconnected address={}", self.settings.address);
        }
        self.hand_over(replies);
        Ok(())
    }

    /// Waits for the next attempt to connect; requests that come meanwhile get an error at once.
    fn wait(&mut self) {
        // Up to a quarter less, so that the proxies of many hosts don't come back in step.
        let pause = self.pause.mul_f64(1.0 - 0.25 * fastrand::f64());
        let deadline = Instant::now() + pause;
        while Instant::now() < deadline {
            let batch = self.mailbox.take_requests(Some(deadline));
            self.fail(batch.requests.len(), Replies::default());
        }
        self.pause = (self.pause * 2).min(LAST_PAUSE);
    }

    fn up(&mut self, backend: Backend) {
        self.down = None;
        self.pause = FIRST_PAUSE;
        log::info!("redis up address={}", self.settings.address);
        self.tell(Event::Up(backend));
    }

    /// The connection broke or there was none. What waits for it gets the error.
    fn lost(&mut self, error: &LinkError) {
        if matches!(error, LinkError::Refused(words) if !words.starts_with("LOADING")) {
            self.pause = LAST_PAUSE;
        }
        let reason = error.to_string();
        if self.down.as_ref() != Some(&reason) {
            log::warn!(
                "redis down address={} reason={reason:?}",
                self.settings.address
            );
            self.tell(Event::Down {
                error: error_reply(&self.settings, &reason),
            });
            self.down = Some(reason);
        }
    }

    /// Adds error replies for `count` requests and hands all over.
    fn fail(&self, count: usize, mut replies: Replies) {
        let reason = self.down.as_deref().unwrap_or("there is no connection");
        let error = error_reply(&self.settings, reason);
        for _ in 0..count {
            replies.push(&error);
        }
        self.hand_over(replies);
    }

    fn hand_over(&self, replies: Replies) {
        if !replies.ends.is_empty() {
            self.tell(Event::Replies(replies));
        }
    }

    fn tell(&self, event: Event) {
        if self.mailbox.put_event(event)
            && let Err(error) = self.waker.wake()
        {
            log::error!("can't wake the loop reason={:?}", error.to_string());
        }
    }
}

/// The connections that all clients share: one for each version of the protocol, because a reply in one
/// can't be told from a reply in the other.
struct Links {
    resp2: Link,
    /// There is one since the first request that needed it.
    resp3: Option<Link>,
}

impl Links {
    fn get(&mut self, protocol: Protocol, settings: &Settings) -> Result<&mut Link, LinkError> {
        match (protocol, &mut self.resp3) {
            (Protocol::Resp2, _) => Ok(&mut self.resp2),
            (Protocol::Resp3, Some(link)) => Ok(link),
            (Protocol::Resp3, none) => Ok(none.insert(Link::connect(settings, protocol)?)),
        }
    }

    /// Connects anew.
    fn renew(&mut self, settings: &Settings) -> Result<(), LinkError> {
        *self = Self {
            resp2: Link::connect(settings, Protocol::Resp2)?,
            resp3: None,
        };
        Ok(())
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

/// The error reply to a request that Redis did not answer.
fn error_reply(settings: &Settings, reason: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    let message = format!(
        "ERR backing Redis at {} can't be reached: {reason}",
        settings.address
    );
    reply::error(&mut encoded, message.as_bytes());
    encoded
}
