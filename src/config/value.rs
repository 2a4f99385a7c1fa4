//! The checks of single values. Each takes text and returns a value, or says what is allowed, as the end of a sentence
//! that starts with "give".

use std::net::{IpAddr, Ipv6Addr};
use std::ops::RangeInclusive;
use std::time::Duration;

use log::LevelFilter;

use super::{
    Addresses, AuthClients, ConfigSet, DatabaseList, HostNames, Permissions, ReadFrom, RedisAddress,
};
use crate::logging::Format;

/// An hour and a year, in milliseconds, as bounds of times.
pub(super) const HOUR_MS: u64 = 60 * 60 * 1000;
pub(super) const YEAR_MS: u64 = 365 * 24 * HOUR_MS;

/// A whole number of `unit` (if it has one) within `bounds`, in decimal digits and nothing else.
pub(super) fn number<T: TryFrom<u64>>(
    text: &str,
    unit: &str,
    bounds: RangeInclusive<u64>,
) -> Result<T, String> {
    let number = digits(text).filter(|number| bounds.contains(number));
    number
        .and_then(|number| T::try_from(number).ok())
        .ok_or_else(|| allowed(unit, &bounds))
}

#[cold]
fn allowed(unit: &str, bounds: &RangeInclusive<u64>) -> String {
    let of = if unit.is_empty() { "" } else { " of " };
    let (start, end) = (bounds.start(), bounds.end());
    format!("a whole number{of}{unit} from {start} to {end}")
}

/// A time in milliseconds.
pub(super) fn milliseconds(text: &str, bounds: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, "milliseconds", bounds).map(Duration::from_millis)
}

/// A time in milliseconds, or none.
pub(super) fn milliseconds_or_none(
    text: &str,
    bounds: RangeInclusive<u64>,
) -> Result<Option<Duration>, String> {
    if text.is_empty() || text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let time = milliseconds(text, bounds);
    time.map(Some)
        .map_err(|allowed| format!("{allowed}, or none"))
}

/// A time in seconds.
pub(super) fn seconds(text: &str, bounds: RangeInclusive<u64>) -> Result<Duration, String> {
    number(text, "seconds", bounds).map(Duration::from_secs)
}

/// An amount of memory, with Redis's units (`memtoull` in its `util.c`).
pub(super) fn memory(text: &str) -> Result<usize, String> {
    let end = text
        .find(|c: char| !c.is_ascii_digit())
        .unwrap_or(text.len());
    let (number, unit) = text.split_at(end);
    let unit: Option<u64> = match unit.to_ascii_lowercase().as_str() {
        "" | "b" => Some(1),
        "k" => Some(1000),
        "kb" => Some(1 << 10),
        "m" => Some(1000 * 1000),
        "mb" => Some(1 << 20),
        "g" => Some(1000 * 1000 * 1000),
        "gb" => Some(1 << 30),
        _ => None,
    };
    unit.and_then(|unit| digits(number)?.checked_mul(unit))
        .and_then(|bytes| usize::try_from(bytes).ok())
        .ok_or_else(|| {
            "a size in bytes, such as 67108864 or 64mb (units k, kb, m, mb, g, gb); 0 for no limit"
                .to_owned()
        })
}

/// An IPv4 or IPv6 address.
pub(super) fn ip_address(text: &str) -> Result<IpAddr, String> {
    text.parse()
        .map_err(|_| "an IP address such as 127.0.0.1, 0.0.0.0 or ::".to_owned())
}

/// A host, a host and a port, or an IPv6 address, in brackets if a port follows.
pub(super) fn redis_address(text: &str) -> Result<RedisAddress, String> {
    host_and_port(text).ok_or_else(|| {
        "HOST or HOST:PORT, with brackets round an IPv6 address, such as localhost:6379 or [::1]:6379"
            .to_owned()
    })
}

/// A port, 0 for any free one, or none.
pub(super) fn port_or_none(text: &str) -> Result<Option<u16>, String> {
    if text.eq_ignore_ascii_case("none") {
        return Ok(None);
    }
    let port = number(text, "", 0..=65_535);
    port.map(Some)
        .map_err(|allowed| format!("{allowed}, or none"))
}

/// A file's permissions in octal; the owner must be able to use a socket.
pub(super) fn permissions(text: &str) -> Result<Permissions, String> {
    let is_octal = text.bytes().all(|c| (b'0'..=b'7').contains(&c));
    let mode = u32::from_str_radix(text, 8).ok();
    mode.filter(|mode| is_octal && (0o600..=0o777).contains(mode))
        .map(Permissions)
        .ok_or_else(|| "an octal number from 600 to 777".to_owned())
}

/// Whether clients must present a certificate, in any case.
pub(super) fn auth_clients(text: &str) -> Result<AuthClients, String> {
    AuthClients::ALL
        .into_iter()
        .find(|auth| text.eq_ignore_ascii_case(auth.name()))
        .ok_or_else(|| "yes, optional or no".to_owned())
}

/// Which nodes of a cluster answer reads, in any case.
pub(super) fn read_from(text: &str) -> Result<ReadFrom, String> {
    ReadFrom::ALL
        .into_iter()
        .find(|from| text.eq_ignore_ascii_case(from.name()))
        .ok_or_else(|| "master or replica".to_owned())
}

/// Who may change settings, in any case.
pub(super) fn config_set(text: &str) -> Result<ConfigSet, String> {
    ConfigSet::ALL
        .into_iter()
        .find(|who| text.eq_ignore_ascii_case(who.name()))
        .ok_or_else(|| "yes, local or no".to_owned())
}

/// A value that may require TLS. If it does in a build without TLS, `instead` says what is allowed.
pub(super) fn with_tls<T>(value: T, asks: impl Fn(&T) -> bool, instead: &str) -> Result<T, String> {
    if cfg!(feature = "tls") || !asks(&value) {
        Ok(value)
    } else {
        Err(format!("{instead}: this build has no TLS"))
    }
}

/// Host names, separated by commas; an empty text has none.
pub(super) fn host_names(text: &str) -> Result<HostNames, String> {
    let names: Vec<String> = match text {
        "" => Vec::new(),
        _ => text
            .split(',')
            .map(|name| name.trim_ascii().to_owned())
            .collect(),
    };
    if names.iter().all(|name| name.len() <= 253 && is_name(name)) {
        Ok(HostNames(names))
    } else {
        Err("NAME or NAME,NAME without ports, such as proxy.example,redis-proxy".to_owned())
    }
}

/// Databases: all, none, or numbers and ranges separated by commas.
pub(super) fn databases(text: &str) -> Result<DatabaseList, String> {
    let index = |text: &str| digits(text).and_then(|index| i32::try_from(index).ok());
    let range = |text: &str| {
        let (first, last) = text.split_once('-').unwrap_or((text, text));
        let (first, last) = (index(first.trim_ascii())?, index(last.trim_ascii())?);
        (first <= last).then(|| first.unsigned_abs()..=last.unsigned_abs())
    };
    if text.eq_ignore_ascii_case("all") {
        return Ok(DatabaseList::All);
    }
    let ranges = match text.eq_ignore_ascii_case("none") {
        true => Some(Vec::new()),
        false => text
            .split(',')
            .map(|part| range(part.trim_ascii()))
            .collect(),
    };
    ranges.map(DatabaseList::These).ok_or_else(|| {
        "all, none, or numbers and ranges with commas between them, such as 0,2,8-15".to_owned()
    })
}

/// A switch, in any case.
pub(super) fn on_or_off(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("on") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("off") {
        Ok(false)
    } else {
        Err("on or off".to_owned())
    }
}

/// A switch that Redis has too, written as in Redis.
pub(super) fn yes_or_no(text: &str) -> Result<bool, String> {
    if text.eq_ignore_ascii_case("yes") {
        Ok(true)
    } else if text.eq_ignore_ascii_case("no") {
        Ok(false)
    } else {
        Err("yes or no".to_owned())
    }
}

/// A level of the log, in any case.
pub(super) fn log_level(text: &str) -> Result<LevelFilter, String> {
    text.parse()
        .map_err(|_| "off, error, warn, info, debug or trace".to_owned())
}

/// The levels as written, in order.
pub(super) const LOG_LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

/// A format of log lines, in any case.
pub(super) fn log_format(text: &str) -> Result<Format, String> {
    [Format::Text, Format::Json]
        .into_iter()
        .find(|format| text.eq_ignore_ascii_case(format.name()))
        .ok_or_else(|| "text or json".to_owned())
}

/// Addresses of sentinels, separated by commas; an empty text has none.
pub(super) fn sentinels(text: &str) -> Result<Addresses, String> {
    addresses(text, RedisAddress::SENTINEL_PORT).ok_or_else(|| {
        "HOST or HOST:PORT of each sentinel with commas between them, such as s1.example:26379,s2.example:26379"
            .to_owned()
    })
}

/// Addresses of cluster nodes, separated by commas; none in an empty text.
pub(super) fn cluster_nodes(text: &str) -> Result<Addresses, String> {
    if !cfg!(feature = "cluster") && !text.trim_ascii().is_empty() {
        return Err("nothing: this build has no cluster support".to_owned());
    }
    addresses(text, RedisAddress::DEFAULT_PORT).ok_or_else(|| {
        "HOST or HOST:PORT of some nodes with commas between them, such as n1.example:6379,n2.example:6379"
            .to_owned()
    })
}

fn addresses(text: &str, default_port: u16) -> Option<Addresses> {
    let address = |text: &str| host_and_port_or(text.trim_ascii(), default_port);
    match text {
        "" => Some(Addresses::default()),
        _ => text
            .split(',')
            .map(address)
            .collect::<Option<_>>()
            .map(Addresses),
    }
}

pub(super) fn host_and_port(text: &str) -> Option<RedisAddress> {
    host_and_port_or(text, RedisAddress::DEFAULT_PORT)
}

/// The host and the port in a text, or this port if it names none.
fn host_and_port_or(text: &str, default: u16) -> Option<RedisAddress> {
    let (host, rest) = match text.strip_prefix('[') {
        Some(bracketed) => {
            let (host, rest) = bracketed.split_once(']')?;
            (Some(host).filter(|host| is_ipv6(host))?, rest)
        }
        None if is_ipv6(text) => (text, ""),
        None => {
            let (host, rest) = text.split_at(text.find(':').unwrap_or(text.len()));
            (
                Some(host).filter(|host| host.len() <= 253 && is_name(host))?,
                rest,
            )
        }
    };
    let port = match rest.strip_prefix(':') {
        Some(port) => number(port, "", 1..=65_535).ok()?,
        None if rest.is_empty() => default,
        None => return None,
    };
    let host = host.to_owned();
    Some(RedisAddress::Tcp { host, port })
}

/// Whether this is an IPv6 address, perhaps with a zone as in `fe80::1%eth0`.
fn is_ipv6(text: &str) -> bool {
    let (address, zone) = text.split_once('%').unwrap_or((text, "none"));
    address.parse::<Ipv6Addr>().is_ok() && is_name(zone)
}

/// Whether this can be a host name. An underscore is not valid in one, strictly, but occurs in the names of containers.
fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .bytes()
            .all(|c| c.is_ascii_alphanumeric() || matches!(c, b'.' | b'-' | b'_'))
}

fn digits(text: &str) -> Option<u64> {
    // `parse` alone would also accept a sign.
    text.bytes()
        .all(|c| c.is_ascii_digit())
        .then(|| text.parse().ok())?
}
