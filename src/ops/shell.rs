//! What a shell needs to work with a unit.

use plugins::{Environment, UnitAddress};

use super::error::{Error, Result};
use crate::host::Host;

/// Returns the variables and the directory of a unit's shell.
pub fn shell(host: &Host, unit: &UnitAddress) -> Result<Environment> {
    host.open_unit(unit)?.shell().map_err(Error::unit("open a shell for", unit))
}
