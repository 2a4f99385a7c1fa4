//! Detects whether Redis outlived the latest loss of a connection.
//!
//! When Redis ends, its connections are lost one after another, and until its port is closed the kernel accepts new
//! ones for it. Entries must still be served during that time. So after a loss, nothing that empties the cache is
//! reported until Redis has answered a question that was sent after the loss: on a newer connection, or a `PING` on an
//! existing one. If Redis answers none, it is soon found to be unreachable.

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use crate::clock::Time;

/// The state of this check.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// How many connections were lost in a way that the end of Redis would explain.
    losses: u64,
    /// How many of them had been lost when the question was sent that Redis answered last.
    outlived: u64,
}

impl Node {
    /// A connection is lost, and Redis may have ended.
    pub(super) fn doubt_life(&mut self, loss: &Loss) {
        if loss.may_be_end() || matches!(loss, Loss::TimedOut(_)) {
            self.life.losses += 1;
        }
    }

    /// If it is in doubt whether Redis still answers, asks it where that is possible.
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

    /// A connection was opened: whatever is answered on it was asked after the losses so far.
    pub(super) fn date(&mut self, role: Role) {
        self.connection(role).losses = self.life.losses;
    }

    /// Redis has answered something on a connection.
    pub(super) fn answered_on(&mut self, role: Role) {
        let losses = self.connection(role).losses;
        self.outlived(losses);
    }

    /// Redis has answered a question that was sent after `losses` losses.
    pub(super) fn outlived(&mut self, losses: u64) {
        self.life.outlived = self.life.outlived.max(losses);
    }

    /// Whether Redis has answered since the last loss.
    pub(super) fn is_alive(&self) -> bool {
        self.life.outlived == self.life.losses
    }
}
