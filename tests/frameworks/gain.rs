//! What a program gains: which of its reads repeat, and which of these Redis was not asked for.
//!
//! A read repeats if the same was asked before, by whichever client, was answered before this one was asked, with the
//! same reply, and no command has written the key since. Redis was asked for it if `MONITOR` shows the same read between
//! question and answer. What stands in a transaction, or is read while keys are watched, is for Redis to answer, and
//! counted apart.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::fmt;
use std::time::Duration;

use redis_proxy::command::{Table, Way, read_specs};

use crate::common::{Client, RedisServer, parse_request, reply_length};
use crate::monitor::Executed;
use crate::recorder::Exchange;

/// How many there are of each kind.
type Counts = BTreeMap<String, usize>;

/// What was found.
#[derive(Debug, Default)]
pub struct Gain {
    /// The reads that repeat.
    pub repeated: usize,
    /// Those of them for which Redis was not asked.
    pub from_cache: usize,
    /// The others of them.
    missed: Counts,
    /// Reads that are the first since a write, and those of them for which Redis was not asked.
    changed: usize,
    changed_from_cache: usize,
    /// Reads of what was not read before.
    first: usize,
    /// Reads in transactions, and of clients that watch keys.
    in_transactions: usize,
    /// Reads that the cache does not answer.
    uncached: Counts,
    /// What only blocks, subscribes or watches on dedicated connections.
    dedicated: Counts,
    /// What went over dedicated connections and needed none.
    pub strays: Counts,
}

/// What Redis says of its commands.
struct Commands {
    client: Client,
    cached: HashSet<Vec<u8>>,
    reads: HashSet<Vec<u8>>,
    writes: HashSet<Vec<u8>>,
    /// What blocks, subscribes, or sets a connection up.
    of_connections: HashSet<Vec<u8>>,
}

/// A key in a database.
type Key = (u32, Vec<u8>);

/// A read of one key: MGET is one of each.
type Question = (u32, Vec<Vec<u8>>);

/// An earlier answer.
struct Answer {
    asked: Duration,
    answered: Duration,
    reply: Vec<u8>,
}

impl Gain {
    /// Works it out from what the program asked, and what Redis executed meanwhile.
    pub fn of(exchanges: &[Exchange], executed: &[Executed], redis: &RedisServer) -> Self {
        let mut gain = Self::default();
        let mut commands = Commands::of(redis);
        let shared = shared_connections(executed);
        let writes = commands.writes(executed);
        let asked = commands.asked(executed);
        let mut answers: HashMap<Question, Vec<Answer>> = HashMap::new();
        for exchange in exchanges {
            let name = &exchange.words[0];
            if !commands.reads.contains(name) {
                continue;
            }
            if exchange.in_transaction || exchange.is_watching {
                gain.in_transactions += 1;
                continue;
            }
            let questions = commands.questions(exchange.database, &exchange.words);
            if questions.is_empty() {
                count(&mut gain.uncached, name);
                continue;
            }
            let replies = replies(exchange, questions.len());
            for ((question, key), reply) in questions.into_iter().zip(replies) {
                let answer = Answer {
                    asked: exchange.asked,
                    answered: exchange.answered,
                    reply,
                };
                let earlier = answers.entry(question.clone()).or_default();
                let within = answer.asked..=answer.answered;
                let is_within = |(at, _): &&(Duration, &str)| within.contains(at);
                let asked = asked
                    .get(&question)
                    .and_then(|all| all.iter().find(is_within));
                if answer.repeats(earlier, writes.get(&key)) {
                    gain.repeated += 1;
                    gain.from_cache += usize::from(asked.is_none());
                    if let Some((_, client)) = asked {
                        let way = match shared.contains(client) {
                            true => "",
                            false => " on a dedicated connection",
                        };
                        let what = format!("{}{way}", shown(&question.1));
                        count(&mut gain.missed, what.as_bytes());
                    }
                } else if earlier.is_empty() {
                    gain.first += 1;
                } else {
                    gain.changed += 1;
                    gain.changed_from_cache += usize::from(asked.is_none());
                }
                earlier.push(answer);
            }
        }
        gain.look_at_dedicated(executed, &shared, &commands);
        gain
    }

    /// Sorts what went over dedicated connections: what needs one, and what doesn't.
    fn look_at_dedicated(
        &mut self,
        executed: &[Executed],
        shared: &HashSet<&str>,
        commands: &Commands,
    ) {
        let mut bound: HashSet<&str> = HashSet::new();
        for command in executed {
            let client = &*command.client;
            if client == "lua" || shared.contains(client) {
                continue;
            }
            let name = &command.words[0];
            let is = |names: &[&str]| names.iter().any(|other| other.as_bytes() == name);
            if is(&["watch", "multi"]) {
                bound.insert(client);
            }
            let with_block = is(&["xread", "xreadgroup"])
                && command
                    .words
                    .iter()
                    .any(|word| word.eq_ignore_ascii_case(b"block"));
            if bound.contains(client) || with_block || commands.of_connections.contains(name) {
                count(&mut self.dedicated, name);
            } else {
                count(&mut self.strays, name);
            }
            if is(&["exec", "discard", "unwatch"]) {
                bound.remove(client);
            }
        }
    }

    /// The share of the repeated reads that the cache answered.
    pub fn share(&self) -> f64 {
        self.from_cache as f64 / self.repeated as f64
    }

    /// The same as a text.
    pub fn percent(&self) -> String {
        format!("{:.1}%", 100.0 * self.share())
    }

    /// A row of the table of all frameworks.
    pub fn row(&self, name: &str) -> String {
        let of = |part: usize, whole: usize| match whole {
            0 => "none".to_string(),
            _ => format!("{part} of {whole}"),
        };
        format!(
            "| {name} | {} | {} | {} |",
            of(self.from_cache, self.repeated),
            of(self.changed_from_cache, self.changed),
            self.in_transactions,
        )
    }
}

impl fmt::Display for Gain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{} of {} repeated reads from the cache ({}), {} of {} after a write; {} first ones; {} in transactions",
            self.from_cache,
            self.repeated,
            self.percent(),
            self.changed_from_cache,
            self.changed,
            self.first,
            self.in_transactions,
        )?;
        for (what, counts) in [
            ("asked again", &self.missed),
            ("never cached", &self.uncached),
            ("on dedicated connections", &self.dedicated),
            ("on dedicated connections without need", &self.strays),
        ] {
            if !counts.is_empty() {
                write!(f, "\n  {what}: {}", list(counts))?;
            }
        }
        Ok(())
    }
}

fn count(counts: &mut Counts, name: &[u8]) {
    *counts.entry(name.escape_ascii().to_string()).or_default() += 1;
}

/// The most frequent, with their numbers.
fn list(counts: &Counts) -> String {
    let mut counts: Vec<_> = counts.iter().collect();
    counts.sort_by_key(|(_, count)| std::cmp::Reverse(**count));
    let left_out = counts.len().saturating_sub(20);
    counts.truncate(20);
    let mut words: Vec<_> = counts
        .iter()
        .map(|(name, count)| format!("{name} {count}"))
        .collect();
    if left_out > 0 {
        words.push(format!("{left_out} more"));
    }
    words.join(", ")
}

fn shown(words: &[Vec<u8>]) -> String {
    let words: Vec<_> = words
        .iter()
        .map(|word| word.escape_ascii().to_string())
        .collect();
    words.join(" ")
}

/// The addresses of the connections that the proxy's clients share: they have its name, and dedicated ones the client's.
fn shared_connections(executed: &[Executed]) -> HashSet<&str> {
    let names = [&b"client"[..], b"setname", b"redis-proxy"];
    let is_name = |command: &&Executed| {
        let words = command.words.iter().map(|word| word.to_ascii_lowercase());
        words.eq(names)
    };
    let named = executed.iter().filter(is_name);
    named.map(|command| &*command.client).collect()
}

impl Answer {
    /// Whether the answer was known before, and the key not written since.
    fn repeats(&self, earlier: &[Self], writes: Option<&Vec<Duration>>) -> bool {
        let before = earlier.iter().filter(|other| other.answered <= self.asked);
        before
            .max_by_key(|other| other.answered)
            .is_some_and(|last| {
                let since = last.asked..=self.answered;
                let is_written = writes.is_some_and(|at| at.iter().any(|at| since.contains(at)));
                last.reply == self.reply && !is_written
            })
    }
}

/// The reply to each of so many questions.
fn replies(exchange: &Exchange, questions: usize) -> Vec<Vec<u8>> {
    if exchange.words[0] != b"mget" {
        return vec![exchange.reply.clone(); questions];
    }
    let head = exchange.reply.iter().position(|byte| *byte == b'\n');
    let mut rest = &exchange.reply[head.map_or(0, |at| at + 1)..];
    let element = |_| {
        let (element, behind) = rest.split_at(reply_length(rest).unwrap_or(rest.len()));
        rest = behind;
        element.to_vec()
    };
    (0..questions).map(element).collect()
}

impl Commands {
    fn of(redis: &RedisServer) -> Self {
        let mut client = redis.client();
        let table = Table::new(&read_specs(&client.command(&["COMMAND"])).expect("all commands"));
        let cached = table
            .rows()
            .filter(|(_, row)| matches!(row.way, Way::Cached(_)));
        let cached = cached.map(|(name, _)| name.to_vec()).collect();
        let mut category = |name: &str| -> HashSet<Vec<u8>> {
            let reply = client.command(&["COMMAND", "LIST", "FILTERBY", "ACLCAT", name]);
            parse_request(&reply)
                .expect("a list of names")
                .0
                .into_iter()
                .collect()
        };
        let mut writes = category("write");
        // They leave the value as it is.
        for name in ["expire", "expireat", "pexpire", "pexpireat", "persist"] {
            writes.remove(name.as_bytes());
        }
        let (reads, blocks, subscribes) =
            (category("read"), category("blocking"), category("pubsub"));
        let mut of_connections: HashSet<_> = blocks.union(&subscribes).cloned().collect();
        // Those of XREAD and XREADGROUP which don't block need none.
        for name in ["xread", "xreadgroup"] {
            of_connections.remove(name.as_bytes());
        }
        for name in [
            "monitor", "hello", "auth", "select", "client", "reset", "ping", "unwatch", "info",
            "echo",
        ] {
            of_connections.insert(name.as_bytes().to_vec());
        }
        Self {
            client,
            cached,
            reads,
            writes,
            of_connections,
        }
    }

    /// The keys of a command, as Redis has them.
    fn keys(&mut self, words: &[Vec<u8>]) -> Vec<Vec<u8>> {
        let mut command = vec![b"COMMAND".to_vec(), b"GETKEYS".to_vec()];
        command.extend_from_slice(words);
        let reply = self.client.command(&command);
        let keys = reply
            .starts_with(b"*")
            .then(|| parse_request(&reply))
            .flatten();
        keys.map_or_else(Vec::new, |(keys, _)| keys)
    }

    /// The questions of a read that can be cached, with the key of each.
    fn questions(&mut self, database: u32, words: &[Vec<u8>]) -> Vec<(Question, Key)> {
        let name = &words[0];
        if !self.cached.contains(name) {
            return Vec::new();
        }
        let keys = self.keys(words);
        let question = |key: Vec<u8>| {
            let words = match &**name {
                b"mget" => vec![b"get".to_vec(), key.clone()],
                _ => words.to_vec(),
            };
            ((database, words), (database, key))
        };
        if name == b"mget" || keys.len() == 1 {
            keys.into_iter().map(question).collect()
        } else {
            Vec::new()
        }
    }

    /// When Redis was asked each question, and by which connection.
    fn asked<'a>(
        &mut self,
        executed: &'a [Executed],
    ) -> HashMap<Question, Vec<(Duration, &'a str)>> {
        let mut asked: HashMap<_, Vec<_>> = HashMap::new();
        for command in executed {
            for (question, _) in self.questions(command.database, &command.words) {
                asked
                    .entry(question)
                    .or_default()
                    .push((command.at, &*command.client));
            }
        }
        asked
    }

    /// When each key was written.
    fn writes(&mut self, executed: &[Executed]) -> HashMap<Key, Vec<Duration>> {
        let mut written: HashMap<_, Vec<_>> = HashMap::new();
        for command in executed {
            if self.writes.contains(&command.words[0]) {
                let keys = self.keys(&command.words);
                for key in keys {
                    written
                        .entry((command.database, key))
                        .or_default()
                        .push(command.at);
                }
            }
        }
        written
    }
}
