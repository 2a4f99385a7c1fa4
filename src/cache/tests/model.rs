//! The cache against a model: a list in the order of use that is searched from end to end.

use fastrand::Rng;

use super::*;

/// An entry of the model.
struct Kept {
    key: Vec<u8>,
    value: Rc<[u8]>,
    shared: bool,
    deadline: u64,
}

impl Kept {
    fn cost(&self) -> usize {
        self.key.len() + self.value.len() + ENTRY_OVERHEAD
    }

    fn value(&self) -> Value<'_> {
        if self.shared {
            Value::Shared(&self.value)
        } else {
            Value::Bytes(&self.value)
        }
    }
}

struct Model {
    limits: Limits,
    /// The least recently used first.
    kept: Vec<Kept>,
    evictions: Evictions,
}

impl Model {
    fn position(&self, key: &[u8]) -> Option<usize> {
        self.kept.iter().position(|kept| kept.key == key)
    }

    fn get(&mut self, key: &[u8], now: u64) -> Option<Value<'_>> {
        let index = self.position(key)?;
        if self.kept[index].deadline <= now {
            return None;
        }
        let kept = self.kept.remove(index);
        self.kept.push(kept);
        self.kept.last().map(Kept::value)
    }

    fn insert(&mut self, key: &[u8], value: &Rc<[u8]>, shared: bool, now: u64) {
        self.remove(key);
        let kept = Kept {
            key: key.to_vec(),
            value: Rc::clone(value),
            shared,
            deadline: now + self.limits.ttl.as_millis() as u64,
        };
        if self.limits.memory > 0 && kept.cost() > self.limits.memory {
            return;
        }
        self.kept.push(kept);
        while self.kept.len() > self.limits.entries {
            self.kept.remove(0);
            self.evictions.capacity += 1;
        }
        while self.limits.memory > 0 && self.bytes() > self.limits.memory {
            self.kept.remove(0);
            self.evictions.memory += 1;
        }
    }

    fn remove(&mut self, key: &[u8]) -> bool {
        let found = self.position(key);
        found.map(|index| self.kept.remove(index)).is_some()
    }

    fn expire(&mut self, now: u64) -> usize {
        let before = self.kept.len();
        self.kept.retain(|kept| kept.deadline > now);
        let expired = before - self.kept.len();
        self.evictions.expired += expired as u64;
        expired
    }

    fn bytes(&self) -> usize {
        self.kept.iter().map(Kept::cost).sum()
    }
}

/// Cache and model side by side.
struct Pair {
    cache: Cache,
    model: Model,
    now: u64,
}

impl Pair {
    fn new(limits: Limits) -> Self {
        Self {
            cache: Cache::new(limits),
            model: Model {
                limits,
                kept: Vec::new(),
                evictions: Evictions::default(),
            },
            now: 0,
        }
    }

    /// Does the same to both, and compares what they answer.
    fn step(&mut self, rng: &mut Rng, keys: &[&[u8]]) {
        let key = keys[rng.usize(..keys.len())];
        let (cache, model, now) = (&mut self.cache, &mut self.model, self.now);
        match rng.u32(..1000) {
            0..450 => {
                let found = cache.contains(key, at(now));
                assert_eq!(found, model.get(key, now).is_some());
                assert_eq!(cache.get(key, at(now)), model.get(key, now));
            }
            450..800 => {
                let longest = *rng.choice(&[1, 10, 200]).unwrap_or(&1);
                let value: Rc<[u8]> = vec![rng.u8(..); rng.usize(..longest)].into();
                let shared = rng.bool();
                let given = if shared {
                    Value::Shared(&value)
                } else {
                    Value::Bytes(&value)
                };
                cache.insert(key, &given, at(now));
                model.insert(key, &value, shared, now);
            }
            800..850 => assert_eq!(cache.remove(key), model.remove(key)),
            850..900 => assert_eq!(cache.expire(at(now)), model.expire(now)),
            900..999 => self.now += rng.u64(..10),
            _ => {
                cache.clear();
                model.kept.clear();
            }
        }
    }

    /// Compares all that can be seen of both.
    fn compare(&self) {
        let (cache, model) = (&self.cache, &self.model);
        assert_eq!(cache.len(), model.kept.len());
        assert_eq!(cache.bytes(), model.bytes());
        assert_eq!(cache.evictions(), model.evictions);
        let deadline = model.kept.iter().map(|kept| kept.deadline).min();
        assert_eq!(cache.next_deadline(), deadline.map(at));
        for (entry, kept) in cache.entries.keys().zip(&model.kept) {
            assert_eq!(entry.key(), kept.key);
            assert_eq!(entry.value(), kept.value());
            assert_eq!(entry.deadline, at(kept.deadline));
        }
        assert_in_step(cache);
    }
}

#[test]
fn random_operations_do_what_the_model_does() {
    const KEYS: [&[u8]; 10] = [
        b"",
        b"a",
        b"b",
        b"ab",
        b"abc",
        b"abd",
        b"\0",
        b"a\0",
        b"\xff",
        b"a long key of some bytes",
    ];
    for seed in 0..40 {
        let mut rng = Rng::with_seed(seed);
        let limits = Limits {
            entries: rng.usize(1..=9),
            memory: *rng
                .choice(&[0, ENTRY_OVERHEAD + 20, 3 * ENTRY_OVERHEAD, 1000])
                .unwrap_or(&0),
            ttl: Duration::from_millis(*rng.choice(&[0, 1, 20, 200, 10_000]).unwrap_or(&0)),
        };
        let mut pair = Pair::new(limits);
        let _named = Named { seed, limits };
        for _ in 0..5000 {
            pair.step(&mut rng, &KEYS);
            pair.compare();
        }
    }
}

/// Names the run that failed.
struct Named {
    seed: u64,
    limits: Limits,
}

impl Drop for Named {
    fn drop(&mut self) {
        if std::thread::panicking() {
            eprintln!("failed with seed {} and {:?}", self.seed, self.limits);
        }
    }
}
