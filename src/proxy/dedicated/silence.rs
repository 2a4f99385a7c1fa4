//! Which replies a client has suppressed with `CLIENT REPLY`.

use super::expectation::Wanted;

/// The state that Redis keeps for this (`CLIENT_REPLY_OFF`, `_SKIP` and `_SKIP_NEXT` in its `networking.c`).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Silence {
    /// All replies are suppressed.
    off: bool,
    /// The reply to the current request is suppressed.
    skip: bool,
    /// The reply to the next request will be suppressed.
    skip_next: bool,
}

impl Silence {
    /// Whether the reply to the current request is dropped.
    pub fn leaves_out(self) -> bool {
        self.off || self.skip
    }

    /// Whether the reply is dropped if the current request is a `RESET` that succeeds.
    pub fn leaves_out_reset(self) -> bool {
        self.skip
    }

    /// `CLIENT REPLY` succeeded.
    pub fn set(&mut self, wanted: Wanted) {
        match wanted {
            Wanted::All => (self.off, self.skip) = (false, false),
            Wanted::None => self.off = true,
            Wanted::AllButNext => self.skip_next |= !self.off,
        }
    }

    /// The current request is complete.
    pub fn end_request(&mut self) {
        self.skip = std::mem::take(&mut self.skip_next);
    }
}
