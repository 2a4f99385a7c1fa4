//! The commands of Redis 7.0 beside our own rows, for a Redis that does not describe its commands (a user
//! without the right to `COMMAND`, say): otherwise none could go over the shared connection.

use super::{Cached, Row, UNKNOWN, Way, Writes};

/// They change nothing that the cache could hold, and not all of them only read.
const OTHERS: &str = "acl bgrewriteaof bgsave client command config function lastsave latency memory module \
    object pubsub publish role save script slowlog spublish time xgroup xinfo";

/// They only read.
const READS: &str = "dbsize dump eval_ro evalsha_ro expiretime fcall_ro hrandfield hscan keys lcs lolwut \
    pexpiretime pttl randomkey scan sintercard sort_ro srandmember sscan touch ttl xpending zdiff zinter \
    zintercard zrandmember zscan zunion";

/// They only read the key that is their first argument, and their replies depend on that alone.
const READ_FIRST: &str = "bitcount bitfield_ro bitpos geodist geohash geopos georadius_ro georadiusbymember_ro \
    geosearch getbit getrange hexists hget hgetall hkeys hlen hmget hstrlen hvals lindex llen lpos lrange scard \
    sismember smembers smismember strlen substr type xlen xrange xrevrange zcard zcount zlexcount zmscore \
    zrange zrangebylex zrangebyscore zrank zrevrange zrevrangebylex zrevrangebyscore zrevrank zscore";

/// The same, if they have no more arguments than one.
const READ_ALL: &str = "exists sdiff sinter sunion";

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
    let answer = |alone| Way::Cached(Cached::Answer { key: 1, alone });
    let read = |way| Row {
        way,
        writes: Writes::Nothing,
        reads_only: true,
        ..UNKNOWN
    };
    let write = |writes| Row {
        way: Way::Forward,
        writes,
        ..UNKNOWN
    };
    [
        (OTHERS, write(Writes::Nothing)),
        (READS, read(Way::Forward)),
        (READ_FIRST, read(answer(false))),
        (READ_ALL, read(answer(true))),
        (WRITE_FIRST, write(range(1, 1, 1))),
        (WRITE_TWO, write(range(1, 2, 1))),
        (WRITE_ALL, write(range(1, -1, 1))),
        (WRITE_PAIRS, write(range(1, -1, 2))),
        (WRITE_FROM_SECOND, write(range(2, -1, 1))),
        (WRITE_ANYTHING, write(Writes::Anything)),
    ]
    .into_iter()
    .flat_map(|(names, row)| names.split(' ').map(move |name| (name, row)))
}
