//! One row of exact sums a gene of each group of cells.
//!
//! Rows come as they lie in the shards, groups by turns. They wait in a buffer until there are enough of them
//! that those of one group can be added one after another, its sums in the cache. Everything is whole numbers:
//! neither the size of the buffer nor what was spilled to disk in between changes a bit.

mod buffer;
mod lines;
mod part;
mod spill;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::buffer::{Buffer, Piece};
pub use self::lines::GroupGene;
pub(crate) use self::lines::{Lines, add_packed};
use self::lines::{MOST, SHELF, contribution};
use self::part::GroupTable;
use self::spill::{Spill, Spilled};
use crate::chosen::{Choice, ChosenRow, Taken, read_chosen};
use crate::error::{Code, Defect, Failure};
use crate::genes::Line;
use crate::moments::{Scaled, scale};
use crate::spectrum::Bin;
use crate::store::Store;
use crate::table::{PartFacts, write_part};
use crate::vocabulary::Vocabulary;

/// Changes whenever a number of groups could.
pub const GROUPS_VERSION: &str = "groups1";
/// Entries that wait, four bytes each. With 400 groups by turns, reading and adding an entry of a shard of 28,224
/// cells took 37 ns where no row waits, 27 with 2²², 20 with 2²⁴, 17 with 2²⁵ and 16 with 2²⁶; 10 of one group.
pub const BATCH_ENTRIES: usize = 1 << 25;

/// Accumulates groups of cells over many shards.
pub struct GroupSums {
    vocabulary: Arc<Vocabulary>,
    /// Tables of genes a group.
    shelves: usize,
    batch_entries: usize,
    memory_bytes: usize,
    buffer: Buffer,
    /// By group, then shelf.
    places: Vec<Option<Box<Lines>>>,
    /// Rows added, by group.
    cells: Vec<u64>,
    /// Bytes of `places`.
    held: usize,
    spill: Spill,
    terms: Terms,
    /// Whether nothing failed half-way.
    sound: bool,
}

/// What each value code adds in the row at hand.
#[derive(Default)]
struct Terms {
    terms: Vec<Line>,
    scaled: Vec<Scaled>,
}

impl Terms {
    /// Adds a row of `total` counts with these bins.
    fn add(&mut self, bins: &[Bin], total: u64, entries: &[u32], lines: &mut Lines) {
        scale(bins, total, &mut self.scaled);
        let mut most = 0;
        for (bin, scaled) in bins.iter().zip(&self.scaled) {
            let code = bin.code as usize;
            if self.terms.len() <= code {
                self.terms.resize(code.saturating_add(1), Line::default());
            }
            if let Some(term) = self.terms.get_mut(code) {
                *term = contribution(bin.value, *scaled);
            }
            most = most.max(bin.value);
        }
        lines.add(&self.terms, entries);
        if most <= MOST {
            return;
        }
        for (bin, scaled) in bins.iter().zip(&self.scaled).filter(|(bin, _)| bin.value > MOST) {
            let sums = GroupGene::of(bin.value, *scaled);
            for entry in entries.iter().filter(|entry| **entry & 0xffff == bin.code) {
                lines.add_wide(u16::try_from(entry >> 16).unwrap_or(u16::MAX), &sums);
            }
        }
    }
}

impl GroupSums {
    /// For `n_groups` groups. What needs more than `memory_bytes` goes to a file at `spill`, which must not exist.
    #[must_use]
    pub fn new(
        vocabulary: Arc<Vocabulary>,
        n_groups: usize,
        memory_bytes: usize,
        batch_entries: usize,
        spill: String,
    ) -> Self {
        let shelves = vocabulary.len().div_ceil(SHELF).max(1);
        let mut places = Vec::new();
        places.resize_with(n_groups.saturating_mul(shelves), || None);
        Self {
            vocabulary,
            shelves,
            batch_entries,
            memory_bytes,
            buffer: Buffer::default(),
            places,
            cells: vec![0; n_groups],
            held: 0,
            spill: Spill::new(spill),
            terms: Terms::default(),
            sound: true,
        }
    }

    /// The genes.
    #[must_use]
    pub fn vocabulary(&self) -> Arc<Vocabulary> {
        Arc::clone(&self.vocabulary)
    }

    /// Number of groups.
    #[must_use]
    pub fn n_groups(&self) -> usize {
        self.cells.len()
    }

    /// Bytes that went to disk.
    #[must_use]
    pub fn spilled_bytes(&self) -> u64 {
        self.spill.size()
    }

    /// Adds the chosen rows of a shard to their groups; `totals` are their counts as the table of cells has them.
    ///
    /// # Errors
    /// As [`read_chosen`]; `E_INPUT_CHANGED` where a row has another total; `Failure::Output` where sums cannot be
    /// spilled. These sums are of no use then.
    pub fn add_shard(
        &mut self,
        choice: &Choice<'_>,
        store: &dyn Store,
        groups: &[u32],
        totals: &[u64],
    ) -> Result<Taken, Failure> {
        if groups.len() != choice.rows.len() || totals.len() != choice.rows.len() {
            return Err(changed("as many groups and totals as rows are needed").into());
        }
        self.begin()?;
        self.buffer.reserve(self.batch_entries)?;
        let taken = read_chosen(choice, store, |ChosenRow { at, row, counts }| {
            let group = groups.get(at).copied().unwrap_or(u32::MAX) as usize;
            let Some(cells) = self.cells.get_mut(group) else {
                return Err(changed(format!("there is no group {group}")).into());
            };
            *cells = cells.saturating_add(1);
            // At most 2^18 entries of at most 2^32 each.
            let total = row.spectrum.iter().fold(0_u64, |sum, bin| {
                sum.wrapping_add(u64::from(bin.value).wrapping_mul(u64::from(bin.times)))
            });
            if totals.get(at) != Some(&total) {
                return Err(changed("its counts are not those that the table of cells has").into());
            }
            self.buffer.push(group, self.shelves, total, &row, counts);
            if self.buffer.weight() >= self.batch_entries { self.flush() } else { Ok(()) }
        })?;
        self.sound = true;
        Ok(taken)
    }

    /// What fails from here on has been added in part.
    fn begin(&mut self) -> Result<(), Failure> {
        if !std::mem::take(&mut self.sound) {
            return Err(Defect::new(Code::Panic, "the sums of groups are asked for after an error").into());
        }
        Ok(())
    }

    /// Adds the rows that wait.
    fn flush(&mut self) -> Result<(), Failure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.sort();
        for pieces in buffer.pieces.chunk_by(|a, b| a.place == b.place) {
            let Some(place) = pieces.first().map(|piece| piece.place) else { continue };
            let before = self.places.get_mut(place).and_then(Option::take);
            if before.is_none() && (self.held >= self.memory_bytes || self.spill.has(place)) {
                self.spill.write_rows(place, &buffer, pieces)?;
                continue;
            }
            self.held = self.held.saturating_sub(before.as_ref().map_or(0, |lines| lines.bytes()));
            let mut lines = before.unwrap_or_else(|| Box::new(self.make_lines(place)));
            lines.warm(pieces.iter().map(Piece::len).sum());
            for piece in pieces {
                self.terms.add(buffer.bins(piece), piece.total, buffer.entries(piece), &mut lines);
            }
            let bytes = lines.bytes();
            if self.held.saturating_add(bytes) > self.memory_bytes {
                self.spill.write_sums(place, &lines)?;
            } else if let Some(slot) = self.places.get_mut(place) {
                *slot = Some(lines);
                self.held = self.held.saturating_add(bytes);
            }
        }
        buffer.clear();
        self.buffer = buffer;
        Ok(())
    }

    /// Empty sums of a place.
    fn make_lines(&self, place: usize) -> Lines {
        let before = place.checked_rem(self.shelves).unwrap_or(0).saturating_mul(SHELF);
        Lines::new(self.vocabulary.len().saturating_sub(before))
    }

    /// The sums of a place, wherever they are: genes ascending, one of them more than once.
    fn gather(&mut self, place: usize, genes: &mut Vec<(u16, GroupGene)>) -> Result<(), Failure> {
        genes.clear();
        if self.spill.has(place) {
            let (mut lines, terms) = (self.make_lines(place), &mut self.terms);
            self.spill.read(place, |spilled| match spilled {
                Spilled::Sums(gene, sums) => genes.push((gene, sums)),
                Spilled::Row(total, bins, entries) => terms.add(bins, total, entries, &mut lines),
            })?;
            lines.each(|gene, sums| genes.push((gene, sums)));
        }
        if let Some(lines) = self.places.get(place).and_then(Option::as_ref) {
            lines.each(|gene, sums| genes.push((gene, sums)));
        }
        // Each source ascends already.
        genes.sort_by_key(|(gene, _)| *gene);
        Ok(())
    }

    /// Writes the sums of some groups, each with the id it goes by: a row a gene that the group has.
    ///
    /// # Errors
    /// `E_VALUE_RANGE` where a sum does not fit its column, `Failure::Output` where the part cannot be written.
    pub fn write_part(&mut self, path: &str, groups: &[(u32, i32)]) -> Result<PartFacts, Failure> {
        self.begin()?;
        self.flush()?;
        self.sound = true;
        // The columns need the room.
        self.buffer = Buffer::default();
        let of = |(local, _): &(u32, i32)| {
            let place = (*local as usize).saturating_mul(self.shelves);
            self.places.get(place..place.saturating_add(self.shelves)).unwrap_or_default()
        };
        let rows = groups.iter().flat_map(of).flatten().map(|lines| lines.len()).sum();
        let mut table = GroupTable::with_capacity(rows);
        let mut genes = Vec::new();
        for (local, id) in groups {
            let local = *local as usize;
            let Some(cells) = self.cells.get(local).copied() else {
                return Err(changed(format!("there is no group {local}")).into());
            };
            for shelf in 0..self.shelves {
                let place = local.saturating_mul(self.shelves).saturating_add(shelf);
                self.gather(place, &mut genes)?;
                for same in genes.chunk_by(|a, b| a.0 == b.0) {
                    let mut sums = GroupGene::default();
                    let mut dense = shelf.saturating_mul(SHELF);
                    for (gene, part) in same {
                        sums.merge(part);
                        dense = shelf.saturating_mul(SHELF).saturating_add(usize::from(*gene));
                    }
                    let token = self.vocabulary.tokens().get(dense).copied().unwrap_or_default();
                    table.push(*id, token, cells, &sums)?;
                }
            }
        }
        write_part(path, &table.into_table())
    }
}

fn changed(reason: impl Into<String>) -> Defect {
    Defect::new(Code::InputChanged, reason)
}
