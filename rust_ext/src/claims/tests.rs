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
