//! The genes of a data set and the short joins of a cell: what a token, a line or a well means.

use std::collections::HashMap;

use crate::error::{Code, Defect, Result};

/// The token of the marker entry that opens a Tahoe row.
pub const MARKER_TOKEN: i64 = 1;
/// Dense index of the marker token.
pub const MARKER: u32 = u32::MAX - 2;
/// Dense index of a code that its dictionary does not have.
pub const BEYOND: u32 = u32::MAX - 1;
/// Dense index of a token outside the vocabulary.
pub const OUTSIDE: u32 = u32::MAX;
/// Tokens beyond this are looked up by searching instead of in a table.
const TABLE: usize = 1 << 22;

/// Token ids in ascending order; the position of a token is its dense index.
#[derive(Default)]
pub struct Vocabulary {
    tokens: Vec<i64>,
    mitochondrial: Vec<bool>,
    table: Vec<u32>,
    span: (u32, u32),
}

impl Vocabulary {
    /// Takes ascending, unique tokens of at least 3 and whether each is a mitochondrial gene.
    ///
    /// # Errors
    /// `E_TOKEN_RANGE` where they are not.
    pub fn new(tokens: Vec<i64>, mitochondrial: Vec<bool>) -> Result<Self> {
        let wrong = |reason: &str| Err(Defect::new(Code::TokenRange, format!("a vocabulary {reason}")));
        if tokens.len() != mitochondrial.len() {
            return wrong("of tokens and flags of different length");
        }
        if tokens.first().is_some_and(|t| *t < 3) || !tokens.is_sorted_by(|a, b| a < b) {
            return wrong("must hold unique tokens in ascending order, from 3 on");
        }
        if tokens.len() >= (1 << 24) {
            return wrong("of more than 16 million genes");
        }
        let mut table = Vec::new();
        for (index, token) in (0_u32..).zip(&tokens) {
            let Ok(at) = usize::try_from(*token) else {
                continue;
            };
            if at < TABLE {
                table.resize(at.saturating_add(1), OUTSIDE);
                if let Some(slot) = table.get_mut(at) {
                    *slot = index;
                }
            }
        }
        if let Some(slot) = usize::try_from(MARKER_TOKEN).ok().and_then(|at| table.get_mut(at)) {
            *slot = MARKER;
        }
        let flagged = || (0_u32..).zip(&mitochondrial).filter(|(_, m)| **m).map(|(i, _)| i);
        let span = (flagged().next().unwrap_or(0), flagged().last().map_or(0, |i| i.saturating_add(1)));
        Ok(Self { tokens, mitochondrial, table, span })
    }

    /// Number of genes.
    #[must_use]
    pub fn len(&self) -> usize {
        self.tokens.len()
    }

    /// Whether there is no gene.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tokens.is_empty()
    }

    /// Token ids in order of the dense index.
    #[must_use]
    pub fn tokens(&self) -> &[i64] {
        &self.tokens
    }

    /// The dense index of a token, [`MARKER`] or [`OUTSIDE`].
    #[must_use]
    pub fn dense(&self, token: i64) -> u32 {
        if token == MARKER_TOKEN {
            return MARKER;
        }
        match usize::try_from(token) {
            Ok(at) if at < TABLE => self.table.get(at).copied().unwrap_or(OUTSIDE),
            _ => {
                self.tokens.binary_search(&token).ok().and_then(|i| u32::try_from(i).ok()).unwrap_or(OUTSIDE)
            }
        }
    }

    /// Whether the gene at a dense index is mitochondrial.
    #[must_use]
    pub fn is_mitochondrial(&self, dense: u32) -> bool {
        self.mitochondrial.get(dense as usize).copied().unwrap_or(false)
    }

    /// First mitochondrial index, and one past the last.
    #[must_use]
    pub fn mitochondrial_span(&self) -> (u32, u32) {
        self.span
    }
}

/// What is joined to a cell by its line and its well.
#[derive(Default)]
pub struct Joins {
    /// Name of a cell line by its id.
    pub cell_names: HashMap<String, String>,
    /// Dose in micromole per litre by sample.
    pub doses_um: HashMap<String, f64>,
}
