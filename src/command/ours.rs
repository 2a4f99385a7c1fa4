//! What Redis does not tell of its commands: which the proxy answers, which leave state on a connection,
//! and which keys are written where `COMMAND` is vague about it.

use super::{Cached, Here, Row, Way, Writes};

const ANY: usize = usize::MAX;

const fn row(least: usize, most: usize, way: Way) -> Row {
    Row {
        number: 0,
        least,
        most,
        way,
        writes: Writes::Nothing,
        reads_only: false,
        blocks: false,
        only_with_block: false,
        if_redis_knows: false,
    }
}

const fn here(least: usize, most: usize, here: Here) -> Row {
    row(least, most, Way::Here(here))
}

/// A subcommand that not every version of Redis has: without it there, Redis's own error is right.
const fn newer(least: usize, most: usize, here: Here) -> Row {
    Row {
        if_redis_knows: true,
        ..row(least, most, Way::Here(here))
    }
}

const fn dedicated() -> Row {
    row(0, ANY, Way::Dedicated)
}

const fn dedicated_writes(writes: Writes) -> Row {
    Row {
        writes,
        ..dedicated()
    }
}

const fn blocks(writes: Writes) -> Row {
    Row {
        blocks: true,
        ..dedicated_writes(writes)
    }
}

const fn writes(writes: Writes) -> Row {
    Row {
        writes,
        ..row(0, ANY, Way::Forward)
    }
}

/// The row of GET, which is looked for most.
pub(super) const GET: Row = Row {
    number: 1,
    reads_only: true,
    ..row(2, 2, Way::Cached(Cached::Get))
};

const DESTINATION: Writes = Writes::Range {
    first: 1,
    last: 1,
    step: 1,
};
const ALL_ARGUMENTS: Writes = Writes::Range {
    first: 1,
    last: -1,
    step: 1,
};
/// The last argument is a timeout.
const ALL_BUT_TIMEOUT: Writes = Writes::Range {
    first: 1,
    last: -2,
    step: 1,
};
const SOURCE_AND_DESTINATION: Writes = Writes::Range {
    first: 1,
    last: 2,
    step: 1,
};

/// Our rows by name, in lower case.
#[rustfmt::skip]
pub(super) static ROWS: &[(&str, Row)] = &[
    // Answered from the cache.
    ("get", GET),
    ("mget", Row { reads_only: true, ..row(2, ANY, Way::Cached(Cached::Mget)) }),

    // Answered here.
    ("auth", here(2, ANY, Here::Auth)),
    ("client|getname", here(2, 2, Here::ClientGetname)),
    ("client|id", here(2, 2, Here::ClientId)),
    ("client|info", newer(2, 2, Here::ClientInfo)),
    ("client|no-evict", newer(3, 3, Here::ClientNoEvict)),
    ("client|no-touch", newer(3, 3, Here::ClientNoTouch)),
    ("client|reply", here(3, 3, Here::ClientReply)),
    ("client|setinfo", newer(4, 4, Here::ClientSetinfo)),
    ("client|setname", here(3, 3, Here::ClientSetname)),
    ("echo", here(2, 2, Here::Echo)),
    ("hello", newer(1, ANY, Here::Hello)),
    ("info", here(1, ANY, Here::Info)),
    ("ping", here(1, 2, Here::Ping)),
    ("quit", here(1, ANY, Here::Quit)),
    ("reset", newer(1, 1, Here::Reset)),
    ("select", here(2, 2, Here::Select)),
    ("slowlog|get", here(2, 3, Here::SlowlogGet)),
    ("slowlog|len", here(2, 2, Here::SlowlogLen)),
    ("slowlog|reset", here(2, 2, Here::SlowlogReset)),

    // What the proxy answers for itself, asked of Redis.
    ("upstream|info", row(2, ANY, Way::Upstream)),
    ("upstream|slowlog", row(2, ANY, Way::Upstream)),

    // They leave state on a connection.
    ("asking", dedicated()),
    ("client|caching", dedicated()),
    ("client|getredir", dedicated()),
    ("client|tracking", dedicated()),
    ("client|trackinginfo", dedicated()),
    ("monitor", dedicated()),
    ("multi", dedicated()),
    ("psubscribe", dedicated()),
    ("psync", dedicated()),
    ("punsubscribe", dedicated()),
    ("readonly", dedicated()),
    ("readwrite", dedicated()),
    ("replconf", dedicated()),
    ("script|debug", dedicated()),
    ("ssubscribe", dedicated()),
    ("subscribe", dedicated()),
    ("sunsubscribe", dedicated()),
    ("sync", dedicated()),
    ("unsubscribe", dedicated()),
    ("watch", dedicated()),

    // They end what another connection is busy with, or keep their own busy, or close it.
    ("debug", dedicated_writes(Writes::Anything)),
    ("function|kill", dedicated()),
    ("script|kill", dedicated()),
    ("shutdown", dedicated()),

    // They block. Redis flags most of them; this is for one that does not tell.
    ("blmove", blocks(SOURCE_AND_DESTINATION)),
    ("blmpop", blocks(Writes::Nothing)),
    ("blpop", blocks(ALL_BUT_TIMEOUT)),
    ("brpop", blocks(ALL_BUT_TIMEOUT)),
    ("brpoplpush", blocks(SOURCE_AND_DESTINATION)),
    ("bzmpop", blocks(Writes::Nothing)),
    ("bzpopmax", blocks(ALL_BUT_TIMEOUT)),
    ("bzpopmin", blocks(ALL_BUT_TIMEOUT)),
    ("wait", blocks(Writes::Nothing)),
    ("waitaof", blocks(Writes::Nothing)),
    ("xread", Row { only_with_block: true, ..blocks(Writes::Nothing) }),
    ("xreadgroup", Row { only_with_block: true, ..blocks(Writes::Nothing) }),

    // Without MULTI or WATCH on a connection, where they would stay on theirs, these change nothing.
    ("discard", row(0, ANY, Way::Forward)),
    ("exec", row(0, ANY, Way::Forward)),
    ("unwatch", row(0, ANY, Way::Forward)),

    // Redis's key positions say which keys they touch, not which they write.
    ("georadius", writes(Writes::Stored)),
    ("georadiusbymember", writes(Writes::Stored)),
    ("sort", writes(Writes::Stored)),
    ("zdiffstore", writes(DESTINATION)),
    ("zinterstore", writes(DESTINATION)),
    ("zunionstore", writes(DESTINATION)),
    // What they pop from is no string, so it is not in the cache.
    ("lmpop", writes(Writes::Nothing)),
    ("zmpop", writes(Writes::Nothing)),
    // It is flagged as a read, and writes the count that it found into the key.
    ("pfcount", writes(ALL_ARGUMENTS)),

    // They write what they like.
    ("cluster", writes(Writes::Anything)),
    ("eval", writes(Writes::Anything)),
    ("evalsha", writes(Writes::Anything)),
    ("failover", writes(Writes::Anything)),
    ("fcall", writes(Writes::Anything)),
    ("replicaof", writes(Writes::Anything)),
    ("slaveof", writes(Writes::Anything)),
];
