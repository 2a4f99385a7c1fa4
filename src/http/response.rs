//! Writing a response.

use std::borrow::Cow;

/// A response with its body.
#[derive(Debug)]
pub struct Response {
    /// The code with its phrase, `200 OK`.
    status: &'static str,
    media_type: &'static str,
    body: Cow<'static, str>,
}

/// Plain text.
const TEXT: &str = "text/plain; charset=utf-8";

/// The fields of every response. Nothing may be cached, sniffed or sent as a referrer. The page loads only its own
/// files, can't be framed, and runs no script but its own.
const FIELDS: &str = "Connection: close\r\n\
    Cache-Control: no-store\r\n\
    X-Content-Type-Options: nosniff\r\n\
    Referrer-Policy: no-referrer\r\n\
    Cross-Origin-Resource-Policy: same-origin\r\n\
    Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; \
    connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; \
    require-trusted-types-for 'script'; trusted-types 'none'\r\n";

impl Response {
    /// A successful response.
    #[must_use]
    pub fn ok(media_type: &'static str, body: impl Into<Cow<'static, str>>) -> Self {
        Self::new("200 OK", media_type, body)
    }

    /// A short text with a status such as `404 Not Found`.
    #[must_use]
    pub fn text(status: &'static str, text: &'static str) -> Self {
        Self::new(status, TEXT, text)
    }

    /// Any response.
    #[must_use]
    pub fn new(
        status: &'static str,
        media_type: &'static str,
        body: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            media_type,
            body: body.into(),
        }
    }

    /// Its bytes, with or without the body.
    #[must_use]
    pub fn encode(&self, with_body: bool) -> Vec<u8> {
        let allow = if self.status.starts_with("405") {
            "Allow: GET, HEAD\r\n"
        } else {
            ""
        };
        let mut encoded = format!(
            "HTTP/1.1 {}\r\nContent-Type: {}\r\nContent-Length: {}\r\n{FIELDS}{allow}\r\n",
            self.status,
            self.media_type,
            self.body.len(),
        );
        if with_body {
            encoded.push_str(&self.body);
        }
        encoded.into_bytes()
    }
}
