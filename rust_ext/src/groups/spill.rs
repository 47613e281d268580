//! What no longer fits into memory, on disk until its group is written.
//!
//! A group that has no sums in memory gets its rows here, four bytes an entry; one that outgrew the memory its
//! sums, once, and its further rows. So a row goes to disk at most once, however many groups there are.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;

use flate2::Crc;

use super::buffer::{Buffer, Piece};
use super::lines::{GroupGene, Lines};
use crate::error::Failure;
use crate::spectrum::Bin;
use crate::sums::GeneSums;

/// Gene, cells, counts, and five sums of 128 bits.
const RECORD: usize = 2 + 8 + 8 + 5 * 16;
/// Bytes of rows after which a slice ends.
const SLICE: usize = 1 << 22;

/// What a slice holds.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    Sums,
    Rows,
}

/// A stretch of the file that belongs to one place.
struct Slice {
    kind: Kind,
    offset: u64,
    bytes: usize,
    crc: u32,
}

/// What comes back.
pub(super) enum Spilled<'a> {
    /// A gene, once for each time that its place was spilled.
    Sums(u16, GroupGene),
    /// Total, bins and entries of a row.
    Row(u64, &'a [Bin], &'a [u32]),
}

/// One file without a name: nothing is left of it, however the process ends.
pub(super) struct Spill {
    path: String,
    file: Option<File>,
    size: u64,
    slices: BTreeMap<usize, Vec<Slice>>,
    buffer: Vec<u8>,
}

impl Spill {
    pub(super) fn new(path: String) -> Self {
        Self { path, file: None, size: 0, slices: BTreeMap::new(), buffer: Vec::new() }
    }

    /// Bytes written so far.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Whether anything of a place is here.
    pub(super) fn has(&self, place: usize) -> bool {
        self.slices.contains_key(&place)
    }

    fn refused(&self, error: std::io::Error) -> Failure {
        Failure::Output(error, self.path.clone())
    }

    /// Writes the sums of one place.
    pub(super) fn write_sums(&mut self, place: usize, lines: &Lines) -> Result<(), Failure> {
        lines.each(|gene, sums| write_record(gene, sums, &mut self.buffer));
        self.write(place, Kind::Sums)
    }

    /// Writes rows of one place.
    pub(super) fn write_rows(
        &mut self,
        place: usize,
        buffer: &Buffer,
        pieces: &[Piece],
    ) -> Result<(), Failure> {
        for piece in pieces {
            write_row(piece.total, buffer.bins(piece), buffer.entries(piece), &mut self.buffer);
            if self.buffer.len() >= SLICE {
                self.write(place, Kind::Rows)?;
            }
        }
        if self.buffer.is_empty() { Ok(()) } else { self.write(place, Kind::Rows) }
    }

    /// Writes what is in the buffer.
    fn write(&mut self, place: usize, kind: Kind) -> Result<(), Failure> {
        let file = match self.file.take() {
            Some(file) => file,
            None => self.open()?,
        };
        let mut crc = Crc::new();
        crc.update(&self.buffer);
        (&file).write_all(&self.buffer).map_err(|e| self.refused(e))?;
        self.file = Some(file);
        let slice = Slice { kind, offset: self.size, bytes: self.buffer.len(), crc: crc.sum() };
        self.size = self.size.saturating_add(slice.bytes as u64);
        self.slices.entry(place).or_default().push(slice);
        self.buffer.clear();
        Ok(())
    }

    fn open(&self) -> Result<File, Failure> {
        let open = OpenOptions::new().read(true).write(true).create_new(true).open(&self.path);
        let file = open.map_err(|e| self.refused(e))?;
        std::fs::remove_file(&self.path).map_err(|e| self.refused(e))?;
        Ok(file)
    }

    /// Hands what was spilled of one place to `visit`.
    pub(super) fn read(&self, place: usize, mut visit: impl FnMut(Spilled<'_>)) -> Result<(), Failure> {
        let (mut bytes, mut bins, mut entries) = (Vec::new(), Vec::new(), Vec::new());
        for slice in self.slices.get(&place).into_iter().flatten() {
            let Some(file) = &self.file else { break };
            bytes.clear();
            bytes.resize(slice.bytes, 0);
            file.read_exact_at(&mut bytes, slice.offset).map_err(|e| self.refused(e))?;
            let mut crc = Crc::new();
            crc.update(&bytes);
            if crc.sum() != slice.crc {
                return Err(self.refused(std::io::Error::other("the disk gave back other bytes than it got")));
            }
            let mut rest = bytes.as_slice();
            while !rest.is_empty() {
                visit(match slice.kind {
                    Kind::Sums => {
                        let (gene, sums) = read_record(&mut rest);
                        Spilled::Sums(gene, sums)
                    }
                    Kind::Rows => {
                        let total = read_row(&mut rest, &mut bins, &mut entries);
                        Spilled::Row(total, &bins, &entries)
                    }
                });
            }
        }
        Ok(())
    }
}

fn write_row(total: u64, bins: &[Bin], entries: &[u32], out: &mut Vec<u8>) {
    let length = |n: usize| u32::try_from(n).unwrap_or(u32::MAX).to_le_bytes();
    out.extend_from_slice(&total.to_le_bytes());
    out.extend_from_slice(&length(bins.len()));
    out.extend_from_slice(&length(entries.len()));
    for bin in bins {
        out.extend_from_slice(&bin.value.to_le_bytes());
        out.extend_from_slice(&bin.code.to_le_bytes());
    }
    out.extend(entries.iter().flat_map(|entry| entry.to_le_bytes()));
}

/// Gives the total of a row. How often a bin occurs is not kept: nothing here asks for it.
fn read_row(rest: &mut &[u8], bins: &mut Vec<Bin>, entries: &mut Vec<u32>) -> u64 {
    let total = u64::from_le_bytes(take(rest));
    let n_bins = u32::from_le_bytes(take(rest)) as usize;
    let n_entries = u32::from_le_bytes(take(rest)) as usize;
    bins.clear();
    for _ in 0..n_bins {
        let (value, code) = (u32::from_le_bytes(take(rest)), u32::from_le_bytes(take(rest)));
        bins.push(Bin { value, times: 0, code });
    }
    let (row, after) = rest.split_at_checked(n_entries.saturating_mul(4)).unwrap_or_default();
    entries.clear();
    entries.extend(row.as_chunks::<4>().0.iter().map(|entry| u32::from_le_bytes(*entry)));
    *rest = after;
    total
}

fn write_record(gene: u16, sums: &GroupGene, out: &mut Vec<u8>) {
    let GeneSums { n_cells, total_counts, cp, cp_squares, log, log_squares } = sums.sums;
    out.extend_from_slice(&gene.to_le_bytes());
    out.extend_from_slice(&n_cells.to_le_bytes());
    out.extend_from_slice(&total_counts.to_le_bytes());
    for wide in [cp, cp_squares, log, log_squares, sums.squares] {
        out.extend_from_slice(&wide.to_le_bytes());
    }
}

fn read_record(rest: &mut &[u8]) -> (u16, GroupGene) {
    let mut rest: &[u8] = &take::<RECORD>(rest);
    let gene = u16::from_le_bytes(take(&mut rest));
    let n_cells = u64::from_le_bytes(take(&mut rest));
    let total_counts = u64::from_le_bytes(take(&mut rest));
    let [cp, cp_squares, log, log_squares, squares] =
        std::array::from_fn(|_| u128::from_le_bytes(take(&mut rest)));
    (gene, GroupGene { sums: GeneSums { n_cells, total_counts, cp, cp_squares, log, log_squares }, squares })
}

fn take<const N: usize>(rest: &mut &[u8]) -> [u8; N] {
    let (head, tail) = rest.split_first_chunk::<N>().map_or(([0; N], &[][..]), |(head, tail)| (*head, tail));
    *rest = tail;
    head
}
