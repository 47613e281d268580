//! Bytes that can be read at any place: the only thing the reader wants of a file.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;

use crate::error::{Code, Defect, Result};

/// What a shard is read from.
pub trait Store {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes>;
}

/// A local file.
pub struct LocalFile {
    file: File,
    size: u64,
}

impl LocalFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// `E_IO` where it cannot be opened.
    pub fn open(path: &str) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(&e))?;
        let meta = file.metadata().map_err(|e| unreadable(&e))?;
        if !meta.is_file() {
            return Err(Defect::new(Code::Io, "not a regular file"));
        }
        Ok(Self { file, size: meta.len() })
    }
}

impl Store for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }
}

/// Pieces of a file that lies elsewhere, fetched beforehand.
pub struct Pieces {
    size: u64,
    /// Offset and bytes, ascending.
    pieces: Vec<(u64, Bytes)>,
}

impl Pieces {
    /// Takes the size of the whole file and the pieces of it that are at hand, in any order.
    #[must_use]
    pub fn new(size: u64, mut pieces: Vec<(u64, Bytes)>) -> Self {
        pieces.sort_unstable_by_key(|(offset, _)| *offset);
        Self { size, pieces }
    }
}

impl Store for Pieces {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let missing = || {
            std::io::Error::new(
                std::io::ErrorKind::UnexpectedEof,
                format!("{length} bytes from {offset} on were not fetched"),
            )
        };
        // Pieces may overlap: the nearest that begins before and reaches far enough.
        let at = self.pieces.partition_point(|(start, _)| *start <= offset);
        let before = self.pieces.get(..at).unwrap_or_default();
        let covering = before.iter().rev().find_map(|(start, bytes)| {
            let from = usize::try_from(offset.saturating_sub(*start)).ok()?;
            let to = from.checked_add(length).filter(|to| *to <= bytes.len())?;
            Some(bytes.slice(from..to))
        });
        covering.ok_or_else(missing)
    }
}

/// An operating-system error as a defect of the shard.
#[must_use]
pub fn unreadable(error: &std::io::Error) -> Defect {
    Defect::new(Code::Io, format!("cannot be read: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_was_fetched_can_be_read() {
        let store =
            Pieces::new(100, vec![(50, Bytes::from_static(b"world")), (4, Bytes::from_static(b"hello"))]);
        assert_eq!(store.read(4, 5).unwrap(), "hello");
        assert_eq!(store.read(51, 3).unwrap(), "orl");
        assert!(store.read(8, 2).is_err() && store.read(0, 1).is_err() && store.read(54, 2).is_err());
        assert_eq!(store.size(), 100);
    }
}
