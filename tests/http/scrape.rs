//! The metrics, as tools read them that others wrote.

use std::fs;
use std::path::Path;

use crate::common::{Http, RedisServer, eventually, python_path, run_program, sources};

/// A proxy that has seen requests of every kind.
pub fn busy_proxy(redis: &RedisServer) -> Http {
    let http = Http::start(redis, &["--capacity", "2"]);
    let mut client = http.proxy.client();
    for key in ["a", "b", "c", "a"] {
        redis.set(key, "value");
        client.get(key);
        client.get(key);
    }
    for request in [
        &["SET", "a", "1"][..],
        &["LPUSH", "a", "1"],
        &["GET"],
        &["NO\"SUCH\\COMMAND"],
        &["CLIENT", "GETNAME"],
        &["MGET", "a", "b"],
        &["MULTI"],
        &["DISCARD"],
    ] {
        client.command(request);
    }
    let failed = "redis_proxy_request_failures_total{command=\"lpush\"}";
    eventually("all is counted", || http.metric(failed) == 1.0);
    http
}

#[test]
fn prometheus_own_parsers_take_both_formats() {
    let redis = RedisServer::start();
    let http = busy_proxy(&redis);
    let program = sources("python").join("metrics.py");
    let program = program.to_str().expect("a path");
    let url = format!("http://{}/metrics", http.address);
    let run = run_program("env", &[&python_path(), "python3", "-B", program, &url], "");
    let printed = String::from_utf8_lossy(&run.stdout);
    assert!(
        run.status.success(),
        "{printed}{}",
        String::from_utf8_lossy(&run.stderr)
    );
    assert!(printed.contains(" families, "), "{printed}");
}

#[test]
fn promtool_has_nothing_to_say_of_the_metrics() {
    let redis = RedisServer::start();
    let http = busy_proxy(&redis);
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("metrics.txt");
    fs::write(&file, http.metrics()).expect("a file");
    let command = format!("promtool check metrics < {}", file.display());
    let run = run_program("sh", &["-c", &command], "");
    let said = String::from_utf8_lossy(&run.stderr);
    assert!(
        run.status.success() && said.is_empty(),
        "{said} (`apt-get install prometheus`)"
    );
}
