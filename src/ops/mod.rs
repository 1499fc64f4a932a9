//! The use-cases, one file each. They decide with pure functions and do with the layers below.

mod activate;
mod bundle;
mod capture;
mod check;
mod copy;
mod deploy;
mod error;
mod export;
mod gc;
mod import;
mod inspect;
mod mark;
mod pin;
mod purge;
mod recover;
mod restore;
mod retention;
mod select;
mod shell;
mod snapshot;
mod source;
mod survey;
mod targets;
mod verify;

pub use activate::{Activated, activate, deactivate};
pub use check::check_config;
pub use deploy::{Deployed, deploy};
pub use error::{Error, Result};
pub use export::export;
pub use gc::{CollectRequest, Collected, KeptGeneration, gc};
pub use import::{Imported, import};
pub use inspect::{Change, Difference, Shown, cat, diff, list, show};
pub use pin::{pin, unpin};
pub use purge::purge;
pub use restore::{RestoreRequest, Restored, Safety, restore, undo};
pub use select::{Selected, select, select_all};
pub use shell::shell;
pub use snapshot::{SnapshotRequest, Taken, snapshot};
pub use survey::{
    ContainerReport, GenerationReport, StatusReport, StoreReport, UnitReport, UnitStanding,
    containers, generations, status, units,
};
pub use targets::{Targets, targets};
// What those above need to name of the layers below.
pub use crate::index::Error as IndexError;
pub use crate::store::{Error as StoreError, Generation, GenerationKind};
pub use verify::{Depth, Problem, Verified, verify};
