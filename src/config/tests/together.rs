//! Settings that depend on each other.

use super::*;

#[test]
fn a_url_stands_for_the_settings_of_the_redis() {
    let config = from_flags(&["--redis_url", "redis://alice:hunter2@redis.example:7000/3"]);
    assert_eq!(config.redis.to_string(), "redis.example:7000");
    assert_eq!(config.redis_database, 3);
    assert_eq!(config.redis_username.as_deref(), Some("alice"));
    assert_eq!(config.redis_password, Some(Secret::new("hunter2")));
    let shown = format!("{config:?} {}", config.summary());
    assert!(!shown.contains("hunter2"), "{shown}");
    assert!(shown.contains(" redis_url=<hidden> redis_hostname=redis.example:7000 "));
    let config = from_flags(&["--redis_url=unix:///run/redis.sock", "--redis_database=2"]);
    assert_eq!(config.redis.to_string(), "/run/redis.sock");
    assert_eq!(config.redis_database, 2);
}

#[test]
fn what_a_url_says_is_not_said_twice() {
    let url = "--redis_url=redis://alice:hunter2@redis.example/3";
    for flag in [
        "redis_hostname",
        "redis_database",
        "redis_username",
        "redis_password",
    ] {
        let error = flags_error(&[url, &format!("--{flag}=7")]);
        assert_eq!(
            error,
            format!("--{flag}: conflicts with redis_url; give only one")
        );
    }
    let error = flags_error(&[url, "--redis_password_file", SECRET_FILE]);
    assert!(
        error.starts_with("--redis_password_file: the password is set"),
        "{error}"
    );
}

#[test]
fn no_error_has_the_password_of_a_url() {
    let error = flags_error(&["--redis_url", "http://:hunter2@redis.example"]);
    assert!(
        error.starts_with("--redis_url: invalid value: expected redis://"),
        "{error}"
    );
    let error = flags_error(&["--redis_url", "redis://alice@redis.example"]);
    assert_eq!(
        error,
        "--redis_url: \"alice\" needs a password; give redis_password as well"
    );
}

#[test]
fn without_a_port_there_is_another_way_in() {
    let error = flags_error(&["--port", "none"]);
    assert_eq!(error, "--port: requires unix_socket or tls_port");
    let config = from_flags(&["--port=none", "--unix_socket=/run/a"]);
    assert_eq!(
        (config.port, config.unix_socket.as_deref()),
        (None, Some("/run/a"))
    );
}

#[test]
fn permissions_are_octal() {
    let mode = |text| from_flags(&["--unix_socket_perm", text]).unix_socket_perm.0;
    assert_eq!(
        (mode("700"), mode("666"), mode("777")),
        (0o700, 0o666, 0o777)
    );
    for text in ["", "0", "077", "800", "1777", "+700", "rwx"] {
        let error = flags_error(&["--unix_socket_perm", text]);
        assert!(
            error.ends_with("expected an octal number from 600 to 777"),
            "{error}"
        );
    }
}

#[cfg(feature = "tls")]
#[test]
fn tls_needs_its_files() {
    let with = |flags: &[&str]| flags_error(flags);
    assert_eq!(with(&["--tls_port=1"]), "--tls_port: requires tls_cert");
    let cert = ["--tls_port=1", "--tls_cert=c"];
    assert_eq!(
        with(&cert),
        "--tls_port: requires tls_ca, or tls_auth_clients no"
    );
    let without_key = [&cert[..], &["--tls_auth_clients=no"]].concat();
    assert_eq!(with(&without_key), "--tls_cert: requires tls_key");
    let all = [&without_key[..], &["--tls_key=k"]].concat();
    assert_eq!(from_flags(&all).tls_port, Some(1));
    assert_eq!(
        with(&["--redis_tls=on", "--redis_tls_key=k"]),
        "--redis_tls_key: requires redis_tls_cert"
    );
}

#[cfg(feature = "tls")]
#[test]
fn settings_of_tls_are_of_no_use_without_it() {
    for flag in [
        "redis_tls_ca",
        "redis_tls_cert",
        "redis_tls_key",
        "redis_tls_server_name",
    ] {
        assert_eq!(
            flags_error(&[&format!("--{flag}=x")]),
            format!("--{flag}: requires redis_tls on, or a redis_url with rediss://")
        );
    }
    let flags = ["--redis_url=rediss://redis.example", "--redis_tls_ca=x"];
    assert!(from_flags(&flags).redis_tls.on);
    let error = flags_error(&["--redis_url=unix:///a", "--redis_tls=on"]);
    assert_eq!(error, "--redis_tls: requires off with a Unix socket");
}

#[cfg(not(feature = "tls"))]
#[test]
fn a_build_without_tls_says_so() {
    let error = flags_error(&["--redis_tls=on"]);
    assert_eq!(
        error,
        "--redis_tls: invalid value \"on\": expected off: this build has no TLS"
    );
    let error = flags_error(&["--redis_url=rediss://a"]);
    assert!(
        error.ends_with("expected redis:// or unix://: this build has no TLS"),
        "{error}"
    );
}

#[test]
fn sentinels_stand_for_the_place_of_the_redis() {
    let sentinels = "--redis_sentinels=s1.example, s2.example:7000,[::1]:7001,::2";
    let config = from_flags(&[sentinels, "--redis_sentinel_master", "my-master"]);
    assert_eq!(config.redis, RedisAddress::Master("my-master".to_owned()));
    assert_eq!(config.redis.to_string(), "sentinel:my-master");
    assert_eq!(
        config.redis_sentinels.to_string(),
        "s1.example:26379,s2.example:7000,[::1]:7001,[::2]:26379"
    );
    for text in ["a,", ",", "a:0", "a b", "redis://a", "a,[::1"] {
        let error = flags_error(&["--redis_sentinels", text]);
        assert!(
            error.contains("expected HOST or HOST:PORT of each sentinel"),
            "{error}"
        );
    }
    let none = from_flags(&["--redis_sentinels="]);
    assert_eq!(none, Config::default());
}

#[test]
fn what_sentinels_say_is_not_said_twice() {
    let sentinels = ["--redis_sentinels=s", "--redis_sentinel_master=m"];
    for (flag, name) in [
        ("--redis_url=redis://redis.example", "redis_url"),
        ("--redis_hostname=redis.example", "redis_hostname"),
    ] {
        let error = flags_error(&[sentinels[0], sentinels[1], flag]);
        let expected = format!("--redis_sentinels: conflicts with {name}; give only one");
        assert_eq!(error, expected);
    }
    // The rest is unchanged.
    let config = from_flags(
        &[
            &sentinels[..],
            &["--redis_database=3", "--redis_password=p"],
        ]
        .concat(),
    );
    assert_eq!(config.redis_database, 3);
}

#[test]
fn nodes_of_a_cluster_stand_for_the_place_of_the_redis() {
    let config = from_flags(&["--redis_cluster=n1.example, n2.example:7000,[::1]:7001"]);
    let addresses = "n1.example:6379,n2.example:7000,[::1]:7001";
    assert_eq!(config.redis_cluster.to_string(), addresses);
    assert_eq!(config.redis.to_string(), format!("cluster:{addresses}"));
    for text in ["a,", ",", "a:0", "a b", "redis://a", "a,[::1"] {
        let error = flags_error(&["--redis_cluster", text]);
        let allowed = "expected HOST or HOST:PORT of some nodes with commas between them";
        assert!(error.contains(allowed), "{error}");
    }
    assert_eq!(from_flags(&["--redis_cluster="]), Config::default());
}

#[test]
fn a_cluster_stands_beside_no_other_place_and_has_one_database() {
    for (flag, name) in [
        ("--redis_url=redis://redis.example", "redis_url"),
        ("--redis_hostname=redis.example", "redis_hostname"),
        ("--redis_sentinels=s", "redis_sentinels"),
    ] {
        let error = flags_error(&["--redis_cluster=n", flag]);
        let expected = format!("--redis_cluster: conflicts with {name}; give only one");
        assert_eq!(error, expected);
    }
    assert_eq!(
        flags_error(&["--redis_cluster=n", "--redis_database=3"]),
        "--redis_database: requires 0 with redis_cluster, as a cluster has no other"
    );
    assert_eq!(
        flags_error(&["--redis_read_from=replica"]),
        "--redis_read_from: requires redis_cluster"
    );
    let config = from_flags(&["--redis_cluster=n", "--redis_read_from=Replica"]);
    assert_eq!(config.redis_read_from, ReadFrom::Replica);
    let config = from_flags(&["--redis_cluster=n", "--redis_database=0"]);
    assert_eq!(config.redis_database, 0);
}

#[test]
fn settings_of_sentinels_need_one_another() {
    for (flags, error) in [
        (
            &["--redis_sentinels=s"][..],
            "--redis_sentinels: requires redis_sentinel_master",
        ),
        (
            &["--redis_sentinel_master=m"],
            "--redis_sentinel_master: requires redis_sentinels",
        ),
        (
            &["--redis_sentinel_password=hunter2"],
            "--redis_sentinel_password: requires redis_sentinels",
        ),
        (
            &["--redis_sentinel_username=bob"],
            "--redis_sentinel_username: \"bob\" needs a password; give redis_sentinel_password as well",
        ),
        (
            &["--redis_sentinel_tls_ca=/ca"],
            "--redis_sentinel_tls_ca: requires redis_sentinel_tls on",
        ),
    ] {
        assert_eq!(flags_error(flags), error);
    }
}

#[test]
fn redis_is_not_the_proxy_itself() {
    for (flags, setting, address) in [
        (
            &["--redis_url", "redis://localhost:8001"][..],
            "redis_url",
            "localhost:8001",
        ),
        (
            &["--redis_hostname", "127.0.0.1:8001"],
            "redis_hostname",
            "127.0.0.1:8001",
        ),
        (&["--port", "6379"], "redis_hostname", "localhost:6379"),
        (
            &["--bind", "0.0.0.0", "--redis_hostname", "127.0.0.1:8001"],
            "redis_hostname",
            "127.0.0.1:8001",
        ),
        (
            &["--bind", "::1", "--redis_cluster", "a.example,[::1]:8001"],
            "redis_cluster",
            "[::1]:8001",
        ),
        (
            &[
                "--unix_socket",
                "/run/a.sock",
                "--redis_url",
                "unix:///run/a.sock",
            ],
            "redis_url",
            "/run/a.sock",
        ),
    ] {
        let problem = "is the address of the proxy itself; give that of Redis";
        let expected = format!("--{setting}: {address} {problem}");
        assert_eq!(flags_error(flags), expected);
    }
    for flags in [
        &["--bind", "10.0.0.1", "--redis_hostname", "127.0.0.1:8001"][..],
        &[
            "--port",
            "none",
            "--unix_socket",
            "/a",
            "--redis_hostname",
            "127.0.0.1:8001",
        ],
        &["--redis_hostname", "redis.example:8001"],
    ] {
        from_flags(flags);
    }
}
