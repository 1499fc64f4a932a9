//! Takes out of the program's output what differs between runs: paths, ids, times, sizes in the store.

use std::path::Path;

use serde_json::Value;

/// Numbers in the store and durations, by their fields.
const FIELDS: [(&str, &str); 10] = [
    ("seconds", "[seconds]"),
    ("stored_bytes", "[bytes]"),
    ("freed_bytes", "[bytes]"),
    ("bytes_checked", "[bytes]"),
    ("host", "[host]"),
    ("owner", "[owner]"),
    ("group", "[group]"),
    ("modified", "[time]"),
    ("version", "[version]"),
    ("file_bytes", "[bytes]"),
];

/// Returns a text without what differs between runs.
pub(crate) fn normal(text: &str, directory: &Path) -> String {
    let text = text.replace(directory.to_str().unwrap(), "[dir]");
    let mut lines: Vec<_> = text.split('\n').map(normal_line).collect();
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
        lines.push(String::new());
    }
    lines.join("\n")
}

/// Does the same to every string of a document, and to numbers by their names.
pub(crate) fn normal_json(value: &mut Value, directory: &Path) {
    match value {
        Value::String(text) => *text = normal(text, directory),
        Value::Array(items) => items.iter_mut().for_each(|item| normal_json(item, directory)),
        Value::Object(fields) => {
            for (name, value) in fields {
                match FIELDS.iter().find(|(field, _)| field == name) {
                    Some((_, shown)) if !value.is_null() => *value = (*shown).into(),
                    _ => normal_json(value, directory),
                }
            }
        }
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

fn normal_line(line: &str) -> String {
    let mut words: Vec<String> = Vec::new();
    let mut rest = line.split(' ').peekable();
    while let Some(word) = rest.next() {
        let is_duration = rest.peek().is_some_and(|next| next.trim_end_matches(',') == "s");
        // Columns are as wide as the temporary directory's name; one sign for any padding.
        let is_padding = word.is_empty() && !words.is_empty();
        let is_padded = words.last().is_some_and(|last| last == " ");
        match (is_padding, is_padded) {
            (true, true) => {}
            (true, false) => words.push(" ".to_owned()),
            (false, _) if is_duration => words.push("[seconds]".to_owned()),
            (false, _) => words.push(normal_word(word)),
        }
    }
    let line = words.join(" ").replace("   ", "  ").trim_end().to_owned();
    let line = line.replace("[date] [clock]", "[time]").replace("[seconds] s", "[seconds]");
    normal_sizes(&line)
}

/// What lies in the store depends on who runs the test; its size follows.
fn normal_sizes(line: &str) -> String {
    let mut line = line.to_owned();
    for what in [" added", " on disk", " read,"] {
        if let Some(end) = line.find(what) {
            let start = line[..end].rfind(", ").map_or(0, |at| at + 2);
            line.replace_range(start..end, "[bytes]");
        }
    }
    for what in [", freed ", "free at least ", "added: ", "[dir]/www.dysno: 1 snapshot, "] {
        if let Some(at) = line.find(what) {
            line.replace_range(at + what.len().., "[bytes]");
        }
    }
    line
}

fn normal_word(word: &str) -> String {
    let core = word.trim_end_matches([',', ';', ':', ')', '`']);
    let tail = &word[core.len()..];
    let is_hex = core.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b));
    let digits = |pattern: &str| {
        core.len() == pattern.len()
            && core.bytes().zip(pattern.bytes()).all(|(b, p)| match p {
                b'0' => b.is_ascii_digit(),
                _ => b == p,
            })
    };
    let shown = if is_hex && matches!(core.len(), 12 | 64) {
        "[id]".to_owned()
    } else if digits("0000-00-00") {
        "[date]".to_owned()
    } else if digits("00:00:00") {
        "[clock]".to_owned()
    } else if digits("0000-00-00T00:00:00.000000Z") {
        "[time]".to_owned()
    } else if let Some(at) = core.find(".dysno-").filter(|at| core.len() == at + 17) {
        format!("{}.dysno-[tag]", &core[..at])
    } else {
        normal_file_names(core)
    };
    format!("{shown}{tail}")
}

/// Takes the digests out of the names of files in the store.
fn normal_file_names(word: &str) -> String {
    let mut parts: Vec<String> = Vec::new();
    for part in word.split('/') {
        let is_hex = |text: &str| text.bytes().all(|b| b.is_ascii_hexdigit());
        let is_digest = part.len() > 64 && part.is_char_boundary(64) && is_hex(&part[..64]);
        match is_digest {
            true if part.ends_with(".pack") => {
                // The directory above has the first digits.
                parts.pop();
                parts.push("[id].pack".to_owned());
            }
            true => parts.push(format!("[id]{}", part[64..].split('-').next().unwrap_or(""))),
            false => parts.push(part.to_owned()),
        }
    }
    parts.join("/")
}
