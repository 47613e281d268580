//! Parquet's RLE / bit-packed hybrid: levels and dictionary indices.
//!
//! Runs are kept as runs as long as possible: a run of 900 equal indices costs one addition in a
//! histogram. Layout: <https://parquet.apache.org/docs/file-format/data-pages/encodings/>.

use bytes::Bytes;

use crate::error::{Code, Defect, Result};
use crate::unpack::{packed, unpack};

/// The widest index or level that is read.
const MAX_WIDTH: u8 = 32;

/// A run of the stream, or what is left of it.
#[derive(Clone, Copy, Debug)]
enum Run {
    /// `left` times the same value.
    Same { value: u32, left: usize },
    /// `left` packed values, the next one starting at `bit` of the stream.
    Packed { bit: usize, left: usize },
}

/// A piece of the stream handed to a visitor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Piece<'a> {
    /// So many times this value.
    Same(u32, usize),
    /// These values.
    Each(&'a [u32]),
}

/// A cursor over one hybrid stream.
#[derive(Clone, Debug)]
pub struct Hybrid {
    data: Bytes,
    next: usize,
    width: u8,
    run: Run,
}

impl Hybrid {
    /// Starts at the first byte of `data`, whose values are `width` bits wide.
    ///
    /// # Errors
    /// `E_DECODE` where the width is beyond 32 bits.
    pub fn new(data: Bytes, width: u8) -> Result<Self> {
        if width > MAX_WIDTH {
            return Err(Defect::new(Code::Decode, format!("an index of {width} bits: at most 32 are legal")));
        }
        Ok(Self { data, next: 0, width, run: Run::Same { value: 0, left: 0 } })
    }

    /// A stream of one endless value, for columns that have no levels.
    #[must_use]
    pub fn constant(value: u32) -> Self {
        Self { data: Bytes::new(), next: 0, width: 0, run: Run::Same { value, left: usize::MAX } }
    }

    /// Makes sure that the current run is not empty.
    #[inline]
    fn refill(&mut self) -> Result<()> {
        loop {
            match self.run {
                Run::Same { left, .. } | Run::Packed { left, .. } if left > 0 => return Ok(()),
                _ => {}
            }
            let header = self.varint()?;
            let count = usize::try_from(header >> 1).unwrap_or(usize::MAX);
            if header & 1 == 0 {
                let value = self.value()?;
                self.run = Run::Same { value, left: count };
                continue;
            }
            let bytes = count.saturating_mul(usize::from(self.width));
            let mut left = count.saturating_mul(8);
            let room = self.data.len().saturating_sub(self.next);
            if bytes > room {
                // Some writers cut the padding of the last group: read what is there, no more.
                left = room.saturating_mul(8).checked_div(usize::from(self.width)).unwrap_or(0);
                if left == 0 {
                    return Err(ended());
                }
            }
            self.run = Run::Packed { bit: self.next.saturating_mul(8), left };
            self.next = self.next.saturating_add(bytes.min(room));
        }
    }

    /// A run header; nearly all are one byte.
    #[inline]
    fn varint(&mut self) -> Result<u64> {
        let mut value = 0_u64;
        for shift in (0..35).step_by(7) {
            let byte = *self.data.get(self.next).ok_or_else(ended)?;
            self.next = self.next.saturating_add(1);
            value |= u64::from(byte & 0x7f) << shift;
            if byte & 0x80 == 0 {
                return Ok(value);
            }
        }
        Err(Defect::new(Code::Decode, "a run header longer than five bytes"))
    }

    #[inline]
    fn value(&mut self) -> Result<u32> {
        let rest = self.data.get(self.next..).unwrap_or_default();
        let (value, width) = match (self.width, rest) {
            (0, _) => (0, 0),
            (1..=8, [a, ..]) => (u32::from(*a), 1),
            (9..=16, [a, b, ..]) => (u32::from_le_bytes([*a, *b, 0, 0]), 2),
            (17..=24, [a, b, c, ..]) => (u32::from_le_bytes([*a, *b, *c, 0]), 3),
            (25.., [a, b, c, d, ..]) => (u32::from_le_bytes([*a, *b, *c, *d]), 4),
            _ => return Err(ended()),
        };
        self.next = self.next.saturating_add(width);
        Ok(value)
    }

    /// The current run as (value, length): packed values come one by one.
    ///
    /// # Errors
    /// `E_DECODE` where the stream has ended.
    pub fn peek(&mut self) -> Result<(u32, usize)> {
        self.refill()?;
        Ok(match self.run {
            Run::Same { value, left } => (value, left),
            Run::Packed { bit, .. } => (packed(&self.data, bit, self.width), 1),
        })
    }

    /// Goes `n` values on, within what `peek` told.
    pub fn advance(&mut self, n: usize) {
        match &mut self.run {
            Run::Same { left, .. } => *left = left.saturating_sub(n),
            Run::Packed { bit, left } => {
                *bit = bit.saturating_add(n.saturating_mul(usize::from(self.width)));
                *left = left.saturating_sub(n);
            }
        }
    }

    /// Hands the next `n` values to `visit`, runs as runs.
    ///
    /// # Errors
    /// `E_DECODE` where the stream ends before.
    #[inline]
    pub fn visit(&mut self, mut n: usize, mut visit: impl FnMut(Piece<'_>)) -> Result<()> {
        let mut buffer = [0_u32; 64];
        while n > 0 {
            self.refill()?;
            match self.run {
                Run::Same { value, left } => {
                    let take = left.min(n);
                    visit(Piece::Same(value, take));
                    self.advance(take);
                    n = n.saturating_sub(take);
                }
                Run::Packed { bit, left } => {
                    let take = left.min(n).min(buffer.len());
                    if let Some(out) = buffer.get_mut(..take) {
                        unpack(&self.data, bit, self.width, out);
                        visit(Piece::Each(out));
                    }
                    self.advance(take);
                    n = n.saturating_sub(take);
                }
            }
        }
        Ok(())
    }

    /// Writes the next values over the whole of `out`.
    ///
    /// # Errors
    /// `E_DECODE` where the stream ends before.
    #[inline(always)]
    #[allow(clippy::inline_always, reason = "compiled twice, see `wide`: the copies must be whole")]
    pub fn fill(&mut self, mut out: &mut [u32]) -> Result<()> {
        while !out.is_empty() {
            self.refill()?;
            let left = match self.run {
                Run::Same { left, .. } | Run::Packed { left, .. } => left,
            };
            let take = left.min(out.len());
            match self.run {
                Run::Same { value, .. } => repeat(value, take, out),
                Run::Packed { bit, .. } => {
                    unpack(&self.data, bit, self.width, out.get_mut(..take).unwrap_or_default());
                }
            }
            let Some(tail) = std::mem::take(&mut out).get_mut(take..) else {
                break;
            };
            self.advance(take);
            out = tail;
        }
        Ok(())
    }

    /// Passes over the next `n` values.
    ///
    /// # Errors
    /// `E_DECODE` where the stream ends before.
    pub fn skip(&mut self, mut n: usize) -> Result<()> {
        while n > 0 {
            self.refill()?;
            let take = match self.run {
                Run::Same { left, .. } | Run::Packed { left, .. } => left.min(n),
            };
            self.advance(take);
            n = n.saturating_sub(take);
        }
        Ok(())
    }
}

/// Writes a value `n` times, in whole steps where there is room: what is too much is written over by
/// the next run, and short runs, the most by far, take one step without a branch on their length.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, see `wide`: the copies must be whole")]
fn repeat(value: u32, n: usize, out: &mut [u32]) {
    const STEP: usize = 16;
    let steps = n.div_ceil(STEP);
    if steps.saturating_mul(STEP) <= out.len() {
        for step in out.as_chunks_mut::<STEP>().0.iter_mut().take(steps) {
            *step = [value; STEP];
        }
    } else {
        out.iter_mut().take(n).for_each(|slot| *slot = value);
    }
}

fn ended() -> Defect {
    Defect::new(Code::Decode, "the levels or indices of a page end too early")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pack(values: &[u32], width: u8) -> Vec<u8> {
        let mut bits = vec![0_u8; (values.len() * usize::from(width)).div_ceil(8)];
        for (i, value) in values.iter().enumerate() {
            for b in 0..usize::from(width) {
                if value >> b & 1 == 1 {
                    let at = i * usize::from(width) + b;
                    bits[at / 8] |= 1 << (at % 8);
                }
            }
        }
        bits
    }

    #[test]
    fn every_width_unpacks_at_every_offset() {
        for width in 1..=32_u8 {
            let values: Vec<u32> =
                (0..80_u32).map(|i| i.wrapping_mul(2_654_435_761) & u32::MAX >> (32 - width)).collect();
            let mut stream = vec![10 << 1 | 1];
            stream.extend(pack(&values, width));
            for first in [0, 1, 3, 7, 8, 13] {
                let mut hybrid = Hybrid::new(Bytes::from(stream.clone()), width).unwrap();
                hybrid.skip(first).unwrap();
                let mut out = vec![0; values.len() - first];
                hybrid.fill(&mut out).unwrap();
                assert_eq!(out, values[first..], "width {width} from {first}");
            }
        }
    }

    #[test]
    fn runs_stay_runs() {
        let mut hybrid = Hybrid::new(Bytes::from_static(&[0xc8, 0x01, 5]), 3).unwrap();
        let mut seen = vec![];
        hybrid
            .visit(100, |piece| {
                if let Piece::Same(v, n) = piece {
                    seen.push((v, n));
                }
            })
            .unwrap();
        assert_eq!(seen, [(5, 100)]);
        assert_eq!(hybrid.skip(1).unwrap_err().code, Code::Decode);
    }

    #[test]
    fn a_header_without_end_is_refused() {
        let mut hybrid = Hybrid::new(Bytes::from_static(&[0xff; 12]), 3).unwrap();
        assert_eq!(hybrid.skip(1).unwrap_err().code, Code::Decode);
        assert!(Hybrid::new(Bytes::new(), 33).is_err());
    }

    #[test]
    fn a_width_of_nothing_is_zero() {
        let mut hybrid = Hybrid::new(Bytes::from_static(&[16]), 0).unwrap();
        let mut out = [7; 8];
        hybrid.fill(&mut out).unwrap();
        assert_eq!(out, [0; 8]);
    }
}
