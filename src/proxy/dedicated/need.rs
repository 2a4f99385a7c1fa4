//! Which command made a client need its dedicated connection.

use super::Dedicated;
use crate::command::UNKNOWN;

/// The numbers of the commands that need the connection.
#[derive(Clone, Copy, Debug)]
pub(super) struct Need {
    /// The latest such command.
    latest: u16,
    /// The first such command whose effect may last as long as the connection.
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
    /// Notes that the client needs the connection for this command, and whether the need lasts.
    pub fn note_need(&mut self, command: u16, lasts: bool) {
        self.need.latest = command;
        if lasts {
            self.need.lasting.get_or_insert(command);
        }
    }

    /// The command for which the client needs the connection.
    pub fn needed_by(&self) -> u16 {
        self.need.lasting.unwrap_or(self.need.latest)
    }
}
