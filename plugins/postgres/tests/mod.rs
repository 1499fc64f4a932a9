//! The kind against real servers, each thrown away after its test.

mod faults;
mod laws;
mod memory;
mod round_trip;
mod server;
mod split;
mod swapping;
