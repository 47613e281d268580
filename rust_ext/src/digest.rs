//! A hash of a table's values that does not depend on its writer, encoding or compression.
//!
//! sha256 over, column by column in the table's order: the name, a zero byte, the type's letter, and
//! for each row a presence byte followed by the value in little-endian bytes; a text is its length
//! as `u32` and its UTF-8 bytes.

use sha2::{Digest as _, Sha256};

use crate::footer::hex;

/// A running digest of one table.
pub struct TableDigest {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Default for TableDigest {
    fn default() -> Self {
        Self { hash: Sha256::new(), buffer: Vec::with_capacity(1 << 16) }
    }
}

impl TableDigest {
    /// Begins a column.
    pub fn column(&mut self, name: &str, letter: u8) {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(&[0, letter]);
        self.flush();
    }

    /// Adds a value, or that there is none.
    #[inline]
    pub fn value(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.buffer.push(1);
                self.buffer.extend_from_slice(bytes);
            }
            None => self.buffer.push(0),
        }
        if self.buffer.len() >= 1 << 15 {
            self.flush();
        }
    }

    /// Adds a text.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.buffer.push(1);
        self.buffer.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.value_tail(text.as_bytes());
    }

    fn value_tail(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 1 << 15 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.buffer);
        self.buffer.clear();
    }

    /// The digest in hex.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.flush();
        hex(&self.hash.finalize())
    }
}
