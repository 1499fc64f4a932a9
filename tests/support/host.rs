//! A host in a temporary directory, used through the library.

use std::path::Path;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};

use dysno::disk::{Disk, RealDisk};
use dysno::host::{Config, Host, Surroundings};
use dysno::ops::{self, SnapshotRequest, Taken};
use dysno::report::Report;
use dysno::store::GenerationKind;
use jiff::{SignedDuration, Timestamp};
use plugins::{Context, SnapshotOptions, UnitAddress};

/// Keeps what it is told.
#[derive(Default)]
pub(crate) struct Recorder {
    pub(crate) warnings: Mutex<Vec<String>>,
}

impl Report for Recorder {
    fn begin(&self, _what: &str, _total_bytes: Option<u64>) {}
    fn advance(&self, _bytes: u64) {}
    fn end(&self) {}
    fn warn(&self, warning: &str) {
        self.warnings.lock().unwrap().push(warning.to_owned());
    }
    fn note(&self, _text: &str) {}
}

static N_CALLS: AtomicU64 = AtomicU64::new(1);

/// A clock that goes on by a second each time somebody looks.
fn now() -> Timestamp {
    let seconds = N_CALLS.fetch_add(1, Ordering::Relaxed);
    let start: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
    start + SignedDuration::from_secs(seconds.cast_signed())
}

/// Different each time, and short.
fn random() -> u128 {
    u128::from(N_CALLS.fetch_add(1, Ordering::Relaxed)) * 0x1234_5678_9abc_def1
}

/// Opens the host whose state is under `path` on a real disk.
pub(crate) fn open(path: &Path) -> Host {
    open_on(path, Arc::new(RealDisk)).unwrap()
}

/// Opens a host on a disk that may fail.
pub(crate) fn open_on(path: &Path, disk: Arc<dyn Disk>) -> Result<Host, dysno::host::Error> {
    open_with(Config::default(), path, disk)
}

/// Opens a host that is configured.
pub(crate) fn open_with(
    config: Config,
    path: &Path,
    disk: Arc<dyn Disk>,
) -> Result<Host, dysno::host::Error> {
    let context = Context::default();
    let host_name = "test".to_owned();
    let surroundings = Surroundings { now, random, host_name, context, disk };
    Host::open(config, path, surroundings)
}

/// Returns the unit that is the directory at `path`.
pub(crate) fn directory(path: &Path) -> UnitAddress {
    format!("directory:{}", path.display()).parse().unwrap()
}

/// Captures one unit.
pub(crate) fn snapshot(host: &Host, unit: &UnitAddress) -> ops::Result<Taken> {
    let request = SnapshotRequest {
        units: vec![unit.clone()],
        kind: GenerationKind::Manual,
        reason: String::new(),
        options: SnapshotOptions::default(),
    };
    let taken = ops::snapshot(host, &request, &Recorder::default())?;
    Ok(taken.into_iter().next().unwrap())
}
