//! What all clients together hold beside the cache, and how much of it each may have.
//!
//! Three quarters of the bound are for whoever comes first: a pipeline may be sent as a whole before its replies are
//! read. When they are used up, each client may hold an equal share of the last quarter. Whoever holds more is not read
//! from until there is room again, and everybody else goes on.

use super::MAX_OWED;

/// The sum, kept up to date with every change.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The most bytes; `usize::MAX` for no limit.
    limit: usize,
    /// The bytes held now.
    held: usize,
    clients: usize,
    /// The shares hold, until there is room again.
    scarce: bool,
    /// There is room again, and those who had to wait for it were not told.
    relieved: bool,
}

/// Fewer bytes are not read from a client, however small its share: it would come down to one at a time.
const SMALLEST_READ: usize = 1024;

impl Default for Buffers {
    fn default() -> Self {
        Self {
            limit: usize::MAX,
            held: 0,
            clients: 0,
            scarce: false,
            relieved: false,
        }
    }
}

impl Buffers {
    /// Sets the bound, in bytes; 0 for none.
    pub fn set_limit(&mut self, limit: usize) {
        self.limit = if limit == 0 { usize::MAX } else { limit };
    }

    /// The bound, in bytes; 0 for none.
    pub fn limit(&self) -> usize {
        if self.limit == usize::MAX {
            0
        } else {
            self.limit
        }
    }

    /// The bytes held now.
    pub fn held(&self) -> usize {
        self.held
    }

    /// A client came.
    pub fn add_client(&mut self) {
        self.clients += 1;
    }

    /// A client that holds nothing any more left.
    pub fn remove_client(&mut self) {
        self.clients -= 1;
    }

    /// A client holds so many bytes now and held so many before.
    pub fn change(&mut self, before: usize, now: usize) {
        self.held = self.held - before + now;
        if !self.scarce {
            self.scarce = self.held >= self.common();
        } else if self.held <= self.common() / 8 * 7 {
            self.scarce = false;
            self.relieved = true;
        }
    }

    /// Whether clients are slowed since too much is held.
    pub fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Whether more is held than may be.
    pub fn is_exceeded(&self) -> bool {
        self.held > self.limit
    }

    /// Whether so little is held that nobody has to leave for the others to go on.
    pub fn is_half_free(&self) -> bool {
        self.held <= self.common() / 2
    }

    /// Whether there is room again since that was last taken note of.
    pub fn is_relieved(&self) -> bool {
        self.relieved
    }

    /// The same, and takes note of it.
    pub fn take_relief(&mut self) -> bool {
        std::mem::take(&mut self.relieved)
    }

    /// How many bytes a client may be owed before its further requests wait.
    pub fn most_owed(&self) -> usize {
        if self.scarce {
            self.share().clamp(1, MAX_OWED)
        } else {
            MAX_OWED
        }
    }

    /// How many bytes may be read from a client that holds so many.
    pub fn room(&self, held: usize) -> usize {
        if !self.scarce {
            return usize::MAX;
        }
        match self.share().saturating_sub(held) {
            0 if held > 0 => 0,
            room => room.max(SMALLEST_READ),
        }
    }

    /// What whoever comes first may have.
    fn common(&self) -> usize {
        self.limit - self.limit / 4
    }

    fn share(&self) -> usize {
        self.limit / 4 / self.clients.max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn buffers(limit: usize, clients: usize) -> Buffers {
        let mut buffers = Buffers::default();
        buffers.set_limit(limit);
        for _ in 0..clients {
            buffers.add_client();
        }
        buffers
    }

    #[test]
    fn one_client_may_take_what_is_common_and_then_the_others_have_their_shares() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(0, 29_999_999);
        assert_eq!(buffers.room(29_999_999), usize::MAX);
        assert_eq!(buffers.most_owed(), MAX_OWED);
        buffers.change(29_999_999, 30_000_000);
        assert_eq!(buffers.room(30_000_000), 0);
        assert_eq!(buffers.room(0), 1_000_000);
        assert_eq!(buffers.room(999_999), SMALLEST_READ);
        assert_eq!(buffers.room(1_000_000), 0);
        assert_eq!(buffers.most_owed(), 1_000_000);
    }

    #[test]
    fn there_is_room_again_only_when_an_eighth_is_free() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(0, 30_000_000);
        buffers.change(30_000_000, 26_250_001);
        assert!(buffers.is_scarce());
        assert!(!buffers.take_relief());
        buffers.change(26_250_001, 26_250_000);
        assert!(!buffers.is_scarce());
        assert!(buffers.take_relief());
        assert!(!buffers.take_relief(), "it is told once");
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut buffers = buffers(0, 1);
        assert_eq!(buffers.limit(), 0);
        buffers.change(0, usize::MAX / 2);
        assert!(!buffers.is_scarce());
        assert!(!buffers.is_exceeded());
    }

    #[test]
    fn whoever_holds_nothing_is_heard_however_small_the_shares_are() {
        let mut buffers = buffers(1, 1000);
        buffers.change(0, 100);
        assert_eq!(buffers.room(0), SMALLEST_READ);
        assert_eq!(buffers.room(1), 0);
        assert_eq!(buffers.most_owed(), 1);
    }
}
