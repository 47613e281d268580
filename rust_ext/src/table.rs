//! Small tables and how they become Parquet: the same bytes for the same rows.

mod write;

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Write};
use std::ops::Range;
use std::sync::Arc;

use parquet::basic::{Compression, Encoding, LogicalType, Repetition, Type as Physical, ZstdLevel};
use parquet::file::properties::{EnabledStatistics, WriterProperties, WriterPropertiesPtr, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::types::{ColumnPath, Type, TypePtr};
use sha2::{Digest as _, Sha256};

use self::write::{part, write_column};
use crate::digest::TableDigest;
use crate::error::Failure;
use crate::footer::hex;

/// Rows of one row group of a part.
const GROUP_ROWS: usize = 131_072;

/// The values of one column.
#[derive(Clone, Debug)]
pub enum Column {
    /// 64-bit whole numbers.
    I64(Vec<i64>),
    /// 32-bit whole numbers.
    I32(Vec<i32>),
    /// 64-bit counts.
    U64(Vec<u64>),
    /// 32-bit counts.
    U32(Vec<u32>),
    /// Reals, where none is null.
    F64(Vec<Option<f64>>),
    /// Reals, and the rows that are null: ascending, apart from each other. What stands there does not matter.
    Reals(Vec<f64>, Vec<Range<usize>>),
    /// Texts, few of them distinct: codes and what they stand for.
    Category(Vec<u32>, Vec<String>),
    /// The same where some may be null: those that stand for nothing.
    Label(Vec<u32>, Vec<Option<String>>),
    /// Texts, nearly all distinct: one buffer and the end of each.
    Text(Vec<u8>, Vec<usize>),
}

/// Named columns of equal length.
pub type Table = Vec<(&'static str, Column)>;

/// What a written part is.
#[derive(Clone, Debug)]
pub struct PartFacts {
    /// Rows.
    pub rows: u64,
    /// Bytes on disk.
    pub size: u64,
    /// sha256 of the file.
    pub sha256: String,
    /// Digest of the values.
    pub digest: String,
}

impl Column {
    fn len(&self) -> usize {
        match self {
            Self::I64(v) => v.len(),
            Self::I32(v) => v.len(),
            Self::U64(v) => v.len(),
            Self::F64(v) => v.len(),
            Self::Reals(v, _) => v.len(),
            Self::U32(v) | Self::Category(v, _) | Self::Label(v, _) => v.len(),
            Self::Text(_, ends) => ends.len(),
        }
    }

    fn field(&self, name: &str) -> parquet::errors::Result<Type> {
        let unsigned = |bits| Some(LogicalType::integer(bits, false));
        let (physical, logical) = match self {
            Self::I64(_) => (Physical::INT64, None),
            Self::I32(_) => (Physical::INT32, None),
            Self::U64(_) => (Physical::INT64, unsigned(64)),
            Self::U32(_) => (Physical::INT32, unsigned(32)),
            Self::F64(_) | Self::Reals(..) => (Physical::DOUBLE, None),
            Self::Category(..) | Self::Label(..) | Self::Text(..) => {
                (Physical::BYTE_ARRAY, Some(LogicalType::String))
            }
        };
        let nullable = matches!(self, Self::F64(_) | Self::Reals(..) | Self::Label(..));
        Type::primitive_type_builder(name, physical)
            .with_logical_type(logical)
            .with_repetition(if nullable { Repetition::OPTIONAL } else { Repetition::REQUIRED })
            .build()
    }

    fn digest(&self, name: &str, digest: &mut TableDigest) {
        let letter = match self {
            Self::I64(_) | Self::I32(_) | Self::U64(_) | Self::U32(_) => b'i',
            Self::F64(_) | Self::Reals(..) => b'f',
            Self::Category(..) | Self::Label(..) | Self::Text(..) => b't',
        };
        digest.column(name, letter);
        match self {
            Self::I64(v) => digest.numbers(v, i64::to_le_bytes),
            Self::I32(v) => digest.numbers(v, |x| i64::from(x).to_le_bytes()),
            Self::U64(v) => digest.numbers(v, u64::to_le_bytes),
            Self::U32(v) => digest.numbers(v, |x| u64::from(x).to_le_bytes()),
            Self::Reals(v, nulls) => {
                let mut start = 0;
                for null in nulls {
                    digest.numbers(part(v, start, null.start), f64::to_le_bytes);
                    null.clone().for_each(|_| digest.value(None));
                    start = null.end;
                }
                digest.numbers(part(v, start, v.len()), f64::to_le_bytes);
            }
            Self::F64(v) => v.iter().for_each(|x| match x {
                Some(x) => digest.value(Some(&x.to_le_bytes())),
                None => digest.value(None),
            }),
            Self::Category(codes, names) => {
                for code in codes {
                    digest.text(names.get(*code as usize).map_or("", String::as_str));
                }
            }
            Self::Label(codes, names) => {
                for code in codes {
                    match names.get(*code as usize).and_then(Option::as_ref) {
                        Some(name) => digest.text(name),
                        None => digest.value(None),
                    }
                }
            }
            Self::Text(bytes, ends) => {
                let mut start = 0;
                for end in ends {
                    digest.text(
                        std::str::from_utf8(bytes.get(start..*end).unwrap_or_default()).unwrap_or_default(),
                    );
                    start = *end;
                }
            }
        }
    }
}

/// Hashes what passes through to the file.
struct Hashing<W> {
    inner: W,
    hash: Sha256,
    size: u64,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..n).unwrap_or_default());
        self.size = self.size.saturating_add(n as u64);
        Ok(n)
    }

    fn flush(&mut self) -> std::io::Result<()> {
        self.inner.flush()
    }
}

/// Writes a table to a new file and makes it durable; nobody else may see it before it is renamed.
///
/// # Errors
/// `Failure::Output` with what the operating system said; the file is removed.
pub fn write_part(path: &str, table: &Table) -> Result<PartFacts, Failure> {
    let refused = |e: std::io::Error| Failure::Output(e, path.to_owned());
    let file = OpenOptions::new().write(true).create_new(true).open(path).map_err(refused)?;
    write_to(file, table).map_err(|error| {
        // The error below is what the user must see, not a second one about the torn file.
        let _ = std::fs::remove_file(path);
        refused(error)
    })
}

fn write_to(file: File, table: &Table) -> std::io::Result<PartFacts> {
    let rows = table.first().map_or(0, |(_, column)| column.len());
    let sink = Hashing { inner: BufWriter::with_capacity(1 << 18, file), hash: Sha256::new(), size: 0 };
    let (schema, properties) = layout(table).map_err(io_error)?;
    let mut writer = SerializedFileWriter::new(sink, schema, properties).map_err(io_error)?;
    let mut start = 0;
    while start < rows {
        let end = start.saturating_add(GROUP_ROWS).min(rows);
        let mut group = writer.next_row_group().map_err(io_error)?;
        for (_, column) in table {
            write_column(&mut group, column, start, end).map_err(io_error)?;
        }
        group.close().map_err(io_error)?;
        start = end;
    }
    let sink = writer.into_inner().map_err(io_error)?;
    let (size, hash) = (sink.size, sink.hash);
    let file = sink.inner.into_inner().map_err(std::io::IntoInnerError::into_error)?;
    file.sync_all()?;
    let mut digest = TableDigest::default();
    for (name, column) in table {
        column.digest(name, &mut digest);
    }
    Ok(PartFacts { rows: rows as u64, size, sha256: hex(&hash.finalize()), digest: digest.finish() })
}

/// A disk that is full comes through the Parquet writer as text around the system's own error.
fn io_error(error: parquet::errors::ParquetError) -> std::io::Error {
    if let parquet::errors::ParquetError::External(inner) = error {
        return match inner.downcast::<std::io::Error>() {
            Ok(io) => *io,
            Err(other) => std::io::Error::other(other.to_string()),
        };
    }
    std::io::Error::other(error.to_string())
}

fn layout(table: &Table) -> parquet::errors::Result<(TypePtr, WriterPropertiesPtr)> {
    let mut fields = Vec::with_capacity(table.len());
    let mut properties = WriterProperties::builder()
        .set_created_by(concat!("tahoe-engine ", env!("CARGO_PKG_VERSION")).to_owned())
        .set_writer_version(WriterVersion::PARQUET_1_0)
        .set_compression(Compression::ZSTD(ZstdLevel::try_new(1)?))
        .set_statistics_enabled(EnabledStatistics::Chunk)
        .set_dictionary_enabled(false)
        .set_max_row_group_row_count(Some(GROUP_ROWS));
    for (name, column) in table {
        fields.push(Arc::new(column.field(name)?));
        let path = ColumnPath::from(*name);
        properties = match column {
            Column::Category(..) | Column::Label(..) => properties.set_column_dictionary_enabled(path, true),
            Column::F64(_) | Column::Reals(..) => {
                properties.set_column_encoding(path, Encoding::BYTE_STREAM_SPLIT)
            }
            Column::I64(_) | Column::I32(_) | Column::U64(_) | Column::U32(_) => {
                properties.set_column_encoding(path, Encoding::DELTA_BINARY_PACKED)
            }
            Column::Text(..) => properties.set_column_encoding(path, Encoding::PLAIN),
        };
    }
    let schema = Type::group_type_builder("schema").with_fields(fields).build()?;
    Ok((Arc::new(schema), Arc::new(properties.build())))
}
