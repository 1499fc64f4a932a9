//! A directory for the laws and the tests, described by system calls of its own.

use std::collections::HashMap;
use std::fmt::Write as _;
use std::fs;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};

use rustix::fs::XattrFlags;
use tempfile::TempDir;

use crate::conformance::{Outcome, Subject};
use crate::tree::Profile;
use crate::{Context, Plugin, find_kind};

pub(super) struct Unit {
    dir: TempDir,
}

impl Unit {
    pub(super) fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    /// A unit whose directory exists and is empty.
    pub(super) fn created() -> Self {
        let unit = Self::new();
        unit.open().activate(None).unwrap();
        unit
    }

    /// Where units lie.
    pub(super) fn root(&self) -> PathBuf {
        self.dir.path().join("units")
    }

    /// The live directory.
    pub(super) fn live(&self) -> PathBuf {
        self.root().join("web")
    }

    /// A path in the live directory.
    pub(super) fn file(&self, name: &str) -> PathBuf {
        self.live().join(name)
    }

    /// A path that belongs to nobody.
    pub(super) fn outside(&self, name: &str) -> PathBuf {
        self.dir.path().join(name)
    }

    pub(super) fn open(&self) -> Box<dyn Plugin> {
        self.open_with(&Context::default())
    }

    pub(super) fn open_with(&self, context: &Context) -> Box<dyn Plugin> {
        fs::create_dir_all(self.root()).unwrap();
        let mut settings = toml::Table::new();
        settings.insert("root".to_owned(), self.root().display().to_string().into());
        let kind = find_kind("directory").unwrap();
        (kind.open)(&settings, context).unwrap().open("web").unwrap()
    }

    pub(super) fn show(&self) -> String {
        let mut text = String::new();
        show(&self.live(), Path::new(""), &mut HashMap::new(), &mut text);
        text
    }
}

/// Writes down all that is to survive a restore.
fn show(root: &Path, path: &Path, links: &mut HashMap<u64, PathBuf>, text: &mut String) {
    let live = if path == Path::new("") { root.to_owned() } else { root.join(path) };
    let stat = live.symlink_metadata().unwrap();
    let _ = write!(
        text,
        "{path:?} {:o} {}:{} {}.{:09} rdev {} ",
        stat.mode(),
        stat.uid(),
        stat.gid(),
        stat.mtime(),
        stat.mtime_nsec(),
        stat.rdev()
    );
    if !stat.is_dir() {
        let first = links.entry(stat.ino()).or_insert_with(|| path.to_owned());
        let _ = write!(text, "same as {first:?} ");
    }
    let mut names = vec![0; 1 << 16];
    let length = rustix::fs::llistxattr(&live, &mut names).unwrap();
    let mut names: Vec<&[u8]> =
        names[..length].split(|&b| b == 0).filter(|n| !n.is_empty()).collect();
    names.sort_unstable();
    for name in names {
        let mut value = vec![0; 1 << 16];
        let length = rustix::fs::lgetxattr(&live, name, &mut value).unwrap();
        let _ = write!(text, "{}={:?} ", name.escape_ascii(), &value[..length]);
    }
    if stat.is_file() {
        let bytes = fs::read(&live).unwrap();
        let _ = write!(text, "{} bytes {}", bytes.len(), blake3::hash(&bytes));
    }
    if stat.is_symlink() {
        let _ = write!(text, "-> {:?}", fs::read_link(&live).unwrap());
    }
    text.push('\n');
    if stat.is_dir() {
        let mut names: Vec<_> =
            fs::read_dir(&live).unwrap().map(|e| e.unwrap().file_name()).collect();
        names.sort_unstable_by(|a, b| a.as_bytes().cmp(b.as_bytes()));
        for name in names {
            show(root, &path.join(name), links, text);
        }
    }
}

impl Subject for Unit {
    fn plugin(&self, context: &Context) -> Box<dyn Plugin> {
        self.open_with(context)
    }

    fn profile(&self) -> Profile {
        Profile::Posix1
    }

    fn fill(&self) -> Outcome {
        fs::create_dir_all(self.file("a/deep/one"))?;
        fs::write(self.file("a/deep/one/file"), "content ".repeat(500))?;
        fs::write(self.file("a/other"), "x".repeat(3000))?;
        fs::write(self.file("empty"), "")?;
        fs::hard_link(self.file("a/other"), self.file("z"))?;
        symlink("a/other", self.file("link"))?;
        rustix::fs::mknodat(
            rustix::fs::CWD,
            self.file("pipe"),
            rustix::fs::FileType::Fifo,
            rustix::fs::Mode::from_raw_mode(0o640),
            0,
        )?;
        let named = self.file("a/other");
        rustix::fs::lsetxattr(named, "user.note", b"kept", XattrFlags::empty())?;
        fs::set_permissions(self.file("a/deep"), fs::Permissions::from_mode(0o2550))?;
        Ok(())
    }

    fn change(&self) -> Outcome {
        fs::write(self.file("a/deep/one/file"), "changed")?;
        fs::write(self.file("new"), "new")?;
        Ok(fs::remove_file(self.file("link"))?)
    }

    fn wreck(&self) -> Outcome {
        Ok(fs::remove_dir_all(self.live())?)
    }

    fn describe(&self) -> Outcome<Option<String>> {
        Ok(self.live().exists().then(|| self.show_without_root_time()))
    }

    fn debris(&self) -> Outcome<Vec<String>> {
        let mut names = Vec::new();
        if self.root().exists() {
            for entry in fs::read_dir(self.root())? {
                names.push(entry?.file_name().display().to_string());
            }
        }
        names.retain(|name| name != "web");
        Ok(names)
    }

    fn initial(&self) -> Outcome<PathBuf> {
        let path = self.outside("initial");
        fs::create_dir_all(path.join("sub"))?;
        fs::write(path.join("sub/file"), "initial")?;
        Ok(path)
    }

    fn broken_initial(&self) -> Outcome<Option<PathBuf>> {
        let path = self.outside("broken");
        fs::write(&path, "no directory")?;
        Ok(Some(path))
    }
}

impl Unit {
    /// The time of an empty directory is when it was made, which no two of them share.
    fn show_without_root_time(&self) -> String {
        let text = self.show();
        if fs::read_dir(self.live()).unwrap().next().is_some() {
            return text;
        }
        "an empty directory".to_owned()
    }
}
