//! The program's flags, environment and file from outside: what can be seen before it serves.

use std::ffi::OsStr;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

/// The program, with nothing of this test's own environment.
fn redis_proxy() -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_redis-proxy"));
    command.env_clear().stdin(Stdio::null());
    command
}

/// A file for this run of the tests alone, on the file system of the program.
fn temporary(name: &str) -> PathBuf {
    Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("{name}-{}", std::process::id()))
}

fn run(command: &mut Command) -> Output {
    command.output().expect("the program runs")
}

#[track_caller]
fn assert_fails(command: &mut Command, error: &str) {
    let output = run(command);
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        format!("redis-proxy: {error}\n")
    );
    assert_eq!(output.status.code(), Some(2));
    assert!(output.stdout.is_empty());
}

#[track_caller]
fn text_for(flag: &str) -> String {
    let output = run(redis_proxy().arg(flag));
    assert_eq!(output.status.code(), Some(0));
    assert!(output.stderr.is_empty());
    String::from_utf8(output.stdout).expect("UTF-8")
}

#[test]
fn help_goes_to_standard_output() {
    let help = text_for("--help");
    assert!(help.starts_with("Usage: redis-proxy "), "{help}");
    assert!(help.contains("--redis_hostname"), "{help}");
    assert!(help.contains("\n\nCache:\n  --cache_period "), "{help}");
    assert_eq!(help, text_for("-h"));
}

#[test]
fn version_goes_to_standard_output() {
    let version = concat!("redis-proxy ", env!("CARGO_PKG_VERSION"), "\n");
    assert_eq!(text_for("--version"), version);
    assert_eq!(text_for("-V"), version);
}

#[test]
fn a_wrong_flag_ends_the_program() {
    assert_fails(
        redis_proxy().args(["--port", "8001", "--capacity", "0"]),
        "--capacity: invalid value \"0\": expected a whole number of entries from 1 to 4294967295",
    );
    assert_fails(
        redis_proxy().arg("--nonsense"),
        "--nonsense: unknown flag; see redis-proxy --help",
    );
}

#[test]
fn a_wrong_variable_ends_the_program() {
    assert_fails(
        redis_proxy().env("CACHE_TTL", "abc"),
        "CACHE_TTL (environment): invalid value \"abc\": expected \
         a whole number of milliseconds from 1 to 31536000000",
    );
}

#[test]
fn text_that_is_not_utf8_ends_the_program() {
    let wrong = OsStr::from_bytes(b"\xff");
    assert_fails(
        redis_proxy().arg("--port").arg(wrong),
        "--port: the value is not UTF-8",
    );
    assert_fails(
        redis_proxy().env("PORT", wrong),
        "PORT (environment): the value is not UTF-8",
    );
}

#[test]
fn a_file_that_is_not_there_ends_the_program() {
    assert_fails(
        redis_proxy().args(["--config", "/nope"]),
        "--config: can't read \"/nope\": No such file or directory (os error 2)",
    );
}

#[test]
fn a_wrong_file_ends_the_program() {
    let path = temporary("config");
    std::fs::write(&path, "# small\n\ncapacity = 0\n").expect("a temporary file");
    let error = format!(
        "{}:3: capacity: invalid value \"0\": expected \
         a whole number of entries from 1 to 4294967295",
        path.display()
    );
    assert_fails(redis_proxy().arg("--config").arg(&path), &error);
    assert_fails(redis_proxy().env("CONFIG", &path), &error);
    std::fs::remove_file(&path).expect("the file is still there");
}

/// The program waits for its file, and so can be looked at, while the file is a pipe that is open.
#[cfg(target_os = "linux")]
#[test]
fn a_password_among_the_arguments_leaves_the_process_list() {
    use std::time::{Duration, Instant};

    let mut process = redis_proxy()
        .args(["--redis_password", "hunter2", "--redis_username=alice"])
        .args(["--config", "/dev/stdin"])
        .stdin(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");

    let of_process = |name: &str| {
        let bytes = std::fs::read(format!("/proc/{}/{name}", process.id())).expect("a process");
        String::from_utf8(bytes).expect("UTF-8")
    };
    let program = env!("CARGO_BIN_EXE_redis-proxy");
    let expected = [
        program,
        "--redis_username=alice",
        "--config",
        "/dev/stdin",
        "",
    ]
    .join("\0");
    // Nothing tells when a process has replaced itself.
    let deadline = Instant::now() + Duration::from_secs(20);
    while of_process("cmdline") != expected {
        assert!(Instant::now() < deadline, "{:?}", of_process("cmdline"));
        std::thread::sleep(Duration::from_millis(1));
    }
    assert_eq!(
        of_process("environ"),
        "REDIS_PROXY_REDIS_PASSWORD=hunter2\0REDIS_PROXY_MOVED_FLAGS=redis_password\0"
    );

    let mut file = process.stdin.take().expect("a pipe");
    file.write_all(b"nonsense").expect("the program reads");
    drop(file);
    let output = process.wait_with_output().expect("the program ends");
    assert_eq!(
        String::from_utf8_lossy(&output.stderr),
        "redis-proxy: /dev/stdin:1: not a setting; give a line as name = value\n"
    );
}

/// The program's name in the file system is gone before it runs, so it can't run itself again.
#[cfg(target_os = "linux")]
#[test]
fn a_password_that_cant_be_moved_is_used_where_it_is() {
    use std::os::fd::AsRawFd;

    let path = temporary("removed");
    std::fs::hard_link(env!("CARGO_BIN_EXE_redis-proxy"), &path).expect("another name");
    let program = std::fs::File::open(&path).expect("the program");
    std::fs::remove_file(&path).expect("the name is still there");

    let removed = format!("/proc/{}/fd/{}", std::process::id(), program.as_raw_fd());
    let output = run(Command::new(removed).env_clear().args([
        "--redis_password",
        "hunter2",
        "--capacity",
        "0",
    ]));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        errors.contains("redis-proxy: --capacity: invalid value \"0\": "),
        "{errors}"
    );
    assert!(!errors.contains("hunter2"), "{errors}");
    assert_eq!(output.status.code(), Some(2));
}
