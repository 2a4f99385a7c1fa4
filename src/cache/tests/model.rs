//! The cache against a model: a list in the order of use that is searched linearly.

use fastrand::Rng;

use super::*;

/// An entry of the model.
struct Kept {
    database: u32,
    name: Vec<u8>,
    value: Given,
    deadline: u64,
}

/// A value that both are given.
#[derive(Clone)]
enum Given {
    Bytes(Rc<[u8]>),
    Shared(Rc<[u8]>),
    Missing,
}

impl Given {
    fn random(rng: &mut Rng) -> Self {
        let longest = [1, 10, 200][rng.usize(..3)];
        let bytes = vec![rng.u8(..); rng.usize(..longest)].into();
        match rng.u8(..5) {
            0 => Self::Missing,
            1 | 2 => Self::Shared(bytes),
            _ => Self::Bytes(bytes),
        }
    }

    fn value(&self) -> Value<'_> {
        match self {
            Self::Bytes(bytes) => Value::Bytes(bytes),
            Self::Shared(bytes) => Value::Shared(bytes),
            Self::Missing => Value::Missing,
        }
    }
}

impl Kept {
    fn cost(&self) -> usize {
        let value = match &self.value {
            Given::Bytes(bytes) | Given::Shared(bytes) => bytes.len(),
            Given::Missing => 0,
        };
        let number = if self.database < 15 { 0 } else { 4 };
        self.name.len() + value + number + ENTRY_OVERHEAD
    }
}

struct Model {
    limits: Limits,
    /// The least recently used first.
    kept: Vec<Kept>,
    evictions: Evictions,
}

impl Model {
    fn position(&self, key: Key<'_>) -> Option<usize> {
        self.kept
            .iter()
            .position(|kept| kept.database == key.database && kept.name == key.name)
    }

    /// The value of a key that may be past its time by so much.
    fn get(&mut self, key: Key<'_>, past: u64, now: u64) -> Option<Value<'_>> {
        let index = self.position(key)?;
        if self.kept[index].deadline + past <= now {
            return None;
        }
        let kept = self.kept.remove(index);
        self.kept.push(kept);
        self.kept.last().map(|kept| kept.value.value())
    }

    fn insert(&mut self, key: Key<'_>, value: &Given, ttl: u64, now: u64) {
        self.remove(key);
        let kept = Kept {
            database: key.database,
            name: key.name.to_vec(),
            value: value.clone(),
            deadline: now + ttl.min(self.limits.ttl.as_millis() as u64),
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

    fn remove(&mut self, key: Key<'_>) -> bool {
        let found = self.position(key);
        found.map(|index| self.kept.remove(index)).is_some()
    }

    fn expire(&mut self, now: u64) -> usize {
        let before = self.kept.len();
        let past = self.past();
        self.kept.retain(|kept| kept.deadline + past > now);
        let expired = before - self.kept.len();
        self.evictions.expired += expired as u64;
        expired
    }

    /// How long an entry is kept past its time to live.
    fn past(&self) -> u64 {
        self.limits.stale_ttl.as_millis() as u64
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

    /// Performs the same operation on both, and compares the results.
    fn step(&mut self, rng: &mut Rng, keys: &[Key<'_>]) {
        let key = keys[rng.usize(..keys.len())];
        let (cache, model, now) = (&mut self.cache, &mut self.model, self.now);
        match rng.u32(..1000) {
            0..400 => assert_eq!(cache.get(key, at(now)), model.get(key, 0, now)),
            400..450 => {
                let past = model.past();
                let stale = model.get(key, past, now);
                assert_eq!(cache.get_stale(key, at(now)), stale);
            }
            450..700 => {
                let given = Given::random(rng);
                cache.insert(key, &given.value(), at(now));
                model.insert(key, &given, u64::MAX, now);
            }
            700..800 => {
                let (given, ttl) = (Given::random(rng), rng.u64(..300));
                cache.insert_for(key, &given.value(), Duration::from_millis(ttl), at(now));
                model.insert(key, &given, ttl, now);
            }
            800..830 => assert_eq!(cache.remove(key), model.remove(key)),
            830..850 => {
                let mut removed = Vec::new();
                cache.remove_everywhere(key.name, |it| removed.push(it.database));
                let of_that_name = model.kept.extract_if(.., |kept| kept.name == key.name);
                let mut expected: Vec<u32> = of_that_name.map(|kept| kept.database).collect();
                removed.sort_unstable();
                expected.sort_unstable();
                assert_eq!(removed, expected);
            }
            850..900 => assert_eq!(cache.expire(at(now)), model.expire(now)),
            900..990 => self.now += rng.u64(..10),
            990..999 => {
                let names: Vec<&[u8]> = keys.iter().map(|key| key.name).collect();
                cache.look_ahead(&names[..names.len().min(LOOK_AHEAD)]);
            }
            _ => {
                cache.clear();
                model.kept.clear();
            }
        }
    }

    /// Compares everything that is observable.
    fn compare(&self) {
        let (cache, model) = (&self.cache, &self.model);
        assert_eq!(cache.len(), model.kept.len());
        assert_eq!(cache.bytes(), model.bytes());
        assert_eq!(cache.evictions(), model.evictions);
        let deadline = model.kept.iter().map(|kept| kept.deadline).min();
        let deadline = deadline.map(|deadline| at(deadline + model.past()));
        assert_eq!(cache.next_deadline(), deadline);
        for (entry, kept) in cache.entries.keys().zip(&model.kept) {
            assert_eq!(entry.name(), kept.name);
            assert_eq!(entry.database(), kept.database);
            assert_eq!(entry.value(), Some(kept.value.value()));
            assert_eq!(entry.deadline.time(), at(kept.deadline));
        }
        for tally in cache.databases() {
            let kept = model.kept.iter();
            let kept = kept.filter(|kept| kept.database == tally.database);
            assert_eq!(tally.entries, kept.clone().count());
            assert_eq!(tally.bytes, kept.map(Kept::cost).sum());
        }
        assert_in_step(cache);
    }
}

/// The databases of the keys: their numbers are kept in two ways.
const DATABASES: [u32; 5] = [0, 1, 14, 15, 70_000];

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
        // In one database, or in several.
        let databases = &DATABASES[..[1, 2, 5][seed as usize % 3]];
        let keys = |database: &u32| KEYS.map(|name| Key::new(*database, name));
        let keys: Vec<Key<'_>> = databases.iter().flat_map(keys).collect();
        let mut rng = Rng::with_seed(seed);
        let budgets = [0, ENTRY_OVERHEAD + 20, 3 * ENTRY_OVERHEAD, 1000];
        let lives = [0, 1, 20, 200, 10_000];
        let mut limits = ROOMY;
        limits.entries = rng.usize(1..=9);
        limits.memory = budgets[rng.usize(..budgets.len())];
        limits.ttl = Duration::from_millis(lives[rng.usize(..lives.len())]);
        limits.stale_ttl = Duration::from_millis([0, 0, 30][rng.usize(..3)]);
        let mut pair = Pair::new(limits);
        let _named = Named { seed, limits };
        for _ in 0..5000 {
            pair.step(&mut rng, &keys);
            pair.compare();
        }
    }
}

/// So many entries that their deadlines fill several blocks of the queue.
#[test]
fn random_operations_on_many_keys_do_what_the_model_does() {
    let keys: Vec<Vec<u8>> = (0..900)
        .map(|number: usize| number.to_string().repeat(1 + number % 150).into_bytes())
        .collect();
    let keys = (0..)
        .zip(&keys)
        .map(|(number, name)| Key::new(DATABASES[number % 5], name));
    let keys: Vec<Key<'_>> = keys.collect();
    for seed in 0..4 {
        let mut rng = Rng::with_seed(seed);
        let mut limits = ROOMY;
        limits.entries = 600;
        limits.ttl = Duration::from_millis([500, 5000][seed as usize % 2]);
        let mut pair = Pair::new(limits);
        let _named = Named { seed, limits };
        for step in 0..20_000 {
            pair.step(&mut rng, &keys);
            if step % 100 == 0 {
                pair.compare();
            }
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
