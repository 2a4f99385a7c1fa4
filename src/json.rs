//! Writes JSON (RFC 8259): objects for log lines and for responses over HTTP.

use std::fmt::{self, Display, Write};

/// An object under construction: each method adds a member, in order. Keys must be unique.
///
/// ```
/// use redis_proxy::json::Object;
///
/// let mut object = Object::default();
/// object.text("status", "up").integer("clients", 3).boolean("stale", false);
/// assert_eq!(object.finish(), r#"{"status":"up","clients":3,"stale":false}"#);
/// ```
#[derive(Debug, Default)]
pub struct Object(String);

impl Object {
    /// Adds a string: the `Display` of `value`.
    pub fn text(&mut self, key: &str, value: impl Display) -> &mut Self {
        self.key(key);
        string(&mut self.0, value);
        self
    }

    /// Adds a whole number, of any integer type up to 64 bits.
    pub fn integer(&mut self, key: &str, value: impl Into<i128>) -> &mut Self {
        self.raw(key, value.into())
    }

    /// Adds a number, or null for values that JSON can't represent (not a number, the infinities).
    pub fn float(&mut self, key: &str, value: f64) -> &mut Self {
        if value.is_finite() {
            self.raw(key, value)
        } else {
            self.raw(key, "null")
        }
    }

    /// Adds true or false.
    pub fn boolean(&mut self, key: &str, value: bool) -> &mut Self {
        self.raw(key, value)
    }

    /// Adds text that is already JSON: a nested object or an array.
    pub fn raw(&mut self, key: &str, json: impl Display) -> &mut Self {
        self.key(key);
        append(&mut self.0, json);
        self
    }

    /// The whole object, on one line.
    #[must_use]
    pub fn finish(self) -> String {
        format!("{{{}}}", self.0)
    }

    fn key(&mut self, key: &str) {
        if !self.0.is_empty() {
            self.0.push(',');
        }
        string(&mut self.0, key);
        self.0.push(':');
    }
}

/// Appends the `Display` of `value` as a JSON string.
pub fn string(out: &mut String, value: impl Display) {
    out.push('"');
    append(&mut Escaped(out), value);
    out.push('"');
}

fn append(out: &mut impl Write, value: impl Display) {
    // Writing to a string can't fail; a value that fails to display itself has written what it could.
    let _ = write!(out, "{value}");
}

/// Escapes the characters that can't stand in a JSON string as they are: quotes, backslashes and control characters.
struct Escaped<'a>(&'a mut String);

impl Write for Escaped<'_> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for character in text.chars() {
            match character {
                '"' => self.0.push_str("\\\""),
                '\\' => self.0.push_str("\\\\"),
                '\n' => self.0.push_str("\\n"),
                '\r' => self.0.push_str("\\r"),
                '\t' => self.0.push_str("\\t"),
                '\0'..='\x1f' => write!(self.0, "\\u{:04x}", u32::from(character))?,
                _ => self.0.push(character),
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_kind_of_member_is_written_in_order() {
        let mut object = Object::default();
        object
            .text("text", "a b")
            .text("displayed", format_args!("{}:{}", "::1", 7))
            .integer("unsigned", u64::MAX)
            .integer("signed", i64::MIN)
            .float("float", -0.5)
            .boolean("boolean", true)
            .raw("raw", r#"{"a":[1,2]}"#);
        assert_eq!(
            object.finish(),
            r#"{"text":"a b","displayed":"::1:7","unsigned":18446744073709551615,"signed":-9223372036854775808,"float":-0.5,"boolean":true,"raw":{"a":[1,2]}}"#
        );
        assert_eq!(Object::default().finish(), "{}");
    }

    #[test]
    fn what_is_no_number_is_null() {
        for number in [f64::NAN, f64::INFINITY, f64::NEG_INFINITY] {
            let mut object = Object::default();
            object.float("x", number);
            assert_eq!(object.finish(), r#"{"x":null}"#);
        }
    }

    #[test]
    fn quotes_backslashes_and_control_characters_are_escaped() {
        let mut escaped = String::new();
        string(&mut escaped, "\"\\/ \n\r\t\0\u{1}\u{1b}\u{1f}");
        assert_eq!(escaped, r#""\"\\/ \n\r\t\u0000\u0001\u001b\u001f""#);
    }

    #[test]
    fn all_other_text_stays_as_it_is() {
        let mut written = String::new();
        string(&mut written, "\u{7f}ü€𝄞\u{2028}\u{fffd}");
        assert_eq!(written, "\"\u{7f}ü€𝄞\u{2028}\u{fffd}\"");
    }

    #[test]
    fn keys_are_escaped_too() {
        let mut object = Object::default();
        object.integer("a\"\n", 1);
        assert_eq!(object.finish(), r#"{"a\"\n":1}"#);
    }
}
