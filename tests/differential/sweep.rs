//! Every command of the list, one by one: what it writes is in the cache before, and is read after.
//!
//! The random runs come upon everything sooner or later; this comes upon every way in which a command
//! can write a string, at once.

use crate::commands::GROUPS;
use crate::compare::Compare;
use crate::run::Run;
use crate::session::Batch;
use crate::stateful::BLOCKING;
use crate::words;

/// What is there before each command, so that it finds something of its type.
const BEFORE: &[&str] = &[
    "SELECT 0",
    "MSET hot 7 warm text str1 <value> str2 <number> str3 more str4 0",
    "DEL none1 none2 hll1 hll2 list1 list2 list3 set1 set2 set3 zset1 zset2 zset3 geo1 geo2",
    "PFADD hll1 a b <value>",
    "PFADD hll2 a <value>",
    "RPUSH list1 3 1 2",
    "RPUSH list2 5 4",
    "SADD set1 1 2 3",
    "SADD set2 2 3 a",
    "ZADD zset1 1 a 2.5 7",
    "ZADD zset2 inf a",
    "GEOADD geo1 13.4 38.1 Palermo 15.1 37.5 Catania",
    "FUNCTION LOAD REPLACE <library>",
];

/// How a command is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum How {
    /// Over the connection that all share.
    Shared,
    /// By a client with a dedicated connection.
    Own,
    /// In a transaction.
    Transaction,
}

/// Who reads through the cache, who shares, and who does not.
const READER: usize = 0;
const SHARING: usize = 1;
const OWNING: usize = 2;

impl Run<'_> {
    /// Tries every command of the list that often, in every way.
    pub fn sweep(&mut self, times: usize, version: &str) {
        let greeting = [b"HELLO".to_vec(), version.into()];
        for client in [SHARING, OWNING] {
            self.exchange(client, &Batch::of(&greeting, Compare::ButId));
        }
        let watch = [b"WATCH".to_vec(), b"nothing".to_vec()];
        self.exchange(OWNING, &Batch::of(&watch, Compare::Exact));

        for group in GROUPS {
            for line in group.lines {
                for _ in 0..times {
                    self.try_line(line, group.compare, How::Shared);
                    // Within a reply, any order is not looked for.
                    let how = match group.compare {
                        Compare::Exact => How::Transaction,
                        _ => How::Own,
                    };
                    self.try_line(line, group.compare, how);
                }
            }
        }
        for line in BLOCKING {
            self.try_line(line, Compare::Exact, How::Own);
        }
    }

    fn try_line(&mut self, line: &str, compare: Compare, how: How) {
        let read = [vec![b"MGET".to_vec()], words::keys_of_strings("")].concat();
        let mut before = Batch::default();
        for line in BEFORE {
            let line = self.words(None).line(line);
            before = before.and(&line, Compare::Exact);
        }
        self.exchange(READER, &before.and(&read, Compare::Exact));

        let focus = self.random.choice([&b"hot"[..], b"str1", b"hll1"]);
        let line = self.words(focus.map(<[u8]>::to_vec)).line(line);
        let word = |word: &str| [word.as_bytes().to_vec()];
        let batch = match how {
            How::Shared | How::Own => Batch::of(&line, compare),
            How::Transaction => Batch::of(&word("MULTI"), Compare::Exact)
                .and(&line, Compare::Exact)
                .and(&word("EXEC"), Compare::Exact),
        };
        let client = match how {
            How::Shared => SHARING,
            How::Own | How::Transaction => OWNING,
        };
        self.exchange(client, &batch);
        self.exchange(READER, &Batch::of(&read, Compare::Exact));
    }
}
