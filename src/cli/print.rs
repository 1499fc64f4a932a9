//! How things look on the standard output: tables, sizes, times, JSON.

use std::io::{self, BufWriter, Seek, SeekFrom, Stdout, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, PoisonError};

use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;
use tempfile::SpooledTempFile;

/// A document larger than this waits on disk for its end.
const SPOOL_BYTES_MAX: usize = 8 << 20;

/// The standard output.
pub(super) struct Out {
    inner: Mutex<BufWriter<Stdout>>,
    /// Set when whoever reads the output has gone.
    closed: AtomicBool,
}

impl Out {
    pub(super) fn new() -> Self {
        Self { inner: Mutex::new(BufWriter::new(io::stdout())), closed: AtomicBool::new(false) }
    }

    /// Returns whether the reader of the output has gone, which is no failure.
    pub(super) fn is_closed(&self) -> bool {
        self.closed.load(Ordering::Relaxed)
    }

    /// Writes one line of text.
    pub(super) fn line(&self, line: impl AsRef<str>) -> io::Result<()> {
        let mut out = self;
        writeln!(out, "{}", line.as_ref())
    }

    /// Writes one JSON document.
    pub(super) fn json(&self, document: &Value) -> io::Result<()> {
        self.line(document.to_string())
    }

    fn watch<T>(&self, result: io::Result<T>) -> io::Result<T> {
        if matches!(&result, Err(error) if error.kind() == io::ErrorKind::BrokenPipe) {
            self.closed.store(true, Ordering::Relaxed);
        }
        result
    }
}

impl Write for &Out {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.watch(self.inner.lock().unwrap_or_else(PoisonError::into_inner).write(bytes))
    }

    fn flush(&mut self) -> io::Result<()> {
        self.watch(self.inner.lock().unwrap_or_else(PoisonError::into_inner).flush())
    }
}

/// A JSON array of unknown length. Nothing of it is written before it is whole, so that what a failing command prints is
/// still one document.
pub(super) struct Array {
    spool: SpooledTempFile,
    n_items: u64,
}

impl Array {
    pub(super) fn new() -> Self {
        Self { spool: SpooledTempFile::new(SPOOL_BYTES_MAX), n_items: 0 }
    }

    /// Adds an item.
    pub(super) fn push(&mut self, item: &Value) -> io::Result<()> {
        let separator = if self.n_items == 0 { "" } else { ",\n" };
        self.n_items += 1;
        write!(self.spool, "{separator}{item}")
    }

    /// Writes the whole array.
    pub(super) fn finish(mut self, mut out: &Out) -> io::Result<()> {
        self.spool.seek(SeekFrom::Start(0))?;
        out.write_all(b"[")?;
        io::copy(&mut self.spool, &mut out)?;
        out.write_all(b"]\n")
    }
}

/// A table: columns as wide as their widest cell, the last one as it is.
pub(super) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(super) fn new<const N: usize>(header: [&str; N]) -> Self {
        Self { rows: vec![header.map(str::to_owned).to_vec()] }
    }

    /// Adds a row with as many cells as the header has.
    pub(super) fn row<const N: usize>(&mut self, cells: [String; N]) {
        self.rows.push(cells.map(|cell| plain(&cell)).to_vec());
    }

    /// Writes the table; nothing where there is no row.
    pub(super) fn print(&self, out: &Out) -> io::Result<()> {
        if self.rows.len() == 1 {
            return Ok(());
        }
        let n_columns = self.rows[0].len();
        let width = |column: usize| self.rows.iter().map(|row| row[column].chars().count()).max();
        let widths: Vec<_> = (0..n_columns).map(|column| width(column).unwrap_or(0)).collect();
        for row in &self.rows {
            let cells = row.iter().zip(&widths).map(|(cell, &width)| format!("{cell:<width$}"));
            let line = cells.collect::<Vec<_>>().join("  ");
            out.line(line.trim_end())?;
        }
        Ok(())
    }
}

/// Returns a text from elsewhere without what would command a terminal.
pub(super) fn plain(text: &str) -> String {
    let escape = |c: char| match c.is_control() {
        true => c.escape_default().to_string(),
        false => c.to_string(),
    };
    text.chars().map(escape).collect()
}

/// Returns a number of bytes for people.
pub(super) fn size(bytes: u64) -> String {
    const UNITS: [&str; 5] = ["KiB", "MiB", "GiB", "TiB", "PiB"];
    if bytes < 1024 {
        return format!("{bytes} B");
    }
    let mut value = bytes as f64 / 1024.0;
    let mut unit = 0;
    // 1023.95 would be shown as 1024.0.
    while value >= 1023.95 && unit + 1 < UNITS.len() {
        value /= 1024.0;
        unit += 1;
    }
    format!("{value:.1} {}", UNITS[unit])
}

/// Returns a size that may not be known.
pub(super) fn maybe_size(bytes: Option<u64>) -> String {
    bytes.map_or_else(|| "-".to_owned(), size)
}

/// Returns a record's time as a clock on the wall here would have shown it.
pub(super) fn time(text: &str) -> String {
    match text.parse::<Timestamp>() {
        Ok(time) => time.to_zoned(TimeZone::system()).strftime("%Y-%m-%d %H:%M:%S").to_string(),
        Err(_) => plain(text),
    }
}

/// Returns how long ago a record's time was, in words.
pub(super) fn age(text: &str, now: Timestamp) -> String {
    let Ok(time) = text.parse::<Timestamp>() else { return "-".to_owned() };
    let age = now.duration_since(time);
    if age < SignedDuration::ZERO {
        return "in the future".to_owned();
    }
    let seconds = age.as_secs();
    let (number, unit) = match seconds {
        0..60 => (seconds, "second"),
        60..3600 => (seconds / 60, "minute"),
        3600..86_400 => (seconds / 3600, "hour"),
        _ => (seconds / 86_400, "day"),
    };
    format!("{number} {unit}{} ago", if number == 1 { "" } else { "s" })
}

/// Returns how long something took.
pub(super) fn seconds(seconds: f64) -> String {
    if seconds < 60.0 {
        return format!("{seconds:.1} s");
    }
    let whole = seconds as u64;
    match whole {
        0..3600 => format!("{} min {} s", whole / 60, whole % 60),
        _ => format!("{} h {} min", whole / 3600, whole % 3600 / 60),
    }
}

/// Returns the beginning of an id: enough to type, and as unique as people need.
pub(super) fn short(id: &impl ToString) -> String {
    id.to_string().chars().take(12).collect()
}

/// Returns a number with its noun.
pub(super) fn count(n: u64, noun: &str) -> String {
    format!("{n} {noun}{}", if n == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_have_one_digit_after_the_point() {
        let sizes = [0, 1023, 1024, 1536, (1 << 20) - 1, 5 << 30, u64::MAX].map(size);
        let expected = ["0 B", "1023 B", "1.0 KiB", "1.5 KiB", "1.0 MiB", "5.0 GiB", "16384.0 PiB"];
        assert_eq!(sizes, expected);
    }

    #[test]
    fn ages_are_in_whole_units() {
        let now = "2026-06-15T12:00:00Z".parse().unwrap();
        let of = |text: &str| age(text, now);
        assert_eq!(of("2026-06-15T11:59:59Z"), "1 second ago");
        assert_eq!(of("2026-06-15T11:00:01Z"), "59 minutes ago");
        assert_eq!(of("2026-06-14T12:00:01Z"), "23 hours ago");
        assert_eq!(of("2025-06-15T12:00:00Z"), "365 days ago");
        assert_eq!(of("2026-06-15T12:00:01Z"), "in the future");
        assert_eq!(of("yesterday"), "-");
    }

    #[test]
    fn what_commands_a_terminal_is_escaped() {
        assert_eq!(plain("a\u{1b}[2Jb\n"), "a\\u{1b}[2Jb\\n");
    }

    #[test]
    fn times_are_short_and_long() {
        assert_eq!(
            [0.04, 59.9, 61.0, 3700.0].map(seconds),
            ["0.0 s", "59.9 s", "1 min 1 s", "1 h 1 min"]
        );
    }
}
