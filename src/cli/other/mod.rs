//! Commands that need neither units nor a store, and the demonstration.

mod check_config;
mod completions;
mod demo;
mod man;
mod version;

pub(super) use check_config::CheckConfig;
pub(super) use completions::Completions;
pub(super) use demo::Demo;
pub(super) use man::Man;
pub(super) use version::Version;
