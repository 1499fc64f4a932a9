//! `dysno ls`

use std::ffi::OsString;
use std::io;

use clap::Args;
use plugins::tree::{Entry, Metadata, Node};
use serde_json::{Value, json};

use super::{path_fields, tree_path};
use crate::cli::app::{App, Format};
use crate::cli::failure::Result;
use crate::cli::print::{Array, plain, time};
use crate::ops;

/// List what is in a snapshot, without restoring it
#[derive(Args)]
#[command(after_help = "Example: dysno ls directory:/srv/www@3 -l uploads")]
pub(in crate::cli) struct Ls {
    /// The snapshot: UNIT, UNIT@N or the beginning of its id
    snapshot: String,
    /// List what is at and below this path
    path: Option<OsString>,
    /// Show type, mode, owner, group, size and time as well
    #[arg(short, long)]
    long: bool,
}

impl Ls {
    pub(in crate::cli) fn run(self, app: &App) -> Result<()> {
        let below = tree_path(self.path.unwrap_or_default())?;
        let selected = app.select_one(&self.snapshot)?;
        let host = app.host()?;
        match app.format() {
            Format::Json => {
                let mut array = Array::new();
                let push = |entry: &Entry| array.push(&document(entry));
                ops::list(host, &selected, &below, &app.progress, push)?;
                Ok(array.finish(&app.out)?)
            }
            Format::Text => {
                let print = |entry: &Entry| -> io::Result<()> {
                    app.out.line(if self.long { long(entry) } else { path(entry) })
                };
                Ok(ops::list(host, &selected, &below, &app.progress, print)?)
            }
        }
    }
}

fn path(entry: &Entry) -> String {
    if entry.path.is_root() { ".".to_owned() } else { entry.path.to_string() }
}

/// Returns a line as `ls -l` has it, without the number of links, which no snapshot has.
fn long(entry: &Entry) -> String {
    let size = match &entry.node {
        Node::File(content) => content.size_bytes.to_string(),
        Node::CharacterDevice(device) | Node::BlockDevice(device) => {
            format!("{}, {}", device.major, device.minor)
        }
        _ => "-".to_owned(),
    };
    let target = match &entry.node {
        Node::Symlink(target) => format!(" -> {}", plain(&String::from_utf8_lossy(target))),
        Node::HardLink(target) => format!(" is {target}"),
        Node::Unreadable => " (could not be read)".to_owned(),
        _ => String::new(),
    };
    let (mode, owner, group, when) = match &entry.metadata {
        Some(metadata) => (
            mode(&entry.node, metadata.mode),
            plain(&metadata.owner.to_string()),
            plain(&metadata.group.to_string()),
            time(&modified(metadata)),
        ),
        None => ("-".to_owned(), "-".to_owned(), "-".to_owned(), "-".to_owned()),
    };
    format!("{mode:<10} {owner:<8} {group:<8} {size:>12} {when:<19} {}{target}", path(entry))
}

/// Returns the type and the permissions as `ls` shows them.
fn mode(node: &Node, mode: u16) -> String {
    let kind = match node {
        Node::File(_) | Node::HardLink(_) | Node::Unreadable => '-',
        Node::Directory => 'd',
        Node::Symlink(_) => 'l',
        Node::Fifo => 'p',
        Node::CharacterDevice(_) => 'c',
        Node::BlockDevice(_) => 'b',
    };
    let mut text = String::from(kind);
    // The set-id and sticky bits take the place of who may execute.
    for (shift, special, letter) in [(6, 0o4000, 's'), (3, 0o2000, 's'), (0, 0o1000, 't')] {
        let bits = mode >> shift;
        text.push(if bits & 4 != 0 { 'r' } else { '-' });
        text.push(if bits & 2 != 0 { 'w' } else { '-' });
        text.push(match (mode & special != 0, bits & 1 != 0) {
            (true, true) => letter,
            (true, false) => letter.to_ascii_uppercase(),
            (false, true) => 'x',
            (false, false) => '-',
        });
    }
    text
}

fn modified(metadata: &Metadata) -> String {
    let seconds = metadata.modified.seconds;
    match jiff::Timestamp::new(seconds, metadata.modified.nanoseconds.min(999_999_999) as i32) {
        Ok(time) => time.to_string(),
        Err(_) => format!("{seconds} s"),
    }
}

fn document(entry: &Entry) -> Value {
    let (path, path_hex) = path_fields(&entry.path);
    let mut document = json!({ "path": path, "path_hex": path_hex, "type": kind(&entry.node) });
    match &entry.node {
        Node::File(content) => {
            document["size_bytes"] = json!(content.size_bytes);
            document["digest"] = json!(content.digest.to_string());
        }
        Node::Symlink(target) => document["target"] = json!(String::from_utf8_lossy(target)),
        Node::HardLink(target) => document["target"] = path_fields(target).0,
        Node::CharacterDevice(device) | Node::BlockDevice(device) => {
            document["device"] = json!([device.major, device.minor]);
        }
        Node::Directory | Node::Fifo | Node::Unreadable => {}
    }
    if let Some(metadata) = &entry.metadata {
        document["mode"] = json!(format!("{:04o}", metadata.mode));
        document["owner"] = json!(metadata.owner.to_string());
        document["group"] = json!(metadata.group.to_string());
        document["modified"] = json!(modified(metadata));
    }
    document
}

fn kind(node: &Node) -> &'static str {
    match node {
        Node::File(_) => "file",
        Node::Directory => "directory",
        Node::Symlink(_) => "symlink",
        Node::Fifo => "fifo",
        Node::CharacterDevice(_) => "character-device",
        Node::BlockDevice(_) => "block-device",
        Node::HardLink(_) => "hard-link",
        Node::Unreadable => "unreadable",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_look_as_in_ls() {
        assert_eq!(mode(&Node::Directory, 0o1777), "drwxrwxrwt");
        assert_eq!(mode(&Node::Fifo, 0o640), "prw-r-----");
        assert_eq!(mode(&Node::Unreadable, 0o6711), "-rws--s--x");
        assert_eq!(mode(&Node::Symlink(Vec::new()), 0o2644), "lrw-r-Sr--");
    }
}
