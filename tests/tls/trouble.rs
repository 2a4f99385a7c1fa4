//! What can be wrong between the proxy and Redis; the log says what to do.

use crate::TlsRedis;
use crate::certificates::Certificates;
use crate::common::{
    Proxy, RedisServer, SOON_AWAY, assert_never_there, assert_same, bulk, listen,
    proxy_command_with, reason, run_program,
};

/// Asserts that Redis is of no use, for a reason that has all these words, in the log and in replies.
#[track_caller]
fn assert_trouble(flags: &[&str], words: &[&str]) {
    let (proxy, line) = assert_away_for(flags, words);
    let reply = proxy.client().get("a");
    let address = line.split_once("address=").expect("an address").1;
    let address = address.split(' ').next().expect("a word");
    assert!(reason(&reply, address).contains(words[0]), "{reply:?}");
    assert_eq!(proxy.count_in_log("redis down"), 1);
}

/// Asserts that Redis can't be reached, for a reason that has all these words in the log.
#[track_caller]
fn assert_away_for(flags: &[&str], words: &[&str]) -> (Proxy, String) {
    let proxy = Proxy::start_with(flags);
    let line = proxy.wait_until_down_for(words[0]);
    for word in words {
        assert!(line.contains(word), "{word}: {line}");
    }
    (proxy, line)
}

#[test]
fn a_certificate_must_be_signed_by_somebody_who_is_trusted() {
    let [certificates, others] = [Certificates::new(), Certificates::new()];
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "no"]);
    let words = ["signed by an unknown CA", "redis_tls_ca"];
    let (url, ca) = (redis.url(), others.path("ca.pem"));
    assert_trouble(&["--redis_url", &url, "--redis_tls_ca", &ca], &words);
    // Nor is it by the system, if that trusts anybody.
    let system = certificates.path("ca.pem");
    let mut command = proxy_command_with(&["--port", "0", "--redis_url", &url]);
    command.env("SSL_CERT_FILE", others.path("ca.pem"));
    Proxy::start_command(command).wait_for_log(words[0]);
    let mut command = proxy_command_with(&["--port", "0", "--redis_url", &url]);
    command.env("SSL_CERT_FILE", system);
    Proxy::start_command(command).wait_for_redis();
}

#[test]
fn a_certificate_must_not_have_expired() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "expired", &["--tls-auth-clients", "no"]);
    let (url, ca) = (redis.url(), certificates.path("ca.pem"));
    assert_trouble(
        &["--redis_url", &url, "--redis_tls_ca", &ca],
        &["its certificate has expired", "renew it"],
    );
}

#[test]
fn a_certificate_must_not_be_that_of_an_authority() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "authority", &["--tls-auth-clients", "no"]);
    let (url, ca) = (redis.url(), certificates.path("ca.pem"));
    assert_trouble(
        &["--redis_url", &url, "--redis_tls_ca", &ca],
        &["its certificate is that of a CA", "basicConstraints"],
    );
}

#[test]
fn a_certificate_must_be_for_the_host_or_for_the_name_that_is_given() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "other", &["--tls-auth-clients", "no"]);
    let (url, ca) = (redis.url(), certificates.path("ca.pem"));
    let flags = ["--redis_url", &url, "--redis_tls_ca", &ca];
    assert_trouble(&flags, &["not valid for name", "redis_tls_server_name"]);
    let named = [&flags[..], &["--redis_tls_server_name", "redis.example"]].concat();
    Proxy::start_with(&named).wait_for_redis();
}

#[test]
fn any_certificate_will_do_for_who_asks_for_that_and_is_warned() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "expired", &["--tls-auth-clients", "no"]);
    let flags = ["--redis_url", &redis.url(), "--redis_tls_insecure", "on"];
    let proxy = Proxy::start_with(&flags);
    proxy.wait_for_redis();
    let line = proxy.wait_for_log("certificates of redis are not verified");
    assert!(line.starts_with("WARN "), "{line}");
    redis.plain.set("a", "1");
    assert_same(&proxy.client().get("a"), &bulk("1"), &"a");
}

#[test]
fn a_redis_that_asks_for_a_certificate_says_so() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &["--tls-auth-clients", "yes"]);
    let (url, ca) = (redis.url(), certificates.path("ca.pem"));
    assert_trouble(
        &["--redis_url", &url, "--redis_tls_ca", &ca],
        &["it requires a client certificate", "redis_tls_cert"],
    );
}

#[test]
fn a_redis_without_tls_is_no_redis_with_it() {
    let redis = RedisServer::start();
    let address = redis.address();
    let flags = ["--redis_hostname", &address, "--redis_tls", "on"];
    // It only closes the connection, as if it restarted.
    let words = ["set redis_tls off", "redis:// instead of rediss://"];
    let reason = assert_never_there(&assert_away_for(&[SOON_AWAY, &flags].concat(), &words).0);
    assert!(reason.contains(words[0]), "{reason}");
}

#[test]
fn a_redis_with_tls_is_no_redis_without_it() {
    let certificates = Certificates::new();
    let redis = TlsRedis::start(&certificates, "server", &[]);
    let url = redis.url().replace("rediss", "redis");
    let words = ["set redis_tls on", "rediss://"];
    let flags = [SOON_AWAY, &["--redis_url", &url]].concat();
    let reason = assert_never_there(&assert_away_for(&flags, &words).0);
    assert!(reason.contains(words[0]), "{reason}");
}

#[test]
fn a_handshake_that_nobody_answers_is_given_up() {
    let listener = listen();
    let address = listener.local_addr().expect("a bound socket").to_string();
    let always = ["--redis_tls", "on", "--redis_timeout", "100"];
    let flags = [&always[..], &["--redis_hostname", &address]].concat();
    let (proxy, _) = assert_away_for(&flags, &["the TLS handshake timed out", "redis_tls off"]);
    // It may only be restarting.
    assert_never_there(&proxy);
}

#[test]
fn files_that_are_of_no_use_end_the_program_with_a_line() {
    let certificates = Certificates::new();
    let [cert, key] = certificates.pair("server");
    let other_key = certificates.pair("other")[1].clone();
    let port = ["--port", "0", "--tls_port", "1", "--tls_auth_clients", "no"];
    let redis = ["--port", "0", "--redis_tls", "on"];
    for (always, files, words) in [
        (
            &port[..],
            ["--tls_cert", "/nope", "--tls_key", &key],
            "tls_cert: \\\"/nope\\\": can't be read: No such",
        ),
        (
            &port,
            ["--tls_cert", &key, "--tls_key", &key],
            "has no certificate in PEM",
        ),
        (
            &port,
            ["--tls_cert", &cert, "--tls_key", &cert],
            "has no key in PEM",
        ),
        (
            &port,
            ["--tls_cert", &cert, "--tls_key", &other_key],
            "tls_cert and tls_key: ",
        ),
        (
            &redis,
            ["--redis_tls_ca", "/nope", "--log_level", "error"],
            "redis_tls_ca: ",
        ),
        (
            &redis,
            ["--redis_tls_server_name", "a b", "--log_level", "error"],
            "is not a valid host name",
        ),
    ] {
        let flags = [always, &files].concat();
        let run = run_program(env!("CARGO_BIN_EXE_redis-proxy"), &flags, "");
        assert_eq!(run.status.code(), Some(2), "{flags:?}");
        let said = String::from_utf8(run.stderr).expect("a text");
        assert!(said.contains(words), "{words}: {said}");
    }
}
