//! store-format.md says what the code does: its example, its tables and its schema.

use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use dysno::store::{Generation, GenerationKind, ManifestWriter, Root};
use plugins::Cut;
use plugins::tree::{Content, Digest, Entry, Node, Profile, TreePath};

use crate::support::store::Bench;

const FORMAT: &str = include_str!("../store-format.md");

fn assert_documented(expected: &str) {
    assert!(FORMAT.contains(expected), "store-format.md lacks:\n{expected}");
}

/// Sixteen bytes a line, as in the example.
fn hex(bytes: &[u8]) -> String {
    let mut text = String::new();
    for (at, line) in bytes.chunks(16).enumerate() {
        write!(text, "{:04x} ", at * 16).unwrap();
        for byte in line {
            write!(text, " {byte:02x}").unwrap();
        }
        let printable = |&b: &u8| if (0x20..0x7f).contains(&b) { char::from(b) } else { '.' };
        let missing = "   ".repeat(16 - line.len());
        writeln!(text, "{missing}  {}", line.iter().map(printable).collect::<String>()).unwrap();
    }
    text
}

fn manifest() -> Vec<u8> {
    let mut writer = ManifestWriter::new(Vec::new(), Profile::Files1);
    writer.attribute("kind", "example").unwrap();
    let content = Content { size_bytes: 6, digest: Digest::of(b"hello\n") };
    let path = TreePath::parse("greeting").unwrap();
    writer.entry(Entry { path, node: Node::File(content), metadata: None }).unwrap();
    writer.finish().unwrap().out
}

#[test]
fn the_manifest_of_the_example_is_what_is_written() {
    let manifest = manifest();
    assert_documented(&format!("```text\n{}```", hex(&manifest)));
    assert_documented(&Digest::of(&manifest).to_string());
}

#[test]
fn the_pack_of_the_example_is_what_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let bench = Bench::open(directory.path());
    bench.write(&[b"hello\n"], Cut::Tree).unwrap();
    let name = bench.store.pack_names().unwrap()[0];
    let bytes = fs::read(bench.store.pack_path(&name)).unwrap();
    assert_documented(&format!("```text\n{}```", hex(&bytes)));
    assert_documented(&name.to_string());
}

#[test]
fn the_records_of_the_example_are_what_is_written() {
    let manifest = manifest();
    let snapshot = Digest::of(&manifest);
    let root = Root {
        snapshot,
        unit: "example:main".into(),
        profile: Profile::Files1,
        manifest_bytes: manifest.len() as u64,
        entries: 1,
        size_bytes: 6,
        stored_bytes: 163,
    };
    assert_documented(&format!("```text\n{}```", root.encode()));
    assert_documented(&root.file_name());
    let generation = Generation {
        unit: "example:main".into(),
        number: 1,
        snapshot,
        time: "2026-01-31T12:00:00.000000Z".into(),
        host: "alpha".into(),
        kind: GenerationKind::Manual,
        reason: "before the\nmigration".into(),
    };
    assert_documented(&format!("```text\n{}```", generation.encode()));
}

#[test]
fn the_schema_is_the_documented_one() {
    assert_documented(&format!("```sql\n{}```", include_str!("../src/index/schema.sql")));
}

#[test]
fn a_new_store_has_the_documented_tree() {
    let directory = tempfile::tempdir().unwrap();
    drop(Bench::open(directory.path()));
    for entry in fs::read_dir(directory.path()).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().into_string().unwrap();
        let is_documented = |line: &str| {
            let first = line.trim_start().split([' ', '/']).next();
            first == Some(name.as_str()) || name.starts_with("index.sqlite")
        };
        assert!(FORMAT.lines().any(is_documented), "{name} is not in the tree");
    }
    assert!(Path::new(directory.path()).join("format").exists());
}
