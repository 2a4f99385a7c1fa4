//! What a client has its dedicated connection for.

use super::{Borrowed, Dedicated};

/// What a client has its dedicated connection for.
#[derive(Debug)]
pub(in crate::proxy) enum Mode {
    /// Its requests go over it as long as there is state that they need.
    Held,
    /// One request, which leaves no state.
    OneRequest,
    /// Requests that the shared connections should not carry, until all are answered.
    Borrowed(Borrowed),
    /// Nothing at present: the shared connections and the cache serve the client.
    Parked,
}

impl Mode {
    /// Whether another request may go over the connection, while so many are in flight.
    pub(super) fn takes(&self, in_flight: usize) -> bool {
        match self {
            Self::Borrowed(borrowed) => borrowed.takes(in_flight),
            Self::OneRequest => in_flight == 0,
            Self::Held | Self::Parked => true,
        }
    }
}

impl Dedicated {
    /// From now on, the client has it for that.
    pub fn set_mode(&mut self, mode: Mode) {
        self.mode = mode;
    }

    /// Returns the client to the shared connections.
    pub fn park(&mut self) {
        self.mode = Mode::Parked;
    }

    /// Whether the client is served by the shared connections.
    pub fn is_parked(&self) -> bool {
        matches!(self.mode, Mode::Parked)
    }

    /// What went over it, if the client only borrows it.
    pub fn borrowed(&self) -> Option<&Borrowed> {
        match &self.mode {
            Mode::Borrowed(borrowed) => Some(borrowed),
            _ => None,
        }
    }

    /// What went over it, to add to, if the client only borrows it.
    pub fn borrowed_mut(&mut self) -> Option<&mut Borrowed> {
        match &mut self.mode {
            Mode::Borrowed(borrowed) => Some(borrowed),
            _ => None,
        }
    }

    /// Takes what went over it, if it was borrowed and all requests are answered. The client then holds it.
    pub fn take_returned(&mut self) -> Option<Borrowed> {
        let all = self.is_quiet() && self.to_redis.is_empty();
        if !all || !self.borrowed().is_some_and(Borrowed::is_used) {
            return None;
        }
        match std::mem::replace(&mut self.mode, Mode::Held) {
            Mode::Borrowed(borrowed) => Some(borrowed),
            _ => None,
        }
    }

    /// Whether it is for one request, unless other requests leave state behind.
    pub fn is_for_one_request(&self) -> bool {
        matches!(self.mode, Mode::OneRequest)
    }

    /// Whether it was for one request, and that is answered.
    pub fn has_passed(&self) -> bool {
        self.is_for_one_request()
            && self.is_quiet()
            && self.set_up.is_done()
            && self.to_redis.is_empty()
    }
}
