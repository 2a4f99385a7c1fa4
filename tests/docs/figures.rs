//! The figures of the README are those of the last benchmarks.

use crate::document::{check_block, path, text};

/// The cells of the first row that starts with these, behind a line that contains `heading`.
#[track_caller]
fn row<'a>(benchmarks: &'a str, heading: &str, start: &[&str]) -> Vec<&'a str> {
    let (_, table) = benchmarks.split_once(heading).expect("the table");
    let rows = table.lines().filter(|line| line.starts_with("| "));
    let mut rows = rows.map(|row| row.trim_matches('|').split('|').map(str::trim));
    rows.find(|row| row.clone().take(start.len()).eq(start.iter().copied()))
        .unwrap_or_else(|| panic!("no row {start:?} below {heading:?}"))
        .skip(start.len())
        .collect()
}

fn table(benchmarks: &str) -> String {
    let hit = |pipeline, server| row(benchmarks, "## Hits\n", &["1,000", pipeline, server]);
    let both = |pipeline, column: usize| {
        [
            hit(pipeline, "redis-server")[column],
            hit(pipeline, "redis-proxy")[column],
        ]
    };
    let mix = row(benchmarks, "| mix, each way", &["10 ms", "50", "RESP2"]);
    let [direct, through] = [mix[3], mix[5]].map(|time| format!("{time} ms"));
    let micros = |pipeline| both(pipeline, 1).map(|time| format!("{time} µs"));
    let (cpu, cpu_16) = (micros("none"), micros("16"));
    let rows: [(&str, [&str; 2]); 5] = [
        ("cached GETs per second", both("none", 0)),
        ("cached GETs per second, pipelines of 16", both("16", 0)),
        ("server CPU per GET", cpu.each_ref().map(String::as_str)),
        (
            "server CPU per GET, pipelines of 16",
            cpu_16.each_ref().map(String::as_str),
        ),
        (
            "Redis 20 ms away, nine GETs to one SET: median latency",
            [&direct, &through],
        ),
    ];
    let rows = rows.map(|(name, [redis, proxy])| format!("| {name} | {redis} | {proxy} |\n"));
    format!(
        "| | Redis alone | redis-proxy |\n|---|--:|--:|\n{}",
        rows.concat()
    )
}

#[test]
fn the_readme_shows_the_figures_of_the_benchmarks() {
    let benchmarks = text(&path("docs/benchmarks.md"));
    check_block(&path("README.md"), "figures", &table(&benchmarks));
}

#[test]
fn the_readme_has_at_most_150_lines() {
    let lines = text(&path("README.md")).lines().count();
    assert!(lines <= 150, "{lines} lines");
}
