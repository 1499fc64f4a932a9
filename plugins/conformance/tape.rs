//! A snapshot in memory, and the faults of the road to it and from it.

use std::collections::{BTreeMap, HashMap};
use std::io::{self, Read, Write};
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::tree::{Content, Digest, Entry, Node, Profile, TreePath};
use crate::{Capture, ContentWriter, Cut, Interrupt, Previous, Source};

/// A finished snapshot.
#[derive(Clone, Debug)]
pub struct Tape {
    profile: Profile,
    attributes: BTreeMap<String, String>,
    entries: BTreeMap<TreePath, Entry>,
    contents: HashMap<Digest, Vec<u8>>,
    hints: Vec<u8>,
    warnings: Vec<String>,
    n_contents_written: usize,
}

impl Tape {
    /// Returns a snapshot without entries.
    pub fn new(profile: Profile) -> Self {
        Self {
            profile,
            attributes: BTreeMap::new(),
            entries: BTreeMap::new(),
            contents: HashMap::new(),
            hints: Vec::new(),
            warnings: Vec::new(),
            n_contents_written: 0,
        }
    }

    /// Returns a text that is the same for the same state: what the store makes an id of.
    pub fn identity(&self) -> String {
        let mut text = format!("{}\n{:?}\n", self.profile.name(), self.attributes);
        for entry in self.entries.values() {
            text.push_str(&format!("{entry:?}\n"));
        }
        text
    }

    /// Returns the entries, in ascending order of their paths.
    pub fn entries(&self) -> impl Iterator<Item = &Entry> {
        self.entries.values()
    }

    /// Returns the entry of that path.
    pub fn entry(&self, path: &str) -> Option<&Entry> {
        self.entries.get(&TreePath::parse(path)?)
    }

    /// Returns the bytes of the file at that path.
    pub fn bytes(&self, path: &str) -> Option<&[u8]> {
        match &self.entry(path)?.node {
            Node::File(content) => self.contents.get(&content.digest).map(Vec::as_slice),
            _ => None,
        }
    }

    /// Returns the attributes by name.
    pub fn attributes(&self) -> &BTreeMap<String, String> {
        &self.attributes
    }

    /// Returns what the plug-in warned of.
    pub fn warnings(&self) -> &[String] {
        &self.warnings
    }

    /// Returns the hints for the next snapshot.
    pub fn hints(&self) -> &[u8] {
        &self.hints
    }

    /// Returns how many contents were written, not taken over from the last snapshot.
    pub fn n_contents_written(&self) -> usize {
        self.n_contents_written
    }

    /// Returns the bytes of all contents together.
    pub fn content_bytes(&self) -> u64 {
        let sizes = self.entries.values().map(|entry| match &entry.node {
            Node::File(content) => content.size_bytes,
            _ => 0,
        });
        sizes.sum()
    }

    /// Adds an entry, or replaces the one of the same path: for snapshots that no plug-in would write.
    pub fn insert(&mut self, entry: Entry) {
        self.entries.insert(entry.path.clone(), entry);
    }

    /// Adds a content and returns its name.
    pub fn insert_content(&mut self, bytes: &[u8]) -> Content {
        let digest = Digest::of(bytes);
        self.contents.insert(digest, bytes.to_vec());
        Content { size_bytes: bytes.len() as u64, digest }
    }

    /// Sets an attribute.
    pub fn set_attribute(&mut self, name: &str, value: &str) {
        self.attributes.insert(name.to_owned(), value.to_owned());
    }

    /// Returns this snapshot as a source.
    pub fn play(&self) -> Player<'_> {
        Player { tape: self, fault: None, left: Mutex::new(0) }
    }

    /// Returns this snapshot as a source that fails after so many bytes of contents.
    pub fn play_with(&self, fault: Fault, after_bytes: u64) -> Player<'_> {
        Player { tape: self, fault: Some(fault), left: Mutex::new(after_bytes) }
    }
}

/// What goes wrong on the way.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The disk or the peer fails.
    Failure,
    /// The user asks to stop; nothing fails by itself.
    Interrupt(Interrupt),
}

impl Fault {
    /// Lets `wanted` bytes through as far as the budget goes; then the fault strikes.
    fn strike(fault: Option<&Self>, left: &Mutex<u64>, wanted: usize) -> io::Result<usize> {
        let Some(fault) = fault else { return Ok(wanted) };
        let mut left = left.lock().unwrap_or_else(PoisonError::into_inner);
        let n = usize::try_from(*left).map_or(wanted, |left| left.min(wanted));
        *left -= n as u64;
        match fault {
            Self::Failure if n < wanted && n == 0 => Err(io::Error::other("injected failure")),
            Self::Failure => Ok(n),
            Self::Interrupt(interrupt) => {
                if *left == 0 {
                    interrupt.raise();
                }
                Ok(wanted)
            }
        }
    }
}

/// A snapshot that is being written. It insists on the contract of [`Capture`].
pub struct Recorder<'a> {
    state: Mutex<Tape>,
    previous: Option<&'a Tape>,
    fault: Option<Fault>,
    left: Mutex<u64>,
}

impl<'a> Recorder<'a> {
    /// Starts a snapshot.
    pub fn new(profile: Profile) -> Self {
        Self {
            state: Mutex::new(Tape::new(profile)),
            previous: None,
            fault: None,
            left: Mutex::new(0),
        }
    }

    /// Starts a snapshot after another one of the same unit.
    pub fn after(previous: &'a Tape) -> Self {
        Self { previous: Some(previous), ..Self::new(previous.profile) }
    }

    /// Lets it fail after so many bytes of contents.
    pub fn with(self, fault: Fault, after_bytes: u64) -> Self {
        Self { fault: Some(fault), left: Mutex::new(after_bytes), ..self }
    }

    /// Ends the snapshot.
    pub fn finish(self) -> Tape {
        self.state.into_inner().unwrap_or_else(PoisonError::into_inner)
    }

    fn state(&self) -> MutexGuard<'_, Tape> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, tape: &Tape, entry: &Entry) -> Result<(), &'static str> {
        let known = |content: &Content| {
            let older =
                self.previous.is_some_and(|tape| tape.contents.contains_key(&content.digest));
            older || tape.contents.contains_key(&content.digest)
        };
        let parent = entry.path.parent().and_then(|parent| tape.entries.get(&parent));
        let ordered = tape.entries.last_key_value().is_none_or(|(last, _)| *last < entry.path);
        let posix = tape.profile == Profile::Posix1;
        let has_metadata = entry.metadata.is_some();
        let is_link = matches!(entry.node, Node::HardLink(_));
        match &entry.node {
            Node::File(content) if !known(content) => Err("its content was not finished"),
            Node::HardLink(first) if !tape.entries.contains_key(first) => {
                Err("it links to nothing")
            }
            _ if tape.entries.contains_key(&entry.path) => Err("it comes twice"),
            _ if !posix && has_metadata => Err("files/1 has no metadata"),
            _ if !posix => Ok(()),
            _ if !ordered => Err("it does not come in order"),
            _ if has_metadata == is_link => Err("metadata goes with all but hard links"),
            _ if entry.path.is_root() => Ok(()),
            _ if parent.is_none_or(|parent| parent.node != Node::Directory) => {
                Err("it lies in no directory")
            }
            _ => Ok(()),
        }
    }
}

impl Capture for Recorder<'_> {
    fn content(&self, _: Cut) -> io::Result<Box<dyn ContentWriter + '_>> {
        Ok(Box::new(RecordedContent { recorder: self, bytes: Vec::new() }))
    }

    fn entry(&self, entry: Entry) -> io::Result<()> {
        let mut tape = self.state();
        let admitted = self.admit(&tape, &entry);
        admitted.map_err(|reason| io::Error::other(format!("{entry:?}: {reason}")))?;
        if let (Node::File(content), Some(previous)) = (&entry.node, self.previous)
            && let Some(bytes) = previous.contents.get(&content.digest)
        {
            tape.contents.entry(content.digest).or_insert_with(|| bytes.clone());
        }
        tape.insert(entry);
        Ok(())
    }

    fn attribute(&self, name: &str, value: &str) -> io::Result<()> {
        let mut tape = self.state();
        if tape.profile == Profile::Posix1 && !tape.entries.is_empty() {
            return Err(io::Error::other(format!("attribute {name} comes after an entry")));
        }
        tape.set_attribute(name, value);
        Ok(())
    }

    fn warn(&self, warning: &str) {
        self.state().warnings.push(warning.to_owned());
    }

    fn previous(&self) -> io::Result<Option<Previous<'_>>> {
        Ok(self.previous.map(|tape| Previous {
            entries: Box::new(tape.entries.values().cloned().map(Ok)),
            hints: Box::new(tape.hints.as_slice()),
        }))
    }

    fn hint(&self, bytes: &[u8]) -> io::Result<()> {
        self.state().hints.extend_from_slice(bytes);
        Ok(())
    }
}

struct RecordedContent<'a> {
    recorder: &'a Recorder<'a>,
    bytes: Vec<u8>,
}

impl Write for RecordedContent<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let recorder = self.recorder;
        let n = Fault::strike(recorder.fault.as_ref(), &recorder.left, bytes.len())?;
        self.bytes.extend_from_slice(&bytes[..n]);
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl ContentWriter for RecordedContent<'_> {
    fn finish(self: Box<Self>) -> io::Result<Content> {
        let mut tape = self.recorder.state();
        tape.n_contents_written += 1;
        Ok(tape.insert_content(&self.bytes))
    }
}

/// A snapshot that is being read.
pub struct Player<'a> {
    tape: &'a Tape,
    fault: Option<Fault>,
    left: Mutex<u64>,
}

impl Source for Player<'_> {
    fn profile(&self) -> Profile {
        self.tape.profile
    }

    fn attribute(&self, name: &str) -> Option<&str> {
        self.tape.attributes.get(name).map(String::as_str)
    }

    fn entries(&self) -> io::Result<Box<dyn Iterator<Item = io::Result<Entry>> + '_>> {
        Ok(Box::new(self.tape.entries.values().cloned().map(Ok)))
    }

    fn open(&self, content: &Content) -> io::Result<Box<dyn Read + Send + '_>> {
        let bytes = self.tape.contents.get(&content.digest);
        let bytes = bytes.ok_or_else(|| io::Error::other("the snapshot lacks a content"))?;
        Ok(Box::new(PlayedContent { player: self, rest: bytes }))
    }
}

struct PlayedContent<'a> {
    player: &'a Player<'a>,
    rest: &'a [u8],
}

impl Read for PlayedContent<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let wanted = buffer.len().min(self.rest.len());
        let player = self.player;
        let n = Fault::strike(player.fault.as_ref(), &player.left, wanted)?;
        let (head, rest) = self.rest.split_at(n);
        buffer[..n].copy_from_slice(head);
        self.rest = rest;
        Ok(n)
    }
}
