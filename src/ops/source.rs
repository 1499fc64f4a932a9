//! Where a plug-in's restore comes from: a snapshot in the store.

use std::collections::BTreeMap;
use std::io::{self, Read};

use plugins::Source;
use plugins::tree::{Content, Entry, Profile};

use super::capture::manifest_content;
use crate::report::Report;
use crate::store::{ContentReader, ManifestReader, Reader, Result, Root};

/// One snapshot being read.
pub(super) struct StoreSource<'a> {
    reader: &'a Reader<'a>,
    report: &'a dyn Report,
    root: Root,
    attributes: BTreeMap<String, String>,
}

impl<'a> StoreSource<'a> {
    pub(super) fn open(
        reader: &'a Reader<'a>,
        report: &'a dyn Report,
        root: &Root,
    ) -> Result<Self> {
        let attributes = open_manifest(reader, root)?.attributes().clone();
        Ok(Self { reader, report, root: root.clone(), attributes })
    }
}

/// Opens a snapshot's manifest.
pub(super) fn open_manifest<'a>(
    reader: &'a Reader<'a>,
    root: &Root,
) -> Result<ManifestReader<ContentReader<'a>>> {
    ManifestReader::open(reader.content(&manifest_content(root))?, root.snapshot)
}

impl Source for StoreSource<'_> {
    fn profile(&self) -> Profile {
        self.root.profile
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.attributes.get(name).map(String::as_str)
    }

    fn entries(&self) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>> + '_>> {
        let manifest = open_manifest(self.reader, &self.root)?;
        Ok(Box::new(manifest.map(|entry| Ok(entry?))))
    }

    fn open(&self, content: &Content) -> io::Result<Box<dyn Read + Send + '_>> {
        Ok(Box::new(Counted { inner: self.reader.content(content)?, report: self.report }))
    }
}

/// Tells the report how many bytes went by.
struct Counted<'a> {
    inner: ContentReader<'a>,
    report: &'a dyn Report,
}

impl Read for Counted<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(buffer)?;
        self.report.advance(n as u64);
        Ok(n)
    }
}
