//! The form of a bundle: a tar archive of a head, packs, root files and generation records, in this order.

use plugins::tree::Digest;

use super::error::{Error, Result};

/// The first member.
pub(super) const HEAD: &str = "dysno-bundle";

/// A member of a bundle. Its name says all about where it belongs, so nothing else is accepted.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Member {
    /// Says how many root files come.
    Head,
    /// A pack of that name.
    Pack(Digest),
    /// The root file of that name.
    Root(String),
    /// The generation record of that unit's name and number.
    Generation,
}

impl Member {
    /// Parses the name of a regular file in the archive.
    pub(super) fn parse(name: &str) -> Result<Self> {
        let unknown = || Error::Member {
            member: name.to_owned(),
            reason: "a bundle has no member of this name".to_owned(),
        };
        let plain = |name: &str| !name.is_empty() && !name.contains('/') && !name.starts_with('.');
        if name == HEAD {
            return Ok(Self::Head);
        }
        if let Some(pack) = name.strip_prefix("packs/").and_then(|n| n.strip_suffix(".pack")) {
            return Digest::parse(pack).map(Self::Pack).ok_or_else(unknown);
        }
        match (name.strip_prefix("store/"), name.strip_prefix("generations/")) {
            (Some(root), _) if plain(root) => Ok(Self::Root(root.to_owned())),
            (_, Some(record)) if plain(record) && record.ends_with(".gen") => Ok(Self::Generation),
            _ => Err(unknown()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_names_of_the_format_are_members() {
        let pack = format!("packs/{}.pack", "0".repeat(64));
        for name in [HEAD, &pack, "store/abc", "generations/postgres-main.1.gen"] {
            assert!(Member::parse(name).is_ok(), "{name}");
        }
        for name in [
            "",
            "/",
            "/etc/passwd",
            "../x",
            "packs/../x.pack",
            "packs/x.pack",
            "store/",
            "store/..",
            "store/a/b",
            "store/../../etc/passwd",
            "generations/x",
            "./dysno-bundle",
            "packs",
            "dysno-bundle/",
        ] {
            assert!(Member::parse(name).is_err(), "{name}");
        }
    }
}
