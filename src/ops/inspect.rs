//! Looks inside snapshots without restoring them.

use std::cmp::Ordering;
use std::io::{self, Read, Write};
use std::iter::Peekable;

use plugins::tree::{Entry, Node, TreePath};

use super::capture::KIND;
use super::error::{Error, Result};
use super::select::Selected;
use super::source::open_manifest;
use crate::host::Host;
use crate::report::Report;
use crate::store::{self, Access, Reader};

/// What `show` says of a snapshot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Shown {
    /// The kind that made it.
    pub plugin: String,
    /// What counts towards its identity.
    pub attributes: Vec<(String, String)>,
    /// Each file with its size.
    pub streams: Vec<(TreePath, u64)>,
}

/// Returns what is known of a snapshot.
pub fn show(host: &Host, selected: &Selected, report: &dyn Report) -> Result<Shown> {
    let _session = host.session(Access::Shared, "show", report)?;
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let manifest = open_manifest(&reader, &selected.root)?;
    let attributes = manifest.attributes().clone();
    let plugin = attributes.get(KIND).cloned().unwrap_or_default();
    let attributes = attributes.into_iter().filter(|(name, _)| name != KIND).collect();
    let mut streams = Vec::new();
    for entry in manifest {
        let entry = entry?;
        if let Node::File(content) = entry.node {
            streams.push((entry.path, content.size_bytes));
        }
    }
    Ok(Shown { plugin, attributes, streams })
}

/// Calls `each` with the entries at and below a path, in ascending order. The path must be in the snapshot, if only as
/// the beginning of a file's.
pub fn list(
    host: &Host,
    selected: &Selected,
    below: &TreePath,
    report: &dyn Report,
    mut each: impl FnMut(&Entry) -> io::Result<()>,
) -> Result<()> {
    let _session = host.session(Access::Shared, "ls", report)?;
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let mut is_found = below.is_root();
    for entry in open_manifest(&reader, &selected.root)? {
        let entry = entry?;
        if is_at_or_below(&entry.path, below) {
            is_found = true;
            each(&entry).map_err(output)?;
        }
    }
    if is_found { Ok(()) } else { Err(no_path(selected, below, "there is nothing by that name")) }
}

fn is_at_or_below(path: &TreePath, top: &TreePath) -> bool {
    let (path, top) = (path.as_bytes(), top.as_bytes());
    top.is_empty() || path.starts_with(top) && matches!(path.get(top.len()), None | Some(b'/'))
}

fn no_path(selected: &Selected, path: &TreePath, reason: &'static str) -> Error {
    let snapshot = selected.root.snapshot.to_string();
    Error::Path { path: path.to_string(), snapshot, reason }
}

fn output(source: io::Error) -> Error {
    Error::File { verb: "write to", path: "the standard output".into(), source }
}

/// Writes the content of one file.
pub fn cat(
    host: &Host,
    selected: &Selected,
    path: &TreePath,
    report: &dyn Report,
    out: &mut dyn Write,
) -> Result<()> {
    let _session = host.session(Access::Shared, "cat", report)?;
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let find = |path: &TreePath| -> Result<Option<Node>> {
        for entry in open_manifest(&reader, &selected.root)? {
            let entry = entry?;
            if entry.path == *path {
                return Ok(Some(entry.node));
            }
        }
        Ok(None)
    };
    let mut node = find(path)?;
    if let Some(Node::HardLink(target)) = &node {
        node = find(target)?;
    }
    let content = match node {
        Some(Node::File(content)) => content,
        Some(Node::Unreadable) => {
            return Err(no_path(
                selected,
                path,
                "it could not be read when the snapshot was taken",
            ));
        }
        Some(_) => return Err(no_path(selected, path, "it is no file")),
        None => return Err(no_path(selected, path, "there is nothing by that name")),
    };
    let mut input = reader.content(&content)?;
    let mut buffer = vec![0; 256 << 10];
    loop {
        // Told apart: damage in the store and an output that went away lead to different ends.
        match input.read(&mut buffer) {
            Ok(0) => return out.flush().map_err(output),
            Ok(n) => out.write_all(&buffer[..n]).map_err(output)?,
            Err(error) => {
                return Err(match error.downcast::<store::Error>() {
                    Ok(own) => own.into(),
                    Err(error) => output(error),
                });
            }
        }
    }
}

/// How an entry differs between two snapshots.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Change {
    /// Only the second has it.
    Added,
    /// Only the first has it.
    Removed,
    /// The content, target or type differs.
    Content,
    /// Only the metadata differs.
    Metadata,
}

/// One difference between two snapshots.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Difference {
    /// Where.
    pub path: TreePath,
    /// How.
    pub change: Change,
    /// Bytes in the first snapshot, of a file.
    pub before_bytes: Option<u64>,
    /// Bytes in the second snapshot, of a file.
    pub after_bytes: Option<u64>,
}

/// Calls `each` with the differences between two snapshots, in ascending order of their paths.
pub fn diff(
    host: &Host,
    before: &Selected,
    after: &Selected,
    report: &dyn Report,
    mut each: impl FnMut(&Difference) -> io::Result<()>,
) -> Result<()> {
    let _session = host.session(Access::Shared, "diff", report)?;
    let reader = Reader::new(&host.store, host.catalog(), &host.context().interrupt);
    let mut left = open_manifest(&reader, &before.root)?.peekable();
    let mut right = open_manifest(&reader, &after.root)?.peekable();
    while let Some((left, right)) = next_pair(&mut left, &mut right)? {
        let change = match (&left, &right) {
            (Some(left), Some(right)) if left.node != right.node => Change::Content,
            (Some(left), Some(right)) if left.metadata != right.metadata => Change::Metadata,
            (Some(_), Some(_)) => continue,
            (None, _) => Change::Added,
            (_, None) => Change::Removed,
        };
        let size = |entry: &Option<Entry>| match entry.as_ref().map(|entry| &entry.node) {
            Some(Node::File(content)) => Some(content.size_bytes),
            _ => None,
        };
        let (before_bytes, after_bytes) = (size(&left), size(&right));
        let either = left.or(right).expect("a pair has at least one side");
        let difference = Difference { path: either.path, change, before_bytes, after_bytes };
        each(&difference).map_err(output)?;
    }
    Ok(())
}

type Pair = (Option<Entry>, Option<Entry>);

/// Takes what comes next in path order from one side or, where both have it, from both.
fn next_pair<I: Iterator<Item = store::Result<Entry>>>(
    left: &mut Peekable<I>,
    right: &mut Peekable<I>,
) -> Result<Option<Pair>> {
    let order = match (left.peek(), right.peek()) {
        (None, None) => return Ok(None),
        (Some(Ok(left)), Some(Ok(right))) => left.path.cmp(&right.path),
        (Some(_), None) | (Some(Err(_)), _) => Ordering::Less,
        (None, Some(_)) | (_, Some(Err(_))) => Ordering::Greater,
    };
    let left = if order == Ordering::Greater { None } else { left.next().transpose()? };
    let right = if order == Ordering::Less { None } else { right.next().transpose()? };
    Ok(Some((left, right)))
}
