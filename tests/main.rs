//! All tests of the program and its library, in one binary.
#![expect(clippy::unwrap_used, reason = "a failed test is a panic")]

mod adversity;
mod cli;
mod crash;
mod format;
mod hardship;
mod old_stores;
mod postgres;
mod store;
mod support;
mod tidy;
