//! Decides what happens to each frame that Redis sends on a connection, by how it starts.

use super::Dedicated;
use super::expectation::Kind;
use super::mirror::Class;
use super::receive::News;
use crate::command::internal;

/// What happens to a frame's bytes.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Fate {
    /// It is not known yet, as that takes more bytes. These have arrived.
    Undecided(Vec<u8>),
    /// The bytes go to the client.
    Passed,
    /// The bytes are dropped.
    LeftOut,
    /// The bytes are kept, to be edited.
    Kept(Kept),
}

impl Default for Fate {
    fn default() -> Self {
        Self::Undecided(Vec::new())
    }
}

/// A frame that is to be edited.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Kept {
    pub bytes: Vec<u8>,
    /// The client has not suppressed it.
    pub is_wanted: bool,
    /// It is a message, whose prefix is removed.
    pub is_message: bool,
}

impl Dedicated {
    /// Decides what happens to the current frame, of which `part` has just arrived, unless that is already decided.
    /// Bytes of it that were held share its fate.
    pub(super) fn decide_fate(
        &mut self,
        part: &[u8],
        due: Option<Kind>,
        client: &mut Vec<u8>,
        news: &mut News,
    ) {
        let Fate::Undecided(held) = &mut self.fate else {
            return;
        };
        let mut so_far = std::mem::take(held);
        let before = so_far.len();
        let decided = match before {
            0 => self.decide(part, due),
            _ => {
                so_far.extend_from_slice(part);
                self.decide(&so_far, due)
            }
        };
        let Some(mut fate) = decided else {
            if before == 0 {
                so_far.extend_from_slice(part);
            }
            self.fate = Fate::Undecided(so_far);
            return;
        };
        let held = &so_far[..before];
        match &mut fate {
            Fate::Passed => {
                let start = self.frames.current().start();
                news.tells_of_others |= self.mirror.tells_of_others(start, part, due);
                client.extend_from_slice(held);
            }
            Fate::Kept(kept) => kept.bytes.extend_from_slice(held),
            Fate::Undecided(_) | Fate::LeftOut => {}
        }
        self.fate = fate;
    }

    /// The fate of the current frame, of which these bytes have arrived. `None` if more are needed.
    fn decide(&self, so_far: &[u8], due: Option<Kind>) -> Option<Fate> {
        if !self.set_up.is_done() {
            return Some(Fate::LeftOut);
        }
        let start = self.frames.current().start();
        let class = self.mirror.class(start, due);
        if due == Some(Kind::AnsweredMulti) && class == Some(Class::Reply) {
            return Some(Fate::LeftOut);
        }
        if self.is_redirect(start)? {
            return Some(kept(!self.mirror.is_silent(), false));
        }
        if self.mirror.is_edited(start, due)? {
            // CLIENT REPLY does not affect unsolicited messages.
            let is_unsolicited = start.starts_with(b">");
            return Some(kept(is_unsolicited || !self.mirror.is_silent(), false));
        }
        if self.is_prefixed_message(start, due)? {
            return Some(kept(true, true));
        }
        let is_internal = match class {
            Some(Class::MonitorLine) => internal::is_internal_line(so_far)?,
            None if self.mirror.monitors() => return None,
            _ => false,
        };
        match !is_internal && self.mirror.is_wanted(start, due)? {
            true => Some(Fate::Passed),
            false => Some(Fate::LeftOut),
        }
    }

    /// Whether a frame that starts like this would redirect the client to another node, of which the client knows
    /// nothing.
    fn is_redirect(&self, start: &[u8]) -> Option<bool> {
        if !self.in_cluster || !start.starts_with(b"-") {
            return Some(false);
        }
        let words: [&[u8]; 2] = [b"-MOVED ", b"-ASK "];
        match () {
            () if words.iter().any(|word| start.starts_with(word)) => Some(true),
            () if words.iter().any(|word| word.starts_with(start)) => None,
            () => Some(false),
        }
    }

    /// Whether a frame that starts like this is a message, or the confirmation of a subscription, that may name keys
    /// with a prefix. `None` if more bytes are needed.
    fn is_prefixed_message(&self, start: &[u8], due: Option<Kind>) -> Option<bool> {
        if self.prefix.is_none() {
            return Some(false);
        }
        let class = self.mirror.class(start, due)?;
        Some(matches!(class, Class::Message | Class::Confirmation(..)))
    }
}

fn kept(is_wanted: bool, is_message: bool) -> Fate {
    Fate::Kept(Kept {
        bytes: Vec::new(),
        is_wanted,
        is_message,
    })
}
