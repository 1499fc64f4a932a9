//! Reads one large table through several sessions at once: ranges of its key, put together in the order of the key.

use std::io;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

use crate::Result;
use crate::postgres::catalog::{Range, Table};
use crate::postgres::connect::{COPY_BYTES, Session};
use crate::postgres::failure::Failure;

/// A smaller table is read by one session before the others are ready.
pub(crate) const SPLIT_BYTES_MIN: i64 = 64 << 20;

/// About what a range takes on disk: so little that one fits the buffers while another is read.
const RANGE_BYTES: i64 = 16 << 20;

/// Bytes that wait for their turn, of all sessions together.
const WAITING_BYTES: usize = 64 << 20;

/// Bounds from a table's statistics may lie anywhere; ranges are to be of some use.
const N_RANGES_MAX: usize = 100_000;

/// What one session hands on. Its ranges come one after the other.
enum Part {
    Rows(Vec<u8>),
    /// The end of a range and how many rows were in it.
    End(u64),
}

/// Returns the ranges of the key that cover every row, in ascending order; none where reading them costs more than
/// reading the table at once. Statistics only say where to cut: rows that came later lie in some range too.
pub(crate) fn ranges(
    session: &Session,
    table: &Table,
    size_bytes: i64,
) -> Result<Option<Vec<Range>>, Failure> {
    let Some(column) = table.number() else { return Ok(None) };
    if size_bytes < SPLIT_BYTES_MIN {
        return Ok(None);
    }
    // Where the key says little about the place on disk, each range reads pages of all others.
    let rows = session.query(
        "SELECT histogram_bounds::text::int8[] FROM pg_stats \
         WHERE schemaname = $1::text AND tablename = $2::text AND attname = $3::text AND NOT inherited \
           AND histogram_bounds IS NOT NULL AND abs(correlation) >= 0.9",
        &[&table.schema, &table.name, &column],
    )?;
    let Some(row) = rows.first() else { return Ok(None) };
    let wanted = usize::try_from(size_bytes / RANGE_BYTES).unwrap_or(N_RANGES_MAX);
    Ok(Some(between(&cuts(&row.get::<_, Vec<i64>>(0), wanted.min(N_RANGES_MAX)))))
}

/// Returns about `wanted - 1` keys at which to cut, in ascending order, each once. Between two bounds of a histogram
/// lie about as many rows as between any other two.
fn cuts(bounds: &[i64], wanted: usize) -> Vec<i64> {
    let n_buckets = bounds.len().saturating_sub(1);
    let position = |cut: usize| {
        // In parts of a bucket, of which there are `wanted`.
        let at = cut * n_buckets;
        let (bucket, part) = (at / wanted, (at % wanted) as i128);
        let low = i128::from(bounds[bucket]);
        let high = i128::from(*bounds.get(bucket + 1).unwrap_or(&bounds[bucket]));
        i64::try_from(low + (high - low) * part / wanted as i128).expect("it lies between two keys")
    };
    let mut cuts: Vec<i64> =
        if n_buckets == 0 { Vec::new() } else { (1..wanted).map(position).collect() };
    cuts.sort_unstable();
    cuts.dedup();
    cuts
}

/// Returns the ranges that the cuts make. The first is open below, the last above.
fn between(cuts: &[i64]) -> Vec<Range> {
    let from = std::iter::once(None).chain(cuts.iter().copied().map(Some));
    let to = cuts.iter().copied().map(Some).chain(std::iter::once(None));
    from.zip(to).map(|(from, to)| Range { from, to }).collect()
}

/// Reads the ranges by `n_sessions` sessions, hands their bytes to `take` in the order of the ranges, and returns the
/// number of rows. The bytes are those of a read at once, and so is their order.
pub(crate) fn read(
    ranges: &[Range],
    n_sessions: usize,
    open: &(dyn Fn() -> Result<Session> + Sync),
    statement: &(dyn Fn(&Range) -> String + Sync),
    mut take: impl FnMut(&[u8]) -> io::Result<()>,
) -> Result<Result<u64, Failure>> {
    let n_sessions = n_sessions.min(ranges.len()).max(1);
    let n_waiting = (WAITING_BYTES / COPY_BYTES / n_sessions).max(1);
    thread::scope(|scope| {
        let mut parts = Vec::with_capacity(n_sessions);
        let mut readers = Vec::with_capacity(n_sessions);
        for first in 0..n_sessions {
            let (sender, receiver) = sync_channel(n_waiting);
            let mine = ranges.iter().skip(first).step_by(n_sessions);
            readers.push(scope.spawn(move || read_some(mine, open, statement, &sender)));
            parts.push(receiver);
        }
        let joined = join(&parts, ranges.len(), &mut take);
        // Who still reads has nobody to hand it to, and ends.
        drop(parts);
        let mut failure = None;
        for reader in readers {
            match reader.join().expect("a reader returns its error") {
                Ok(Ok(())) => {}
                Ok(Err(found)) => failure = worse(failure, found),
                Err(error) => return Err(error),
            }
        }
        Ok(match (joined, failure) {
            // What was read and could not be stored made the readers end.
            (Err(error), _) => Err(Failure::Snapshot("write", error)),
            (Ok(_), Some(failure)) => Err(failure),
            (Ok(n_rows), None) => Ok(n_rows),
        })
    })
}

/// Keeps what is a cause: a reader that could not hand on its part ends by the fault of another.
fn worse(first: Option<Failure>, second: Failure) -> Option<Failure> {
    match first {
        None | Some(Failure::Snapshot(..)) => Some(second),
        Some(first) => Some(first),
    }
}

/// Reads ranges, each to its end, and hands on their bytes.
fn read_some<'a>(
    ranges: impl Iterator<Item = &'a Range>,
    open: &dyn Fn() -> Result<Session>,
    statement: &dyn Fn(&Range) -> String,
    parts: &SyncSender<Part>,
) -> Result<Result<(), Failure>> {
    let session = open()?;
    // The planner takes a range for more than it is where its statistics are old, and would read all for each.
    if let Err(failure) = session.batch("SET LOCAL enable_seqscan = off") {
        return Ok(Err(failure));
    }
    let hand_on = |part| parts.send(part).map_err(|_| io::Error::other("nobody takes the rows"));
    for range in ranges {
        let copied = session.copy_out(&statement(range), &mut |buffer| {
            hand_on(Part::Rows(std::mem::replace(buffer, Vec::with_capacity(COPY_BYTES))))
        });
        let ended = copied.and_then(|n_rows| {
            hand_on(Part::End(n_rows)).map_err(|error| Failure::Snapshot("write", error))
        });
        if let Err(failure) = ended {
            return Ok(Err(failure));
        }
    }
    Ok(session.batch("COMMIT"))
}

/// Takes the parts in the order of the ranges. Ends early, without an error, where a reader did: it has the error.
fn join(
    readers: &[Receiver<Part>],
    n_ranges: usize,
    take: &mut dyn FnMut(&[u8]) -> io::Result<()>,
) -> io::Result<u64> {
    let mut n_rows = 0;
    for range in 0..n_ranges {
        loop {
            match readers[range % readers.len()].recv() {
                Ok(Part::Rows(bytes)) => take(&bytes)?,
                Ok(Part::End(n)) => {
                    n_rows += n;
                    break;
                }
                Err(_) => return Ok(n_rows),
            }
        }
    }
    Ok(n_rows)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_cover_every_key_once() {
        for cuts in [vec![], vec![7], vec![i64::MIN, 0, i64::MAX]] {
            let ranges = between(&cuts);
            assert_eq!(ranges.len(), cuts.len() + 1);
            assert_eq!((ranges[0].from, ranges[ranges.len() - 1].to), (None, None));
            assert!(ranges.windows(2).all(|pair| pair[0].to == pair[1].from));
        }
    }

    #[test]
    fn cuts_ascend_and_stay_within_the_bounds() {
        assert_eq!(cuts(&[0, 100], 4), [25, 50, 75]);
        assert_eq!(cuts(&[0, 10, 1000], 4), [5, 10, 505]);
        assert_eq!(cuts(&[1, 2, 3], 100), [1, 2]);
        assert_eq!(cuts(&[i64::MIN, i64::MAX], 2), [-1]);
        assert_eq!(cuts(&[5], 9), [0; 0]);
        assert_eq!(cuts(&[], 9), [0; 0]);
        assert_eq!(cuts(&[1, 9], 0), [0; 0]);
    }
}
