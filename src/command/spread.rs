//! Commands that concern several nodes of a cluster: which nodes, and how their replies are merged. Since 7.0, Redis
//! reports this in its command tips (<https://redis.io/docs/latest/develop/reference/command-tips/>).

use super::is_word;
use crate::resp::request::Request;

/// How the replies of several nodes are merged. If one of them is an error, it is the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// Any of them, as all are equal.
    Same,
    /// The sum of numbers.
    Sum,
    /// The smallest number.
    Least,
    /// The greatest number.
    Greatest,
    /// All elements of the arrays.
    Elements,
    /// For each position in the arrays, the smallest number.
    LeastEach,
    /// The first reply that is not null.
    Some,
}

/// Which nodes a request goes to, if not to a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// All masters.
    Masters(Join),
    /// The nodes of its keys, each of which gets its own keys.
    Slots(Join),
    /// One master after another, as the cursor says.
    Scan,
}

/// What the tips would be before Redis 7.0; and, for commands whose policies Redis calls special, what cluster clients
/// do.
const KNOWN: &[(&str, Spread)] = &[
    ("acl|deluser", Spread::Masters(Join::Least)),
    ("acl|load", Spread::Masters(Join::Same)),
    ("acl|save", Spread::Masters(Join::Same)),
    ("acl|setuser", Spread::Masters(Join::Same)),
    ("bgrewriteaof", Spread::Masters(Join::Same)),
    ("bgsave", Spread::Masters(Join::Same)),
    ("config|resetstat", Spread::Masters(Join::Same)),
    ("config|rewrite", Spread::Masters(Join::Same)),
    ("config|set", Spread::Masters(Join::Same)),
    ("dbsize", Spread::Masters(Join::Sum)),
    ("del", Spread::Slots(Join::Sum)),
    ("exists", Spread::Slots(Join::Sum)),
    ("flushall", Spread::Masters(Join::Same)),
    ("flushdb", Spread::Masters(Join::Same)),
    ("function|delete", Spread::Masters(Join::Same)),
    ("function|flush", Spread::Masters(Join::Same)),
    ("function|load", Spread::Masters(Join::Same)),
    ("function|restore", Spread::Masters(Join::Same)),
    ("keys", Spread::Masters(Join::Elements)),
    ("latency|reset", Spread::Masters(Join::Sum)),
    ("mset", Spread::Slots(Join::Same)),
    ("pubsub|shardchannels", Spread::Masters(Join::Elements)),
    ("randomkey", Spread::Masters(Join::Some)),
    ("save", Spread::Masters(Join::Same)),
    ("scan", Spread::Scan),
    ("script|exists", Spread::Masters(Join::LeastEach)),
    ("script|flush", Spread::Masters(Join::Same)),
    ("script|load", Spread::Masters(Join::Same)),
    ("slowlog|reset", Spread::Masters(Join::Same)),
    ("touch", Spread::Slots(Join::Sum)),
    ("unlink", Spread::Slots(Join::Sum)),
    ("wait", Spread::Masters(Join::Least)),
];

/// This command sets all of its keys or none, which is impossible across several nodes.
const WHOLE: &[u8] = b"msetnx";

impl Spread {
    /// The spread of the command `name` (in lower case), from its tips.
    pub(super) fn of_tips(
        name: &[u8],
        request_policy: &[u8],
        response_policy: &[u8],
    ) -> Option<Self> {
        // For RANDOMKEY, Redis reports only that all nodes are to be asked.
        if name == WHOLE || name == b"randomkey" {
            return None;
        }
        let join = match response_policy {
            b"all_succeeded" | b"one_succeeded" => Join::Same,
            b"agg_sum" => Join::Sum,
            b"agg_min" => Join::Least,
            b"agg_max" => Join::Greatest,
            b"agg_logical_and" => Join::LeastEach,
            b"" => Join::Elements,
            _ => return None,
        };
        match request_policy {
            b"all_shards" | b"all_nodes" => Some(Self::Masters(join)),
            // Without a policy, each reply has its place among the others, which is known only for MGET.
            b"multi_shard" if join != Join::Elements => Some(Self::Slots(join)),
            _ => None,
        }
    }

    /// The spread of a request whose command, in lower case and by its original name, has no tips.
    #[must_use]
    pub fn known(name: &[u8], request: &Request<'_>) -> Option<Self> {
        let is_this = |known: &str| match known.split_once('|') {
            None => known.as_bytes() == name,
            Some((command, subcommand)) => {
                command.as_bytes() == name
                    && request.len() > 1
                    && is_word(request.argument(1), subcommand.as_bytes())
            }
        };
        let mut known = KNOWN.iter().filter(|(known, _)| is_this(known));
        known.next().map(|(_, spread)| *spread)
    }
}
