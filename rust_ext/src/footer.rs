//! The first and last bytes of a shard, and its footer.

use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader, RowGroupMetaData};
use sha2::{Digest as _, Sha256};

use crate::caught::caught;
use crate::claims::check_schema;
use crate::error::{Code, Defect, Result};
use crate::limits::Limits;
use crate::store::{Store, unreadable};

const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// Head magic, tail magic and footer length.
const SHORTEST: u64 = 12;

/// The parsed footer and what identifies the file.
pub struct Footer {
    /// What the footer says.
    pub meta: ParquetMetaData,
    /// Size of the file in bytes.
    pub size: u64,
    /// sha256 of the footer with its length and magic, in hex.
    pub digest: String,
    /// Where the footer starts: no column chunk may reach beyond.
    pub start: u64,
}

/// Reads and checks head, tail and footer.
///
/// # Errors
/// The codes of a file that is no Parquet, cut short, encrypted or beyond the limits.
pub fn read_footer(store: &dyn Store, limits: &Limits) -> Result<Footer> {
    let size = store.size();
    if size == 0 {
        return Err(Defect::new(Code::EmptyFile, "the file has no bytes; fetch it again"));
    }
    let read = |offset: u64, length: u64| {
        let length = usize::try_from(length)
            .map_err(|_| Defect::new(Code::LimitMemory, "too long for this machine"))?;
        store.read(offset, length).map_err(|e| unreadable(&e))
    };
    let head = read(0, size.min(48))?;
    if head.starts_with(b"version https://git-lfs") {
        return Err(Defect::new(
            Code::LfsPointer,
            "a git-LFS pointer stands in place of the data; run `git lfs pull`",
        ));
    }
    if size < SHORTEST {
        return Err(Defect::new(Code::TooShort, format!("{size} bytes; Parquet has at least {SHORTEST}")));
    }
    let tail = read(size.saturating_sub(8), 8)?;
    let (length, magic) = tail.split_at(4);
    let (head_ok, tail_ok) = (head.starts_with(MAGIC), magic == MAGIC);
    if magic == MAGIC_ENCRYPTED || head.starts_with(MAGIC_ENCRYPTED) {
        return Err(Defect::new(Code::Encrypted, "encrypted Parquet is not read"));
    }
    match (head_ok, tail_ok) {
        (true, true) => {}
        (true, false) => {
            return Err(Defect::new(
                Code::Truncated,
                "the end of the file is missing (no footer); fetch it again",
            ));
        }
        (false, true) => {
            return Err(Defect::new(Code::HeadMagic, "the beginning of the file is missing; fetch it again"));
        }
        (false, false) => {
            let shown = head.get(..32).unwrap_or(&head).escape_ascii();
            return Err(Defect::new(Code::NotParquet, format!("not Parquet: it starts with \"{shown}\"")));
        }
    }
    let length = length.first_chunk::<4>().map_or(0, |b| i32::from_le_bytes(*b));
    let length = u64::try_from(length).unwrap_or(0);
    if length == 0 || length > size.saturating_sub(SHORTEST) {
        return Err(Defect::new(Code::Footer, "the footer's length cannot be right"));
    }
    if length > limits.footer_bytes {
        return Err(Defect::new(
            Code::LimitMemory,
            format!("a footer of {length} bytes; the limit is {}", limits.footer_bytes),
        ));
    }
    let start = size.saturating_sub(8).saturating_sub(length);
    let bytes = read(start, length.saturating_add(8))?;
    let digest = hex(&Sha256::digest(&bytes));
    let body = bytes.get(..bytes.len().saturating_sub(8)).unwrap_or_default();
    check_schema(body, limits)?;
    let meta = caught(Code::Footer, || {
        ParquetMetaDataReader::decode_metadata(body).map_err(|e| {
            let text = e.to_string();
            let code =
                if text.to_ascii_lowercase().contains("encrypt") { Code::Encrypted } else { Code::Footer };
            Defect::new(code, format!("the footer cannot be read: {text}"))
        })
    })?;
    check_counts(&meta, limits)?;
    Ok(Footer { meta, size, digest, start })
}

fn check_counts(meta: &ParquetMetaData, limits: &Limits) -> Result<()> {
    let columns = meta.file_metadata().schema_descr().num_columns() as u64;
    if columns > limits.columns {
        return Err(Defect::new(
            Code::LimitColumns,
            format!("{columns} columns; the limit is {}", limits.columns),
        ));
    }
    let groups = meta.num_row_groups() as u64;
    if groups > limits.row_groups {
        return Err(Defect::new(
            Code::LimitRowGroups,
            format!("{groups} row groups; the limit is {}", limits.row_groups),
        ));
    }
    let mut rows = 0_i64;
    for (index, group) in meta.row_groups().iter().enumerate() {
        let n = group.num_rows();
        if n < 0 || group.num_columns() as u64 != columns {
            return Err(Defect::new(Code::Footer, "a row group that cannot be").in_row_group(index));
        }
        check_lists(group, limits).map_err(|d| d.in_row_group(index))?;
        rows = rows.saturating_add(n);
    }
    if rows.cast_unsigned() > limits.rows {
        return Err(Defect::new(
            Code::LimitMemory,
            format!("{rows} rows in one file; the limit is {}", limits.rows),
        ));
    }
    let said = meta.file_metadata().num_rows();
    if said != rows {
        return Err(Defect::new(Code::Footer, format!("the footer says {said} rows, its row groups {rows}")));
    }
    Ok(())
}

/// More values than rows can hold within the limit make some list too long, whatever its pages say.
fn check_lists(group: &RowGroupMetaData, limits: &Limits) -> Result<()> {
    let most = group.num_rows().cast_unsigned().saturating_mul(limits.list_length);
    for column in group.columns() {
        let values = u64::try_from(column.num_values())
            .map_err(|_| Defect::new(Code::Footer, "a column chunk of a negative number of values"))?;
        if column.column_descr().max_rep_level() > 0 && values > most.max(limits.list_length) {
            return Err(Defect::new(
                Code::LimitListLength,
                format!(
                    "{values} values in {} rows: a list beyond {} entries",
                    group.num_rows(),
                    limits.list_length
                ),
            ));
        }
    }
    Ok(())
}

/// Lower-case hexadecimal.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    use std::fmt::Write as _;
    bytes.iter().fold(String::with_capacity(bytes.len().saturating_mul(2)), |mut text, byte| {
        let _ = write!(text, "{byte:02x}");
        text
    })
}
