//! dysno

pub mod cli;
pub mod database;
pub mod disk;
pub mod host;
pub mod index;
pub mod journal;
pub mod ops;
pub mod report;
pub mod store;
