//! Keys and values as text.

use std::fmt;

use log::kv::{Error, Key, Source, Value, VisitSource, VisitValue};

use super::shortened;

/// Displays as ` key=value` for each key with a value. A value that is not one plain word is quoted and escaped, in
/// Rust's syntax.
pub struct Pairs<S>(pub S);

impl<S: Source> fmt::Display for Pairs<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.visit(&mut Writer(f)).map_err(|_| fmt::Error)
    }
}

struct Writer<'a, 'f>(&'a mut fmt::Formatter<'f>);

impl<'kvs> VisitSource<'kvs> for Writer<'_, '_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        value.visit(Pair { key, f: self.0 })
    }
}

struct Pair<'a, 'f, 'k> {
    key: Key<'k>,
    f: &'a mut fmt::Formatter<'f>,
}

impl<'v> VisitValue<'v> for Pair<'_, '_, '_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        let text = shortened(&value);
        if is_word(&text) {
            write!(self.f, " {}={text}", self.key)?;
        } else {
            write!(self.f, " {}={text:?}", self.key)?;
        }
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }
}

/// Whether a value needs no quotes, because a reader can find its end.
fn is_word(text: &str) -> bool {
    let plain = |c: char| c.is_ascii_graphic() && !matches!(c, '"' | '\\' | '=');
    !text.is_empty() && text.chars().all(plain)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(value: &str) -> String {
        Pairs(("key", value)).to_string()
    }

    #[test]
    fn one_plain_word_stands_as_it_is() {
        for word in [
            "a",
            "127.0.0.1:6379",
            "<none>",
            "[::1]:1",
            "0.5",
            "it's,a;b",
        ] {
            assert_eq!(shown(word), format!(" key={word}"));
        }
    }

    #[test]
    fn all_else_is_quoted_and_escaped() {
        for (value, quoted) in [
            ("", r#""""#),
            ("a b", r#""a b""#),
            ("a=b", r#""a=b""#),
            (r#"say "x""#, r#""say \"x\"""#),
            (r"a\b", r#""a\\b""#),
            ("a\r\nb\0\u{1b}[2J\u{7f}", r#""a\r\nb\0\u{1b}[2J\u{7f}""#),
            ("ü", r#""ü""#),
            ("\u{2028}\u{85}", r#""\u{2028}\u{85}""#),
        ] {
            assert_eq!(shown(value), format!(" key={quoted}"));
        }
    }

    #[test]
    fn keys_are_shown_in_order_if_they_have_a_value() {
        let keys: [(&str, Value<'_>); 5] = [
            ("number", Value::from(7)),
            ("none", Value::null()),
            ("yes", Value::from(true)),
            ("displayed", Value::from_display(&"a b")),
            ("small", Value::from(-0.5)),
        ];
        assert_eq!(
            Pairs(&keys[..]).to_string(),
            r#" number=7 yes=true displayed="a b" small=-0.5"#
        );
    }

    #[test]
    fn a_long_value_is_cut_short() {
        assert_eq!(shown(&"x".repeat(1024)).len(), " key=".len() + 1024);
        let long = "€".repeat(1025);
        let expected = format!(" key=\"{}…\"", "€".repeat(1024));
        assert_eq!(shown(&long), expected);
    }
}
