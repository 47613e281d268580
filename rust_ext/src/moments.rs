//! One row of statistics a cell, from its spectrum.
//!
//! Counts are summed as integers, so the sums are exact for any order and any encoding. Real numbers
//! appear in the last step only, in an order fixed by the values themselves.

use crate::cells::Row;
use crate::spectrum::Bin;
use crate::vocabulary::Vocabulary;

/// Fixed point of log1p(CP10k): multiples of 2⁻⁴⁰.
pub const LOG_SCALE: f64 = 1_099_511_627_776.0;
/// Fixed point of CP10k: multiples of 2⁻³⁶.
pub const CP_SCALE: f64 = 68_719_476_736.0;
/// Counts are scaled to this many molecules a cell.
pub const TARGET: f64 = 10_000.0;
/// The genes of `pct_counts_in_top_50_genes`.
const TOP: u64 = 50;

/// CP10k of `value` molecules out of `total`.
#[inline]
#[must_use]
pub fn cp10k(value: u32, total: u64) -> f64 {
    f64::from(value) * TARGET / total as f64
}

/// A non-negative real in fixed point, rounded once.
#[inline]
#[must_use]
#[allow(
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "between 0 and 2^50 by construction"
)]
pub fn quantize(value: f64, scale: f64) -> u64 {
    libm::rint(value * scale) as u64
}

/// A count scaled by the total of its cell, in fixed point.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Scaled {
    /// CP10k in multiples of 1 / [`CP_SCALE`].
    pub cp: u64,
    /// log1p(CP10k) in multiples of 1 / [`LOG_SCALE`].
    pub log: u64,
    /// log1p(CP10k) before it was rounded to fixed point.
    pub real_log: f64,
}

/// Scales each bin of a spectrum; a cell without counts scales to zeros.
pub fn scale(spectrum: &[Bin], total: u64, out: &mut Vec<Scaled>) {
    out.clear();
    out.extend(spectrum.iter().map(|bin| {
        if bin.value == 0 || total == 0 {
            return Scaled::default();
        }
        let cp = cp10k(bin.value, total);
        let log = libm::log1p(cp);
        Scaled { cp: quantize(cp, CP_SCALE), log: quantize(log, LOG_SCALE), real_log: log }
    }));
}

/// What the values alone tell of a cell (`--stats summary`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Summary {
    /// Sum of the counts.
    pub total_counts: u64,
    /// Stored entries without the marker.
    pub expr_len: u32,
    /// Mean of the stored entries; none for an empty cell.
    pub expr_mean: Option<f64>,
    /// Standard deviation with ddof 0.
    pub expr_std: Option<f64>,
    /// Biased skewness g1; none where the standard deviation is 0.
    pub expr_skew: Option<f64>,
    /// Largest entry.
    pub expr_max: Option<f64>,
}

/// What the genes and the values together tell (`--stats qc` and `all`).
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Quality {
    /// Entries above zero.
    pub n_genes_by_counts: u32,
    /// ln(1 + total).
    pub log1p_total_counts: f64,
    /// Counts of mitochondrial genes.
    pub total_counts_mt: u64,
    /// Their share in percent; none for an empty cell.
    pub pct_counts_mt: Option<f64>,
    /// Share of the fifty largest entries in percent; none for an empty cell.
    pub pct_counts_in_top_50_genes: Option<f64>,
    /// Mean of log1p(CP10k) over the whole vocabulary.
    pub mean_log1p_cp10k: f64,
}

/// The summary of a row.
#[must_use]
pub fn summarize(row: &Row<'_>) -> Summary {
    let n = u64::from(row.entries);
    let (mut sum, mut squares) = (0_u64, 0_u128);
    for bin in row.spectrum {
        let (value, times) = (u64::from(bin.value), u64::from(bin.times));
        // At most 2^18 entries of at most 2^32 each.
        sum = sum.wrapping_add(value.wrapping_mul(times));
        squares = squares.wrapping_add(u128::from(value.wrapping_mul(value)).wrapping_mul(u128::from(times)));
    }
    let empty = n == 0;
    let mean = sum as f64 / n as f64;
    // n²·variance is a whole number: n·Σv² − (Σv)², never negative.
    let spread =
        squares.wrapping_mul(u128::from(n)).wrapping_sub(u128::from(sum).wrapping_mul(u128::from(sum)));
    let std = libm::sqrt(spread as f64) / n as f64;
    let skew = (spread > 0).then(|| {
        let third: f64 = row
            .spectrum
            .iter()
            .map(|bin| {
                let away = f64::from(bin.value) - mean;
                f64::from(bin.times) * away * away * away
            })
            .sum();
        let variance = spread as f64 / (n as f64 * n as f64);
        third / n as f64 / (variance * libm::sqrt(variance))
    });
    let max = row.spectrum.last().map(|bin| f64::from(bin.value));
    Summary {
        total_counts: sum,
        expr_len: row.entries,
        expr_mean: (!empty).then_some(mean),
        expr_std: (!empty).then_some(std),
        expr_skew: skew,
        expr_max: if empty { None } else { max },
    }
}

/// The quality statistics of a row whose total is known; `scaled` are the bins of its spectrum.
#[must_use]
pub fn judge(
    row: &Row<'_>,
    total: u64,
    scaled: &[Scaled],
    values: &[u32],
    vocabulary: &Vocabulary,
) -> Quality {
    let zeros = row.oddities.zeros;
    let mito = mitochondrial(row, values, vocabulary);
    let share = |part: u64| (total > 0).then(|| 100.0 * part as f64 / total as f64);
    Quality {
        n_genes_by_counts: row.entries.saturating_sub(zeros),
        log1p_total_counts: libm::log1p(total as f64),
        total_counts_mt: mito,
        pct_counts_mt: share(mito),
        pct_counts_in_top_50_genes: share(top_counts(row.spectrum)),
        mean_log1p_cp10k: log_sum(row.spectrum, scaled) / vocabulary.len().max(1) as f64,
    }
}

/// Sum of log1p(CP10k) over the entries, in the order of the counts. Two codes may stand for one count
/// (a dictionary may repeat itself): they are put together first, so that the encoding does not show.
fn log_sum(spectrum: &[Bin], scaled: &[Scaled]) -> f64 {
    let (mut sum, mut last, mut times) = (0.0, (0, 0.0), 0_u64);
    for (bin, scaled) in spectrum.iter().zip(scaled) {
        if bin.value != last.0 {
            sum += times as f64 * last.1;
            (last, times) = ((bin.value, scaled.real_log), 0);
        }
        times = times.wrapping_add(u64::from(bin.times));
    }
    sum + times as f64 * last.1
}

/// Sum of the [`TOP`] largest entries.
fn top_counts(spectrum: &[Bin]) -> u64 {
    let (mut left, mut sum) = (TOP, 0_u64);
    for bin in spectrum.iter().rev() {
        let take = left.min(u64::from(bin.times));
        sum = sum.wrapping_add(take.wrapping_mul(u64::from(bin.value)));
        left = left.wrapping_sub(take);
        if left == 0 {
            break;
        }
    }
    sum
}

/// Counts of mitochondrial genes; `values` holds the count of a value code.
fn mitochondrial(row: &Row<'_>, values: &[u32], vocabulary: &Vocabulary) -> u64 {
    let (first, end) = vocabulary.mitochondrial_span();
    let (from, to) = if row.ascending {
        (row.genes.partition_point(|g| *g < first), row.genes.partition_point(|g| *g < end))
    } else {
        (0, row.genes.len())
    };
    let genes = row.genes.get(from..to).unwrap_or_default();
    let codes = row.codes.get(from..to).unwrap_or_default();
    genes
        .iter()
        .zip(codes)
        .filter(|(gene, _)| vocabulary.is_mitochondrial(**gene))
        .fold(0_u64, |sum, (_, code)| {
            sum.wrapping_add(u64::from(values.get(*code as usize).copied().unwrap_or(0)))
        })
}
