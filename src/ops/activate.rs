//! Brings units into service and takes them out of it.

use plugins::{Activation, UnitAddress};

use super::error::{Error, Result};
use super::recover::recover_unit;
use crate::host::Host;
use crate::journal::UnitState;
use crate::report::Report;

/// What activating or deactivating a unit did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Activated {
    /// The unit.
    pub unit: UnitAddress,
    /// Whether its state was created.
    pub created: bool,
    /// Whether it was in service before.
    pub was_active: bool,
}

/// Brings a unit into service; creates its state, from `initial` where configured, when there is none.
pub fn activate(host: &Host, unit: &UnitAddress, report: &dyn Report) -> Result<Activated> {
    let plugin = host.open_unit(unit)?;
    let _lock = host.lock_unit(unit, "activation of")?;
    recover_unit(host, unit, plugin.as_ref(), report)?;
    let initial = host.config.units.get(unit).and_then(|config| config.initial.as_deref());
    let activation = plugin.activate(initial).map_err(Error::unit("activate", unit))?;
    let mut journal = host.journal();
    let was_active = journal.unit_state(&unit.to_string())? == Some(UnitState::Active);
    // Only now: a unit in the journal is one that the plug-in brought into service.
    journal.set_unit_state(&unit.to_string(), Some(UnitState::Active))?;
    Ok(Activated { unit: unit.clone(), created: activation == Activation::Created, was_active })
}

/// Takes a unit out of service and marks it as garbage. Its state stays.
pub fn deactivate(host: &Host, unit: &UnitAddress, report: &dyn Report) -> Result<Activated> {
    let plugin = host.open_unit(unit)?;
    let _lock = host.lock_unit(unit, "deactivation of")?;
    recover_unit(host, unit, plugin.as_ref(), report)?;
    plugin.deactivate().map_err(Error::unit("deactivate", unit))?;
    let mut journal = host.journal();
    let was_active = journal.unit_state(&unit.to_string())? == Some(UnitState::Active);
    journal.set_unit_state(&unit.to_string(), Some(UnitState::Garbage))?;
    Ok(Activated { unit: unit.clone(), created: false, was_active })
}
