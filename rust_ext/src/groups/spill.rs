//! Sums that no longer fit into memory, on disk until their group is written.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::io::Write as _;
use std::os::unix::fs::FileExt;

use flate2::Crc;

use super::lines::{GroupGene, Lines};
use crate::error::Failure;
use crate::sums::GeneSums;

/// Gene, cells, counts, and five sums of 128 bits.
const RECORD: usize = 2 + 8 + 8 + 5 * 16;

/// The sums of one place in one spill.
struct Slice {
    offset: u64,
    bytes: usize,
    crc: u32,
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

    fn refused(&self, error: std::io::Error) -> Failure {
        Failure::Output(error, self.path.clone())
    }

    /// Writes the sums of one place.
    pub(super) fn write(&mut self, place: usize, lines: &Lines) -> Result<(), Failure> {
        if self.file.is_none() {
            let open = OpenOptions::new().read(true).write(true).create_new(true).open(&self.path);
            let file = open.map_err(|e| self.refused(e))?;
            std::fs::remove_file(&self.path).map_err(|e| self.refused(e))?;
            self.file = Some(file);
        }
        let mut buffer = std::mem::take(&mut self.buffer);
        buffer.clear();
        lines.each(|gene, sums| write_record(gene, &sums, &mut buffer));
        let mut crc = Crc::new();
        crc.update(&buffer);
        if let Some(file) = &mut self.file {
            file.write_all(&buffer).map_err(|e| Failure::Output(e, self.path.clone()))?;
        }
        let slice = Slice { offset: self.size, bytes: buffer.len(), crc: crc.sum() };
        self.size = self.size.saturating_add(slice.bytes as u64);
        self.slices.entry(place).or_default().push(slice);
        self.buffer = buffer;
        Ok(())
    }

    /// Hands what was spilled of one place to `visit`, a gene once for each spill.
    pub(super) fn read(
        &mut self,
        place: usize,
        mut visit: impl FnMut(u16, GroupGene),
    ) -> Result<(), Failure> {
        let mut buffer = std::mem::take(&mut self.buffer);
        for slice in self.slices.get(&place).into_iter().flatten() {
            let Some(file) = &self.file else { break };
            buffer.clear();
            buffer.resize(slice.bytes, 0);
            file.read_exact_at(&mut buffer, slice.offset).map_err(|e| self.refused(e))?;
            let mut crc = Crc::new();
            crc.update(&buffer);
            if crc.sum() != slice.crc {
                return Err(self.refused(std::io::Error::other("the disk gave back other bytes than it got")));
            }
            for record in buffer.as_chunks::<RECORD>().0 {
                let (gene, sums) = read_record(record);
                visit(gene, sums);
            }
        }
        self.buffer = buffer;
        Ok(())
    }
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

fn read_record(record: &[u8; RECORD]) -> (u16, GroupGene) {
    let mut rest = record.as_slice();
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
