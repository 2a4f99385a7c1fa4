//! The spelling of the proxy's internal requests: in capitals except for the second letter, as no client spells them.
//! Redis accepts any spelling, and shows it in `MONITOR` and `SLOWLOG`. So internal requests can be told apart from
//! clients' requests, and removed from the replies to those commands.

/// `ACL`
pub const ACL: &str = "AcL";
/// `ASKING`
pub const ASKING: &str = "AsKING";
/// `AUTH`
pub const AUTH: &str = "AuTH";
/// `CLIENT`
pub const CLIENT: &str = "ClIENT";
/// `CLUSTER`
pub const CLUSTER: &str = "ClUSTER";
/// `COMMAND`
pub const COMMAND: &str = "CoMMAND";
/// `CONFIG`
pub const CONFIG: &str = "CoNFIG";
/// `GET`
pub const GET: &str = "GeT";
/// `HELLO`
pub const HELLO: &str = "HeLLO";
/// `HPTTL`
pub const HPTTL: &str = "HpTTL";
/// `INFO`
pub const INFO: &str = "InFO";
/// `LATENCY`
pub const LATENCY: &str = "LaTENCY";
/// `PING`
pub const PING: &str = "PiNG";
/// `PTTL`
pub const PTTL: &str = "PtTL";
/// `READONLY`
pub const READONLY: &str = "ReADONLY";
/// `RESET`
pub const RESET: &str = "ReSET";
/// `ROLE`
pub const ROLE: &str = "RoLE";
/// `SELECT`
pub const SELECT: &str = "SeLECT";
/// `TOUCH`
pub const TOUCH: &str = "ToUCH";

/// The internal requests, with their subcommands if there are any. None changes data, so a client that uses this
/// spelling can't hide anything important.
const REQUESTS: &[(&str, Option<&str>)] = &[
    (ACL, Some("GETUSER")),
    (ASKING, None),
    (AUTH, None),
    (CLIENT, Some("ID")),
    (CLIENT, Some("INFO")),
    (CLIENT, Some("SETINFO")),
    (CLIENT, Some("SETNAME")),
    (CLIENT, Some("TRACKING")),
    (CLUSTER, Some("INFO")),
    (CLUSTER, Some("NODES")),
    (CLUSTER, Some("SHARDS")),
    (CLUSTER, Some("SLOTS")),
    (COMMAND, None),
    (CONFIG, Some("GET")),
    (GET, None),
    (HELLO, None),
    (HPTTL, None),
    (INFO, None),
    (LATENCY, Some("HISTOGRAM")),
    (PING, None),
    (PTTL, None),
    (READONLY, None),
    (RESET, None),
    (ROLE, None),
    (SELECT, None),
    (TOUCH, None),
];

/// Whether a request whose first words are these is an internal one.
#[must_use]
pub fn is_internal(name: &[u8], subcommand: Option<&[u8]>) -> bool {
    REQUESTS.iter().any(|(request, of)| {
        request.as_bytes() == name && of.is_none_or(|of| subcommand == Some(of.as_bytes()))
    })
}

/// Whether a line of `MONITOR` shows an internal request, judged by its first bytes. `None` if more are needed.
#[must_use]
pub fn is_internal_line(start: &[u8]) -> Option<bool> {
    // Before it come the time and, in brackets, the database and the address, which may be any path.
    const BEFORE: &[u8] = b"] \"";
    let is_over = start.len() >= LINE_MAX || start.ends_with(b"\n");
    let Some(at) = start.windows(BEFORE.len()).position(|part| part == BEFORE) else {
        return is_over.then_some(false);
    };
    let words = &start[at + BEFORE.len()..];
    let Some(end) = words.iter().position(|&byte| byte == b'"') else {
        return is_over.then_some(false);
    };
    let (name, rest) = (&words[..end], &words[end + 1..]);
    if !REQUESTS
        .iter()
        .any(|(request, _)| request.as_bytes() == name)
    {
        return Some(false);
    }
    if is_internal(name, None) {
        return Some(true);
    }
    let subcommand = rest.strip_prefix(b" \"").unwrap_or_default();
    match subcommand.iter().position(|&byte| byte == b'"') {
        Some(end) => Some(is_internal(name, Some(&subcommand[..end]))),
        None => is_over.then_some(false),
    }
}

/// The most bytes of a line of `MONITOR` that are examined: enough for an address that is a path.
const LINE_MAX: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_of_monitor_is_known_as_soon_as_its_first_words_have_come() {
        for (line, is_internal) in [
            ("+17.5 [0 127.0.0.1:5] \"PiNG\"\r\n", true),
            ("+17.5 [0 [::1]:5] \"PtTL\" \"k\"\r\n", true),
            ("+17.5 [0 unix:/tmp/a b] \"ClIENT\" \"INFO\"\r\n", true),
            ("+17.5 [0 127.0.0.1:5] \"PING\"\r\n", false),
            ("+17.5 [0 127.0.0.1:5] \"ClIENT\" \"KILL\" \"x\"\r\n", false),
            ("+17.5 [0 127.0.0.1:5] \"ClIENT\"\r\n", false),
            ("+17.5 [0 lua] \"set\" \"] \\\"PiNG\\\"\" \"1\"\r\n", false),
        ] {
            let line = line.as_bytes();
            let mut known = None;
            for length in 1..=line.len() {
                let now = is_internal_line(&line[..length]);
                assert!(known.is_none() || now == known, "{length}");
                known = now;
            }
            assert_eq!(
                known,
                Some(is_internal),
                "{}",
                String::from_utf8_lossy(line)
            );
        }
        let endless = [&b"+17.5 [0 unix:"[..], &[b'x'; 10_000]].concat();
        assert_eq!(is_internal_line(&endless), Some(false));
    }
}
