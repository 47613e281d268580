//! Rows that wait until there are enough of them to be added group by group.

use crate::cells::Row;
use crate::error::{Code, Defect, Result};
use crate::spectrum::Bin;

use super::lines::SHELF;

/// Value codes that fit into half an entry.
const CODES: usize = 1 << 16;

/// A row, or the part of it whose genes share a shelf.
#[derive(Clone, Copy)]
pub(super) struct Piece {
    /// Group and shelf.
    pub(super) place: usize,
    pub(super) total: u64,
    first: usize,
    end: usize,
    first_bin: usize,
    end_bin: usize,
}

/// Rows, four bytes an entry.
#[derive(Default)]
pub(super) struct Buffer {
    pub(super) pieces: Vec<Piece>,
    entries: Vec<u32>,
    bins: Vec<Bin>,
    /// Which bin of the row at hand a value code is.
    ranks: Vec<u32>,
}

impl Buffer {
    /// Makes room once, so that growing never holds two copies; memory that is not used is not taken.
    pub(super) fn reserve(&mut self, entries: usize) -> Result<()> {
        let full = |_| Defect::new(Code::LimitMemory, format!("no memory for batches of {entries} entries"));
        self.entries.try_reserve_exact(entries.saturating_sub(self.entries.len())).map_err(full)
    }

    /// What is held, in entries of four bytes.
    pub(super) fn weight(&self) -> usize {
        let bins = self.bins.len().saturating_mul(size_of::<Bin>() / 4);
        let pieces = self.pieces.len().saturating_mul(size_of::<Piece>() / 4);
        self.entries.len().saturating_add(bins).saturating_add(pieces)
    }

    /// Adds a row of a group; `counts` is what each value code stands for.
    pub(super) fn push(&mut self, group: usize, shelves: usize, total: u64, row: &Row<'_>, counts: &[u32]) {
        if shelves == 1 && counts.len() <= CODES {
            if row.genes.is_empty() {
                return;
            }
            let (first, first_bin) = (self.entries.len(), self.bins.len());
            // Codes of the row itself: what they add lies close together.
            if self.ranks.len() < counts.len() {
                self.ranks.resize(counts.len(), 0);
            }
            for (bin, rank) in row.spectrum.iter().zip(0_u32..) {
                if let Some(place) = self.ranks.get_mut(bin.code as usize) {
                    *place = rank;
                }
                self.bins.push(Bin { code: rank, ..*bin });
            }
            let rank = |code: &u32| self.ranks.get(*code as usize).copied().unwrap_or(0);
            self.entries.extend(row.genes.iter().zip(row.codes).map(|(gene, code)| gene << 16 | rank(code)));
            self.close(group, total, first, first_bin);
            return;
        }
        for shelf in 0..shelves {
            self.push_shelf((group, shelves, shelf), total, row, counts);
        }
    }

    /// The entries of one shelf, each with a code of its own: there may be more codes than half an entry holds,
    /// but no more entries.
    fn push_shelf(
        &mut self,
        (group, shelves, at): (usize, usize, usize),
        total: u64,
        row: &Row<'_>,
        counts: &[u32],
    ) {
        let (first, first_bin) = (self.entries.len(), self.bins.len());
        let mut next = 0_u32;
        for (gene, code) in row.genes.iter().zip(row.codes) {
            let gene = *gene as usize;
            if gene / SHELF != at {
                continue;
            }
            let value = counts.get(*code as usize).copied().unwrap_or(0);
            self.entries.push(u32::try_from(gene % SHELF).unwrap_or(0) << 16 | next);
            self.bins.push(Bin { value, times: 1, code: next });
            next = next.saturating_add(1);
        }
        if next > 0 {
            self.close(group.saturating_mul(shelves).saturating_add(at), total, first, first_bin);
        }
    }

    fn close(&mut self, place: usize, total: u64, first: usize, first_bin: usize) {
        let (end, end_bin) = (self.entries.len(), self.bins.len());
        self.pieces.push(Piece { place, total, first, end, first_bin, end_bin });
    }

    /// The rows of a group next to each other.
    pub(super) fn sort(&mut self) {
        self.pieces.sort_unstable_by_key(|piece| (piece.place, piece.first));
    }

    pub(super) fn entries(&self, piece: &Piece) -> &[u32] {
        self.entries.get(piece.first..piece.end).unwrap_or_default()
    }

    pub(super) fn bins(&self, piece: &Piece) -> &[Bin] {
        self.bins.get(piece.first_bin..piece.end_bin).unwrap_or_default()
    }

    pub(super) fn clear(&mut self) {
        self.pieces.clear();
        self.entries.clear();
        self.bins.clear();
    }
}
