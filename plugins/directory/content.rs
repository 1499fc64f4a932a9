//! Reads the content of one file, its holes without reading them.

use std::io::{self, Write};
use std::os::fd::BorrowedFd;

use rustix::fs::{SeekFrom, Stat};
use rustix::io::Errno;

use crate::Interrupt;

/// Bytes of a disk block as `st_blocks` counts it.
const STAT_BLOCK_BYTES: u64 = 512;

/// What stands for a hole.
static ZEROS: [u8; 64 << 10] = [0; 64 << 10];

/// Why a file was not read to its end.
pub(super) enum Fault {
    /// The file could not be read.
    Reading(io::Error),
    /// The snapshot could not be written.
    Writing(io::Error),
    /// The user asked to stop.
    Interrupted,
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        Self::Reading(errno.into())
    }
}

/// Copies the content of an open file to `sink`. A file that changes meanwhile gives any bytes, but not many more than
/// `stat` says; the caller compares its times.
pub(super) fn copy(
    file: BorrowedFd<'_>,
    stat: &Stat,
    sink: &mut dyn Write,
    buffer: &mut [u8],
    interrupt: &Interrupt,
) -> Result<(), Fault> {
    let size = u64::try_from(stat.st_size).unwrap_or(0);
    let blocks = u64::try_from(stat.st_blocks).unwrap_or(0);
    let mut copy = Copy { file, sink, buffer, interrupt };
    if blocks * STAT_BLOCK_BYTES < size {
        match rustix::fs::seek(file, SeekFrom::Hole(0)) {
            Ok(_) => return copy.sparse(size),
            // The file system does not tell holes.
            Err(Errno::INVAL | Errno::OPNOTSUPP) => {
                rustix::fs::seek(file, SeekFrom::Start(0))?;
            }
            Err(errno) => return Err(errno.into()),
        }
    }
    copy.dense(size)
}

struct Copy<'a> {
    file: BorrowedFd<'a>,
    sink: &'a mut dyn Write,
    buffer: &'a mut [u8],
    interrupt: &'a Interrupt,
}

impl Copy<'_> {
    fn dense(&mut self, size: u64) -> Result<(), Fault> {
        let mut position = 0;
        // To the end, even where the size says that it is reached: some file systems say 0 for what they compute.
        while position <= size {
            self.check()?;
            let n = rustix::io::retry_on_intr(|| rustix::io::read(self.file, &mut *self.buffer))?;
            if n == 0 {
                break;
            }
            self.sink.write_all(&self.buffer[..n]).map_err(Fault::Writing)?;
            position += n as u64;
        }
        Ok(())
    }

    fn sparse(&mut self, size: u64) -> Result<(), Fault> {
        let mut position = 0;
        while position < size {
            let data = match rustix::fs::seek(self.file, SeekFrom::Data(position)) {
                Ok(data) => data.min(size),
                // There is only a hole behind.
                Err(Errno::NXIO) => size,
                Err(errno) => return Err(errno.into()),
            };
            self.zeros(data - position)?;
            if data == size {
                break;
            }
            let hole = rustix::fs::seek(self.file, SeekFrom::Hole(data))?.min(size);
            if !self.extent(data, hole)? {
                break;
            }
            position = hole;
        }
        Ok(())
    }

    fn zeros(&mut self, mut length: u64) -> Result<(), Fault> {
        while length > 0 {
            self.check()?;
            let n = length.min(ZEROS.len() as u64) as usize;
            self.sink.write_all(&ZEROS[..n]).map_err(Fault::Writing)?;
            length -= n as u64;
        }
        Ok(())
    }

    /// Copies the bytes from `start` to `end`; returns whether they were all there.
    fn extent(&mut self, start: u64, end: u64) -> Result<bool, Fault> {
        let mut position = start;
        while position < end {
            self.check()?;
            let wanted = (end - position).min(self.buffer.len() as u64) as usize;
            let n = rustix::io::retry_on_intr(|| {
                rustix::io::pread(self.file, &mut self.buffer[..wanted], position)
            })?;
            if n == 0 {
                return Ok(false);
            }
            self.sink.write_all(&self.buffer[..n]).map_err(Fault::Writing)?;
            position += n as u64;
        }
        Ok(true)
    }

    fn check(&self) -> Result<(), Fault> {
        if self.interrupt.is_raised() { Err(Fault::Interrupted) } else { Ok(()) }
    }
}
