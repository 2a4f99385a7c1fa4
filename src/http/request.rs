//! Parses the head of a request (RFC 9112).

use httparse::{EMPTY_HEADER, Header, Status};

use super::MAX_HEAD;

/// The most header fields.
const MAX_FIELDS: usize = 64;

/// Room for the header fields of a request.
pub type Headers<'b> = [Header<'b>; MAX_FIELDS];

/// No fields yet.
#[must_use]
pub fn no_headers<'b>() -> Headers<'b> {
    [EMPTY_HEADER; MAX_FIELDS]
}

/// A request. Its body, if any, is ignored.
#[derive(Debug)]
pub struct Request<'a> {
    /// The method is GET, not HEAD.
    pub wants_body: bool,
    /// The requested host, as sent. May be missing in HTTP/1.0.
    pub host: Option<&'a [u8]>,
    /// The path, as sent.
    pub path: &'a str,
    query: &'a str,
    headers: &'a [Header<'a>],
}

/// Why the response is an error.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The bytes are not a request.
    NoRequest,
    /// Its method is neither GET nor HEAD.
    Method,
    /// Its head has more than [`MAX_HEAD`] bytes, or too many fields.
    TooLarge,
}

impl<'a> Request<'a> {
    /// Parses the request at the start of `bytes`; `None` if its head is incomplete.
    ///
    /// # Errors
    /// Why the response must be an error.
    pub fn read(bytes: &'a [u8], headers: &'a mut Headers<'a>) -> Result<Option<Self>, Refusal> {
        let mut parsed = httparse::Request::new(headers);
        match parsed.parse(bytes) {
            Ok(Status::Complete(length)) if length <= MAX_HEAD => {}
            Ok(Status::Partial) if bytes.len() < MAX_HEAD => return Ok(None),
            Ok(_) | Err(httparse::Error::TooManyHeaders) => return Err(Refusal::TooLarge),
            Err(_) => return Err(Refusal::NoRequest),
        }
        let wants_body = match parsed.method {
            Some("GET") => true,
            Some("HEAD") => false,
            _ => return Err(Refusal::Method),
        };
        let headers: &[Header<'_>] = parsed.headers;
        let hosts = fields(headers, "host").count();
        // HTTP/1.1 requires exactly one (RFC 9112, 3.2); HTTP/1.0 may have none.
        if hosts > 1 || hosts == 0 && parsed.version != Some(0) {
            return Err(Refusal::NoRequest);
        }
        let (authority, target) = split_target(parsed.path.unwrap_or_default());
        let host = authority
            .map(str::as_bytes)
            .or_else(|| fields(headers, "host").next());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        Ok(Some(Self {
            wants_body,
            host,
            path,
            query,
            headers,
        }))
    }

    /// The value of a parameter of the query; empty if there is none.
    #[must_use]
    pub fn parameter(&self, name: &str) -> &'a str {
        let mut pairs = self
            .query
            .split('&')
            .filter_map(|pair| pair.split_once('='));
        pairs
            .find(|(known, _)| *known == name)
            .map_or("", |(_, value)| value)
    }

    /// Whether the client prefers OpenMetrics at least as much as the older format. For that, it has to name
    /// OpenMetrics.
    #[must_use]
    pub fn takes_open_metrics(&self) -> bool {
        let wish = self.weight("application/openmetrics-text");
        wish > 0 && wish >= self.weight("text/plain")
    }

    /// How much a media type is preferred, from 0 to 1000, by the `Accept` fields that name it.
    fn weight(&self, media_type: &str) -> u32 {
        let ranges = fields(self.headers, "accept").flat_map(|value| value.split(|&b| b == b','));
        let weights = ranges.filter_map(|range| {
            let mut parts = range.split(|&b| b == b';').map(<[u8]>::trim_ascii);
            let named = parts.next()?.eq_ignore_ascii_case(media_type.as_bytes());
            named.then(|| parts.find_map(weight).unwrap_or(1000))
        });
        weights.max().unwrap_or(0)
    }
}

/// The weight in thousandths, if a parameter of a media type is one: `q=0.5`, with up to three decimals (RFC 9110,
/// 12.4.2).
fn weight(parameter: &[u8]) -> Option<u32> {
    let value = parameter
        .strip_prefix(b"q=")
        .or(parameter.strip_prefix(b"Q="))?;
    let digits = value.iter().filter(|byte| byte.is_ascii_digit());
    let padded = digits.chain([&b'0'; 3]).take(4);
    Some(padded.fold(0, |weight, digit| weight * 10 + u32::from(digit - b'0')))
}

/// The values of the fields named `name`.
fn fields<'a>(headers: &'a [Header<'a>], name: &str) -> impl Iterator<Item = &'a [u8]> {
    headers
        .iter()
        .filter(move |header| header.name.eq_ignore_ascii_case(name))
        .map(|header| header.value)
}

/// The authority of a target, if it has one, as in requests to proxies, and the rest of the target. The authority
/// overrides the `Host` field (RFC 9112, 3.2.2).
fn split_target(target: &str) -> (Option<&str>, &str) {
    let Some(rest) = target.strip_prefix("http://") else {
        return (None, target);
    };
    let end = rest.find(['/', '?']).unwrap_or(rest.len());
    let path = rest.find('/').map_or("/", |start| &rest[start..]);
    (Some(&rest[..end]), path)
}
