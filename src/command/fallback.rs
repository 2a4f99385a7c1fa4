//! The commands of Redis 7.0 beside our own rows, for a Redis that does not describe its commands (a user
//! without the right to `COMMAND`, say): otherwise none could go over the shared connection.

use super::{Row, UNKNOWN, Way, Writes};

/// They change nothing that the cache could hold, and not all of them only read.
const OTHERS: &str = "acl bgrewriteaof bgsave client command config function lastsave latency memory module \
    object pubsub publish role save script slowlog spublish time xgroup xinfo";

/// They only read.
const READS: &str = "bitcount bitfield_ro bitpos dbsize dump eval_ro evalsha_ro exists expiretime fcall_ro \
    geodist geohash geopos georadius_ro georadiusbymember_ro geosearch getbit getrange hexists hget hgetall \
    hkeys hlen hmget hrandfield hscan hstrlen hvals keys lcs lindex llen lolwut lpos lrange pexpiretime pttl \
    randomkey scan scard sdiff sinter sintercard sismember smembers smismember sort_ro srandmember sscan strlen \
    substr sunion touch ttl type xlen xpending xrange xrevrange zcard zcount zdiff zinter zintercard zlexcount \
    zmscore zrandmember zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore \
    zrevrank zscan zscore zunion";

/// They write the key that is their first argument.
const WRITE_FIRST: &str = "append bitfield decr decrby expire expireat geoadd getdel getex getset hdel hincrby \
    hincrbyfloat hmset hset hsetnx incr incrby incrbyfloat linsert lpop lpush lpushx lrem lset ltrim move \
    persist pexpire pexpireat pfadd psetex restore rpop rpush rpushx sadd set setbit setex setnx setrange spop \
    srem xack xadd xautoclaim xclaim xdel xsetid xtrim zadd zincrby zpopmax zpopmin zrem zremrangebylex \
    zremrangebyrank zremrangebyscore";

/// The first two.
const WRITE_TWO: &str = "copy geosearchstore lmove rename renamenx rpoplpush smove zrangestore";

/// All.
const WRITE_ALL: &str = "del pfmerge sdiffstore sinterstore sunionstore unlink";

/// Every other.
const WRITE_PAIRS: &str = "mset msetnx";

/// All from the second on.
const WRITE_FROM_SECOND: &str = "bitop";

/// They may write any key.
const WRITE_ANYTHING: &str = "flushall flushdb migrate swapdb";

/// The rows with their names, in lower case.
pub(super) fn rows() -> impl Iterator<Item = (&'static str, Row)> {
    let range = |first, last, step| Writes::Range { first, last, step };
    [
        (OTHERS, Writes::Nothing, false),
        (READS, Writes::Nothing, true),
        (WRITE_FIRST, range(1, 1, 1), false),
        (WRITE_TWO, range(1, 2, 1), false),
        (WRITE_ALL, range(1, -1, 1), false),
        (WRITE_PAIRS, range(1, -1, 2), false),
        (WRITE_FROM_SECOND, range(2, -1, 1), false),
        (WRITE_ANYTHING, Writes::Anything, false),
    ]
    .into_iter()
    .flat_map(|(names, writes, reads_only)| {
        let row = Row {
            way: Way::Forward,
            writes,
            reads_only,
            ..UNKNOWN
        };
        names.split(' ').map(move |name| (name, row))
    })
}
