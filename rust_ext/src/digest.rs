//! A hash of a table's values that does not depend on its writer, encoding or compression.
//!
//! sha256 over, column by column in the table's order: the name, a zero byte, the type's letter, and
//! for each row a presence byte followed by the value in little-endian bytes; a text is its length
//! as `u32` and its UTF-8 bytes.

use std::fs::File;

use parquet::basic::{LogicalType, Type as Physical};
use parquet::column::reader::{ColumnReader, get_typed_column_reader};
use parquet::data_type::{ByteArrayType, DataType, DoubleType, Int32Type, Int64Type};
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::schema::types::ColumnDescriptor;
use sha2::{Digest as _, Sha256};

use crate::error::{Code, Defect, Result};
use crate::footer::hex;
use crate::store::unreadable;

/// A running digest of one table.
pub struct TableDigest {
    hash: Sha256,
    buffer: Vec<u8>,
}

impl Default for TableDigest {
    fn default() -> Self {
        Self { hash: Sha256::new(), buffer: Vec::with_capacity(1 << 16) }
    }
}

impl TableDigest {
    /// Begins a column.
    pub fn column(&mut self, name: &str, letter: u8) {
        self.buffer.extend_from_slice(name.as_bytes());
        self.buffer.extend_from_slice(&[0, letter]);
        self.flush();
    }

    /// Adds a value, or that there is none.
    #[inline]
    pub fn value(&mut self, bytes: Option<&[u8]>) {
        match bytes {
            Some(bytes) => {
                self.buffer.push(1);
                self.buffer.extend_from_slice(bytes);
            }
            None => self.buffer.push(0),
        }
        if self.buffer.len() >= 1 << 15 {
            self.flush();
        }
    }

    /// Adds values of eight bytes, none of them null.
    pub fn numbers<T: Copy>(&mut self, values: &[T], bytes: impl Fn(T) -> [u8; 8]) {
        self.flush();
        let mut block = [[1_u8; 9]; 1024];
        for values in values.chunks(block.len()) {
            for (place, value) in block.iter_mut().zip(values) {
                let [_, rest @ ..] = place;
                *rest = bytes(*value);
            }
            self.hash.update(block.get(..values.len()).unwrap_or_default().as_flattened());
        }
    }

    /// Adds a text.
    #[inline]
    pub fn text(&mut self, text: &str) {
        self.buffer.push(1);
        self.buffer.extend_from_slice(&u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
        self.value_tail(text.as_bytes());
    }

    fn value_tail(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
        if self.buffer.len() >= 1 << 15 {
            self.flush();
        }
    }

    fn flush(&mut self) {
        self.hash.update(&self.buffer);
        self.buffer.clear();
    }

    /// The digest in hex.
    #[must_use]
    pub fn finish(mut self) -> String {
        self.flush();
        hex(&self.hash.finalize())
    }
}

/// Values read at once.
const STEP: usize = 16_384;

/// Rows and digest of one of our own parts, read back from disk.
///
/// # Errors
/// `E_IO`, `E_DECODE`, and `E_TYPE` for a column of a type that no part has.
pub fn digest_table(path: &str) -> Result<(u64, String)> {
    let reader = SerializedFileReader::new(File::open(path).map_err(|e| unreadable(&e))?)?;
    let schema = reader.metadata().file_metadata().schema_descr_ptr();
    let mut digest = TableDigest::default();
    for (index, column) in schema.columns().iter().enumerate() {
        let letter = match column.physical_type() {
            Physical::INT32 | Physical::INT64 => b'i',
            Physical::DOUBLE => b'f',
            Physical::BYTE_ARRAY => b't',
            other => {
                return Err(Defect::new(Code::Type, format!("a part has no column of type {other}")));
            }
        };
        digest.column(column.name(), letter);
        for group in 0..reader.num_row_groups() {
            digest_column(reader.get_row_group(group)?.get_column_reader(index)?, column, &mut digest)?;
        }
    }
    let rows = reader.metadata().file_metadata().num_rows();
    Ok((u64::try_from(rows).unwrap_or(0), digest.finish()))
}

fn digest_column(reader: ColumnReader, column: &ColumnDescriptor, digest: &mut TableDigest) -> Result<()> {
    match column.physical_type() {
        Physical::INT32 => {
            let unsigned =
                matches!(column.logical_type_ref(), Some(LogicalType::Integer(int)) if !int.is_signed);
            each::<Int32Type>(reader, column, |value| {
                let wide = value.map(|v| if unsigned { i64::from(v.cast_unsigned()) } else { i64::from(*v) });
                digest.value(wide.map(i64::to_le_bytes).as_ref().map(<[u8; 8]>::as_slice));
            })
        }
        Physical::INT64 => each::<Int64Type>(reader, column, |value| {
            digest.value(value.map(|v| v.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
        }),
        Physical::DOUBLE => each::<DoubleType>(reader, column, |value| {
            digest.value(value.map(|v| v.to_le_bytes()).as_ref().map(<[u8; 8]>::as_slice));
        }),
        _ => each::<ByteArrayType>(reader, column, |value| match value {
            Some(text) => digest.text(std::str::from_utf8(text.data()).unwrap_or_default()),
            None => digest.value(None),
        }),
    }
}

/// Hands each value of a flat column to `visit`, a null as none.
fn each<T: DataType>(
    reader: ColumnReader,
    column: &ColumnDescriptor,
    mut visit: impl FnMut(Option<&T::T>),
) -> Result<()> {
    let mut reader = get_typed_column_reader::<T>(reader);
    let (mut levels, mut values) = (Vec::new(), Vec::new());
    loop {
        levels.clear();
        values.clear();
        let (records, _, _) = reader.read_records(STEP, Some(&mut levels), None, &mut values)?;
        if records == 0 {
            return Ok(());
        }
        if column.max_def_level() == 0 {
            for value in &values {
                visit(Some(value));
            }
            continue;
        }
        let mut there = values.iter();
        for level in &levels {
            visit(if *level == column.max_def_level() { there.next() } else { None });
        }
    }
}
