//! Copies objects out of packs, in the order in which they lie there.

use std::collections::BTreeSet;

use plugins::tree::Digest;

use super::error::Result;
use super::mark::Needed;
use crate::host::Host;
use crate::store::{Destination, Reader, Session, WriteTo};

/// Copies what is needed of some packs into new packs of `destination`. Returns how many bytes those have.
pub(super) fn copy_needed(
    host: &Host,
    session: &Session<'_>,
    packs: &BTreeSet<Digest>,
    needed: &Needed,
    destination: &dyn Destination,
    mut copied: impl FnMut(u64),
) -> Result<u64> {
    let interrupt = &host.context().interrupt;
    let reader = Reader::new(&host.store, host.catalog(), interrupt);
    let compression = host.config.store.compression;
    let write_to = WriteTo { destination, session, compression, interrupt };
    let ((), written) = write_to.run(|writer| {
        let keys = host.index().objects_in(packs, |key| needed.contains(key))?;
        for key in keys {
            let bytes = reader.object(&key)?;
            writer.put(key, bytes.as_ref())?;
            copied(bytes.as_ref().len() as u64);
        }
        super::Result::Ok(())
    })?;
    Ok(written.stored_bytes)
}
