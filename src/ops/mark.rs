//! Which objects snapshots need.

use std::collections::HashSet;

use plugins::tree::{Content, Digest, Node};

use super::capture::manifest_content;
use super::source::open_manifest;
use crate::store::{Catalog, ObjectKey, Reader, Result, Root};

/// The objects that a set of snapshots needs.
#[derive(Default)]
pub(super) struct Needed {
    objects: HashSet<ObjectKey>,
    snapshots: HashSet<Digest>,
    /// Apart from the snapshots: a file may have the very bytes of a manifest, without needing what that names.
    contents: HashSet<Content>,
}

impl Needed {
    pub(super) fn contains(&self, key: &ObjectKey) -> bool {
        self.objects.contains(key)
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &ObjectKey> {
        self.objects.iter()
    }

    /// Adds all that a snapshot needs. Fails at the first list or manifest that cannot be read.
    pub(super) fn add(&mut self, reader: &Reader<'_>, root: &Root) -> Result<()> {
        if !self.snapshots.insert(root.snapshot) {
            return Ok(());
        }
        self.add_content(reader, &manifest_content(root))?;
        for entry in open_manifest(reader, root)? {
            if let Node::File(content) = entry?.node
                && self.contents.insert(content)
            {
                self.add_content(reader, &content)?;
            }
        }
        Ok(())
    }

    fn add_content(&mut self, reader: &Reader<'_>, content: &Content) -> Result<()> {
        let objects = &mut self.objects;
        reader.objects(content, &mut |key| {
            objects.insert(key);
        })
    }

    /// Returns what is needed and not in the catalog.
    pub(super) fn missing_from(&self, catalog: &mut dyn Catalog) -> Result<Vec<ObjectKey>> {
        let mut missing = Vec::new();
        for key in &self.objects {
            if !catalog.contains(key)? {
                missing.push(*key);
            }
        }
        missing.sort_unstable();
        Ok(missing)
    }
}
