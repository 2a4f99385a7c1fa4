//! Clients that take their replies when they like, pipelines that are held back, a cache that is too
//! small: when a request is executed can't be told from outside, but what its reply must not be can.
//! Every reply of Redis names its fetch, so that it is known where a client's reply comes from.

use std::collections::VecDeque;
use std::time::Duration;

use fastrand::Rng;
use redis_proxy::proxy::ClientId;

use super::{KEYS, Owed, for_seeds, random_last_request, random_request};
use crate::world::{World, bulk, roomy};

/// A fetch that Redis was asked for.
struct Fetch {
    key: usize,
    answer: Option<Answer>,
}

struct Answer {
    reply: Vec<u8>,
    /// The step in which it came.
    step: u32,
    /// From then on it is too old.
    until: u64,
}

/// While Redis was away: from when, and up to when.
struct Away {
    start: u32,
    end: Option<u32>,
}

/// A request that came whole, and when.
struct Asked {
    owed: Owed,
    step: u32,
    now: u64,
}

struct Client {
    id: ClientId,
    /// What it has yet to send, and where in it each request ends.
    unsent: Vec<u8>,
    ends: Vec<(usize, Owed)>,
    asked: VecDeque<Asked>,
    /// What it received of a reply that is not whole.
    received: Vec<u8>,
    /// The newest fetch of each key that it saw the reply of.
    seen: [usize; KEYS.len()],
    takes_all: bool,
    ended: bool,
}

struct Run<'a> {
    rng: &'a mut Rng,
    world: World,
    ttl: u64,
    step: u32,
    clients: Vec<Client>,
    fetches: Vec<Fetch>,
    answered: usize,
    /// The first fetch since Redis was last reached: nobody who comes later waits for those before.
    fresh_from: usize,
    away: Vec<Away>,
    /// The steps in which Redis was reached.
    reached: Vec<u32>,
}

impl<'a> Run<'a> {
    fn new(rng: &'a mut Rng) -> Self {
        let ttl = *rng.choice(&[1, 50, 2000]).unwrap_or(&1);
        let mut limits = roomy();
        limits.entries = rng.usize(1..=KEYS.len());
        limits.memory = *rng.choice(&[0, 5_000, 200_000]).unwrap_or(&0);
        limits.ttl = Duration::from_millis(ttl);
        let mut run = Self {
            rng,
            world: World::new(limits),
            ttl,
            step: 0,
            clients: Vec::new(),
            fetches: Vec::new(),
            answered: 0,
            fresh_from: 0,
            away: Vec::new(),
            reached: Vec::new(),
        };
        for _ in 0..run.rng.usize(1..=4) {
            run.connect();
        }
        run
    }

    fn step(&mut self) {
        self.step += 1;
        match self.rng.u8(..100) {
            0..45 => self.someone_sends(),
            45..65 => self.someone_takes(),
            65..82 => self.redis_answers(),
            82..90 => self.world.wait(self.rng.u64(..100)),
            90..92 => drop(self.world.expire()),
            92..94 => self.redis_goes(),
            94..97 => self.redis_comes(),
            97..99 => self.someone_ends(),
            _ => self.someone_leaves(),
        }
        self.check();
    }

    fn connect(&mut self) {
        self.clients.push(Client {
            id: self.world.connect(),
            unsent: Vec::new(),
            ends: Vec::new(),
            asked: VecDeque::new(),
            received: Vec::new(),
            seen: [0; KEYS.len()],
            takes_all: true,
            ended: false,
        });
    }

    fn someone(&mut self) -> usize {
        self.rng.usize(..self.clients.len())
    }

    fn someone_leaves(&mut self) {
        let index = self.someone();
        let client = self.clients.swap_remove(index);
        self.world.leave(client.id);
        self.connect();
    }

    fn someone_ends(&mut self) {
        let index = self.someone();
        self.clients[index].ended = true;
        self.world.end(self.clients[index].id);
    }

    fn someone_takes(&mut self) {
        let index = self.someone();
        let client = &mut self.clients[index];
        let bytes = *self
            .rng
            .choice(&[0, 1, 1000, 500_000, usize::MAX])
            .unwrap_or(&0);
        client.takes_all = bytes == usize::MAX;
        self.world.take(client.id, bytes);
    }

    fn someone_sends(&mut self) {
        let index = self.someone();
        let client = &mut self.clients[index];
        if client.ended || !self.world.wants_input(client.id) {
            return;
        }
        let requests = *self.rng.choice(&[1, 10, 300]).unwrap_or(&1);
        while client.ends.len() < requests {
            let (request, owed) = match self.rng.u16(..2000) {
                0 => random_last_request(self.rng),
                _ => random_request(self.rng),
            };
            client.unsent.extend(request);
            client.ends.push((client.unsent.len(), owed));
        }
        let length = self.rng.usize(..=client.unsent.len());
        let rest = client.unsent.split_off(length);
        let sent = std::mem::replace(&mut client.unsent, rest);
        let whole = client.ends.partition_point(|(end, _)| *end <= length);
        for (_, owed) in client.ends.drain(..whole) {
            if client.ended || matches!(owed, Owed::Nothing) {
                continue;
            }
            client.ended = matches!(owed, Owed::Last(_));
            client.asked.push_back(Asked {
                owed,
                step: self.step,
                now: self.world.now,
            });
        }
        for (end, _) in &mut client.ends {
            *end -= length;
        }
        self.world.send(client.id, sent);
    }

    fn redis_answers(&mut self) {
        let replies = self.rng.usize(..=self.world.asked().len());
        self.answer(replies);
    }

    /// Redis answers so many fetches in one go.
    fn answer(&mut self, count: usize) {
        let replies: Vec<_> = (0..count).map(|_| self.random_answer()).collect();
        self.world.answer_together(&replies);
    }

    fn random_answer(&mut self) -> Vec<u8> {
        let number = self.answered;
        let value = |length| bulk(format!("fetch {number} {}", "x".repeat(length)));
        let reply = match self.rng.u8(..10) {
            0 => b"$-1\r\n".to_vec(),
            1 => format!("-WRONGTYPE fetch {number} \r\n").into_bytes(),
            2 => value(150_000),
            3 => value(20_000),
            4 => value(3_000),
            _ => value(self.rng.usize(..30)),
        };
        self.fetches[number].answer = Some(Answer {
            reply: reply.clone(),
            step: self.step,
            until: self.world.now + self.ttl,
        });
        self.answered += 1;
        reply
    }

    fn redis_goes(&mut self) {
        self.redis_is_back();
        self.world
            .down(format!("-ERR away {} \r\n", self.away.len()));
        self.away.push(Away {
            start: self.step,
            end: None,
        });
    }

    fn redis_comes(&mut self) {
        self.redis_is_back();
        self.reached.push(self.step);
        self.fresh_from = self.fetches.len();
        self.world.up();
    }

    fn redis_is_back(&mut self) {
        if let Some(away) = self.away.last_mut() {
            away.end.get_or_insert(self.step);
        }
    }

    /// Everybody takes everything, and Redis answers whatever it is asked, until all is quiet.
    fn settle(&mut self) {
        self.step += 1;
        self.redis_comes();
        for client in &mut self.clients {
            client.takes_all = true;
            self.world.take_all(client.id);
        }
        self.check();
        while !self.world.asked().is_empty() {
            self.step += 1;
            self.answer(self.world.asked().len());
            self.check();
        }
        for client in &self.clients {
            assert_eq!(self.world.wants_input(client.id), !client.ended);
            assert_eq!(self.world.is_done(client.id), client.ended);
        }
    }

    /// Notes what Redis was asked, and looks at every reply that came.
    fn check(&mut self) {
        for request in self
            .world
            .asked()
            .split_off(self.fetches.len() - self.answered)
        {
            assert_eq!((request.len(), &request[0][..]), (2, &b"GET"[..]));
            let key = KEYS.iter().position(|key| key.as_bytes() == request[1]);
            let key = key.expect("somebody asked for it");
            let in_flight = &self.fetches[self.answered.max(self.fresh_from)..];
            let twice = in_flight.iter().any(|fetch| fetch.key == key);
            assert!(!twice, "{key} is being fetched");
            self.fetches.push(Fetch { key, answer: None });
        }
        for index in 0..self.clients.len() {
            let mut received = std::mem::take(&mut self.clients[index].received);
            received.extend(self.world.received(self.clients[index].id));
            let mut rest = &received[..];
            while let Some((reply, behind)) = split_reply(rest) {
                self.check_reply(index, reply);
                rest = behind;
            }
            self.clients[index].received = rest.to_vec();
            let client = &self.clients[index];
            if client.takes_all && self.world.asked().is_empty() {
                assert!(client.asked.is_empty(), "nothing is left to wait for");
            }
        }
    }

    fn check_reply(&mut self, index: usize, reply: &[u8]) {
        let client = &mut self.clients[index];
        let asked = client.asked.pop_front().expect("it asked for it");
        match &asked.owed {
            Owed::Nothing => unreachable!(),
            Owed::Reply(expected) | Owed::Last(expected) => assert_eq!(reply, expected),
            Owed::Value(key) => {
                if let Some(number) = named(reply, b"-ERR away ") {
                    self.check_away(number, &asked);
                } else if reply == b"$-1\r\n" {
                    self.check_nil(*key, &asked);
                } else {
                    let last = std::mem::replace(&mut client.seen[*key], self.fetches.len());
                    let number = self.check_fetched(*key, &asked, reply);
                    assert!(number >= last, "{number} after {last}");
                    self.clients[index].seen[*key] = number;
                }
            }
        }
    }

    /// An error that says that Redis is away may only come of a time in which it was.
    fn check_away(&self, number: usize, asked: &Asked) {
        let away = &self.away[number];
        assert!(away.start <= self.step);
        assert!(away.end.is_none_or(|end| end > asked.step));
    }

    /// A nil does not name its fetch: there must be one that it may have come of.
    fn check_nil(&self, key: usize, asked: &Asked) {
        let mut nils = self
            .answers(key)
            .filter(|(_, answer)| answer.reply == b"$-1\r\n");
        assert!(
            nils.any(|(number, _)| self.is_allowed(number, asked)),
            "a nil that Redis did not give, or an old one"
        );
    }

    /// Returns which fetch a reply came of.
    fn check_fetched(&self, key: usize, asked: &Asked, reply: &[u8]) -> usize {
        let number = named(reply, b"fetch ").expect("a reply of Redis");
        let fetch = &self.fetches[number];
        assert_eq!(fetch.key, key);
        assert!(fetch.answer.as_ref().expect("it came").reply == reply);
        assert!(self.is_allowed(number, asked), "{number} is an old one");
        number
    }

    /// Whether the reply to a fetch may be the reply to a request. If it came before the request, it was
    /// no error, was young enough then, was the latest, and Redis was not lost sight of since.
    fn is_allowed(&self, number: usize, asked: &Asked) -> bool {
        let Fetch { key, answer } = &self.fetches[number];
        let Some(answer) = answer else { return false };
        let before = |step: u32| step < asked.step;
        let newer = |(other, answer): (usize, &Answer)| other > number && before(answer.step);
        let gap = |reached: &u32| (answer.step..asked.step).contains(reached);
        !before(answer.step)
            || answer.reply.starts_with(b"$")
                && answer.until > asked.now
                && !self.answers(*key).any(newer)
                && !self.reached.iter().any(gap)
    }

    /// The fetches of a key that Redis has answered.
    fn answers(&self, key: usize) -> impl Iterator<Item = (usize, &Answer)> {
        let fetches = self.fetches.iter().enumerate();
        fetches
            .filter(move |(_, fetch)| fetch.key == key)
            .filter_map(|(number, fetch)| Some((number, fetch.answer.as_ref()?)))
    }
}

/// The number behind `name` near the start of a reply.
fn named(reply: &[u8], name: &[u8]) -> Option<usize> {
    let start = &reply[..reply.len().min(60)];
    let at = start.windows(name.len()).position(|part| part == name)?;
    let number = start[at + name.len()..]
        .split(|&byte| byte == b' ')
        .next()?;
    str::from_utf8(number).ok()?.parse().ok()
}

/// The first reply, if it is whole, and what stands behind it.
fn split_reply(received: &[u8]) -> Option<(&[u8], &[u8])> {
    let line = received.iter().position(|&byte| byte == b'\n')? + 1;
    let length = match received[0] {
        b'$' => str::from_utf8(&received[1..line - 2]).ok()?.parse().ok(),
        _ => None,
    };
    received.split_at_checked(line + length.map_or(0, |length: usize| length + 2))
}

#[test]
fn no_client_gets_what_it_must_not_get_whatever_happens_when() {
    for_seeds(40, |rng| {
        let mut run = Run::new(rng);
        for _ in 0..10 {
            for _ in 0..100 {
                run.step();
            }
            run.settle();
        }
    });
}
