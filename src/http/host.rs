//! The host names that requests may use.
//!
//! A browser lets a web page read whatever comes from the page's own host name. The owner of a host name can make it
//! resolve to this host after the page was loaded (DNS rebinding), and then the page's requests use that name. An IP
//! address can't be rebound like that, and no one owns `localhost`.

use std::net::{Ipv4Addr, Ipv6Addr};

/// Whether to answer a request for this host, from a `Host` field or the authority of a target: it must be an IP
/// address, a loopback name or one of `names`, with or without a port.
#[must_use]
pub fn is_known(host: &[u8], names: &[String]) -> bool {
    let Ok(host) = std::str::from_utf8(host.trim_ascii()) else {
        return false;
    };
    if let Some(bracketed) = host.strip_prefix('[') {
        return bracketed
            .split_once(']')
            .is_some_and(|(address, rest)| address.parse::<Ipv6Addr>().is_ok() && is_port(rest));
    }
    let (name, rest) = host.split_at(host.find(':').unwrap_or(host.len()));
    // A name may end with the root's dot.
    let name = name.strip_suffix('.').unwrap_or(name);
    is_port(rest)
        && (name.parse::<Ipv4Addr>().is_ok()
            || is_loopback(name)
            || names.iter().any(|known| known.eq_ignore_ascii_case(name)))
}

/// `localhost` and all names below it resolve to this host (RFC 6761, 6.3).
fn is_loopback(name: &str) -> bool {
    let start = name.len().saturating_sub("localhost".len());
    let (below, last) = name.as_bytes().split_at(start);
    last.eq_ignore_ascii_case(b"localhost") && (below.is_empty() || below.ends_with(b"."))
}

/// Whether the text is empty, or a colon and digits.
fn is_port(text: &str) -> bool {
    let digits = text.strip_prefix(':').unwrap_or(text);
    (digits.len() < text.len() || text.is_empty()) && digits.bytes().all(|c| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn known(host: &str) -> bool {
        is_known(
            host.as_bytes(),
            &["proxy.example".to_owned(), "redis_proxy".to_owned()],
        )
    }

    #[test]
    fn addresses_loopback_names_and_those_given_are_known() {
        for host in [
            "localhost",
            "localhost:9001",
            "LocalHost.",
            "a.b.localhost:1",
            "127.0.0.1",
            "127.8.9.1:9001",
            "10.1.2.3:9001",
            "[::1]",
            "[::1]:9001",
            "[fe80::1]:9001",
            "proxy.example",
            "Proxy.Example.:9001",
            "redis_proxy:9001",
            " localhost ",
            "localhost:",
        ] {
            assert!(known(host), "{host}");
        }
    }

    #[test]
    fn every_other_name_is_not() {
        for host in [
            "",
            ":9001",
            ".",
            "evil.example",
            "evil.example:9001",
            "notlocalhost",
            "localhost.evil.example",
            "127.0.0.1.evil.example",
            "127.0.0.1evil",
            "127.1",
            "0x7f.0.0.1",
            "2130706433",
            "proxy.example.evil.example",
            "evil.proxy.example",
            "proxy.example..",
            "proxy.example:9001:1",
            "proxy.example:x",
            "user@localhost",
            "localhost/",
            "::1",
            "[::1",
            "[::1]x",
            "[localhost]",
            "[evil.example]",
            "fe80::1",
            "\u{fc}.example",
        ] {
            assert!(!known(host), "{host}");
        }
        assert!(!is_known(b"\xff", &[]));
        assert!(!is_known(b"proxy.example", &[]));
    }
}
