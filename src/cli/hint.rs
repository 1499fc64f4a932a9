//! What helps after a failure, chosen by what failed.

use std::error::Error as StdError;
use std::io::ErrorKind;

use super::failure::Failure;
use crate::ops::StoreError;
use crate::{host, ops};

/// Returns what helps: the first of the failure's layers that anything is known about decides.
pub(super) fn hint(failure: &Failure, layers: &[&(dyn StdError + 'static)]) -> Option<String> {
    if let Failure::Damaged { .. } = failure {
        let hint = "restore the affected units from another generation, or import the snapshots from a bundle or another \
                    host";
        return Some(hint.to_owned());
    }
    layers.iter().find_map(|error| of_layer(*error))
}

fn of_layer(error: &(dyn StdError + 'static)) -> Option<String> {
    if let Some(error) = error.downcast_ref::<ops::Error>() {
        return of_use_case(error);
    }
    if let Some(error) = error.downcast_ref::<host::Error>() {
        return of_host(error);
    }
    if let Some(error) = error.downcast_ref::<StoreError>() {
        return of_store(error);
    }
    of_plugin(error.downcast_ref::<plugins::Error>()?)
}

fn of_use_case(error: &ops::Error) -> Option<String> {
    use ops::Error as E;
    Some(match error {
        E::NoState { unit, .. } => {
            format!("check the unit's name; `dysno activate {unit}` creates its state")
        }
        E::UnknownUnit { .. } => "`dysno units` lists the units that are known".to_owned(),
        E::NoGeneration { unit } => format!("run `dysno snapshot {unit}` first"),
        E::UnknownGeneration { unit, .. } => {
            format!("`dysno generations {unit}` tells them apart")
        }
        E::UnknownSnapshot { .. } => "`dysno generations` lists the snapshots".to_owned(),
        E::Ambiguous { .. } => "give more digits of the id, or UNIT@N".to_owned(),
        E::Selector { .. } => {
            "a snapshot is named by UNIT, UNIT@N, UNIT@latest or its id, such as postgres:main@3"
                .to_owned()
        }
        E::UnknownGroup { .. } => {
            "groups are configured as [group.NAME] with units = [...]".to_owned()
        }
        E::Path { snapshot, .. } => {
            format!("`dysno ls {}` lists what is in it", &snapshot[..snapshot.len().min(12)])
        }
        E::OtherKind { .. } => "give a unit of the same kind with --into".to_owned(),
        E::Active { unit } => format!("run `dysno deactivate {unit}` first"),
        E::NothingKept { unit } => format!(
            "what a restore displaces is kept until the next restore or gc; `dysno generations {unit}` lists the safety \
             snapshots"
        ),
        E::HalfWay { unit, .. } => format!(
            "both states are still there; when what stands in the way is gone, `dysno restore {unit}` finishes or undoes \
             the interrupted restore first"
        ),
        E::Circle { .. } => "remove one of their `requires`".to_owned(),
        E::Unsafe { .. } => "run `dysno verify` to see what is damaged".to_owned(),
        E::KeepsNothing { .. } => "keep at least one, for example with --keep-last 1".to_owned(),
        E::Member { .. } => "nothing was imported; export the bundle again".to_owned(),
        E::PinName { .. }
        | E::Host(_)
        | E::Store(_)
        | E::Index(_)
        | E::Journal(_)
        | E::Unit { .. }
        | E::Bundle { .. }
        | E::File { .. }
        | E::Interrupted(_) => return None,
    })
}

fn of_host(error: &host::Error) -> Option<String> {
    match error {
        host::Error::UnknownContainer { name, .. } => Some(format!(
            "a unit is CONTAINER:COMPONENT; configure a container as [container.{name}], or use a kind's own name"
        )),
        host::Error::Config(_)
        | host::Error::Store(_)
        | host::Error::Index(_)
        | host::Error::Journal(_)
        | host::Error::Open { .. } => None,
    }
}

fn of_store(error: &StoreError) -> Option<String> {
    match error {
        StoreError::Damaged { .. } | StoreError::Missing { .. } => Some(
            "`dysno verify --read-data` finds all that is damaged; other snapshots are not affected".to_owned(),
        ),
        StoreError::Locked { .. } => Some("try again when it has ended".to_owned()),
        StoreError::Newer { .. } => Some("use the version of dysno that wrote it, or a later one".to_owned()),
        StoreError::File { source, .. } => match source.kind() {
            ErrorKind::PermissionDenied => Some(
                "run dysno as the user that owns the state directory, or choose another one with --state-dir"
                    .to_owned(),
            ),
            ErrorKind::DirectoryNotEmpty => Some(
                "the state directory must be empty or a store; choose another one with --state-dir".to_owned(),
            ),
            ErrorKind::StorageFull | ErrorKind::QuotaExceeded => {
                Some("make room; `dysno gc` frees what no generation needs".to_owned())
            }
            _ => None,
        },
        _ => None,
    }
}

fn of_plugin(error: &plugins::Error) -> Option<String> {
    use plugins::Error as E;
    match error {
        E::File { source, .. } if source.kind() == ErrorKind::PermissionDenied => {
            Some("run dysno as a user that may do this, or give --allow-unreadable to leave out such files".to_owned())
        }
        E::Changing { .. } => {
            Some("stop what writes to it, or give --allow-fuzzy to take it as it was read last".to_owned())
        }
        E::Lacking { .. } => {
            Some("give --allow-unreadable to restore all but such files".to_owned())
        }
        E::UnknownOwner { what, name } => Some(format!("create the {what} {name} first")),
        E::Settings { .. } => {
            Some("`dysno plugins` lists the settings of each kind; `dysno check-config` checks them".to_owned())
        }
        E::Connect { .. } => {
            Some("`dysno containers` tells which servers can be reached".to_owned())
        }
        _ => None,
    }
}
