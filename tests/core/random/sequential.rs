//! The proxy against a model that takes one request after the other and knows what each gets as soon as
//! it came whole. The cache is large enough for all keys, and nobody is held back.

use std::collections::{HashMap, VecDeque};

use fastrand::Rng;
use redis_proxy::proxy::ClientId;

use super::{KEYS, Owed, for_seeds, random_last_request, random_request};
use crate::world::{World, bulk, roomy};

/// The time to live, in milliseconds.
const TTL: u64 = 1000;

/// A reply that is owed.
enum Due {
    Now(Vec<u8>),
    /// What Redis answers to the fetch of this number.
    Fetch(usize),
}

/// All that matters to the reply of a GET, by the number of its key.
#[derive(Default)]
struct Model {
    /// Cached replies, and until when.
    cached: HashMap<usize, (Vec<u8>, u64)>,
    /// The fetch of a key that is under way.
    under_way: HashMap<usize, usize>,
    /// The key of each fetch there ever was, and the reply to it.
    fetches: Vec<(usize, Option<Vec<u8>>)>,
    answered: usize,
    /// The first fetch since Redis was last reached: those before are not cached, nor waited for by others.
    fresh_from: usize,
    down: Option<Vec<u8>>,
}

impl Model {
    fn get(&mut self, key: usize, now: u64) -> Due {
        match (self.cached.get(&key), &self.down) {
            (Some((reply, until)), _) if now < *until => return Due::Now(reply.clone()),
            (_, Some(error)) => return Due::Now(error.clone()),
            _ => {}
        }
        let fetch = *self.under_way.entry(key).or_insert_with(|| {
            self.fetches.push((key, None));
            self.fetches.len() - 1
        });
        Due::Fetch(fetch)
    }

    /// Redis answers the oldest fetch.
    fn answer(&mut self, reply: &[u8], now: u64) {
        let (key, slot) = &mut self.fetches[self.answered];
        *slot = Some(reply.to_vec());
        self.cached.remove(key);
        let is_fresh = self.answered >= self.fresh_from;
        if is_fresh {
            self.under_way.remove(key);
        }
        if is_fresh && reply.starts_with(b"$") {
            self.cached.insert(*key, (reply.to_vec(), now + TTL));
        }
        self.answered += 1;
    }

    /// The replies that are ready, from the front of what is owed to a client.
    fn ready(&self, owed: &mut VecDeque<Due>) -> Vec<u8> {
        let mut ready = Vec::new();
        while let Some(due) = owed.front() {
            match due {
                Due::Now(reply) => ready.extend_from_slice(reply),
                Due::Fetch(fetch) => match &self.fetches[*fetch].1 {
                    Some(reply) => ready.extend_from_slice(reply),
                    None => break,
                },
            }
            owed.pop_front();
        }
        ready
    }
}

struct Client {
    id: ClientId,
    /// What it has yet to send, and where in it each request ends.
    unsent: Vec<u8>,
    ends: VecDeque<(usize, Owed)>,
    owed: VecDeque<Due>,
    /// It asked for its last reply, or ended its input.
    ended: bool,
}

struct Run<'a> {
    rng: &'a mut Rng,
    world: World,
    model: Model,
    clients: Vec<Client>,
}

impl Run<'_> {
    fn step(&mut self) {
        match self.rng.u8(..100) {
            0..60 => self.someone_sends(),
            60..80 => self.redis_answers(),
            80..90 => self.world.wait(self.rng.u64(..TTL / 3)),
            90..93 => {
                let now = self.world.now;
                self.world.expire();
                let cached = self.model.cached.values();
                let left = cached.filter(|(_, until)| now < *until).count();
                assert_eq!(self.world.proxy.cache().len(), left);
            }
            93..95 => {
                let error = format!("-ERR away at {}\r\n", self.world.now).into_bytes();
                self.world.down(&error);
                self.model.down = Some(error);
            }
            95..98 => {
                self.world.up();
                self.model.down = None;
                self.model.cached.clear();
                self.model.under_way.clear();
                self.model.fresh_from = self.model.fetches.len();
            }
            _ => self.someone_leaves(),
        }
        self.compare();
    }

    fn connect(&mut self) {
        self.clients.push(Client {
            id: self.world.connect(),
            unsent: Vec::new(),
            ends: VecDeque::new(),
            owed: VecDeque::new(),
            ended: false,
        });
    }

    fn someone_leaves(&mut self) {
        let index = self.rng.usize(..self.clients.len());
        let client = self.clients.swap_remove(index);
        self.world.leave(client.id);
        self.connect();
    }

    fn someone_sends(&mut self) {
        let index = self.rng.usize(..self.clients.len());
        let client = &mut self.clients[index];
        if client.ended {
            return;
        }
        if client.unsent.len() < 100 {
            for _ in 0..self.rng.usize(..10) {
                let (request, owed) = if self.rng.u8(..100) == 0 {
                    random_last_request(self.rng)
                } else {
                    random_request(self.rng)
                };
                client.unsent.extend(request);
                client.ends.push_back((client.unsent.len(), owed));
            }
        }
        let length = self.rng.usize(..=client.unsent.len());
        let rest = client.unsent.split_off(length);
        let sent = std::mem::replace(&mut client.unsent, rest);
        let whole = client.ends.partition_point(|(end, _)| *end <= length);
        for (_, owed) in client.ends.drain(..whole) {
            match owed {
                Owed::Nothing => {}
                Owed::Reply(reply) => client.owed.push_back(Due::Now(reply)),
                Owed::Value(key) => client.owed.push_back(self.model.get(key, self.world.now)),
                Owed::Last(reply) => {
                    client.owed.push_back(Due::Now(reply));
                    client.ended = true;
                    break;
                }
            }
        }
        for (end, _) in &mut client.ends {
            *end -= length;
        }
        self.world.send(client.id, sent);
        if !client.ended && self.rng.u8(..100) == 0 {
            client.ended = true;
            self.world.end(client.id);
        }
    }

    fn redis_answers(&mut self) {
        let replies: Vec<_> = (0..self.rng.usize(..=self.world.asked().len()))
            .map(|_| {
                let number = self.model.answered;
                let value = |length| format!("value {number} {}", "x".repeat(length));
                let reply = match self.rng.u8(..10) {
                    0 => b"$-1\r\n".to_vec(),
                    1 => format!("-WRONGTYPE {number}\r\n").into_bytes(),
                    2 => bulk(""),
                    3 => bulk(value(9000)),
                    _ => bulk(value(5)),
                };
                self.model.answer(&reply, self.world.now);
                reply
            })
            .collect();
        self.world.answer_together(&replies);
    }

    /// Every client has all that is ready for it and no more, and Redis was asked what it must be.
    fn compare(&mut self) {
        for client in &mut self.clients {
            let ready = self.model.ready(&mut client.owed);
            self.world.assert_received(client.id, ready);
            assert_eq!(self.world.wants_input(client.id), !client.ended);
            let done = client.ended && client.owed.is_empty();
            assert_eq!(self.world.is_done(client.id), done);
        }
        let fetches = self.model.fetches[self.model.answered..].iter();
        let expected = fetches.map(|(key, _)| vec![b"GET".to_vec(), KEYS[*key].into()]);
        assert!(
            self.world
                .asked()
                .into_iter()
                .eq(&expected.collect::<Vec<_>>())
        );
    }
}

#[test]
fn any_pipelines_in_any_pieces_get_the_replies_of_a_sequential_model() {
    for_seeds(300, |rng| {
        let mut run = Run {
            rng,
            world: World::new(roomy()),
            model: Model::default(),
            clients: Vec::new(),
        };
        for _ in 0..run.rng.usize(1..=5) {
            run.connect();
        }
        for _ in 0..500 {
            run.step();
        }
    });
}
