//! What the log never shows.

use crate::common::{Proxy, RedisServer, proxy_command};

/// In the names of keys and the like too; only those who give it know it.
const SECRET: &str = "a-secret-to-find";

#[test]
fn no_password_and_no_value_is_logged_whatever_clients_send() {
    let redis = RedisServer::start_with(&["--requirepass", SECRET]);
    for format in ["text", "json"] {
        let flags = [
            "--log_level",
            "trace",
            "--log_format",
            format,
            "--redis_password",
            SECRET,
            "--slowlog_slower_than",
            "0",
        ];
        let mut proxy = Proxy::start(&redis, &flags);
        for request in [
            "AUTH {}",
            "AUTH wrong-{}",
            "AUTH default {}",
            "AUTH {} {} {}",
            "AUTH nobody {}",
            "AUTH {} default",
            "HELLO 3 AUTH default {}",
            "HELLO 3 AUTH nobody {}",
            "HELLO 3 AUTH default {} SETNAME ok",
            "HELLO {}",
            "HELLO 3 {}",
            "SET key {}",
            "GET key",
            "GETSET key {}",
            "GET {}",
            "{} {}",
            "CONFIG SET requirepass {}",
            "CONFIG SET masterauth {}",
            "ACL SETUSER somebody on >{}",
            "EVAL {} 0",
            "EVAL return(KEYS[1]) 1 {}",
            "MULTI {}",
            "SUBSCRIBE {}",
            "CLIENT SETNAME \"{} with blanks\"",
            "CLIENT {}",
            "SELECT {}",
            "GET \"{}",
            "*1\r\n{}",
            "*1\r\n${}",
            "*{}",
        ] {
            let mut client = proxy.client();
            client.send(request.replace("{}", SECRET) + "\r\n");
            client.read_reply();
            client.send(format!("MULTI\r\nSET key {SECRET}\r\nEXEC\r\n"));
            client.finish_sending();
            client.read_to_end();
        }
        proxy.terminate();
        proxy.wait_for_log("stopped");
        let log = proxy.log();
        assert!(log.len() > 100, "the clients' lives are in the log");
        let shown: Vec<_> = log.iter().filter(|line| line.contains(SECRET)).collect();
        assert!(shown.is_empty(), "{shown:#?}");
    }
}

#[test]
fn a_redis_that_repeats_the_password_in_its_error_makes_nobody_show_it() {
    let redis = RedisServer::start_with(&["--rename-command", "AUTH", ""]);
    let flags = ["--redis_password", SECRET];
    let proxy = Proxy::start_at(&redis.address(), &flags);
    let line = proxy.wait_for_log("redis down");
    assert!(
        line.ends_with(r#"reason="it answers ERR unknown command 'AuTH'""#),
        "{line}"
    );
    let reply = proxy.client().get("a").escape_ascii().to_string();
    assert!(
        reply.contains("unknown command") && !reply.contains(SECRET),
        "{reply}"
    );
}

#[test]
fn flags_that_are_wrong_show_no_password_either() {
    let passwd = format!("--passwd={SECRET}");
    for flags in [
        &["--redis_password", SECRET, "--capacity", "0"][..],
        &["--password", SECRET, SECRET],
        &["--password", SECRET, "--log_format", "yaml"],
        &[&passwd],
        &["--passwd", SECRET],
    ] {
        let output = proxy_command("127.0.0.1:1", flags)
            .output()
            .expect("the program");
        assert_eq!(output.status.code(), Some(2), "{flags:?}");
        let errors = String::from_utf8_lossy(&output.stderr);
        assert!(!errors.is_empty() && !errors.contains(SECRET), "{errors}");
    }
}
