//! The distinct values of a column in one row group: from its dictionary page, or interned.

use std::collections::HashMap;

use bytes::{Buf, Bytes};
use parquet::basic::Type as Physical;

use crate::error::{Code, Defect, Result};
use crate::limits::Limits;

/// Distinct values in the order of their codes.
///
/// Numbers are kept as 64 bits, whole numbers as two's complement and reals as `f64` (every
/// `f32` is one exactly), so that all widths and encodings meet in one form.
pub struct Dictionary {
    physical: Physical,
    numbers: Vec<u64>,
    texts: Vec<Bytes>,
    text_bytes: usize,
    /// Code of a number, once pages without a dictionary have been met.
    interned: Option<HashMap<u64, u32>>,
}

impl Dictionary {
    /// An empty dictionary for values of one physical type.
    #[must_use]
    pub fn new(physical: Physical) -> Self {
        Self { physical, numbers: Vec::new(), texts: Vec::new(), text_bytes: 0, interned: None }
    }

    /// Whether no value is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.numbers.is_empty() && self.texts.is_empty()
    }

    /// Number of codes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.numbers.len().max(self.texts.len())
    }

    /// The numbers as 64 bits.
    #[must_use]
    pub fn numbers(&self) -> &[u64] {
        &self.numbers
    }

    /// The texts, not yet known to be UTF-8.
    #[must_use]
    pub fn texts(&self) -> &[Bytes] {
        &self.texts
    }

    /// Whether values are being interned.
    #[must_use]
    pub fn is_interning(&self) -> bool {
        self.interned.is_some()
    }

    /// Called before the first value of a page without dictionary indices.
    pub(crate) fn start_interning(&mut self) {
        if self.interned.is_none() {
            let mut known = HashMap::with_capacity(self.numbers.len());
            for (code, number) in (0_u32..).zip(&self.numbers) {
                known.entry(*number).or_insert(code);
            }
            self.interned = Some(known);
        }
    }

    /// The code of a number, new ones getting the next.
    pub(crate) fn intern(&mut self, number: u64, limits: &Limits) -> Result<u32> {
        let next = self.numbers.len();
        let known = self.interned.get_or_insert_with(HashMap::new);
        if let Some(code) = known.get(&number) {
            return Ok(*code);
        }
        let code = new_code(next, limits)?;
        known.insert(number, code);
        self.numbers.push(number);
        Ok(code)
    }

    /// Adds a text; texts are not compared with each other.
    pub(crate) fn push_text(&mut self, text: Bytes, limits: &Limits) -> Result<u32> {
        if text.len() as u64 > limits.string_bytes {
            return Err(Defect::new(
                Code::LimitString,
                format!("a text of {} bytes; the limit is {}", text.len(), limits.string_bytes),
            ));
        }
        new_code(self.texts.len(), limits)?;
        self.text_bytes = self.text_bytes.saturating_add(text.len()).saturating_add(size_of::<Bytes>());
        if self.text_bytes as u64 > limits.batch_bytes {
            return Err(Defect::new(
                Code::LimitMemory,
                "the texts of one column and row group are too long together",
            ));
        }
        let code =
            u32::try_from(self.texts.len()).map_err(|_| Defect::new(Code::LimitMemory, "too many texts"))?;
        self.texts.push(text);
        Ok(code)
    }
}

fn new_code(next: usize, limits: &Limits) -> Result<u32> {
    match u32::try_from(next) {
        Ok(code) if u64::from(code) < limits.distinct => Ok(code),
        _ => Err(Defect::new(
            Code::LimitMemory,
            format!("more than {} distinct values in one row group", limits.distinct),
        )),
    }
}

/// Reads a PLAIN dictionary page of `count` values.
///
/// # Errors
/// `E_DECODE` where the page is shorter than it says, `E_LIMIT_STRING`, `E_LIMIT_MEMORY`.
pub fn decode_dictionary(page: &Bytes, count: u32, into: &mut Dictionary, limits: &Limits) -> Result<()> {
    let count = count as usize;
    let short = || Defect::new(Code::Decode, "a dictionary page is shorter than it says");
    if into.physical == Physical::BYTE_ARRAY {
        let mut rest = page.clone();
        for _ in 0..count {
            if rest.len() < 4 {
                return Err(short());
            }
            let length = rest.get_u32_le() as usize;
            if length > rest.len() {
                return Err(short());
            }
            into.push_text(rest.split_to(length), limits)?;
        }
        return Ok(());
    }
    if count > 0 {
        new_code(count.saturating_sub(1), limits)?;
    }
    let width = match into.physical {
        Physical::INT32 | Physical::FLOAT => 4,
        _ => 8,
    };
    let bytes = page.get(..count.saturating_mul(width)).ok_or_else(short)?;
    let numbers = &mut into.numbers;
    numbers.reserve_exact(count);
    match into.physical {
        Physical::INT32 => {
            numbers.extend(
                bytes.as_chunks::<4>().0.iter().map(|b| i64::from(i32::from_le_bytes(*b)).cast_unsigned()),
            );
        }
        Physical::FLOAT => {
            numbers
                .extend(bytes.as_chunks::<4>().0.iter().map(|b| f64::from(f32::from_le_bytes(*b)).to_bits()));
        }
        // Two's complement and IEEE doubles are already their own 64 bits.
        _ => numbers.extend(bytes.as_chunks::<8>().0.iter().map(|b| u64::from_le_bytes(*b))),
    }
    Ok(())
}
