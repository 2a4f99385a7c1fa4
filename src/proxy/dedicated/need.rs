//! Why a client has a dedicated connection: by the command that it needs one for.

use super::Dedicated;
use crate::command::UNKNOWN;

/// The numbers of the commands that need it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The latest.
    latest: u16,
    /// The first whose effect may last as long as the connection.
    lasting: Option<u16>,
}

impl Default for Need {
    fn default() -> Self {
        Self {
            latest: UNKNOWN.number,
            lasting: None,
        }
    }
}

impl Dedicated {
    /// The client needs it for that command, perhaps for good.
    pub fn note_need(&mut self, command: u16, lasts: bool) {
        self.need.latest = command;
        if lasts {
            self.need.lasting.get_or_insert(command);
        }
    }

    /// The command that its client needs it for.
    pub fn needed_by(&self) -> u16 {
        self.need.lasting.unwrap_or(self.need.latest)
    }
}
