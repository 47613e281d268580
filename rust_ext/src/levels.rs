//! Repetition and definition levels: which values make a row, and what is null.

use bytes::{Buf, Bytes};

use crate::error::{Code, Defect, Result};
use crate::hybrid::Hybrid;

/// The levels of the page that is being measured.
pub struct Levels {
    /// 0 where a row begins.
    pub rep: Hybrid,
    /// How much of the value is there.
    pub def: Hybrid,
    /// Levels of the page that are left.
    pub left: usize,
}

/// A row whose end has not been seen.
#[derive(Clone, Copy, Default)]
pub struct OpenRow {
    /// Values so far.
    pub values: u64,
    /// Null elements so far.
    pub nulls: u64,
    /// The whole list is null.
    pub null_list: bool,
}

/// The shape of a row of a column.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RowShape {
    /// Values that are there.
    pub values: u32,
    /// Null elements, or for a text column 1 where the text is null.
    pub nulls: u32,
    /// The whole list is null.
    pub null_list: bool,
}

/// How many of the next `n` levels equal `level`.
///
/// # Errors
/// `E_DECODE` where there are fewer.
pub fn count_level(mut levels: Hybrid, level: u32, mut n: usize) -> Result<usize> {
    let mut count = 0_usize;
    while n > 0 {
        let (value, run) = levels.peek()?;
        let run = run.min(n);
        if value == level {
            count = count.saturating_add(run);
        }
        levels.advance(run);
        n = n.saturating_sub(run);
    }
    Ok(count)
}

/// The first bytes of a page.
///
/// # Errors
/// `E_DECODE` where it has fewer.
pub fn front_bytes(rest: &mut Bytes, length: u32) -> Result<Bytes> {
    let length = length as usize;
    if length > rest.len() {
        return Err(Defect::new(Code::Decode, "levels reach beyond their page"));
    }
    Ok(rest.split_to(length))
}

/// Levels of a v1 page: four bytes of length, then the stream.
///
/// # Errors
/// `E_DECODE`.
pub fn prefixed(rest: &mut Bytes, width: u8) -> Result<Hybrid> {
    if rest.len() < 4 {
        return Err(Defect::new(Code::Decode, "a page too short for its levels"));
    }
    let length = rest.get_u32_le();
    Hybrid::new(front_bytes(rest, length)?, width)
}
