//! Whether the proxy is alive and ready, with one line of JSON that says why.

use super::Site;
use super::response::Response;
use crate::json::Object;
use crate::status::{RedisState, Status};

const JSON: &str = "application/json";

/// Alive: whoever reads this was answered by the loop.
#[must_use]
pub fn alive(status: &Status<'_>) -> Response {
    let mut line = Object::default();
    line.text("status", "alive");
    tell(status, &mut line);
    Response::ok(JSON, line.finish() + "\n")
}

/// Ready: requests can be answered, by Redis or from what is cached, and will be for some time.
#[must_use]
pub fn ready(site: &Site<'_>) -> Response {
    let status = &site.status;
    let serves_stale = status.cache.keeps_stale();
    let (ready, reason) = match status.redis {
        _ if site.shutting_down => (false, "the proxy shuts down"),
        RedisState::Up => (true, "Redis can be reached"),
        _ if serves_stale => (
            true,
            "Redis can't be reached; entries are served, also stale ones",
        ),
        RedisState::Down(_) => (false, "Redis can't be reached"),
        RedisState::Unknown => (false, "Redis is being connected to"),
    };
    let mut line = Object::default();
    line.text("status", if ready { "ready" } else { "not ready" })
        .text("reason", reason);
    tell(status, &mut line);
    let code = if ready {
        "200 OK"
    } else {
        "503 Service Unavailable"
    };
    Response::new(code, JSON, line.finish() + "\n")
}

/// What there is to know.
fn tell(status: &Status<'_>, line: &mut Object) {
    let away = status.metrics.redis.away_since;
    line.text("redis", status.redis.name())
        .text("redis_error", status.redis.reason())
        .float(
            "redis_away_seconds",
            away.map_or(0.0, |since| since.until(status.now).as_secs_f64()),
        )
        .text("tracking", status.tracking.name())
        .integer("entries", status.cache.len() as u64)
        .integer("clients", status.metrics.clients.connected)
        .float("uptime_seconds", status.uptime().as_secs_f64());
}
