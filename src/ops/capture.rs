//! Where a plug-in's snapshot goes: its contents to the store, its entries into a manifest.

use std::fs::File;
use std::io::{self, BufReader, BufWriter, Read, Seek, SeekFrom, Write};
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use plugins::tree::{Content, Digest, Entry, Profile};
use plugins::{Capture, ContentWriter, Cut, Previous};

use crate::report::Report;
use crate::store::{
    Error as StoreError, ManifestReader, ManifestSummary, ManifestWriter, Reader, Root, Writer,
};

/// The attribute that says which kind made a snapshot.
pub(super) const KIND: &str = "kind";
/// Hints end with the id of the snapshot that they belong to.
const HINTS_TAIL_BYTES: u64 = 32;

type Manifest<'a> = ManifestWriter<BufWriter<Box<dyn ContentWriter + 'a>>>;

/// One snapshot being taken.
pub(super) struct StoreCapture<'a> {
    writer: &'a Writer<'a>,
    report: &'a dyn Report,
    manifest: Mutex<Manifest<'a>>,
    hints: Mutex<BufWriter<File>>,
    previous: Option<PreviousSnapshot<'a>>,
}

/// The snapshot that the hints of the last one belong to.
pub(super) struct PreviousSnapshot<'a> {
    pub(super) reader: &'a Reader<'a>,
    pub(super) root: Root,
    pub(super) hints: PathBuf,
}

/// What was captured.
pub(super) struct Captured {
    pub(super) snapshot: Digest,
    pub(super) manifest_bytes: u64,
    pub(super) entries: u64,
    pub(super) size_bytes: u64,
}

impl<'a> StoreCapture<'a> {
    pub(super) fn new(
        writer: &'a Writer<'a>,
        report: &'a dyn Report,
        (kind, profile): (&str, Profile),
        hints: File,
        previous: Option<PreviousSnapshot<'a>>,
    ) -> io::Result<Self> {
        // Entries are small; each write to a content costs a look at the other threads.
        let out = BufWriter::with_capacity(256 << 10, writer.manifest());
        let mut manifest = ManifestWriter::new(out, profile);
        manifest.attribute(KIND, kind)?;
        let (manifest, hints) = (Mutex::new(manifest), Mutex::new(BufWriter::new(hints)));
        Ok(Self { writer, report, manifest, hints, previous })
    }

    /// Ends the snapshot. Its manifest is stored like every content, and its digest is the snapshot's id.
    pub(super) fn finish(self) -> io::Result<Captured> {
        let manifest = self.manifest.into_inner().unwrap_or_else(PoisonError::into_inner);
        let ManifestSummary { out, entries, size_bytes } = manifest.finish()?;
        let Content { size_bytes: manifest_bytes, digest: snapshot } =
            out.into_inner().map_err(io::IntoInnerError::into_error)?.finish()?;
        let mut hints = self.hints.into_inner().unwrap_or_else(PoisonError::into_inner);
        hints.write_all(&snapshot.0)?;
        hints.flush()?;
        Ok(Captured { snapshot, manifest_bytes, entries, size_bytes })
    }
}

impl Capture for StoreCapture<'_> {
    fn content(&self, cut: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        Ok(Box::new(Counted { inner: self.writer.content(cut), report: self.report }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        lock(&self.manifest).entry(entry)
    }

    fn attribute(&self, name: &str, value: &str) -> io::Result<()> {
        Ok(lock(&self.manifest).attribute(name, value)?)
    }

    fn warn(&self, warning: &str) {
        self.report.warn(warning);
    }

    fn previous(&self) -> io::Result<Option<Previous<'_>>> {
        let Some(previous) = &self.previous else { return Ok(None) };
        let hints = File::open(&previous.hints)?;
        let length = hints.metadata()?.len().saturating_sub(HINTS_TAIL_BYTES);
        let content = manifest_content(&previous.root);
        let opened = previous
            .reader
            .content(&content)
            .and_then(|manifest| ManifestReader::open(manifest, previous.root.snapshot));
        let entries = match opened {
            // Damage in the store is no reason not to capture what is live and whole: it is read anew.
            Err(error @ (StoreError::Damaged { .. } | StoreError::Missing { .. })) => {
                self.report.warn(&format!("the last snapshot cannot be compared with: {error}"));
                return Ok(None);
            }
            other => other?,
        };
        Ok(Some(Previous {
            entries: Box::new(entries.map(|entry| Ok(entry?))),
            hints: Box::new(BufReader::new(hints.take(length))),
        }))
    }

    fn hint(&self, bytes: &[u8]) -> io::Result<()> {
        lock(&self.hints).write_all(bytes)
    }
}

/// Returns the content that a snapshot's manifest is.
pub(super) fn manifest_content(root: &Root) -> Content {
    Content { size_bytes: root.manifest_bytes, digest: root.snapshot }
}

/// Returns the id of the snapshot that hints belong to; none where they cannot be read, for they are only hints.
pub(super) fn hints_of(path: &Path) -> Option<Digest> {
    let mut file = File::open(path).ok()?;
    let end = file.metadata().ok()?.len();
    file.seek(SeekFrom::Start(end.checked_sub(HINTS_TAIL_BYTES)?)).ok()?;
    let mut id = [0; 32];
    file.read_exact(&mut id).ok()?;
    Some(Digest(id))
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells the report how many bytes went by.
struct Counted<'a> {
    inner: Box<dyn ContentWriter + 'a>,
    report: &'a dyn Report,
}

impl Write for Counted<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.report.advance(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

impl ContentWriter for Counted<'_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        self.inner.finish()
    }
}
