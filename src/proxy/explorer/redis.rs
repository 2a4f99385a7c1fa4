//! A Redis of two keys whose values are counters, and the two connections to it as the helper threads
//! keep them.

use std::collections::VecDeque;

use super::KEYS;
use crate::resp::Protocol;

/// The number of a key.
pub type Key = usize;

/// How often a key has changed: the value that it then has, if it is there.
pub type Version = u8;

/// The keys, and what the proxy is to be told of them.
#[derive(Hash)]
pub struct Redis {
    pub versions: [Version; KEYS],
    /// In which versions each key was there, a bit each.
    there: [u16; KEYS],
    /// The keys that were read and whose change is to be told.
    tracked: [bool; KEYS],
    /// Whether it is.
    pub tracking: bool,
    pub link: Link,
    /// What the helper has to tell the loop, and what it has to find out first.
    pub line: VecDeque<Item>,
    /// What the tracker of this session has to tell the loop.
    pub tracker: VecDeque<Message>,
    /// What that of the session before may still tell.
    pub late: VecDeque<Message>,
}

/// The connections.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Link {
    /// As Redis sees them: those of the session of that number, and which of the two are broken.
    Session {
        epoch: u8,
        data_broken: bool,
        tracker_broken: bool,
    },
    /// There are none.
    Away { last_epoch: u8 },
}

/// A place in the line of what the helper tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// Redis can be reached in the session of that number; what the keys were then.
    Up {
        epoch: u8,
        versions: [Version; KEYS],
    },
    Down,
    /// A request, and the reply if there is one.
    Asked {
        question: Question,
        key: Key,
        /// The number of the version of the protocol.
        protocol: u8,
        reply: Option<Reply>,
    },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    Get,
    TimeToLive,
    Write,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Value(Option<Version>),
    Number(i64),
    Error,
}

/// What the tracker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Changed { key: Key, version: Version },
    Flushed { versions: [Version; KEYS] },
    Lost { epoch: u8 },
}

impl Reply {
    /// As Redis encodes it.
    pub fn encode(self, protocol: u8) -> Vec<u8> {
        match self {
            Self::Value(Some(version)) => format!("$1\r\n{version}\r\n").into_bytes(),
            Self::Value(None) if protocol == 3 => b"_\r\n".to_vec(),
            Self::Value(None) => b"$-1\r\n".to_vec(),
            Self::Number(number) => format!(":{number}\r\n").into_bytes(),
            Self::Error => b"-ERR Redis can't be reached\r\n".to_vec(),
        }
    }
}

impl Redis {
    /// One with the first key and without the others, which the helper has just connected to.
    pub fn new(tracking: bool) -> Self {
        let mut redis = Self {
            versions: [0; KEYS],
            there: [0; KEYS],
            tracked: [false; KEYS],
            tracking,
            link: Link::Away { last_epoch: 0 },
            line: VecDeque::new(),
            tracker: VecDeque::new(),
            late: VecDeque::new(),
        };
        redis.there[0] = 1;
        redis.open();
        redis
    }

    /// What the key was in some version; none if there has been no such version.
    pub fn was_there(&self, key: Key, version: Version) -> Option<bool> {
        (version <= self.versions[key]).then_some(self.there[key] >> version & 1 == 1)
    }

    pub fn value(&self, key: Key) -> Option<Version> {
        let version = self.versions[key];
        (self.was_there(key, version) == Some(true)).then_some(version)
    }

    /// A key gets another value, or goes, and that is told.
    pub fn change(&mut self, key: Key, there: bool) -> Version {
        let version = self.versions[key] + 1;
        self.versions[key] = version;
        self.there[key] |= u16::from(there) << version;
        if self.tells() && self.tracked[key] {
            self.tracked[key] = false;
            self.tracker.push_back(Message::Changed { key, version });
        }
        version
    }

    /// All keys go. Redis tells so whatever was read.
    pub fn flush(&mut self) {
        self.tracked = [false; KEYS];
        for key in 0..KEYS {
            self.change(key, false);
        }
        if self.tells() {
            let versions = self.versions;
            self.tracker.push_back(Message::Flushed { versions });
        }
    }

    /// Whether what is changed now is told.
    fn tells(&self) -> bool {
        self.tracking && self.is_whole()
    }

    /// Whether no connection is broken.
    pub fn is_whole(&self) -> bool {
        matches!(
            self.link,
            Link::Session {
                data_broken: false,
                tracker_broken: false,
                ..
            }
        )
    }

    /// Whether requests reach it.
    pub fn takes_requests(&self) -> bool {
        let broken = |link| matches!(link, Link::Session { data_broken, .. } if data_broken);
        matches!(self.link, Link::Session { .. }) && !broken(self.link)
    }

    /// The helper is handed a request.
    pub fn ask(&mut self, question: Question, key: Key, protocol: Protocol) {
        let away = matches!(self.link, Link::Away { .. });
        self.line.push_back(Item::Asked {
            question,
            key,
            protocol: protocol.number(),
            reply: away.then_some(Reply::Error),
        });
    }

    /// Redis executes its next request.
    pub fn execute(&mut self) {
        let next = self.line.iter().position(Item::is_unanswered);
        let Some(next) = next else { return };
        let Item::Asked { question, key, .. } = self.line[next] else {
            return;
        };
        let answer = match question {
            Question::Get => {
                self.tracked[key] |= self.tracking;
                Reply::Value(self.value(key))
            }
            Question::TimeToLive => Reply::Number(self.value(key).map_or(-2, |_| -1)),
            Question::Write => Reply::Number(self.change(key, true).into()),
        };
        self.line[next].answer(Some(answer));
    }

    /// The connection that carries requests breaks, and Redis forgets what was read on it.
    pub fn break_data(&mut self) {
        if let Link::Session { data_broken, .. } = &mut self.link {
            *data_broken = true;
        }
        self.tracked = [false; KEYS];
    }

    /// The connection that carries invalidations breaks; those that are on it arrive, or don't.
    pub fn break_tracker(&mut self, arrive: bool) {
        if let Link::Session {
            epoch,
            tracker_broken,
            ..
        } = &mut self.link
        {
            *tracker_broken = true;
            if !arrive {
                self.tracker.clear();
            }
            self.tracker.push_back(Message::Lost { epoch: *epoch });
        }
        self.tracked = [false; KEYS];
    }

    /// How many of the replies on the wire there are, to arrive before the end of the session or not.
    pub fn on_the_wire(&self) -> usize {
        let session = self.line.iter().skip(self.told());
        session.take_while(|item| !item.is_unanswered()).count()
    }

    /// Whether a write waits for Redis.
    pub fn has_unanswered_write(&self) -> bool {
        self.line
            .iter()
            .any(|item| item.is_unanswered() && !item.may_be_repeated())
    }

    /// The helper goes on in a new session: so many of the replies on the wire have arrived, and its
    /// requests `were_sent`, so that only reads are sent again, or not yet.
    pub fn reconnect(&mut self, arrived: usize, were_sent: bool) {
        let rest = self.line.split_off(self.told() + arrived);
        self.end_session();
        self.open();
        for mut item in rest {
            let lost = were_sent || !item.is_unanswered();
            if item.may_be_repeated() {
                item.answer(None);
            } else if lost {
                item.answer(Some(Reply::Error));
            }
            self.line.push_back(item);
        }
    }

    /// The helper can't connect.
    pub fn give_up(&mut self, arrived: usize) {
        let rest = self.line.split_off(self.told() + arrived);
        self.end_session();
        self.line.push_back(Item::Down);
        for mut item in rest {
            item.answer(Some(Reply::Error));
            self.line.push_back(item);
        }
    }

    /// The helper connects.
    pub fn open(&mut self) {
        let Link::Away { last_epoch } = self.link else {
            return;
        };
        let epoch = last_epoch + 1;
        self.link = Link::Session {
            epoch,
            data_broken: false,
            tracker_broken: false,
        };
        let versions = self.versions;
        self.line.push_back(Item::Up { epoch, versions });
    }

    fn end_session(&mut self) {
        let Link::Session { epoch, .. } = self.link else {
            return;
        };
        self.link = Link::Away { last_epoch: epoch };
        self.tracked = [false; KEYS];
        self.late = std::mem::take(&mut self.tracker);
        let lost = Message::Lost { epoch };
        if self.tracking && !self.late.contains(&lost) {
            self.late.push_back(lost);
        }
    }

    /// How much of the line the helper has told for sure: all before the session, and its start.
    fn told(&self) -> usize {
        let asked = |item: &Item| matches!(item, Item::Asked { .. });
        let last = self.line.iter().rposition(|item| !asked(item));
        last.map_or(0, |last| last + 1)
    }
}

impl Item {
    pub fn is_unanswered(&self) -> bool {
        matches!(self, Self::Asked { reply: None, .. })
    }

    fn may_be_repeated(&self) -> bool {
        !matches!(
            self,
            Self::Asked {
                question: Question::Write,
                ..
            }
        )
    }

    fn answer(&mut self, answer: Option<Reply>) {
        if let Self::Asked { reply, .. } = self {
            *reply = answer;
        }
    }
}
