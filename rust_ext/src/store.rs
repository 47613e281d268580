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

/// An operating-system error as a defect of the shard.
#[must_use]
pub fn unreadable(error: &std::io::Error) -> Defect {
    Defect::new(Code::Io, format!("cannot be read: {error}"))
}
