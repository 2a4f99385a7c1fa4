use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{Proxy, RedisServer};
use crate::{dist, empty, output, shell};

/// What the unit refers to, from the host: targets and slices of systemd, and `kill`.
const HOST: &str = r#"
units=$(ls -d /usr/lib/systemd/system /lib/systemd/system 2>/dev/null | head -1)
mkdir -p "$1/lib/systemd/system" "$1/bin"
cp "$units"/*.target "$units"/*.slice "$units"/*.socket "$units"/*.mount "$1/lib/systemd/system/"
cp "$(command -v kill || echo /bin/kill)" "$1/bin/kill" 2>/dev/null || cp /bin/kill "$1/bin/kill"
"#;

const DPKG: &str = "dpkg --root=\"$1\" --force-script-chrootless --force-not-root --log=/dev/null";

/// A root without anything, into which the package was installed.
fn installed(name: &str) -> PathBuf {
    let root = empty(name);
    shell(
        &root,
        &format!("{DPKG} --install \"$2\""),
        &[&root, &dist(".deb")],
    );
    root
}

#[test]
#[ignore = "needs what make dist makes"]
fn the_package_installs_into_an_empty_root_and_leaves_it_empty() {
    let root = installed("purged");
    let version = shell(&root, "usr/bin/redis-proxy --version", &[]);
    assert_eq!(
        version,
        concat!("redis-proxy ", env!("CARGO_PKG_VERSION"), "\n")
    );
    let conffiles = shell(
        &root,
        "dpkg-query --admindir=\"$1/var/lib/dpkg\" --show --showformat='${Conffiles}' redis-proxy",
        &[&root],
    );
    assert!(
        conffiles.contains("/etc/default/redis-proxy"),
        "{conffiles}"
    );
    let documents = root.join("usr/share/doc/redis-proxy");
    for name in ["README.md", "docs/operation.md", "deploy/alerts.yml"] {
        assert!(documents.join(name).exists(), "{name}");
    }
    shell(&root, &format!("{DPKG} --purge redis-proxy"), &[&root]);
    let left = shell(&root, "find . -path ./var -prune -o -type f -print", &[]);
    assert_eq!(left, "");
}

#[test]
#[ignore = "needs what make dist makes"]
fn the_installed_program_takes_the_settings_of_etc_default() {
    let root = installed("configured");
    let defaults = fs::read_to_string(root.join("etc/default/redis-proxy")).expect("the settings");
    // Each that is shown there is one.
    let shown = defaults.lines().filter_map(|line| line.strip_prefix('#'));
    let settings: Vec<_> = shown.filter_map(|line| line.split_once('=')).collect();
    assert!(settings.len() > 5, "{defaults}");
    let help = shell(&root, "usr/bin/redis-proxy --help", &[]);
    for (name, _) in &settings {
        let flag = format!("--{} ", name.to_lowercase());
        assert!(help.contains(&flag) || help.contains(flag.trim()), "{name}");
    }

    let redis = RedisServer::start();
    let mut command = std::process::Command::new(root.join("usr/bin/redis-proxy"));
    command
        .env_clear()
        .env("PORT", "0")
        .env("REDIS_HOSTNAME", redis.address())
        .env("REDIS_TIMEOUT", "30000")
        .env("MAX_MEMORY", "1mb")
        .stderr(std::process::Stdio::piped());
    let proxy = Proxy::start_command(command);
    proxy.wait_for_redis();
    let info = proxy.client().command(&["INFO", "cache"]);
    assert!(String::from_utf8_lossy(&info).contains("cache_max_memory:1048576"));
}

#[test]
#[ignore = "needs what make dist makes"]
fn systemd_finds_the_unit_right_and_safe() {
    let root = installed("unit");
    shell(&root, HOST, &[&root]);
    let script = "systemd-analyze verify --man=no --root=\"$1\" redis-proxy.service 2>&1";
    shell(&root, script, &[&root]);
    // In tenths: at most 2.0.
    let script =
        "systemd-analyze security --offline=true --threshold=20 --root=\"$1\" redis-proxy.service";
    let rating = shell(&root, script, &[&root]);
    assert!(rating.contains("Overall exposure level"), "{rating}");

    // The checks can fail.
    let unit = root.join("lib/systemd/system/redis-proxy.service");
    let text = fs::read_to_string(&unit).expect("the unit");
    let hardening = |line: &&str| {
        !line.starts_with("Protect")
            && !line.starts_with("Restrict")
            && !line.starts_with("SystemCall")
    };
    let soft: Vec<_> = text.lines().filter(hardening).collect();
    fs::write(&unit, soft.join("\n")).expect("a unit");
    assert!(!output(&root, script, &[&root]).status.success());
}

#[test]
#[ignore = "needs what make dist makes"]
fn lintian_finds_no_error() {
    let script = "lintian --fail-on error --allow-root \"$1\" 2>&1";
    shell(Path::new("/"), script, &[&dist(".deb")]);
}

#[test]
#[ignore = "needs what make dist makes"]
fn the_manual_page_is_well_formed_and_has_every_flag() {
    let root = installed("manual");
    let page = root.join("usr/share/man/man1/redis-proxy.1.gz");
    let complaints = shell(
        &root,
        "man --warnings --local-file \"$1\" 2>&1 >/dev/null",
        &[&page],
    );
    assert_eq!(complaints, "");
    let shown = shell(
        &root,
        "MANWIDTH=200 man --local-file \"$1\" | col -b",
        &[&page],
    );
    let help = shell(&root, "usr/bin/redis-proxy --help", &[]);
    let flags = help
        .lines()
        .filter_map(|line| line.trim().strip_prefix("--"));
    let flags: Vec<_> = flags
        .filter_map(|line| line.split_whitespace().next())
        .collect();
    assert!(flags.len() > 50, "{help}");
    for flag in flags {
        assert!(shown.contains(&format!("--{flag}")), "{flag}");
    }
}
