//! The way of new objects to the disk: grouped, compressed and checked on all cores, packed, made durable, indexed.

use std::collections::HashSet;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;

use crossbeam_channel::{Receiver, Sender, bounded};
use plugins::{Cut, Interrupt};

use super::block::{Class, EncodedBlock, Encoder, RawBlock};
use super::chunker::{self, Chunker};
use super::content::ContentSink;
use super::error::{Error, Result};
use super::object::{Catalog, Kind, ObjectKey, Placement};
use super::pack::{FinishedPack, PackWriter};
use super::session::Session;
use super::{Store, make_dir, sync_up};

/// Blocks of 1 MiB that wait between two threads. Enough to keep all busy, little enough to stay far below the
/// promised memory.
const QUEUE_BLOCKS: usize = 4;
/// Threads that compress. Each takes several megabytes, and more would wait for the reader and the disk anyway.
const ENCODERS_MAX: usize = 8;
/// Compressed blocks that wait while a pack is being opened or closed.
const QUEUE_ENCODED: usize = 16;

/// Stores objects. Shared by the threads that produce contents.
pub struct Writer<'a> {
    destination: &'a dyn Destination,
    interrupt: &'a Interrupt,
    state: &'a Mutex<State>,
    blocks: Sender<RawBlock>,
    failure: &'a OnceLock<Error>,
    stored_bytes: &'a AtomicU64,
}

struct State {
    /// Objects that are on their way to the disk and not in the catalog yet.
    pending: HashSet<ObjectKey>,
    files: RawBlock,
    rows: RawBlock,
    lists: RawBlock,
}

impl State {
    fn new() -> Self {
        Self {
            pending: HashSet::new(),
            files: RawBlock::new(Class::Files),
            rows: RawBlock::new(Class::Rows),
            lists: RawBlock::new(Class::Lists),
        }
    }
}

impl Writer<'_> {
    /// Opens a content that is cut as the plug-in says.
    pub fn content(&self, cut: Cut) -> Box<dyn plugins::ContentWriter + '_> {
        Box::new(ContentSink::new(self, Chunker::of(cut)))
    }

    /// Opens a manifest's content.
    pub fn manifest(&self) -> Box<dyn plugins::ContentWriter + '_> {
        Box::new(ContentSink::new(self, Chunker::Content(chunker::MANIFEST)))
    }

    /// Fails when going on is pointless: another thread failed, or the user asked to stop.
    pub(crate) fn check(&self) -> Result<()> {
        if self.interrupt.is_raised() {
            return Err(Error::Interrupted(plugins::Interrupted));
        }
        if self.failure.get().is_some() { Err(Error::Stopped) } else { Ok(()) }
    }

    /// Stores an object unless it is there.
    pub fn put(&self, key: ObjectKey, bytes: &[u8]) -> Result<()> {
        match key.kind {
            Kind::Chunk => self.put_as(Class::Files, key, bytes),
            Kind::List | Kind::File => self.put_as(Class::Lists, key, bytes),
        }
    }

    /// Stores an object unless it is there, together with others of its class.
    pub(crate) fn put_as(&self, class: Class, key: ObjectKey, bytes: &[u8]) -> Result<()> {
        self.check()?;
        let full = {
            let mut state = lock(self.state);
            if state.pending.contains(&key) || self.destination.has(&key)? {
                return Ok(());
            }
            state.pending.insert(key);
            let block = match class {
                Class::Files => &mut state.files,
                Class::Rows => &mut state.rows,
                Class::Lists => &mut state.lists,
            };
            block.push(key, bytes);
            block.is_full().then(|| block.take())
        };
        // Outside the lock, because this waits for the threads that need the lock to go on.
        full.map_or(Ok(()), |block| self.send(block))
    }

    fn send(&self, block: RawBlock) -> Result<()> {
        self.blocks.send(block).map_err(|_| Error::Stopped)
    }

    fn flush(&self) -> Result<()> {
        let blocks = {
            let mut state = lock(self.state);
            [state.files.take(), state.rows.take(), state.lists.take()]
        };
        for block in blocks {
            if !block.is_empty() {
                self.send(block)?;
            }
        }
        Ok(())
    }

    /// Returns how many bytes of packs were made durable so far.
    pub fn stored_bytes(&self) -> u64 {
        self.stored_bytes.load(Ordering::Relaxed)
    }
}

/// Where finished packs go, and what is there already.
pub trait Destination: Sync {
    /// Returns whether an object needs not be written.
    fn has(&self, key: &ObjectKey) -> Result<bool>;

    /// Takes a pack that is complete. When this returns, the pack is durable, as far as the destination promises it.
    fn take(&self, pack: FinishedPack) -> Result<()>;
}

/// The store itself, by way of its catalog.
pub struct IntoStore<'a> {
    /// The store.
    pub store: &'a Store,
    /// What is durable already.
    pub catalog: &'a Mutex<dyn Catalog>,
    /// What becomes of objects that are there already.
    pub placement: Placement,
}

impl Destination for IntoStore<'_> {
    fn has(&self, key: &ObjectKey) -> Result<bool> {
        match self.placement {
            Placement::New => lock(self.catalog).contains(key),
            Placement::Move | Placement::Unproven => Ok(false),
        }
    }

    fn take(&self, pack: FinishedPack) -> Result<()> {
        self.store.publish_pack(&pack)?;
        // Only now: a row must never name a pack that a crash can take away.
        lock(self.catalog).add_pack(&pack.contents, self.placement)
    }
}

/// How a writer works.
pub struct WriteTo<'a> {
    /// Where packs go.
    pub destination: &'a dyn Destination,
    /// The session, whose directory takes what is unfinished.
    pub session: &'a Session<'a>,
    /// The zstd level.
    pub compression: i32,
    /// Stops the writer.
    pub interrupt: &'a Interrupt,
}

/// What a writer added to the store.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Written {
    /// Bytes of new packs.
    pub stored_bytes: u64,
}

impl WriteTo<'_> {
    /// Runs `produce` with a writer. When this returns without an error, all that was written is durable and indexed.
    /// An error of the store comes before one of `produce`, which it has usually caused.
    pub fn run<T, E: From<Error>>(
        &self,
        produce: impl FnOnce(&Writer<'_>) -> std::result::Result<T, E>,
    ) -> std::result::Result<(T, Written), E> {
        let failure = OnceLock::new();
        let stored_bytes = AtomicU64::new(0);
        let state = Mutex::new(State::new());
        let produced = thread::scope(|scope| {
            let (blocks, raw) = bounded(QUEUE_BLOCKS);
            let (encoded_sender, encoded) = bounded(QUEUE_ENCODED);
            let (pack_sender, packs) = bounded(1);
            for _ in 0..thread::available_parallelism().map_or(1, usize::from).min(ENCODERS_MAX) {
                let (raw, sender, failure) = (raw.clone(), encoded_sender.clone(), &failure);
                scope.spawn(move || note(failure, encode(&raw, &sender, self.compression)));
            }
            // The encoders own both ends now, so that the end of one thread ends all.
            drop((raw, encoded_sender));
            let (state, failure, stored_bytes) = (&state, &failure, &stored_bytes);
            scope.spawn(move || note(failure, self.pack(&encoded, &pack_sender)));
            scope.spawn(move || note(failure, self.publish(&packs, state, stored_bytes)));
            let (destination, interrupt) = (self.destination, self.interrupt);
            let writer = Writer { destination, interrupt, state, blocks, failure, stored_bytes };
            let produced = produce(&writer);
            let flushed = if produced.is_ok() { writer.flush() } else { Ok(()) };
            (produced, flushed)
        });
        if let Some(error) = failure.into_inner() {
            return Err(error.into());
        }
        let value = produced.0?;
        produced.1?;
        Ok((value, Written { stored_bytes: stored_bytes.into_inner() }))
    }

    fn pack(&self, encoded: &Receiver<EncodedBlock>, packs: &Sender<FinishedPack>) -> Result<()> {
        let mut open: Option<PackWriter<'_>> = None;
        for block in encoded {
            let mut pack = match open.take() {
                Some(pack) => pack,
                None => {
                    PackWriter::create(self.session.store().disk(), self.session.new_file("pack"))?
                }
            };
            pack.push(block)?;
            if pack.is_full() {
                packs.send(pack.finish()?).map_err(|_| Error::Stopped)?;
            } else {
                open = Some(pack);
            }
        }
        if let Some(pack) = open {
            packs.send(pack.finish()?).map_err(|_| Error::Stopped)?;
        }
        Ok(())
    }

    fn publish(
        &self,
        packs: &Receiver<FinishedPack>,
        state: &Mutex<State>,
        stored_bytes: &AtomicU64,
    ) -> Result<()> {
        for pack in packs {
            let size_bytes = pack.contents.size_bytes;
            let keys: Vec<_> = pack.contents.keys().copied().collect();
            self.destination.take(pack)?;
            let mut state = lock(state);
            for key in &keys {
                state.pending.remove(key);
            }
            stored_bytes.fetch_add(size_bytes, Ordering::Relaxed);
        }
        Ok(())
    }
}

impl Store {
    /// Makes a finished pack durable under its name.
    pub(crate) fn publish_pack(&self, pack: &FinishedPack) -> Result<()> {
        let (disk, from, to) = (self.disk(), &pack.path, self.pack_path(&pack.contents.name));
        let directory = to.parent().expect("a pack lies in a directory");
        disk.set_mode(&pack.file, 0o400).map_err(Error::file("set the mode of", from))?;
        // The content first: after a power cut a name must not stand for fewer bytes.
        disk.sync(&pack.file).map_err(Error::file("sync", from))?;
        make_dir(disk, directory)?;
        match disk.rename_new(from, &to) {
            Ok(()) => {}
            // The same bytes were there already, from a session that died before it wrote the rows, or they were damaged
            // since. In both cases the ones just written and checked are better.
            Err(error) if error.kind() == std::io::ErrorKind::AlreadyExists => {
                disk.rename_over(from, &to).map_err(Error::file("publish", &to))?;
            }
            Err(error) => return Err(Error::file("publish", &to)(error)),
        }
        sync_up(disk, directory)
    }
}

fn encode(raw: &Receiver<RawBlock>, encoded: &Sender<EncodedBlock>, level: i32) -> Result<()> {
    let mut encoder = Encoder::new(level)?;
    for block in raw {
        encoded.send(encoder.encode(block)?).map_err(|_| Error::Stopped)?;
    }
    Ok(())
}

/// Keeps the first failure that is a cause, not a consequence.
fn note(failure: &OnceLock<Error>, result: Result<()>) {
    if let Err(error) = result
        && !matches!(error, Error::Stopped)
    {
        // The first one stays; later ones follow from it.
        let _ = failure.set(error);
    }
}

/// A thread that panicked has already failed the writer; its data is not used.
fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
