//! Redis 7.0's commands that have no row of our own, for a Redis that does not describe its commands (because the user
//! may not run `COMMAND`, for example). Without them, none of these commands could go over the shared connection.

use super::keys::{ALL, FIRST, FIRST_TWO};
use super::{Cached, Keys, Row, UNKNOWN, Way, Writes};

/// These change nothing that the cache could hold, but some do more than read.
const OTHERS: &str = "acl bgrewriteaof bgsave client command config function lastsave latency module pubsub \
    publish role save script slowlog spublish time";

/// These have subcommands, followed by a key.
const OF_SECOND: &str = "memory object xinfo";
const WRITE_SECOND: &str = "xgroup";

/// These only read, and have no keys, or keys at positions that we know.
const READS: &str = "dbsize eval_ro evalsha_ro fcall_ro keys lolwut randomkey scan sintercard sort_ro zdiff zinter \
    zintercard zunion";

/// These only read the key that is their first argument.
const READ_ONE: &str = "dump expiretime hrandfield hscan pexpiretime pttl srandmember sscan ttl xpending zrandmember \
    zscan";

/// These only read their first two arguments, or all.
const READ_TWO: &str = "lcs";
const READ_EACH: &str = "touch";

/// These only read the key that is their first argument, and their replies depend on it alone.
const READ_FIRST: &str = "bitcount bitfield_ro bitpos geodist geohash geopos georadius_ro georadiusbymember_ro \
    geosearch getbit getrange hexists hget hgetall hkeys hlen hmget hstrlen hvals lindex llen lpos lrange scard \
    sismember smembers smismember strlen substr type xlen xrange xrevrange zcard zcount zlexcount zmscore \
    zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore";

/// They only read the key that is their only argument; with more arguments, they read more keys.
const READ_ALL: &str = "exists sdiff sinter sunion";

/// These write the key that is their first argument.
const WRITE_FIRST: &str = "append bitfield decr decrby expire expireat geoadd getdel getex getset hdel hincrby \
    hincrbyfloat hmset hset hsetnx incr incrby incrbyfloat linsert lpop lpush lpushx lrem lset ltrim move \
    persist pexpire pexpireat pfadd psetex restore rpop rpush rpushx sadd set setbit setex setnx setrange spop \
    srem xack xadd xautoclaim xclaim xdel xsetid xtrim zadd zincrby zpopmax zpopmin zrem zremrangebylex \
    zremrangebyrank zremrangebyscore";

/// These write their first two arguments.
const WRITE_TWO: &str = "copy geosearchstore lmove rename renamenx rpoplpush smove zrangestore";

/// These write all of their arguments.
const WRITE_ALL: &str = "del pfmerge sdiffstore sinterstore sunionstore unlink";

/// These write every other argument.
const WRITE_PAIRS: &str = "mset msetnx";

/// These write all arguments from the second on.
const WRITE_FROM_SECOND: &str = "bitop";

/// These may write any key.
const WRITE_ANYTHING: &str = "flushall flushdb migrate swapdb";

/// The rows with their names, in lower case.
pub(super) fn rows() -> impl Iterator<Item = (&'static str, Row)> {
    let range = |first, last, step| Writes::Range { first, last, step };
    let answer = |alone| Way::Cached(Cached::Answer { key: 1, alone });
    let second = Keys::Range {
        first: 2,
        last: 2,
        step: 1,
    };
    let other = |keys| Row {
        way: Way::Forward,
        writes: Writes::Nothing,
        keys,
        may_write: false,
        ..UNKNOWN
    };
    let read = |way, keys| Row {
        way,
        reads_only: true,
        ..other(keys)
    };
    let write = |writes| Row {
        writes,
        may_write: true,
        keys: match writes {
            Writes::Range { first, last, step } => Keys::Range { first, last, step },
            _ => Keys::Unknown,
        },
        ..other(Keys::None)
    };
    let writes_second = Row {
        may_write: true,
        ..other(second)
    };
    [
        (OTHERS, other(Keys::None)),
        (OF_SECOND, other(second)),
        (WRITE_SECOND, writes_second),
        (READS, read(Way::Forward, Keys::None)),
        (READ_ONE, read(Way::Forward, FIRST)),
        (READ_TWO, read(Way::Forward, FIRST_TWO)),
        (READ_EACH, read(Way::Forward, ALL)),
        (READ_FIRST, read(answer(false), FIRST)),
        (READ_ALL, read(answer(true), ALL)),
        (WRITE_FIRST, write(range(1, 1, 1))),
        (WRITE_TWO, write(range(1, 2, 1))),
        (WRITE_ALL, write(range(1, -1, 1))),
        (WRITE_PAIRS, write(range(1, -1, 2))),
        (WRITE_FROM_SECOND, write(range(2, -1, 1))),
        (WRITE_ANYTHING, write(Writes::Anything)),
    ]
    .into_iter()
    .flat_map(|(names, row)| {
        names.split(' ').map(move |name| {
            let keys = Keys::known(name.as_bytes()).unwrap_or(row.keys);
            (name, Row { keys, ..row })
        })
    })
}
