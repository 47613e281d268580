//! Delta-encoded texts, with every length checked before anything is allocated.
//!
//! The `parquet` crate believes the counts inside these pages (version 60.1 asks for terabytes where
//! a damaged page says so, which no caller can catch), so texts in these encodings are read here.
//! Layout: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

use bytes::Bytes;

use crate::error::{Code, Defect, Result};

/// Widest delta of 64-bit numbers.
const MAX_WIDTH: u8 = 64;
/// Largest block that is believed; writers use 128.
const MAX_BLOCK: u64 = 1 << 16;

/// A cursor over the bytes of a page.
struct Cursor<'a> {
    data: &'a [u8],
    at: usize,
}

impl<'a> Cursor<'a> {
    fn take(&mut self, n: usize) -> Result<&'a [u8]> {
        let end = self.at.checked_add(n).ok_or_else(broken)?;
        let bytes = self.data.get(self.at..end).ok_or_else(broken)?;
        self.at = end;
        Ok(bytes)
    }

    fn byte(&mut self) -> Result<u8> {
        self.take(1)?.first().copied().ok_or_else(broken)
    }

    fn varint(&mut self) -> Result<u64> {
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

    fn zigzag(&mut self) -> Result<i64> {
        let value = self.varint()?;
        Ok((value >> 1).cast_signed() ^ -((value & 1).cast_signed()))
    }
}

fn broken() -> Defect {
    Defect::new(Code::Decode, "a delta-encoded page that cannot be read")
}

/// Sizes of a DELTA_BINARY_PACKED stream: values of a miniblock, miniblocks of a block, values in all.
struct Header {
    values_per_miniblock: usize,
    miniblocks: usize,
    count: usize,
    first: i64,
}

fn header(cursor: &mut Cursor<'_>, present: usize) -> Result<Header> {
    let (block, miniblocks, count) = (cursor.varint()?, cursor.varint()?, cursor.varint()?);
    if block == 0
        || block > MAX_BLOCK
        || miniblocks == 0
        || block % miniblocks != 0
        || count != present as u64
    {
        return Err(broken());
    }
    let (Ok(block), Ok(miniblocks), Ok(count)) =
        (usize::try_from(block), usize::try_from(miniblocks), usize::try_from(count))
    else {
        return Err(broken());
    };
    let values_per_miniblock = block.checked_div(miniblocks).unwrap_or(0);
    if values_per_miniblock % 8 != 0 {
        return Err(broken());
    }
    Ok(Header { values_per_miniblock, miniblocks, count, first: cursor.zigzag()? })
}

/// Checks the header of a page of delta-encoded numbers, which the `parquet` crate then decodes.
///
/// # Errors
/// `E_DECODE` where it does not hold `present` values in blocks of a sane size.
pub fn check_numbers(page: &[u8], present: usize) -> Result<()> {
    if present > 0 {
        header(&mut Cursor { data: page, at: 0 }, present)?;
    }
    Ok(())
}

/// The `present` lengths at the cursor, none negative.
fn lengths(cursor: &mut Cursor<'_>, present: usize) -> Result<Vec<usize>> {
    let header = header(cursor, present)?;
    // A miniblock of width 0 takes no bytes, so the count is bounded by the caller, not by the page.
    let mut values = Vec::with_capacity(header.count.min(1 << 16));
    let mut last = header.first;
    let mut push = |value: i64| -> Result<()> {
        values.push(usize::try_from(value).map_err(|_| broken())?);
        Ok(())
    };
    let mut left = header.count;
    if left > 0 {
        push(last)?;
        left = left.saturating_sub(1);
    }
    while left > 0 {
        let smallest = cursor.zigzag()?;
        let widths = cursor.take(header.miniblocks)?;
        for width in widths {
            if left == 0 {
                break;
            }
            if *width > MAX_WIDTH {
                return Err(broken());
            }
            let bytes = header.values_per_miniblock.saturating_mul(usize::from(*width)) / 8;
            // The last miniblock may be cut after its last value.
            let bytes = bytes.min(cursor.data.len().saturating_sub(cursor.at));
            let packed = cursor.take(bytes)?;
            for index in 0..header.values_per_miniblock.min(left) {
                let delta = bits(packed, index.saturating_mul(usize::from(*width)), *width)?;
                last = last.wrapping_add(smallest).wrapping_add(delta.cast_signed());
                push(last)?;
                left = left.saturating_sub(1);
            }
        }
    }
    Ok(values)
}

/// `width` bits that start at bit `at`.
fn bits(packed: &[u8], at: usize, width: u8) -> Result<u64> {
    let mut value = 0_u64;
    for step in 0..usize::from(width) {
        let bit = at.saturating_add(step);
        let byte = packed.get(bit / 8).ok_or_else(broken)?;
        value |= u64::from(byte >> (bit % 8) & 1) << step;
    }
    Ok(value)
}

/// Texts of a page in DELTA_LENGTH_BYTE_ARRAY, one after the other.
pub struct DeltaTexts {
    page: Bytes,
    at: usize,
    next: usize,
    prefixes: Vec<usize>,
    suffixes: Vec<usize>,
    last: Vec<u8>,
}

impl DeltaTexts {
    /// Reads the lengths of `present` texts; with `shared`, each shares its beginning with the one
    /// before (DELTA_BYTE_ARRAY).
    ///
    /// # Errors
    /// `E_DECODE`.
    pub fn new(page: Bytes, present: usize, shared: bool) -> Result<Self> {
        let mut cursor = Cursor { data: &page, at: 0 };
        let (mut prefixes, mut suffixes) = (Vec::new(), Vec::new());
        if present > 0 {
            if shared {
                prefixes = lengths(&mut cursor, present)?;
            }
            suffixes = lengths(&mut cursor, present)?;
        }
        let at = cursor.at;
        Ok(Self { page, at, next: 0, prefixes, suffixes, last: Vec::new() })
    }

    /// The next text, of at most `longest` bytes.
    ///
    /// # Errors
    /// `E_DECODE` where there is none, `E_LIMIT_STRING`.
    pub fn text(&mut self, longest: u64) -> Result<Bytes> {
        let suffix = *self.suffixes.get(self.next).ok_or_else(broken)?;
        let prefix = self.prefixes.get(self.next).copied().unwrap_or(0);
        self.next = self.next.saturating_add(1);
        let end = self.at.checked_add(suffix).filter(|end| *end <= self.page.len()).ok_or_else(broken)?;
        let length = prefix.saturating_add(suffix);
        if length as u64 > longest {
            return Err(Defect::new(
                Code::LimitString,
                format!("a text of {length} bytes; the limit is {longest}"),
            ));
        }
        if prefix > self.last.len() {
            return Err(broken());
        }
        self.last.truncate(prefix);
        self.last.extend_from_slice(self.page.get(self.at..end).unwrap_or_default());
        self.at = end;
        Ok(Bytes::copy_from_slice(&self.last))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_share_their_beginnings() {
        // "ab", "abc", "b": prefixes 0 2 0, suffixes 2 1 1.
        // Deltas of the prefixes: least -2 and, above it, 4 and 0 in three bits.
        let mut page = vec![32, 1, 3, 0, 3, 3, 4];
        page.extend([0; 11]);
        page.extend([32, 1, 3, 4, 1, 1, 2, 0, 0, 0]);
        page.extend(*b"abcb");
        let mut texts = DeltaTexts::new(page.into(), 3, true).unwrap();
        let read: Vec<Bytes> = (0..3).map(|_| texts.text(9).unwrap()).collect();
        assert_eq!(read, ["ab", "abc", "b"]);
        assert_eq!(texts.text(9).unwrap_err().code, Code::Decode);
    }

    #[test]
    fn a_count_that_is_not_the_pages_is_refused() {
        assert_eq!(check_numbers(&[128, 1, 4, 0xff, 0xff, 0xff, 0x7f, 0], 3).unwrap_err().code, Code::Decode);
        assert!(DeltaTexts::new(Bytes::from_static(&[32, 1, 0xff, 0xff, 0xff, 0x7f, 0]), 5, false).is_err());
        assert!(DeltaTexts::new(Bytes::new(), 0, true).is_ok());
    }
}
