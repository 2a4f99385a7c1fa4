//! Whether Redis outlived the connection that was lost last.
//!
//! When Redis ends, its connections are lost one after the other, and until its port is closed the kernel accepts new
//! ones for it. What is cached is to be served on then. So after a loss nothing is reported that empties the cache until
//! Redis has answered a question that it was asked since: on a connection that is newer, or a `PING` on one that there
//! was. If it answers none, it is found to be away soon.

use super::node::{Loss, Node, Phase, Role};
use super::setup::{self, Question};
use crate::clock::Time;

/// What is known of it.
#[derive(Debug, Default)]
pub(super) struct Life {
    /// How many connections were lost in a way in which they are when Redis ends.
    losses: u64,
    /// How many had been when it was asked what it answered last.
    outlived: u64,
}

impl Node {
    /// A connection is lost, and Redis may be gone with it.
    pub(super) fn doubt_life(&mut self, loss: &Loss) {
        if loss.may_be_end() || matches!(loss, Loss::TimedOut(_)) {
            self.life.losses += 1;
        }
    }

    /// Asks Redis whether it is there, where it can be asked, if that is in doubt.
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

    /// A connection is to be made: whatever is answered on it was asked after the losses so far.
    pub(super) fn date(&mut self, role: Role) {
        self.connection(role).losses = self.life.losses;
    }

    /// Redis answered something on that connection.
    pub(super) fn answered_on(&mut self, role: Role) {
        let losses = self.connection(role).losses;
        self.outlived(losses);
    }

    /// Redis answered what it was asked after so many losses.
    pub(super) fn outlived(&mut self, losses: u64) {
        self.life.outlived = self.life.outlived.max(losses);
    }

    /// Whether Redis answered since the last loss.
    pub(super) fn is_alive(&self) -> bool {
        self.life.outlived == self.life.losses
    }
}
