//! The one input of every kernel: rows of dense gene indices and value codes, checked once.

use crate::error::Code;
use crate::hybrid::Piece;
use crate::spectrum::{Bin, Histogram};
use crate::values::{Value, bad_value};
use crate::vocabulary::{BEYOND, MARKER, Vocabulary};

/// What is odd about a row without being wrong.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Oddities {
    /// No marker entry.
    pub no_marker: bool,
    /// No gene at all.
    pub empty: bool,
    /// Entries of zero.
    pub zeros: u32,
    /// Counts beyond 2²⁴.
    pub rounded: u32,
}

/// Turns rows of codes into checked rows. One for a row group; buffers are used again.
#[derive(Default)]
pub struct Checker {
    values: Vec<Value>,
    counts: Vec<u32>,
    dense: Vec<u32>,
    histogram: Histogram,
    order: Vec<u32>,
}

/// A row whose entries were checked: marker and defects are gone.
#[derive(Clone, Copy, Debug)]
pub struct Row<'a> {
    /// Dense gene indices, unique; empty where tokens were not read.
    pub genes: &'a [u32],
    /// Value codes of the same entries.
    pub codes: &'a [u32],
    /// Whether `genes` ascends.
    pub ascending: bool,
    /// Distinct counts, ascending.
    pub spectrum: &'a [Bin],
    /// Entries without the marker.
    pub entries: u32,
    /// What was odd.
    pub oddities: Oddities,
}

/// Why a row cannot be used.
pub type RowDefect = (Code, String);

impl Checker {
    /// Judges the distinct values of a row group, those added since the last call only.
    pub fn learn_values(&mut self, numbers: &[u64]) {
        let known = self.values.len();
        for bits in numbers.iter().skip(known) {
            let value = Value::of(f64::from_bits(*bits));
            self.values.push(value);
            self.counts.push(match value {
                Value::Count(count) | Value::Rounded(count) => count,
                _ => 0,
            });
        }
        self.histogram.reserve(self.values.len());
    }

    /// Looks up the distinct tokens of a row group, those added since the last call only.
    pub fn learn_tokens(&mut self, numbers: &[u64], vocabulary: &Vocabulary) {
        let known = self.dense.len();
        self.dense.extend(numbers.iter().skip(known).map(|token| vocabulary.dense(token.cast_signed())));
    }

    /// Forgets the dictionaries of the last row group.
    pub fn forget(&mut self) {
        self.histogram.forget();
        self.values.clear();
        self.counts.clear();
        self.dense.clear();
    }

    /// What a value code stands for.
    #[must_use]
    pub fn value(&self, code: u32) -> Option<Value> {
        self.values.get(code as usize).copied()
    }

    /// The count that each value code stands for, 0 where it stands for none.
    #[must_use]
    pub fn counts(&self) -> &[u32] {
        &self.counts
    }

    /// The histogram of the row that is being read.
    pub fn histogram(&mut self) -> &mut Histogram {
        &mut self.histogram
    }

    /// Gene codes become dense indices in place.
    #[inline]
    pub fn to_dense(&self, genes: &mut [u32]) {
        for gene in genes {
            *gene = self.dense.get(*gene as usize).copied().unwrap_or(BEYOND);
        }
    }

    /// Checks a row of which only the values are known; its histogram was filled, `first` is its first
    /// code, `codes` are all of them where they are at hand.
    ///
    /// # Errors
    /// The code and a sentence for the first kind of defect found.
    pub fn check_values<'a>(
        &mut self,
        first: Option<u32>,
        codes: Option<&[u32]>,
        entries: u32,
        spectrum: &'a mut Vec<Bin>,
    ) -> Result<Row<'a>, RowDefect> {
        let marker = first.is_some_and(|code| self.value(code) == Some(Value::Marker));
        if marker && let Some(code) = first {
            self.histogram.take_one(code);
        }
        let entries = entries.saturating_sub(u32::from(marker));
        let mut oddities = self.finish(codes, spectrum)?;
        oddities.no_marker = !marker;
        oddities.empty = entries == 0;
        Ok(Row { genes: &[], codes: &[], ascending: true, spectrum, entries, oddities })
    }

    /// Checks a row of dense genes and value codes, both with the marker still in place.
    ///
    /// # Errors
    /// The code and a sentence for the first kind of defect found.
    pub fn check_row<'a>(
        &mut self,
        genes: &'a [u32],
        codes: &'a [u32],
        vocabulary: &Vocabulary,
        spectrum: &'a mut Vec<Bin>,
    ) -> Result<Row<'a>, RowDefect> {
        let mut marker = false;
        if let (Some(gene), Some(code)) = (genes.first(), codes.first()) {
            let value = self.value(*code);
            marker = *gene == MARKER;
            if marker && value != Some(Value::Marker) {
                return Err((
                    Code::SentinelValue,
                    "the marker token carries a value that is not -2".to_owned(),
                ));
            }
            if !marker && value == Some(Value::Marker) && genes.iter().skip(1).all(|g| *g != MARKER) {
                return Err((Code::NegativeValue, "a gene with the value -2".to_owned()));
            }
        }
        let skip = usize::from(marker);
        let (genes, codes) = (genes.get(skip..).unwrap_or_default(), codes.get(skip..).unwrap_or_default());
        let ascending = self.check_genes(genes, vocabulary)?;
        self.histogram.add(Piece::Each(codes));
        let mut oddities = self.finish(Some(codes), spectrum)?;
        oddities.no_marker = !marker;
        oddities.empty = genes.is_empty();
        let entries = u32::try_from(genes.len()).unwrap_or(u32::MAX);
        Ok(Row { genes, codes, ascending, spectrum, entries, oddities })
    }

    /// Unique genes of the vocabulary; whether they ascend.
    fn check_genes(&mut self, genes: &[u32], vocabulary: &Vocabulary) -> Result<bool, RowDefect> {
        // Without a branch an entry, so that it is done for many at once.
        let descents = genes.iter().zip(genes.iter().skip(1)).fold(0_u32, |n, (a, b)| n | u32::from(a >= b));
        let ascending = descents == 0;
        if ascending && genes.last().is_none_or(|last| (*last as usize) < vocabulary.len()) {
            return Ok(true);
        }
        if genes.contains(&BEYOND) {
            return Err((Code::Decode, "a gene index beyond its dictionary".to_owned()));
        }
        if genes.contains(&MARKER) {
            return Err((Code::SentinelPosition, "the marker token is not the first entry".to_owned()));
        }
        if let Some(at) = genes.iter().position(|g| *g as usize >= vocabulary.len()) {
            return Err((
                Code::TokenRange,
                format!("entry {at} has a token outside the vocabulary of {} genes", vocabulary.len()),
            ));
        }
        self.order.clear();
        self.order.extend_from_slice(genes);
        self.order.sort_unstable();
        if let Some((twice, _)) = self.order.iter().zip(self.order.iter().skip(1)).find(|(a, b)| a == b) {
            let token = vocabulary.tokens().get(*twice as usize).copied().unwrap_or_default();
            return Err((Code::DuplicateToken, format!("gene token {token} stands twice in the cell")));
        }
        Ok(false)
    }

    /// Empties the histogram into a sorted spectrum; `codes` are the entries, where they are at hand.
    fn finish(&mut self, codes: Option<&[u32]>, spectrum: &mut Vec<Bin>) -> Result<Oddities, RowDefect> {
        spectrum.clear();
        let mut oddities = Oddities::default();
        let mut defect: Option<(Code, u32)> = None;
        let values = &self.values;
        let visit = |code: u32, times: u32| match values.get(code as usize) {
            Some(Value::Count(value)) => spectrum.push(Bin { value: *value, times, code }),
            Some(Value::Rounded(value)) => {
                oddities.rounded = oddities.rounded.saturating_add(times);
                spectrum.push(Bin { value: *value, times, code });
            }
            Some(Value::Zero) => {
                oddities.zeros = oddities.zeros.saturating_add(times);
                spectrum.push(Bin { value: 0, times, code });
            }
            Some(Value::Marker) => defect = defect.or(Some((Code::NegativeValue, code))),
            Some(Value::Bad(bad)) => defect = defect.or(Some((*bad, code))),
            None => defect = defect.or(Some((Code::Decode, code))),
        };
        match codes {
            Some(codes) if self.histogram.is_wide(codes.len()) => self.histogram.drain_codes(codes, visit),
            _ => self.histogram.drain(visit),
        }
        if self.histogram.take_beyond() {
            return Err((Code::Decode, "a value index beyond its dictionary".to_owned()));
        }
        if let Some((code, _)) = defect {
            return Err((code, bad_value(code).to_owned()));
        }
        spectrum.sort_unstable();
        Ok(oddities)
    }
}
