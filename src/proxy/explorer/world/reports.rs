//! What Redis sends reaches the core: replies, reports of changes and messages.

use super::*;

impl World {
    /// The helper reports an event.
    pub(super) fn hear(&mut self, news: News) {
        let event = match news {
            News::Up => {
                self.heard_down = false;
                Event::Up(Backend::default())
            }
            News::Down => {
                self.heard_down = true;
                self.suspended = false;
                let error = super::super::redis::Reply::Error.encode(Protocol::Resp2);
                let refused = true;
                Event::Down { error, refused }
            }
            News::Tracking(report) => {
                self.suspended = false;
                Event::Tracking(match report {
                    Report::On => {
                        self.know_all(self.redis.versions);
                        Tracking::On
                    }
                    Report::Lost => Tracking::Lost,
                    Report::Off => Tracking::Off { refused: None },
                })
            }
            News::Reply {
                link,
                key,
                reply,
                question,
            } => {
                if question == Question::TimeToLive {
                    self.fetched[key] = self.now;
                }
                let mut replies = Replies::default();
                let link = self.link(link);
                replies.push(&reply.encode(link.protocol));
                Event::Replies { link, replies }
            }
            News::Late { link } => {
                let link = self.link(link);
                let error = super::super::redis::Reply::Error.encode(link.protocol);
                let count = 1;
                Event::Late { link, count, error }
            }
        };
        let now = self.time();
        self.proxy.upstream(&event, now);
    }

    pub(super) fn hear_tracker(&mut self) {
        let mut invalidated = Invalidated::default();
        match self.redis.tracker.messages.pop_front() {
            None => return,
            Some(Message::Changed { key, version }) => {
                self.know(key, version);
                invalidated.keys.push(self.key(key).name.into());
            }
            Some(Message::Flushed { versions }) => {
                self.know_all(versions);
                invalidated.all = true;
            }
            Some(Message::Barrier { number }) => {
                let now = self.time();
                return self.proxy.upstream(&Event::Barrier(number), now);
            }
        }
        let now = self.time();
        self.proxy.upstream(&Event::Invalidated(invalidated), now);
    }

    /// Later requests must not get an older version of a key.
    pub(super) fn know(&mut self, key: Key, version: Version) {
        for known in [&mut self.known].into_iter().chain(&mut self.known_answers) {
            known[key] = known[key].max(version);
        }
    }

    pub(super) fn know_all(&mut self, versions: [Version; KEYS]) {
        for (key, version) in versions.into_iter().enumerate() {
            self.know(key, version);
        }
    }

    /// Redis executes the bytes on the writer's dedicated connection: its set-up and a transaction.
    pub(super) fn execute_dedicated(&mut self) {
        let asked =
            String::from_utf8_lossy(&std::mem::take(&mut self.dedicated_asked)).into_owned();
        let mut before = Vec::new();
        for word in asked.split("\r\n") {
            match word {
                internal::HELLO => before.extend(b"%0\r\n"),
                "ID" => before.extend(b":9\r\n"),
                "WATCH b" | "MULTI" => before.extend(b"+OK\r\n"),
                "INCR a" => before.extend(b"+QUEUED\r\n"),
                "EXEC" => {
                    let version = self.redis.change(0, true);
                    self.dedicated_line.push_back(std::mem::take(&mut before));
                    let reply = format!("*1\r\n:{version}\r\n");
                    self.dedicated_line.push_back(reply.into_bytes());
                }
                _ => {}
            }
        }
    }
}
