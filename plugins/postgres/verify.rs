//! Compares a staged database with its snapshot: captures it again and keeps the digests only.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::postgres::manifest::REQUIREMENTS;
use crate::postgres::settings::Server;
use crate::postgres::snapshot;
use crate::postgres::stage::Origin;
use crate::tree::{Content, Digest, Entry, Node};
use crate::{Capture, ContentWriter, Cut, Error, Previous, Result};

/// Differences named in an error: one is enough to go and look.
const N_NAMED_MAX: usize = 10;

/// Fails unless a snapshot of the staged database would be the one that it was made from.
pub(crate) fn check(server: &Server, staged: &str, origin: &Origin<'_>) -> Result<()> {
    let digests = Digests::default();
    snapshot::capture_like(server, staged, &digests, &origin.tables)?;
    let found = digests.files.into_inner().unwrap_or_else(PoisonError::into_inner);
    let texts = digests.texts.into_inner().unwrap_or_else(PoisonError::into_inner);
    let mut differing = Vec::new();
    for (path, content) in origin.index.files() {
        match found.get(path) {
            Some(other) if other == content => {}
            // A summary of the rest, which newer servers may reckon otherwise.
            Some(_) if path == REQUIREMENTS => {}
            Some(other) if path.starts_with("schema/") => {
                let expected = origin.index.text(origin.source, path)?;
                let text = texts
                    .get(&other.digest)
                    .map_or_else(Default::default, |text| String::from_utf8_lossy(text));
                differing.extend(different_objects(&expected, &text));
            }
            Some(_) | None => differing.push(path.clone()),
        }
    }
    differing.extend(found.keys().filter(|path| origin.index.find(path).is_none()).cloned());
    if differing.is_empty() {
        return Ok(());
    }
    differing.truncate(N_NAMED_MAX);
    Err(Error::Verification { reason: format!("it differs in {}", differing.join(", ")) })
}

/// Returns the objects that only one of two texts of a schema names. The rest of the text may differ, because another
/// major version words the same object otherwise; each statement was run and accepted.
fn different_objects(expected: &str, found: &str) -> Vec<String> {
    let objects = |text: &str| -> BTreeSet<String> {
        text.lines().filter(|line| line.starts_with("-- Name: ")).map(str::to_owned).collect()
    };
    objects(expected).symmetric_difference(&objects(found)).cloned().collect()
}

/// Takes contents and keeps their digests, and the bytes of the small ones.
#[derive(Default)]
struct Digests {
    files: Mutex<BTreeMap<String, Content>>,
    texts: Mutex<BTreeMap<Digest, Vec<u8>>>,
}

impl Capture for Digests {
    fn content(&self, cut: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        // Rows may be larger than the memory; all else is written from memory.
        let text = (cut == Cut::Tree).then(Vec::new);
        Ok(Box::new(Digester { digests: self, hasher: blake3::Hasher::new(), size_bytes: 0, text }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        let Node::File(content) = entry.node else {
            return Err(io::Error::other("only files are captured"));
        };
        let path = entry.path.to_string();
        self.files.lock().unwrap_or_else(PoisonError::into_inner).insert(path, content);
        Ok(())
    }

    fn attribute(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn warn(&self, _: &str) {}

    fn previous(&self) -> io::Result<Option<Previous<'_>>> {
        Ok(None)
    }

    fn hint(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

struct Digester<'a> {
    digests: &'a Digests,
    hasher: blake3::Hasher,
    size_bytes: u64,
    text: Option<Vec<u8>>,
}

impl Write for Digester<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        if let Some(text) = &mut self.text {
            text.extend_from_slice(bytes);
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for Digester<'_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        let digest = Digest(*self.hasher.finalize().as_bytes());
        if let Some(text) = self.text {
            let mut texts = self.digests.texts.lock().unwrap_or_else(PoisonError::into_inner);
            texts.insert(digest, text);
        }
        Ok(Content { size_bytes: self.size_bytes, digest })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_object_that_is_missing_is_named_and_other_words_are_not() {
        let a = "--\n-- Name: v; Type: VIEW; Schema: s; Owner: o\n--\nCREATE VIEW s.v AS SELECT t.a FROM t;\n";
        let b = a.replace("t.a", "a");
        assert_eq!(different_objects(a, &b), [""; 0]);
        assert_eq!(different_objects(a, ""), ["-- Name: v; Type: VIEW; Schema: s; Owner: o"]);
    }
}
