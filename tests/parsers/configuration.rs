//! Flags, environment and file.

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use redis_proxy::config::{Invocation, load};

use crate::mutate::Corpus;
use crate::{INPUTS, fuzz};

#[test]
fn configuration() {
    let corpus = Corpus::new(
        &[
            b"--cache_ttl\n5\n--redis-hostname=[::1]:6379\n--port\n0\n",
            b"--bind\n127.0.0.1\n--metrics_host\na.example,b.example\n--log_level\ninfo\n",
            b"--max_memory\n64mb\n--capacity=1024\n--tracking\non\n--config\nfile\n",
            b"--redis_username\nalice\n--redis_password\nright\n--redis_database\n3\n--help\n",
            b"cache_ttl = 60000\n# a comment\nredis_password = \"it's #1, \\\"really\\\"\"  # quoted\n",
            b"port=1\r\n\r\nmax_memory = 1gb\ntracking = off\nlog_format = json\ndrain = 10\n",
            b"password_file = secret\nredis_hostname = redis.example\nbind = ::\n",
        ],
        &[b"\n", b"=", b" = ", b"\"", b"\\", b"#", b"\0", b"\t", b"--", b"-", b"_", b":", b"[", b"]", b",", b"kb", b"gb", b"\xff", b"\xef\xbb\xbf", "\u{e4}".as_bytes(), b"tcp://10.0.0.1:9001", b"--config=file", b"--port", b"cache_ttl"],
    );
    fuzz("configuration", INPUTS, &corpus, |input, random| {
        let lines = input.split(|&byte| byte == b'\n');
        let words: Vec<OsString> = lines
            .map(|line| OsString::from_vec(line.to_vec()))
            .collect();
        let by_flags = random.bool();
        let file = vec![OsString::from("--config"), OsString::from("file")];
        let args = if by_flags { &words } else { &file };
        let number = random.usize(..words.len());
        let variable = |name: &str| {
            let is_set = matches!(name, "METRICS_PORT" | "REDIS_PROXY_MAX_MEMORY");
            is_set.then(|| words[number].clone())
        };
        let text = |_: &str| Ok(String::from_utf8_lossy(input).into_owned());
        match load(args, &variable, &text) {
            Ok(Invocation::Run(config)) => assert!(!config.summary().is_empty()),
            Ok(Invocation::Print(text)) => assert!(!text.is_empty()),
            Err(error) => assert_eq!(error.to_string().lines().count(), 1, "{error}"),
        }
    });
}
