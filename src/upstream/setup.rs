//! The proxy's own requests to Redis, and what the answers mean.

use redis::Cmd;

use super::node::Loss;
use super::unreported::Seen;
use super::{LinkId, Settings, UNREACHABLE};
use crate::command::internal;
use crate::resp::Protocol;
use crate::resp::integer;
use crate::resp::read::Reader;
use crate::resp::reply;

/// One of the proxy's own questions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Question {
    /// Logs in.
    Auth,
    /// Selects the database.
    Select,
    /// Names the connection, as `CLIENT LIST` at Redis shows it.
    Name,
    /// Switches the connection to RESP3, and fetches the greeting.
    Hello3,
    /// Switches the connection to RESP2, and fetches the greeting.
    Hello2,
    /// Which commands Redis has.
    Commands,
    /// Whether Redis is a master.
    Role,
    /// Which server it is.
    Server,
    /// Its `INFO`.
    Info,
    /// Whether it keeps latency histograms.
    Histograms,
    /// How often databases were swapped, and where that number is read.
    Swaps(Seen),
    /// Which slots of its cluster the node has, if the proxy is in front of this single node.
    Slots,
    /// Which node of its cluster serves which slot.
    Shards,
    /// Which node serves which slot, before Redis 7.
    ClusterSlots,
    /// What the node knows of the other nodes.
    Nodes,
    /// How many keys Redis tracks at most.
    TableMax,
    /// How many keys Redis tracks.
    TableKeys,
    /// Whether it limits the output buffer of clients.
    OutputLimit,
    /// The id of the connection.
    Id,
    /// Redirects reports of changes to another connection.
    Track,
    /// Whether Redis outlived this many losses of connections.
    Life(u64),
    /// The permissions of the proxy's user.
    Rights,
    /// Whether the user may still log in.
    Login,
    /// Whether a client's password is valid. The number is that of the check.
    Check(u64),
    /// Makes a replica answer reads.
    ReadOnly,
    /// Whether Redis answers.
    Ping,
    /// The state of the connection.
    State,
    /// The state of the connection; the answer also passes the barrier with that number.
    Barrier(u64),
}

/// The first questions on every new connection.
fn introduction(settings: &Settings, database: u32) -> Vec<(Question, Cmd)> {
    let mut questions = Vec::new();
    if let Some(password) = &settings.password {
        let mut auth = redis::cmd(internal::AUTH);
        auth.arg(settings.username.as_deref());
        auth.arg(password.expose());
        questions.push((Question::Auth, auth));
    }
    if database != 0 {
        let mut select = redis::cmd(internal::SELECT);
        select.arg(database);
        questions.push((Question::Select, select));
    }
    let mut name = redis::cmd(internal::CLIENT);
    name.arg("SETNAME").arg("redis-proxy");
    questions.push((Question::Name, name));
    questions
}

/// The proxy's user at Redis.
fn user(settings: &Settings) -> &str {
    settings.username.as_deref().unwrap_or("default")
}

/// Requests the permissions of the proxy's user.
pub(super) fn rights(settings: &Settings) -> Cmd {
    let mut rights = redis::cmd(internal::ACL);
    rights.arg("GETUSER").arg(user(settings));
    rights
}

/// Repeats the login. A user without a password may log in with any, but must be named.
pub(super) fn login(settings: &Settings) -> Cmd {
    let mut auth = redis::cmd(internal::AUTH);
    match &settings.password {
        Some(password) => auth
            .arg(settings.username.as_deref())
            .arg(password.expose()),
        None => auth.arg(user(settings)).arg(""),
    };
    auth
}

fn hello(version: u8) -> Cmd {
    let mut hello = redis::cmd(internal::HELLO);
    hello.arg(version);
    hello
}

fn server() -> Cmd {
    let mut info = redis::cmd(internal::INFO);
    info.arg("server");
    info
}

/// Requests how often a command was executed, and how long it took.
pub(super) fn histogram(command: &str) -> Cmd {
    let mut histogram = redis::cmd(internal::LATENCY);
    histogram.arg("HISTOGRAM").arg(command);
    histogram
}

/// Requests how often each command was executed.
pub(super) fn statistics() -> Cmd {
    let mut info = redis::cmd(internal::INFO);
    info.arg("commandstats");
    info
}

/// Requests Redis's counters.
pub(super) fn stats() -> Cmd {
    let mut info = redis::cmd(internal::INFO);
    info.arg("stats");
    info
}

/// Requests how many keys Redis tracks at most.
pub(super) fn table_max() -> Cmd {
    let mut config = redis::cmd(internal::CONFIG);
    config.arg("GET").arg("tracking-table-max-keys");
    config
}

/// Requests how much Redis buffers for a client at most.
pub(super) fn output_limit() -> Cmd {
    let mut config = redis::cmd(internal::CONFIG);
    config.arg("GET").arg("client-output-buffer-limit");
    config
}

/// Requests a node's view of its cluster.
pub(super) fn cluster(subcommand: &str) -> Cmd {
    let mut cluster = redis::cmd(internal::CLUSTER);
    cluster.arg(subcommand);
    cluster
}

/// Makes a replica answer reads itself.
fn read_only(settings: &Settings) -> Option<(Question, Cmd)> {
    let is_replica = settings.is_replica;
    is_replica.then(|| (Question::ReadOnly, redis::cmd(internal::READONLY)))
}

/// The questions that set up the RESP2 connection.
pub(super) fn of_resp2(settings: &Settings) -> Vec<(Question, Cmd)> {
    let mut questions = introduction(settings, settings.database);
    if settings.sentinels.is_some() {
        questions.push((Question::Role, redis::cmd(internal::ROLE)));
    }
    questions.extend(read_only(settings));
    questions.extend([
        (Question::Hello3, hello(3)),
        (Question::Hello2, hello(2)),
        (Question::Commands, redis::cmd(internal::COMMAND)),
        (Question::Server, server()),
        (Question::Info, redis::cmd(internal::INFO)),
        (Question::Ping, redis::cmd(internal::PING)),
    ]);
    questions
}

/// The questions that set up the connection of another link.
pub(super) fn of_other(settings: &Settings, link: LinkId) -> Vec<(Question, Cmd)> {
    let mut questions = introduction(settings, link.database);
    if link.protocol == Protocol::Resp3 {
        questions.push((Question::Hello3, hello(3)));
    }
    questions.extend(read_only(settings));
    questions.extend([
        (Question::Server, server()),
        (Question::Ping, redis::cmd(internal::PING)),
    ]);
    questions
}

/// The questions that set up the tracker.
pub(super) fn of_tracker(settings: &Settings) -> Vec<(Question, Cmd)> {
    let mut questions = introduction(settings, settings.database);
    if settings.tracking {
        let mut id = redis::cmd(internal::CLIENT);
        id.arg("ID");
        questions.extend([
            (Question::Hello3, hello(3)),
            (Question::Server, server()),
            (Question::Id, id),
        ]);
    }
    // A cluster has no databases to swap.
    if settings.cluster.is_none() {
        questions.extend([
            (Question::Histograms, histogram("hello")),
            (Question::Swaps(Seen::InHistogram), histogram("swapdb")),
        ]);
    }
    questions.extend([
        (Question::Rights, rights(settings)),
        (Question::Ping, redis::cmd(internal::PING)),
    ]);
    questions
}

/// Makes Redis report changes of keys that are read on a connection to the connection with this id.
pub(super) fn track(id: i64) -> Vec<u8> {
    let mut tracking = redis::cmd(internal::CLIENT);
    tracking.arg("TRACKING").arg("ON").arg("REDIRECT").arg(id);
    tracking.get_packed_command()
}

/// Checks whether Redis answers.
pub(super) fn ping() -> Vec<u8> {
    redis::cmd(internal::PING).get_packed_command()
}

/// Requests the state of the connection, since Redis 6.2.
pub(super) fn state() -> Vec<u8> {
    let mut info = redis::cmd(internal::CLIENT);
    info.arg("INFO").get_packed_command()
}

/// What follows the name of the command in Redis's error about an unknown command.
const ARGUMENTS: &str = ", with args beginning with";

/// The end of Redis's error if the connection to redirect to has ended.
const GONE: &str = "The client ID you want redirect to does not exist";

/// The text of an error reply, if it is one. If `AUTH` is renamed, Redis repeats its arguments, so those are left out.
#[must_use]
pub fn refusal(answer: &[u8]) -> Option<String> {
    let text = answer.strip_prefix(b"-")?;
    let text = String::from_utf8_lossy(text);
    let text = text.trim_end();
    let (words, _) = text.split_once(ARGUMENTS).unwrap_or((text, ""));
    Some(words.to_owned())
}

/// Whether an error refuses the connection itself, whatever was requested on it.
pub(super) fn refuses_connections(words: &str) -> bool {
    words.starts_with("DENIED ") || words.contains("max number of clients reached")
}

/// Whether an encoded reply refuses the connection itself, by its first bytes. They are enough: no command has such a
/// reply.
#[must_use]
pub fn starts_as_refusal(encoded: &[u8]) -> bool {
    [&b"-DENIED "[..], b"-ERR max number of "]
        .iter()
        .any(|start| encoded.starts_with(start))
}

/// Whether an error in reply to a `PING` means that Redis would not answer anything else either. Any other error shows
/// that Redis answers: `PING` may be renamed or not permitted, for example.
pub(super) fn refuses_all(words: &str) -> bool {
    ["NOAUTH ", "LOADING "]
        .iter()
        .any(|code| words.starts_with(code))
}

/// Whether an error means that the connection is subscribed, and so may request little else.
pub(super) fn refuses_context(words: &str) -> bool {
    words.starts_with("ERR Can't execute '")
}

/// Whether an error means that the proxy's user may not log in: not with its password, or not without one.
pub(super) fn refuses_login(words: &str) -> bool {
    ["NOAUTH ", "WRONGPASS ", "ERR invalid password"]
        .iter()
        .any(|start| words.starts_with(start))
}

/// What a reply to a client's request puts in doubt.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Doubt {
    /// The permissions of the proxy's user: the request is denied for lack of them.
    Rights,
    /// The state of the connection: it seems to be subscribed.
    State,
}

impl Doubt {
    /// What a reply puts in doubt, if anything.
    pub fn of(encoded: &[u8]) -> Option<Self> {
        let starts = |all: &[&[u8]]| all.iter().any(|start| encoded.starts_with(start));
        match encoded.first()? {
            b'-' if starts(&[b"-NOPERM ", b"-NOAUTH ", b"-WRONGPASS "]) => Some(Self::Rights),
            b'-' if starts(&[b"-ERR Can't execute '"]) => Some(Self::State),
            _ => None,
        }
    }
}

/// Whether a reply says that Redis is a replica and accepts no writes.
pub(super) fn is_readonly(encoded: &[u8]) -> bool {
    encoded.starts_with(b"-READONLY ")
}

/// Whether a reply suggests that Redis may have moved.
pub(super) fn is_elsewhere(encoded: &[u8]) -> bool {
    [&b"-LOADING "[..], b"-MASTERDOWN "]
        .iter()
        .any(|start| encoded.starts_with(start))
}

/// Whether an error means that Redis will be ready soon.
pub(super) fn is_temporary(words: &str) -> bool {
    ["LOADING ", "BUSY ", "MASTERDOWN "]
        .iter()
        .any(|code| words.starts_with(code))
}

/// Whether an error means that the connection to redirect to has ended.
pub(super) fn is_gone(words: &str) -> bool {
    words.ends_with(GONE)
}

/// The number in an integer reply.
pub(super) fn number(answer: &[u8]) -> Option<i64> {
    integer(answer.strip_prefix(b":")?.strip_suffix(b"\r\n")?)
}

/// The role in a reply to `ROLE`, in either version of the protocol.
pub(super) fn role(answer: &[u8]) -> Option<String> {
    let mut reader = Reader::new(answer);
    reader.array()?;
    Some(String::from_utf8_lossy(reader.text()?).into_owned())
}

/// The `run_id` in a reply to `INFO`, in either version of the protocol.
pub(super) fn run_id(answer: &[u8]) -> Option<String> {
    let text = Reader::new(answer).verbatim()?;
    let text = String::from_utf8_lossy(text);
    let mut lines = text.lines();
    lines.find_map(|line| Some(line.strip_prefix("run_id:")?.trim().to_owned()))
}

/// The error reply to a request that Redis did not answer.
pub(super) fn error_reply(settings: &Settings, reason: &str) -> Vec<u8> {
    unreachable(settings, "ERR", reason)
}

/// The error reply while Redis has never been reached. Its code is `LOADING`, so that libraries that wait for a starting
/// Redis wait for this one.
pub(super) fn loading_reply(settings: &Settings, reason: &str) -> Vec<u8> {
    unreachable(settings, "LOADING", reason)
}

fn unreachable(settings: &Settings, code: &str, reason: &str) -> Vec<u8> {
    let mut encoded = Vec::new();
    let address = &settings.address;
    let message = format!("{code} {UNREACHABLE}{address} can't be reached: {reason}");
    reply::error(&mut encoded, message.as_bytes());
    encoded
}

/// The error reply to a request that Redis did not answer because of this loss. If Redis refused with a code, that
/// error is the reply: clients act on `LOADING` and the like.
pub(super) fn error_of(settings: &Settings, loss: &Loss) -> Vec<u8> {
    match loss {
        Loss::Refused(words) if has_code(words) => {
            let mut encoded = Vec::new();
            reply::error(&mut encoded, words.as_bytes());
            encoded
        }
        loss => error_reply(settings, &loss.to_string()),
    }
}

/// Whether an error starts with a code that says more than `ERR`.
fn has_code(words: &str) -> bool {
    let code = words.split(' ').next().unwrap_or_default();
    code.len() > 1 && code != "ERR" && code.bytes().all(|byte| byte.is_ascii_uppercase())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_server_is_known_by_its_run_id_in_both_versions_of_the_protocol() {
        let text = "# Server\r\nredis_version:7.0.15\r\nrun_id:abc\r\ntcp_port:1\r\n";
        let bulk = format!("${}\r\n{text}\r\n", text.len());
        assert_eq!(run_id(bulk.as_bytes()).as_deref(), Some("abc"));
        let verbatim = format!("={}\r\ntxt:{text}\r\n", text.len() + 4);
        assert_eq!(run_id(verbatim.as_bytes()).as_deref(), Some("abc"));
        assert_eq!(run_id(b"-NOPERM no\r\n"), None);
    }

    #[test]
    fn no_argument_is_in_the_words_of_a_refusal() {
        let answer = b"-ERR unknown command 'AUTH', with args beginning with: 'secret' \r\n";
        assert_eq!(
            refusal(answer).as_deref(),
            Some("ERR unknown command 'AUTH'")
        );
        assert_eq!(refusal(b"+OK\r\n"), None);
    }
}
