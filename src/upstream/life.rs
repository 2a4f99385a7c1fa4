//! Detects whether Redis outlived the connection that was lost last.
//!
//! When Redis ends, its connections are lost one after another, and until its port is closed the kernel accepts new
//! ones for it. Entries must still be served then. So after a loss nothing is reported that empties the cache until
//! Redis has answered a question that was sent after it: on a newer connection, or a `PING` on an existing one. If it
//! answers none, it is soon found to be unreachable.

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use crate::clock::Time;

/// The state of this check.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// How many connections were lost in a way that the end of Redis would explain.
    losses: u64,
    /// How many had been lost when the question was sent that it answered last.
    outlived: u64,
}

impl Node {
    /// A connection is lost, and Redis may be gone with it.
    pub(super) fn doubt_life(&mut self, loss: &Loss) {
        if loss.may_be_end() || matches!(loss, Loss::TimedOut(_)) {
            self.life.losses += 1;
        }
    }

    /// Checks whether Redis still answers, where that is possible, if it is in doubt.
    pub(super) fn ask_for_life(&mut self, now: Time) {
        if self.is_alive() {
            return;
        }
        let question = Question::Life(self.life.losses);
        for connection in &mut self.connections {
            if matches!(connection.phase, Phase::SettingUp | Phase::Open) {
                connection.link.ask(question, &setup::ping(), now);
            }
        }
    }

    /// A connection is opened: every answer on it is to a question sent after the losses so far.
    pub(super) fn date(&mut self, role: Role) {
        self.connection(role).losses = self.life.losses;
    }

    /// Redis has answered something on that connection.
    pub(super) fn answered_on(&mut self, role: Role) {
        let losses = self.connection(role).losses;
        self.outlived(losses);
    }

    /// Redis has answered a question that was sent after so many losses.
    pub(super) fn outlived(&mut self, losses: u64) {
        self.life.outlived = self.life.outlived.max(losses);
    }

    /// Whether Redis has answered since the last loss.
    pub(super) fn is_alive(&self) -> bool {
        self.life.outlived == self.life.losses
    }
}
