//! MGET: cached values come from the cache, and the rest is fetched key by key in one pipeline, so that each key is
//! fetched once, whichever clients and commands read it.

use super::super::in_flight::{Caller, Waiter};
use super::super::replies::{Cost, Elements, LongMget, Replies, Stage, key_at, to_reply};
use super::super::slow_log::Words;
use super::get::GET;
use super::servers::Server;
use super::{ASKED_COST, Engine};
use crate::metrics::Outcome;
use crate::resp::reply::{self, Reply};
use crate::resp::request::Request;
use crate::upstream::NodeId;

/// An MGET of more keys is answered in parts, as its client reads the replies and as other clients get their turns.
pub const LONG: usize = 1024;

/// The most keys of a long MGET that are looked up in one go, and how many are gathered into one part.
const LOOK_UPS: usize = 4096;
const PART: usize = 256;

impl Engine {
    /// Answers an MGET. Returns the outcome, unless that is only known later.
    pub fn mget(
        &mut self,
        request: &Request<'_>,
        caller: Caller,
        replies: &mut Replies,
    ) -> Option<Outcome> {
        if request.len() > LONG {
            let mut keys = Vec::new();
            request
                .arguments()
                .skip(1)
                .for_each(|key| reply::bulk(&mut keys, key));
            let left = request.len() - 1;
            replies.long_mget = Some(Box::new(LongMget {
                keys,
                at: 0,
                left,
                stage: match self.is_any_down() {
                    true => Stage::Checking { at: 0, left },
                    false => Stage::Starting,
                },
                outcome: Outcome::Hit,
                words: self.words(request),
                caller,
            }));
            self.continue_mget(caller, replies);
            return None;
        }
        let now = caller.since;
        let keys = || request.arguments().skip(1);
        let count = request.len() - 1;
        if replies.none_wait()
            && keys().all(|key| self.cached_for(replies, caller.key(key), now).is_some())
        {
            replies.push_array_header(count);
            for key in keys() {
                if let Some(value) = self.cached_for(replies, caller.key(key), now) {
                    replies.push_value(&value, caller.protocol);
                }
            }
            self.metrics.keys.hits += count as u64;
            return Some(Outcome::Hit);
        }
        let words = self.words(request);
        Some(self.gather(keys, Elements::All, words, caller, replies))
    }

    /// Answers keys with an array, or with a part of one.
    fn gather<'a, K: Iterator<Item = &'a [u8]>>(
        &mut self,
        keys: impl Fn() -> K,
        which: Elements,
        words: Words,
        caller: Caller,
        replies: &mut Replies,
    ) -> Outcome {
        let now = caller.since;
        let elements: Vec<Option<Reply>> = keys()
            .map(|key| {
                self.cached_for(replies, caller.key(key), now)
                    .map(|value| to_reply(&value, caller.protocol))
            })
            .collect();
        let missing: Vec<(u32, &[u8], NodeId)> = (0..)
            .zip(keys())
            .filter(|&(index, _)| elements[index as usize].is_none())
            .map(|(index, key)| (index, key, self.node_of(key)))
            .collect();
        let mut nodes = missing.iter().map(|(.., node)| self.server(*node));
        if let Some(outage) = nodes.find_map(Server::outage) {
            if which == Elements::All {
                replies.push_outage(outage);
            } else {
                replies.broken = true;
            }
            return Outcome::Refused;
        }
        self.metrics.keys.hits += (elements.len() - missing.len()) as u64;
        if missing.is_empty() {
            replies.gather(elements, which, Cost::default(), words);
            return Outcome::Hit;
        }
        let cost = Cost {
            held: missing
                .iter()
                .map(|(_, key, _)| ASKED_COST + key.len())
                .sum(),
            expected: self.value_length,
        };
        let place = replies.gather(elements, which, cost, words);
        let may_join = self.may_be_served(replies);
        let mut outcome = Outcome::Coalesced;
        for (element, key, node) in missing {
            let waiter = Waiter {
                caller: Caller { node, ..caller },
                place,
                element: Some(element),
            };
            if self.fetch(GET, key, may_join, waiter) == Outcome::Miss {
                outcome = Outcome::Miss;
            }
        }
        outcome
    }

    /// Continues a long MGET, as far as there is room for replies. `caller` has the current time.
    #[inline(never)]
    pub fn continue_mget(&mut self, caller: Caller, replies: &mut Replies) {
        let Some(mut mget) = replies.long_mget.take() else {
            return;
        };
        if self.advance_mget(&mut mget, caller, replies) {
            let outcome = mget.outcome;
            self.count(mget.caller.command, outcome, replies);
        } else {
            replies.long_mget = Some(mget);
        }
    }

    /// Answers the next parts of a long MGET. Returns whether it is complete.
    fn advance_mget(&mut self, mget: &mut LongMget, now: Caller, replies: &mut Replies) -> bool {
        let mut look_ups = LOOK_UPS;
        while let Stage::Checking { at, left } = mget.stage {
            if !self.is_any_down() {
                mget.stage = Stage::Starting;
                break;
            }
            let Some((key, next)) = key_at(&mget.keys, at).filter(|_| left > 0) else {
                mget.stage = Stage::Starting;
                break;
            };
            if self
                .cached_for(replies, mget.caller.key(key), now.since)
                .is_none()
                && let Some(outage) = self.server(self.node_of(key)).outage()
            {
                replies.push_outage(outage);
                mget.outcome = Outcome::Refused;
                return true;
            }
            mget.stage = Stage::Checking {
                at: next,
                left: left - 1,
            };
            look_ups -= 1;
            if look_ups == 0 {
                return false;
            }
        }
        if mget.stage == Stage::Starting {
            let mut header = Vec::new();
            reply::header(&mut header, b'*', mget.left);
            replies.push(Reply::Owned(header.into()));
            mget.stage = Stage::Answering;
        }
        let caller = Caller {
            since: now.since,
            ..mget.caller
        };
        while mget.left > 0 && !replies.broken {
            if replies.full_ahead() || look_ups == 0 {
                return false;
            }
            let Some((key, next)) = key_at(&mget.keys, mget.at) else {
                return true;
            };
            look_ups -= 1;
            if replies.none_wait()
                && let Some(value) = self.cached_for(replies, caller.key(key), caller.since)
            {
                replies.push_value(&value, caller.protocol);
                self.metrics.keys.hits += 1;
                mget.at = next;
                mget.left -= 1;
                continue;
            }
            look_ups = look_ups.saturating_sub(PART);
            self.gather_part(mget, caller, replies);
        }
        true
    }

    /// Answers the next keys of a long MGET, some of which must be fetched.
    fn gather_part(&mut self, mget: &mut LongMget, caller: Caller, replies: &mut Replies) {
        let each = ASKED_COST + self.value_length;
        let most = replies.room_ahead() / each + 1;
        let mut part = Vec::new();
        while part.len() < PART.min(mget.left).min(most)
            && let Some((key, next)) = key_at(&mget.keys, mget.at)
        {
            part.push(key);
            mget.at = next;
        }
        mget.left -= part.len();
        // Only the last part reports the completion of the whole.
        let (which, words) = match mget.left {
            0 => (Elements::Last, std::mem::take(&mut mget.words)),
            _ => (Elements::Some, Words::default()),
        };
        let caller = Caller {
            since: caller.since,
            ..mget.caller
        };
        let outcome = self.gather(|| part.iter().copied(), which, words, caller, replies);
        if outcome == Outcome::Miss || mget.outcome == Outcome::Hit {
            mget.outcome = outcome;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_keys_of_a_long_mget_are_found_again() {
        let mut keys = Vec::new();
        let all: [&[u8]; 4] = [b"a", b"", b"\r\n$1\r\n", &[b'x'; 200]];
        all.iter().for_each(|key| reply::bulk(&mut keys, key));
        let mut at = 0;
        for expected in all {
            let (key, next) = key_at(&keys, at).expect("a key");
            assert_eq!(key, expected);
            at = next;
        }
        assert_eq!(at, keys.len());
        assert!(key_at(&keys, at).is_none());
    }
}
