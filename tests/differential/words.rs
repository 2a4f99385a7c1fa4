//! Makes up the words that stand for keys, values and the like in the lines of commands.

use fastrand::Rng;

use crate::common::MB;

/// Any command may come upon these, whatever its type: so they change their type all the time.
const HOT: &[&[u8]] = &[b"hot", b"warm", b"", b"h\r\n\0\xff $-1\r\n"];

/// The other keys, and how many of each there are.
const NUMBERED: &[(&str, usize)] = &[
    ("str", 4),
    ("str", 4),
    ("list", 3),
    ("set", 3),
    ("hash", 2),
    ("zset", 3),
    ("stream", 2),
    ("geo", 2),
    ("hll", 2),
    ("none", 2),
];

/// All keys that commands are made up with, with this hash tag.
pub fn all_keys(tag: &str) -> Vec<Vec<u8>> {
    let numbered = NUMBERED.iter().flat_map(|&(prefix, count)| {
        (1..=count).map(move |number| format!("{prefix}{number}").into_bytes())
    });
    let keys = HOT.iter().map(|key| key.to_vec()).chain(numbered);
    keys.map(|key| tagged(tag, key)).collect()
}

/// Those that hold strings more often than not.
pub fn keys_of_strings(tag: &str) -> Vec<Vec<u8>> {
    let mut keys = all_keys("");
    keys.retain(|key| {
        HOT.contains(&key.as_slice()) || key.starts_with(b"str") || key.starts_with(b"hll")
    });
    keys.into_iter().map(|key| tagged(tag, key)).collect()
}

/// A key with a hash tag, if there is to be one.
fn tagged(tag: &str, key: Vec<u8>) -> Vec<u8> {
    [tag.as_bytes(), &key].concat()
}

/// Scripts with one key and one argument.
pub const SCRIPTS: &[&str] = &[
    "return redis.call('set', KEYS[1], ARGV[1])",
    "return redis.call('get', KEYS[1])",
    "redis.call('append', KEYS[1], ARGV[1]) return redis.call('strlen', KEYS[1])",
    "return redis.call('del', KEYS[1])",
    "return redis.call('incrby', KEYS[1], ARGV[1])",
    "return redis.pcall('incr', KEYS[1])",
    "redis.call('set', KEYS[1], ARGV[1]) return redis.error_reply('MINE it is')",
    "redis.call('set', KEYS[1], ARGV[1]) error('oh')",
    "return {1, 'two', {3, {'four'}}, 5.9, true, false, nil, 'never'}",
    "return redis.status_reply('FINE')",
    "return nil",
    "return true",
    "return {double = 0.1}",
    "return {map = {a = 1.5}}",
    "return {big_number = '123456789012345678901234567890'}",
    "return {verbatim_string = {format = 'txt', string = 'so'}}",
    "redis.setresp(3) return redis.call('zrange', KEYS[1], 0, -1, 'withscores')",
    "redis.setresp(3) return redis.call('get', KEYS[1])",
    "return #redis.call('mget', KEYS[1], 'str1', 'str2')",
    "return redis.call('nonsense')",
    "return redis.call('publish', 'c1', ARGV[1])",
    "return redis.sha1hex(ARGV[1])",
    "return cjson.encode({KEYS[1] == '', 1})",
    "this is no Lua",
    "return undefined_name",
];

/// Scripts that name the key that they write nowhere but among their arguments.
const FAR_SCRIPTS: &[&str] = &[
    "return redis.call('set', ARGV[1], ARGV[2])",
    "return redis.call('append', ARGV[1], ARGV[2])",
    "redis.call('del', ARGV[1]) return redis.call('rpush', ARGV[1], ARGV[2])",
    "return redis.call('rename', ARGV[1], 'hot')",
    "redis.call('set', 'str1', ARGV[2]) return redis.call('mset', 'str2', 'x', 'warm', ARGV[2])",
    "return redis.call('flushdb')",
    "redis.call('select', 1) return redis.call('set', ARGV[1], ARGV[2])",
    "return redis.call('swapdb', 0, 1)",
];

const BELL_SCRIPT: &str = "return redis.call('rpush', KEYS[1], ARGV[1])";

const LIBRARY: &str = "#!lua name=shelf
redis.register_function('put', function(keys, args) return redis.call('set', keys[1], args[1]) end)
redis.register_function('put_far', function(keys, args) return redis.call('set', args[1], args[2]) end)
redis.register_function{function_name='fetch', flags={'no-writes'},
  callback=function(keys, args) return redis.call('get', keys[1]) end}";

const MEMBERS: &[&str] = &[
    "a", "b", "c", "d", "Palermo", "Catania", "7", "-3", "0", "3.5",
];

const FLOATS: &[&str] = &[
    "0",
    "1",
    "-1",
    "0.1",
    "1.5",
    "3.0e-7",
    "1e300",
    "inf",
    "-inf",
    "+inf",
    "-0",
    "10.50",
    "123456789.123456789",
    "0.30000000000000004",
    "17179869184",
    "nan",
    "x",
    "5e-324",
    "",
];

const BOUNDS: &[&str] = &["-inf", "+inf", "0", "(0", "1", "(1.5", "100", "1e17", "x"];

const NUMBERS: &[&str] = &[
    "0",
    "1",
    "-1",
    "2",
    "10",
    "42",
    "100",
    "-7",
    "9223372036854775807",
    "-9223372036854775808",
    "9223372036854775808",
    "0010",
    " 1",
    "1 ",
    "+1",
    "1.0",
    "",
];

/// What is made up, and by what chance.
pub struct Words<'a> {
    pub random: &'a mut Rng,
    /// How many stream ids were given out.
    pub ids: &'a mut u64,
    pub known: &'a Known,
    /// What all keys begin with: a hash tag in braces, or nothing.
    pub tag: &'static str,
    /// Most keys are this one.
    pub focus: Option<Vec<u8>>,
}

/// What Redis was asked before the start.
pub struct Known {
    /// Values as DUMP gives them.
    pub dumps: Vec<Vec<u8>>,
    /// The hashes of [`SCRIPTS`].
    pub hashes: Vec<Vec<u8>>,
}

impl Words<'_> {
    /// The words of a line, with what stands in angle brackets made up.
    pub fn line(&mut self, line: &str) -> Vec<Vec<u8>> {
        let mut words = Vec::new();
        for word in line.split(' ') {
            let Some((before, rest)) = word.split_once('<') else {
                // A character beyond ASCII stands for the byte of that number.
                words.push(word.chars().map(|char| char as u8).collect());
                continue;
            };
            let (name, after) = rest.split_once('>').expect("a closing bracket");
            if before.is_empty() && after.is_empty() && self.several(name, &mut words) {
                continue;
            }
            let made_up = self.one(name);
            words.push([before.as_bytes(), &made_up, after.as_bytes()].concat());
        }
        words
    }

    /// One of them.
    pub fn any<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.random.usize(..of.len())]
    }

    fn several(&mut self, name: &str, words: &mut Vec<Vec<u8>>) -> bool {
        let parts: &[&str] = match name {
            "anys" => &["any"],
            "strings" => &["string"],
            "sets" => &["set"],
            "values" => &["value"],
            "members" => &["member"],
            "numbers" => &["number"],
            "smalls" => &["small"],
            "fields" => &["field"],
            "string-values" => &["string", "value"],
            "any-values" => &["any", "value"],
            "field-values" => &["field", "value"],
            "scored" => &["score", "member"],
            "points" => &["longitude", "latitude", "member"],
            _ => return false,
        };
        for _ in 0..self.random.usize(1..=4) {
            words.extend(parts.iter().map(|part| self.one(part)));
        }
        true
    }

    fn one(&mut self, name: &str) -> Vec<u8> {
        let text = match name {
            "any" => return self.any_key(),
            "hot" => return tagged(self.tag, self.any(HOT).to_vec()),
            "string" => return self.key("str", 4, 25),
            "list" => return self.key("list", 3, 15),
            "set" => return self.key("set", 3, 15),
            "hash" => return self.key("hash", 2, 15),
            "zset" => return self.key("zset", 3, 15),
            "stream" => return self.key("stream", 2, 15),
            "geo" => return self.key("geo", 2, 15),
            "hll" => return self.key("hll", 2, 15),
            "value" => return self.value(),
            "payload" => {
                let index = self.random.usize(..self.known.dumps.len());
                return self.known.dumps[index].clone();
            }
            "sha" => {
                let index = self.random.usize(..self.known.hashes.len());
                return self.known.hashes[index].clone();
            }
            "script" => self.any(SCRIPTS),
            "far-script" => self.far_script(),
            "bell-script" => BELL_SCRIPT,
            "library" => LIBRARY,
            "member" => self.any(MEMBERS),
            "bound" => self.any(BOUNDS),
            "field" => self.any(&["f1", "f2", "f3", "7", ""]),
            "bit" => self.any(&["0", "1", "1", "2"]),
            "name" => self.any(&["tester", "x:1", "~!", ""]),
            // Wrong ones not too often, for they end the whole command.
            "float" if self.random.u8(..10) == 0 => self.any(FLOATS),
            "score" if self.random.u8(..20) == 0 => self.any(FLOATS),
            "float" | "score" => self.any(&FLOATS[..14]),
            "number" if self.random.u8(..3) == 0 => self.any(NUMBERS),
            _ => return self.number(name).to_string().into_bytes(),
        };
        text.as_bytes().to_vec()
    }

    fn number(&mut self, name: &str) -> i64 {
        match name {
            "number" => self.random.i64(-20..1000),
            "small" => self.random.i64(0..10),
            "index" => self.random.i64(-7..7),
            "offset" if self.random.u8(..20) == 0 => self.random.i64(0..30_000),
            "offset" => self.random.i64(0..60),
            // Far enough from now that nothing runs out before the end.
            "ttl" => self.random.i64(10_000..1_000_000),
            "far" => self.random.i64(4_000_000_000..5_000_000_000),
            "new-id" => {
                *self.ids += 1;
                *self.ids as i64
            }
            "id" => self.random.i64(0..=*self.ids as i64 + 1),
            "longitude" => self.random.i64(-179..180),
            "latitude" => self.random.i64(-84..85),
            other => panic!("there is no <{other}>"),
        }
    }

    fn key(&mut self, prefix: &str, count: usize, hot_percent: u8) -> Vec<u8> {
        if let Some(key) = &self.focus
            && self.random.u8(..3) > 0
        {
            return key.clone();
        }
        let key = if self.random.u8(..100) < hot_percent {
            self.any(HOT).to_vec()
        } else {
            format!("{prefix}{}", self.random.usize(1..=count)).into_bytes()
        };
        tagged(self.tag, key)
    }

    fn any_key(&mut self) -> Vec<u8> {
        let (prefix, count) = self.any(NUMBERED);
        self.key(prefix, count, 60)
    }

    /// Those that touch all keys not too often.
    fn far_script(&mut self) -> &'static str {
        let rare = self.random.u8(..10) == 0;
        self.any(if rare { FAR_SCRIPTS } else { &FAR_SCRIPTS[..5] })
    }

    fn value(&mut self) -> Vec<u8> {
        let random = &mut *self.random;
        let length = match random.u16(..2000) {
            0 => MB,
            1..20 => random.usize(16_000..70_000),
            20..100 => random.usize(100..3000),
            100..250 => 0,
            250..800 => return random.i32(-5..1000).to_string().into_bytes(),
            800..900 => return b"$-1\r\n".to_vec(),
            _ => random.usize(1..40),
        };
        if length > 3000 {
            // Compressible or not does not matter; but the bytes are of every kind.
            let first = random.u8(..);
            return (0..length)
                .map(|index| first.wrapping_add((index % 251) as u8))
                .collect();
        }
        (0..length)
            .map(|_| match random.u8(..8) {
                0 => random.u8(..),
                _ => random.alphanumeric() as u8,
            })
            .collect()
    }
}
