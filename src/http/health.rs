//! Health checks: whether the proxy is alive and ready, with a line of JSON that says why.

use super::Site;
use super::response::Response;
use crate::json::Object;
use crate::status::{RedisState, Status};

const JSON: &str = "application/json";

/// Liveness: if the event loop were stuck, there would be no response.
#[must_use]
pub fn alive(status: &Status<'_>) -> Response {
    let mut line = Object::default();
    line.text("status", "alive");
    describe(status, &mut line);
    Response::ok(JSON, line.finish() + "\n")
}

/// Readiness: requests can be answered, by Redis or from the cache, and no shutdown has begun.
#[must_use]
pub fn ready(site: &Site<'_>) -> Response {
    let status = &site.status;
    let serves_stale = status.cache.keeps_stale();
    let (ready, reason) = match status.redis {
        _ if site.shutting_down => (false, "the proxy is shutting down"),
        RedisState::Up => (true, "Redis is reachable"),
        _ if serves_stale => (
            true,
            "Redis is unreachable; cached entries are served, including stale ones",
        ),
        RedisState::Down(_) => (false, "Redis is unreachable"),
        RedisState::Unknown => (false, "connecting to Redis"),
    };
    let mut line = Object::default();
    line.text("status", if ready { "ready" } else { "not ready" })
        .text("reason", reason);
    describe(status, &mut line);
    let code = if ready {
        "200 OK"
    } else {
        "503 Service Unavailable"
    };
    Response::new(code, JSON, line.finish() + "\n")
}

/// Adds the state of the proxy.
fn describe(status: &Status<'_>, line: &mut Object) {
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
