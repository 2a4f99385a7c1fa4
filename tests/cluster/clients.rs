//! The clients that people use, unchanged: those that know nothing of clusters, and those that do, which find a cluster of
//! one node, the proxy.

use crate::common::cluster::{Cluster, MASTERS};
use crate::common::{node_path, python_path, run_program, sources};

/// Runs a program of `tests/clients` at the proxy's port, with further arguments; it has to end well.
#[track_caller]
fn run(kind: &str, program: &str, arguments: &[&str]) {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let port = proxy.port();
    let (variable, interpreter) = match kind {
        "python" => (python_path(), "python3"),
        _ => (node_path(), "node"),
    };
    let program = sources(kind).join(program);
    let program = program.to_str().expect("a path");
    let output = run_program(
        "env",
        &[&[&variable, interpreter, program, &port], arguments].concat(),
        "",
    );
    let [printed, errors] =
        [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
    assert!(
        output.status.success(),
        "{arguments:?}:\n{printed}\n{errors}"
    );
    for text in ["MOVED", "ASK "] {
        assert!(!printed.contains(text), "{printed}");
    }
}

#[test]
fn redis_py_works_as_at_a_single_redis() {
    for protocol in ["2", "3"] {
        run("python", "cluster.py", &[protocol, "plain"]);
    }
}

#[test]
fn redis_py_finds_a_cluster_of_one() {
    for protocol in ["2", "3"] {
        run("python", "cluster.py", &[protocol, "cluster"]);
    }
}

#[test]
fn redis_py_in_an_event_loop_finds_a_cluster_of_one() {
    run("python", "cluster.py", &["3", "asynchronous"]);
}

#[test]
fn ioredis_works_as_at_a_single_redis() {
    run("javascript", "ioredis-cluster.js", &["plain"]);
}

#[test]
fn ioredis_finds_a_cluster_of_one() {
    run("javascript", "ioredis-cluster.js", &["cluster"]);
}

#[test]
fn redis_cli_works_with_and_without_the_mode_for_clusters() {
    let cluster = Cluster::start();
    let proxy = cluster.proxy(&[]);
    let port = proxy.port();
    let keys: Vec<String> = (0..MASTERS)
        .flat_map(|master| cluster.keys_at(master, 5))
        .collect();
    let session: String = keys
        .iter()
        .map(|key| format!("set {key} \"value of {key}\"\nget {key}\n"))
        .collect();
    let expected: String = keys
        .iter()
        .map(|key| format!("OK\nvalue of {key}\n"))
        .collect();
    for mode in [&[][..], &["-c"]] {
        let cli = |arguments: &[&str], stdin: &str| {
            let output = run_program(
                "redis-cli",
                &[&["-p", &port], mode, arguments].concat(),
                stdin,
            );
            assert!(output.status.success(), "{arguments:?}: {output:?}");
            String::from_utf8(output.stdout).expect("text")
        };
        assert_eq!(cli(&[], &session), expected);
        let mut scanned: Vec<String> = cli(&["--scan"], "").lines().map(str::to_owned).collect();
        scanned.sort();
        let mut all = keys.clone();
        all.sort();
        assert_eq!(scanned, all);
        assert!(cli(&["cluster", "info"], "").contains("cluster_state:ok"));
        assert_eq!(cli(&["dbsize"], ""), format!("{}\n", keys.len()));
        assert!(cli(&["--bigkeys"], "").contains(&format!("Sampled {} keys", keys.len())));
    }
}
