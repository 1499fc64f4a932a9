//! Commands on history and the store.

mod cat;
mod diff;
mod export;
mod gc;
mod generations;
mod import;
mod ls;
mod pin;
mod show;
mod verify;

pub(super) use cat::Cat;
pub(super) use diff::Diff;
pub(super) use export::Export;
pub(super) use gc::Gc;
pub(super) use generations::Generations;
pub(super) use import::Import;
pub(super) use ls::Ls;
pub(super) use pin::{Pin, Unpin};
pub(super) use show::Show;
pub(super) use verify::Verify;

use std::ffi::OsString;
use std::os::unix::ffi::OsStringExt;

use plugins::tree::TreePath;
use serde_json::{Value, json};

use super::failure::{Failure, Result};

/// Reads a path below the root of a snapshot. One that starts with `/` means the same.
fn tree_path(text: OsString) -> Result<TreePath> {
    let bytes = text.into_vec();
    let shown = String::from_utf8_lossy(&bytes).into_owned();
    let parts = bytes.split(|&b| b == b'/').filter(|part| !matches!(*part, b"" | b"."));
    let path = parts.collect::<Vec<_>>().join(&b'/');
    TreePath::parse(path).ok_or_else(|| {
        let message = format!("cannot use {shown:?} as a path in a snapshot");
        Failure::refused(message, "it is relative to the top of the snapshot, without `..`")
    })
}

/// Returns a path for machines, and its bytes where they are no text.
fn path_fields(path: &TreePath) -> (Value, Value) {
    match str::from_utf8(path.as_bytes()) {
        Ok(text) => (json!(text), Value::Null),
        Err(_) => {
            let hex: String = path.as_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
            (json!(String::from_utf8_lossy(path.as_bytes())), json!(hex))
        }
    }
}
