//! Requests of clients about clients: `CLIENT LIST`, `KILL`, `UNBLOCK`, `TRACKING REDIRECT` and the like.
//!
//! A client's id, which `CLIENT ID` shows, is assigned by the proxy and stays the same until the client leaves. Its
//! dedicated connection has another id at Redis. The two ranges overlap, so an id of one kind must never be taken for
//! the other: a request is sent with the id of the dedicated connection in place of the client's, or with [`NOBODY`]
//! ([`words`]), and Redis's reply is edited ([`edit`]). Redis still checks the syntax and the user's permissions.

mod edit;
mod select;
pub(super) mod slowlog;
mod upstream;
mod words;

use std::collections::{HashMap, HashSet};

use foldhash::fast::RandomState;

use super::ClientId;
pub(super) use edit::Edit;
pub(super) use select::{Facts, Kill, Listed, Type};
pub(super) use upstream::{is_stateless, unknown_to_upstream};
pub(super) use words::{Sent, translate};

/// An id that no connection has at Redis.
pub(super) const NOBODY: i64 = i64::MAX;

/// The clients by their ids, with the ids of their dedicated connections.
#[derive(Default)]
pub(super) struct Numbers {
    clients: HashMap<u64, (ClientId, AtRedis), RandomState>,
    /// Clients by the ids of their dedicated connections.
    at_redis: HashMap<i64, u64, RandomState>,
    /// Clients that others redirect to.
    targets: HashSet<u64, RandomState>,
    /// Clients that need a dedicated connection because another client redirects to them.
    wanted: Vec<ClientId>,
    /// A client waits for the id of a dedicated connection.
    awaited: bool,
    news: bool,
}

/// What is known of a client's dedicated connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum AtRedis {
    /// There is none.
    Nothing,
    /// Its id is not known yet.
    Opening,
    Number(i64),
    /// Redis does not report its id.
    Unnumbered,
}

impl Numbers {
    /// A client has connected.
    pub fn connected(&mut self, id: u64, client: ClientId) {
        self.clients.insert(id, (client, AtRedis::Nothing));
    }

    /// A client has left.
    pub fn left(&mut self, id: u64) {
        self.closed(id);
        self.clients.remove(&id);
        self.targets.remove(&id);
        self.clients.shrink_to(self.clients.len().max(KEPT) * 2);
        self.at_redis.shrink_to(self.at_redis.len().max(KEPT) * 2);
    }

    /// The client's dedicated connection is being opened.
    pub fn opening(&mut self, id: u64) {
        self.set(id, AtRedis::Opening);
    }

    /// The client's dedicated connection is set up. `number` is its id, if Redis reports it.
    pub fn opened(&mut self, id: u64, number: Option<i64>) {
        let Some(number) = number.filter(|&number| number > 0 && number < NOBODY) else {
            return self.set(id, AtRedis::Unnumbered);
        };
        self.set(id, AtRedis::Number(number));
        self.at_redis.insert(number, id);
    }

    /// The client's dedicated connection is gone.
    pub fn closed(&mut self, id: u64) {
        self.set(id, AtRedis::Nothing);
    }

    fn set(&mut self, id: u64, at_redis: AtRedis) {
        let Some((_, known)) = self.clients.get_mut(&id) else {
            return;
        };
        if let AtRedis::Number(number) = std::mem::replace(known, at_redis)
            && self.at_redis.get(&number) == Some(&id)
        {
            self.at_redis.remove(&number);
        }
        self.news |= self.awaited;
    }

    /// The id of a client's dedicated connection, or [`NOBODY`] if it has none with a known id.
    pub fn at_redis(&self, id: i64) -> i64 {
        match self.look_up(id) {
            Some((_, AtRedis::Number(number))) => number,
            _ => NOBODY,
        }
    }

    /// The id of the dedicated connection of a client that becomes the target of a redirection. Without a dedicated
    /// connection, the client is to get one. `None` if the id is not known yet.
    pub fn redirect_target(&mut self, id: i64) -> Option<i64> {
        let found = self.look_up(id);
        if found.is_some() {
            self.targets.extend(u64::try_from(id));
        }
        match found {
            Some((client, AtRedis::Nothing)) => self.wanted.push(client),
            Some((_, AtRedis::Opening)) => {}
            _ => return Some(self.at_redis(id)),
        }
        self.awaited = true;
        None
    }

    /// Whether another client redirects its invalidations to this one.
    pub fn is_target(&self, id: u64) -> bool {
        self.targets.contains(&id)
    }

    fn look_up(&self, id: i64) -> Option<(ClientId, AtRedis)> {
        self.clients.get(&u64::try_from(id).ok()?).copied()
    }

    /// The client whose dedicated connection has this id at Redis.
    pub fn client(&self, at_redis: i64) -> Option<u64> {
        self.at_redis.get(&at_redis).copied()
    }

    /// The ids of all dedicated connections, in no particular order.
    pub fn all_at_redis(&self) -> impl ExactSizeIterator<Item = i64> {
        self.at_redis.keys().copied()
    }

    /// Takes the clients that have come to need a dedicated connection since the last call.
    pub fn take_wanted(&mut self) -> Vec<ClientId> {
        std::mem::take(&mut self.wanted)
    }

    /// Whether clients that wait for an id may continue.
    pub fn take_news(&mut self) -> bool {
        self.awaited &= !self.news;
        std::mem::take(&mut self.news)
    }
}

/// How many ids the empty tables keep room for.
const KEPT: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neither_number_is_taken_for_the_other() {
        let mut numbers = Numbers::default();
        for id in 1..=3 {
            numbers.connected(id, ClientId(id as usize));
        }
        numbers.opening(1);
        numbers.opened(1, Some(2));
        assert_eq!(
            [1, 2, 3].map(|id| numbers.at_redis(id)),
            [2, NOBODY, NOBODY]
        );
        assert_eq!(
            [1, 2, 3].map(|number| numbers.client(number)),
            [None, Some(1), None]
        );
        for id in [-1, 0, 4, i64::MAX] {
            assert_eq!(numbers.at_redis(id), NOBODY);
        }
        numbers.left(1);
        assert_eq!(numbers.client(2), None);
        assert_eq!(numbers.at_redis(1), NOBODY);
    }

    #[test]
    fn a_number_that_redis_used_again_is_that_of_the_newer_connection() {
        let mut numbers = Numbers::default();
        numbers.connected(1, ClientId(0));
        numbers.connected(2, ClientId(1));
        numbers.opened(1, Some(7));
        numbers.opened(2, Some(7));
        numbers.closed(1);
        assert_eq!(numbers.client(7), Some(2));
    }

    #[test]
    fn who_redirects_waits_until_the_other_has_a_dedicated_connection() {
        let mut numbers = Numbers::default();
        numbers.connected(1, ClientId(5));
        assert_eq!(numbers.redirect_target(1), None);
        assert_eq!(numbers.take_wanted(), [ClientId(5)]);
        assert!(!numbers.take_news());
        numbers.opening(1);
        assert!(numbers.take_news());
        assert_eq!(numbers.redirect_target(1), None);
        assert_eq!(numbers.take_wanted(), []);
        numbers.opened(1, Some(9));
        assert!(numbers.take_news());
        assert_eq!(numbers.redirect_target(1), Some(9));
        numbers.opened(1, None);
        assert!(!numbers.take_news());
        assert_eq!(numbers.redirect_target(1), Some(NOBODY));
        assert_eq!(numbers.redirect_target(2), Some(NOBODY));
    }
}
