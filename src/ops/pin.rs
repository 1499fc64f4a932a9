//! Roots by hand.

use super::error::{Error, Result};
use super::select::Selected;
use crate::host::Host;
use crate::report::Report;
use crate::store::{Access, Pin};

/// Keeps a snapshot under a name until it is unpinned.
pub fn pin(host: &Host, selected: &Selected, name: &str, report: &dyn Report) -> Result<()> {
    let refuse = |reason| Err(Error::PinName { name: name.to_owned(), reason });
    if !Pin::is_name(name) {
        return refuse("it is 1 to 100 letters, digits, -, _ and ., and does not start with a dot");
    }
    let session = host.session(Access::Shared, "pin", report)?;
    // Asked again in this session: a collection may have been faster.
    if !host.index().roots_of(&selected.root.snapshot)?.contains(&selected.root) {
        return Err(Error::UnknownSnapshot { prefix: selected.root.snapshot.to_string() });
    }
    let pin = Pin { name: name.to_owned(), root: selected.root.file_name() };
    if host.store.pin(&session, &pin)? || host.store.pins()?.contains(&pin) {
        return Ok(());
    }
    refuse("another snapshot is pinned by it")
}

/// Ends a pin.
pub fn unpin(host: &Host, name: &str, report: &dyn Report) -> Result<()> {
    let _session = host.session(Access::Shared, "unpin", report)?;
    if Pin::is_name(name) && host.store.unpin(name)? {
        return Ok(());
    }
    Err(Error::PinName { name: name.to_owned(), reason: "no snapshot is pinned by it" })
}
