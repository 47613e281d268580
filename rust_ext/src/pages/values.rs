//! The values of measured rows, as codes.

use super::{ColumnPages, Values};
use crate::error::{Code, Defect, Result};
use crate::hybrid::Piece;
use crate::wide::fill_wide;

impl ColumnPages {
    /// Appends the codes of the next `n` values of measured rows.
    ///
    /// # Errors
    /// `E_DECODE` where the page holds fewer values than its levels say.
    pub fn codes(&mut self, n: usize, out: &mut Vec<u32>) -> Result<()> {
        let start = out.len();
        out.resize(start.saturating_add(n), 0);
        let mut rest = out.get_mut(start..).unwrap_or_default();
        while !rest.is_empty() {
            let take = self.front(rest.len())?;
            let Some((head, tail)) = rest.split_at_mut_checked(take) else {
                break;
            };
            if let Some(page) = self.pages.front_mut() {
                match &mut page.values {
                    Values::Indices(indices) => fill_wide(indices, head)?,
                    Values::Plain(plain) => plain.intern(head, &mut self.dictionary, &self.limits)?,
                }
                page.ready = page.ready.saturating_sub(take);
            }
            rest = tail;
        }
        Ok(())
    }

    /// Hands the codes of the next `n` values to `visit`, runs as runs.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn visit(&mut self, mut n: usize, mut visit: impl FnMut(Piece<'_>)) -> Result<()> {
        while n > 0 {
            let take = self.front(n)?;
            if let Some(page) = self.pages.front_mut() {
                match &mut page.values {
                    Values::Indices(indices) => indices.visit(take, &mut visit)?,
                    Values::Plain(plain) => {
                        self.scratch.clear();
                        self.scratch.resize(take, 0);
                        plain.intern(&mut self.scratch, &mut self.dictionary, &self.limits)?;
                        visit(Piece::Each(&self.scratch));
                    }
                }
                page.ready = page.ready.saturating_sub(take);
            }
            n = n.saturating_sub(take);
        }
        Ok(())
    }

    /// Passes over the next `n` values.
    ///
    /// # Errors
    /// As [`Self::codes`].
    pub fn skip(&mut self, mut n: usize) -> Result<()> {
        while n > 0 {
            let take = self.front(n)?;
            if let Some(page) = self.pages.front_mut() {
                match &mut page.values {
                    Values::Indices(indices) => indices.skip(take)?,
                    Values::Plain(plain) => plain.skip(take)?,
                }
                page.ready = page.ready.saturating_sub(take);
            }
            n = n.saturating_sub(take);
        }
        Ok(())
    }

    /// How many of `n` values the front page can give; used-up pages are dropped.
    fn front(&mut self, n: usize) -> Result<usize> {
        loop {
            match self.pages.front() {
                Some(page) if page.ready > 0 => return Ok(page.ready.min(n)),
                Some(_) if self.pages.len() > 1 => {
                    self.pages.pop_front();
                }
                _ => {
                    return Err(Defect::new(Code::Decode, "values are asked for that were not measured"));
                }
            }
        }
    }
}
