//! Parses rules: `PATTERN OPTION…`, separated by [`Rules::BETWEEN`].

use std::str::FromStr;
use std::time::Duration;

use super::value::{YEAR_MS, memory, milliseconds};
use crate::rules::{Listener, Pattern, RULES_MAX, Rule, Rules};

/// The longest pattern, and the longest prefix, in bytes.
const TEXT_MAX: usize = 1024;

const OPTIONS: &str = "ttl=MS, stale=MS, nocache, max_reply=BYTES, refresh=MS, pin, touch=MS, missing_ttl=MS, deny, \
    readonly, allow, prefix=TEXT, listener=port|tls_port|unix_socket and user=NAME";

/// One or more rules, separated by [`Rules::BETWEEN`]. The error says what is allowed.
impl FromStr for Rules {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut rules = Self::default();
        add(text, &mut rules)?;
        Ok(rules)
    }
}

/// Adds the rules in a text, if all are valid, or says what is allowed, as the end of a sentence that starts with
/// "give".
pub(super) fn add(text: &str, rules: &mut Rules) -> Result<(), String> {
    let words: Vec<&str> = text.split_ascii_whitespace().collect();
    let mut all = rules.clone();
    // An empty text contains no rule.
    for words in words.split(|word| *word == Rules::BETWEEN) {
        if let [pattern, options @ ..] = words {
            all.push(rule(pattern, options)?);
        } else if text.contains(Rules::BETWEEN) {
            return Err("a rule on both sides of each \";\"".to_owned());
        }
    }
    if all.iter().len() > RULES_MAX {
        return Err(format!("at most {RULES_MAX} rules"));
    }
    *rules = all;
    Ok(())
}

fn rule(pattern: &str, options: &[&str]) -> Result<Rule, String> {
    if pattern.len() > TEXT_MAX {
        return Err(format!("a pattern of at most {TEXT_MAX} bytes"));
    }
    let mut rule = Rule::new(Pattern::new(pattern.as_bytes()));
    if options.is_empty() {
        return Err(format!(
            "options after the pattern {pattern:?}: some of {OPTIONS}"
        ));
    }
    for (number, option) in options.iter().enumerate() {
        let name = |option: &str| option.split('=').next().map(str::to_owned);
        let earlier = &options[..number];
        if earlier.iter().any(|earlier| name(earlier) == name(option)) {
            return Err(format!("{option:?} of {pattern:?} only once"));
        }
        set(&mut rule, option).map_err(|allowed| format!("{allowed} (in {option:?})"))?;
    }
    check(&rule)?;
    Ok(rule)
}

/// Sets an option.
fn set(rule: &mut Rule, option: &str) -> Result<(), String> {
    let time = |text, least| milliseconds(text, least..=YEAR_MS).map(Some);
    match option.split_once('=') {
        Some(("ttl", text)) => rule.ttl = time(text, 1)?,
        Some(("stale", text)) => rule.stale = time(text, 0)?,
        Some(("max_reply", text)) => rule.max_reply = Some(memory(text)?),
        Some(("refresh", text)) => rule.refresh = time(text, 1)?,
        Some(("touch", text)) => rule.touch = time(text, 0)?,
        Some(("missing_ttl", text)) => rule.missing_ttl = time(text, 0)?,
        Some(("prefix", text)) => rule.prefix = Some(prefix(text)?.into()),
        Some(("listener", text)) => rule.clients.listener = Some(listener(text)?),
        Some(("user", text)) if !text.is_empty() => rule.clients.user = Some(text.into()),
        None if option == "nocache" => rule.nocache = true,
        None if option == "pin" => rule.pin = true,
        None if option == "deny" => rule.deny = true,
        None if option == "readonly" => rule.readonly = true,
        None if option == "allow" => rule.allow = true,
        _ => return Err(format!("one of the options {OPTIONS}")),
    }
    Ok(())
}

/// Checks a prefix. It must not contain special characters of patterns, so that it may precede a pattern.
fn prefix(text: &str) -> Result<&str, String> {
    match text {
        "" => Err(format!("a prefix of 1 to {TEXT_MAX} bytes")),
        _ if text.len() > TEXT_MAX => Err(format!("a prefix of 1 to {TEXT_MAX} bytes")),
        _ if text.contains(['*', '?', '[', ']', '\\']) => Err("a prefix without *?[]\\".to_owned()),
        _ => Ok(text),
    }
}

fn listener(text: &str) -> Result<Listener, String> {
    let mut all = Listener::ALL.into_iter();
    all.find(|listener| listener.name() == text)
        .ok_or_else(|| "port, tls_port or unix_socket as the listener".to_owned())
}

/// Checks the options of a rule about requests against each other.
fn check_requests(rule: &Rule) -> Result<(), String> {
    let pattern = &rule.pattern;
    match () {
        () if rule.prefix.is_some() && pattern.text() != b"*" => {
            Err(format!("the pattern * with a prefix, not \"{pattern}\""))
        }
        () if rule.allow && (rule.deny || rule.readonly) => {
            Err(format!("for \"{pattern}\" allow without deny or readonly"))
        }
        () if rule.clients.are_all() => Ok(()),
        () if rule.is_about_entries() || !rule.is_about_requests() => Err(format!(
            "for \"{pattern}\" listener and user only with deny, readonly, allow or prefix"
        )),
        () => Ok(()),
    }
}

/// Checks the options of a rule against each other.
fn check(rule: &Rule) -> Result<(), String> {
    check_requests(rule)?;
    let of_entries = [
        ("ttl", rule.ttl.is_some()),
        ("stale", rule.stale.is_some()),
        ("max_reply", rule.max_reply.is_some()),
        ("refresh", rule.refresh.is_some()),
        ("pin", rule.pin),
        ("touch", rule.touch.is_some()),
        ("missing_ttl", rule.missing_ttl.is_some()),
    ];
    let pattern = &rule.pattern;
    let given = of_entries.iter().find(|(_, given)| *given);
    match given {
        Some((name, _)) if rule.deny => Err(format!("for \"{pattern}\" either deny or {name}")),
        Some((name, _)) if rule.nocache => {
            Err(format!("for \"{pattern}\" either nocache or {name}"))
        }
        _ if rule.deny && rule.nocache => Err(format!("for \"{pattern}\" either deny or nocache")),
        _ if rule.deny && rule.readonly => {
            Err(format!("for \"{pattern}\" either deny or readonly"))
        }
        _ => match (rule.refresh, rule.ttl) {
            (Some(refresh), Some(ttl)) if refresh >= ttl => Err(shorter_refresh(pattern)),
            _ => Ok(()),
        },
    }
}

/// The first rule whose entries would always be within their refresh time, if they have no `ttl` of their own.
pub(super) fn refreshed_always(rules: &Rules, ttl: Duration) -> Option<String> {
    let mut rules = rules.iter();
    let found = rules.find(|rule| rule.ttl.is_none() && rule.refresh >= Some(ttl));
    found.map(|rule| shorter_refresh(&rule.pattern))
}

fn shorter_refresh(pattern: &Pattern) -> String {
    format!("for \"{pattern}\" a refresh shorter than its ttl")
}
