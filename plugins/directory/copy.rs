//! Copies a directory with all its metadata, as a snapshot that is restored at once.

use std::ffi::OsStr;
use std::fs::File;
use std::io::{self, Read, Seek, Write};
use std::path::Path;
use std::sync::{Mutex, MutexGuard, PoisonError};

use super::walk;
use super::writer::TreeWriter;
use crate::place::Place;
use crate::tree::{Content, Digest, Entry, Node};
use crate::{
    Capture, ContentWriter, Cut, Error, Interrupt, Previous, Result, SnapshotOptions, Unreadable,
};

/// Copies the directory at `from` to `name` beside the live state. After a failure `name` is there half-built.
pub(super) fn copy(from: &Path, place: &Place, name: &OsStr, interrupt: &Interrupt) -> Result<()> {
    let root = File::open(from).map_err(Error::file("open", from))?;
    let writer = TreeWriter::create(place, name, Unreadable::Fail, interrupt)?;
    let copy = Copy { place, state: Mutex::new(State { writer, spooled: None, fault: None }) };
    let walked =
        walk::walk(from.to_owned(), root.into(), &copy, SnapshotOptions::default(), interrupt);
    let state = copy.state.into_inner().unwrap_or_else(PoisonError::into_inner);
    match (state.fault, walked) {
        // The walk only knows that it could not write; here is why.
        (Some(fault), _) | (None, Err(fault)) => Err(fault),
        (None, Ok(())) => state.writer.finish(),
    }
}

struct Copy<'a> {
    place: &'a Place,
    state: Mutex<State<'a>>,
}

struct State<'a> {
    writer: TreeWriter<'a>,
    /// The content that was finished last. Its entry comes next, because the walk does one file after the other.
    spooled: Option<File>,
    fault: Option<Error>,
}

impl<'a> Copy<'a> {
    fn state(&self) -> MutexGuard<'_, State<'a>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Capture for Copy<'_> {
    fn content(&self, _: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        let file = tempfile::tempfile_in(self.place.parent())?;
        Ok(Box::new(Spool { copy: self, file, size_bytes: 0 }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        let mut state = self.state();
        let spooled = state.spooled.take();
        let open = |_: &Content| -> Result<Box<dyn Read + Send>> {
            let file =
                spooled.as_ref().ok_or_else(|| Error::read(io::Error::other("no content")))?;
            let mut file = file.try_clone().map_err(Error::read)?;
            file.rewind().map_err(Error::read)?;
            Ok(Box::new(file))
        };
        debug_assert!(matches!(entry.node, Node::File(_)) == spooled.is_some());
        state.writer.entry(&entry, &open).map_err(|fault| {
            state.fault = Some(fault);
            io::Error::other("the copy failed")
        })
    }

    fn attribute(&self, _: &str, _: &str) -> io::Result<()> {
        Ok(())
    }

    fn warn(&self, warning: &str) {
        // A copy that lacks something is none: a unit must not start from half of its initial state.
        let path = self.place.path();
        let fault = Error::Initial { path, reason: warning.to_owned() };
        self.state().fault.get_or_insert(fault);
    }

    fn previous(&self) -> io::Result<Option<Previous<'_>>> {
        Ok(None)
    }

    fn hint(&self, _: &[u8]) -> io::Result<()> {
        Ok(())
    }
}

struct Spool<'a, 'b> {
    copy: &'a Copy<'b>,
    file: File,
    size_bytes: u64,
}

impl Write for Spool<'_, '_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.file.write(bytes)?;
        self.size_bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for Spool<'_, '_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        self.copy.state().spooled = Some(self.file);
        // Nobody asks for a copy by its digest.
        Ok(Content { size_bytes: self.size_bytes, digest: Digest([0; 32]) })
    }
}
