//! What can be wrong: one stable code a defect, and where it was found.

use std::fmt;

/// Declares the codes once: variant, stable text.
macro_rules! codes {
    ($($(#[$doc:meta])* $variant:ident = $text:literal,)+) => {
        /// A stable name of one kind of defect (`E_…`) or oddity (`W_…`).
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum Code { $($(#[$doc])* $variant,)+ }

        impl Code {
            /// The text that users, manifests and tests see.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self { $(Self::$variant => $text,)+ }
            }
        }
    };
}

codes! {
    /// A file of no bytes.
    EmptyFile = "E_EMPTY_FILE",
    /// A file too short to be Parquet.
    TooShort = "E_TOO_SHORT",
    /// The bytes are something else: a web page, a gzip stream, an error body.
    NotParquet = "E_NOT_PARQUET",
    /// A git-LFS pointer in place of the file.
    LfsPointer = "E_LFS_POINTER",
    /// The tail is Parquet, the head is not.
    HeadMagic = "E_HEAD_MAGIC",
    /// The head is Parquet, the tail is missing.
    Truncated = "E_TRUNCATED",
    /// The footer cannot be what it says.
    Footer = "E_FOOTER",
    /// Encrypted Parquet.
    Encrypted = "E_ENCRYPTED",
    /// Pages that do not decode.
    Decode = "E_DECODE",
    /// Bytes differ from the recorded checksum.
    Checksum = "E_CHECKSUM",
    /// Bytes differ in number from the recorded size.
    SizeMismatch = "E_SIZE_MISMATCH",
    /// The file is not the one that was planned.
    InputChanged = "E_INPUT_CHANGED",
    /// A needed column is absent.
    MissingColumn = "E_MISSING_COLUMN",
    /// Two columns of one name.
    DuplicateColumn = "E_DUPLICATE_COLUMN",
    /// A column of another type.
    Type = "E_TYPE",
    /// Text that is not UTF-8.
    Utf8 = "E_UTF8",
    /// A null where a list belongs.
    NullList = "E_NULL_LIST",
    /// A null inside a list.
    NullElement = "E_NULL_ELEMENT",
    /// The two lists of a cell differ in length.
    LengthMismatch = "E_LENGTH_MISMATCH",
    /// The marker token stands elsewhere than first.
    SentinelPosition = "E_SENTINEL_POSITION",
    /// The marker token carries a value that is not −2.
    SentinelValue = "E_SENTINEL_VALUE",
    /// A count below zero.
    NegativeValue = "E_NEGATIVE_VALUE",
    /// NaN or infinity.
    NonFinite = "E_NONFINITE",
    /// A count with a fraction.
    NonInteger = "E_NONINTEGER",
    /// A count beyond any molecule count.
    ValueRange = "E_VALUE_RANGE",
    /// A token outside the vocabulary.
    TokenRange = "E_TOKEN_RANGE",
    /// A gene twice in a cell.
    DuplicateToken = "E_DUPLICATE_TOKEN",
    /// A list longer than the limit.
    LimitListLength = "E_LIMIT_LIST_LEN",
    /// Something that would need more memory than the limit.
    LimitMemory = "E_LIMIT_MEMORY",
    /// A text longer than the limit.
    LimitString = "E_LIMIT_STRING",
    /// More columns than the limit.
    LimitColumns = "E_LIMIT_COLUMNS",
    /// More row groups than the limit.
    LimitRowGroups = "E_LIMIT_ROW_GROUPS",
    /// The file cannot be read.
    Io = "E_IO",
    /// A bug in the core, caught.
    Panic = "E_PANIC",
    /// A cell without the marker entry.
    NoSentinel = "W_NO_SENTINEL",
    /// A cell with no gene.
    EmptyCell = "W_EMPTY_CELL",
    /// An entry whose count is zero.
    ZeroValue = "W_ZERO_VALUE",
    /// A count that float32 cannot hold exactly.
    CountPrecision = "W_COUNT_PRECISION",
    /// A cell id twice in a shard.
    DuplicateCell = "W_DUPLICATE_CELL",
    /// A null text, read as ''.
    NullText = "W_NULL_TEXT",
}

impl fmt::Display for Code {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

/// One defect of one shard.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Defect {
    /// What kind.
    pub code: Code,
    /// In which row group, where that is known.
    pub row_group: Option<usize>,
    /// In which row of the shard, where that is known.
    pub row: Option<u64>,
    /// A sentence for people.
    pub reason: String,
}

impl Defect {
    /// A defect whose place is not known yet.
    pub fn new(code: Code, reason: impl Into<String>) -> Self {
        Self { code, row_group: None, row: None, reason: reason.into() }
    }

    /// Adds the row group, unless a deeper layer knew it.
    #[must_use]
    pub fn in_row_group(mut self, row_group: usize) -> Self {
        self.row_group.get_or_insert(row_group);
        self
    }

    /// Adds the row, unless a deeper layer knew it.
    #[must_use]
    pub fn at_row(mut self, row: u64) -> Self {
        self.row.get_or_insert(row);
        self
    }
}

impl fmt::Display for Defect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.code, self.reason)
    }
}

impl std::error::Error for Defect {}

impl From<parquet::errors::ParquetError> for Defect {
    fn from(error: parquet::errors::ParquetError) -> Self {
        let text = error.to_string();
        let code = if text.contains("CRC") { Code::Checksum } else { Code::Decode };
        Self::new(code, text)
    }
}

/// Why a unit of work ended: its input is at fault, or its output could not be written.
#[derive(Debug)]
pub enum Failure {
    /// The shard is at fault.
    Shard(Defect),
    /// The operating system refused to write.
    Output(std::io::Error, String),
}

impl From<Defect> for Failure {
    fn from(defect: Defect) -> Self {
        Self::Shard(defect)
    }
}

/// What reading gives.
pub type Result<T> = std::result::Result<T, Defect>;
