//! A Redis of two keys, possibly of the same name in two databases, whose values are counters; the connections to it as
//! the helper thread keeps them; and the helper's reports.

use std::collections::VecDeque;

use super::KEYS;
use super::action::LinkId;
use crate::resp::Protocol;

/// The number of a key.
pub type Key = usize;

/// How often a key has changed: the value that it then has, if it is there.
pub type Version = u8;

/// How many links there are.
const LINKS: usize = 2;

/// The keys, and what is to be reported about them.
#[derive(Hash)]
pub struct Redis {
    pub versions: [Version; KEYS],
    /// In which versions each key existed, a bit each.
    there: [u16; KEYS],
    /// When the current version of each expires, in milliseconds, if it does. Redis does not report it.
    pub expires: [Option<u64>; KEYS],
    /// The keys that were read on each link and whose changes are to be reported.
    tracked: [[bool; KEYS]; LINKS],
    /// Whether changes of what is read on a link are reported to the tracker, as Redis has it and as the helper knows
    /// it.
    redirected: [bool; LINKS],
    known_redirected: [bool; LINKS],
    /// Whether to report changes.
    tracking: bool,
    /// The keys have one name, in two databases.
    databases: bool,
    pub links: [Link; LINKS],
    pub tracker: Tracker,
    /// The helper's latest report about tracking.
    reported: Option<Report>,
    /// Redis is unreachable, or has not been reached yet.
    pub away: bool,
}

/// A link, and its connection if it has one.
#[derive(Default, Hash)]
pub struct Link {
    /// The helper has a connection.
    pub open: bool,
    /// It is broken.
    pub broken: bool,
    /// Requests that are not answered, or whose reply has not reached the core.
    pub line: VecDeque<Item>,
    /// How many at the front are late.
    late: usize,
}

/// The tracker.
#[derive(Default, Hash)]
pub struct Tracker {
    pub open: bool,
    pub broken: bool,
    /// Messages on their way to the core.
    pub messages: VecDeque<Message>,
}

/// A place in the line of a link.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Item {
    /// A request, and the reply if there is one.
    Asked {
        question: Question,
        key: Key,
        reply: Option<Reply>,
    },
    /// The redirection of reports to the tracker, and whether Redis agreed.
    Redirect { agreed: Option<bool> },
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Question {
    Get,
    GetRange,
    TimeToLive,
    Write,
    /// Copies the key to that of the other database.
    Copy,
    /// The parts of a transaction.
    Multi,
    Queue,
    Exec,
}

impl Question {
    /// Whether asking twice is as good as once.
    pub fn may_be_repeated(self) -> bool {
        matches!(self, Self::Get | Self::GetRange | Self::TimeToLive)
    }

    /// Whether it belongs on the same connection as the previous one.
    fn is_joined(self) -> bool {
        matches!(self, Self::Queue | Self::Exec)
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Value(Option<Version>),
    /// The same, where a missing value can't be distinguished from an empty one.
    Range(Option<Version>),
    Number(i64),
    Word(&'static str),
    /// The reply in EXEC to a queued command.
    Executed(Version),
    Error,
}

/// A message of the tracker.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Message {
    Changed {
        key: Key,
        version: Version,
    },
    Flushed {
        versions: [Version; KEYS],
    },
    /// The reply to the `PING` of a barrier with this number.
    Barrier {
        number: u64,
    },
}

/// The helper's report about tracking.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Report {
    On,
    Lost,
    Off,
}

/// The helper's report to the core.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum News {
    Up,
    Down,
    Tracking(Report),
    Reply {
        link: LinkId,
        question: Question,
        key: Key,
        reply: Reply,
    },
    Late {
        link: LinkId,
    },
}

impl Reply {
    /// As Redis encodes it.
    pub fn encode(self, protocol: Protocol) -> Vec<u8> {
        match self {
            Self::Value(Some(version)) | Self::Range(Some(version)) => {
                format!("$1\r\n{version}\r\n").into_bytes()
            }
            Self::Value(None) => protocol.null().to_vec(),
            Self::Range(None) => b"$0\r\n\r\n".to_vec(),
            Self::Number(number) => format!(":{number}\r\n").into_bytes(),
            Self::Word(word) => format!("+{word}\r\n").into_bytes(),
            Self::Executed(version) => format!("*1\r\n:{version}\r\n").into_bytes(),
            Self::Error => b"-ERR Redis can't be reached\r\n".to_vec(),
        }
    }
}

impl Redis {
    /// A Redis with the first key and without the others, not connected yet.
    pub fn new(tracking: bool, databases: bool) -> Self {
        let mut redis = Self {
            versions: [0; KEYS],
            there: [0; KEYS],
            expires: [None; KEYS],
            tracked: [[false; KEYS]; LINKS],
            redirected: [false; LINKS],
            known_redirected: [false; LINKS],
            tracking,
            databases,
            links: Default::default(),
            tracker: Tracker::default(),
            reported: None,
            away: true,
        };
        redis.there[0] = 1;
        redis
    }

    /// Whether the key existed in some version; none if there has been no such version.
    pub fn was_there(&self, key: Key, version: Version) -> Option<bool> {
        (version <= self.versions[key]).then_some(self.there[key] >> version & 1 == 1)
    }

    /// What is stored, expired or not.
    pub fn stored(&self, key: Key) -> Option<Version> {
        let version = self.versions[key];
        (self.was_there(key, version) == Some(true)).then_some(version)
    }

    /// A key gets another value, or is deleted, and that is reported.
    pub fn change(&mut self, key: Key, there: bool) -> Version {
        let version = self.versions[key] + 1;
        self.versions[key] = version;
        self.there[key] |= u16::from(there) << version;
        self.expires[key] = None;
        for link in 0..LINKS {
            // Redis tracks what was read by name alone.
            let tracked = match self.databases {
                true => std::mem::take(&mut self.tracked[link]).contains(&true),
                false => std::mem::take(&mut self.tracked[link][key]),
            };
            if tracked && self.redirected[link] && !self.tracker.broken {
                self.tracker
                    .messages
                    .push_back(Message::Changed { key, version });
            }
        }
        version
    }

    /// The helper requests a barrier. Redis answers at once: any later change is reported after it.
    pub fn ask_for_barrier(&mut self, number: u64) {
        if self.tracker.open && !self.tracker.broken {
            self.tracker.messages.push_back(Message::Barrier { number });
        }
    }

    /// Whether the next message of the tracker may reach the core. The end of a link that broke before a barrier was
    /// requested is a round trip older than its reply, and noticed before.
    pub fn tracker_may_be_heard(&self) -> bool {
        match self.tracker.messages.front() {
            None => false,
            Some(Message::Barrier { .. }) => {
                !self.links.iter().any(|link| link.open && link.broken)
            }
            Some(_) => true,
        }
    }

    /// All keys are deleted. Redis reports that, whatever was read.
    pub fn flush(&mut self) {
        self.tracked = [[false; KEYS]; LINKS];
        for key in 0..KEYS {
            self.change(key, false);
        }
        if self.redirected.contains(&true) && !self.tracker.broken {
            let versions = self.versions;
            self.tracker
                .messages
                .push_back(Message::Flushed { versions });
        }
    }

    /// Whether Redis gets the requests of a link.
    pub fn takes_requests(&self, link: LinkId) -> bool {
        let link = &self.links[link];
        link.open && !link.broken && link.line.iter().any(Item::is_unanswered)
    }

    /// The helper gets a request.
    pub fn ask(&mut self, link: LinkId, question: Question, key: Key) {
        self.links[link].line.push_back(Item::Asked {
            question,
            key,
            reply: None,
        });
    }

    /// Redis executes the next request of a link.
    pub fn execute(&mut self, link: LinkId, now: u64) {
        let line = &self.links[link].line;
        let Some(next) = line.iter().position(Item::is_unanswered) else {
            return;
        };
        let done = match self.links[link].line[next] {
            Item::Redirect { .. } => {
                self.redirected[link] = !self.tracker.broken;
                Item::Redirect {
                    agreed: Some(!self.tracker.broken),
                }
            }
            Item::Asked { question, key, .. } => Item::Asked {
                question,
                key,
                reply: Some(self.answer(link, question, key, now)),
            },
        };
        self.links[link].line[next] = done;
    }

    fn answer(&mut self, link: LinkId, question: Question, key: Key, now: u64) -> Reply {
        if self.expires[key].is_some_and(|at| at <= now) {
            // Any access to an expired key removes it.
            self.change(key, false);
        }
        match question {
            Question::Get => {
                self.tracked[link][key] = self.tracking;
                Reply::Value(self.stored(key))
            }
            Question::GetRange => {
                self.tracked[link][key] = self.tracking;
                Reply::Range(self.stored(key))
            }
            Question::TimeToLive => Reply::Number(match (self.stored(key), self.expires[key]) {
                (None, _) => -2,
                (Some(_), None) => -1,
                (Some(_), Some(at)) => (at - now) as i64,
            }),
            Question::Write => Reply::Number(self.change(key, true).into()),
            Question::Copy => Reply::Number(self.change(1 - key, true).into()),
            Question::Multi => Reply::Word("OK"),
            Question::Queue => Reply::Word("QUEUED"),
            Question::Exec => Reply::Executed(self.change(key, true)),
        }
    }

    /// The next reply of a link reaches the helper.
    pub fn hear(&mut self, link: LinkId, news: &mut Vec<News>) {
        let Some(item) = self.links[link].line.pop_front() else {
            return;
        };
        match item {
            Item::Redirect { agreed } => self.known_redirected[link] = agreed == Some(true),
            Item::Asked {
                question,
                key,
                reply,
            } => {
                self.links[link].late = self.links[link].late.saturating_sub(1);
                news.push(News::Reply {
                    link,
                    question,
                    key,
                    reply: reply.unwrap_or(Reply::Error),
                });
            }
        }
        self.report_on(news);
    }

    /// Whether the oldest request of a link that is not late may become so.
    pub fn may_be_late(&self, link: LinkId) -> bool {
        self.links[link].late < self.links[link].asked()
    }

    pub fn be_late(&mut self, link: LinkId, news: &mut Vec<News>) {
        self.links[link].late += 1;
        news.push(News::Late { link });
    }

    /// The connection of a link breaks, and Redis no longer knows what was read on it.
    pub fn break_link(&mut self, link: LinkId) {
        self.links[link].broken = true;
        self.redirected[link] = false;
        self.tracked[link] = [false; KEYS];
    }

    /// The connection of the tracker breaks; the reports that are on it arrive, or don't.
    pub fn break_tracker(&mut self, arrive: bool) {
        self.tracker.broken = true;
        self.redirected = [false; LINKS];
        if !arrive {
            self.tracker.messages.clear();
        }
    }

    /// How many of the replies on a link may arrive before its end.
    pub fn on_the_wire(&self, link: LinkId) -> usize {
        let line = self.links[link].line.iter();
        line.take_while(|item| !item.is_unanswered()).count()
    }

    /// Whether a write of a link waits for Redis.
    pub fn has_unanswered_write(&self, link: LinkId) -> bool {
        let mut line = self.links[link].line.iter();
        line.any(|item| item.is_unanswered() && !item.may_be_repeated())
    }

    /// The helper notices that a link is broken.
    pub fn notice(&mut self, link: LinkId, arrived: usize, were_sent: bool, news: &mut Vec<News>) {
        for _ in 0..arrived {
            self.hear(link, news);
        }
        self.lose_tracking(news);
        self.known_redirected[link] = false;
        let link = &mut self.links[link];
        link.open = false;
        link.line.retain(|item| matches!(item, Item::Asked { .. }));
        // The requests before the first are answered.
        let mut before_was_lost = true;
        for (index, item) in link.line.iter_mut().enumerate() {
            let lost = were_sent || !item.is_unanswered();
            let fails = index < link.late
                || !item.may_be_repeated() && lost
                || item.is_joined() && before_was_lost;
            item.answer(fails.then_some(Reply::Error));
            before_was_lost = fails || lost;
        }
    }

    /// The helper notices that the tracker is broken.
    pub fn notice_tracker(&mut self, news: &mut Vec<News>) {
        self.lose_tracking(news);
        self.tracker.open = false;
        self.known_redirected = [false; LINKS];
    }

    /// A link is reconnected, and set up.
    pub fn reopen(&mut self, link: LinkId, news: &mut Vec<News>) {
        self.links[link].open = true;
        self.links[link].broken = false;
        if self.tracking && self.tracker.open {
            self.redirected[link] = !self.tracker.broken;
            self.known_redirected[link] = !self.tracker.broken;
        }
        self.report_on(news);
    }

    /// The tracker is reconnected: the links are redirected to it.
    pub fn reopen_tracker(&mut self) {
        self.tracker.open = true;
        self.tracker.broken = false;
        for link in self.links.iter_mut().filter(|link| link.open) {
            link.line.push_back(Item::Redirect { agreed: None });
        }
    }

    /// The helper can't connect: everything fails.
    pub fn give_up(&mut self, news: &mut Vec<News>) {
        self.lose_tracking(news);
        for link in 0..LINKS {
            for item in std::mem::take(&mut self.links[link].line) {
                if let Item::Asked { question, key, .. } = item {
                    let reply = Reply::Error;
                    news.push(News::Reply {
                        link,
                        question,
                        key,
                        reply,
                    });
                }
            }
            self.links[link] = Link::default();
        }
        self.tracker = Tracker::default();
        self.tracked = [[false; KEYS]; LINKS];
        self.redirected = [false; LINKS];
        self.known_redirected = [false; LINKS];
        self.away = true;
        news.push(News::Down);
    }

    /// The helper connects.
    pub fn open(&mut self, news: &mut Vec<News>) {
        self.away = false;
        self.tracker.open = self.tracking;
        news.push(News::Up);
        if !self.tracking && self.reported.is_none() {
            self.report(Report::Off, news);
        }
        for link in 0..LINKS {
            self.reopen(link, news);
        }
    }

    fn report_on(&mut self, news: &mut Vec<News>) {
        let all_open = self.links.iter().all(|link| link.open);
        if all_open && self.known_redirected == [true; LINKS] && self.reported != Some(Report::On) {
            self.report(Report::On, news);
        }
    }

    fn lose_tracking(&mut self, news: &mut Vec<News>) {
        if self.reported == Some(Report::On) {
            self.report(Report::Lost, news);
        }
    }

    fn report(&mut self, report: Report, news: &mut Vec<News>) {
        self.reported = Some(report);
        news.push(News::Tracking(report));
    }

    /// Whether changes are being reported.
    pub fn reports(&self) -> bool {
        self.reported == Some(Report::On)
    }

    /// Whether no connection is missing or broken.
    pub fn is_whole(&self) -> bool {
        let links = self.links.iter().all(|link| link.open && !link.broken);
        links && (!self.tracking || self.tracker.open && !self.tracker.broken)
    }
}

impl Link {
    /// How many requests of clients are in flight.
    fn asked(&self) -> usize {
        let asked = |item: &&Item| matches!(item, Item::Asked { .. });
        self.line.iter().filter(asked).count()
    }
}

impl Item {
    pub fn is_unanswered(&self) -> bool {
        matches!(
            self,
            Self::Asked { reply: None, .. } | Self::Redirect { agreed: None }
        )
    }

    fn may_be_repeated(&self) -> bool {
        match self {
            Self::Asked { question, .. } => question.may_be_repeated(),
            Self::Redirect { .. } => true,
        }
    }

    fn is_joined(&self) -> bool {
        matches!(self, Self::Asked { question, .. } if question.is_joined())
    }

    fn answer(&mut self, answer: Option<Reply>) {
        if let Self::Asked { reply, .. } = self {
            *reply = answer;
        }
    }
}
