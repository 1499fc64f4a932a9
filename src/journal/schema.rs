//! The journal's tables. They are only ever added to, so that an older version can read a newer journal's.

use plugins::Swap;

/// The version of the tables.
pub(super) const VERSION: i64 = 1;

pub(super) const TABLES: &str = "
CREATE TABLE units (
    unit  TEXT PRIMARY KEY,
    state TEXT NOT NULL
);
CREATE TABLE restores (
    tag   TEXT PRIMARY KEY,
    unit  TEXT NOT NULL,
    phase TEXT NOT NULL,
    swap  TEXT,
    time  TEXT NOT NULL
);
";

pub(super) fn encode_swap(swap: &Swap) -> String {
    serde_json::to_string(swap).expect("a swap holds texts only")
}

pub(super) fn decode_swap(text: &str) -> Option<Swap> {
    serde_json::from_str(text).ok()
}
