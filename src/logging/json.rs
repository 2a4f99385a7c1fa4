//! A line of the log as a JSON object.

use log::Record;
use log::kv::{Error, Key, Value, VisitSource, VisitValue};

use super::{shortened, time};
use crate::json::Object;

/// The whole line, with its end.
pub(super) fn line(record: &Record<'_>) -> String {
    let mut object = Object::default();
    object
        .text("time", time())
        .text("level", record.level().as_str().to_ascii_lowercase())
        .text("message", record.args());
    // This visitor returns no errors.
    let _ = record.key_values().visit(&mut Writer(&mut object));
    object.finish() + "\n"
}

struct Writer<'a>(&'a mut Object);

impl<'kvs> VisitSource<'kvs> for Writer<'_> {
    fn visit_pair(&mut self, key: Key<'kvs>, value: Value<'kvs>) -> Result<(), Error> {
        let key = key.as_str();
        value.visit(Member {
            key,
            object: self.0,
        })
    }
}

struct Member<'a> {
    key: &'a str,
    object: &'a mut Object,
}

impl<'v> VisitValue<'v> for Member<'_> {
    fn visit_any(&mut self, value: Value<'_>) -> Result<(), Error> {
        self.object.text(self.key, shortened(&value));
        Ok(())
    }

    fn visit_null(&mut self) -> Result<(), Error> {
        Ok(())
    }

    fn visit_u64(&mut self, value: u64) -> Result<(), Error> {
        self.object.integer(self.key, value);
        Ok(())
    }

    fn visit_i64(&mut self, value: i64) -> Result<(), Error> {
        self.object.integer(self.key, value);
        Ok(())
    }

    fn visit_f64(&mut self, value: f64) -> Result<(), Error> {
        self.object.float(self.key, value);
        Ok(())
    }

    fn visit_bool(&mut self, value: bool) -> Result<(), Error> {
        self.object.boolean(self.key, value);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use log::Level;

    use super::*;

    #[test]
    fn a_line_has_the_time_the_level_the_message_and_the_keys() {
        let address = std::net::SocketAddr::from(([127, 0, 0, 1], 6379));
        let keys: [(&str, Value<'_>); 7] = [
            ("address", Value::from_display(&address)),
            ("reason", Value::from("it says \"no\"\r\n")),
            ("none", Value::null()),
            ("clients", Value::from(3usize)),
            ("change", Value::from(-3i32)),
            ("ratio", Value::from(0.5)),
            ("tracking", Value::from(true)),
        ];
        let keys = &keys[..];
        let line = line(
            &Record::builder()
                .level(Level::Warn)
                .args(format_args!("redis down"))
                .key_values(&keys)
                .build(),
        );
        let (time, rest) = line.split_at(r#"{"time":"2026-01-01T00:00:00.000Z""#.len());
        let shape: String = time
            .chars()
            .map(|c| if c.is_ascii_digit() { '9' } else { c })
            .collect();
        assert_eq!(shape, r#"{"time":"9999-99-99T99:99:99.999Z""#);
        assert_eq!(
            rest,
            ",\"level\":\"warn\",\"message\":\"redis down\",\"address\":\"127.0.0.1:6379\",\
             \"reason\":\"it says \\\"no\\\"\\r\\n\",\"clients\":3,\"change\":-3,\"ratio\":0.5,\
             \"tracking\":true}\n"
        );
    }
}
