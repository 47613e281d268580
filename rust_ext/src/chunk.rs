//! Column chunks: fetched whole, looked at before they are decoded.

use bytes::{Buf, Bytes};
use parquet::basic::Type as Physical;
use parquet::errors::ParquetError;
use parquet::file::metadata::ColumnChunkMetaData;
use parquet::file::reader::{ChunkReader, Length};

use crate::claims::{check_inflation, check_pages};
use crate::error::{Code, Defect, Result};
use crate::footer::Footer;
use crate::limits::Limits;
use crate::store::{Store, unreadable};

/// The bytes of one column chunk under their offsets in the file.
pub struct Chunk {
    /// Offset of its first byte in the file.
    pub start: u64,
    /// The bytes.
    pub bytes: Bytes,
}

impl Length for Chunk {
    fn len(&self) -> u64 {
        self.start.saturating_add(self.bytes.len() as u64)
    }
}

impl ChunkReader for Chunk {
    type T = bytes::buf::Reader<Bytes>;

    fn get_read(&self, start: u64) -> parquet::errors::Result<Self::T> {
        let length = self.len().saturating_sub(start);
        Ok(self.get_bytes(start, usize::try_from(length)?)?.reader())
    }

    fn get_bytes(&self, start: u64, length: usize) -> parquet::errors::Result<Bytes> {
        let outside = || ParquetError::EOF("a page outside its column chunk".to_owned());
        let from = usize::try_from(start.checked_sub(self.start).ok_or_else(outside)?)?;
        let to = from.checked_add(length).ok_or_else(outside)?;
        if to > self.bytes.len() { Err(outside()) } else { Ok(self.bytes.slice(from..to)) }
    }
}

/// The metadata of a column chunk, and where its bytes start and how many they are.
///
/// # Errors
/// `E_FOOTER` where the chunk cannot lie where the footer says, `E_LIMIT_MEMORY`.
pub fn locate_chunk<'a>(
    footer: &'a Footer,
    group: usize,
    column: usize,
    limits: &Limits,
) -> Result<(&'a ColumnChunkMetaData, u64, usize)> {
    let misplaced = || Defect::new(Code::Footer, "a column chunk cannot lie where the footer says");
    let row_group = footer.meta.row_groups().get(group).ok_or_else(misplaced)?;
    let meta: &ColumnChunkMetaData = row_group.columns().get(column).ok_or_else(misplaced)?;
    if meta.file_path().is_some_and(|p| !p.is_empty()) {
        return Err(Defect::new(Code::Footer, "a column chunk in another file is not followed"));
    }
    let offset = match meta.dictionary_page_offset() {
        Some(dictionary) if dictionary > 0 => dictionary,
        _ => meta.data_page_offset(),
    };
    let start = u64::try_from(offset).map_err(|_| misplaced())?;
    let length = u64::try_from(meta.compressed_size()).map_err(|_| misplaced())?;
    if start < 4 || start.checked_add(length).is_none_or(|end| end > footer.start) {
        return Err(misplaced());
    }
    if length > limits.batch_bytes {
        return Err(Defect::new(Code::LimitMemory, format!("a column chunk of {length} bytes")));
    }
    Ok((meta, start, usize::try_from(length).map_err(|_| misplaced())?))
}

/// The bytes of a column chunk, after a look at what their page headers claim.
///
/// # Errors
/// As [`locate_chunk`], and `E_IO`, `E_DECODE`, `E_LIMIT_…`.
pub fn fetch_chunk(
    store: &dyn Store,
    footer: &Footer,
    group: usize,
    column: usize,
    limits: &Limits,
) -> Result<Chunk> {
    let chunk = fetch_claims(store, footer, group, column, limits)?;
    let (meta, ..) = locate_chunk(footer, group, column, limits)?;
    check_inflation(&chunk.bytes, meta.compression_codec())?;
    Ok(chunk)
}

/// The same without a look inside compressed pages.
fn fetch_claims(
    store: &dyn Store,
    footer: &Footer,
    group: usize,
    column: usize,
    limits: &Limits,
) -> Result<Chunk> {
    let (meta, start, length) = locate_chunk(footer, group, column, limits)?;
    let bytes = store.read(start, length).map_err(|e| unreadable(&e))?;
    check_pages(&bytes, meta.column_type() == Physical::BYTE_ARRAY, limits)?;
    Ok(Chunk { start, bytes })
}

/// Looks at every column of a file that lacks the ones we need: one that is hostile is called so,
/// before it is called foreign.
///
/// # Errors
/// `E_LIMIT_STRING`, `E_LIMIT_MEMORY`, or none where nothing is beyond the limits.
pub fn check_foreign(store: &dyn Store, footer: &Footer, limits: &Limits) -> Result<()> {
    for (group, meta) in footer.meta.row_groups().iter().enumerate() {
        for column in 0..meta.num_columns() {
            // Claims only: inflating every page of a file that is refused anyway would cost its author nothing.
            match fetch_claims(store, footer, group, column, limits) {
                Err(d) if matches!(d.code, Code::LimitString | Code::LimitMemory) => {
                    return Err(d.in_row_group(group));
                }
                _ => {}
            }
        }
    }
    Ok(())
}
