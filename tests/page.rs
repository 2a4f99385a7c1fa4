//! The page in a real browser, beside a real client. Screenshots of it are kept below the directory that cargo
//! keeps for tests, in `page/`.

mod common;

use std::fs;
use std::io::{BufRead, BufReader, Read, Write};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use common::{Http, Port, Proxy, RedisServer, SOON_AWAY, bulk, node_path, sources};

/// A browser that is told what to do by `tests/clients/javascript/page.js`; killed on drop.
struct Browser(Child);

impl Browser {
    fn open(http: &Http, screenshots: &Path) -> Self {
        let path = node_path();
        let (name, value) = path.split_once('=').expect("a variable");
        let child = Command::new("node")
            .arg(sources("javascript").join("page.js"))
            .arg(format!("http://{}/", http.address))
            .arg(screenshots)
            .env(name, value)
            .env("CHROMIUM", chromium())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .expect("node starts");
        Self(child)
    }
}

impl Drop for Browser {
    fn drop(&mut self) {
        // Both fail only when it has ended already.
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// Where the browser is.
fn chromium() -> String {
    let found = common::run_program(
        "sh",
        &["-c", "command -v chromium || command -v chromium-browser"],
        "",
    );
    let path = String::from_utf8(found.stdout).expect("a path");
    let path = path.trim();
    assert!(
        !path.is_empty(),
        "the test of the page needs chromium on the PATH (`apt-get install chromium`)"
    );
    path.to_owned()
}

#[test]
fn the_page_shows_what_a_client_just_did_and_what_becomes_of_redis_and_the_proxy() {
    let mut redis = RedisServer::start();
    // Its own also while no proxy has it.
    let port = Port::reserve();
    let port_flag = ["--port", &port.number().to_string()];
    let http = Http::start(&redis, &[SOON_AWAY, &port_flag].concat());
    let screenshots = Path::new(env!("CARGO_TARGET_TMPDIR")).join("page");
    fs::create_dir_all(&screenshots).expect("a directory");
    let mut browser = Browser::open(&http, &screenshots);
    let mut answers = browser.0.stdin.take().expect("a pipe");
    let wishes = BufReader::new(browser.0.stdout.take().expect("a pipe"));
    let metrics_flag = ["--metrics_port", &http.address.port().to_string()];
    let mut proxy = Some(http.proxy);
    let mut again = None;
    for wish in wishes.lines() {
        match wish.expect("text").as_str() {
            "300 hits and 100 misses" => {
                let mut client = proxy.as_ref().expect("a proxy").client();
                for key in 0..100 {
                    redis.set(format!("key:{key}"), "value");
                    for _ in 0..4 {
                        assert_eq!(client.get(format!("key:{key}")), bulk("value"));
                    }
                }
            }
            "Redis is stopped" => redis.stop(),
            "the proxy is stopped" => drop(proxy.take()),
            "the proxy is started again" => {
                let flags = [port_flag, metrics_flag].concat();
                again = Some(Proxy::start_at(&redis.address(), &flags));
            }
            other => panic!("{other:?}?"),
        }
        answers.write_all(b"done\n").expect("node reads");
    }
    let mut complaint = String::new();
    let stderr = browser.0.stderr.as_mut().expect("a pipe");
    stderr.read_to_string(&mut complaint).expect("text");
    let status = browser.0.wait().expect("an end");
    assert!(status.success() && again.is_some(), "{complaint}");
    for name in ["wide-light", "phone-dark", "alone"] {
        let file = screenshots.join(name).with_extension("png");
        let size = fs::metadata(&file).map_or(0, |file| file.len());
        assert!(size > 10_000, "{} has {size} bytes", file.display());
    }
}
