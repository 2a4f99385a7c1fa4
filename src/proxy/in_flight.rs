//! The requests that Redis has not answered yet. Replies on each link come in the order of the requests, so the oldest
//! is always next; and a key that is being fetched can be found, to join that fetch.

mod asked;
mod changes;
mod fetches;
mod lane;
mod late;
mod redirected;
mod waiter;
mod written;

use std::collections::HashSet;

use foldhash::fast::RandomState;

use super::ClientId;
pub(super) use super::caller::Caller;
use crate::cache::Key;
use crate::clock::Time;
use crate::upstream::{LinkId, PerLink};
pub(super) use asked::{About, Asked, Asks, Fetch, Fetched, Forward, Part, Reads, Then};
use fetches::{Fetches, Ticket};
use lane::Lane;
pub(super) use late::Late;
pub(super) use waiter::{Waiter, Waiters};
use written::{Written, WrittenKeys};

/// All requests in flight.
#[derive(Default)]
pub(super) struct InFlight {
    lanes: PerLink<Lane>,
    /// The fetches that a miss may join and whose replies may be cached: none is of a key that is being written over
    /// another link.
    fetches: Fetches,
    /// The keys of requests that are held to be sent later.
    held: WrittenKeys,
    /// The hash function for written keys.
    hasher: RandomState,
}

impl InFlight {
    /// All requests, with their links.
    pub fn iter(&self) -> impl Iterator<Item = (LinkId, &Asked)> {
        let lanes = self.lanes.iter();
        lanes.flat_map(|(link, lane)| lane.asked.iter().map(move |asked| (link, asked)))
    }

    /// The values that wait for a time to live, with their links.
    #[cfg(test)]
    pub fn fetched(&self) -> impl Iterator<Item = (LinkId, &Fetched)> {
        let lanes = self.lanes.iter();
        lanes.filter_map(|(link, lane)| Some((link, lane.fetched.as_ref()?)))
    }

    /// The clients that wait for a reply.
    pub fn clients(&self) -> HashSet<ClientId> {
        self.iter()
            .flat_map(|(_, asked)| asked.waiters())
            .map(|waiter| waiter.caller.client)
            .collect()
    }

    /// Adds a waiter to the fetch in flight of a key's value, or of the answer to a question about the key. Returns
    /// whether there is such a fetch.
    pub fn join(&mut self, name: &[u8], question: Option<&[u8]>, waiter: Waiter) -> bool {
        let key = waiter.caller.key(name);
        let Some(ticket) = self.fetches.get(key, question) else {
            return false;
        };
        match self.fetch_of(ticket) {
            Some(fetch) => {
                match &mut fetch.waiters {
                    Some(waiters) => waiters.others.push(waiter),
                    none => *none = Some(waiter.into()),
                }
                true
            }
            None => false,
        }
    }

    /// Whether the value of a key, or the answer to a question about it, is being fetched in a way that others may
    /// join.
    pub fn is_fetched(&self, key: Key<'_>, question: Option<&[u8]>) -> bool {
        self.fetches.get(key, question).is_some()
    }

    /// Registers a fetch that was sent over the link of `first`, the first client that waits for it: of a key's value,
    /// or of the answer to a question about the key.
    pub fn fetch(&mut self, key: &[u8], about: Option<About<'_>>, first: Waiter) {
        let Caller { command, since, .. } = first.caller;
        let fetch = Fetch {
            waiters: Some(first.into()),
            ..Fetch::new(key, about, command, since)
        };
        self.add_fetch(fetch, first.caller.link());
    }

    /// A fetch was sent over a link for the next client that requests the key.
    pub fn refetch(
        &mut self,
        key: &[u8],
        about: Option<About<'_>>,
        command: u16,
        link: LinkId,
        since: Time,
    ) {
        let fetch = Fetch {
            is_refetch: true,
            ..Fetch::new(key, about, command, since)
        };
        self.add_fetch(fetch, link);
    }

    fn add_fetch(&mut self, mut fetch: Fetch, link: LinkId) {
        fetch.fresh = !self.is_written_elsewhere(&fetch.key, link);
        if fetch.fresh {
            let lane = self.lanes.of(link);
            let number = lane.answered + lane.asked.len() as u64;
            let ticket = Ticket { link, number };
            let (key, question) = (&fetch.key, fetch.question.as_ref());
            // An earlier fetch that this client could not join is outdated.
            if let Some(earlier) = self.fetches.insert(key, question, ticket) {
                self.spoil(earlier);
            }
        }
        self.lanes.of(link).push_fetch(fetch);
    }

    /// Registers a request whose reply is ignored.
    pub fn ask_for_nothing(&mut self, link: LinkId) {
        self.lanes.of(link).push(Asked::Nothing);
    }

    /// Registers a request that writes these keys; `None` stands for possibly any key.
    pub fn forward(&mut self, request: Forward, link: LinkId, keys: Option<&[&[u8]]>) {
        let written = Written::of(keys, &self.hasher);
        let forward = Forward { written, ..request };
        self.lanes.of(link).push_forward(forward);
    }

    /// Registers a request of the proxy's own.
    pub fn ask(&mut self, asked: Asked, link: LinkId) {
        self.lanes.of(link).push(asked);
    }

    /// Whether anything is in flight on a link.
    pub fn has(&self, link: LinkId) -> bool {
        self.lanes.has(link)
    }

    /// Registers a request that Redis describe a command, or all commands.
    pub fn describe(&mut self, name: Option<Box<[u8]>>, link: LinkId) {
        self.lanes.of(link).push(Asked::Describe(name));
    }

    fn fetch_of(&mut self, ticket: Ticket) -> Option<&mut Fetch> {
        let lane = self.lanes.of(ticket.link);
        let index = ticket.number.checked_sub(lane.answered)?;
        match lane.asked.get_mut(usize::try_from(index).ok()?) {
            Some(Asked::Fetch(fetch)) => Some(fetch),
            _ => None,
        }
    }

    /// Removes and returns the oldest request of a link, which is now answered.
    pub fn answered(&mut self, link: LinkId) -> Option<Asked> {
        let lane = self.lanes.of(link);
        let number = lane.answered;
        let mut asked = lane.pop()?;
        if let Asked::Forward(forward) = &mut asked {
            lane.executed(forward);
        }
        if let Asked::Fetch(fetch) = &asked {
            let question = fetch.question.as_deref();
            self.fetches
                .remove(&fetch.key, question, Ticket { link, number });
        }
        Some(asked)
    }

    /// Keeps the value of the fetch that was just answered, until the time to live of its key is known and it may be
    /// cached.
    pub fn keep(&mut self, link: LinkId, fetched: Fetched) {
        self.lanes.of(link).fetched = Some(fetched);
    }

    /// Takes the value whose time to live was just answered, if it may still be cached.
    pub fn take_fetched(&mut self, link: LinkId) -> Option<Fetched> {
        self.lanes.of(link).fetched.take()
    }
}
