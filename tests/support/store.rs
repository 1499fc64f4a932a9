//! A store in a temporary directory, written and read without plug-ins.

use std::io::{Read, Write};
use std::path::Path;
use std::sync::{Arc, Mutex};

use dysno::disk::{Disk, RealDisk};
use dysno::index::{Differences, Index};
use dysno::store::{
    Access, Catalog, Error, IntoStore, Placement, Reader, Result, Session, Store, WriteTo, Written,
};
use plugins::tree::Content;
use plugins::{Cut, Interrupt};

/// A store with its index.
pub(crate) struct Bench {
    pub(crate) store: Store,
    pub(crate) index: Mutex<Index>,
    pub(crate) differences: Differences,
    pub(crate) interrupt: Interrupt,
}

impl Bench {
    /// Opens or makes the store in a directory.
    pub(crate) fn open(path: &Path) -> Self {
        Self::open_on(path, Arc::new(RealDisk)).unwrap()
    }

    /// The same on a disk that can fail.
    pub(crate) fn open_on(path: &Path, disk: Arc<dyn Disk>) -> dysno::index::Result<Self> {
        let store = Store::open_or_create(path, &"0".repeat(32), Arc::clone(&disk))?;
        let mut index = Index::open(&path.join("index.sqlite"), disk)?;
        let differences = index.reconcile(&store, |_| ())?;
        let interrupt = Interrupt::default();
        Ok(Self { store, index: Mutex::new(index), differences, interrupt })
    }

    pub(crate) fn session(&self) -> Session<'_> {
        Session::open(&self.store, Access::Shared, "test", |_| ()).unwrap()
    }

    pub(crate) fn catalog(&self) -> &Mutex<dyn Catalog> {
        &self.index
    }

    pub(crate) fn reader(&self) -> Reader<'_> {
        Reader::new(&self.store, self.catalog(), &self.interrupt)
    }

    /// Writes contents and returns their names.
    pub(crate) fn write(&self, contents: &[&[u8]], cut: Cut) -> Result<(Vec<Content>, Written)> {
        let session = Session::open(&self.store, Access::Shared, "test", |_| ())?;
        let destination =
            IntoStore { store: &self.store, catalog: self.catalog(), placement: Placement::New };
        let write_to = WriteTo {
            destination: &destination,
            session: &session,
            compression: 3,
            interrupt: &self.interrupt,
        };
        write_to.run(|writer| {
            let write = |bytes: &&[u8]| {
                let mut content = writer.content(cut);
                // In pieces of odd sizes: where a caller splits must not matter.
                for piece in bytes.chunks(7_001) {
                    content.write_all(piece)?;
                }
                content.finish()
            };
            contents.iter().map(|bytes| write(bytes).map_err(own_error)).collect()
        })
    }

    /// Reads a content to its end.
    pub(crate) fn read(&self, content: &Content) -> std::io::Result<Vec<u8>> {
        let reader = self.reader();
        let mut bytes = Vec::new();
        reader.content(content)?.read_to_end(&mut bytes)?;
        Ok(bytes)
    }
}

fn own_error(error: std::io::Error) -> Error {
    error.downcast().expect("a writer of the store fails with the store's errors")
}

/// Bytes that do not compress and do not repeat.
pub(crate) fn noise(seed: u64, length: usize) -> Vec<u8> {
    let mut state = seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1;
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}
