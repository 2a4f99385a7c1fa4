//! Why a client has its dedicated connection.

use super::{Borrowed, Dedicated};

/// Why a client has its dedicated connection.
#[derive(Debug)]
pub(in crate::proxy) enum Mode {
    /// Its requests need state on the connection.
    Held,
    /// For one request, which leaves no state.
    OneRequest,
    /// For requests that the shared connections should not carry, until all of them are answered.
    Borrowed(Borrowed),
    /// For nothing at present: the shared connections and the cache serve the client.
    Parked,
}

impl Mode {
    /// Whether another request may be sent over the connection while `in_flight` requests are.
    pub(super) fn takes(&self, in_flight: usize) -> bool {
        match self {
            Self::Borrowed(borrowed) => borrowed.takes(in_flight),
            Self::OneRequest => in_flight == 0,
            Self::Held | Self::Parked => true,
        }
    }
}

impl Dedicated {
    /// Sets why the client has the connection from now on.
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

    /// What the client has sent over the connection, if it only borrows it.
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

    /// Ends the loan of a borrowed connection on which all requests are answered, and returns what was sent over it.
    /// The client then holds the connection.
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

    /// Whether the connection is for one request, unless other requests leave state on it.
    pub fn is_for_one_request(&self) -> bool {
        matches!(self.mode, Mode::OneRequest)
    }

    /// Whether the connection was for one request, which is answered.
    pub fn has_passed(&self) -> bool {
        self.is_for_one_request()
            && self.is_quiet()
            && self.set_up.is_done()
            && self.to_redis.is_empty()
    }
}
