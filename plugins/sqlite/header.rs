//! The first hundred bytes of a database file, as <https://www.sqlite.org/fileformat2.html> has them.

use std::ops::Range;

/// Bytes of the header.
pub(super) const BYTES: usize = 100;

/// What every database file that is not empty begins with.
pub(super) const MAGIC: &[u8; 16] = b"SQLite format 3\0";

/// Counts the changes of the file. Connections compare it with what they remember; a restored file is a new one that
/// nobody remembers.
const CHANGE_COUNTER: Range<usize> = 24..28;
/// The value of the change counter for which the next field and the number of pages hold.
const VERSION_VALID_FOR: Range<usize> = 92..96;
/// The version of the library that wrote the file last.
const LIBRARY_VERSION: Range<usize> = 96..100;

/// What stands for the counter in a snapshot: the same in both places, or SQLite would not trust the number of pages.
const NORMAL_COUNTER: u32 = 1;
/// What stands for the version of the library, which nothing reads but people.
const NORMAL_VERSION: u32 = 3_000_000;

/// A header with SQLite's mark and a valid page size.
pub(super) struct Header([u8; BYTES]);

impl Header {
    /// Reads a header; none where it is not one.
    pub(super) fn parse(bytes: &[u8]) -> Option<Self> {
        let header = Self(*bytes.first_chunk::<BYTES>()?);
        let valid = header.0.starts_with(MAGIC)
            && header.page_size_bytes().is_power_of_two()
            && header.page_size_bytes() >= 512;
        valid.then_some(header)
    }

    /// Returns the bytes of a page.
    pub(super) fn page_size_bytes(&self) -> u32 {
        match u16::from_be_bytes([self.0[16], self.0[17]]) {
            // The only size that does not fit into the field.
            1 => 1 << 16,
            size => size.into(),
        }
    }

    /// Returns the version of the library that wrote the file last.
    pub(super) fn library_version(&self) -> String {
        let [a, b, c, d] = [self.0[96], self.0[97], self.0[98], self.0[99]];
        let number = u32::from_be_bytes([a, b, c, d]);
        format!("{}.{}.{}", number / 1_000_000, number / 1000 % 1000, number % 1000)
    }

    /// Returns the header without what is not state: what a mere checkpoint, backup or newer library changes.
    pub(super) fn normal(mut self) -> [u8; BYTES] {
        self.0[CHANGE_COUNTER].copy_from_slice(&NORMAL_COUNTER.to_be_bytes());
        self.0[VERSION_VALID_FOR].copy_from_slice(&NORMAL_COUNTER.to_be_bytes());
        self.0[LIBRARY_VERSION].copy_from_slice(&NORMAL_VERSION.to_be_bytes());
        self.0
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_header_is_read_as_one() {
        let mut bytes = [0; BYTES];
        assert!(Header::parse(&bytes).is_none());
        bytes[..16].copy_from_slice(MAGIC);
        assert!(Header::parse(&bytes).is_none(), "a page of no bytes");
        bytes[17] = 1;
        assert_eq!(Header::parse(&bytes).unwrap().page_size_bytes(), 1 << 16);
        bytes[16..18].copy_from_slice(&4096u16.to_be_bytes());
        assert_eq!(Header::parse(&bytes).unwrap().page_size_bytes(), 4096);
        assert!(Header::parse(&bytes[..99]).is_none());
    }
}
