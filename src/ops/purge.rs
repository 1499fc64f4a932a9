//! Destroys the state of units that are out of service.

use plugins::UnitAddress;

use super::error::{Error, Result};
use super::recover::{recover_unit, release_displaced};
use super::restore::{Safety, take_safety};
use super::snapshot::{LockedUnit, Taken};
use crate::host::Host;
use crate::journal::UnitState;
use crate::report::Report;
use crate::store::Access;

/// Destroys a unit's state after a last snapshot. Refuses a unit that was not deactivated. Returns the snapshot, if there was state
/// and the user did not say no.
pub fn purge(
    host: &Host,
    unit: &UnitAddress,
    safety: Safety,
    report: &dyn Report,
) -> Result<Option<Taken>> {
    let plugin = host.open_unit(unit)?;
    let lock = host.lock_unit(unit, "purge of")?;
    let state = host.journal().unit_state(&unit.to_string())?;
    match state {
        Some(UnitState::Garbage) => {}
        Some(UnitState::Active) => return Err(Error::Active { unit: unit.clone() }),
        // A typo, or a unit that somebody else looks after.
        None => return Err(Error::NeverActive { unit: unit.clone() }),
    }
    recover_unit(host, unit, plugin.as_ref(), report)?;
    let session = host.session(Access::Shared, "purge", report)?;
    let locked = LockedUnit { unit, plugin: plugin.as_ref(), _lock: &lock };
    // Durable and verified before anything is destroyed.
    let last = take_safety(host, &session, &locked, safety, "before purging", report)?;
    release_displaced(host, unit, plugin.as_ref(), None)?;
    plugin.collect_garbage().map_err(Error::unit("purge", unit))?;
    host.journal().set_unit_state(&unit.to_string(), None)?;
    Ok(last)
}
