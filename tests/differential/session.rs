//! What one client sends: batches of requests, and what is known of the replies to them. It keeps in
//! mind what the client has left on its connection, because that decides how many replies there are.

use std::collections::BTreeSet;
use std::io;

use fastrand::Rng;

use crate::commands::{GROUPS, Group};
use crate::common::request;
use crate::compare::Compare;
use crate::stateful::{BLOCKING, BROKEN, CHANNELS, GREETINGS, LOGINS, OWN, PATTERNS, SHARDS};
use crate::types::READS;
use crate::wire::Connection;
use crate::words::Words;

/// One client's connection, as far as it decides what may be sent and what comes back.
pub struct Session {
    kind: Kind,
    resp3: bool,
    in_transaction: bool,
    /// It did what may have left something on the connection.
    stateful: bool,
    subscriptions: BTreeSet<Subscription>,
    /// It had Redis track what it reads. Redis remembers the keys for the number of the connection,
    /// even after a RESET, which through the proxy gives it another connection.
    tracked: bool,
}

/// What a client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// It leaves nothing on its connection but the version of the protocol.
    Plain,
    /// It does everything.
    Wild,
}

/// The kind (`""`, `p` or `s`), and the channel or pattern.
type Subscription = (&'static str, String);

/// Requests that are sent together.
#[derive(Default)]
pub struct Batch {
    pub requests: Vec<Vec<u8>>,
    /// How each reply is compared. Where messages may come between, there are more than these.
    pub replies: Vec<Compare>,
    pub end: End,
    /// Messages may come between the replies, which look the same.
    pub mixed: bool,
    /// The number of commands, and of the values that GET and MGET are to give.
    pub commands: usize,
    pub values_read: usize,
}

/// What comes last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum End {
    /// The last of [`Batch::replies`].
    #[default]
    Reply,
    /// The reply to a PING with this.
    Mark(String),
    /// The end of the connection.
    Closed,
}

impl Batch {
    fn add(&mut self, words: &[Vec<u8>], replies: impl IntoIterator<Item = Compare>) {
        if [&b"GET"[..], b"MGET"].contains(&words[0].to_ascii_uppercase().as_slice()) {
            self.values_read += words.len() - 1;
        }
        self.add_bytes(request(words), replies);
    }

    fn add_bytes(&mut self, bytes: Vec<u8>, replies: impl IntoIterator<Item = Compare>) {
        self.requests.push(bytes);
        self.replies.extend(replies);
        self.commands += 1;
    }

    /// One request with one reply.
    pub fn of(words: &[Vec<u8>], compare: Compare) -> Self {
        Self::default().and(words, compare)
    }

    /// The same with one more.
    pub fn and(mut self, words: &[Vec<u8>], compare: Compare) -> Self {
        self.add(words, [compare]);
        self
    }

    /// With the replies to come, and nothing to be sent.
    pub fn already_sent(mut self) -> Self {
        self.requests.clear();
        self.commands = 0;
        self
    }

    /// Reads what is to come.
    pub fn read(&self, from: &mut Connection, frames: &mut Vec<Vec<u8>>) -> io::Result<()> {
        let mut replies = 0;
        while match &self.end {
            End::Reply => replies < self.replies.len(),
            End::Mark(mark) => !frames
                .last()
                .is_some_and(|frame| ends_with_bulk(frame, mark)),
            End::Closed => true,
        } {
            let Some(frame) = from.frame()? else { break };
            replies += usize::from(frame[0] != b'>');
            frames.push(frame);
        }
        Ok(())
    }
}

const EXACT: [Compare; 1] = [Compare::Exact];

impl Session {
    pub fn new(kind: Kind) -> Self {
        Self {
            kind,
            resp3: false,
            in_transaction: false,
            stateful: false,
            subscriptions: BTreeSet::new(),
            tracked: false,
        }
    }

    /// The connection was made anew.
    pub fn forget(&mut self) {
        *self = Self::new(self.kind);
    }

    /// Whether the client may be sent what it didn't ask for, and can ask for a mark.
    pub fn gets_messages(&self) -> bool {
        !self.subscriptions.is_empty() && !self.in_transaction
    }

    /// Whether others can tell that it is there.
    pub fn is_subscribed(&self) -> bool {
        !self.subscriptions.is_empty()
    }

    /// Whether it may be reset for something out of the row.
    pub fn is_free(&self) -> bool {
        self.kind == Kind::Wild
            && self.subscriptions.is_empty()
            && !self.in_transaction
            && !self.tracked
    }

    /// The connection was reset, and the version of the protocol was chosen anew.
    pub fn set_up_again(&mut self, resp3: bool) {
        self.forget();
        self.resp3 = resp3;
        self.stateful = true;
    }

    /// Makes up the next batch.
    pub fn batch(&mut self, words: &mut Words<'_>) -> Batch {
        let mut has_messages = self.gets_messages();
        let mut batch = Batch {
            mixed: has_messages && !self.resp3,
            ..Batch::default()
        };
        let count = match words.random.u8(..20) {
            0..8 => 1,
            8..18 => words.random.usize(2..12),
            _ => words.random.usize(12..60),
        };
        for _ in 0..count {
            let only_messages = !self.resp3 && !self.subscriptions.is_empty();
            if only_messages {
                // Here only a few commands are allowed, and all replies look like messages.
                self.add_for_subscriber(words, &mut batch);
            } else if self.in_transaction {
                self.add_to_transaction(words, &mut batch);
            } else if self.kind == Kind::Plain || words.random.u8(..100) < 75 {
                self.add_ordinary(words, &mut batch);
            } else {
                self.add_stateful(words, &mut batch, has_messages);
            }
            has_messages |= self.gets_messages();
            let turned = only_messages == (self.resp3 || self.subscriptions.is_empty());
            if turned || batch.end == End::Closed {
                break;
            }
        }
        if batch.end != End::Closed && has_messages && !self.in_transaction {
            batch.mark(words.random);
        }
        batch
    }

    /// A batch that only asks for what is there.
    pub fn look(&self, random: &mut Rng) -> Batch {
        let mut batch = Batch {
            mixed: !self.resp3,
            ..Batch::default()
        };
        batch.mark(random);
        batch
    }

    /// A batch that subscribes to one more channel.
    pub fn subscribe(&mut self, channel: &str, random: &mut Rng) -> Batch {
        let mut batch = Batch {
            mixed: true,
            ..Batch::default()
        };
        batch.add(&[b"SUBSCRIBE".to_vec(), channel.into()], []);
        batch.mark(random);
        batch
    }

    fn add_ordinary(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        match words.random.u8(..200) {
            0..4 => self.add_greeting(words, batch, GREETINGS),
            4..7 => self.add_inline(words, batch),
            7 => batch.add_bytes(words.any(&[&b"*0\r\n"[..], b"\r\n", b"*-1\r\n"]).into(), []),
            8 if self.kind == Kind::Plain => self.add_end(words, batch),
            _ => self.add_drawn(words, batch),
        }
    }

    fn add_drawn(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        let (mut line, group) = draw(words);
        if self.in_transaction && group.compare != Compare::Exact {
            return;
        }
        // They would end the transaction.
        if self.in_transaction
            && ["EXEC", "DISCARD"]
                .iter()
                .any(|name| line[0] == name.as_bytes())
        {
            return;
        }
        if group.robust && words.random.u8(..15) == 0 {
            spoil(&mut line, words.random);
        }
        batch.add(&line, [group.compare]);
        // What was just read is in the cache.
        while std::ptr::eq(group.lines, READS) && words.random.u8(..5) < 2 {
            batch.add(&line, [group.compare]);
        }
    }

    fn add_inline(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        let line = words.any(&[
            "PING\r\n",
            "PING\n",
            "get str1\r\n",
            "  GET   hot  \r\n",
            "MGET str1 hot \"\"\r\n",
            "SET \"hot\" \"a\\x00\\r\\n b\"\r\n",
            "SET hot ''\r\n",
            "ECHO 'it\\'s'\r\n",
            "NONSENSE inline\r\n",
            "INCR str2\r\n",
            "GET\r\n",
        ]);
        batch.add_bytes(line.into(), EXACT);
    }

    fn add_greeting(
        &mut self,
        words: &mut Words<'_>,
        batch: &mut Batch,
        greetings: &[(&str, Option<bool>)],
    ) {
        let (line, switch) = words.any(greetings);
        self.resp3 = switch.unwrap_or(self.resp3);
        batch.add(&words.line(line), [Compare::ButId]);
    }

    fn add_to_transaction(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        match words.random.u8(..100) {
            0..18 => {
                self.in_transaction = false;
                batch.add(&words.line("EXEC"), EXACT);
            }
            18..21 => {
                self.in_transaction = false;
                batch.add(&words.line("DISCARD"), EXACT);
            }
            21 => batch.add(&words.line("MULTI"), EXACT),
            22 => batch.add(&words.line("WATCH hot"), EXACT),
            23 => batch.add(&words.line("HELLO 9"), EXACT),
            24 => self.add_reset(words, batch),
            25 => self.add_end(words, batch),
            26..32 => {
                let line = words.any(BLOCKING);
                batch.add(&words.line(line), EXACT);
            }
            32..34 => {
                let line = words.any(OWN);
                batch.add(&words.line(line), EXACT);
            }
            _ => self.add_drawn(words, batch),
        }
    }

    fn add_stateful(&mut self, words: &mut Words<'_>, batch: &mut Batch, has_messages: bool) {
        if !self.stateful && words.random.u8(..4) == 0 {
            batch.add(&words.line("CLIENT SETNAME <name>"), EXACT);
        }
        if self.stateful && words.random.u8(..10) == 0 {
            batch.add(&words.line("CLIENT GETNAME"), EXACT);
        }
        // So that the shared connection and the cache get their turn.
        if self.stateful && words.random.u8(..100) < 15 {
            return self.add_reset(words, batch);
        }
        match words.random.u8(..100) {
            0..25 => {
                // A mark can't be asked for inside.
                if has_messages && !self.resp3 {
                    return;
                }
                self.in_transaction = true;
                batch.add(&words.line("MULTI"), EXACT);
            }
            25..35 => {
                let line = words.any(&["WATCH <any>", "WATCH <anys>", "UNWATCH", "WATCH"]);
                batch.add(&words.line(line), EXACT);
            }
            35..48 => return self.add_subscription(words, batch),
            48..58 => {
                let line = words.any(&["SELECT 1", "SELECT 1", "SELECT 0", "SELECT 99"]);
                batch.add(&words.line(line), EXACT);
            }
            58..66 => self.add_greeting(words, batch, LOGINS),
            66..78 => {
                let line = words.any(BLOCKING);
                batch.add(&words.line(line), EXACT);
            }
            78..83 => self.add_silence(words, batch, has_messages),
            83..87 => {
                self.tracked = true;
                let line = words.any(&[
                    "CLIENT TRACKING ON",
                    "CLIENT TRACKING ON OPTIN",
                    "CLIENT TRACKING ON NOLOOP",
                    "CLIENT TRACKING OFF",
                    "CLIENT TRACKING maybe",
                    "CLIENT TRACKINGINFO",
                ]);
                batch.add(&words.line(line), EXACT);
            }
            87..90 => return self.add_reset(words, batch),
            90..92 => {
                let line = words.any(OWN);
                batch.add(&words.line(line), EXACT);
            }
            92..95 => return self.add_end(words, batch),
            _ => return self.add_greeting(words, batch, GREETINGS),
        }
        self.stateful = true;
    }

    fn add_reset(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        if self.tracked {
            return self.add_end(words, batch);
        }
        self.forget();
        batch.add(&words.line("RESET"), EXACT);
    }

    fn add_end(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        self.forget();
        batch.end = End::Closed;
        if words.random.bool() {
            batch.add(&words.line("QUIT"), EXACT);
        } else {
            batch.add_bytes(words.any(BROKEN).into(), EXACT);
        }
    }

    /// Commands that are not answered, between others that are.
    fn add_silence(&mut self, words: &mut Words<'_>, batch: &mut Batch, has_messages: bool) {
        // A subscriber would miss messages, or not, depending on when they come.
        if has_messages {
            return;
        }
        if words.random.bool() {
            batch.add(&words.line("CLIENT REPLY SKIP"), []);
            let (line, _) = draw(words);
            batch.add(&line, []);
            batch.add(&words.line("PING"), EXACT);
        } else {
            batch.add(&words.line("CLIENT REPLY OFF"), []);
            for _ in 0..words.random.usize(..4) {
                let (line, _) = draw(words);
                batch.add(&line, []);
            }
            batch.add(&words.line("CLIENT REPLY ON"), EXACT);
        }
    }

    fn add_subscription(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        let (kind, channels) = words.any(&[
            ("", CHANNELS),
            ("", CHANNELS),
            ("p", PATTERNS),
            ("s", SHARDS),
        ]);
        let leave = words.random.u8(..3) == 0;
        // Without a channel: all, which Redis keeps in hash tables, but for patterns.
        let held = self
            .subscriptions
            .iter()
            .filter(|(other, _)| *other == kind);
        let in_any_order = held.count() > 1 && kind != "p";
        let some = !leave || in_any_order || words.random.bool();
        let chosen: Vec<String> = (0..words.random.usize(1..3))
            .filter(|_| some)
            .map(|_| words.any(channels).to_string())
            .collect();
        let verb = if leave { "UNSUBSCRIBE" } else { "SUBSCRIBE" };
        let mut line = vec![format!("{kind}{verb}").into_bytes()];
        line.extend(chosen.iter().map(|channel| channel.clone().into_bytes()));
        // In RESP3 all that comes are pushes.
        let replies = if self.resp3 { 0 } else { chosen.len().max(1) };
        batch.add(&line, vec![Compare::Exact; replies]);
        if !leave {
            self.subscriptions
                .extend(chosen.into_iter().map(|channel| (kind, channel)));
        } else if some {
            for channel in chosen {
                self.subscriptions.remove(&(kind, channel));
            }
        } else {
            self.subscriptions.retain(|(other, _)| *other != kind);
        }
        self.stateful = true;
    }

    fn add_for_subscriber(&mut self, words: &mut Words<'_>, batch: &mut Batch) {
        match words.random.u8(..20) {
            0..12 => self.add_subscription(words, batch),
            12..15 => batch.add(&words.line("PING"), EXACT),
            15 => batch.add(&words.line("PING <value>"), EXACT),
            16 => batch.add(&words.line("GET hot"), EXACT),
            17 => batch.add(&words.line("HELLO 3"), EXACT),
            18 => self.add_reset(words, batch),
            _ => self.add_end(words, batch),
        }
    }
}

impl Batch {
    fn mark(&mut self, random: &mut Rng) {
        let mark = format!("mark-{:016x}", random.u64(..));
        self.requests.push(request(&["PING", &mark]));
        self.replies.push(Compare::Exact);
        self.end = End::Mark(mark);
    }
}

/// Whether a frame is a bulk string with this text, or has it as its last element.
fn ends_with_bulk(frame: &[u8], text: &str) -> bool {
    frame
        .strip_suffix(b"\r\n")
        .is_some_and(|frame| frame.ends_with(text.as_bytes()))
}

/// A command of the list.
fn draw(words: &mut Words<'_>) -> (Vec<Vec<u8>>, &'static Group) {
    let total: u32 = GROUPS.iter().map(|group| group.weight).sum();
    let mut left = words.random.u32(..total);
    let group = GROUPS
        .iter()
        .find(|group| {
            let found = left < group.weight;
            left = left.wrapping_sub(group.weight);
            found
        })
        .expect("the weights add up");
    let line = words.any(group.lines);
    let mut line = words.line(line);
    match words.random.u8(..12) {
        0 => line[0].make_ascii_lowercase(),
        1 => {
            for byte in &mut line[0] {
                if words.random.bool() {
                    *byte = byte.to_ascii_lowercase();
                }
            }
        }
        _ => {}
    }
    (line, group)
}

/// Takes an argument away, adds one, or changes one, so that an error is likely but nothing else than
/// one reply.
fn spoil(line: &mut Vec<Vec<u8>>, random: &mut Rng) {
    let at = random.usize(..line.len());
    match random.u8(..3) {
        0 if at > 0 => {
            line.remove(at);
        }
        1 => line.push(b"more".to_vec()),
        _ if at > 0 => line[at] = b"other".to_vec(),
        _ => line[0].push(b'x'),
    }
}
