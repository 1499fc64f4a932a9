//! Compares a staged database with its snapshot: captures it again and keeps the digests only.

use std::collections::BTreeMap;
use std::io::{self, Write};
use std::sync::{Mutex, PoisonError};

use crate::postgres::manifest::Index;
use crate::postgres::settings::Server;
use crate::postgres::snapshot;
use crate::tree::{Content, Digest, Entry, Node};
use crate::{Capture, ContentWriter, Cut, Error, Previous, Result};

/// Fails unless a snapshot of the staged database would be the one that it was made from.
pub(crate) fn check(server: &Server, staged: &str, expected: &Index) -> Result<()> {
    let digests = Digests::default();
    snapshot::capture(server, staged, &digests)?;
    let found = digests.0.into_inner().unwrap_or_else(PoisonError::into_inner);
    let differing: Vec<_> = expected
        .files()
        .iter()
        .filter(|(path, content)| found.get(*path) != Some(content))
        .map(|(path, _)| path.as_str())
        .chain(found.keys().filter(|path| expected.find(path).is_none()).map(String::as_str))
        .collect();
    if differing.is_empty() {
        return Ok(());
    }
    Err(Error::Verification { reason: format!("it differs in {}", differing.join(", ")) })
}

/// Takes contents and keeps their digests.
#[derive(Default)]
struct Digests(Mutex<BTreeMap<String, Content>>);

impl Capture for Digests {
    fn content(&self, _: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        Ok(Box::new(Digester { hasher: blake3::Hasher::new(), size_bytes: 0 }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        let Node::File(content) = entry.node else {
            return Err(io::Error::other("only files are captured"));
        };
        let path = entry.path.to_string();
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(path, content);
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

struct Digester {
    hasher: blake3::Hasher,
    size_bytes: u64,
}

impl Write for Digester {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.hasher.update(bytes);
        self.size_bytes += bytes.len() as u64;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for Digester {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        let digest = Digest(*self.hasher.finalize().as_bytes());
        Ok(Content { size_bytes: self.size_bytes, digest })
    }
}
