//! The memory that all clients together hold besides the cache, and how much of it each may have.
//!
//! Half of the limit is first come, first served: a client may send a whole pipeline before it reads any reply. Once
//! that half is used up, room is scarce: each client may hold an equal share of a quarter of the limit, and is not read
//! from beyond its share. The last quarter is for one client at a time, the *favored* one: its pipeline is read to the
//! end, so that it gets its replies and frees room. One client at a time may hold a request or a reply larger than all
//! that; it stands *alone*, and what it holds does not count against the others.

use super::{ClientId, MAX_OWED, READ};

/// The sum over all clients, kept up to date with every change.
#[derive(Debug)]
pub(super) struct Buffers {
    /// The most bytes; `usize::MAX` for no limit.
    limit: usize,
    /// The bytes held now.
    held: usize,
    clients: usize,
    /// Clients are limited to shares, until there is room again.
    scarce: bool,
    /// There is room again, and the clients that wait for it have not been notified yet.
    relieved: bool,
    /// The client that may be read from beyond its share.
    favored: Option<ClientId>,
    /// The client whose single request or reply may exceed the limit, and what it holds.
    alone: Option<(ClientId, usize)>,
    /// The bytes freed by clients beyond their share while room was scarce.
    freed: usize,
}

/// The smallest share: with less, a client would be reduced to a few bytes at a time.
const LEAST_SHARE: usize = 1024;

impl Default for Buffers {
    fn default() -> Self {
        Self {
            limit: usize::MAX,
            held: 0,
            clients: 0,
            scarce: false,
            relieved: false,
            favored: None,
            alone: None,
            freed: 0,
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

    /// A client has connected.
    pub fn add_client(&mut self) {
        self.clients += 1;
    }

    /// A client that no longer holds anything has left.
    pub fn remove_client(&mut self) {
        self.clients -= 1;
    }

    /// Records that a client holds `now` bytes and held `before`.
    #[inline]
    pub fn change(&mut self, client: ClientId, before: usize, now: usize) {
        self.held = self.held - before + now;
        if self.scarce || self.alone.is_some() {
            self.note_special(client, before, now);
        }
        if !self.scarce && self.counted() >= self.limit / 2 {
            self.scarce = true;
        }
    }

    #[inline(never)]
    fn note_special(&mut self, client: ClientId, before: usize, now: usize) {
        let share = self.share();
        if self.alone.is_some_and(|(alone, _)| alone == client) {
            // It counts as one of the others again once it would not be slowed.
            self.alone = (now > share).then_some((client, now));
        }
        if self.favored == Some(client) && now <= share {
            self.favored = None;
        }
        if before > share {
            self.freed += before.saturating_sub(now);
        }
        self.end_scarcity();
    }

    /// There is room again if an eighth of the common half is free.
    fn end_scarcity(&mut self) {
        if self.scarce && self.counted() <= self.limit / 16 * 7 {
            self.scarce = false;
            self.favored = None;
            self.relieved = true;
        }
    }

    /// Whether clients are slowed because too much is held.
    pub fn is_scarce(&self) -> bool {
        self.scarce
    }

    /// Whether the bound is exceeded.
    pub fn is_exceeded(&self) -> bool {
        self.counted() > self.limit
    }

    /// Whether there is room again and the clients have not been notified.
    pub fn is_relieved(&self) -> bool {
        self.relieved
    }

    /// The same as [`Self::is_relieved`], and clears that state.
    pub fn take_relief(&mut self) -> bool {
        std::mem::take(&mut self.relieved)
    }

    /// The bytes freed by clients beyond their share while room was scarce.
    pub fn freed(&self) -> usize {
        self.freed
    }

    /// How many bytes of replies may be outstanding for a client before its further requests wait.
    #[inline]
    pub fn most_owed(&self) -> usize {
        if self.scarce {
            self.share().min(MAX_OWED)
        } else {
            MAX_OWED
        }
    }

    /// How many more bytes may be read from a client that holds `held` bytes. `in_request`: all its unexecuted input is
    /// the start of one request.
    pub fn room(&self, client: ClientId, held: usize, in_request: bool) -> usize {
        if !self.scarce {
            return usize::MAX;
        }
        if self.favored == Some(client) {
            let may_stand_alone = self.alone.is_none_or(|(alone, _)| alone == client);
            if self.counted() + READ <= self.limit || in_request && may_stand_alone {
                return usize::MAX;
            }
        }
        self.share().saturating_sub(held)
    }

    /// The client that is read from beyond its share.
    pub fn favored(&self) -> Option<ClientId> {
        self.favored
    }

    /// Sets the client that may be read from beyond its share, or none.
    pub fn favor(&mut self, client: Option<ClientId>) {
        self.favored = client;
    }

    /// Lets a client that holds more than half of the limit exceed it, unless another already does. Returns whether it
    /// may.
    pub fn let_stand_alone(&mut self, client: ClientId, held: usize) -> bool {
        let may = self.alone.is_none() && held > self.limit / 2;
        if may {
            self.alone = Some((client, held));
            self.end_scarcity();
        }
        may
    }

    /// Whether a client may exceed the bound.
    pub fn stands_alone(&self, client: ClientId) -> bool {
        self.alone.is_some_and(|(alone, _)| alone == client)
    }

    /// The bytes that count against the bound.
    fn counted(&self) -> usize {
        self.held - self.alone.map_or(0, |(_, held)| held)
    }

    /// How many bytes each client may hold while room is scarce.
    pub fn share(&self) -> usize {
        (self.limit / 4 / self.clients.max(1)).max(LEAST_SHARE)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const ONE: ClientId = ClientId(1);
    const OTHER: ClientId = ClientId(2);

    fn buffers(limit: usize, clients: usize) -> Buffers {
        let mut buffers = Buffers::default();
        buffers.set_limit(limit);
        for _ in 0..clients {
            buffers.add_client();
        }
        buffers
    }

    #[test]
    fn one_client_may_take_what_is_for_all_and_then_the_others_have_their_shares() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(ONE, 0, 19_999_999);
        assert_eq!(buffers.room(ONE, 19_999_999, false), usize::MAX);
        assert_eq!(buffers.most_owed(), MAX_OWED);
        buffers.change(ONE, 19_999_999, 20_000_000);
        assert_eq!(buffers.room(ONE, 20_000_000, false), 0);
        assert_eq!(buffers.room(OTHER, 0, false), 1_000_000);
        assert_eq!(buffers.room(OTHER, 999_999, false), 1);
        assert_eq!(buffers.most_owed(), 1_000_000);
    }

    #[test]
    fn there_is_room_again_only_when_an_eighth_of_it_is_free() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(ONE, 0, 20_000_000);
        buffers.change(ONE, 20_000_000, 17_500_001);
        assert!(buffers.is_scarce() && !buffers.take_relief());
        buffers.change(ONE, 17_500_001, 17_500_000);
        assert!(!buffers.is_scarce() && buffers.take_relief());
        assert!(!buffers.take_relief(), "it is told once");
        assert_eq!(buffers.freed(), 2_500_000);
    }

    #[test]
    fn the_favored_client_is_read_from_up_to_the_limit_and_to_the_end_of_its_request() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(ONE, 0, 20_000_000);
        buffers.favor(Some(ONE));
        assert_eq!(buffers.room(ONE, 20_000_000, false), usize::MAX);
        assert_eq!(buffers.room(OTHER, 1_000_000, true), 0);
        buffers.change(ONE, 20_000_000, 39_950_000);
        assert_eq!(buffers.room(ONE, 39_950_000, false), 0);
        assert_eq!(buffers.room(ONE, 39_950_000, true), usize::MAX);
        buffers.change(ONE, 39_950_000, 1_000_000);
        assert_eq!(buffers.favored(), None);
    }

    #[test]
    fn one_client_at_a_time_goes_beyond_the_limit_and_leaves_the_others_theirs() {
        let mut buffers = buffers(40_000_000, 10);
        buffers.change(ONE, 0, 100_000_000);
        assert!(buffers.is_exceeded() && buffers.is_scarce());
        assert!(buffers.let_stand_alone(ONE, 100_000_000));
        assert!(!buffers.is_scarce(), "the others have theirs at once");
        buffers.change(ONE, 100_000_000, 200_000_000);
        assert!(!buffers.is_exceeded() && !buffers.is_scarce());
        assert!(!buffers.let_stand_alone(OTHER, 1));
        buffers.change(OTHER, 0, 40_000_001);
        assert!(buffers.is_exceeded());
        buffers.change(ONE, 200_000_000, 0);
        assert!(!buffers.let_stand_alone(OTHER, 20_000_000));
        assert!(buffers.let_stand_alone(OTHER, 40_000_001));
    }

    #[test]
    fn without_a_limit_there_is_always_room() {
        let mut buffers = buffers(0, 1);
        assert_eq!(buffers.limit(), 0);
        buffers.change(ONE, 0, usize::MAX / 4);
        assert!(!buffers.is_scarce() && !buffers.is_exceeded());
    }

    #[test]
    fn whoever_holds_nothing_is_heard_however_small_the_shares_are() {
        let mut buffers = buffers(1, 1000);
        buffers.change(ONE, 0, 100);
        assert_eq!(buffers.room(OTHER, 0, false), LEAST_SHARE);
        assert_eq!(buffers.room(ONE, LEAST_SHARE, false), 0);
    }
}
