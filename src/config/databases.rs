//! Which databases are cached.

use std::fmt;
use std::ops::RangeInclusive;

/// A choice of databases. Displays as written: `all`, or numbers and ranges separated by commas.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum DatabaseList {
    /// All databases.
    #[default]
    All,
    /// These databases; none if the list is empty.
    These(Vec<RangeInclusive<u32>>),
}

impl DatabaseList {
    /// Whether the choice contains a database.
    #[must_use]
    pub fn has(&self, database: u32) -> bool {
        match self {
            Self::All => true,
            Self::These(ranges) => ranges.iter().any(|range| range.contains(&database)),
        }
    }
}

impl fmt::Display for DatabaseList {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ranges = match self {
            Self::All => return f.write_str("all"),
            Self::These(ranges) if ranges.is_empty() => return f.write_str("none"),
            Self::These(ranges) => ranges,
        };
        for (at, range) in ranges.iter().enumerate() {
            let comma = if at > 0 { "," } else { "" };
            match (range.start(), range.end()) {
                (first, last) if first == last => write!(f, "{comma}{first}")?,
                (first, last) => write!(f, "{comma}{first}-{last}")?,
            }
        }
        Ok(())
    }
}
