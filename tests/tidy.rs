//! The rules of the source text that no compiler checks: layers, homes of crates, documents that must not lag behind.
//!
//! Each table below this module is the rule, not a description of it. To break one for a good reason, write the reason
//! beside a new row; to break one without, change the code.

mod documents;
mod files;
mod homes;
mod layers;

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

/// A file of the sources.
struct Source {
    /// Below the top of the project.
    path: String,
    text: String,
}

impl Source {
    /// Returns the lines outside tests, without comments, each with its number.
    fn code(&self) -> Vec<(usize, &str)> {
        let lines: Vec<&str> = self.text.lines().collect();
        let mut code = Vec::new();
        let mut at = 0;
        while at < lines.len() {
            // A module of tests is the last thing in its file; one in a file of its own is one line.
            if lines[at] == "#[cfg(test)]" {
                match lines.get(at + 1) {
                    Some(next) if next.ends_with('{') => break,
                    _ => at += 2,
                }
                continue;
            }
            let line = lines[at].trim_start();
            let end = if line.starts_with("//") { Some(0) } else { line.find(" // ") };
            code.push((at + 1, &line[..end.unwrap_or(line.len())]));
            at += 1;
        }
        code
    }

    fn is_test(&self) -> bool {
        self.path.starts_with("tests/")
            || self.path.contains("/tests/")
            || self.path.ends_with("/tests.rs")
    }

    /// Returns the module of `src/` that it belongs to.
    fn module(&self) -> Option<&str> {
        let below = self.path.strip_prefix("src/")?;
        Some(below.split('/').next()?.trim_end_matches(".rs"))
    }

    fn is_in(&self, places: &[&str]) -> bool {
        places.iter().any(|place| match place.strip_suffix('/') {
            Some(_) => self.path.starts_with(place),
            None => self.path == *place,
        })
    }

    /// Returns the first names that paths beginning with `root::` go on with: in `crate::{a::b, c}` `a` and `c`.
    fn names_of(&self, root: &str) -> BTreeSet<String> {
        let text: String = self.code().into_iter().map(|(_, line)| format!("{line}\n")).collect();
        let prefix = format!("{root}::");
        let is_word = |c: char| c.is_alphanumeric() || c == '_';
        let mut names = BTreeSet::new();
        for (at, _) in text.match_indices(&prefix) {
            if text[..at].ends_with(|c| is_word(c) || c == ':') {
                continue;
            }
            let rest = &text[at + prefix.len()..];
            let Some(group) = rest.strip_prefix('{') else {
                names.insert(rest.chars().take_while(|&c| is_word(c)).collect());
                continue;
            };
            let mut depth = 0;
            let mut name = String::new();
            for character in group.chars() {
                match character {
                    '}' if depth == 0 => break,
                    '{' => depth += 1,
                    '}' => depth -= 1,
                    ',' if depth == 0 => names.extend([std::mem::take(&mut name)]),
                    _ if depth == 0 => name.push(character),
                    _ => {}
                }
            }
            names.insert(name);
        }
        let first =
            |name: String| -> String { name.trim().chars().take_while(|&c| is_word(c)).collect() };
        names.into_iter().map(first).filter(|name| !name.is_empty() && name != "self").collect()
    }
}

fn top() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn read(path: &str) -> String {
    fs::read_to_string(top().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the paths of all files below a directory of the project, in ascending order.
fn files_below(directory: &str) -> Vec<String> {
    let mut found = Vec::new();
    let mut waiting = vec![PathBuf::from(directory)];
    while let Some(directory) = waiting.pop() {
        for entry in fs::read_dir(top().join(&directory)).unwrap() {
            let entry = entry.unwrap();
            let path = directory.join(entry.file_name());
            if entry.file_type().unwrap().is_dir() {
                waiting.push(path);
            } else {
                found.push(path.to_str().unwrap().to_owned());
            }
        }
    }
    found.sort_unstable();
    found
}

fn sources(directories: &[&str]) -> Vec<Source> {
    let files = directories.iter().flat_map(|directory| files_below(directory));
    let files = files.filter(|path| path.ends_with(".rs"));
    files.map(|path| Source { text: read(&path), path }).collect()
}

/// The sources without those that are tests as a whole.
fn program(directories: &[&str]) -> Vec<Source> {
    sources(directories).into_iter().filter(|source| !source.is_test()).collect()
}

#[track_caller]
fn assert_none(what: &str, broken: &[String]) {
    assert!(broken.is_empty(), "{what}:\n{}", broken.join("\n"));
}
