//! File names made from what users name.

use plugins::tree::Digest;

/// A longer name is shortened: with a snapshot id before it, it must stay below 255 bytes.
const NAME_BYTES_MAX: usize = 160;
/// What is kept of a name that is too long.
const NAME_BYTES_KEPT: usize = 128;

/// Returns a file name for `text`, readable where it can be and different for different texts.
pub(super) fn encode(text: &str) -> String {
    let mut name = String::with_capacity(text.len());
    for (at, byte) in text.bytes().enumerate() {
        let is_plain = byte.is_ascii_alphanumeric()
            || matches!(byte, b'-' | b'_' | b'+' | b'@' | b',' | b'=')
            || byte == b'.' && at > 0;
        if is_plain {
            name.push(char::from(byte));
        } else {
            name.push_str(&format!("%{byte:02X}"));
        }
    }
    shorten(name, text)
}

fn shorten(mut name: String, text: &str) -> String {
    if name.len() > NAME_BYTES_MAX {
        name.truncate(NAME_BYTES_KEPT);
        name.push('~');
        name.push_str(&Digest::of(text.as_bytes()).to_string()[..16]);
    }
    name
}

/// Returns one file name for both parts of a unit's address. A `-` in the container's name is encoded too, so that the
/// `-` between the parts is the first one.
pub fn encode_unit(container: &str, component: &str) -> String {
    let name = format!("{}-{}", encode(container).replace('-', "%2D"), encode(component));
    // Each part is short enough by itself; together, and behind a snapshot's id, they may not be.
    shorten(name, &format!("{container}:{component}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_readable_and_safe() {
        assert_eq!(encode("main"), "main");
        assert_eq!(encode("/srv/www"), "%2Fsrv%2Fwww");
        assert_eq!(encode(".hidden"), "%2Ehidden");
        assert_eq!(encode(".."), "%2E.");
        assert_eq!(encode("ü"), "%C3%BC");
    }

    #[test]
    fn long_names_stay_different() {
        let (a, b) = ("x".repeat(300), format!("{}y", "x".repeat(299)));
        assert_ne!(encode(&a), encode(&b));
        assert!(encode(&a).len() <= NAME_BYTES_MAX);
    }
}
