//! From the first line of the log to the exit status, and what the process costs when nobody asks.

mod common;

use std::net::{SocketAddr, TcpListener, TcpStream};
use std::time::{Duration, Instant};

use common::{
    Client, Proxy, RedisServer, SOON_AWAY, assert_same, bulk, eventually, eventually_read, noise,
    proxy_command,
};

/// The flags under which Redis may take longer than a test waits for anything: whatever waits for it, the test fails.
const FOR_EVER: &[&str] = &["--redis_timeout", "600000"];

/// Asserts that a line is `LEVEL [2026-01-01T00:00:00.000Z target] message`, and returns the rest from the
/// target on.
#[track_caller]
fn message_of(line: &str) -> &str {
    let (level, rest) = line.split_at(6);
    let levels = ["ERROR ", "WARN  ", "INFO  ", "DEBUG ", "TRACE "];
    assert!(levels.contains(&level), "{line}");
    let (time, rest) = rest.split_once(' ').unwrap_or_else(|| panic!("{line}"));
    let shape: String = time
        .chars()
        .map(|c| if c.is_ascii_digit() { '9' } else { c })
        .collect();
    assert_eq!(shape, "[9999-99-99T99:99:99.999Z", "{line}");
    assert!(rest.contains("] "), "{line}");
    rest
}

#[test]
fn the_first_line_of_the_log_says_where_it_listens() {
    let redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    let log = proxy.log();
    let version = env!("CARGO_PKG_VERSION");
    assert_eq!(
        message_of(&log[0]),
        format!(
            "redis_proxy::server::listeners] listening address={} version={version}",
            proxy.address()
        )
    );
    assert_ne!(proxy.address().port(), 0);
    assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
}

#[test]
fn the_log_shows_the_configuration_in_effect() {
    let redis = RedisServer::start();
    let flags = ["--capacity", "77", "--cache-ttl=1234"];
    let proxy = Proxy::start(&redis, &[SOON_AWAY, &flags].concat());
    let line = proxy.wait_for_log("configured");
    for setting in [
        "capacity=77",
        "cache_ttl_ms=1234",
        "cache_period_ms=100",
        "max_clients=10000",
        "redis_timeout_ms=1000",
        &format!("redis_hostname={}", redis.address()),
    ] {
        assert!(message_of(&line).contains(setting), "{setting}: {line}");
    }
}

#[test]
fn a_service_that_is_called_like_a_setting_does_no_harm() {
    let redis = RedisServer::start();
    let mut command = proxy_command(&redis.address(), &[]);
    command.env("METRICS_PORT", "tcp://10.96.0.12:9001");
    command.env("REDIS_PROXY_PORT", "tcp://10.96.0.13:8001");
    let proxy = Proxy::start_command(command);
    proxy.wait_for_log("configured");
    let line = proxy.wait_for_log("variable ignored");
    assert!(
        message_of(&line).contains(" variable=METRICS_PORT "),
        "{line}"
    );
    assert_same(&proxy.client().command(&["PING"]), b"+PONG\r\n", &"PING");
    // The flag says which port it is: nobody looks for a variable.
    assert_eq!(proxy.count_in_log("variable ignored"), 1);
}

#[test]
fn a_mistyped_variable_is_logged() {
    let redis = RedisServer::start();
    let mut command = proxy_command(&redis.address(), &[]);
    command.env("REDIS_PROXY_CAPACTIY", "7");
    let line = Proxy::start_command(command).wait_for_log("unknown variable");
    let message = " variable=REDIS_PROXY_CAPACTIY nearest=REDIS_PROXY_CAPACITY";
    assert!(message_of(&line).ends_with(message), "{line}");
}

#[test]
fn every_event_is_one_line_of_the_same_shape() {
    let mut redis = RedisServer::start();
    let mut proxy = Proxy::start(&redis, &["--log_level", "trace"]);
    let mut client = proxy.client();
    client.command(&["FOO", "line\r\nbreak", "\u{1b}[31m"]);
    client.get("line\nbreak");
    redis.stop_noticed_by(&proxy);
    proxy.terminate();
    proxy.wait_for_log("stopped");
    let log = proxy.log();
    assert!(log.len() >= 5, "{log:?}");
    for line in &log {
        message_of(line);
    }
}

#[test]
fn requests_leave_nothing_in_the_log() {
    let redis = RedisServer::start();
    redis.set("x", "true");
    let proxy = Proxy::start(&redis, &[]);
    let mut client = proxy.client();
    let before = proxy.log();
    for _ in 0..20 {
        client.send("GET x\r\nGET missing\r\nPING\r\nFOO\r\nGET\r\n");
        client.read_replies(5);
    }
    proxy.let_it_read();
    assert_eq!(proxy.log(), before);
}

#[test]
fn the_password_is_neither_logged_nor_visible() {
    let secret = "a-password-to-find";
    let redis = RedisServer::start_with(&["--requirepass", secret]);
    let by_flag = ["--log_level", "trace", "--redis_password", secret];
    let mut by_environment = proxy_command(&redis.address(), &by_flag[..2]);
    by_environment.env("REDIS_PASSWORD", secret);
    for command in [proxy_command(&redis.address(), &by_flag), by_environment] {
        let mut proxy = Proxy::start_command(command);
        proxy.wait_for_log("redis up");
        assert_same(
            &proxy.client().get("x"),
            b"$-1\r\n",
            &"the password was used",
        );
        let visible = proxy.visible_command_line();
        assert!(
            visible.contains("redis_hostname") && !visible.contains(secret),
            "{visible}"
        );
        proxy.terminate();
        proxy.wait_for_log("stopped");
        let log = proxy.log().join("\n");
        assert!(!log.contains(secret), "{log}");
    }
}

#[test]
fn a_wrong_password_is_not_logged_either() {
    let secret = "a-wrong-password-to-find";
    let redis = RedisServer::start_with(&["--requirepass", "right"]);
    let flags = ["--log_level", "trace", "--redis_password", secret];
    let proxy = Proxy::start_at(&redis.address(), &flags);
    proxy.wait_for_log("WRONGPASS");
    assert!(
        !proxy
            .client()
            .get("x")
            .escape_ascii()
            .to_string()
            .contains(secret)
    );
    let log = proxy.log().join("\n");
    assert!(!log.contains(secret), "{log}");
}

#[test]
fn only_this_machine_can_connect_unless_bind_says_so() {
    let redis = RedisServer::start();
    // Another address of the same machine.
    let elsewhere = |proxy: &Proxy| SocketAddr::from(([127, 0, 0, 2], proxy.address().port()));
    let proxy = Proxy::start(&redis, &[]);
    assert!(TcpStream::connect(elsewhere(&proxy)).is_err());
    let proxy = Proxy::start(&redis, &["--bind", "0.0.0.0"]);
    let mut client = Client::connect(elsewhere(&proxy));
    assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
}

#[test]
fn a_port_that_is_taken_ends_the_program_with_its_name() {
    let taken = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = taken
        .local_addr()
        .expect("a bound socket")
        .port()
        .to_string();
    let mut command = proxy_command("127.0.0.1:1", &["--port", &port]);
    let output = command.output().expect("the proxy runs");
    assert!(!output.status.success());
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(errors.contains(&format!("127.0.0.1:{port}")), "{errors}");
    assert!(errors.contains("Address already in use"), "{errors}");
    assert_eq!(errors.lines().count(), 1, "{errors}");
}

#[test]
fn sigterm_and_sigint_end_it_with_status_0() {
    let redis = RedisServer::start();
    for signal in ["TERM", "INT"] {
        let mut proxy = Proxy::start(&redis, &[]);
        let mut client = proxy.client();
        assert_same(&client.command(&["PING"]), b"+PONG\r\n", &"PING");
        proxy.signal(signal);
        let status = proxy.wait_for_exit();
        assert_eq!(status.code(), Some(0), "{signal}");
        proxy.wait_for_log(&format!("shutting down signal=SIG{signal}"));
        proxy.wait_for_log("stopped");
        assert_same(
            &client.read_to_end(),
            b"",
            &"the connection is closed in order",
        );
        assert!(TcpStream::connect(proxy.address()).is_err());
    }
}

#[test]
fn idle_clients_and_a_redis_that_is_away_delay_no_exit() {
    let redis = RedisServer::not_started();
    let mut proxy = Proxy::start_at(&redis.address(), FOR_EVER);
    let mut clients: Vec<_> = (0..50).map(|_| proxy.client()).collect();
    clients[0].send("*2\r\n$3\r\nGET\r\n");
    proxy.let_it_read();
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[test]
fn what_was_received_before_a_signal_is_answered() {
    let redis = RedisServer::start();
    redis.set("a", "value of a");
    redis.set("large", noise(3_000_000));
    let mut proxy = Proxy::start(&redis, &["--redis_timeout", "15000"]);
    let mut waiting = proxy.client();
    let mut large = proxy.client();
    redis.pause();
    waiting.send("GET a\r\nPING\r\n");
    large.send("GET large\r\n");
    proxy.let_it_read();
    proxy.signal("TERM");
    proxy.wait_for_log("shutting down");
    eventually("nobody is accepted any more", || {
        TcpStream::connect(proxy.address()).is_err()
    });
    assert!(waiting.has_received_nothing());
    redis.resume();
    let expected = [bulk("value of a"), b"+PONG\r\n".to_vec()].concat();
    assert_same(&waiting.read_to_end(), &expected, &"a miss and PING");
    assert_same(
        &large.read_to_end(),
        &bulk(noise(3_000_000)),
        &"a large value",
    );
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn what_lies_in_the_sockets_when_a_signal_comes_is_answered() {
    let redis = RedisServer::start();
    redis.set("x", "true");
    let mut proxy = Proxy::start(&redis, &[]);
    let mut clients: Vec<_> = (0..20).map(|_| proxy.client()).collect();
    proxy.let_it_read();
    // Requests and signal wait together.
    proxy.signal("STOP");
    for client in &mut clients {
        client.send("GET x\r\n".repeat(500));
    }
    proxy.signal("TERM");
    proxy.signal("CONT");
    for client in &mut clients {
        assert_same(
            &client.read_to_end(),
            &bulk("true").repeat(500),
            &"500 GETs",
        );
    }
    assert_eq!(proxy.wait_for_exit().code(), Some(0));
}

#[test]
fn a_redis_that_hangs_delays_the_exit_by_its_timeout_at_most() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::start(&redis, &["--redis_timeout", "1000"]);
    let mut client = proxy.client();
    redis.pause();
    client.send("PING\r\nGET a\r\n");
    proxy.let_it_read();
    assert_eq!(proxy.terminate().code(), Some(0));
    let replies = client.read_to_end();
    assert!(
        replies.starts_with(b"+PONG\r\n-ERR backing Redis at "),
        "{}",
        replies.escape_ascii()
    );
}

#[test]
fn a_client_that_doesnt_read_delays_the_exit_by_the_timeout_at_most() {
    let redis = RedisServer::start();
    redis.set("large", noise(100_000));
    let mut proxy = Proxy::start(&redis, &["--redis_timeout", "500"]);
    let mut client = proxy.client();
    client.send("GET large\r\n".repeat(2000));
    proxy.let_it_read();
    assert_eq!(proxy.terminate().code(), Some(0));
}

#[test]
fn a_second_signal_ends_it_at_once() {
    let redis = RedisServer::start();
    let mut proxy = Proxy::start(&redis, FOR_EVER);
    redis.pause();
    let mut client = proxy.client();
    client.send("GET a\r\n");
    proxy.let_it_read();
    proxy.signal("TERM");
    proxy.wait_for_log("shutting down");
    assert!(client.has_received_nothing());
    proxy.terminate();
}

#[test]
fn a_log_that_nobody_reads_any_more_ends_nothing() {
    let mut redis = RedisServer::start();
    let proxy = Proxy::start(&redis, &[]);
    proxy.close_log_after("redis down");
    redis.stop_noticed_by(&proxy);
    redis.start_again();
    redis.set("a", "1");
    // The line that says that Redis is up has nowhere to go.
    eventually_read(&proxy, "a", &bulk("1"));
}

#[test]
fn an_idle_proxy_with_an_empty_cache_never_wakes_up() {
    let redis = RedisServer::start();
    // The time of clients is over long after.
    let proxy = Proxy::start(&redis, &["--cache_period", "10", "--timeout", "3600"]);
    let mut clients: Vec<_> = (0..10).map(|_| proxy.client()).collect();
    for client in &mut clients {
        assert_same(&client.get("missing"), b"$-1\r\n", &"a missing key");
    }
    assert_sleeps(&proxy);
}

#[test]
fn the_loop_wakes_up_to_remove_entries_and_sleeps_again_when_there_are_none() {
    let redis = RedisServer::start();
    redis.set("x", "true");
    let flags = ["--cache_period", "10", "--cache_ttl", "800"];
    let proxy = Proxy::start(&redis, &flags);
    let mut client = proxy.client();
    eventually("the loop wakes up by itself", || {
        assert_same(&client.get("x"), &bulk("true"), &"x");
        // What the request itself took is over by then, and the entry's time is not, if the machine is not too busy.
        std::thread::sleep(Duration::from_millis(200));
        let before = proxy.sleeps_of_the_loop();
        let end = Instant::now() + Duration::from_secs(1);
        while Instant::now() < end && proxy.sleeps_of_the_loop() == before {
            std::thread::sleep(Duration::from_millis(5));
        }
        proxy.sleeps_of_the_loop() > before
    });
    assert_sleeps(&proxy);
}

/// More than the loop computes while it has nothing to do but to look now and then.
const AT_REST: Duration = Duration::from_millis(100);

/// Waits until the thread of the loop sleeps through two seconds: whatever is done each second would wake it.
#[track_caller]
fn assert_sleeps(proxy: &Proxy) {
    eventually("the loop rests", || {
        let before = (proxy.sleeps_of_the_loop(), proxy.cpu_time_of_the_loop());
        std::thread::sleep(Duration::from_secs(2));
        let slept = proxy.sleeps_of_the_loop() == before.0;
        // One that only looks, and never waits, does not go to sleep either.
        slept && proxy.cpu_time_of_the_loop() - before.1 < AT_REST
    });
}

#[test]
fn a_port_that_is_open_to_the_network_is_warned_about_unless_it_has_a_password() {
    let redis = RedisServer::start();
    let open = Proxy::start(&redis, &["--bind", "0.0.0.0", "--protected_mode", "no"]);
    let line = open.wait_for_log("open to the network without a password bind=0.0.0.0");
    assert!(line.starts_with("WARN "), "{line}");
    open.wait_for_log("redis up");
    for flags in [
        &["--bind", "0.0.0.0", "--password", "x"][..],
        &["--bind", "127.0.0.1"],
    ] {
        let proxy = Proxy::start(&redis, flags);
        proxy.wait_for_log("redis up");
        assert!(
            proxy
                .log()
                .iter()
                .all(|line| !line.contains("open to the network"))
        );
    }
}
