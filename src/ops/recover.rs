//! Finishes or undoes restores that a crash cut short.

use plugins::{Plugin, Standing, UnitAddress};

use super::error::{Error, Result};
use crate::host::Host;
use crate::journal::{Phase, Restore};
use crate::report::Report;

/// Brings a locked unit's interrupted restores to an end. What was not swapped in is released, what was is kept.
pub(super) fn recover_unit(
    host: &Host,
    unit: &UnitAddress,
    plugin: &dyn Plugin,
    report: &dyn Report,
) -> Result<()> {
    let name = unit.to_string();
    let restores = host.journal().restores()?;
    for restore in restores.into_iter().filter(|restore| restore.unit == name) {
        match restore.phase {
            Phase::Staging => {
                release(host, unit, plugin, &restore)?;
                report.note(&format!("removed what an interrupted restore of {unit} had staged"));
            }
            Phase::Swapping => finish_swap(host, unit, plugin, restore, report)?,
            Phase::Swapped => {}
        }
    }
    Ok(())
}

fn finish_swap(
    host: &Host,
    unit: &UnitAddress,
    plugin: &dyn Plugin,
    restore: Restore,
    report: &dyn Report,
) -> Result<()> {
    let half_way = |reason: &str| Error::HalfWay {
        unit: unit.clone(),
        reason: reason.to_owned(),
        source: None,
    };
    let swap = restore.swap.as_ref().ok_or_else(|| half_way("the journal lacks the swap"))?;
    match plugin.standing(swap).map_err(Error::unit("examine", unit))? {
        Standing::Before => {
            release(host, unit, plugin, &restore)?;
            report.note(&format!("undid an interrupted restore of {unit}"));
        }
        Standing::After => {
            host.journal().record(&Restore { phase: Phase::Swapped, ..restore })?;
            report.note(&format!("an interrupted restore of {unit} had succeeded"));
        }
        Standing::Foreign => {
            // Whoever made the state anew has decided what is live. Nothing is removed: it may be the only copy.
            host.journal().forget(&restore.tag)?;
            report.warn(&format!(
                "a restore of {unit} was interrupted, and its state was made anew since; what the restore left is not \
                 touched any more: look for {} beside it, and for {}",
                restore.tag, swap.kept_at
            ));
        }
    }
    Ok(())
}

/// Removes what a restore staged or displaced, and then what the journal says of it.
pub(super) fn release(
    host: &Host,
    unit: &UnitAddress,
    plugin: &dyn Plugin,
    restore: &Restore,
) -> Result<()> {
    plugin.release(&restore.tag).map_err(Error::unit("clean up after a restore of", unit))?;
    // Only now: the journal is how it would be found again.
    host.journal().forget(&restore.tag)?;
    Ok(())
}

/// Removes all that earlier restores of a unit displaced.
pub(super) fn release_displaced(
    host: &Host,
    unit: &UnitAddress,
    plugin: &dyn Plugin,
    except: Option<&plugins::Tag>,
) -> Result<()> {
    let name = unit.to_string();
    let restores = host.journal().restores()?;
    for restore in restores {
        let is_displaced = restore.unit == name && restore.phase == Phase::Swapped;
        if is_displaced && except != Some(&restore.tag) {
            release(host, unit, plugin, &restore)?;
        }
    }
    Ok(())
}
