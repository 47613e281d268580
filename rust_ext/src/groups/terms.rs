//! What the entries of rows add to the sums of their group.

use super::lines::{GroupGene, Lines, MOST, Packed, contribution};
use crate::genes::Line;
use crate::moments::{Scaled, scale};
use crate::spectrum::Bin;

/// Rows of a group that are added at a time: what their codes add stays in the cache of a core.
pub(super) const ROWS: usize = 256;

/// A row: its bins, its counts in all, and its entries, genes in the high half and codes in the low.
pub(super) type PackedRow<'a> = (&'a [Bin], u64, &'a [u32]);

/// What each value code adds in the rows at hand.
#[derive(Default)]
pub(super) struct Terms {
    terms: Vec<Line>,
    scaled: Vec<Scaled>,
}

impl Terms {
    /// Adds rows, at most [`ROWS`], whose codes count from nought.
    pub(super) fn add(&mut self, rows: &[PackedRow<'_>], lines: &mut Lines) {
        self.terms.clear();
        let mut packed = Vec::with_capacity(rows.len());
        for (bins, total, entries) in rows {
            scale(bins, *total, &mut self.scaled);
            let first = self.terms.len();
            for (bin, scaled) in bins.iter().zip(&self.scaled) {
                let code = first.saturating_add(bin.code as usize);
                if self.terms.len() <= code {
                    self.terms.resize(code.saturating_add(1), Line::default());
                }
                if let Some(term) = self.terms.get_mut(code) {
                    *term = contribution(bin.value, *scaled);
                }
            }
            packed.push(Packed { first, entries });
        }
        lines.add(&self.terms, &mut packed);
        for (bins, total, entries) in rows {
            if bins.iter().any(|bin| bin.value > MOST) {
                self.add_wide(bins, *total, entries, lines);
            }
        }
    }

    /// Adds what was left out of a row for its size.
    fn add_wide(&mut self, bins: &[Bin], total: u64, entries: &[u32], lines: &mut Lines) {
        scale(bins, total, &mut self.scaled);
        for (bin, scaled) in bins.iter().zip(&self.scaled).filter(|(bin, _)| bin.value > MOST) {
            let sums = GroupGene::of(bin.value, *scaled);
            for entry in entries.iter().filter(|entry| **entry & 0xffff == bin.code) {
                lines.add_wide(u16::try_from(entry >> 16).unwrap_or(u16::MAX), &sums);
            }
        }
    }
}
