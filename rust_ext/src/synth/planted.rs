//! How planted values are drawn: each line, drug, well and gene from a stream of its own name.

use super::BLOCKS;
use super::model::{Drug, Gene, Line, Spec, Well, WellTruth};
use super::random::{Random, mix, text_key};

const BASE: u64 = 1;
const LINE: u64 = 2;
const DRUG: u64 = 3;
const WELL: u64 = 4;

/// Kinds of genes, told by the caller: 0 is never seen.
pub(super) const CODING: u8 = 1;
pub(super) const NONCODING: u8 = 2;
pub(super) const MITOCHONDRIAL: u8 = 3;
const MALAT1: u8 = 4;

/// Spread of log abundance and share of silent genes, tuned with `median_counts` 1,900 and
/// `counts_spread` 0.6 to the measured cells: 75–87 % ones, about 1,450 entries, median 1,300.
const SPREAD: [(u8, f64, f64, f64); 4] = [
    // kind, share of all counts, sd of log abundance, share of silent genes
    (CODING, 0.78, 1.65, 0.05),
    (NONCODING, 0.12, 2.0, 0.5),
    (MITOCHONDRIAL, 0.04, 1.0, 0.0),
    (MALAT1, 0.06, 0.0, 0.0),
];

pub(super) fn base_genes(spec: &Spec) -> Vec<Gene> {
    let rows = spec.tokens.iter().zip(&spec.kinds).enumerate();
    rows.map(|(index, (&token, &kind))| {
        let mut random = Random::of(spec.seed, BASE, u64::from(token));
        let (spread, silent) =
            SPREAD.iter().find(|row| row.0 == kind).map_or((0.0, 1.0), |row| (row.2, row.3));
        let base =
            if random.uniform() < silent { f64::NEG_INFINITY } else { spread * random.bounded_normal() };
        // The block hangs on the token alone: the same in every atlas.
        let block = usize::from((mix(u64::from(token)) & 0xff) as u8) % BLOCKS;
        Gene { index, token, kind, block, base }
    })
    .collect()
}

pub(super) fn draw_line(spec: &Spec, id: &str, axis: &[Gene], special: &[Gene]) -> Line {
    let mut random = Random::of(spec.seed, LINE, text_key(id));
    let depth = 0.2 * spec.effects.line * random.normal();
    let mt = 0.3 * spec.effects.line * random.normal();
    let mut shares: Vec<f64> =
        axis.iter().map(|gene| libm::exp(gene.base + spec.effects.line * random.bounded_normal())).collect();
    let mut rest: Vec<f64> = special.iter().map(|gene| libm::exp(gene.base)).collect();
    for (kind, part, _, _) in SPREAD {
        scale(&mut shares, axis, kind, part);
        scale(&mut rest, special, kind, part);
    }
    Line { depth, mt, sum: shares.iter().sum(), shares, special: rest }
}

/// Let the shares of the genes of a kind add up to its part of all counts.
fn scale(shares: &mut [f64], genes: &[Gene], kind: u8, part: f64) {
    let chosen = |gene: &Gene| gene.kind == kind;
    let sum: f64 = shares.iter().zip(genes).filter(|(_, g)| chosen(g)).map(|(s, _)| *s).sum();
    for (share, _) in shares.iter_mut().zip(genes).filter(|(_, gene)| chosen(gene)) {
        *share *= part / sum;
    }
}

pub(super) fn draw_drug(spec: &Spec, name: &str, axis: &[Gene]) -> Drug {
    if name == "DMSO_TF" {
        return Drug { ec50_um: 1.0, ..Drug::default() };
    }
    let key = text_key(name);
    let mut random = Random::of(spec.seed, DRUG, key);
    let ec50_um = 0.5 * libm::exp(random.normal());
    let depth = -0.3 * spec.effects.drug * random.normal().abs();
    let mt = 0.4 * spec.effects.drug * random.normal();
    let mut genes = Vec::new();
    for (place, gene) in axis.iter().enumerate() {
        let mut random = Random::of(spec.seed, DRUG, key ^ mix(u64::from(gene.token)));
        if spec.effects.drug > 0.0 && random.uniform() < spec.effects.drug_genes {
            genes.push((place, spec.effects.drug * random.bounded_normal()));
        }
    }
    Drug { ec50_um, depth, mt, genes }
}

pub(super) fn draw_well(spec: &Spec, well: &Well, drug: usize, ec50_um: f64) -> WellTruth {
    let mut random = Random::of(spec.seed, WELL, text_key(&well.sample));
    let size = spec.effects.well;
    let control = well.drug == "DMSO_TF" || well.dose_um <= 0.0;
    WellTruth {
        drug,
        response: if control { 0.0 } else { well.dose_um / (well.dose_um + ec50_um) },
        depth: size * random.normal(),
        mt: size * random.normal(),
        blocks: (0..BLOCKS).map(|_| size * random.normal()).collect(),
    }
}
