//! Commands on state units.

mod activate;
mod containers;
mod deactivate;
mod deploy;
mod list;
mod plugins;
mod purge;
mod restore;
mod shell;
mod snapshot;
mod status;

pub(super) use activate::Activate;
pub(super) use containers::Containers;
pub(super) use deactivate::Deactivate;
pub(super) use deploy::Deploy;
pub(super) use list::List;
pub(super) use plugins::Plugins;
pub(super) use purge::Purge;
pub(super) use restore::Restore;
pub(super) use shell::Shell;
pub(super) use snapshot::Snapshot;
pub(super) use status::Status;
