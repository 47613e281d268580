//! What a footer and page headers claim, looked at before they are believed.
//!
//! The `parquet` crate reads both; it does not tell how large a page will be before it has allocated
//! it, and it follows a schema as deep as that goes, past the end of the stack. These walks hold the
//! limits first. Thrift compact protocol: <https://github.com/apache/thrift/blob/master/doc/specs/thrift-compact-protocol.md>.

use std::io::Read;

use parquet::basic::CompressionCodec;

use crate::error::{Code, Defect, Result};
use crate::limits::Limits;
use crate::thrift::{Compact, broken};

const MAX_DEPTH: u8 = 16;

/// The sizes that a page header claims.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct PageClaim {
    uncompressed: i64,
    compressed: i64,
    /// Bytes of levels that stand before the compressed values (v2 pages).
    levels: i64,
    /// Values of a dictionary page; none for other pages.
    entries: Option<i64>,
    /// A v2 page may say that it is not compressed.
    stored: bool,
}

/// Checks every page header of a chunk against the limits.
///
/// # Errors
/// `E_DECODE` for a header that is none or a page beyond the chunk; `E_LIMIT_MEMORY` for a page
/// that would decompress beyond `limits.page_bytes`; `E_LIMIT_STRING` for a dictionary of `texts` in
/// which one must be too long.
pub fn check_pages(chunk: &[u8], texts: bool, limits: &Limits) -> Result<()> {
    let (mut at, mut total) = (0_usize, 0_u64);
    while at < chunk.len() {
        let mut reader = Compact { data: chunk, at };
        let claim = reader.page_claim()?;
        let (Ok(compressed), Ok(uncompressed)) =
            (usize::try_from(claim.compressed), u64::try_from(claim.uncompressed))
        else {
            return Err(Defect::new(Code::Decode, "a page header with a negative size"));
        };
        if uncompressed > limits.page_bytes {
            return Err(Defect::new(
                Code::LimitMemory,
                format!("a page of {uncompressed} bytes; the limit is {}", limits.page_bytes),
            ));
        }
        total = total.saturating_add(uncompressed);
        if total > limits.batch_bytes.saturating_mul(4) {
            return Err(Defect::new(
                Code::LimitMemory,
                format!("the pages of one column chunk claim {total} bytes"),
            ));
        }
        let entries = claim.entries.map(|n| u64::try_from(n).unwrap_or(0));
        if texts && let Some(entries) = entries {
            // Each text takes four bytes of length and its own.
            let most = entries.saturating_mul(limits.string_bytes.saturating_add(4));
            if uncompressed > most.max(limits.string_bytes) {
                return Err(Defect::new(
                    Code::LimitString,
                    format!(
                        "{entries} texts in {uncompressed} bytes; the limit of one is {}",
                        limits.string_bytes
                    ),
                ));
            }
        }
        let end = reader.at.saturating_add(compressed);
        if end > chunk.len() {
            return Err(Defect::new(Code::Decode, "a page reaches beyond its column chunk"));
        }
        at = end;
    }
    Ok(())
}

/// Makes sure that no page of a chunk grows beyond its claim. Only codecs that the `parquet` crate
/// reads to their end, however far that is, need it.
///
/// # Errors
/// `E_LIMIT_MEMORY` for a page that does; the claims were checked before.
pub fn check_inflation(chunk: &[u8], codec: CompressionCodec) -> Result<()> {
    if !matches!(codec, CompressionCodec::GZIP | CompressionCodec::BROTLI | CompressionCodec::LZ4) {
        return Ok(());
    }
    let mut at = 0_usize;
    while at < chunk.len() {
        let mut reader = Compact { data: chunk, at };
        let claim = reader.page_claim()?;
        let end = reader.at.saturating_add(usize::try_from(claim.compressed).map_err(|_| broken())?);
        let levels = usize::try_from(claim.levels).unwrap_or(usize::MAX);
        let page = chunk.get(reader.at.saturating_add(levels).min(end)..end).ok_or_else(broken)?;
        if !claim.stored {
            check_page(page, codec, u64::try_from(claim.uncompressed).unwrap_or(0))?;
        }
        at = end;
    }
    Ok(())
}

fn check_page(page: &[u8], codec: CompressionCodec, claim: u64) -> Result<()> {
    let mut reader: Box<dyn Read + '_> = match codec {
        CompressionCodec::GZIP => Box::new(flate2::read::MultiGzDecoder::new(page)),
        CompressionCodec::LZ4 => Box::new(lz4_flex::frame::FrameDecoder::new(page)),
        CompressionCodec::BROTLI => Box::new(brotli::Decompressor::new(page, 4_096)),
        _ => return Ok(()),
    };
    let (mut buffer, mut grown) = ([0_u8; 16_384], 0_u64);
    loop {
        // What does not decompress is refused by the reader proper.
        let Ok(n) = reader.read(&mut buffer) else {
            return Ok(());
        };
        grown = grown.saturating_add(n as u64);
        if grown > claim {
            return Err(Defect::new(
                Code::LimitMemory,
                format!("a page grows beyond the {claim} bytes that it claims"),
            ));
        }
        if n == 0 {
            return Ok(());
        }
    }
}

/// Column chunks of a file: the crate keeps more than a kilobyte of each.
const MAX_CHUNKS: u64 = 1 << 18;
/// Groups within groups of a schema.
const MAX_NESTING: usize = 32;

/// Checks the schema of a footer: how many elements, how deep.
///
/// # Errors
/// `E_FOOTER` for a footer that is none, `E_LIMIT_COLUMNS` and `E_LIMIT_ROW_GROUPS` for one beyond the
/// limits, `E_ENCRYPTED`.
pub fn check_schema(footer: &[u8], limits: &Limits) -> Result<()> {
    walk_schema(footer, limits).map_err(|d| match d.code {
        Code::LimitColumns | Code::LimitRowGroups | Code::Encrypted => d,
        _ => Defect::new(Code::Footer, "the footer cannot be read"),
    })
}

fn walk_schema(footer: &[u8], limits: &Limits) -> Result<()> {
    let mut reader = Compact { data: footer, at: 0 };
    let (mut last, mut leaves, mut groups) = (0, 0_u64, 0_u64);
    while let Some((id, kind)) = reader.field(&mut last)? {
        match (id, kind) {
            (2, 9) => leaves = walk_elements(&mut reader, limits)?,
            (4, 9) => {
                let start = reader.at;
                groups = reader.list_size()?;
                if groups > limits.row_groups {
                    return Err(Defect::new(
                        Code::LimitRowGroups,
                        format!("{groups} row groups; the limit is {}", limits.row_groups),
                    ));
                }
                reader.at = start;
                reader.pass(kind, MAX_DEPTH)?;
            }
            (8, _) => return Err(Defect::new(Code::Encrypted, "encrypted Parquet is not read")),
            _ => reader.pass(kind, MAX_DEPTH)?,
        }
    }
    if groups.saturating_mul(leaves) > MAX_CHUNKS {
        return Err(Defect::new(
            Code::LimitRowGroups,
            format!("{groups} row groups of {leaves} columns: more than {MAX_CHUNKS} column chunks"),
        ));
    }
    Ok(())
}

/// The elements of a schema: how many are leaves.
fn walk_elements(reader: &mut Compact<'_>, limits: &Limits) -> Result<u64> {
    let elements = reader.list_size()?;
    // Tahoe has three elements to a list column and one to a text.
    if elements > limits.columns.saturating_mul(4) {
        return Err(Defect::new(Code::LimitColumns, format!("a schema of {elements} elements")));
    }
    let mut leaves = 0_u64;
    // Children still to come, of each group that is open.
    let mut open: Vec<i64> = Vec::new();
    for _ in 0..elements {
        let children = reader.children()?;
        if children > 0 {
            open.push(children);
        } else {
            leaves = leaves.saturating_add(1);
            while let Some(left) = open.last_mut() {
                *left = left.saturating_sub(1);
                if *left > 0 {
                    break;
                }
                open.pop();
            }
        }
        if open.len() > MAX_NESTING {
            return Err(Defect::new(
                Code::LimitColumns,
                format!("groups within groups, more than {MAX_NESTING} deep"),
            ));
        }
    }
    Ok(leaves)
}

impl Compact<'_> {
    /// The number of children that a schema element claims.
    fn children(&mut self) -> Result<i64> {
        let (mut children, mut last) = (0, 0);
        while let Some((id, kind)) = self.field(&mut last)? {
            if (id, kind) == (5, 5) {
                children = self.zigzag()?;
            } else {
                self.pass(kind, MAX_DEPTH)?;
            }
        }
        Ok(children)
    }

    fn page_claim(&mut self) -> Result<PageClaim> {
        let (mut claim, mut last) = (PageClaim::default(), 0);
        let mut seen = 0_u8;
        while let Some((id, kind)) = self.field(&mut last)? {
            match (id, kind) {
                (2, 5) => {
                    claim.uncompressed = self.zigzag()?;
                    seen |= 1;
                }
                (3, 5) => {
                    claim.compressed = self.zigzag()?;
                    seen |= 2;
                }
                (7, 12) => claim.entries = Some(self.entries()?),
                (8, 12) => self.second_version(&mut claim)?,
                _ => self.pass(kind, MAX_DEPTH)?,
            }
        }
        if seen == 3 { Ok(claim) } else { Err(broken()) }
    }

    /// The number of values that the header of a dictionary page claims.
    fn entries(&mut self) -> Result<i64> {
        let (mut entries, mut last) = (0, 0);
        while let Some((id, kind)) = self.field(&mut last)? {
            if (id, kind) == (1, 5) {
                entries = self.zigzag()?;
            } else {
                self.pass(kind, MAX_DEPTH)?;
            }
        }
        Ok(entries)
    }

    /// The header of a v2 data page.
    fn second_version(&mut self, claim: &mut PageClaim) -> Result<()> {
        let mut last = 0;
        while let Some((id, kind)) = self.field(&mut last)? {
            match (id, kind) {
                (5 | 6, 5) => claim.levels = claim.levels.saturating_add(self.zigzag()?.max(0)),
                (7, 2) => claim.stored = true,
                _ => self.pass(kind, MAX_DEPTH)?,
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// type 0, uncompressed 10, compressed 4, then four bytes of page.
    const SMALL: [u8; 11] = [0x15, 0x00, 0x15, 0x14, 0x15, 0x08, 0x00, 1, 2, 3, 4];

    #[test]
    fn a_small_page_passes() {
        assert!(check_pages(&SMALL, false, &Limits::default()).is_ok());
    }

    #[test]
    fn a_page_beyond_the_limit_is_refused_before_it_is_read() {
        let limits = Limits { page_bytes: 9, ..Limits::default() };
        assert_eq!(check_pages(&SMALL, false, &limits).unwrap_err().code, Code::LimitMemory);
    }

    #[test]
    fn a_gzip_page_that_grows_beyond_its_claim_is_refused() {
        use std::io::Write;
        let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::new(9));
        bomb.write_all(&vec![0; 100_000]).unwrap();
        let body = bomb.finish().unwrap();
        // Claims 10 bytes.
        let size = u8::try_from(body.len()).unwrap();
        let mut chunk = vec![0x15, 0x00, 0x15, 0x14, 0x15];
        chunk.extend([(size & 0x3f) << 1 | 0x80, size >> 6, 0x00]);
        chunk.extend(body);
        assert!(check_pages(&chunk, false, &Limits::default()).is_ok());
        let defect = check_inflation(&chunk, CompressionCodec::GZIP).unwrap_err();
        assert_eq!(defect.code, Code::LimitMemory, "{defect}");
    }

    #[test]
    fn a_schema_without_bottom_is_refused() {
        // Field 2, a list of structs; each element has one child and ends.
        let mut footer = vec![0x29, 0xfc, 0xc0, 0x3e];
        footer.extend(std::iter::repeat_n([0x55, 0x02, 0x00], 8_000).flatten());
        footer.push(0);
        assert_eq!(check_schema(&footer, &Limits::default()).unwrap_err().code, Code::LimitColumns);
        assert_eq!(check_schema(&[0xff; 9], &Limits::default()).unwrap_err().code, Code::Footer);
    }

    #[test]
    fn a_page_beyond_its_chunk_is_refused() {
        assert_eq!(check_pages(&SMALL[..9], false, &Limits::default()).unwrap_err().code, Code::Decode);
        assert_eq!(check_pages(&[0; 16], false, &Limits::default()).unwrap_err().code, Code::Decode);
        assert_eq!(check_pages(&[0xff; 64], false, &Limits::default()).unwrap_err().code, Code::Decode);
    }
}
