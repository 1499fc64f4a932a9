//! Makes the index say what the files say.

use std::collections::{HashMap, HashSet};
use std::path::PathBuf;

use super::{Index, Result};
use crate::store::{Catalog, Error as StoreError, Generation, Placement, Root, Store};

/// What was different, and what cannot be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Differences {
    /// Packs, root files and generation records that had no row.
    pub added: u64,
    /// Rows whose file is gone.
    pub removed: u64,
    /// One sentence for each file that is missing or cannot be trusted.
    pub problems: Vec<String>,
}

impl Index {
    /// Compares the index with the names of the store's files. Files without a row are verified and added: a session
    /// died before it could. Rows without a file are removed. The files are never changed.
    ///
    /// `verifying` is told of each pack that has to be read, and how many more there are.
    pub fn reconcile(
        &mut self,
        store: &Store,
        mut verifying: impl FnMut(usize),
    ) -> Result<Differences> {
        let mut differences = Differences::default();
        self.reconcile_packs(store, &mut verifying, &mut differences)?;
        self.reconcile_roots(store, &mut differences)?;
        self.reconcile_generations(store, &mut differences)?;
        Ok(differences)
    }

    fn reconcile_packs(
        &mut self,
        store: &Store,
        verifying: &mut impl FnMut(usize),
        differences: &mut Differences,
    ) -> Result<()> {
        let known: HashSet<_> = self.packs()?.into_iter().map(|pack| pack.name).collect();
        let found: HashSet<_> = store.pack_names()?.into_iter().collect();
        let new: Vec<_> = found.difference(&known).collect();
        for (at, name) in new.iter().enumerate() {
            verifying(new.len() - at);
            let (contents, problems) = match store.adopt_pack(name) {
                // Another session published it just now and its collection removed it again.
                Err(StoreError::File { source, .. })
                    if source.kind() == std::io::ErrorKind::NotFound =>
                {
                    continue;
                }
                // A disk that cannot read one pack is no reason to do without the others.
                Err(error @ StoreError::File { verb: "open" | "read", .. }) => {
                    differences.problems.push(with_causes(&error));
                    continue;
                }
                other => other?,
            };
            let path = store.pack_path(name);
            let named = |problem| format!("{}: {problem}", path.display());
            differences.problems.extend(problems.into_iter().map(named));
            self.add_pack(&contents, Placement::New)?;
            differences.added += 1;
        }
        let missing: Vec<_> = known.difference(&found).copied().collect();
        for name in &missing {
            differences
                .problems
                .push(format!("{}: it is missing", store.pack_path(name).display()));
        }
        self.remove_packs(&missing)?;
        differences.removed += missing.len() as u64;
        Ok(())
    }

    fn reconcile_roots(&mut self, store: &Store, differences: &mut Differences) -> Result<()> {
        let mut known: HashMap<String, Root> =
            self.roots()?.into_iter().map(|root| (root.file_name(), root)).collect();
        for name in store.root_names()? {
            if known.remove(&name).is_some() {
                continue;
            }
            match store.read_root(&name) {
                Ok(root) => {
                    // Whoever gave it its name may have died before the name was durable; a row must not be first.
                    store.adopt_root(&name)?;
                    self.add_root(&root)?;
                    differences.added += 1;
                }
                Err(error @ StoreError::Damaged { .. }) => {
                    differences.problems.push(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (name, root) in known {
            differences.problems.push(format!("the root file {name}: it is missing"));
            self.remove_root(&root.snapshot, &root.unit)?;
            differences.removed += 1;
        }
        Ok(())
    }

    fn reconcile_generations(
        &mut self,
        store: &Store,
        differences: &mut Differences,
    ) -> Result<()> {
        let of_path = |generation: Generation| {
            (store.generation_path(&generation.unit, generation.number), generation)
        };
        let mut known: HashMap<PathBuf, Generation> =
            self.generations()?.into_iter().map(of_path).collect();
        for path in store.generation_paths()? {
            if known.remove(&path).is_some() {
                continue;
            }
            match store.read_generation(&path) {
                Ok(generation) => {
                    store.adopt_generation(&path)?;
                    self.add_generation(&generation)?;
                    differences.added += 1;
                }
                Err(error @ StoreError::Damaged { .. }) => {
                    differences.problems.push(error.to_string());
                }
                Err(error) => return Err(error.into()),
            }
        }
        for (path, generation) in known {
            differences.problems.push(format!("{}: it is missing", path.display()));
            self.remove_generation(&generation.unit, generation.number)?;
            differences.removed += 1;
        }
        Ok(())
    }
}

fn with_causes(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(cause) => format!("{error}: {cause}"),
        None => error.to_string(),
    }
}
