//! Makes the units in service equal to the configured ones.

use std::collections::{BTreeMap, BTreeSet};

use plugins::UnitAddress;

use super::activate::{Activated, activate, deactivate};
use super::error::{Error, Result};
use crate::host::{Config, Host};
use crate::journal::UnitState;
use crate::report::Report;

/// What `deploy` did.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Deployed {
    /// Units that were brought into service, in this order.
    pub activated: Vec<Activated>,
    /// Units that were taken out of it, in this order.
    pub deactivated: Vec<UnitAddress>,
    /// Units that were in service and stayed.
    pub unchanged: Vec<UnitAddress>,
}

/// Activates configured units that are not in service, each after those that it requires, and then deactivates those
/// that are no longer configured.
pub fn deploy(host: &Host, report: &dyn Report) -> Result<Deployed> {
    let order = in_order(&host.config)?;
    let active: BTreeSet<String> = host
        .journal()
        .units()?
        .into_iter()
        .filter(|(_, state)| *state == UnitState::Active)
        .map(|(unit, _)| unit)
        .collect();
    let mut deployed = Deployed::default();
    for unit in &order {
        if active.contains(&unit.to_string()) {
            deployed.unchanged.push(unit.clone());
        } else {
            deployed.activated.push(activate(host, unit, report)?);
        }
    }
    for name in &active {
        let vanished = name.parse().ok().filter(|unit| !host.config.units.contains_key(unit));
        if let Some(unit) = vanished {
            deactivate(host, &unit, report)?;
            deployed.deactivated.push(unit);
        }
    }
    Ok(deployed)
}

/// Returns the configured units, each after all that it requires.
pub(super) fn in_order(config: &Config) -> Result<Vec<UnitAddress>> {
    let mut waiting: BTreeMap<&UnitAddress, BTreeSet<&UnitAddress>> = config
        .units
        .iter()
        .map(|(unit, settings)| {
            // A unit that is required and not configured is not ours to bring into service.
            let known = settings.requires.iter().filter(|unit| config.units.contains_key(unit));
            (unit, known.collect())
        })
        .collect();
    let mut order = Vec::new();
    while !waiting.is_empty() {
        let ready: Vec<_> =
            waiting.iter().filter(|(_, on)| on.is_empty()).map(|(unit, _)| *unit).collect();
        if ready.is_empty() {
            let circle: Vec<_> = waiting.keys().map(ToString::to_string).collect();
            return Err(Error::Circle { circle: circle.join(", ") });
        }
        for unit in ready {
            waiting.remove(unit);
            for required in waiting.values_mut() {
                required.remove(unit);
            }
            order.push(unit.clone());
        }
    }
    Ok(order)
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;

    fn order(text: &str) -> Result<Vec<String>> {
        let config = Config::parse(Path::new("/test.toml"), text).unwrap();
        Ok(in_order(&config)?.iter().map(ToString::to_string).collect())
    }

    #[test]
    fn units_come_after_what_they_require() {
        let text = "[unit.\"directory:/a\"]\nrequires = [\"directory:/c\"]\n[unit.\"directory:/b\"]\n[unit.\"directory:/c\"]\n";
        assert_eq!(order(text).unwrap(), ["directory:/b", "directory:/c", "directory:/a"]);
    }

    #[test]
    fn a_circle_is_named() {
        let text = "[unit.\"directory:/a\"]\nrequires = [\"directory:/b\"]\n[unit.\"directory:/b\"]\nrequires = [\"directory:/a\"]\n";
        let error = order(text).unwrap_err().to_string();
        assert_eq!(error, "cannot order the units: directory:/a, directory:/b require each other");
    }
}
