//! What is sent by clients that leave something on their connections, or block, or end them.

/// What a subscriber listens to.
pub const CHANNELS: &[&str] = &["c1", "c2", "c3"];
pub const PATTERNS: &[&str] = &["c*", "__keyspace@0__:*", "__keyevent@0__:set"];
pub const SHARDS: &[&str] = &["s1", "s2"];

/// Greetings, and whether they switch to RESP3, to RESP2, or nothing.
pub const GREETINGS: &[(&str, Option<bool>)] = &[
    ("HELLO", None),
    ("HELLO 2", Some(false)),
    ("HELLO 2", Some(false)),
    ("HELLO 3", Some(true)),
    ("HELLO 3", Some(true)),
    ("hello 3 setname greeter", Some(true)),
    ("HELLO 3 AUTH default any", Some(true)),
    ("HELLO 3 AUTH default any SETNAME both", Some(true)),
    ("HELLO 2 AUTH default any", Some(false)),
    ("HELLO 3 AUTH nobody any", None),
    ("HELLO 7", None),
];

/// For users other than the default one.
pub const LOGINS: &[(&str, Option<bool>)] = &[
    ("AUTH alice secret", None),
    ("AUTH alice wrong", None),
    ("AUTH default any", None),
    ("HELLO 3 AUTH alice secret SETNAME alice", Some(true)),
    ("HELLO 2 AUTH alice secret", Some(false)),
    ("HELLO 3 AUTH alice wrong", None),
];

/// No requests. Redis says so and closes the connection.
pub const BROKEN: &[&[u8]] = &[
    b"*3\r\n$3\r\nSET\r\n$-5\r\n",
    b"*1\r\n:1\r\n",
    b"*x\r\n",
    b"*99999999999\r\n",
    b"*1\r\n$99999999999\r\n",
    b"*1\r\n$x\r\n",
    b"GET \"unbalanced\r\n",
    b"SET 'a'b c\r\n",
];

/// What may need a dedicated connection, and leaves nothing there that others notice. One reply each.
pub const OWN: &[&str] = &[
    "CLIENT GETREDIR",
    "CLIENT CACHING YES",
    "CLIENT REPLY maybe",
    "SELECT 99",
    "SELECT x",
    "SELECT -1",
    "WAIT 0 0",
    "WAIT 0 x",
    "FUNCTION KILL",
    "SCRIPT KILL",
    "READONLY",
    "ASKING",
    "READWRITE",
    "AUTH nobody nonsense",
];

/// Commands that block where there is nothing to take. One reply each.
pub const BLOCKING: &[&str] = &[
    "BLPOP <list> <list> 0.001",
    "BRPOP <list> 0.001",
    "BLMOVE <list> <list> LEFT RIGHT 0.001",
    "BRPOPLPUSH <list> <list> 0.001",
    "BLMPOP 0.001 2 <list> <list> LEFT COUNT 2",
    "BZPOPMIN <zset> <zset> 0.001",
    "BZPOPMAX <zset> 0.001",
    "BZMPOP 0.001 1 <zset> MAX",
    "XREAD BLOCK 1 STREAMS <stream> $",
    "XREAD COUNT 1 BLOCK 1 STREAMS <stream> 0",
    "XREADGROUP GROUP g1 c1 BLOCK 1 STREAMS <stream> >",
    "WAIT 1 1",
    "BLPOP <list>",
    "BLPOP <list> x",
    "BLPOP <list> -1",
];

/// What blocks on the key `bell`, which holds nothing, and what another client does about it.
pub const WAKING: &[(&str, &str)] = &[
    ("BLPOP bell 0", "RPUSH bell <values>"),
    ("BRPOP never bell 0", "LPUSH bell <members>"),
    ("BLMOVE bell <hot> LEFT RIGHT 0", "RPUSH bell x"),
    ("BRPOPLPUSH bell str1 0", "EVAL <bell-script> 1 bell y"),
    ("BLMPOP 0 1 bell LEFT COUNT 5", "RPUSH bell 1 2 3"),
    ("BZPOPMIN bell 0", "ZADD bell 1.5 m inf n"),
    ("BZMPOP 0 1 bell MAX COUNT 2", "ZADD bell -inf m 2 n"),
    ("XREAD BLOCK 0 STREAMS bell $", "XADD bell 7-7 f v"),
];
