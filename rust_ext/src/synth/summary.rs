//! Rows of a cells table without entries: believable joint values for atlases of any length.
//!
//! A cell's library, depth and mitochondrial share are those of the full law, from the same stream.
//! What depends on thousands of genes (numbers of genes, moments, the top-50 share, the log mean)
//! is read from curves of the line's untreated profile at the cell's depth, with a little noise: the
//! drug's and well's shifts of single genes enter through their sum only.

use super::cells::{NO_LINE, NO_WELL};
use super::planted::MITOCHONDRIAL;
use super::random::{Random, whole};
use super::{CellKey, Line, Model};

/// Curves are tabulated at 32 rates a factor of 1.25 apart, from 100 expected counts on.
const KNOTS: usize = 32;
const FIRST: f64 = 100.0;
const RATIO: f64 = 1.25;
/// Exactly resolved small counts; beyond them a gene counts with its expected value.
const SMALL: usize = 8;
/// Mitochondrial genes and MALAT1 that are looked at one by one (a human has fifteen and one).
const SPECIAL: usize = 24;

/// Columns of a cells table, one value a row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Summaries {
    /// Entries above 0.
    pub n_genes_by_counts: Vec<u32>,
    /// Sum of counts.
    pub total_counts: Vec<u64>,
    /// ln(1 + total).
    pub log1p_total_counts: Vec<f64>,
    /// Counts of mitochondrial genes.
    pub total_counts_mt: Vec<u64>,
    /// Their share in percent.
    pub pct_counts_mt: Vec<f64>,
    /// Share of the fifty largest, percent.
    pub pct_counts_in_top_50_genes: Vec<f64>,
    /// Mean of the stored entries.
    pub expr_mean: Vec<f64>,
    /// Their standard deviation (ddof 0).
    pub expr_std: Vec<f64>,
    /// Their biased skewness.
    pub expr_skew: Vec<f64>,
    /// Their maximum.
    pub expr_max: Vec<f64>,
    /// Mean of ln(1 + counts per ten thousand) over the vocabulary.
    pub mean_log1p_cp10k: Vec<f64>,
}

/// The curves of every line, and the sum of its ordinary shares in each well next to the untreated sum.
#[derive(Clone, Debug)]
pub(super) struct Curves {
    curves: Vec<Vec<Knot>>,
    scales: Vec<Vec<f64>>,
}

/// Sums over the ordinary genes of a line at one rate.
#[derive(Clone, Copy, Debug, Default)]
struct Knot {
    genes: f64,
    squares: f64,
    cubes: f64,
    top: f64,
    largest: f64,
    /// Expected number of genes with exactly 1, 2, … counts.
    small: [f64; SMALL],
    /// Expected counts and number of genes beyond them.
    rest: (f64, f64),
}

impl Knot {
    fn between(&self, next: &Self, part: f64) -> Self {
        let mix = |a: f64, b: f64| a + (b - a) * part;
        let mut small = self.small;
        for (slot, b) in small.iter_mut().zip(next.small) {
            *slot = mix(*slot, b);
        }
        Self {
            genes: mix(self.genes, next.genes),
            squares: mix(self.squares, next.squares),
            cubes: mix(self.cubes, next.cubes),
            top: mix(self.top, next.top),
            largest: mix(self.largest, next.largest),
            small,
            rest: (mix(self.rest.0, next.rest.0), mix(self.rest.1, next.rest.1)),
        }
    }
}

impl Model {
    /// Rows of a cells table, in the order of `keys`.
    ///
    /// # Errors
    /// When a key names a well or line that the model does not have.
    pub fn summaries(&self, keys: &[CellKey]) -> Result<Summaries, &'static str> {
        let Curves { curves, scales } = self.curves.get_or_init(|| Curves {
            curves: self.lines.iter().map(curve).collect(),
            scales: self.scales().unwrap_or_default(),
        });
        let mut out = Summaries::default();
        for key in keys {
            let curve = curves.get(key.line as usize).ok_or(NO_LINE)?;
            let scale =
                scales.get(key.well as usize).and_then(|row| row.get(key.line as usize)).ok_or(NO_WELL)?;
            self.summarize(key, curve, *scale, &mut out)?;
        }
        Ok(out)
    }

    fn scales(&self) -> Result<Vec<Vec<f64>>, &'static str> {
        let mut factors = Vec::new();
        let mut scales = Vec::with_capacity(self.wells.len());
        for (well, _) in (0_u32..).zip(&self.wells) {
            self.gene_factors(well, &mut factors)?;
            let sum = |line: &Line| -> f64 {
                let changed: f64 = line.shares.iter().zip(&factors).map(|(s, f)| s * f).sum();
                changed / line.sum
            };
            scales.push(self.lines.iter().map(sum).collect());
        }
        Ok(scales)
    }

    fn summarize(
        &self,
        key: &CellKey,
        curve: &[Knot],
        scale: f64,
        out: &mut Summaries,
    ) -> Result<(), &'static str> {
        let mut cell = self.open_cell(key)?;
        let line = self.lines.get(key.line as usize).ok_or(NO_LINE)?;
        let mut special = [0.0; SPECIAL];
        let mut slots = special.iter_mut();
        let (mut mt, mut special_sum) = (0_u64, 0_u64);
        // One Poisson for all mitochondrial counts, dealt by their shares; one for MALAT1.
        for is_mt in [true, false] {
            let genes = self.special.iter().zip(&line.special);
            let chosen = genes.filter(|(gene, _)| (gene.kind == MITOCHONDRIAL) == is_mt);
            let sum: f64 = chosen.clone().map(|(_, share)| *share).sum();
            let mean = cell.rate * sum * if is_mt { cell.mt } else { cell.malat1 };
            let count = self.rounded_poisson(&mut cell.random, mean);
            special_sum += u64::from(count);
            mt += if is_mt { u64::from(count) } else { 0 };
            for ((_, share), slot) in chosen.zip(slots.by_ref()) {
                *slot = f64::from(whole(f64::from(count) * share / sum));
            }
        }
        let power = |p: i32| special.iter().map(|count| count.powi(p)).sum::<f64>();
        let (mut squares, mut cubes) = (power(2), power(3));
        let n_special = special.iter().map(|count| u32::from(*count > 0.0)).sum::<u32>();
        let largest: f64 = special.iter().copied().fold(0.0, f64::max);
        let knot = look_up(curve, cell.rate * scale);
        let mean = line.sum * cell.rate * scale;
        let ordinary = self.rounded_poisson(&mut cell.random, mean).max(1);
        let genes = whole(knot.genes + 0.7 * knot.genes.sqrt() * cell.random.normal());
        let n_genes = genes.clamp(1, ordinary) + n_special;
        let total = u64::from(ordinary) + special_sum;
        let (n, sum) = (f64::from(n_genes), total as f64);
        let noise = |random: &mut Random| 1.0 + 0.03 * random.bounded_normal();
        squares += knot.squares * noise(&mut cell.random);
        cubes += knot.cubes * noise(&mut cell.random);
        let average = sum / n;
        let variance = (squares / n - average * average).max(0.25);
        let third = cubes / n - 3.0 * average * squares / n + 2.0 * average * average * average;
        let top = (knot.top * noise(&mut cell.random) + special_sum as f64 * 0.97).min(sum);
        let peak = largest.max(knot.largest * noise(&mut cell.random)).max(1.0);
        out.n_genes_by_counts.push(n_genes);
        out.total_counts.push(total);
        out.log1p_total_counts.push(libm::log1p(sum));
        out.total_counts_mt.push(mt);
        out.pct_counts_mt.push(100.0 * mt as f64 / sum);
        out.pct_counts_in_top_50_genes.push(100.0 * top / sum);
        out.expr_mean.push(average);
        out.expr_std.push(variance.sqrt());
        out.expr_skew.push(third / (variance * variance.sqrt()));
        out.expr_max.push(f64::from(whole(peak)).min(sum));
        let logs = self.log_mean(&knot, sum, &special);
        out.mean_log1p_cp10k.push(logs);
        Ok(())
    }

    /// The rounded normal from 30 on: a shape is wanted here, not the exact law.
    fn rounded_poisson(&self, random: &mut Random, mean: f64) -> u32 {
        if mean > 30.0 {
            whole(mean + mean.sqrt() * random.normal())
        } else {
            self.exponential.poisson(random, mean)
        }
    }

    fn log_mean(&self, knot: &Knot, total: f64, special: &[f64]) -> f64 {
        let unit = 1e4 / total;
        let small = (1_u32..).zip(knot.small).map(|(count, n)| n * libm::log1p(f64::from(count) * unit));
        let rest =
            if knot.rest.1 > 0.0 { knot.rest.1 * libm::log1p(knot.rest.0 / knot.rest.1 * unit) } else { 0.0 };
        let seen = special.iter().filter(|count| **count > 0.0);
        let large = seen.map(|count| libm::log1p(count * unit));
        (small.sum::<f64>() + rest + large.sum::<f64>()) / self.n_genes as f64
    }
}

fn look_up(curve: &[Knot], rate: f64) -> Knot {
    let mut low = FIRST;
    for pair in curve.windows(2) {
        let [here, next] = pair else { continue };
        if rate < low * RATIO {
            return here.between(next, ((rate - low) / (low * (RATIO - 1.0))).max(0.0));
        }
        low *= RATIO;
    }
    curve.last().copied().unwrap_or_default()
}

fn curve(line: &Line) -> Vec<Knot> {
    // Genes of like share are one: 16 steps an octave keep the shares to 2 %.
    let mut sorted = line.shares.clone();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let mut groups: Vec<(f64, f64)> = Vec::new();
    let mut border = f64::INFINITY;
    for share in &sorted {
        match groups.last_mut() {
            Some((sum, n)) if *share > border => {
                *sum += share;
                *n += 1.0;
            }
            _ => {
                groups.push((*share, 1.0));
                border = share / 1.044;
            }
        }
    }
    let top: f64 = sorted.iter().take(50).sum();
    let first = sorted.first().copied().unwrap_or(0.0);
    let mut rate = FIRST;
    let mut knots = Vec::with_capacity(KNOTS);
    for _ in 0..KNOTS {
        knots.push(knot(&groups, rate, top, first));
        rate *= RATIO;
    }
    knots
}

fn knot(groups: &[(f64, f64)], rate: f64, top: f64, first: f64) -> Knot {
    let mut knot = Knot { top: rate * top, largest: rate * first, ..Knot::default() };
    for &(sum, n) in groups {
        let mean = rate * sum / n;
        let none = libm::exp(-mean);
        knot.genes += n * (1.0 - none);
        knot.squares += n * mean * (mean + 1.0);
        knot.cubes += n * mean * (mean * mean + 3.0 * mean + 1.0);
        let (mut chance, mut seen, mut counts) = (none, none, 0.0);
        for (count, slot) in (1_u32..).zip(knot.small.iter_mut()) {
            chance *= mean / f64::from(count);
            *slot += n * chance;
            seen += chance;
            counts += chance * f64::from(count);
        }
        knot.rest.0 += n * (mean - counts).max(0.0);
        knot.rest.1 += n * (1.0 - seen).max(0.0);
    }
    knot
}
