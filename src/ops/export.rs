//! Writes snapshots into a portable bundle, as a stream.

use std::collections::BTreeSet;
use std::fs::File;
use std::io::{self, Seek, SeekFrom, Write};
use std::sync::{Mutex, PoisonError};

use super::bundle::HEAD;
use super::copy::copy_needed;
use super::error::{Error, Result};
use super::mark::Needed;
use super::select::Selected;
use crate::disk::Disk;
use crate::host::Host;
use crate::report::Report;
use crate::store::{
    self, Access, Catalog, Destination, FinishedPack, Generation, ObjectKey, Reader, Root,
    encode_bundle_head, unit_file_name,
};

/// Writes snapshots and all that they need to `out`.
pub fn export(
    host: &Host,
    selected: &[Selected],
    out: &mut (dyn Write + Send),
    report: &dyn Report,
) -> Result<()> {
    let session = host.session(Access::Shared, "export", report)?;
    let mut roots: Vec<Root> = selected.iter().map(|selected| selected.root.clone()).collect();
    roots.sort_unstable_by_key(Root::file_name);
    roots.dedup();
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let mut needed = Needed::default();
    for root in &roots {
        needed.add(&reader, root)?;
    }
    // Before anything is written: a bundle that lacks what its snapshots need is none.
    if let Some(key) = needed.missing_from(&mut *host.index())?.first() {
        return Err(store::Error::Missing { what: key.kind.name(), id: key.id }.into());
    }
    let mut packs = BTreeSet::new();
    for key in needed.iter() {
        let location = host.index().find(key)?;
        packs.extend(location.map(|location| location.pack));
    }
    let archive = Mutex::new(tar::Builder::new(out));
    let bundle = IntoBundle { archive: &archive, disk: host.store.disk() };
    bundle.record(HEAD, &encode_bundle_head(roots.len() as u64))?;
    report.begin("exporting", Some(roots.iter().map(|root| root.size_bytes).sum()));
    let copied = copy_needed(host, &session, &packs, &needed, &bundle, |n| report.advance(n));
    report.end();
    copied?;
    // Last, so that a bundle that is cut off names nothing that it does not hold.
    for root in &roots {
        bundle.record(&format!("store/{}", root.file_name()), &root.encode())?;
    }
    for root in &roots {
        if let Some(generation) = newest_generation(host, root)? {
            let name = generation_name(&generation);
            bundle.record(&name, &generation.encode())?;
        }
    }
    let mut archive = archive.into_inner().unwrap_or_else(PoisonError::into_inner);
    archive.finish().and_then(|()| archive.get_mut().flush()).map_err(write_error)
}

fn newest_generation(host: &Host, root: &Root) -> Result<Option<Generation>> {
    let generations = host.index().generations_of(&root.unit)?;
    Ok(generations.into_iter().find(|generation| generation.snapshot == root.snapshot))
}

fn generation_name(generation: &Generation) -> String {
    let (container, component) = generation.unit.split_once(':').unwrap_or(("", &generation.unit));
    format!("generations/{}.{}.gen", unit_file_name(container, component), generation.number)
}

fn write_error(source: io::Error) -> Error {
    Error::Bundle { verb: "write", source }
}

/// A bundle as the destination of packs.
struct IntoBundle<'a, 'b> {
    archive: &'a Mutex<tar::Builder<&'b mut (dyn Write + Send)>>,
    disk: &'a dyn Disk,
}

impl IntoBundle<'_, '_> {
    fn append(&self, name: &str, size_bytes: u64, from: impl io::Read) -> io::Result<()> {
        let mut header = tar::Header::new_gnu();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_mode(0o444);
        header.set_size(size_bytes);
        let mut archive = self.archive.lock().unwrap_or_else(PoisonError::into_inner);
        archive.append_data(&mut header, name, from)
    }

    fn record(&self, name: &str, text: &str) -> Result<()> {
        self.append(name, text.len() as u64, text.as_bytes()).map_err(write_error)
    }

    fn pack(&self, pack: &FinishedPack) -> io::Result<()> {
        let mut file: &File = &pack.file;
        file.seek(SeekFrom::Start(0))?;
        self.append(&format!("packs/{}.pack", pack.contents.name), pack.contents.size_bytes, file)
    }
}

impl Destination for IntoBundle<'_, '_> {
    fn has(&self, _key: &ObjectKey) -> store::Result<bool> {
        Ok(false)
    }

    fn take(&self, pack: FinishedPack) -> store::Result<()> {
        self.pack(&pack).map_err(store::Error::file("write to the bundle", &pack.path))?;
        // It is in the bundle; a large export must not need its size in temporary files.
        self.disk.remove_file(&pack.path).map_err(store::Error::file("remove", &pack.path))
    }
}
