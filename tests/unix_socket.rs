//! Unix sockets, to Redis and from clients.

mod common;

use std::fs;
use std::os::unix::fs::{FileTypeExt, PermissionsExt};
use std::path::Path;

use common::{
    Proxy, RedisServer, SOON_AWAY, assert_away, assert_same, bulk, eventually, eventually_read,
    node_path, proxy_command_with, python_path, run_program, sources,
};

/// A path in a directory that goes with a Redis.
fn path_beside(redis: &RedisServer, name: &str) -> String {
    let path = redis.directory().join(name);
    path.into_os_string().into_string().expect("UTF-8")
}

/// What redis-cli prints that talks to a socket.
fn redis_cli(path: &str, arguments: &[&str]) -> String {
    let run = run_program("redis-cli", &[&["-s", path], arguments].concat(), "");
    let said = [run.stdout, run.stderr].concat();
    String::from_utf8(said)
        .expect("a text")
        .trim_end()
        .to_owned()
}

/// A Redis with a socket, and the socket's path.
fn redis_with_socket() -> (RedisServer, String) {
    let mut redis = RedisServer::not_started();
    let path = path_beside(&redis, "redis.sock");
    redis.start_again_with(&["--unixsocket", &path]);
    (redis, path)
}

#[test]
fn redis_is_reached_by_one() {
    let (redis, path) = redis_with_socket();
    let proxy = Proxy::start_with(&["--redis_url", &format!("unix://{path}")]);
    proxy.wait_for_redis();
    let mut client = proxy.client();
    redis.set("a", "1");
    assert_same(&client.get("a"), &bulk("1"), &"the miss");
    redis.set("a", "2");
    eventually("the change is seen", || client.get("a") == bulk("2"));
    assert_same(&client.command(&["MULTI"]), b"+OK\r\n", &"MULTI");
    // Of each there is one: that for RESP2, the tracker, and the dedicated one.
    let list = redis.client().command(&["CLIENT", "LIST"]);
    let list = String::from_utf8(list).expect("a text");
    let path = format!(" addr={path}:0 ");
    assert_eq!(list.matches(&path).count(), 3, "{list}");
}

#[test]
fn a_redis_behind_one_comes_and_goes() {
    let (mut redis, path) = redis_with_socket();
    let url = format!("unix://{path}");
    let proxy = Proxy::start_with(&[SOON_AWAY, &["--redis_url", &url]].concat());
    proxy.wait_for_redis();
    redis.stop();
    assert_away(&proxy);
    proxy.wait_for_log(&format!("redis down address={path} "));
    redis.start_again();
    eventually_read(&proxy, "a", b"$-1\r\n");
}

#[test]
fn clients_come_by_one() {
    let redis = RedisServer::start();
    let path = path_beside(&redis, "proxy.sock");
    let mut proxy = Proxy::start(&redis, &["--unix_socket", &path]);
    redis.set("a", "1");
    assert_eq!(redis_cli(&path, &["GET", "a"]), "1");
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
    assert_eq!(redis.calls("get"), 1);
    let info = redis_cli(&path, &["CLIENT", "INFO"]);
    assert!(
        info.contains(&format!("addr={path}:0 laddr={path}:0 ")),
        "{info}"
    );
    assert!(info.contains(" flags=U "), "{info}");
    let metadata = fs::metadata(&path).expect("a socket");
    assert!(metadata.file_type().is_socket());
    assert_eq!(metadata.permissions().mode() & 0o777, 0o770);
    assert!(proxy.terminate().success());
    assert!(!Path::new(&path).exists());
}

#[test]
fn it_may_be_the_only_way_in_for_whom_its_permissions_allow() {
    let redis = RedisServer::start();
    let path = path_beside(&redis, "proxy.sock");
    let mut command = proxy_command_with(
        &[
            &["--port", "none", "--redis_hostname", &redis.address()][..],
            &["--unix_socket", &path, "--unix_socket_perm", "600"],
        ]
        .concat(),
    );
    let mut child = command.spawn().expect("the proxy starts");
    eventually("it listens", || redis_cli(&path, &["PING"]) == "PONG");
    assert!(redis_cli(&path, &["INFO", "server"]).contains("tcp_port:0\r\n"));
    let mode = fs::metadata(&path).expect("a socket").permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    child.kill().expect("a running child");
    child.wait().expect("a child");
    // The kill left the file: the next proxy replaces it.
    let proxy = Proxy::start(&redis, &["--unix_socket", &path]);
    assert_eq!(redis_cli(&path, &["PING"]), "PONG");
    drop(proxy);
}

#[test]
fn one_that_is_in_use_stays_as_it_is() {
    let redis = RedisServer::start();
    let path = path_beside(&redis, "proxy.sock");
    let _first = Proxy::start(&redis, &["--unix_socket", &path]);
    let second = ["--port", "0", "--unix_socket", &path];
    let run = run_program(env!("CARGO_BIN_EXE_redis-proxy"), &second, "");
    let said = String::from_utf8(run.stderr).expect("a text");
    assert!(said.contains("another process listens on it"), "{said}");
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(redis_cli(&path, &["PING"]), "PONG");
}

#[test]
fn a_file_that_is_none_is_not_replaced() {
    let redis = RedisServer::start();
    let path = path_beside(&redis, "a file");
    fs::write(&path, "precious").expect("a file");
    let flags = ["--port", "0", "--unix_socket", &path];
    let run = run_program(env!("CARGO_BIN_EXE_redis-proxy"), &flags, "");
    let said = String::from_utf8(run.stderr).expect("a text");
    assert!(said.contains("it exists and is not a socket"), "{said}");
    assert_eq!(run.status.code(), Some(1));
    assert_eq!(fs::read_to_string(&path).expect("a file"), "precious");
}

#[test]
fn redis_py_ioredis_and_node_redis_are_served_by_one() {
    let redis = RedisServer::start();
    let path = path_beside(&redis, "proxy.sock");
    let _proxy = Proxy::start(&redis, &["--unix_socket", &path]);
    for (libraries, interpreter, kind, program) in [
        (python_path(), "python3", "python", "unix.py"),
        (node_path(), "node", "javascript", "unix.js"),
    ] {
        let program = sources(kind).join(program);
        let program = program.to_str().expect("a path");
        let bytecode = "PYTHONDONTWRITEBYTECODE=1";
        let arguments = [&libraries, bytecode, interpreter, program, &path];
        let run = run_program("env", &arguments, "");
        let said = [run.stdout, run.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(run.status.success(), "{program}: {said}");
    }
    // Of 400, all but the first, and those of transactions.
    let asked = redis.calls("get");
    assert!(asked <= 40, "{asked}: the cache answers");
}
