//! Detects events that Redis does not report, though they may change what clients read: that databases were swapped
//! (`SWAPDB`), that the slots of a cluster node have changed, and that a replica has lost its master and refuses reads
//! (`replica-serve-stale-data no`). Redis is asked about these as often as about the user's permissions. Less often, it
//! is asked whether its table of tracked keys is full, so that it reports keys which have not changed, and whether it
//! limits clients' output buffers (`client-output-buffer-limit`).
//!
//! A `SWAPDB`, whether executed for a client, a script or by replication, shows in the number of times that the command
//! was executed: in its latency histogram, which is short, or else in the statistics of all commands.

use std::time::Duration;

use redis::Cmd;

use super::Event;
use super::node::{Node, Role};
use super::setup::{self, Question};
use crate::clock::Time;
use crate::command::internal;
use crate::resp::integer;
use crate::resp::read::Reader;
use crate::status::{MissingRights, Right, TrackingTable};

/// How often Redis is asked whether it limits the output buffer of clients.
const LIMIT_AFTER: Duration = Duration::from_secs(5);

/// How often Redis is asked for its table of tracked keys.
const TABLE_AFTER: Duration = Duration::from_secs(5);

/// Where the number of swaps is read.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum Seen {
    /// In the latency histogram of `SWAPDB`, since Redis 7 and unless `latency-tracking` is off.
    #[default]
    InHistogram,
    /// In `INFO commandstats`.
    InStatistics,
    /// Nowhere.
    Nowhere,
}

/// What Redis has denied for lack of permissions, and is therefore not asked again.
#[derive(Clone, Copy, Debug, Default)]
struct Refused {
    ping: bool,
    slots: bool,
    table_max: bool,
    table_keys: bool,
    output_limit: bool,
}

/// The known state.
#[derive(Debug, Default)]
pub(super) struct Unreported {
    seen: Seen,
    /// How often databases were swapped, as Redis reports it, and where that was read.
    swaps: Option<(Seen, Vec<u8>)>,
    /// Redis is a node of a cluster.
    is_cluster: bool,
    /// The node's report of its slots.
    slots: Option<[Option<Vec<u8>>; 5]>,
    /// The replica refuses reads because it has lost its master.
    lost_master: bool,
    refused: Refused,
    /// When Redis was last asked for its table of tracked keys.
    table_asked: Option<Time>,
    table: TrackingTable,
    /// The state of the table that was last reported to the loop, if it is full.
    full_table: Option<TrackingTable>,
    /// When Redis was last asked whether it limits clients' output buffers.
    limit_asked: Option<Time>,
    /// The limit that was last reported to the loop.
    output_limit: usize,
    /// The missing permissions, as last reported to the loop.
    missing_rights: MissingRights,
}

impl Node {
    /// A new tracker is being set up. Earlier state is kept, as something may have happened in between.
    pub(super) fn begin_unreported(&mut self) {
        self.unreported.seen = Seen::default();
        self.forget_refusals();
    }

    /// Forgets what Redis has denied, as the user's permissions may have changed since.
    pub(super) fn forget_refusals(&mut self) {
        self.unreported.refused = Refused::default();
    }

    fn ask(&mut self, role: Role, question: Question, command: &Cmd, now: Time) {
        let encoded = command.get_packed_command();
        self.connection(role).link.ask(question, &encoded, now);
    }

    /// Asks about what is not reported.
    pub(super) fn ask_unreported(&mut self, role: Role, now: Time) {
        self.ask_swaps(role, now);
        self.ask_slots(role, now);
        self.ask_table(role, now);
        let asked = self.unreported.limit_asked;
        if asked.is_none_or(|asked| asked.after(LIMIT_AFTER) <= now) {
            self.ask_output_limit(role, now);
        }
        // A replica without its master refuses `PING` too.
        if !self.unreported.refused.ping {
            self.ask(role, Question::Ping, &redis::cmd(internal::PING), now);
        }
    }

    /// Asks for the slots, if Redis is a node of a cluster.
    pub(super) fn ask_slots(&mut self, role: Role, now: Time) {
        let is_wanted = self.unreported.is_cluster && !self.is_of_cluster();
        if is_wanted && !self.unreported.refused.slots {
            self.ask(role, Question::Slots, &setup::cluster("INFO"), now);
        }
    }

    fn ask_swaps(&mut self, role: Role, now: Time) {
        // A cluster has no databases to swap.
        if self.is_of_cluster() {
            return;
        }
        let seen = self.unreported.seen;
        let command = match seen {
            Seen::InHistogram => setup::histogram("swapdb"),
            Seen::InStatistics => setup::statistics(),
            Seen::Nowhere => return,
        };
        self.ask(role, Question::Swaps(seen), &command, now);
    }

    /// Handles Redis's answer about its latency histograms. If it keeps them, the one of `HELLO`, which the proxy has
    /// sent, is not empty.
    pub(super) fn histograms_answered(&mut self, role: Role, answer: &[u8], now: Time) {
        let is_empty = matches!(answer, [b'%' | b'*', b'0', ..] | [b'-', ..]);
        if is_empty {
            self.unreported.seen = Seen::InStatistics;
            self.ask_swaps(role, now);
        }
    }

    /// Handles Redis's answer about how often databases were swapped.
    pub(super) fn swaps_answered(&mut self, role: Role, seen: Seen, answer: &[u8], now: Time) {
        // While Redis is busy, it refuses everything.
        let is_temporary = setup::refusal(answer).is_some_and(|words| setup::is_temporary(&words));
        if seen != self.unreported.seen || is_temporary {
            return;
        }
        if answer.starts_with(b"-") {
            self.unreported.seen = match seen {
                Seen::InHistogram => Seen::InStatistics,
                Seen::InStatistics | Seen::Nowhere => Seen::Nowhere,
            };
            self.ask_swaps(role, now);
            if self.unreported.seen == Seen::Nowhere {
                self.note_right(Right::Swaps, true);
            }
            return;
        }
        let swaps = match seen {
            Seen::InHistogram => answer.to_vec(),
            Seen::InStatistics | Seen::Nowhere => {
                field(answer, "cmdstat_swapdb:calls=").unwrap_or_default()
            }
        };
        let before = self.unreported.swaps.replace((seen, swaps.clone()));
        if before.is_some_and(|(before_in, before)| before_in == seen && before != swaps) {
            self.events.push(Event::Swapped);
        }
        self.note_right(Right::Swaps, false);
    }

    /// Handles the answer to `INFO`.
    pub(super) fn info_answered(&mut self, answer: &[u8]) {
        let is_cluster = field(answer, "cluster_enabled:").is_some_and(|value| value == b"1");
        if is_cluster && !self.unreported.is_cluster && !self.is_of_cluster() {
            log::warn!(
                address:% = self.settings.address;
                "redis is a node of a cluster: keys of other nodes get MOVED, and clients that follow it bypass the proxy"
            );
        }
        self.unreported.is_cluster = is_cluster;
        self.backend.is_cluster = is_cluster;
        self.backend.info = answer.to_vec();
    }

    fn ask_table(&mut self, role: Role, now: Time) {
        let is_wanted = self.settings.tracking && !self.unreported.refused.table_keys;
        let asked = &mut self.unreported.table_asked;
        if is_wanted && asked.is_none_or(|asked| asked.after(TABLE_AFTER) <= now) {
            *asked = Some(now);
            if !self.unreported.refused.table_max {
                self.ask(role, Question::TableMax, &setup::table_max(), now);
            }
            self.ask(role, Question::TableKeys, &setup::stats(), now);
        }
    }

    /// Handles Redis's answer about how many keys it tracks at most. Without permission to ask, the default is assumed.
    pub(super) fn table_max_answered(&mut self, answer: &[u8]) {
        self.unreported.refused.table_max = is_refused(answer);
        let mut lines = answer.split(|byte| *byte == b'\n').rev().skip(1);
        let max = lines.next().and_then(|line| line.strip_suffix(b"\r"));
        let max = max
            .and_then(integer)
            .and_then(|max| u64::try_from(max).ok());
        self.unreported.table.max = max.unwrap_or(TrackingTable::DEFAULT_MAX);
    }

    /// Handles Redis's answer about how many keys it tracks.
    pub(super) fn table_keys_answered(&mut self, answer: &[u8]) {
        self.unreported.refused.table_keys = is_refused(answer);
        let keys = field(answer, "tracking_total_keys:");
        let keys = keys.as_deref().and_then(integer).unwrap_or_default();
        let keys = u64::try_from(keys).unwrap_or_default();
        self.unreported.table.keys = keys;
        // While the table is not full, the loop need not wake up for it.
        let table = Some(self.unreported.table).filter(TrackingTable::is_full);
        if self.unreported.full_table != table {
            self.unreported.full_table = table;
            self.events.push(Event::TrackingTable(table));
        }
    }

    /// Asks whether Redis limits the output buffer of clients.
    pub(super) fn ask_output_limit(&mut self, role: Role, now: Time) {
        self.unreported.limit_asked = Some(now);
        if !self.unreported.refused.output_limit {
            let command = setup::output_limit();
            self.ask(role, Question::OutputLimit, &command, now);
        }
    }

    /// Handles Redis's answer about how much it buffers for a client, if it gave one.
    pub(super) fn output_limit_answered(&mut self, answer: &[u8]) {
        self.unreported.refused.output_limit = is_refused(answer);
        let limit = output_limit(answer).unwrap_or_default();
        let before = std::mem::replace(&mut self.unreported.output_limit, limit);
        if before != limit {
            self.events.push(Event::OutputLimit(limit));
            match limit {
                0 => log::info!("redis no longer limits the output buffer of clients"),
                _ => log::info!(
                    limit;
                    "redis limits the output buffer of clients, so requests with large replies use dedicated connections"
                ),
            }
        }
    }

    /// Handles Redis's answer about the node's slots, which is a short summary.
    pub(super) fn slots_answered(&mut self, answer: &[u8]) {
        self.unreported.refused.slots = is_refused(answer);
        self.note_right(Right::Slots, is_refused(answer));
        let names = [
            "state",
            "slots_assigned",
            "slots_ok",
            "current_epoch",
            "my_epoch",
        ];
        let slots = names.map(|name| field(answer, &format!("cluster_{name}:")));
        let before = self.unreported.slots.replace(slots);
        if before.is_some() && before != self.unreported.slots {
            self.events.push(Event::SlotsMoved);
        }
    }

    /// Handles the answer to a `PING`. If Redis has lost its master and refuses reads, it refuses `PING` too.
    pub(super) fn ping_answered(&mut self, answer: &[u8]) {
        self.unreported.refused.ping = is_refused(answer);
        self.note_right(Right::Ping, is_refused(answer));
        self.note_master(lacks_master(answer));
    }

    /// Notes that Redis refuses reads because it has lost its master, or no longer does. Only `PING` shows that it no
    /// longer does.
    pub(super) fn note_master(&mut self, is_lost: bool) {
        let is_lost = is_lost && !self.unreported.refused.ping;
        if self.unreported.lost_master != is_lost {
            self.unreported.lost_master = is_lost;
            self.events.push(Event::MasterLost(is_lost));
            match is_lost {
                true => log::warn!(
                    "redis has lost its master and refuses reads: nothing is served from the cache"
                ),
                false => log::info!("redis serves reads again"),
            }
        }
    }

    fn note_right(&mut self, right: Right, is_missing: bool) {
        if self.unreported.missing_rights.set(right, is_missing) {
            self.events.push(Event::Right { right, is_missing });
        }
    }
}

/// Whether a reply says that the replica has lost its master, and is configured to serve nothing stale.
pub(super) fn lacks_master(encoded: &[u8]) -> bool {
    encoded.starts_with(b"-MASTERDOWN ")
}

/// How many bytes `client-output-buffer-limit` allows for a normal client, by a reply to `CONFIG GET`; 0 for no limit.
/// The value starts with `normal`, the hard limit and the soft limit.
fn output_limit(answer: &[u8]) -> Option<usize> {
    let mut lines = answer.split(|byte| *byte == b'\n').rev().skip(1);
    let mut words = lines.next()?.split(|byte| matches!(byte, b' ' | b'\r'));
    words.find(|word| *word == b"normal")?;
    let mut limit = || usize::try_from(integer(words.next()?)?).ok();
    let limits = [limit()?, limit()?];
    let lowest = limits.into_iter().filter(|limit| *limit > 0).min();
    Some(lowest.unwrap_or_default())
}

/// Whether a reply denies a question for lack of permissions, so that it need not be asked again.
fn is_refused(answer: &[u8]) -> bool {
    [&b"-NOPERM "[..], b"-ERR unknown command"]
        .iter()
        .any(|start| answer.starts_with(start))
}

/// The value in a reply to `INFO`, or a similar one, after `start` at the beginning of a line.
fn field(answer: &[u8], start: &str) -> Option<Vec<u8>> {
    let text = Reader::new(answer).verbatim()?;
    let mut lines = text.split(|byte| *byte == b'\n');
    let rest = lines.find_map(|line| line.strip_prefix(start.as_bytes()))?;
    let is_end = |byte: &u8| matches!(byte, b',' | b'\r');
    Some(rest.split(is_end).next().unwrap_or_default().to_vec())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_limit_of_what_clients_are_owed_is_read_from_its_words() {
        let answer =
            |words: &str| format!("*2\r\n$26\r\nclient-output-buffer-limit\r\n$1\r\n{words}\r\n");
        let limit = |words: &str| output_limit(answer(words).as_bytes());
        let rest = "slave 268435456 67108864 60 pubsub 33554432 8388608 60";
        for (words, expected) in [
            (format!("normal 0 0 0 {rest}"), Some(0)),
            (format!("normal 1048576 0 0 {rest}"), Some(1048576)),
            (format!("normal 0 1048576 60 {rest}"), Some(1048576)),
            (format!("normal 1048576 1024 60 {rest}"), Some(1024)),
            (format!("{rest} normal 0 0 0"), Some(0)),
            (rest.to_owned(), None),
            ("normal 0".to_owned(), None),
            ("normal -1 x 0".to_owned(), None),
        ] {
            assert_eq!(limit(&words), expected, "{words}");
        }
        for answer in ["-NOPERM no\r\n", "*0\r\n", "%0\r\n", ""] {
            assert_eq!(output_limit(answer.as_bytes()), None, "{answer}");
        }
    }
}
