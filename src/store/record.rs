//! Records: short texts with a sum, which say what the store holds.

use std::path::Path;

use plugins::tree::Digest;

use super::error::{Error, Result};

/// A longer file is no record; refuse before allocating.
pub(crate) const RECORD_BYTES_MAX: u64 = 64 << 10;

/// Encodes a record of format 1.
pub(crate) fn encode(kind: &str, fields: &[(&str, String)]) -> String {
    let mut text = format!("{kind} 1\n");
    for (key, value) in fields {
        text.push_str(&format!("{key}: {}\n", escape(value)));
    }
    let sum = Digest::of(text.as_bytes());
    text.push_str(&format!("sum: {sum}\n"));
    text
}

/// Decodes a record that has exactly these keys, and returns their values.
pub(crate) fn decode<const N: usize>(
    path: &Path,
    bytes: &[u8],
    kind: &str,
    keys: [&str; N],
) -> Result<[String; N]> {
    let damaged = |reason: &str| Error::damaged(path.display(), reason);
    let text = str::from_utf8(bytes).map_err(|_| damaged("it is not UTF-8"))?;
    let (head, _) = text.split_once('\n').ok_or_else(|| damaged("it has no first line"))?;
    match head.rsplit_once(' ') {
        Some((found, "1")) if found == kind => {}
        Some((found, number)) if found == kind => {
            let found = number.parse().map_err(|_| damaged("its first line has no number"))?;
            return Err(Error::Newer { path: path.to_owned(), found, known: 1 });
        }
        _ => return Err(damaged("its first line names another type")),
    }
    let body_bytes = text.len().saturating_sub("sum: \n".len() + 64);
    let (body, sum) = text.split_at_checked(body_bytes).ok_or_else(|| damaged("it is cut off"))?;
    if sum != format!("sum: {}\n", Digest::of(body.as_bytes())) {
        return Err(damaged("its sum does not match"));
    }
    let mut lines = body.lines().skip(1);
    let mut values = [const { String::new() }; N];
    for (key, value) in keys.iter().zip(&mut values) {
        let (found, escaped) = lines
            .next()
            .and_then(|line| line.split_once(": "))
            .ok_or_else(|| damaged("a line is missing"))?;
        if found != *key {
            return Err(damaged("its keys are not those of its type"));
        }
        *value =
            unescape(escaped).ok_or_else(|| damaged("a value is not escaped as it should be"))?;
    }
    if lines.next().is_some() || !body.ends_with('\n') {
        return Err(damaged("it has more lines than its type"));
    }
    Ok(values)
}

const BUNDLE: &str = "dysno-bundle";

/// Returns the head of a bundle that holds so many snapshots.
pub fn encode_bundle_head(snapshots: u64) -> String {
    encode(BUNDLE, &[("snapshots", snapshots.to_string())])
}

/// Parses the head of a bundle.
pub fn decode_bundle_head(bytes: &[u8]) -> Result<u64> {
    let path = Path::new("the head of the bundle");
    let [snapshots] = decode(path, bytes, BUNDLE, ["snapshots"])?;
    snapshots.parse().map_err(|_| Error::damaged(path.display(), "its number is invalid"))
}

fn escape(value: &str) -> String {
    let mut text = String::with_capacity(value.len());
    for character in value.chars() {
        match character {
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            c if c < ' ' => text.push_str(&format!("\\x{:02X}", c as u32)),
            c => text.push(c),
        }
    }
    text
}

fn unescape(text: &str) -> Option<String> {
    let mut value = String::with_capacity(text.len());
    let mut rest = text.chars();
    while let Some(character) = rest.next() {
        if character != '\\' {
            value.push(character);
            continue;
        }
        match rest.next()? {
            '\\' => value.push('\\'),
            'n' => value.push('\n'),
            'r' => value.push('\r'),
            'x' => {
                let digits: String = rest.by_ref().take(2).collect();
                value.push(char::from(u8::from_str_radix(&digits, 16).ok()?));
            }
            _ => return None,
        }
    }
    // What does not come out the same again was written by somebody else.
    (escape(&value) == text).then_some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEYS: [&str; 2] = ["unit", "reason"];

    fn example(reason: &str) -> String {
        encode("dysno-test", &[("unit", "a:b".into()), ("reason", reason.into())])
    }

    fn read(text: &str) -> Result<[String; 2]> {
        decode(Path::new("/r"), text.as_bytes(), "dysno-test", KEYS)
    }

    #[test]
    fn every_text_comes_back() {
        for reason in ["", " ", "a: b", "two\nlines\r\n", "back\\slash \\n", "\u{1}\u{7f}ü€"] {
            assert_eq!(read(&example(reason)).unwrap()[1], reason);
        }
    }

    #[test]
    fn every_changed_byte_is_noticed() {
        let text = example("because");
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] ^= 1;
            let read = decode(Path::new("/r"), &bytes, "dysno-test", KEYS);
            assert!(read.is_err(), "byte {at}");
        }
        for end in 0..text.len() {
            assert!(read(&text[..end]).is_err(), "cut at {end}");
        }
    }

    #[test]
    fn a_newer_record_is_told_from_a_damaged_one() {
        let newer = example("x").replace("dysno-test 1", "dysno-test 2");
        assert!(matches!(read(&newer), Err(Error::Newer { found: 2, known: 1, .. })));
    }
}
