//! The lines of `CLIENT LIST` and `CLIENT INFO`. For a client with a dedicated connection, the proxy edits Redis's own
//! line: it puts the client's fields in place of the connection's. For any other client, it builds a line of the same
//! form.

use std::fmt::Write;

use super::identity::Peer;
use super::session::Session;
use crate::clock::Time;

/// What a line shows besides the client's session.
#[derive(Clone, Copy)]
pub(super) struct Around<'a> {
    pub database: u32,
    /// The client's user at Redis.
    pub user: &'a str,
    /// The client's latest command.
    pub command: &'a str,
    /// Redis supports library names.
    pub with_library: bool,
    pub now: Time,
}

/// The line of a client, in the form of redis-server 7.0.
pub(super) fn shared(session: &Session, around: &Around<'_>) -> String {
    let identity = &session.identity;
    let [address, local] = ends(identity.peer.as_ref());
    let lossy = |text: &[u8]| String::from_utf8_lossy(text).into_owned();
    let state = session
        .dedicated
        .as_ref()
        .map(|dedicated| dedicated.summary());
    let state = state.unwrap_or_default();
    let [channels, patterns, shards] = state.subscriptions;
    let input = &session.input;
    let output = session.replies.output.len();
    let mut line = format!(
        "id={} addr={address} laddr={local} fd={} name={} age={} idle={} flags={} db={} sub={channels} \
         psub={patterns} ssub={shards} multi={} qbuf={} qbuf-free={} argv-mem=0 multi-mem=0 rbs={output} \
         rbp={output} obl=0 oll={} omem={output} tot-mem={} events=r cmd={} user={} redir=-1 resp={}",
        identity.id,
        identity.descriptor,
        lossy(&identity.name),
        identity.connected.until(around.now).as_secs(),
        identity.last_request.until(around.now).as_secs(),
        flags(&state.flags, identity.peer.as_ref()),
        around.database,
        state
            .queued
            .map_or(-1, |count| i64::try_from(count).unwrap_or(i64::MAX)),
        input.rest().len(),
        input.held() - input.rest().len(),
        u8::from(output > 0),
        size_of::<Session>() + input.held() + output,
        around.command,
        around.user,
        state.protocol.unwrap_or(identity.protocol).number(),
    );
    if around.with_library {
        let (library, version) = (lossy(&identity.library), lossy(&identity.library_version));
        // Writing to a string can't fail.
        let _ = write!(line, " lib-name={library} lib-ver={version}");
    }
    line
}

fn ends(peer: Option<&Peer>) -> [String; 2] {
    peer.map(Peer::ends).unwrap_or_default()
}

/// The flags of a connection, with `U` present exactly if the client itself connected over a Unix socket.
fn flags(flags: &str, peer: Option<&Peer>) -> String {
    let mut flags = flags.replace(['N', 'U'], "");
    if matches!(peer, Some(Peer::Unix(_))) {
        // Only these flags come after `U`.
        let at = flags.find(['r', 'e', 'T']).unwrap_or(flags.len());
        flags.insert(at, 'U');
    }
    if flags.is_empty() {
        flags.push('N');
    }
    flags
}

/// Redis's line for a client's dedicated connection, turned into the client's.
pub(super) fn translated(line: &str, session: &Session, redirection: i64, now: Time) -> String {
    let identity = &session.identity;
    let [address, local] = ends(identity.peer.as_ref());
    let translate = |field: &str| {
        let (name, value) = field.split_once('=')?;
        let value = match name {
            "id" => identity.id.to_string(),
            "addr" => address.clone(),
            "laddr" => local.clone(),
            "flags" => flags(value, identity.peer.as_ref()),
            "fd" => identity.descriptor.to_string(),
            "age" => identity.connected.until(now).as_secs().to_string(),
            // -1 means no redirection; it is not an id.
            "redir" if value != "-1" => redirection.to_string(),
            _ => return None,
        };
        Some(format!("{name}={value}"))
    };
    let fields = line.split(' ');
    let fields = fields.map(|field| translate(field).unwrap_or_else(|| field.to_owned()));
    fields.collect::<Vec<_>>().join(" ")
}

/// The connection's id at Redis, as shown in its line.
pub(super) fn number(line: &str) -> Option<i64> {
    let (first, _) = line.split_once(' ')?;
    first.strip_prefix("id=")?.parse().ok()
}

/// The id of the connection that a line's invalidations are redirected to; -1 for none.
pub(super) fn redirection(line: &str) -> Option<i64> {
    let mut fields = line.split(' ');
    fields.find_map(|field| field.strip_prefix("redir=")?.parse().ok())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn flags_tell_the_way_of_the_client_and_not_that_of_its_connection_to_redis() {
        let unix = Peer::Unix("/run/proxy.sock".into());
        for (known, tcp, by_unix) in [
            ("N", "N", "U"),
            ("U", "N", "U"),
            ("x", "x", "xU"),
            ("PU", "P", "PU"),
            ("tRUe", "tRe", "tRUe"),
        ] {
            assert_eq!(flags(known, None), tcp, "{known}");
            assert_eq!(flags(known, Some(&unix)), by_unix, "{known}");
        }
    }
}
