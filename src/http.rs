//! Responds over HTTP: metrics, health, and a status page. It turns the bytes of a request and a [`Site`] into the
//! bytes of a response; the server owns the sockets.

mod exposition;
mod health;
pub mod history;
mod host;
pub mod metrics;
mod page;
mod request;
mod response;
#[cfg(test)]
mod tests;

use std::time::Duration;

use crate::status::Status;
use history::History;
use request::{Refusal, Request};
use response::Response;

/// The most bytes of a request head.
pub const MAX_HEAD: usize = 8 * 1024;

/// How long a request may take, from accepting the connection to sending the response.
pub const MAX_TIME: Duration = Duration::from_secs(5);

/// The most connections at a time.
pub const MAX_CONNECTIONS: usize = 64;

/// What the responses report.
#[derive(Clone)]
pub struct Site<'a> {
    /// The current status.
    pub status: Status<'a>,
    /// The status over time.
    pub history: &'a History,
    /// The host names that requests may use, besides addresses and loopback names.
    pub names: &'a [String],
    /// The proxy is shutting down.
    pub shutting_down: bool,
}

/// The response to a request; `None` if the request is incomplete. The connection must be closed after the response.
#[must_use]
#[inline(never)]
pub fn respond(received: &[u8], site: &Site<'_>) -> Option<Vec<u8>> {
    let mut headers = request::no_headers();
    let response = match Request::read(received, &mut headers) {
        Ok(None) => return None,
        Ok(Some(request)) => route(&request, site).encode(request.wants_body),
        Err(refusal) => refuse(refusal).encode(true),
    };
    Some(response)
}

/// The response to a request that did not arrive in time.
#[must_use]
pub fn too_late() -> Vec<u8> {
    Response::text(
        "408 Request Timeout",
        "the request did not arrive in time\n",
    )
    .encode(true)
}

fn route(request: &Request<'_>, site: &Site<'_>) -> Response {
    if request
        .host
        .is_some_and(|host| !host::is_known(host, site.names))
    {
        return Response::text(
            "403 Forbidden",
            "unknown host name; --metrics_host lists the names to accept\n",
        );
    }
    if let Some(file) = page::file(request.path) {
        return file;
    }
    match request.path {
        "/metrics" if request.takes_open_metrics() => exposition::open_metrics(&site.status),
        "/metrics" => exposition::plain(&site.status),
        "/healthz" => health::alive(&site.status),
        "/readyz" => health::ready(site),
        "/status.json" => page::status(site, request.parameter("after")),
        _ => Response::text(
            "404 Not Found",
            "not found; try /, /metrics, /healthz, /readyz or /status.json\n",
        ),
    }
}

fn refuse(refusal: Refusal) -> Response {
    match refusal {
        Refusal::NoRequest => Response::text("400 Bad Request", "not an HTTP/1 request\n"),
        Refusal::Method => Response::text("405 Method Not Allowed", "GET and HEAD are allowed\n"),
        Refusal::TooLarge => Response::text(
            "431 Request Header Fields Too Large",
            "a request head may have at most 8 KB and 64 fields\n",
        ),
    }
}
