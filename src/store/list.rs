//! Lists: which chunks make up a content, as a tree that shares its unchanged parts.

use plugins::tree::Digest;

/// A list is cut at an id that the divisor below hits, but not before this many pairs.
const PAIRS_MIN: usize = 64;
/// On average a list ends after this many pairs more.
const PAIRS_DIVISOR: u32 = 512;
/// A list is cut here at the latest: it must stay far below the size of a block.
const PAIRS_MAX: usize = 2048;
const PAIR_BYTES: usize = 40;
/// More levels than any content below 2^63 bytes needs.
pub(crate) const LEVEL_MAX: u8 = 7;

/// One line of a list: an object and how much content is below it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    pub(crate) id: Digest,
    pub(crate) size_bytes: u64,
}

/// A decoded list.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct List {
    pub(crate) level: u8,
    pub(crate) pairs: Vec<Pair>,
}

impl List {
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = Vec::with_capacity(1 + PAIR_BYTES * self.pairs.len());
        bytes.push(self.level);
        for pair in &self.pairs {
            bytes.extend_from_slice(&pair.id.0);
            bytes.extend_from_slice(&pair.size_bytes.to_le_bytes());
        }
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, &'static str> {
        let (&level, rest) = bytes.split_first().ok_or("it is empty")?;
        if level > LEVEL_MAX || rest.is_empty() || rest.len() % PAIR_BYTES != 0 {
            return Err("it does not have the form of a list");
        }
        let pairs = rest.chunks_exact(PAIR_BYTES).map(|row| Pair {
            id: Digest(row[..32].try_into().expect("32 bytes")),
            size_bytes: u64::from_le_bytes(row[32..].try_into().expect("eight bytes")),
        });
        Ok(Self { level, pairs: pairs.collect() })
    }
}

/// Builds the lists of one content while its chunks come by.
#[derive(Default)]
pub(crate) struct ListBuilder {
    levels: Vec<Vec<Pair>>,
    n_chunks: u64,
}

impl ListBuilder {
    pub(crate) fn n_chunks(&self) -> u64 {
        self.n_chunks
    }

    /// Adds a chunk. Whole lists go to `store`, which returns nothing but errors: their ids are computed here.
    pub(crate) fn push<E>(
        &mut self,
        chunk: Pair,
        store: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<(), E> {
        self.n_chunks += 1;
        let mut pair = chunk;
        for level in 0.. {
            if self.levels.len() == level {
                self.levels.push(Vec::new());
            }
            let ends = ends_a_list(&pair.id);
            let pairs = &mut self.levels[level];
            pairs.push(pair);
            let is_whole = pairs.len() >= PAIRS_MAX || pairs.len() >= PAIRS_MIN && ends;
            if !is_whole {
                break;
            }
            pair = Self::close(level, std::mem::take(pairs), store)?;
        }
        Ok(())
    }

    fn close<E>(
        level: usize,
        pairs: Vec<Pair>,
        store: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<Pair, E> {
        let size_bytes = pairs.iter().map(|pair| pair.size_bytes).sum();
        let bytes = List { level: level as u8, pairs }.encode();
        let id = Digest::of(&bytes);
        store(id, &bytes)?;
        Ok(Pair { id, size_bytes })
    }

    /// Ends the content and returns the list at the top.
    pub(crate) fn finish<E>(
        mut self,
        store: &mut impl FnMut(Digest, &[u8]) -> Result<(), E>,
    ) -> Result<List, E> {
        let mut level = 0;
        loop {
            let pairs = std::mem::take(&mut self.levels[level]);
            let is_top = self.levels[level + 1..].iter().all(Vec::is_empty);
            if is_top {
                return Ok(List { level: level as u8, pairs });
            }
            if !pairs.is_empty() {
                let pair = Self::close(level, pairs, store)?;
                self.levels[level + 1].push(pair);
            }
            level += 1;
        }
    }
}

fn ends_a_list(id: &Digest) -> bool {
    let last = id.0.last_chunk::<4>().expect("a digest has 32 bytes");
    u32::from_le_bytes(*last) % PAIRS_DIVISOR == 0
}

#[cfg(test)]
mod tests {
    use std::collections::HashMap;

    use super::*;

    fn build(n: u64) -> (List, HashMap<Digest, Vec<u8>>) {
        let mut lists = HashMap::new();
        let mut store = |id, bytes: &[u8]| {
            lists.insert(id, bytes.to_vec());
            Ok::<(), ()>(())
        };
        let mut builder = ListBuilder::default();
        for i in 0..n {
            let pair = Pair { id: Digest::of(&i.to_le_bytes()), size_bytes: 10 };
            builder.push(pair, &mut store).unwrap();
        }
        let top = builder.finish(&mut store).unwrap();
        (top, lists)
    }

    fn chunks(list: &List, lists: &HashMap<Digest, Vec<u8>>) -> Vec<Pair> {
        if list.level == 0 {
            return list.pairs.clone();
        }
        let below = |pair: &Pair| {
            let list = List::decode(&lists[&pair.id]).unwrap();
            let found = chunks(&list, lists);
            assert_eq!(found.iter().map(|p| p.size_bytes).sum::<u64>(), pair.size_bytes);
            found
        };
        list.pairs.iter().flat_map(below).collect()
    }

    #[test]
    fn lists_of_every_length_name_all_chunks_in_order() {
        for n in [1, 2, 63, 64, 65, 2047, 2048, 2049, 5000, 300_000] {
            let (top, lists) = build(n);
            let found = chunks(&top, &lists);
            assert_eq!(found.len() as u64, n, "{n} chunks");
            for (i, pair) in (0u64..).zip(&found) {
                assert_eq!(pair.id, Digest::of(&i.to_le_bytes()));
            }
        }
    }

    #[test]
    fn appending_keeps_almost_all_lists() {
        let (_, before) = build(100_000);
        let (_, after) = build(100_100);
        let new = after.keys().filter(|id| !before.contains_key(id)).count();
        assert!(new <= 3, "{new} new lists");
    }
}
