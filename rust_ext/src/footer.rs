//! The first and last bytes of a shard, its footer, and the columns that are needed.

use std::fs::File;
use std::os::unix::fs::FileExt;

use bytes::Bytes;
use parquet::basic::{ConvertedType, LogicalType, Repetition, Type as Physical};
use parquet::file::metadata::{ParquetMetaData, ParquetMetaDataReader};
use parquet::schema::types::{SchemaDescriptor, Type};
use sha2::{Digest as _, Sha256};

use crate::caught::caught;
use crate::claims::check_schema;
use crate::error::{Code, Defect, Result};
use crate::limits::Limits;

const MAGIC: &[u8] = b"PAR1";
const MAGIC_ENCRYPTED: &[u8] = b"PARE";
/// Head magic, tail magic and footer length.
const SHORTEST: u64 = 12;

/// The token column.
pub const GENES: &str = "genes";
/// The count column.
pub const EXPRESSIONS: &str = "expressions";
/// The text columns that a shard must have, in the order of [`Layout::texts`].
pub const TEXTS: [&str; 5] = ["BARCODE_SUB_LIB_ID", "sample", "drug", "cell_line_id", "plate"];
/// The mechanism of action, which sister data sets may lack: it hangs on the drug, not on the cell.
pub const MOA: &str = "moa-fine";
/// Columns of a Tahoe shard that are known and not read.
const KNOWN: [&str; 2] = ["canonical_smiles", "pubchem_cid"];

/// Bytes that can be read at any place. The only thing the reader wants of a file.
pub trait Store {
    /// The size in bytes.
    fn size(&self) -> u64;
    /// Exactly `length` bytes from `offset` on.
    ///
    /// # Errors
    /// Whatever the operating system says.
    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes>;
}

/// A local file.
pub struct LocalFile {
    file: File,
    size: u64,
}

impl LocalFile {
    /// Opens a file for reading.
    ///
    /// # Errors
    /// `E_IO` where it cannot be opened.
    pub fn open(path: &str) -> Result<Self> {
        let file = File::open(path).map_err(|e| unreadable(&e))?;
        let meta = file.metadata().map_err(|e| unreadable(&e))?;
        if !meta.is_file() {
            return Err(Defect::new(Code::Io, "not a regular file"));
        }
        Ok(Self { file, size: meta.len() })
    }
}

impl Store for LocalFile {
    fn size(&self) -> u64 {
        self.size
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let mut buffer = vec![0; length];
        self.file.read_exact_at(&mut buffer, offset)?;
        Ok(buffer.into())
    }
}

/// An operating-system error as a defect of the shard.
pub fn unreadable(error: &std::io::Error) -> Defect {
    Defect::new(Code::Io, format!("cannot be read: {error}"))
}

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
        let length = usize::try_from(length).map_err(|_| Defect::new(Code::LimitMemory, "too long for this machine"))?;
        store.read(offset, length).map_err(|e| unreadable(&e))
    };
    let head = read(0, size.min(48))?;
    if head.starts_with(b"version https://git-lfs") {
        return Err(Defect::new(Code::LfsPointer, "a git-LFS pointer stands in place of the data; run `git lfs pull`"));
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
            return Err(Defect::new(Code::Truncated, "the end of the file is missing (no footer); fetch it again"));
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
            let code = if text.to_ascii_lowercase().contains("encrypt") { Code::Encrypted } else { Code::Footer };
            Defect::new(code, format!("the footer cannot be read: {text}"))
        })
    })?;
    check_counts(&meta, limits)?;
    Ok(Footer { meta, size, digest, start })
}

fn check_counts(meta: &ParquetMetaData, limits: &Limits) -> Result<()> {
    let columns = meta.file_metadata().schema_descr().num_columns() as u64;
    if columns > limits.columns {
        return Err(Defect::new(Code::LimitColumns, format!("{columns} columns; the limit is {}", limits.columns)));
    }
    let groups = meta.num_row_groups() as u64;
    if groups > limits.row_groups {
        return Err(Defect::new(Code::LimitRowGroups, format!("{groups} row groups; the limit is {}", limits.row_groups)));
    }
    let mut rows = 0_i64;
    for (index, group) in meta.row_groups().iter().enumerate() {
        let n = group.num_rows();
        if n < 0 || group.num_columns() as u64 != columns {
            return Err(Defect::new(Code::Footer, "a row group that cannot be").in_row_group(index));
        }
        rows = rows.saturating_add(n);
    }
    if rows.cast_unsigned() > limits.rows {
        return Err(Defect::new(Code::LimitMemory, format!("{rows} rows in one file; the limit is {}", limits.rows)));
    }
    let said = meta.file_metadata().num_rows();
    if said != rows {
        return Err(Defect::new(Code::Footer, format!("the footer says {said} rows, its row groups {rows}")));
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

/// Where a leaf stands and what its levels mean.
#[derive(Clone, Copy, Debug)]
pub struct Leaf {
    /// Index among the leaf columns.
    pub index: usize,
    /// How its values are stored.
    pub physical: Physical,
    /// Definition level of a value that is there.
    pub max_def: u32,
    /// Definition level from which on a list has an entry; 0 for texts.
    pub entry_def: u32,
    /// Whether the leaf is inside a list.
    pub in_list: bool,
}

/// The columns that a scan needs, found by name.
#[derive(Clone, Debug)]
pub struct Layout {
    /// `genes`.
    pub genes: Leaf,
    /// `expressions`.
    pub expressions: Leaf,
    /// The columns of [`TEXTS`].
    pub texts: [Leaf; 5],
    /// [`MOA`], where there is such a column.
    pub moa: Option<Leaf>,
    /// Columns that nobody asked for.
    pub extra: Vec<String>,
}

/// Checks the schema against what a shard must have.
///
/// # Errors
/// `E_MISSING_COLUMN`, `E_DUPLICATE_COLUMN`, `E_TYPE`.
pub fn find_layout(schema: &SchemaDescriptor) -> Result<Layout> {
    let fields = schema.root_schema().get_fields();
    let root_of = |name: &str| -> Result<usize> {
        let mut hits = fields.iter().enumerate().filter(|(_, f)| f.name() == name);
        let Some((index, _)) = hits.next() else {
            let near = fields.iter().map(|f| f.name()).find(|n| n.eq_ignore_ascii_case(name));
            let hint = near.map_or_else(String::new, |n| format!(" (names are case-sensitive: there is {n:?})"));
            return Err(Defect::new(Code::MissingColumn, format!("no column {name:?}{hint}")));
        };
        match hits.next() {
            None => Ok(index),
            Some(_) => Err(Defect::new(Code::DuplicateColumn, format!("two columns named {name:?}"))),
        }
    };
    let leaf_of = |name: &str| -> Result<Leaf> {
        let root = root_of(name)?;
        let field = fields.get(root).ok_or_else(|| Defect::new(Code::Footer, "a column without a field"))?;
        let mut leaves = (0..schema.num_columns()).filter(|i| schema.get_column_root_idx(*i) == root);
        let index = leaves.next().ok_or_else(|| mistyped(name, "a value", field))?;
        let leaf = if name == GENES || name == EXPRESSIONS { list_leaf(name, index, field)? } else { text_leaf(name, index, field)? };
        if leaves.next().is_some() {
            return Err(mistyped(name, "one value", field));
        }
        Ok(leaf)
    };
    let [a, b, c, d, e] = TEXTS;
    let layout = Layout {
        genes: leaf_of(GENES)?,
        expressions: leaf_of(EXPRESSIONS)?,
        texts: [leaf_of(a)?, leaf_of(b)?, leaf_of(c)?, leaf_of(d)?, leaf_of(e)?],
        moa: if fields.iter().any(|f| f.name() == MOA) { Some(leaf_of(MOA)?) } else { None },
        extra: fields
            .iter()
            .map(|field| field.name())
            .filter(|n| *n != GENES && *n != EXPRESSIONS && !TEXTS.contains(n) && *n != MOA && !KNOWN.contains(n))
            .map(str::to_owned)
            .collect(),
    };
    Ok(layout)
}

fn mistyped(name: &str, wanted: &str, found: &Type) -> Defect {
    Defect::new(Code::Type, format!("column {name:?} must be {wanted}; found {}", describe(found)))
}

/// The type of a top-level column in a few words, `list<int64>`.
#[must_use]
pub fn describe(field: &Type) -> String {
    if field.is_primitive() {
        let logical = match field.get_basic_info().logical_type_ref() {
            Some(LogicalType::String) => return "text".to_owned(),
            Some(logical) => format!(" ({logical:?})"),
            None if field.get_basic_info().converted_type() == ConvertedType::UTF8 => return "text".to_owned(),
            None => String::new(),
        };
        return format!("{}{logical}", field.get_physical_type().to_string().to_lowercase());
    }
    let inner: Vec<String> = field.get_fields().iter().map(|f| describe(f)).collect();
    let repeated = field.get_basic_info().has_repetition() && field.get_basic_info().repetition() == Repetition::REPEATED;
    if is_list(field) { format!("list<{}>", inner.join(", ").trim_start_matches("group of ")) } else if repeated { inner.join(", ") } else { format!("group of {}", inner.join(", ")) }
}

fn is_list(field: &Type) -> bool {
    let info = field.get_basic_info();
    field.is_group() && (matches!(info.logical_type_ref(), Some(LogicalType::List)) || info.converted_type() == ConvertedType::LIST)
}

fn repetition(field: &Type) -> Repetition {
    let info = field.get_basic_info();
    if info.has_repetition() { info.repetition() } else { Repetition::REQUIRED }
}

/// A list in the three-level form of the format, or in the two-level form of old writers.
fn list_leaf(name: &str, index: usize, field: &Type) -> Result<Leaf> {
    let wanted = if name == GENES { "a list of int64" } else { "a list of float" };
    let wrong = || mistyped(name, wanted, field);
    let outer_def = u32::from(repetition(field) == Repetition::OPTIONAL);
    if !is_list(field) || repetition(field) == Repetition::REPEATED {
        return Err(wrong());
    }
    let [repeated] = field.get_fields() else { return Err(wrong()) };
    if repetition(repeated) != Repetition::REPEATED {
        return Err(wrong());
    }
    let entry_def = outer_def.saturating_add(1);
    let element = if repeated.is_primitive() {
        repeated
    } else {
        let [element] = repeated.get_fields() else { return Err(wrong()) };
        element
    };
    if !element.is_primitive() || (repetition(element) == Repetition::REPEATED && !repeated.is_primitive()) {
        return Err(wrong());
    }
    let physical = element.get_physical_type();
    let info = element.get_basic_info();
    let fits = match (name, physical) {
        (GENES, Physical::INT64 | Physical::INT32) => match info.logical_type_ref() {
            Some(LogicalType::Integer(int)) => int.is_signed || physical == Physical::INT32,
            Some(_) => false,
            None => !matches!(
                info.converted_type(),
                ConvertedType::UINT_64 | ConvertedType::TIMESTAMP_MILLIS | ConvertedType::TIMESTAMP_MICROS | ConvertedType::DECIMAL
            ),
        },
        (EXPRESSIONS, Physical::FLOAT | Physical::DOUBLE) => true,
        _ => false,
    };
    if !fits {
        return Err(wrong());
    }
    let max_def = entry_def.saturating_add(u32::from(repetition(element) == Repetition::OPTIONAL));
    Ok(Leaf { index, physical, max_def, entry_def, in_list: true })
}

fn text_leaf(name: &str, index: usize, field: &Type) -> Result<Leaf> {
    let text = field.is_primitive()
        && field.get_physical_type() == Physical::BYTE_ARRAY
        && repetition(field) != Repetition::REPEATED
        && describe(field) == "text";
    if !text {
        return Err(mistyped(name, "text", field));
    }
    let max_def = u32::from(repetition(field) == Repetition::OPTIONAL);
    Ok(Leaf { index, physical: Physical::BYTE_ARRAY, max_def, entry_def: 0, in_list: false })
}
