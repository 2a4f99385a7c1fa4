//! Commands that concern several nodes of a cluster: which ones, and how their replies are merged. Redis reports it
//! since 7.0, in its command tips (<https://redis.io/docs/latest/develop/reference/command-tips/>).

use super::is_word;
use crate::resp::request::Request;

/// How the replies of several nodes are merged. If one is an error, that is the reply.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Join {
    /// All are equal: any of them.
    Same,
    /// The sum of numbers.
    Sum,
    /// The least number.
    Least,
    /// The greatest number.
    Greatest,
    /// All elements of arrays.
    Elements,
    /// For each element of arrays, the least number.
    LeastEach,
    /// The first that is not null.
    Some,
}

/// To which nodes a request goes, if not to a single one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Spread {
    /// To all masters.
    Masters(Join),
    /// To the nodes of its keys, each with its own keys.
    Slots(Join),
    /// To one master after another, as the cursor says.
    Scan,
}

/// What the tips would be before Redis 7.0, and for commands whose policies Redis calls special, what cluster clients
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

/// It sets all of its keys or none, which is impossible across several nodes.
const WHOLE: &[u8] = b"msetnx";

impl Spread {
    /// From the tips of the command of that name, in lower case.
    pub(super) fn of_tips(
        name: &[u8],
        request_policy: &[u8],
        response_policy: &[u8],
    ) -> Option<Self> {
        // For RANDOMKEY, Redis only reports that all nodes are to be asked.
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
            // Without a policy, each reply has its place among the others, which is only known for MGET.
            b"multi_shard" if join != Join::Elements => Some(Self::Slots(join)),
            _ => None,
        }
    }

    /// For a request whose command has that original name, in lower case, and no tips.
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
