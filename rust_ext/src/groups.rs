//! One row of exact sums a gene of each group of cells.
//!
//! Rows come as they lie in the shards, groups by turns. They wait in a buffer until there are enough of them
//! that those of one group can be added one after another, its sums in the cache. Everything is whole numbers:
//! neither the size of the buffer nor what was spilled to disk in between changes a bit.

mod buffer;
mod lines;
mod part;
mod spill;
mod terms;
#[cfg(test)]
mod tests;

use std::sync::Arc;

use self::buffer::Buffer;
pub use self::lines::GroupGene;
use self::lines::SHELF;
pub(crate) use self::lines::{Lines, Packed, add_tile};
use self::part::GroupTable;
use self::spill::{Spill, Spilled};
use self::terms::{ROWS, Terms};
use crate::chosen::{Choice, ChosenRow, Taken, read_chosen};
use crate::error::{Code, Defect, Failure};
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
    /// Columns of the part that was written before.
    table: GroupTable,
    terms: Terms,
    /// Whether nothing failed half-way.
    sound: bool,
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
            table: GroupTable::default(),
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
        self.table = GroupTable::default();
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
        let mut rows = Vec::with_capacity(ROWS);
        for pieces in buffer.pieces.chunk_by(|a, b| a.place == b.place) {
            let Some(place) = pieces.first().map(|piece| piece.place) else { continue };
            let before = self.places.get_mut(place).and_then(Option::take);
            if before.is_none() && (self.held >= self.memory_bytes || self.spill.has(place)) {
                self.spill.write_rows(place, &buffer, pieces)?;
                continue;
            }
            self.held = self.held.saturating_sub(before.as_ref().map_or(0, |lines| lines.bytes()));
            let mut lines = before.unwrap_or_else(|| Box::new(self.make_lines(place)));
            for pieces in pieces.chunks(ROWS) {
                rows.clear();
                rows.extend(
                    pieces.iter().map(|piece| (buffer.bins(piece), piece.total, buffer.entries(piece))),
                );
                self.terms.add(&rows, &mut lines);
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
                Spilled::Row(total, bins, entries) => terms.add(&[(bins, total, entries)], &mut lines),
            })?;
            lines.each(|gene, sums| genes.push((gene, *sums)));
        }
        if let Some(lines) = self.places.get(place).and_then(Option::as_ref) {
            lines.each(|gene, sums| genes.push((gene, *sums)));
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
        let mut table = std::mem::take(&mut self.table);
        table.reserve(rows);
        let (mut genes, vocabulary) = (Vec::new(), self.vocabulary());
        for (local, id) in groups {
            let local = *local as usize;
            let Some(cells) = self.cells.get(local).copied() else {
                return Err(changed(format!("there is no group {local}")).into());
            };
            for shelf in 0..self.shelves {
                let place = local.saturating_mul(self.shelves).saturating_add(shelf);
                let tokens = vocabulary.tokens().get(shelf.saturating_mul(SHELF)..).unwrap_or_default();
                let token = |gene: u16| tokens.get(usize::from(gene)).copied().unwrap_or_default();
                if self.spill.has(place) {
                    self.gather(place, &mut genes)?;
                    for same in genes.chunk_by(|a, b| a.0 == b.0) {
                        let (mut sums, mut last) = (GroupGene::default(), 0);
                        for (gene, part) in same {
                            sums.merge(part);
                            last = *gene;
                        }
                        table.push(*id, token(last), cells, &sums)?;
                    }
                } else if let Some(lines) = self.places.get(place).and_then(Option::as_ref) {
                    let mut pushed = Ok(());
                    lines.each(|gene, sums| {
                        if pushed.is_ok() {
                            pushed = table.push(*id, token(gene), cells, sums);
                        }
                    });
                    pushed?;
                }
            }
        }
        let table = table.into_table();
        let facts = write_part(path, &table)?;
        self.table = GroupTable::recycle(table);
        Ok(facts)
    }
}

fn changed(reason: impl Into<String>) -> Defect {
    Defect::new(Code::InputChanged, reason)
}
