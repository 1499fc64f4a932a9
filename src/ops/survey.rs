//! What is there: units, containers, generations, and whether all is well.

use std::collections::{BTreeMap, BTreeSet};

use plugins::{Probe, UnitAddress};

use super::error::{Error, Result};
use super::restore::kept_state;
use crate::host::Host;
use crate::journal::{Phase, UnitState};
use crate::report::Report;
use crate::store::{Access, Generation, GenerationKind};

/// Whether a unit is in service on this host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum UnitStanding {
    /// Activated.
    Active,
    /// Never activated here, or purged.
    Inactive,
    /// Deactivated, with its state still there.
    Garbage,
}

/// What `units` says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct UnitReport {
    /// The unit.
    pub unit: String,
    /// Its kind; none where its container is no longer configured.
    pub plugin: Option<&'static str>,
    /// Whether the configuration names it.
    pub configured: bool,
    /// Whether it is in service.
    pub standing: UnitStanding,
    /// Its newest generation that is no safety snapshot.
    pub latest: Option<Generation>,
}

/// Returns every unit that is configured, was activated here or has generations, in ascending order.
pub fn units(host: &Host, report: &dyn Report) -> Result<Vec<UnitReport>> {
    let _session = host.session(Access::Shared, "units", report)?;
    let states: BTreeMap<String, UnitState> = host.journal().units()?.into_iter().collect();
    let generations = host.index().generations()?;
    let mut names: BTreeSet<String> = states.keys().cloned().collect();
    names.extend(host.config.units.keys().map(ToString::to_string));
    names.extend(generations.iter().map(|generation| generation.unit.clone()));
    let report = |name: String| {
        let address: Option<UnitAddress> = name.parse().ok();
        let kind = address.as_ref().and_then(|unit| host.config.kind_of(unit.container()));
        let is_latest = |g: &&Generation| g.unit == name && g.kind != GenerationKind::Safety;
        UnitReport {
            plugin: kind.map(|kind| kind.name),
            configured: address.is_some_and(|unit| host.config.units.contains_key(&unit)),
            standing: match states.get(&name) {
                Some(UnitState::Active) => UnitStanding::Active,
                Some(UnitState::Garbage) => UnitStanding::Garbage,
                None => UnitStanding::Inactive,
            },
            latest: generations.iter().find(is_latest).cloned(),
            unit: name,
        }
    };
    Ok(names.into_iter().map(report).collect())
}

/// What `containers` says of one.
#[derive(Debug)]
pub struct ContainerReport {
    /// Its name.
    pub name: String,
    /// Its kind.
    pub plugin: &'static str,
    /// What it said of itself, or why it cannot be reached.
    pub probe: std::result::Result<plugins::ContainerProbe, crate::host::Error>,
}

/// Returns every container, configured and default, in ascending order.
pub fn containers(host: &Host) -> Vec<ContainerReport> {
    let report = |name: String| {
        let plugin = host.config.kind_of(&name).map_or("", |kind| kind.name);
        let probe = host.open_container(&name).and_then(|container| {
            container.probe().map_err(|source| crate::host::Error::Open {
                what: format!("the container {name}"),
                source,
            })
        });
        ContainerReport { name, plugin, probe }
    };
    host.config.container_names().into_iter().map(report).collect()
}

/// What `generations` says of one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GenerationReport {
    /// The record.
    pub generation: Generation,
    /// The sum of all contents; none where the root is missing.
    pub size_bytes: Option<u64>,
    /// The pins that keep its snapshot.
    pub pinned_by: Vec<String>,
}

/// Returns the history of one unit, or of all, the newest first.
pub fn generations(
    host: &Host,
    unit: Option<&UnitAddress>,
    report: &dyn Report,
) -> Result<Vec<GenerationReport>> {
    let _session = host.session(Access::Shared, "generations", report)?;
    let generations = match unit {
        Some(unit) => {
            host.kind_of(unit)?;
            let generations = host.index().generations_of(&unit.to_string())?;
            if generations.is_empty() && !is_known(host, unit)? {
                return Err(Error::UnknownUnit { unit: unit.clone() });
            }
            generations
        }
        None => host.index().generations()?,
    };
    let roots = host.index().roots()?;
    let pins = host.store.pins()?;
    let report = |generation: Generation| {
        let root = roots
            .iter()
            .find(|root| root.snapshot == generation.snapshot && root.unit == generation.unit);
        let is_pinned = |root: &str| {
            pins.iter().filter(|pin| pin.root == root).map(|pin| pin.name.clone()).collect()
        };
        GenerationReport {
            size_bytes: root.map(|root| root.size_bytes),
            pinned_by: root.map(|root| is_pinned(&root.file_name())).unwrap_or_default(),
            generation,
        }
    };
    Ok(generations.into_iter().map(report).collect())
}

/// Returns whether a unit is configured or was activated here.
fn is_known(host: &Host, unit: &UnitAddress) -> Result<bool> {
    let was_activated = host.journal().unit_state(&unit.to_string())?.is_some();
    Ok(was_activated || host.config.units.contains_key(unit))
}

/// What `status` says.
#[derive(Debug)]
pub struct StatusReport {
    /// Each unit, with what it says of itself or why it cannot be reached.
    pub units: Vec<(UnitReport, std::result::Result<Probe, crate::host::Error>)>,
    /// Units with a displaced state that is still kept, and where.
    pub kept: Vec<(String, String)>,
    /// Units with a restore that was interrupted.
    pub interrupted: Vec<String>,
    /// The store.
    pub store: StoreReport,
}

/// What `status` says of the store.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct StoreReport {
    /// How many snapshots.
    pub snapshots: u64,
    /// The sum of their contents, each snapshot by itself.
    pub size_bytes: u64,
    /// Bytes of all packs.
    pub stored_bytes: u64,
}

/// Returns the health of one unit, or of all, and of the store.
pub fn status(
    host: &Host,
    unit: Option<&UnitAddress>,
    report: &dyn Report,
) -> Result<StatusReport> {
    let mut all = units(host, report)?;
    if let Some(unit) = unit {
        host.kind_of(unit)?;
        let name = unit.to_string();
        all.retain(|report| report.unit == name);
        if all.is_empty() {
            return Err(Error::UnknownUnit { unit: unit.clone() });
        }
    }
    let mut kept = Vec::new();
    for unit in &all {
        kept.extend(kept_state(host, &unit.unit)?.map(|swap| (unit.unit.clone(), swap.kept_at)));
    }
    let restores = host.journal().restores()?;
    let interrupted = restores.into_iter().filter(|restore| restore.phase != Phase::Swapped);
    let roots = host.index().roots()?;
    let packs = host.index().packs()?;
    let store = StoreReport {
        snapshots: roots.len() as u64,
        size_bytes: roots.iter().map(|root| root.size_bytes).sum(),
        stored_bytes: packs.iter().map(|pack| pack.size_bytes).sum(),
    };
    let interrupted = interrupted.map(|restore| restore.unit).collect();
    let units = all.into_iter().map(|unit| probe(host, unit)).collect();
    Ok(StatusReport { units, kept, interrupted, store })
}

fn probe(
    host: &Host,
    report: UnitReport,
) -> (UnitReport, std::result::Result<Probe, crate::host::Error>) {
    let open =
        |source| crate::host::Error::Open { what: format!("the unit {}", report.unit), source };
    let probed = match report.unit.parse::<UnitAddress>() {
        Ok(unit) => host.open_unit(&unit).and_then(|plugin| plugin.probe().map_err(open)),
        Err(_) => Ok(Probe::default()),
    };
    (report, probed)
}
