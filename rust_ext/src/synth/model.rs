//! The planted values: profiles of lines, effects of drugs and wells.

use super::planted::{CODING, MITOCHONDRIAL, NONCODING, base_genes, draw_drug, draw_line, draw_well};
use super::random::Exponential;
use super::summary::Curves;
use std::sync::OnceLock;

/// Sizes of the effects; 0 = none.
#[derive(Clone, Copy, Debug)]
pub struct Effects {
    /// sd of a line's log shares around the common ones.
    pub line: f64,
    /// sd of a drug's log2 fold changes, at full response, on the genes it moves.
    pub drug: f64,
    /// sd of a well's log shifts.
    pub well: f64,
    /// Share of the genes that a drug moves.
    pub drug_genes: f64,
    /// Median library size, counts.
    pub median_counts: f64,
    /// sd of log library size.
    pub counts_spread: f64,
}

/// One well: its sample id, its drug and dose.
#[derive(Clone, Debug)]
pub struct Well {
    /// `smp_1783`.
    pub sample: String,
    /// Drug name; `DMSO_TF` is the control and does nothing.
    pub drug: String,
    /// Dose in micromole a litre.
    pub dose_um: f64,
}

/// What a model is made of.
#[derive(Clone, Debug)]
pub struct Spec {
    /// Seed of everything.
    pub seed: u64,
    /// Token ids of the genes, ascending.
    pub tokens: Vec<u32>,
    /// Kind of each gene: 0 never seen, 1 coding, 2 non-coding, 3 mitochondrial, 4 MALAT1.
    pub kinds: Vec<u8>,
    /// Ids of the cell lines.
    pub lines: Vec<String>,
    /// The wells.
    pub wells: Vec<Well>,
    /// Sizes of the effects.
    pub effects: Effects,
    /// Whether a row starts with the marker (token 1, −2.0).
    pub marker: bool,
}

/// A gene's place: index in the vocabulary, token id.
#[derive(Clone, Copy, Debug)]
pub(super) struct Gene {
    pub index: usize,
    pub token: u32,
    pub kind: u8,
    pub block: usize,
    /// Log abundance; minus infinity for a silent gene.
    pub base: f64,
}

/// The planted values of a line.
#[derive(Clone, Debug)]
pub struct Line {
    /// Shift of log depth.
    pub depth: f64,
    /// Shift of the log mitochondrial share.
    pub mt: f64,
    /// Sum of the ordinary genes' shares.
    pub(super) sum: f64,
    /// Shares of the ordinary genes, in the order of the model's axis.
    pub(super) shares: Vec<f64>,
    /// Shares of mitochondrial genes and MALAT1.
    pub(super) special: Vec<f64>,
}

/// The planted values of a drug.
#[derive(Clone, Debug, Default)]
pub struct Drug {
    /// Dose of half the effect, micromole a litre.
    pub ec50_um: f64,
    /// Shift of log depth at full response.
    pub depth: f64,
    /// Shift of the log mitochondrial share at full response.
    pub mt: f64,
    /// (place on the model's axis, log2 fold change at full response).
    pub(super) genes: Vec<(usize, f64)>,
}

/// The planted values of a well.
#[derive(Clone, Debug)]
pub struct WellTruth {
    /// Index of the drug in the model's drugs.
    pub drug: usize,
    /// Share of the full response that its dose reaches.
    pub response: f64,
    /// Shift of log depth (the well's own, without its drug's).
    pub depth: f64,
    /// Shift of the log mitochondrial share (its own).
    pub mt: f64,
    /// Log shift of each block of genes.
    pub blocks: Vec<f64>,
}

/// Everything planted, ready to draw cells from.
#[derive(Clone, Debug)]
pub struct Model {
    pub(super) seed: u64,
    pub(super) effects: Effects,
    pub(super) marker: bool,
    pub(super) axis: Vec<Gene>,
    pub(super) special: Vec<Gene>,
    /// Token ids along the axis: all that drawing needs of it.
    pub(super) tokens: Vec<u32>,
    pub(super) lines: Vec<Line>,
    pub(super) drugs: Vec<Drug>,
    pub(super) wells: Vec<WellTruth>,
    pub(super) exponential: Exponential,
    pub(super) n_genes: usize,
    /// Set up by the first call for summaries.
    pub(super) curves: OnceLock<Curves>,
}

impl Model {
    /// Draw the planted values.
    ///
    /// # Errors
    /// When the genes' columns do not fit together, an effect is not a finite number of its range,
    /// or there is no gene, line or well.
    pub fn new(spec: &Spec) -> Result<Self, &'static str> {
        check(spec)?;
        let genes = base_genes(spec);
        let n_genes = genes.len();
        let (special, axis): (Vec<Gene>, Vec<Gene>) = genes
            .into_iter()
            .filter(|gene| gene.base.is_finite())
            .partition(|gene| gene.kind >= MITOCHONDRIAL);
        let lines = spec.lines.iter().map(|id| draw_line(spec, id, &axis, &special)).collect();
        let mut names: Vec<&str> = Vec::new();
        let mut drugs = Vec::new();
        let mut wells = Vec::new();
        for well in &spec.wells {
            let drug = names.iter().position(|name| *name == well.drug).unwrap_or_else(|| {
                names.push(&well.drug);
                drugs.push(draw_drug(spec, &well.drug, &axis));
                names.len() - 1
            });
            let ec50 = drugs.get(drug).map_or(1.0, |found: &Drug| found.ec50_um);
            wells.push(draw_well(spec, well, drug, ec50));
        }
        let tokens = axis.iter().map(|gene| gene.token).collect();
        Ok(Self {
            tokens,
            seed: spec.seed,
            effects: spec.effects,
            marker: spec.marker,
            axis,
            special,
            lines,
            drugs,
            wells,
            exponential: Exponential::default(),
            n_genes,
            curves: OnceLock::new(),
        })
    }

    /// The planted values of the lines, in the order given.
    #[must_use]
    pub fn lines(&self) -> &[Line] {
        &self.lines
    }

    /// The planted values of the drugs, in the order of their first well.
    #[must_use]
    pub fn drugs(&self) -> &[Drug] {
        &self.drugs
    }

    /// The planted values of the wells, in the order given.
    #[must_use]
    pub fn wells(&self) -> &[WellTruth] {
        &self.wells
    }

    /// The share of each gene of the vocabulary in a line's untreated counts; 0 for silent genes.
    #[must_use]
    pub fn shares(&self, line: &Line) -> Vec<f64> {
        let mut shares = vec![0.0; self.n_genes];
        let ordinary = self.axis.iter().zip(&line.shares);
        for (gene, share) in ordinary.chain(self.special.iter().zip(&line.special)) {
            if let Some(slot) = shares.get_mut(gene.index) {
                *slot = *share;
            }
        }
        shares
    }

    /// The genes that a drug moves: (token id, log2 fold change at full response), ascending.
    #[must_use]
    pub fn fold_changes(&self, drug: &Drug) -> Vec<(u32, f64)> {
        let moved = drug.genes.iter();
        moved.filter_map(|&(place, lfc)| Some((self.axis.get(place)?.token, lfc))).collect()
    }

    /// The block of each gene that takes part in the well effect: (token id, block), ascending.
    #[must_use]
    pub fn blocks(&self) -> Vec<(u32, usize)> {
        self.axis.iter().map(|gene| (gene.token, gene.block)).collect()
    }
}

fn check(spec: &Spec) -> Result<(), &'static str> {
    let effects = &spec.effects;
    if spec.tokens.len() != spec.kinds.len() {
        return Err("tokens and kinds must be equally long");
    }
    if !spec.tokens.is_sorted_by(|a, b| a < b) || spec.tokens.first().is_some_and(|t| *t < 3) {
        return Err("token ids must ascend from 3 or more");
    }
    if spec.lines.is_empty() || spec.wells.is_empty() {
        return Err("a model needs a line and a well");
    }
    if !spec.kinds.iter().any(|kind| matches!(*kind, CODING | NONCODING)) {
        return Err("a model needs a coding or non-coding gene");
    }
    let sizes = [effects.line, effects.drug, effects.well, effects.counts_spread];
    if !sizes.iter().all(|size| (0.0..=5.0).contains(size)) {
        return Err("effects and the spread of counts must be within 0 and 5");
    }
    if !(0.0..=1.0).contains(&effects.drug_genes) {
        return Err("the share of genes that a drug moves must be within 0 and 1");
    }
    if !(1.0..=1e6).contains(&effects.median_counts) {
        return Err("the median library size must be within 1 and 1,000,000");
    }
    if !spec.wells.iter().all(|well| (0.0..=1e9).contains(&well.dose_um)) {
        return Err("doses must be finite and not negative");
    }
    Ok(())
}
