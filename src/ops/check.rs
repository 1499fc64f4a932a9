//! Checks a configuration without a store and without touching any state.

use plugins::{Container, Context, UnitAddress};

use super::deploy::in_order;
use super::error::Result;
use crate::host::{Config, Error};

/// Checks what reading the file could not: the values of containers' settings, the form of units' names, and that no
/// units require each other in a circle.
pub fn check_config(config: &Config, context: &Context) -> Result<()> {
    for name in config.containers.keys() {
        open(config, name, context)?;
    }
    let required = config.units.values().flat_map(|unit| &unit.requires);
    let grouped = config.groups.values().flatten();
    for unit in config.units.keys().chain(required).chain(grouped) {
        check_unit(config, unit, context)?;
    }
    in_order(config).map(|_| ())
}

fn open(config: &Config, name: &str, context: &Context) -> Result<Box<dyn Container>> {
    let kind = config.kind_of(name).ok_or_else(|| Error::UnknownContainer {
        name: name.to_owned(),
        known: config.container_names().join(", "),
    })?;
    let none = toml::Table::new();
    let settings = config.containers.get(name).map_or(&none, |container| &container.settings);
    let opened = (kind.open)(settings, context);
    let open = |source| Error::Open { what: format!("the container {name}"), source };
    Ok(opened.map_err(open)?)
}

fn check_unit(config: &Config, unit: &UnitAddress, context: &Context) -> Result<()> {
    let opened = open(config, unit.container(), context)?.open(unit.component());
    let open = |source| Error::Open { what: format!("the unit {unit}"), source };
    Ok(opened.map(|_| ()).map_err(open)?)
}
