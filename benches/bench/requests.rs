//! What the clients of the load ask: GETs, SETs or a mix of them, under keys drawn at random from a seed.

use fastrand::Rng;

use crate::dataset::{self, Dataset, KEY};

/// Which commands are sent, and how their keys are drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Commands {
    /// GETs, each key as often as any other.
    Gets,
    /// SETs, each key as often as any other.
    Sets,
    /// Nine GETs to one SET. The keys of the GETs have the distribution that Zipf found, those of the SETs are
    /// drawn evenly: were the hottest keys written that often, they would never be fetched before they change.
    Mix,
}

/// One request in so many of a [`Commands::Mix`] is a SET.
const SETS_OF_A_MIX: u8 = 10;

/// The share of a key among the GETs of a [`Commands::Mix`] falls with its rank, by this power.
const ZIPF: f64 = 1.1;

/// The requests of a load, drawn one pipeline after another.
pub struct Requests {
    /// One for each command; a mix has GETs first, then SETs.
    pipelines: Vec<Pipeline>,
    random: Rng,
}

/// Which of the pipelines of [`Requests`] was drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Kind(usize);

/// What comes back for a pipeline.
pub struct Replies {
    /// How they start.
    pub header: Vec<u8>,
    /// Their bytes together.
    pub length: usize,
}

impl Requests {
    /// Requests for that dataset, in pipelines of that length. The same arguments give the same requests.
    pub fn new(dataset: Dataset, commands: Commands, length: usize) -> Self {
        assert!(
            dataset.count <= 1_000_000,
            "{DIGITS} digits number the keys"
        );
        let evenly = Keys::Evenly(dataset.count);
        let pipelines = match commands {
            Commands::Gets => vec![Pipeline::gets(dataset, length, evenly)],
            Commands::Sets => vec![Pipeline::sets(dataset, length, evenly)],
            Commands::Mix => vec![
                Pipeline::gets(dataset, length, Keys::zipf(dataset.count)),
                Pipeline::sets(dataset, length, evenly),
            ],
        };
        Self {
            pipelines,
            random: Rng::with_seed(1),
        }
    }

    /// The next pipeline.
    pub fn draw(&mut self) -> (Kind, &[u8]) {
        let is_second = self.pipelines.len() > 1 && self.random.u8(..SETS_OF_A_MIX) == 0;
        let kind = usize::from(is_second);
        let pipeline = &mut self.pipelines[kind];
        pipeline.draw(&mut self.random);
        (Kind(kind), &pipeline.bytes)
    }

    /// What comes back for a pipeline of that kind.
    pub fn replies(&self, Kind(kind): Kind) -> &Replies {
        &self.pipelines[kind].replies
    }
}

/// How keys are drawn.
pub enum Keys {
    /// Each of so many as often as any other.
    Evenly(u32),
    /// The key of rank n with a weight of 1 / n^[`ZIPF`]; these are the sums of the weights up to each.
    Zipf(Vec<f64>),
}

impl Keys {
    /// So many keys, by rank.
    pub fn zipf(count: u32) -> Self {
        let weights = (1..=count).map(|rank| f64::from(rank).powf(-ZIPF));
        let sums = weights.scan(0.0, |sum, weight| {
            *sum += weight;
            Some(*sum)
        });
        Self::Zipf(sums.collect())
    }

    /// The number of a key.
    pub fn draw(&self, random: &mut Rng) -> u32 {
        match self {
            Self::Evenly(count) => random.u32(..*count),
            Self::Zipf(sums) => {
                let point = random.f64() * sums.last().copied().unwrap_or(0.0);
                let rank = sums.partition_point(|sum| *sum < point);
                rank as u32
            }
        }
    }
}

/// Requests of one command that are sent at once. Their keys are drawn anew for each sending by overwriting
/// their last digits.
struct Pipeline {
    keys: Keys,
    bytes: Vec<u8>,
    /// The bytes of a request.
    request: usize,
    replies: Replies,
}

/// How many digits of a key change.
const DIGITS: usize = 6;

/// Where they end in a request: its command and the length of the key take 18 bytes.
const KEY_END: usize = 18 + KEY;

impl Pipeline {
    fn gets(dataset: Dataset, length: usize, keys: Keys) -> Self {
        let replies = Replies {
            header: dataset.reply_header(),
            length: dataset.reply_length() * length,
        };
        Self::new(keys, dataset::get(0).as_bytes(), length, replies)
    }

    fn sets(dataset: Dataset, length: usize, keys: Keys) -> Self {
        let (key, value) = (Dataset::key(0), dataset.value(0));
        let head = format!("*3\r\n$3\r\nSET\r\n${KEY}\r\n{key}\r\n${}\r\n", value.len());
        let request = [head.as_bytes(), &value, b"\r\n"].concat();
        let ok = b"+OK\r\n";
        let replies = Replies {
            header: ok.to_vec(),
            length: ok.len() * length,
        };
        Self::new(keys, &request, length, replies)
    }

    fn new(keys: Keys, request: &[u8], length: usize, replies: Replies) -> Self {
        Self {
            keys,
            bytes: request.repeat(length),
            request: request.len(),
            replies,
        }
    }

    fn draw(&mut self, random: &mut Rng) {
        for request in self.bytes.chunks_exact_mut(self.request) {
            let mut number = self.keys.draw(random);
            for digit in request[KEY_END - DIGITS..KEY_END].iter_mut().rev() {
                *digit = b'0' + (number % 10) as u8;
                number /= 10;
            }
        }
    }
}
