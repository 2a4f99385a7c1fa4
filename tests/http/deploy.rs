//! What `deploy/` has for Grafana and Prometheus speaks of metrics that there are.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};

use crate::common::{RedisServer, python_path, run_program, sources};
use crate::scrape::busy_proxy;

const FILES: [&str; 2] = ["grafana.json", "alerts.yml"];

/// Labels that Prometheus adds, and those of a histogram's buckets.
const ADDED: [&str; 3] = ["instance", "job", "le"];

fn deployed(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("deploy")
        .join(name)
}

/// The file's text; what JSON escapes is as it is in a query.
fn text(name: &str) -> String {
    let text = fs::read_to_string(deployed(name)).expect("a file");
    text.replace("\\\"", "\"")
}

/// The metrics that a text names, each with what is in braces behind it.
fn named(text: &str) -> Vec<(&str, &str)> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut named = Vec::new();
    let mut rest = text;
    while let Some(start) = rest.find(is_name) {
        rest = &rest[start..];
        let (word, after) = rest.split_at(rest.find(|c| !is_name(c)).unwrap_or(rest.len()));
        rest = after;
        if word.starts_with("redis_proxy_") || word.starts_with("process_") {
            let braces = rest.strip_prefix('{').and_then(|rest| rest.split_once('}'));
            named.push((word, braces.map_or("", |(matchers, _)| matchers)));
        }
    }
    named
}

/// The label and the value of each matcher in braces.
fn matchers(braces: &str) -> impl Iterator<Item = (&str, &str)> {
    let matchers = braces
        .split(',')
        .filter(|matcher| !matcher.trim().is_empty());
    matchers.map(|matcher| {
        let (label, value) = matcher.split_once('=').expect("a matcher");
        (
            label.trim().trim_end_matches('!'),
            value.trim_start_matches('~').trim_matches('"'),
        )
    })
}

/// The values of each label of each metric that the proxy tells of.
fn told(metrics: &str) -> HashMap<&str, HashMap<&str, HashSet<&str>>> {
    let mut told: HashMap<&str, HashMap<&str, HashSet<&str>>> = HashMap::new();
    for (name, labels) in named(metrics) {
        let all = told.entry(name).or_default();
        for (label, value) in matchers(labels) {
            all.entry(label).or_default().insert(value);
        }
    }
    told
}

#[test]
fn every_metric_and_label_that_they_name_is_there() {
    let redis = RedisServer::start();
    let http = busy_proxy(&redis);
    let metrics = http.metrics();
    let samples: String = metrics
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| format!("{line}\n"))
        .collect();
    let told = told(&samples);
    for file in FILES {
        let text = text(file);
        let named = named(&text);
        assert!(named.len() > 10, "{file}: {named:?}");
        for (name, braces) in named {
            let labels = told
                .get(name)
                .unwrap_or_else(|| panic!("{file}: there is no {name}"));
            for (label, value) in matchers(braces).filter(|(label, _)| !ADDED.contains(label)) {
                let values = labels
                    .get(label)
                    .unwrap_or_else(|| panic!("{file}: {name} has no {label}"));
                for value in value.split('|') {
                    assert!(
                        values.contains(value),
                        "{file}: {name} has no {label}={value}"
                    );
                }
            }
        }
        // In what is grouped by, and shown.
        let all: HashSet<&str> = told
            .values()
            .flat_map(|labels| labels.keys().copied())
            .collect();
        for start in ["by (", "without (", "on (", "{{"] {
            for part in text.split(start).skip(1) {
                let end = part.find([')', '}']).expect("an end");
                let labels = part[..end]
                    .trim()
                    .trim_start_matches("$labels.")
                    .split(", ");
                for label in labels.filter(|label| !label.starts_with("$value")) {
                    assert!(
                        all.contains(label) || ADDED.contains(&label),
                        "{file}: no label {label}"
                    );
                }
            }
        }
    }
}

/// Runs promtool on a file, which must please it.
#[track_caller]
fn promtool(arguments: &[&str], file: &Path) {
    let file = file.to_str().expect("a path");
    let run = run_program("promtool", &[arguments, &[file]].concat(), "");
    let said = [run.stdout, run.stderr].concat();
    assert!(run.status.success(), "{}", String::from_utf8_lossy(&said));
}

#[test]
fn promtool_takes_the_alerts_and_each_fires_when_it_should() {
    let rules = deployed("alerts.yml");
    promtool(&["check", "rules"], &rules);
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let cases = fs::read_to_string(root.join("tests/http/alerts.yml")).expect("a file");
    for line in fs::read_to_string(&rules).expect("a file").lines() {
        if let Some((_, alert)) = line.split_once("alert: ") {
            assert!(cases.contains(alert), "{alert} is not tested");
        }
    }
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("alerts.yml");
    let cases = cases.replace("RULES", rules.to_str().expect("a path"));
    fs::write(&file, cases).expect("a file");
    promtool(&["test", "rules"], &file);
}

#[test]
fn promtool_takes_the_queries_of_the_dashboard() {
    let program = sources("python").join("dashboard.py");
    let (program, dashboard) = (program, deployed("grafana.json"));
    let [program, dashboard] = [&program, &dashboard].map(|path| path.to_str().expect("a path"));
    let run = run_program(
        "env",
        &[&python_path(), "python3", "-B", program, dashboard],
        "",
    );
    assert!(
        run.status.success(),
        "{}",
        String::from_utf8_lossy(&run.stderr)
    );
    let file = Path::new(env!("CARGO_TARGET_TMPDIR")).join("dashboard.yml");
    fs::write(&file, run.stdout).expect("a file");
    promtool(&["check", "rules"], &file);
}
