//! Redis's address as a URL, in the form of client libraries.

use super::value::{host_and_port, number};
use super::{Config, RedisAddress, Secret};

/// What is allowed, as the end of a sentence that starts with "give".
const ALLOWED: &str = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], the same with rediss:// for TLS, or \
                       unix:///PATH[?db=DATABASE]; %40 stands for an @ in a name or password";

/// The contents of a URL.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct RedisUrl {
    pub address: RedisAddress,
    pub tls: bool,
    /// Any certificate is accepted.
    pub insecure: bool,
    pub database: Option<u32>,
    pub username: Option<String>,
    pub password: Option<Secret>,
}

impl RedisUrl {
    /// Parses a URL.
    ///
    /// # Errors
    /// What is allowed.
    pub fn parse(text: &str) -> Result<Self, String> {
        read(text).ok_or_else(|| ALLOWED.to_owned())
    }

    /// Stores the contents in the settings that the URL replaces.
    pub fn apply(self, config: &mut Config) {
        config.redis = self.address;
        config.redis_tls.insecure |= self.insecure;
        config.redis_database = self.database.unwrap_or(config.redis_database);
        config.redis_username = self.username;
        config.redis_password = self.password;
    }
}

fn read(text: &str) -> Option<RedisUrl> {
    let (scheme, rest) = text.split_once("://")?;
    let (rest, fragment) = rest.split_once('#').unwrap_or((rest, ""));
    let (rest, query) = rest.split_once('?').unwrap_or((rest, ""));
    let mut url = match scheme.to_ascii_lowercase().as_str() {
        "redis" | "valkey" => over_tcp(rest, false)?,
        "rediss" | "valkeys" => over_tcp(rest, true)?,
        "unix" | "redis+unix" | "valkey+unix" if rest.starts_with('/') => RedisUrl {
            address: RedisAddress::Unix(decoded(rest)?),
            ..RedisUrl::default()
        },
        _ => return None,
    };
    url.insecure = match fragment {
        "" => false,
        "insecure" if url.tls => true,
        _ => return None,
    };
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=')?;
        match name {
            "db" if url.database.is_none() => url.database = Some(database(value)?),
            "user" if url.username.is_none() => url.username = Some(decoded(value)?),
            "pass" if url.password.is_none() => url.password = Some(Secret::new(decoded(value)?)),
            // The proxy supports both protocol versions.
            "protocol" => {}
            _ => return None,
        }
    }
    Some(url)
}

/// Parses the part between the scheme and the query.
fn over_tcp(rest: &str, tls: bool) -> Option<RedisUrl> {
    let (authority, path) = rest.split_once('/').unwrap_or((rest, ""));
    let (user, host) = match authority.rsplit_once('@') {
        Some((user, host)) => (user, host),
        None => ("", authority),
    };
    let (username, password) = match user.split_once(':') {
        Some((username, password)) => (username, password),
        None => (user, ""),
    };
    let address = match host.strip_prefix(':') {
        _ if host.is_empty() => RedisAddress::default(),
        Some(_) => host_and_port(&format!("localhost{host}"))?,
        // With a port after it, an IPv6 address without brackets would be ambiguous.
        None if host.matches(':').count() > 1 && !host.starts_with('[') => return None,
        None => host_and_port(host)?,
    };
    Some(RedisUrl {
        address,
        tls,
        database: match path.strip_suffix('/').unwrap_or(path) {
            "" => None,
            path => Some(database(path)?),
        },
        username: some(decoded(username)?),
        password: some(decoded(password)?).map(Secret::new),
        ..RedisUrl::default()
    })
}

fn database(text: &str) -> Option<u32> {
    number(text, "", 0..=i32::MAX as u64).ok()
}

fn some(text: String) -> Option<String> {
    (!text.is_empty()).then_some(text)
}

/// The text, with each `%` and two digits replaced by the byte that they encode.
fn decoded(text: &str) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut pieces = text.split('%');
    bytes.extend_from_slice(pieces.next().unwrap_or_default().as_bytes());
    for piece in pieces {
        let digits = piece.get(..2)?;
        if !digits.bytes().all(|digit| digit.is_ascii_hexdigit()) {
            return None;
        }
        bytes.push(u8::from_str_radix(digits, 16).ok()?);
        bytes.extend_from_slice(&piece.as_bytes()[2..]);
    }
    String::from_utf8(bytes)
        .ok()
        .filter(|text| !text.contains('\0'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tcp(host: &str, port: u16) -> RedisAddress {
        let host = host.to_owned();
        RedisAddress::Tcp { host, port }
    }

    fn address(text: &str) -> RedisAddress {
        RedisUrl::parse(text).expect(text).address
    }

    #[test]
    fn each_part_may_be_left_out() {
        for text in ["redis://", "redis://localhost", "redis://localhost:6379/"] {
            assert_eq!(RedisUrl::parse(text), Ok(RedisUrl::default()), "{text}");
        }
        assert_eq!(address("redis://:7000"), tcp("localhost", 7000));
        assert_eq!(address("redis://[::1]:7000/3"), tcp("::1", 7000));
        assert_eq!(address("redis://[::1]"), tcp("::1", 6379));
        assert_eq!(
            address("redis://redis.example/1"),
            tcp("redis.example", 6379)
        );
        assert_eq!(address("valkey://10.0.0.1:7"), tcp("10.0.0.1", 7));
    }

    #[test]
    fn it_says_who_and_which_database_and_how() {
        let url = RedisUrl::parse("rediss://alice:p%40ss%3a@redis.example:6380/2").expect("a URL");
        assert_eq!(url.address, tcp("redis.example", 6380));
        assert_eq!(url.username.as_deref(), Some("alice"));
        assert_eq!(url.password, Some(Secret::new("p@ss:")));
        assert_eq!(
            (url.database, url.tls, url.insecure),
            (Some(2), true, false)
        );
        let url = RedisUrl::parse("rediss://:a@b@host?db=3&protocol=resp3#insecure");
        let url = url.expect("a URL");
        assert_eq!(
            (url.username, url.password),
            (None, Some(Secret::new("a@b")))
        );
        assert_eq!((url.database, url.tls, url.insecure), (Some(3), true, true));
    }

    #[test]
    fn a_unix_socket_has_a_path() {
        let url = RedisUrl::parse("unix:///run/my%20redis.sock?db=4&pass=x").expect("a URL");
        assert_eq!(
            url.address,
            RedisAddress::Unix("/run/my redis.sock".to_owned())
        );
        assert_eq!((url.database, url.tls), (Some(4), false));
        assert_eq!(url.password, Some(Secret::new("x")));
        assert_eq!(
            address("redis+unix:///a"),
            RedisAddress::Unix("/a".to_owned())
        );
    }

    #[test]
    fn what_is_no_url_of_a_redis_is_refused() {
        for text in [
            "localhost:6379",
            "http://localhost",
            "redis:/localhost",
            "redis://localhost:0",
            "redis://localhost:65536",
            "redis://a b",
            "redis://::1:6379",
            "redis://localhost/x",
            "redis://localhost/1/2",
            "redis://localhost/1?db=2",
            "redis://localhost?ssl=true",
            "redis://localhost#insecure",
            "redis://:%4@localhost",
            "redis://:%+4@localhost",
            "redis://:%ff@localhost",
            "unix://run/redis.sock",
            "unix:///a%00b",
        ] {
            assert_eq!(RedisUrl::parse(text), Err(ALLOWED.to_owned()), "{text}");
        }
    }
}
