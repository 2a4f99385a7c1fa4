use std::os::unix::net::UnixDatagram;

use crate::common::{DEADLINE, Proxy, RedisServer};
use crate::{dist, shell, unpacked};

#[test]
#[ignore = "needs what make dist makes"]
fn the_checksums_are_those_of_the_packages() {
    let sums = dist("SHA256SUMS");
    let directory = sums.parent().expect("a directory");
    let checked = shell(directory, "sha256sum --check --strict SHA256SUMS", &[]);
    assert_eq!(checked.lines().count(), 2, "{checked}");
}

#[test]
#[ignore = "needs what make dist makes"]
fn the_binary_is_static_and_serves_a_hit() {
    let directory = unpacked("tarball");
    let interpreters = shell(
        &directory,
        "readelf --program-headers redis-proxy | grep -c INTERP || :",
        &[],
    );
    assert_eq!(interpreters.trim(), "0");

    let manager = UnixDatagram::bind(directory.join("notify")).expect("a socket");
    manager
        .set_read_timeout(Some(DEADLINE))
        .expect("a socket option");
    let redis = RedisServer::start();
    redis.set("x", "true");
    let mut command = std::process::Command::new(directory.join("redis-proxy"));
    // By name, which the binary looks up by itself.
    let address = format!("localhost:{}", redis.port());
    command
        .args([
            "--port",
            "0",
            "--redis_hostname",
            &address,
            "--redis_timeout",
            "30000",
        ])
        .env_clear()
        .env("NOTIFY_SOCKET", directory.join("notify"))
        .stderr(std::process::Stdio::piped());
    let mut proxy = Proxy::start_command(command);
    proxy.wait_for_redis();
    let mut message = [0; 16];
    let length = manager.recv(&mut message).expect("a message for systemd");
    assert_eq!(&message[..length], b"READY=1");
    let mut client = proxy.client();
    for _ in 0..2 {
        assert_eq!(client.command(&["GET", "x"]), b"$4\r\ntrue\r\n");
    }
    assert_eq!(redis.calls("get"), 1);
    assert!(proxy.terminate().success());
}

#[test]
#[ignore = "needs what make dist makes"]
fn it_has_the_licences_of_all_that_is_in_the_binary() {
    let directory = unpacked("licences");
    let licences = std::fs::read_to_string(directory.join("LICENSES")).expect("the licences");
    for part in [
        "Rust's standard library",
        "musl",
        "mio ",
        "redis ",
        "ring ",
        "rustls ",
    ] {
        assert!(licences.contains(&format!("\n{part}")), "{part}");
    }
    for text in [
        "Redistribution and use in source",
        "UNICODE LICENSE V3",
        "TERMS AND CONDITIONS",
    ] {
        assert!(licences.contains(text), "{text}");
    }
}
