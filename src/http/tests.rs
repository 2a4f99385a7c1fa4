use super::metrics::{FAMILIES, Kind};
use super::*;
use crate::cache::Limits;
use crate::clock::Time;
use crate::proxy::{Access, Proxy};

fn proxy() -> Proxy {
    let limits = Limits {
        entries: 10,
        memory: 1000,
        reply: 0,
        ttl: Duration::from_secs(1),
        stale_ttl: Duration::ZERO,
    };
    Proxy::new(limits, Access::default(), 0)
}

/// The response to a request, if it is complete.
fn response(request: impl AsRef<[u8]>) -> Option<String> {
    let (proxy, history) = (proxy(), History::default());
    let site = Site {
        status: proxy.status(Time::from_millis(1500)),
        history: &history,
        names: &["proxy.example".to_owned()],
        shutting_down: false,
    };
    respond(request.as_ref(), &site).map(|bytes| String::from_utf8(bytes).expect("text"))
}

/// The code of a response, its fields and its body.
#[track_caller]
fn split(response: &str) -> (&str, &str, &str) {
    let (head, body) = response.split_once("\r\n\r\n").expect("a head");
    let (status, fields) = head.split_once("\r\n").expect("a status line");
    let code = status.strip_prefix("HTTP/1.1 ").expect("a version");
    (&code[..3], fields, body)
}

#[track_caller]
fn code(request: impl AsRef<[u8]>) -> String {
    split(&response(request).expect("a response")).0.to_owned()
}

fn get(target: &str) -> String {
    format!("GET {target} HTTP/1.1\r\nHost: localhost\r\n\r\n")
}

fn metrics_for(accept: &str) -> String {
    let request = format!("GET /metrics HTTP/1.1\r\nHost: localhost\r\n{accept}\r\n");
    response(request).expect("a response")
}

#[test]
fn a_request_is_answered_when_its_head_is_complete_and_not_before() {
    let request = get("/healthz");
    for end in 0..request.len() {
        assert_eq!(response(&request[..end]), None, "{end}");
    }
    assert_eq!(code(&request), "200");
    assert_eq!(code(request + "GET / HTTP/1.1"), "200");
}

#[test]
fn paths_are_taken_as_they_come_and_queries_are_left_out() {
    for (target, expected) in [
        ("/", "200"),
        ("/page.js", "200"),
        ("/page.css", "200"),
        ("/icon.svg", "200"),
        ("/metrics?x=y", "200"),
        ("/status.json?after=7", "200"),
        ("http://localhost:9001/healthz", "200"),
        ("http://localhost:9001", "200"),
        ("/healthz/", "404"),
        ("//healthz", "404"),
        ("/../metrics", "404"),
        ("/%6detrics", "404"),
        ("/favicon.ico", "404"),
        ("*", "404"),
        ("/?", "200"),
    ] {
        assert_eq!(code(get(target)), expected, "{target}");
    }
}

#[test]
fn only_names_that_nobody_else_can_have_lead_here_are_answered() {
    let code = |target: &str, fields: &str| code(format!("GET {target} HTTP/1.1\r\n{fields}\r\n"));
    let paths = [
        "/",
        "/page.js",
        "/metrics",
        "/healthz",
        "/readyz",
        "/status.json",
    ];
    for path in paths {
        assert_eq!(
            code(path, "Host: rebound.example:9001\r\n"),
            "403",
            "{path}"
        );
        for host in ["Proxy.Example:9001", "10.1.2.3:9001", "localhost"] {
            let code = code(path, &format!("hOST: {host}\r\n"));
            assert_ne!(code, "403", "{path} {host}");
        }
    }
    // The target overrides the field.
    let absolute = "http://rebound.example/metrics";
    assert_eq!(code(absolute, "Host: localhost\r\n"), "403");
    assert_eq!(
        code("http://localhost?a=b", "Host: rebound.example\r\n"),
        "200"
    );
}

#[test]
fn only_get_and_head_are_allowed() {
    for method in [
        "POST", "PUT", "DELETE", "OPTIONS", "TRACE", "CONNECT", "get",
    ] {
        let request = get("/").replacen("GET", method, 1);
        let response = response(request).expect("a response");
        let (code, fields, _) = split(&response);
        assert_eq!(code, "405", "{method}");
        assert!(fields.contains("\r\nAllow: GET, HEAD"), "{fields}");
    }
}

#[test]
fn head_is_answered_as_get_without_the_body() {
    for target in ["/", "/metrics", "/healthz", "/readyz", "/none"] {
        let get = get(target);
        let whole = response(&get).expect("a response");
        let head = response(get.replacen("GET", "HEAD", 1)).expect("a response");
        let (_, fields, body) = split(&whole);
        assert!(fields.contains(&format!("Content-Length: {}\r\n", body.len())));
        assert_eq!(head, whole[..whole.len() - body.len()], "{target}");
    }
}

#[test]
fn what_is_no_request_is_refused_at_once() {
    for garbage in [
        &b"*1\r\n$4\r\nPING\r\n"[..],
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03",
        b"GET\r\n",
        b"GET / HTTP/2.0\r\n",
        b"GET / HTTP/1.1\r\nno colon\r\n",
        b"GET / HTTP/1.1\r\nHost: localhost\r\nHost: b\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET /\0 HTTP/1.1\r\n",
    ] {
        assert_eq!(code(garbage), "400", "{}", garbage.escape_ascii());
    }
    // Before HTTP/1.1, requests named no host.
    assert_eq!(code("GET /healthz HTTP/1.0\r\n\r\n"), "200");
}

#[test]
fn a_head_has_a_size_and_a_number_of_fields() {
    let long = |size: usize| {
        let start = "GET / HTTP/1.1\r\nHost: localhost\r\nX: ";
        format!("{start}{}\r\n\r\n", "x".repeat(size - start.len() - 4))
    };
    assert_eq!(code(long(MAX_HEAD)), "200");
    assert_eq!(code(long(MAX_HEAD + 1)), "431");
    assert_eq!(response(&long(MAX_HEAD)[..MAX_HEAD - 1]), None);
    assert_eq!(code("GET /".to_owned() + &"x".repeat(MAX_HEAD)), "431");
    let fields = |count| {
        format!(
            "GET / HTTP/1.1\r\nHost: localhost\r\n{}\r\n",
            "X: y\r\n".repeat(count)
        )
    };
    assert_eq!(code(fields(63)), "200");
    assert_eq!(code(fields(64)), "431");
}

#[test]
fn open_metrics_have_to_be_asked_for_by_name() {
    let prometheus = "application/openmetrics-text;version=1.0.0;q=0.5,\
        application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2";
    for (accept, open) in [
        ("application/openmetrics-text", true),
        ("Application/OpenMetrics-Text; version=1.0.0", true),
        (prometheus, true),
        ("text/html, application/openmetrics-text;q=0.001", true),
        ("text/plain;q=0.5, application/openmetrics-text;q=0.5", true),
        (
            "text/plain;q=0.6, application/openmetrics-text;q=0.59",
            false,
        ),
        ("text/plain, application/openmetrics-text;q=0.9", false),
        ("application/openmetrics-text;q=0", false),
        ("application/openmetrics-text; q=0.000", false),
        ("application/openmetrics-text;q=none", false),
        ("*/*", false),
        ("", false),
    ] {
        let response = metrics_for(&format!("Accept: {accept}\r\n"));
        let (_, fields, body) = split(&response);
        assert_eq!(body.ends_with("# EOF\n"), open, "{accept}");
        let media_type = if open {
            "Content-Type: application/openmetrics-text; version=1.0.0; charset=utf-8\r\n"
        } else {
            "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"
        };
        assert!(fields.starts_with(media_type), "{accept}: {fields}");
    }
    let two = metrics_for("Accept: text/html\r\nAccept: application/openmetrics-text\r\n");
    assert!(two.ends_with("# EOF\n"));
    assert!(!metrics_for("").ends_with("# EOF\n"));
}

#[test]
fn every_metric_is_told_in_both_formats() {
    let plain = metrics_for("");
    let open = metrics_for("Accept: application/openmetrics-text\r\n");
    for family in FAMILIES.iter().filter(|family| !family.is_of_nodes()) {
        let name = family.name;
        let (kind, samples) = match family.kind {
            Kind::Counter => ("counter", format!("{name}_total")),
            Kind::Gauge => ("gauge", name.to_owned()),
            Kind::Histogram => ("histogram", name.to_owned()),
            Kind::Info => ("info", format!("{name}_info")),
        };
        let old_kind = if kind == "info" { "gauge" } else { kind };
        assert!(
            plain.contains(&format!("# HELP {samples} {}\n", family.help)),
            "{name}"
        );
        assert!(
            plain.contains(&format!("# TYPE {samples} {old_kind}\n")),
            "{name}"
        );
        assert!(
            open.contains(&format!("# HELP {name} {}\n", family.help)),
            "{name}"
        );
        assert!(open.contains(&format!("# TYPE {name} {kind}\n")), "{name}");
        for unit in ["seconds", "bytes"] {
            let told = open.contains(&format!("# UNIT {name} {unit}\n"));
            assert_eq!(told, name.ends_with(unit), "{name}");
        }
    }
    assert!(!plain.contains("# UNIT") && !plain.contains("# EOF"));
}

#[test]
fn names_and_help_texts_follow_the_conventions() {
    let mut names: Vec<&str> = FAMILIES.iter().map(|family| family.name).collect();
    names.sort_unstable();
    names.dedup();
    assert_eq!(names.len(), FAMILIES.len(), "a name comes twice");
    for family in FAMILIES {
        let name = family.name;
        let plain = |c: char| c.is_ascii_lowercase() || c == '_';
        assert!(name.chars().all(plain), "{name}");
        assert!(
            name.starts_with("redis_proxy_") || name.starts_with("process_"),
            "{name}"
        );
        for end in [
            "_total", "_count", "_sum", "_bucket", "_info", "_created", "_ms", "_us",
        ] {
            assert!(!name.ends_with(end), "{name}");
        }
        assert!(
            !family.help.ends_with('.') && !family.help.contains(['\n', '\\']),
            "{name}"
        );
        assert!(
            family
                .help
                .starts_with(|c: char| c.is_ascii_uppercase() || c == '1'),
            "{name}"
        );
    }
}

#[test]
fn nothing_is_loaded_from_elsewhere_or_kept() {
    for target in [
        "/",
        "/page.css",
        "/page.js",
        "/icon.svg",
        "/status.json",
        "/none",
    ] {
        let response = response(get(target)).expect("a response");
        let (_, fields, body) = split(&response);
        let body = body.replace("http://www.w3.org/2000/svg", "");
        assert!(!body.contains("//") || target == "/page.js", "{target}");
        assert!(!body.contains("://") && !body.contains("url("), "{target}");
        for field in [
            "Content-Security-Policy: default-src 'none'; script-src 'self'; style-src 'self'; ",
            "frame-ancestors 'none'",
            "X-Content-Type-Options: nosniff\r\n",
            "Cache-Control: no-store\r\n",
            "Referrer-Policy: no-referrer\r\n",
            "Connection: close\r\n",
        ] {
            assert!(fields.contains(field), "{target}: {field}");
        }
        assert!(!fields.contains("unsafe"), "{target}");
    }
}

#[test]
fn the_page_is_small_and_has_neither_scripts_nor_styles_in_its_text() {
    let files = ["/", "/page.css", "/page.js", "/icon.svg"];
    let sizes = files.map(|file| response(get(file)).expect("a response").len());
    assert!(sizes.iter().sum::<usize>() < 21_000, "{sizes:?}");
    let page = response(get("/")).expect("a response");
    assert!(page.contains("<script src=\"/page.js\" defer></script>"));
    assert_eq!(page.matches("<script").count(), 1);
    for inline in ["style=", "onclick=", "<style", "javascript:"] {
        assert!(!page.contains(inline), "{inline}");
    }
}

#[test]
fn the_history_is_told_from_where_the_reader_was() {
    let (proxy, mut history) = (proxy(), History::default());
    for second in 1..=history::LENGTH as u64 + 10 {
        history.note(&proxy.status(Time::from_millis(second * 1000)));
    }
    let rows = |after: &str| {
        let site = Site {
            status: proxy.status(Time::default()),
            history: &history,
            names: &[],
            shutting_down: false,
        };
        let request = get(&format!("/status.json{after}"));
        let response = respond(request.as_bytes(), &site).expect("a response");
        let response = String::from_utf8(response).expect("text");
        assert!(response.contains("\"count\":310,"), "{response}");
        let (_, rows) = response.split_once("\"rows\":[").expect("rows");
        let first = rows.split_once(".000,").map(|(first, _)| first.to_owned());
        (rows.matches('[').count(), first)
    };
    assert_eq!(rows(""), (300, Some("[11".into())));
    assert_eq!(rows("?after=308"), (2, Some("[309".into())));
    assert_eq!(rows("?x=1&after=5"), (300, Some("[11".into())));
    assert_eq!(rows("?after=310"), (0, None));
    assert_eq!(
        rows("?after=99999999999999999999"),
        (300, Some("[11".into()))
    );
    assert_eq!(rows("?after=400"), (0, None));
}
