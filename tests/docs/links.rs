//! Links between documents lead somewhere.

use std::collections::{HashMap, HashSet};

use crate::document::{documents, prose, text};

/// The target of each link and picture in a line.
fn targets(line: &str) -> impl Iterator<Item = &str> {
    let parts = line.split("](").skip(1);
    parts.map(|part| part.split_once(')').map_or(part, |(target, _)| target))
}

/// The anchor of a heading, as hosts of repositories make it.
fn anchor(heading: &str) -> String {
    let heading = heading.trim_start_matches('#').trim().to_lowercase();
    let kept = heading
        .chars()
        .filter(|c| c.is_alphanumeric() || [' ', '-', '_'].contains(c));
    kept.map(|c| if c == ' ' { '-' } else { c }).collect()
}

/// The anchors of a document; a heading that repeats gets a number.
fn anchors(document: &str) -> HashSet<String> {
    let mut counts: HashMap<String, usize> = HashMap::new();
    let headings = prose(document).filter(|line| line.starts_with('#'));
    headings
        .map(|heading| {
            let anchor = anchor(heading);
            let count = counts.entry(anchor.clone()).or_default();
            *count += 1;
            match *count {
                1 => anchor,
                count => format!("{anchor}-{}", count - 1),
            }
        })
        .collect()
}

#[test]
fn every_link_leads_to_a_file_and_a_heading() {
    let mut checked = 0;
    for document in documents() {
        let content = text(&document);
        let directory = document.parent().expect("a directory");
        for target in prose(&content).flat_map(targets) {
            if target.contains("://") {
                continue;
            }
            let (file, heading) = target.split_once('#').unwrap_or((target, ""));
            let file = match file {
                "" => document.clone(),
                file => directory.join(file),
            };
            let at = format!("{}: {target}", document.display());
            assert!(file.exists(), "{at}");
            assert!(
                heading.is_empty() || anchors(&text(&file)).contains(heading),
                "{at}"
            );
            checked += 1;
        }
    }
    assert!(checked > 40, "{checked} links");
}

#[test]
fn the_readme_leads_to_every_document() {
    let reached: HashSet<_> = documents()
        .iter()
        .flat_map(|document| {
            let directory = document.parent().expect("a directory").to_owned();
            let content = text(document);
            let files: Vec<_> = prose(&content)
                .flat_map(targets)
                .filter(|target| !target.contains("://"))
                .filter_map(|target| target.split('#').next())
                .filter_map(|file| directory.join(file).canonicalize().ok())
                .collect();
            files
        })
        .collect();
    for document in documents() {
        let document = document.canonicalize().expect("a file");
        assert!(
            reached.contains(&document) || document.ends_with("README.md"),
            "nothing leads to {}",
            document.display()
        );
    }
}
