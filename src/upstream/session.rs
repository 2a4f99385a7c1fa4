//! The connections that belong together: those that all clients share, and the one on which Redis says
//! what changed. They live and end together.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use super::ahead::Connections;
use super::link::{Link, LinkError};
use super::mailbox::Mailbox;
use super::tracker::Tracking;
use super::{Backend, Coherence, Settings};
use crate::resp::Protocol;

/// The shared connections, one for each version of the protocol: a reply in one can't be told from a
/// reply in the other.
pub(super) struct Session {
    resp2: Link,
    /// There is one since the first request that needed it.
    resp3: Option<Link>,
    tracking: Option<Tracking>,
}

impl Session {
    /// Connects, and turns tracking on where that is wanted and can be had. `epoch` is the number of the
    /// session.
    pub fn open(
        settings: &Settings,
        epoch: u64,
        holds: &Arc<AtomicBool>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<(Self, Backend, Coherence), LinkError> {
        let mut resp2 = Link::connect(settings, Protocol::Resp2)?;
        let backend = resp2.ask_backend(settings)?;
        let mut session = Self {
            resp2,
            resp3: None,
            tracking: None,
        };
        let coherence = if settings.tracking {
            match session.track(settings, epoch, holds, mailbox) {
                Ok(()) => Coherence::Tracking { epoch },
                Err(LinkError::Refused(words)) => Coherence::TimeToLive {
                    refused: Some(words),
                },
                Err(error) => return Err(error),
            }
        } else {
            Coherence::TimeToLive { refused: None }
        };
        Ok((session, backend, coherence))
    }

    fn track(
        &mut self,
        settings: &Settings,
        epoch: u64,
        holds: &Arc<AtomicBool>,
        mailbox: &Arc<Mailbox>,
    ) -> Result<(), LinkError> {
        let mut listening = Link::connect(settings, Protocol::Resp3)?;
        let id = listening.client_id(settings)?;
        self.resp2.redirect_tracking(id, settings)?;
        let tracking = Tracking::start(
            id,
            listening.stream(),
            self.resp2.stream(),
            epoch,
            Arc::clone(holds),
            Arc::clone(mailbox),
            settings.timeout,
        );
        self.tracking = Some(tracking.map_err(LinkError::Broken)?);
        Ok(())
    }

    /// The connection for replies in that version.
    pub fn link(
        &mut self,
        protocol: Protocol,
        settings: &Settings,
    ) -> Result<&mut Link, LinkError> {
        match (protocol, &mut self.resp3) {
            (Protocol::Resp2, _) => Ok(&mut self.resp2),
            (Protocol::Resp3, Some(link)) => Ok(link),
            (Protocol::Resp3, none) => {
                let mut link = Link::connect(settings, Protocol::Resp3)?;
                if let Some(tracking) = &self.tracking {
                    link.redirect_tracking(tracking.id, settings)?;
                }
                Ok(none.insert(link))
            }
        }
    }

    /// Whether Redis answers. An error is an answer.
    pub fn check(&mut self, settings: &Settings) -> Result<(), LinkError> {
        let links = std::iter::once(&mut self.resp2).chain(&mut self.resp3);
        for link in links {
            match link.ping(settings) {
                Ok(()) | Err(LinkError::Refused(_)) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Whether Redis still says what changes, if it was to.
    pub fn is_whole(&self) -> bool {
        self.tracking.as_ref().is_none_or(Tracking::is_alive)
    }

    /// Why it does not any more.
    pub fn tracking_loss(&self) -> Option<&str> {
        self.tracking.as_ref().and_then(Tracking::loss)
    }

    /// Something is cached.
    pub fn watch(&self) {
        if let Some(tracking) = &self.tracking {
            tracking.watch();
        }
    }

    /// The sockets of the shared connections.
    pub fn connections(&self) -> Connections {
        [Some(&self.resp2), self.resp3.as_ref()].map(|link| link.map(Link::stream))
    }
}
