//! What Redis's description of its commands lacks: which commands the proxy answers, which leave state on a connection,
//! and which keys are written where `COMMAND` is vague.

use super::{Cached, Clients, Fields, Here, Keys, Row, Way, Writes};

const ANY: usize = usize::MAX;

const fn row(least: usize, most: usize, way: Way) -> Row {
    Row {
        number: 0,
        least,
        most,
        way,
        writes: Writes::Nothing,
        keys: Keys::None,
        spread: None,
        may_write: false,
        reads_only: false,
        blocks: false,
        only_with_block: false,
        lasts: false,
        if_redis_knows: false,
        changes_commands: false,
        clients: None,
        fields: None,
        passes: false,
        is_container: false,
        hooks: 0,
    }
}

const fn here(least: usize, most: usize, here: Here) -> Row {
    row(least, most, Way::Here(here))
}

/// A subcommand that not every version of Redis has: if Redis lacks it, Redis's own error is right.
const fn newer(least: usize, most: usize, here: Here) -> Row {
    Row {
        if_redis_knows: true,
        ..row(least, most, Way::Here(here))
    }
}

const fn dedicated() -> Row {
    Row {
        lasts: true,
        ..followed()
    }
}

/// The command leaves no state on a connection, or state that the proxy mirrors.
const fn followed() -> Row {
    row(0, ANY, Way::Dedicated)
}

const fn dedicated_writes(writes: Writes) -> Row {
    Row {
        writes,
        ..followed()
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

/// The command is only sent to Redis, and leaves no state.
const fn forward() -> Row {
    row(0, ANY, Way::Forward)
}

const fn changes_commands() -> Row {
    Row {
        changes_commands: true,
        ..forward()
    }
}

const fn clients(clients: Clients, row: Row) -> Row {
    Row {
        clients: Some(clients),
        ..row
    }
}

/// The command needs a dedicated connection for itself alone.
const fn passes() -> Row {
    Row {
        passes: true,
        ..dedicated()
    }
}

/// The command is flagged as a read, but may write the computed count to the key.
const PFCOUNT: Row = Row {
    way: Way::Cached(Cached::Answer {
        key: 1,
        alone: true,
    }),
    ..writes(ALL_ARGUMENTS)
};

/// What a browser sends when a web page makes it connect to the proxy (cross-protocol scripting). Redis closes such a
/// connection too (`securityWarningCommand`).
pub(super) const ATTACKS: [&[u8]; 2] = [b"post", b"host:"];
pub(super) const ATTACK: Row = row(0, ANY, Way::Abort);

/// The first word of a request that Redis is to answer in place of the proxy.
pub(super) const UPSTREAM: &[u8] = b"upstream";

/// The first word of the proxy's own commands, some of which Redis has under the same name.
pub(super) const PROXY: &[u8] = b"proxy";

/// Whether a subcommand may leave state on its connection, as far as we know: other subcommands of the same command do,
/// and it is not listed as one that does not.
pub(super) fn may_leave_state(name: &[u8]) -> bool {
    let container = super::container(name);
    let is_suspect = container.is_some_and(|container| STATEFUL.contains(&container));
    is_suspect && !leaves_no_state(name)
}

/// Whether a command or subcommand is known to leave no state on its connection, though Redis lets no script call it.
pub(super) fn leaves_no_state(name: &[u8]) -> bool {
    let is_in = |names: &str, name: &[u8]| names.split(' ').any(|known| known.as_bytes() == name);
    let (list, name) = match super::container(name) {
        Some(b"cluster") => (NO_STATE_CLUSTER, &name[b"cluster|".len()..]),
        Some(b"script") => (NO_STATE_SCRIPT, &name[b"script|".len()..]),
        Some(container) => (NO_STATE, container),
        None => (NO_STATE, name),
    };
    is_in(list, name)
}

/// Commands of which some subcommands leave state on a connection.
pub(super) const STATEFUL: [&[u8]; 3] = [b"client", b"cluster", b"script"];

/// Commands that leave no state, with all their subcommands, except for those below.
const NO_STATE: &str = "acl bgrewriteaof bgsave cluster config eval_ro evalsha_ro fcall_ro function latency \
    module role save script";

const NO_STATE_SCRIPT: &str = "exists flush help load show";

const NO_STATE_CLUSTER: &str = "addslots addslotsrange bumpepoch count-failure-reports countkeysinslot delslots \
    delslotsrange failover flushslots forget getkeysinslot help info keyslot links meet myid myshardid nodes \
    replicas replicate reset saveconfig set-config-epoch setslot shards slaves slot-stats slots";

/// Whether the reply of a command that reads one key depends on more than that key's value: on time, on chance, on
/// where the value is in memory, or (for a subcommand) on anything.
pub(super) fn depends_on_more(name: &[u8]) -> bool {
    let is_in = |names: &str| names.split(' ').any(|known| known.as_bytes() == name);
    // A search names one key, but reads an index of many.
    name.contains(&b'|') || name.starts_with(b"ft.") || is_in(DEPEND_ON_MORE)
}

/// The commands whose replies do. Since 7.0, Redis reports most of them too.
const DEPEND_ON_MORE: &str = "dump expiretime hexpiretime hpexpiretime hpttl hrandfield hscan httl object pexpiretime \
    pttl sort_ro srandmember sscan touch ttl xpending zrandmember zscan";

/// The command that makes fields of hashes expire, since Redis 7.4.
pub(super) const HEXPIRE: &[u8] = b"hexpire";

/// The commands whose replies then depend on time too, and which fields they read.
pub(super) const READS_OF_HASHES: [(&[u8], Fields); 8] = [
    (b"hexists", Fields::Named),
    (b"hget", Fields::Named),
    (b"hgetall", Fields::All),
    (b"hkeys", Fields::All),
    (b"hlen", Fields::All),
    (b"hmget", Fields::Named),
    (b"hstrlen", Fields::Named),
    (b"hvals", Fields::All),
];

/// The row of GET, which is looked up more than any other.
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
const SECOND: Writes = Writes::Range {
    first: 2,
    last: 2,
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
    ("client|id", clients(Clients::Id, here(2, 2, Here::ClientId))),
    ("client|info", clients(Clients::Info, newer(2, 2, Here::ClientInfo))),
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
    ("proxy", here(2, ANY, Here::ProxyHelp)),
    ("proxy|cache", here(3, ANY, Here::ProxyCache)),
    ("proxy|config", here(3, ANY, Here::ProxyConfig)),
    ("proxy|help", here(2, 2, Here::ProxyHelp)),
    ("proxy|invalidate", here(3, 3, Here::ProxyInvalidate)),
    ("proxy|rules", here(2, 2, Here::ProxyRules)),
    ("proxy|slowlog", here(3, 4, Here::ProxySlowlog)),

    // Commands that the proxy answers itself, sent to Redis instead.
    ("upstream", here(2, ANY, Here::ProxyHelp)),
    ("upstream|help", here(2, 2, Here::ProxyHelp)),
    ("upstream|client", row(2, ANY, Way::Upstream)),
    ("upstream|info", row(2, ANY, Way::Upstream)),
    ("upstream|slowlog", row(2, ANY, Way::Upstream)),

    // These leave state on a connection.
    ("asking", dedicated()),
    ("client|caching", dedicated()),
    ("client|getredir", clients(Clients::Getredir, dedicated())),
    ("client|tracking", clients(Clients::Tracking, dedicated())),
    ("client|trackinginfo", clients(Clients::Trackinginfo, dedicated())),
    ("monitor", followed()),
    ("multi", followed()),
    ("psubscribe", followed()),
    ("psync", dedicated()),
    ("punsubscribe", followed()),
    ("readonly", dedicated()),
    ("readwrite", dedicated()),
    ("replconf", dedicated()),
    ("script|debug", dedicated()),
    ("ssubscribe", followed()),
    ("subscribe", followed()),
    ("sunsubscribe", followed()),
    ("sync", dedicated()),
    ("unsubscribe", followed()),
    ("watch", followed()),

    // Other subcommands of CLIENT may leave state, as far as we know.
    ("client|help", forward()),
    ("client|kill", clients(Clients::Kill, forward())),
    ("client|list", clients(Clients::List, forward())),
    ("client|pause", clients(Clients::Pause, forward())),
    ("client|unblock", clients(Clients::Unblock, forward())),

    // These reset the proxy's counters too.
    ("config|resetstat", clients(Clients::Resetstat, forward())),

    // These show the proxy's own requests.
    ("slowlog|get", clients(Clients::SlowlogGet, forward())),
    ("slowlog|len", clients(Clients::SlowlogLen, forward())),

    // These end what may hold up other clients, perhaps on the shared connections.
    ("client|unpause", clients(Clients::Unpause, passes())),
    ("function|kill", passes()),
    ("function|stats", passes()),
    ("script|kill", passes()),

    // These keep their connection busy, or close it.
    ("debug", dedicated_writes(Writes::Anything)),
    ("shutdown", followed()),

    // These block. Redis flags most of them; this is for a Redis that describes none.
    ("blmove", blocks(SOURCE_AND_DESTINATION)),
    ("blmpop", blocks(Writes::Counted(2))),
    ("blpop", blocks(ALL_BUT_TIMEOUT)),
    ("brpop", blocks(ALL_BUT_TIMEOUT)),
    ("brpoplpush", blocks(SOURCE_AND_DESTINATION)),
    ("bzmpop", blocks(Writes::Counted(2))),
    ("bzpopmax", blocks(ALL_BUT_TIMEOUT)),
    ("bzpopmin", blocks(ALL_BUT_TIMEOUT)),
    // These count what was written on their connection.
    ("wait", Row { lasts: true, ..blocks(Writes::Nothing) }),
    ("waitaof", Row { lasts: true, ..blocks(Writes::Nothing) }),
    ("xread", Row { only_with_block: true, ..blocks(Writes::Nothing) }),
    ("xreadgroup", Row { only_with_block: true, may_write: true, ..blocks(Writes::Nothing) }),

    // Without MULTI or WATCH on the connection, these change nothing. With it, the client is on a dedicated connection.
    ("discard", forward()),
    ("exec", forward()),
    ("unwatch", forward()),

    // Redis reports the positions of the keys that these read, but not of those that they write.
    ("georadius", writes(Writes::Stored)),
    ("georadiusbymember", writes(Writes::Stored)),
    ("sort", writes(Writes::Stored)),
    ("bitop", writes(SECOND)),
    ("copy", writes(SECOND)),
    ("geosearchstore", writes(DESTINATION)),
    ("pfmerge", writes(DESTINATION)),
    ("sdiffstore", writes(DESTINATION)),
    ("sinterstore", writes(DESTINATION)),
    ("sunionstore", writes(DESTINATION)),
    ("zdiffstore", writes(DESTINATION)),
    ("zinterstore", writes(DESTINATION)),
    ("zrangestore", writes(DESTINATION)),
    ("zunionstore", writes(DESTINATION)),
    ("lmpop", writes(Writes::Counted(1))),
    ("zmpop", writes(Writes::Counted(1))),
    ("pfcount", PFCOUNT),

    // These may write any key.
    ("cluster", writes(Writes::Anything)),
    ("eval", writes(Writes::Declared(2))),
    ("evalsha", writes(Writes::Declared(2))),
    ("failover", writes(Writes::Anything)),
    ("fcall", writes(Writes::Declared(2))),
    ("replicaof", writes(Writes::Anything)),
    ("slaveof", writes(Writes::Anything)),

    // These may change which commands there are, or the permissions for them.
    ("acl|deluser", changes_commands()),
    ("acl|load", changes_commands()),
    ("acl|setuser", changes_commands()),
    ("function|delete", changes_commands()),
    ("function|flush", changes_commands()),
    ("function|load", changes_commands()),
    ("function|restore", changes_commands()),
    ("module|load", changes_commands()),
    ("module|loadex", changes_commands()),
    ("module|unload", changes_commands()),

    // No Redis client sends this.
    ("host:", ATTACK),
    ("post", ATTACK),
];
