//! The exact sums of one group of cells, for the genes that it has.
//!
//! Of 62,710 genes a group of a thousand cells has some twenty thousand: a table from gene to line and one
//! cache line a touched gene take a third of one line a gene, and stay in the cache of a core.

use std::hint::black_box;
use std::ops::Range;

use crate::genes::{CARRY_AFTER, Line, join, split};
use crate::moments::Scaled;
use crate::sums::GeneSums;
use crate::wide::add_tile_wide;

/// Genes of one table: the last slot stands for none.
pub(super) const SHELF: usize = 65_535;
const NONE: u16 = u16::MAX;
/// Lines of one chunk: growing copies nothing.
const CHUNK: usize = 256;
/// Genes whose lines are added to at a time: of a group that has a third of them some ninety kilobytes.
const TILE: usize = 4096;
/// Rows below which going through the genes in tiles is not worth it.
const TILED_ROWS: usize = 8;
/// Counts up to here are added in 64 bits: so many rows of them stay below 2⁶⁴ squared, and below 2⁴⁶ summed.
pub(super) const MOST: u32 = 1 << 24;
/// Where the number of cells begins in the first word; the counts are below.
const CELLS: u32 = 46;

/// The sums of one gene in one group.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct GroupGene {
    /// As of the table of genes.
    pub sums: GeneSums,
    /// Σ squared counts.
    pub squares: u128,
}

impl GroupGene {
    /// Adds other cells; associative and commutative.
    pub fn merge(&mut self, other: &Self) {
        self.sums.merge(&other.sums);
        self.squares = self.squares.wrapping_add(other.squares);
    }

    /// What one entry adds.
    pub(super) fn of(value: u32, scaled: Scaled) -> Self {
        let (value, cp, log) = (u64::from(value), u128::from(scaled.cp), u128::from(scaled.log));
        Self {
            sums: GeneSums {
                n_cells: 1,
                total_counts: value,
                cp,
                cp_squares: cp.wrapping_mul(cp),
                log,
                log_squares: log.wrapping_mul(log),
            },
            squares: u128::from(value).wrapping_mul(u128::from(value)),
        }
    }

    fn from_line(line: &Line) -> Self {
        let [packed, squares, cp, cp_low, cp_high, log, log_low, log_high] = line.0;
        Self {
            sums: GeneSums {
                n_cells: packed >> CELLS,
                total_counts: packed & ((1 << CELLS) - 1),
                cp: u128::from(cp),
                cp_squares: join(cp_low, cp_high),
                log: u128::from(log),
                log_squares: join(log_low, log_high),
            },
            squares: u128::from(squares),
        }
    }
}

/// What an entry adds to its line; nothing where it is zero or has to be added in 128 bits.
pub(super) fn contribution(value: u32, Scaled { cp, log, .. }: Scaled) -> Line {
    if value == 0 || value > MOST {
        return Line::default();
    }
    let ((cp_low, cp_high), (log_low, log_high)) = (split(cp), split(log));
    let value = u64::from(value);
    Line([1 << CELLS | value, value.wrapping_mul(value), cp, cp_low, cp_high, log, log_low, log_high])
}

/// The lines of one group, in order of the first touch.
#[derive(Default)]
pub(crate) struct Lines {
    slots: Vec<u16>,
    chunks: Vec<Box<[Line; CHUNK]>>,
    used: usize,
    /// What was carried over, by slot.
    wide: Vec<GroupGene>,
    rows: u32,
}

impl Lines {
    /// For so many genes, at most [`SHELF`].
    pub(super) fn new(genes: usize) -> Self {
        Self { slots: vec![NONE; genes.min(SHELF)], ..Self::default() }
    }

    /// Genes that were touched.
    pub(super) fn len(&self) -> usize {
        self.used
    }

    /// Bytes held.
    pub(super) fn bytes(&self) -> usize {
        let chunks = self.chunks.len().saturating_mul(size_of::<[Line; CHUNK]>());
        let wide = self.wide.capacity().saturating_mul(size_of::<GroupGene>());
        self.slots.len().saturating_mul(2).saturating_add(chunks).saturating_add(wide)
    }

    /// Adds rows, at most [`CARRY_AFTER`], to the lines of one tile of genes after another: a line that several
    /// rows touch is still near by then. Nothing depends on it that the genes of a row ascend but the time it takes.
    pub(super) fn add(&mut self, terms: &[Line], rows: &mut [Packed<'_>]) {
        let added = u32::try_from(rows.len()).unwrap_or(u32::MAX);
        if self.rows.saturating_add(added) > CARRY_AFTER {
            self.carry();
        }
        self.rows = self.rows.saturating_add(added);
        if rows.len() >= TILED_ROWS {
            let dense = rows.iter().map(|row| row.entries.len()).sum::<usize>() >= self.used;
            let ends = (TILE..self.slots.len()).step_by(TILE);
            for end in ends {
                if dense {
                    self.warm(end.saturating_sub(TILE)..end);
                }
                let last = u32::try_from(end).unwrap_or(u32::MAX).saturating_mul(1 << 16).saturating_sub(1);
                add_tile_wide(self, terms, rows, last);
            }
        }
        add_tile_wide(self, terms, rows, u32::MAX);
    }

    /// Asks for the lines of some genes, one behind the other: a processor waits for many of them at a time, and
    /// for few of those that entries are added to.
    fn warm(&self, genes: Range<usize>) {
        let slots = self.slots.get(genes).unwrap_or_default();
        black_box(slots.iter().fold(0_u64, |sum, slot| {
            let line =
                self.chunks.get(usize::from(*slot) / CHUNK).and_then(|c| c.get(usize::from(*slot) % CHUNK));
            sum ^ line.and_then(|line| line.0.first()).copied().unwrap_or(0)
        }));
    }

    /// Adds one entry in 128 bits.
    pub(super) fn add_wide(&mut self, gene: u16, sums: &GroupGene) {
        let slot = match self.slots.get(usize::from(gene)) {
            Some(&NONE) => self.grow(gene),
            Some(slot) => *slot,
            None => return,
        };
        self.wide.resize(self.used.max(self.wide.len()), GroupGene::default());
        if let Some(wide) = self.wide.get_mut(usize::from(slot)) {
            wide.merge(sums);
        }
    }

    /// Gives a gene its line.
    #[cold]
    fn grow(&mut self, gene: u16) -> u16 {
        if self.used.is_multiple_of(CHUNK) {
            self.chunks.push(Box::new([Line::default(); CHUNK]));
        }
        // A group has at most as many lines as genes.
        let slot = u16::try_from(self.used).unwrap_or(NONE);
        if let Some(place) = self.slots.get_mut(usize::from(gene)) {
            *place = slot;
        }
        self.used = self.used.saturating_add(1);
        slot
    }

    fn carry(&mut self) {
        self.wide.resize(self.used, GroupGene::default());
        for (wide, line) in
            self.wide.iter_mut().zip(self.chunks.iter_mut().flat_map(|chunk| chunk.iter_mut()))
        {
            wide.merge(&GroupGene::from_line(line));
            *line = Line::default();
        }
        self.rows = 0;
    }

    /// Hands the genes that were counted to `visit`, ascending.
    pub(super) fn each(&self, mut visit: impl FnMut(u16, &GroupGene)) {
        let mut found = Vec::with_capacity(TILE);
        for (tile, slots) in self.slots.chunks(TILE).enumerate() {
            let before = tile.saturating_mul(TILE);
            self.warm(before..before.saturating_add(slots.len()));
            // Which genes a group has is nothing that a processor could guess: they are gathered without a branch.
            found.clear();
            found.resize(slots.len(), (0_u16, NONE));
            let mut n = 0_usize;
            for (slot, at) in slots.iter().zip(0_u16..) {
                if let Some(place) = found.get_mut(n) {
                    *place = (at, *slot);
                }
                n = n.wrapping_add(usize::from(*slot != NONE));
            }
            let base = u16::try_from(before).unwrap_or(NONE);
            for (at, slot) in found.iter().take(n) {
                let slot = usize::from(*slot);
                let Some(line) = self.chunks.get(slot / CHUNK).and_then(|chunk| chunk.get(slot % CHUNK))
                else {
                    continue;
                };
                let mut sums = GroupGene::from_line(line);
                if let Some(wide) = self.wide.get(slot) {
                    sums.merge(wide);
                }
                if sums.sums.n_cells > 0 {
                    visit(base.saturating_add(*at), &sums);
                }
            }
        }
    }
}

/// A row that is added: `entries` are genes in the high half and in the low codes, which count from `first` on in
/// what the codes add.
pub(crate) struct Packed<'a> {
    pub(super) first: usize,
    pub(super) entries: &'a [u32],
}

/// The loop over entries up to `last`, which are taken from their rows. Whole numbers, so vector width and order do
/// not change a bit.
#[inline(always)]
#[allow(clippy::inline_always, reason = "compiled twice, see `wide`: the copies must be whole")]
pub(crate) fn add_tile(lines: &mut Lines, terms: &[Line], rows: &mut [Packed<'_>], last: u32) {
    for row in rows {
        let terms = terms.get(row.first..).unwrap_or_default();
        let mut rest = row.entries;
        while let Some((entry, after)) = rest.split_first().filter(|(entry, _)| **entry <= last) {
            rest = after;
            let [low, high, gene_low, gene_high] = entry.to_le_bytes();
            let (gene, code) = (u16::from_le_bytes([gene_low, gene_high]), u16::from_le_bytes([low, high]));
            let slot = match lines.slots.get(usize::from(gene)) {
                Some(&NONE) => lines.grow(gene),
                Some(slot) => *slot,
                None => continue,
            };
            let (chunk, at) = (usize::from(slot) / CHUNK, usize::from(slot) % CHUNK);
            if let (Some(line), Some(term)) = (
                lines.chunks.get_mut(chunk).and_then(|chunk| chunk.get_mut(at)),
                terms.get(usize::from(code)),
            ) {
                for (sum, term) in line.0.iter_mut().zip(term.0) {
                    *sum = sum.wrapping_add(term);
                }
            }
        }
        row.entries = rest;
    }
}
