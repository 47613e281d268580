//! Pages without dictionary indices: plain, delta, byte-stream split and whatever else the
//! `parquet` crate decodes, a bounded number of values at a time.

use std::sync::Arc;

use bytes::Bytes;
use parquet::basic::{Encoding, Type as Physical};
use parquet::column::page::{Page, PageMetadata, PageReader};
use parquet::column::reader::{ColumnReader, ColumnReaderImpl, get_column_reader};
use parquet::data_type::DataType;
use parquet::schema::types::{ColumnDescriptor, ColumnPath, Type};

use crate::delta::{DeltaTexts, check_numbers};
use crate::dictionary::Dictionary;
use crate::error::{Code, Defect, Result};
use crate::limits::Limits;

/// Values decoded at once.
const STEP: usize = 8_192;

/// A reader of one page, already without its levels.
struct OnePage(Option<Page>);

impl Iterator for OnePage {
    type Item = parquet::errors::Result<Page>;

    fn next(&mut self) -> Option<Self::Item> {
        self.0.take().map(Ok)
    }
}

impl PageReader for OnePage {
    fn get_next_page(&mut self) -> parquet::errors::Result<Option<Page>> {
        Ok(self.0.take())
    }

    fn peek_next_page(&mut self) -> parquet::errors::Result<Option<PageMetadata>> {
        Ok(self.0.as_ref().map(|page| PageMetadata {
            num_rows: None,
            num_levels: Some(page.num_values() as usize),
            is_dict: false,
        }))
    }

    fn skip_next_page(&mut self) -> parquet::errors::Result<()> {
        self.0 = None;
        Ok(())
    }
}

/// The values of one such page.
pub enum PlainValues {
    /// Decoded by the `parquet` crate.
    Crate(Box<ColumnReader>),
    /// Delta-encoded texts.
    Texts(DeltaTexts),
}

impl PlainValues {
    /// `present` values in `encoding` at the start of `bytes`.
    ///
    /// # Errors
    /// `E_DECODE` for an encoding that does not fit the type.
    pub fn new(physical: Physical, encoding: Encoding, bytes: Bytes, present: usize) -> Result<Self> {
        match encoding {
            Encoding::DELTA_LENGTH_BYTE_ARRAY | Encoding::DELTA_BYTE_ARRAY
                if physical == Physical::BYTE_ARRAY =>
            {
                let prefixed = encoding == Encoding::DELTA_BYTE_ARRAY;
                return Ok(Self::Texts(DeltaTexts::new(bytes, present, prefixed)?));
            }
            Encoding::DELTA_BINARY_PACKED => check_numbers(&bytes, present)?,
            Encoding::PLAIN | Encoding::BYTE_STREAM_SPLIT => {}
            other => {
                return Err(Defect::new(
                    Code::Decode,
                    format!("values in the encoding {other} are not read"),
                ));
            }
        }
        let leaf = Arc::new(Type::primitive_type_builder("values", physical).build()?);
        let descriptor = Arc::new(ColumnDescriptor::new(leaf, 0, 0, ColumnPath::from("values")));
        let num_values =
            u32::try_from(present).map_err(|_| Defect::new(Code::Decode, "a page of too many values"))?;
        let page = Page::DataPage {
            buf: bytes,
            num_values,
            encoding,
            def_level_encoding: Encoding::RLE,
            rep_level_encoding: Encoding::RLE,
            statistics: None,
        };
        Ok(Self::Crate(Box::new(get_column_reader(descriptor, Box::new(OnePage(Some(page)))))))
    }

    /// Writes the codes of the next values over the whole of `out`.
    ///
    /// # Errors
    /// `E_DECODE`, `E_LIMIT_STRING`, `E_LIMIT_MEMORY`.
    pub fn intern(&mut self, out: &mut [u32], dictionary: &mut Dictionary, limits: &Limits) -> Result<()> {
        let reader = match self {
            Self::Crate(reader) => reader,
            Self::Texts(texts) => {
                for slot in out {
                    *slot = dictionary.push_text(texts.text(limits.string_bytes)?, limits)?;
                }
                return Ok(());
            }
        };
        for part in out.chunks_mut(STEP) {
            match reader.as_mut() {
                ColumnReader::Int32ColumnReader(reader) => {
                    number_codes(reader, part, dictionary, limits, |v| i64::from(v).cast_unsigned())?;
                }
                ColumnReader::Int64ColumnReader(reader) => {
                    number_codes(reader, part, dictionary, limits, i64::cast_unsigned)?;
                }
                ColumnReader::FloatColumnReader(reader) => {
                    number_codes(reader, part, dictionary, limits, |v| f64::from(v).to_bits())?;
                }
                ColumnReader::DoubleColumnReader(reader) => {
                    number_codes(reader, part, dictionary, limits, f64::to_bits)?;
                }
                ColumnReader::ByteArrayColumnReader(reader) => {
                    let texts = decode(reader, part.len())?;
                    for (slot, text) in part.iter_mut().zip(texts) {
                        // A copy, so that a short text does not hold its page.
                        *slot = dictionary.push_text(Bytes::copy_from_slice(text.data()), limits)?;
                    }
                }
                _ => return Err(Defect::new(Code::Type, "a physical type that is not read")),
            }
        }
        Ok(())
    }

    /// Passes over the next `n` values.
    ///
    /// # Errors
    /// `E_DECODE`.
    pub fn skip(&mut self, n: usize) -> Result<()> {
        let reader = match self {
            Self::Crate(reader) => reader,
            Self::Texts(texts) => {
                for _ in 0..n {
                    texts.text(u64::MAX)?;
                }
                return Ok(());
            }
        };
        let passed = match reader.as_mut() {
            ColumnReader::Int32ColumnReader(reader) => reader.skip_records(n)?,
            ColumnReader::Int64ColumnReader(reader) => reader.skip_records(n)?,
            ColumnReader::FloatColumnReader(reader) => reader.skip_records(n)?,
            ColumnReader::DoubleColumnReader(reader) => reader.skip_records(n)?,
            ColumnReader::ByteArrayColumnReader(reader) => reader.skip_records(n)?,
            _ => n,
        };
        if passed == n { Ok(()) } else { Err(too_few()) }
    }
}

fn number_codes<T: DataType>(
    reader: &mut ColumnReaderImpl<T>,
    out: &mut [u32],
    dictionary: &mut Dictionary,
    limits: &Limits,
    bits: impl Fn(T::T) -> u64,
) -> Result<()> {
    let values = decode(reader, out.len())?;
    for (slot, value) in out.iter_mut().zip(values) {
        *slot = dictionary.intern(bits(value), limits)?;
    }
    Ok(())
}

fn decode<T: DataType>(reader: &mut ColumnReaderImpl<T>, n: usize) -> Result<Vec<T::T>> {
    let mut values = Vec::with_capacity(n);
    while values.len() < n {
        let (records, _, _) = reader.read_records(n.saturating_sub(values.len()), None, None, &mut values)?;
        if records == 0 {
            return Err(too_few());
        }
    }
    Ok(values)
}

fn too_few() -> Defect {
    Defect::new(Code::Decode, "a page holds fewer values than its levels say")
}
