//! Snapshots and restores the state of services, together with the system that runs them.
//!
#![doc = include_str!("README.md")]

pub mod cli;
pub mod database;
pub mod disk;
pub mod host;
pub mod index;
pub mod journal;
pub mod ops;
pub mod report;
pub mod store;
