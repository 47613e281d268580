//! Entries of cells: one Poisson process a cell along the axis of genes.
//!
//! The genes' rates laid end to end form an axis; the arrivals of a Poisson process of unit rate
//! on it are independent Poisson counts, gene by gene, and they come in gene order. So a cell costs
//! one exponential variate a count and a short look-up, whatever the size of the vocabulary.

use super::planted::MITOCHONDRIAL;
use super::random::Random;
use super::{CellKey, Model};

const CELL: u64 = 5;
/// No library is smaller: the assay drops emptier cells.
const LEAST_COUNTS: f64 = 600.0;
/// Stretches of the guide table: some two genes of a human vocabulary each.
const GUIDE: usize = 16_384;

pub(super) const NO_WELL: &str = "a cell names a well that is not there";
pub(super) const NO_LINE: &str = "a cell names a line that is not there";
const NO_DRUG: &str = "a well names a drug that is not there";

/// Entries of consecutive cells as the little-endian buffers of two Arrow lists.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Entries {
    /// i32, one more than cells: where each cell's entries start.
    pub offsets: Vec<u8>,
    /// i64 token ids.
    pub genes: Vec<u8>,
    /// f32 counts.
    pub expressions: Vec<u8>,
}

/// What a cell draws for itself before its genes.
pub(super) struct Cell {
    pub random: Random,
    /// Library size times depth: expected counts of a share of 1.
    pub rate: f64,
    pub mt: f64,
    pub malat1: f64,
}

/// The axis of a line in a well: rates of the ordinary genes, cumulated, with a guide table.
struct Axis {
    ends: Vec<f64>,
    guide: Vec<u32>,
    total: f64,
}

/// What is filled anew for each cell.
#[derive(Default)]
struct Scratch {
    special: Vec<(u32, u32)>,
    arrivals: Vec<f64>,
    places: Vec<u32>,
    runs: Vec<(u32, u32)>,
}

impl Model {
    /// Entries of cells, in the order of `keys`. Cells are drawn well by well and line by line, since
    /// setting up an axis costs as much as some ten cells; every cell has its own random stream, so
    /// order and company do not matter.
    ///
    /// # Errors
    /// When a key names a well or line that the model does not have, or the entries of the call
    /// exceed 2³¹ − 1.
    pub fn cells(&self, keys: &[CellKey]) -> Result<Entries, &'static str> {
        let mut order: Vec<(usize, &CellKey)> = keys.iter().enumerate().collect();
        order.sort_by_key(|(row, key)| (key.well, key.line, *row));
        let mut drawn: Vec<(u32, u32)> = Vec::with_capacity(keys.len() * 1_600);
        let mut spans = vec![(0_usize, 0_usize); keys.len()];
        let (mut factors, mut scratch) = (Vec::new(), Scratch::default());
        let mut axis = Axis { ends: Vec::new(), guide: Vec::new(), total: 0.0 };
        let mut last: (Option<u32>, Option<u32>) = (None, None);
        for (row, key) in order {
            if last.0 != Some(key.well) {
                self.gene_factors(key.well, &mut factors)?;
            }
            if last != (Some(key.well), Some(key.line)) {
                self.lay_axis(key.line, &factors, &mut axis)?;
                last = (Some(key.well), Some(key.line));
            }
            let start = drawn.len();
            self.draw_entries(key, &axis, &mut scratch, &mut drawn)?;
            if let Some(span) = spans.get_mut(row) {
                *span = (start, drawn.len());
            }
        }
        self.lay_out(&drawn, &spans)
    }

    /// What multiplies each ordinary gene's rate in a well, for every line.
    pub(super) fn gene_factors(&self, well: u32, out: &mut Vec<f64>) -> Result<(), &'static str> {
        let truth = self.wells.get(well as usize).ok_or(NO_WELL)?;
        let blocks: Vec<f64> = truth.blocks.iter().map(|shift| libm::exp(*shift)).collect();
        out.clear();
        let block_of = |block: usize| blocks.get(block).copied().unwrap_or(1.0);
        out.extend(self.axis.iter().map(|gene| block_of(gene.block)));
        if truth.response > 0.0 {
            let drug = self.drugs.get(truth.drug).ok_or(NO_DRUG)?;
            for &(place, lfc) in &drug.genes {
                if let Some(factor) = out.get_mut(place) {
                    *factor *= libm::exp(std::f64::consts::LN_2 * lfc * truth.response);
                }
            }
        }
        Ok(())
    }

    fn lay_axis(&self, line: u32, factors: &[f64], axis: &mut Axis) -> Result<(), &'static str> {
        let line = self.lines.get(line as usize).ok_or(NO_LINE)?;
        axis.ends.clear();
        axis.ends.extend(line.shares.iter().zip(factors).map(|(share, factor)| share * factor));
        let mut sum = 0.0;
        for end in &mut axis.ends {
            sum += *end;
            *end = sum;
        }
        axis.total = sum;
        // guide[i]: the gene after the last one that ends before the i-th of GUIDE equal stretches
        // begins. Written without a branch: the last gene of a stretch wins, gaps are filled after.
        let stretches = GUIDE as f64 / sum;
        axis.guide.clear();
        axis.guide.resize(GUIDE + 2, 0);
        for (place, end) in (1_u32..).zip(&axis.ends) {
            if let Some(slot) = axis.guide.get_mut(floor(end * stretches) + 1) {
                *slot = place;
            }
        }
        let mut first = 0;
        for slot in &mut axis.guide {
            first = first.max(*slot);
            *slot = first;
        }
        Ok(())
    }

    pub(super) fn open_cell(&self, key: &CellKey) -> Result<Cell, &'static str> {
        let line = self.lines.get(key.line as usize).ok_or(NO_LINE)?;
        let well = self.wells.get(key.well as usize).ok_or(NO_WELL)?;
        let drug = self.drugs.get(well.drug).ok_or(NO_DRUG)?;
        let mut random = Random::of(self.seed, CELL, key.key);
        let library = self.effects.median_counts * libm::exp(self.effects.counts_spread * random.normal());
        let depth = libm::exp(line.depth + drug.depth * well.response + well.depth);
        let shift = line.mt + drug.mt * well.response + well.mt;
        let mt = libm::exp(shift + 0.5 * random.normal() - 0.125);
        let malat1 = libm::exp(0.3 * random.normal() - 0.045);
        // A median below the floor is an asked-for shallow atlas: there the floor would be all there is.
        let floor = LEAST_COUNTS.min(0.3 * self.effects.median_counts);
        Ok(Cell { random, rate: library.max(floor) * depth, mt, malat1 })
    }

    /// The entries of a cell, appended to `out` in token order.
    ///
    /// Three plain passes, since one loop that does all spends its time on mispredicted branches
    /// (measured: 20 ns a count against 8): arrivals, the gene of each, runs of equal genes.
    fn draw_entries(
        &self,
        key: &CellKey,
        axis: &Axis,
        scratch: &mut Scratch,
        out: &mut Vec<(u32, u32)>,
    ) -> Result<(), &'static str> {
        let mut cell = self.open_cell(key)?;
        let line = self.lines.get(key.line as usize).ok_or(NO_LINE)?;
        scratch.special.clear();
        for (gene, share) in self.special.iter().zip(&line.special) {
            let programme = if gene.kind == MITOCHONDRIAL { cell.mt } else { cell.malat1 };
            let count = self.exponential.poisson(&mut cell.random, cell.rate * share * programme);
            if count > 0 {
                scratch.special.push((gene.token, count));
            }
        }
        self.draw_arrivals(&mut cell, axis.total, &mut scratch.arrivals);
        find_places(axis, &scratch.arrivals, &mut scratch.places);
        self.count_runs(&scratch.places, &mut scratch.runs);
        let mut rest = scratch.runs.as_slice();
        for &entry in &scratch.special {
            let (before, after) = rest.split_at(rest.partition_point(|run| run.0 < entry.0));
            out.extend_from_slice(before);
            out.push(entry);
            rest = after;
        }
        out.extend_from_slice(rest);
        Ok(())
    }

    fn draw_arrivals(&self, cell: &mut Cell, total: f64, arrivals: &mut Vec<f64>) {
        let step = 1.0 / cell.rate;
        let mut at = step * self.exponential.draw(&mut cell.random);
        arrivals.clear();
        while at < total {
            arrivals.push(at);
            at += step * self.exponential.draw(&mut cell.random);
        }
    }

    fn count_runs(&self, places: &[u32], runs: &mut Vec<(u32, u32)>) {
        runs.clear();
        runs.resize(places.len(), (0, 0));
        let (mut last, mut length, mut used) = (u32::MAX, 0, 0_usize);
        for &place in places {
            // No branch: a run's slot is written again until the run ends.
            let fresh = place != last;
            used += usize::from(fresh);
            length = if fresh { 1 } else { length + 1 };
            last = place;
            if let Some(slot) = runs.get_mut(used.wrapping_sub(1)) {
                *slot = (place, length);
            }
        }
        runs.truncate(used);
        for run in runs {
            run.0 = self.tokens.get(run.0 as usize).copied().unwrap_or(u32::MAX);
        }
    }

    /// Put the drawn entries into the order of the rows, as Arrow buffers.
    fn lay_out(&self, drawn: &[(u32, u32)], spans: &[(usize, usize)]) -> Result<Entries, &'static str> {
        let marker = usize::from(self.marker);
        let n_entries = drawn.len() + marker * spans.len();
        if i32::try_from(n_entries).is_err() {
            return Err("too many cells in one call: their entries exceed 2^31 - 1");
        }
        let mut offsets = Vec::with_capacity(4 * (spans.len() + 1));
        let mut genes = Vec::with_capacity(8 * n_entries);
        let mut expressions = Vec::with_capacity(4 * n_entries);
        let mut offset = 0_i32;
        offsets.extend_from_slice(&offset.to_le_bytes());
        for &(start, stop) in spans {
            if self.marker {
                genes.extend_from_slice(&1_i64.to_le_bytes());
                expressions.extend_from_slice(&(-2.0_f32).to_le_bytes());
            }
            let entries = drawn.get(start..stop).unwrap_or_default();
            for &(token, count) in entries {
                genes.extend_from_slice(&i64::from(token).to_le_bytes());
                // Whole counts stay exact in f32 to 2^24, and no count comes near it.
                expressions.extend_from_slice(&(count as f32).to_le_bytes());
            }
            offset = offset.saturating_add(i32::try_from(entries.len() + marker).unwrap_or(i32::MAX));
            offsets.extend_from_slice(&offset.to_le_bytes());
        }
        Ok(Entries { offsets, genes, expressions })
    }
}

/// The place on the axis of each arrival: a guess from the guide, then up to where it lies.
fn find_places(axis: &Axis, arrivals: &[f64], places: &mut Vec<u32>) {
    let stretches = GUIDE as f64 / axis.total;
    let beyond = |place: u32, at: f64| axis.ends.get(place as usize).is_some_and(|end| *end <= at);
    places.clear();
    places.extend(arrivals.iter().map(|&at| {
        // A millionth of a stretch too early costs nothing; too late would pass over a gene.
        let mut place = axis.guide.get(floor(at * stretches - 1e-6)).copied().unwrap_or(0);
        place += u32::from(beyond(place, at));
        place += u32::from(beyond(place, at));
        while beyond(place, at) {
            place += 1;
        }
        place
    }));
}

/// Rounded down; a value below 0 gives 0.
#[expect(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "a float cast saturates, and what lies beyond the guide is looked up with care"
)]
fn floor(value: f64) -> usize {
    value as u32 as usize
}
