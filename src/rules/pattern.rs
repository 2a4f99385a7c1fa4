//! Patterns of keys, as Redis matches them (`stringmatchlen` in its `util.c`), compiled.

use std::ffi::c_char;
use std::fmt;

/// A pattern: `*` stands for any bytes, `?` for one, `[a-c]` and `[^a-c]` for one of a class, and `\` escapes the next
/// byte. Displays as written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    text: Box<[u8]>,
    /// The part before the first special byte, unescaped.
    literal: Box<[u8]>,
    rest: Rest,
}

/// What follows the literal part.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Rest {
    /// Nothing follows.
    End,
    /// Any bytes follow.
    Any,
    /// The rest must match the pattern from this index on.
    Glob(usize),
}

impl Pattern {
    /// Compiles a pattern. Any bytes are valid.
    #[must_use]
    pub fn new(text: &[u8]) -> Self {
        let mut literal = Vec::new();
        let mut at = 0;
        let rest = loop {
            match text[at..] {
                [] => break Rest::End,
                [b'*' | b'?' | b'[', ..] => {
                    let is_stars = text[at..].iter().all(|&byte| byte == b'*');
                    // In Redis, only a single star matches the empty key.
                    let is_any = is_stars && (at > 0 || text.len() == 1);
                    break if is_any { Rest::Any } else { Rest::Glob(at) };
                }
                [b'\\', escaped, ..] => {
                    literal.push(escaped);
                    at += 2;
                }
                [byte, ..] => {
                    literal.push(byte);
                    at += 1;
                }
            }
        };
        Self {
            text: text.into(),
            literal: literal.into(),
            rest,
        }
    }

    /// Whether a key matches. Unless the pattern is a prefix or a whole key, this takes at most as many steps as the
    /// product of both lengths.
    #[must_use]
    #[inline]
    pub fn matches(&self, key: &[u8]) -> bool {
        let Some(behind) = key.strip_prefix(&*self.literal) else {
            return false;
        };
        match self.rest {
            Rest::Any => true,
            Rest::End => behind.is_empty(),
            Rest::Glob(at) => matches(&self.text[at..], behind),
        }
    }

    /// The bytes that all matching keys start with.
    #[must_use]
    pub fn literal(&self) -> &[u8] {
        &self.literal
    }

    /// The pattern as written.
    #[must_use]
    pub fn text(&self) -> &[u8] {
        &self.text
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&String::from_utf8_lossy(&self.text))
    }
}

fn matches(mut pattern: &[u8], mut text: &[u8]) -> bool {
    // Where to continue if the part after the last star does not match: that star then matches one more byte.
    let mut retry: Option<(&[u8], &[u8])> = None;
    loop {
        if let [b'*', behind @ ..] = pattern {
            // A star matches no bytes when none are left. The check below then finds the end of the pattern.
            if text.is_empty() {
                return false;
            }
            pattern = behind.trim_start_stars();
            if pattern.is_empty() {
                return true;
            }
            retry = Some((pattern, text));
        }
        let step = match text {
            [] => None,
            [byte, behind @ ..] => one(pattern, *byte).map(|pattern| (pattern, behind)),
        };
        match (step, retry) {
            (Some((pattern_behind, text_behind)), _) => {
                (pattern, text) = (pattern_behind, text_behind);
                if text.is_empty() {
                    pattern = pattern.trim_start_stars();
                    if pattern.is_empty() {
                        return true;
                    }
                }
                continue;
            }
            (None, Some((pattern_behind, [_, text_behind @ ..]))) if !text_behind.is_empty() => {
                (pattern, text) = (pattern_behind, text_behind);
                retry = Some((pattern, text));
            }
            (None, _) => return false,
        }
    }
}

trait Stars {
    fn trim_start_stars(&self) -> &Self;
}

impl Stars for [u8] {
    fn trim_start_stars(&self) -> &[u8] {
        let stars = self.iter().take_while(|&&byte| byte == b'*').count();
        &self[stars..]
    }
}

/// The rest of the pattern after its first element, if that element matches `byte`.
fn one(pattern: &[u8], byte: u8) -> Option<&[u8]> {
    match pattern {
        [] => None,
        [b'?', behind @ ..] => Some(behind),
        [b'[', class @ ..] => {
            let (is_in, behind) = in_class(class, byte);
            is_in.then_some(behind)
        }
        [b'\\', escaped, behind @ ..] => (*escaped == byte).then_some(behind),
        [literal, behind @ ..] => (*literal == byte).then_some(behind),
    }
}

/// Whether a byte is in a class, and the rest of the pattern after the class. `class` starts after the opening bracket.
/// The end of the pattern closes a class too.
fn in_class(class: &[u8], byte: u8) -> (bool, &[u8]) {
    let (is_negated, mut rest) = match class {
        [b'^', rest @ ..] => (true, rest),
        _ => (false, class),
    };
    let mut found = false;
    loop {
        rest = match rest {
            [] => break,
            [b']', behind @ ..] => {
                rest = behind;
                break;
            }
            [b'\\', escaped, behind @ ..] => {
                found |= *escaped == byte;
                behind
            }
            [start, b'-', end, behind @ ..] => {
                // Redis compares these as C chars.
                let [start, end, byte] = [*start, *end, byte].map(|byte| byte as c_char);
                found |= (start.min(end)..=start.max(end)).contains(&byte);
                behind
            }
            [literal, behind @ ..] => {
                found |= *literal == byte;
                behind
            }
        };
    }
    (found != is_negated, rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[track_caller]
    fn check(pattern: &str, matching: &[&str], others: &[&str]) {
        let compiled = Pattern::new(pattern.as_bytes());
        for key in matching {
            assert!(compiled.matches(key.as_bytes()), "{pattern} {key:?}");
        }
        for key in others {
            assert!(!compiled.matches(key.as_bytes()), "{pattern} {key:?}");
        }
    }

    #[test]
    fn a_pattern_matches_what_it_does_in_redis() {
        check("*", &["", "a", "abc"], &[]);
        check("**", &["a", "abc"], &[""]);
        check("abc", &["abc"], &["", "ab", "abcd", "xabc"]);
        check("abc*", &["abc", "abcd"], &["ab", "xabc"]);
        check("a\\*c*", &["a*c", "a*cd"], &["abc", "ac"]);
        check("h?llo", &["hello", "hallo"], &["hllo", "helllo"]);
        check("h*llo", &["hllo", "heeeello"], &["hell"]);
        check("h[ae]llo", &["hello", "hallo"], &["hillo"]);
        check("h[^e]llo", &["hallo"], &["hello"]);
        check("h[a-b]llo", &["hallo", "hbllo"], &["hello", "h-llo"]);
        check("h[b-a]llo", &["hallo", "hbllo"], &["hello"]);
        check("a[\\]]b", &["a]b"], &["a\\b", "ab"]);
        check("*ab*ab", &["abab", "xabyabzab"], &["ab", "aba"]);
        check("*:*:*", &["a:b:c", "::"], &["a:b"]);
    }

    #[test]
    fn a_class_ends_with_the_pattern() {
        check("[abc", &["a", "c"], &["d", "ab", ""]);
        check("[^", &["a"], &["", "ab"]);
        check("[", &[], &["[", "", "a"]);
        check("a\\", &["a\\"], &["a"]);
    }

    #[test]
    fn a_hostile_pattern_ends_soon() {
        let pattern = Pattern::new("*a".repeat(500).as_bytes());
        assert!(!pattern.matches(&[b'a'; 499]));
        assert!(pattern.matches(&[b'a'; 100_000]));
    }
}
