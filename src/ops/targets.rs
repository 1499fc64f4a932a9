//! Which units a command is about that names them by a word instead of one by one.

use std::collections::BTreeSet;

use plugins::UnitAddress;

use super::deploy::in_order;
use super::error::{Error, Result};
use crate::host::Host;
use crate::journal::UnitState;

/// The units that a command was asked to work on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Targets {
    /// These, each once.
    Units(Vec<UnitAddress>),
    /// The configured ones, each after those that it requires.
    Configured,
    /// The configured ones and those in service.
    InUse,
    /// Those in service.
    Active,
    /// Those that were taken out of service and still have state.
    Garbage,
    /// Those of a configured group.
    Group(String),
}

/// Returns the units, each once.
pub fn targets(host: &Host, targets: &Targets) -> Result<Vec<UnitAddress>> {
    let mut units = match targets {
        Targets::Units(units) => units.clone(),
        Targets::Configured => in_order(&host.config)?,
        Targets::InUse => {
            let mut units = in_order(&host.config)?;
            units.extend(in_state(host, UnitState::Active)?);
            units
        }
        Targets::Active => in_state(host, UnitState::Active)?,
        Targets::Garbage => in_state(host, UnitState::Garbage)?,
        Targets::Group(name) => group(host, name)?,
    };
    let mut seen = BTreeSet::new();
    units.retain(|unit| seen.insert(unit.clone()));
    for unit in &units {
        // Before the first is touched: a typo in the last must not be found half-way.
        host.kind_of(unit)?;
    }
    Ok(units)
}

fn in_state(host: &Host, wanted: UnitState) -> Result<Vec<UnitAddress>> {
    let units = host.journal().units()?;
    let names = units.into_iter().filter(|(_, state)| *state == wanted).map(|(unit, _)| unit);
    // Only parsed addresses are ever written there.
    Ok(names.filter_map(|name| name.parse().ok()).collect())
}

fn group(host: &Host, name: &str) -> Result<Vec<UnitAddress>> {
    host.config.groups.get(name).cloned().ok_or_else(|| {
        let known: Vec<_> = host.config.groups.keys().map(String::as_str).collect();
        let known = match &known[..] {
            [] => "none is configured".to_owned(),
            known => format!("there are {}", known.join(", ")),
        };
        Error::UnknownGroup { name: name.to_owned(), known }
    })
}
