//! The names of databases that a restore makes beside the live one.

use crate::{Error, Result, Tag};

/// Bytes of the longest identifier. The server cuts longer ones off, and says so where nobody reads it.
const NAME_BYTES_MAX: usize = 63;

/// What is kept of the live name: the rest is for the mark and the tag.
const PREFIX_BYTES_MAX: usize = NAME_BYTES_MAX - STAGED.len() - Tag::LENGTH;

const STAGED: &str = ".dysno-new-";
const DISPLACED: &str = ".dysno-old-";

/// Returns the name of the staged database.
pub(crate) fn staged(database: &str, tag: &Tag) -> String {
    format!("{}{STAGED}{tag}", prefix(database))
}

/// Returns the name of the displaced database.
pub(crate) fn displaced(database: &str, tag: &Tag) -> String {
    format!("{}{DISPLACED}{tag}", prefix(database))
}

/// Returns whether a database is one that a restore made or displaced.
pub(crate) fn is_ours(database: &str) -> bool {
    [STAGED, DISPLACED]
        .iter()
        .any(|mark| database.rsplit_once(mark).is_some_and(|(_, tag)| Tag::parse(tag).is_some()))
}

/// Checks the form of a component.
pub(crate) fn check(component: &str) -> Result<()> {
    let reason = if component.is_empty() {
        "expected the name of a database"
    } else if component.len() > NAME_BYTES_MAX {
        "the name of a database has at most 63 bytes"
    } else if component.contains('\0') {
        "the name of a database holds no NUL"
    } else if component == "template0" {
        "template0 takes no connections"
    } else {
        return Ok(());
    };
    Err(Error::Component { kind: "postgres", component: component.to_owned(), reason })
}

fn prefix(database: &str) -> &str {
    &database[..database.floor_char_boundary(PREFIX_BYTES_MAX)]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_longest_name_leaves_room_for_the_tag() {
        let tag = Tag::parse("0123456789").unwrap();
        let name = staged(&"ä".repeat(31), &tag);
        assert_eq!(name, format!("{}.dysno-new-0123456789", "ä".repeat(21)));
        assert!(name.len() <= NAME_BYTES_MAX);
        assert!(is_ours(&name) && is_ours(&displaced("a", &tag)) && !is_ours("app.dysno-new-x"));
    }

    #[test]
    fn a_name_that_the_server_would_cut_is_refused() {
        assert!(check(&"x".repeat(63)).is_ok());
        assert!(check(&"x".repeat(64)).is_err());
        assert!(check("").is_err());
    }
}
