//! The little of the Thrift compact protocol that claims are read with.
//! <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>

use crate::error::{Code, Defect, Result};

pub struct Compact<'a> {
    /// The stream.
    pub data: &'a [u8],
    /// Where the next byte stands.
    pub at: usize,
}

impl Compact<'_> {
    /// The next byte.
    ///
    /// # Errors
    /// `E_DECODE` at the end of the bytes or for what is no Thrift.
    pub fn byte(&mut self) -> Result<u8> {
        let byte = *self.data.get(self.at).ok_or_else(broken)?;
        self.at = self.at.saturating_add(1);
        Ok(byte)
    }

    /// An unsigned number of up to 64 bits.
    ///
    /// # Errors
    /// `E_DECODE` at the end of the bytes or for what is no Thrift.
    pub fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(broken())
    }

    /// A signed number.
    ///
    /// # Errors
    /// `E_DECODE` at the end of the bytes or for what is no Thrift.
    pub fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }

    /// Passes over `n` bytes.
    ///
    /// # Errors
    /// `E_DECODE` at the end of the bytes or for what is no Thrift.
    pub fn advance(&mut self, n: u64) -> Result<()> {
        let end = usize::try_from(n).ok().and_then(|n| self.at.checked_add(n)).ok_or_else(broken)?;
        if end > self.data.len() {
            return Err(broken());
        }
        self.at = end;
        Ok(())
    }

    /// The next field of a struct as (id, type), or none at its end.
    ///
    /// # Errors
    /// `E_DECODE`.
    pub fn field(&mut self, last: &mut i64) -> Result<Option<(i64, u8)>> {
        let head = self.byte()?;
        let kind = head & 0x0f;
        if kind == 0 {
            return Ok(None);
        }
        let delta = i64::from(head >> 4);
        *last = if delta == 0 { self.zigzag()? } else { last.saturating_add(delta) };
        Ok(Some((*last, kind)))
    }

    /// The number of elements of a list that begins here.
    ///
    /// # Errors
    /// `E_DECODE`.
    pub fn list_size(&mut self) -> Result<u64> {
        let head = self.byte()?;
        self.size_after(head)
    }

    fn size_after(&mut self, head: u8) -> Result<u64> {
        if head >> 4 == 15 { self.varint() } else { Ok(u64::from(head >> 4)) }
    }

    /// Passes over a value of a type, `depth` levels deep at most.
    ///
    /// # Errors
    /// `E_DECODE` at the end of the bytes or for what is no Thrift.
    pub fn pass(&mut self, kind: u8, depth: u8) -> Result<()> {
        let depth = depth.checked_sub(1).ok_or_else(broken)?;
        match kind {
            1 | 2 => Ok(()),
            3 => self.advance(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.advance(8),
            8 => {
                let n = self.varint()?;
                self.advance(n)
            }
            9 | 10 => {
                let head = self.byte()?;
                let n = self.size_after(head)?;
                // Booleans in a list take a byte each; every other element at least one.
                if n > self.data.len() as u64 {
                    return Err(broken());
                }
                for _ in 0..n {
                    match head & 0x0f {
                        1 | 2 => self.advance(1)?,
                        element => self.pass(element, depth)?,
                    }
                }
                Ok(())
            }
            12 => {
                let mut last = 0;
                while let Some((_, kind)) = self.field(&mut last)? {
                    self.pass(kind, depth)?;
                }
                Ok(())
            }
            _ => Err(broken()),
        }
    }
}

/// What cannot be read.
#[must_use]
pub fn broken() -> Defect {
    Defect::new(Code::Decode, "a Thrift structure that cannot be read")
}
