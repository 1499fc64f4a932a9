//! The small files of a snapshot that say what the large ones are.

use std::collections::BTreeMap;
use std::io::Read;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::tree::{Content, Entry, Node, TreePath};
use crate::{Capture, Cut, Error, Result, Source};

/// The layout of a snapshot of this kind; an attribute of it.
pub(crate) const LAYOUT: &str = "postgres/1";

/// The attribute that holds the layout.
pub(crate) const LAYOUT_ATTRIBUTE: &str = "layout";

/// A manifest above this is not ours: refuse before allocating. A hundred thousand tables take about 30 MB.
const MANIFEST_BYTES_MAX: u64 = 1 << 30;

/// Properties of the database itself.
pub(crate) const DATABASE: &str = "database.json";
/// The tables and their files.
pub(crate) const TABLES: &str = "tables.json";
/// The sequences and their values.
pub(crate) const SEQUENCES: &str = "sequences.json";
/// What a server must have before the database can be restored to it.
pub(crate) const REQUIREMENTS: &str = "requirements.json";
/// What comes before the data.
pub(crate) const PRE_DATA: &str = "schema/pre-data.sql";
/// Keys, indexes, triggers, rules, policies.
pub(crate) const POST_DATA: &str = "schema/post-data.sql";
/// Refreshes of materialized views, in the order of their dependencies.
pub(crate) const MATERIALIZED_VIEWS: &str = "schema/materialized-views.sql";
/// Event triggers: last, because they fire for all that is created after them.
pub(crate) const EVENT_TRIGGERS: &str = "schema/event-triggers.sql";
/// Large objects: number, owner, comment.
pub(crate) const LARGE_OBJECTS: &str = "large-objects/objects.copy";
/// Large objects: who may do what.
pub(crate) const LARGE_OBJECT_PRIVILEGES: &str = "large-objects/privileges.copy";
/// Large objects: their pages, without those that were never written.
pub(crate) const LARGE_OBJECT_PAGES: &str = "large-objects/pages.copy";

/// One table, or one tree of partitions, and its file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TableFile {
    pub(crate) columns: Vec<String>,
    pub(crate) file: String,
    pub(crate) format: Format,
    pub(crate) load: Load,
    pub(crate) name: String,
    pub(crate) order: Order,
    pub(crate) rows: u64,
    pub(crate) schema: String,
}

/// How the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Format {
    /// The same on every version.
    Text,
    /// For values of which the text form is too large for the server.
    Binary,
}

/// How the rows are put back.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Load {
    /// Into the table alone, which is empty.
    Table,
    /// Through the root of partitions by hash: which of them takes a row depends on numbers that differ by server.
    Root,
    /// Into a table of an extension, beside the rows that the extension brings.
    Extension,
}

/// In which order the rows are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Order {
    /// By a unique key.
    Key,
    /// By the text of the whole row, for want of a key.
    Row,
    /// As they lie on disk: without a key and too large to sort. Moving rows changes the identity.
    Heap,
}

/// One sequence.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Sequence {
    pub(crate) called: bool,
    pub(crate) name: String,
    pub(crate) schema: String,
    pub(crate) value: i64,
}

/// What the target server must have.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Requirements {
    pub(crate) extensions: Vec<String>,
    pub(crate) roles: Vec<String>,
    pub(crate) tablespaces: Vec<String>,
}

/// The entries of a snapshot, by path.
pub(crate) struct Index(BTreeMap<String, Content>);

impl Index {
    /// Reads the entries of a snapshot.
    pub(crate) fn read(source: &dyn Source) -> Result<Self> {
        let mut files = BTreeMap::new();
        for entry in source.entries().map_err(Error::read)? {
            let entry = entry.map_err(Error::read)?;
            match entry.node {
                Node::File(content) => {
                    let path = String::from_utf8(entry.path.as_bytes().to_vec())
                        .map_err(|_| foreign(format!("{} is not ours", entry.path)))?;
                    files.insert(path, content);
                }
                Node::Directory => {}
                Node::Symlink(_)
                | Node::Fifo
                | Node::CharacterDevice(_)
                | Node::BlockDevice(_)
                | Node::HardLink(_)
                | Node::Unreadable => {
                    return Err(foreign(format!("{} is no file", entry.path)));
                }
            }
        }
        Ok(Self(files))
    }

    /// Returns the content at a path, which must be there.
    pub(crate) fn content(&self, path: &str) -> Result<&Content> {
        self.find(path).ok_or_else(|| foreign(format!("it lacks {path}")))
    }

    /// Returns the content at a path.
    pub(crate) fn find(&self, path: &str) -> Option<&Content> {
        self.0.get(path)
    }

    /// Returns all files.
    pub(crate) fn files(&self) -> &BTreeMap<String, Content> {
        &self.0
    }

    /// Reads a whole small file.
    pub(crate) fn text(&self, source: &dyn Source, path: &str) -> Result<String> {
        let content = self.content(path)?;
        if content.size_bytes > MANIFEST_BYTES_MAX {
            return Err(foreign(format!("{path} is too large")));
        }
        let mut text = String::new();
        source
            .open(content)
            .and_then(|mut stream| stream.read_to_string(&mut text))
            .map_err(Error::read)?;
        Ok(text)
    }

    /// Reads a small file of ours.
    pub(crate) fn parse<T: DeserializeOwned>(&self, source: &dyn Source, path: &str) -> Result<T> {
        let text = self.text(source, path)?;
        serde_json::from_str(&text).map_err(|error| foreign(format!("{path}: {error}")))
    }
}

fn foreign(reason: String) -> Error {
    Error::Foreign { reason }
}

/// Writes a small file of ours: fields in alphabetical order, a line each.
pub(crate) fn write_json(capture: &dyn Capture, path: &str, value: &impl Serialize) -> Result<()> {
    // By way of `Value`, whose maps are sorted.
    let text = serde_json::to_value(value)
        .and_then(|value| serde_json::to_string_pretty(&value))
        .expect("a manifest has text keys only");
    write_file(capture, path, format!("{text}\n").as_bytes())
}

/// Writes a whole small file.
pub(crate) fn write_file(capture: &dyn Capture, path: &str, bytes: &[u8]) -> Result<()> {
    let write = || {
        let mut content = capture.content(Cut::Tree)?;
        content.write_all(bytes)?;
        let content = content.finish()?;
        capture.entry(file_entry(path, content))
    };
    write().map_err(|source| crate::postgres::failure::snapshot("write", source))
}

/// Makes the entry of a file.
pub(crate) fn file_entry(path: &str, content: Content) -> Entry {
    let path = TreePath::parse(path).expect("names are encoded so that they make a path");
    Entry { path, node: Node::File(content), metadata: None }
}

/// Returns the file of a table's rows. Each identifier is at most 63 bytes, so each component is at most 194.
pub(crate) fn data_path(schema: &str, table: &str) -> String {
    format!("data/{}/{}.copy", component(schema), component(table))
}

/// Encodes a name so that it is one component of a path, readable where it is plain, and no two names are the same.
fn component(name: &str) -> String {
    let mut encoded = String::new();
    for character in name.chars() {
        if character.is_alphanumeric() || matches!(character, '_' | '-') {
            encoded.push(character);
        } else {
            let mut bytes = [0; 4];
            for byte in character.encode_utf8(&mut bytes).bytes() {
                encoded.push_str(&format!("%{byte:02X}"));
            }
        }
    }
    encoded
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_identifier_is_a_file_name_of_its_own() {
        assert_eq!(data_path("public", "accounts"), "data/public/accounts.copy");
        assert_eq!(data_path("..", "a/b.c%"), "data/%2E%2E/a%2Fb%2Ec%25.copy");
        assert_eq!(data_path("ä", "\n"), "data/ä/%0A.copy");
        let longest = data_path("x", &"/".repeat(63));
        assert!(longest.split('/').all(|component| component.len() <= 255));
    }
}
