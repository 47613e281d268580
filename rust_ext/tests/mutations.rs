//! Damaged shards: thousands of mutations of Tahoe-shaped files through the reader.
//!
//! Each must end as a receipt or as a defect: no panic, no abort, and never more memory than the
//! limits allow. `TAHOE_MUTATIONS=100000 cargo test --release --test mutations` is the long version;
//! `TAHOE_SEED` repeats a failure.

#![allow(clippy::unwrap_used, clippy::panic, clippy::indexing_slicing, reason = "a test may stop")]
#![allow(clippy::cast_possible_truncation, clippy::cast_possible_wrap, reason = "indices of small files")]

mod memory;

use std::collections::BTreeMap;
use std::sync::Arc;

use memory::{Memory, SCHEMA, grown, request};
use parquet::basic::{Compression, Encoding, GzipLevel};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::{WriterProperties, WriterVersion};
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use parquet::schema::types::ColumnPath;
use tahoe_core::error::Code;
use tahoe_core::request::Stats;
use tahoe_core::scan::compute;
use tahoe_core::vocabulary::{Joins, Vocabulary};

/// splitmix64, <https://prng.di.unimi.it/splitmix64.c>.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    fn below(&mut self, n: usize) -> usize {
        (self.next() % n.max(1) as u64) as usize
    }
}

/// A shard of forty cells in one of several layouts.
fn shard(layout: usize) -> Vec<u8> {
    let mut properties = WriterProperties::builder()
        .set_compression(
            [
                Compression::SNAPPY,
                Compression::UNCOMPRESSED,
                Compression::LZ4_RAW,
                Compression::GZIP(GzipLevel::default()),
            ][layout % 4],
        )
        .set_writer_version([WriterVersion::PARQUET_1_0, WriterVersion::PARQUET_2_0][layout / 4 % 2])
        .set_data_page_size_limit([1 << 20, 128][layout / 8 % 2])
        .set_write_batch_size(16);
    if layout / 16 % 2 == 1 {
        properties = properties
            .set_dictionary_enabled(false)
            .set_column_encoding(ColumnPath::from("expressions.list.element"), Encoding::BYTE_STREAM_SPLIT);
    }
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, Arc::new(properties.build())).unwrap();
    for group in 0..2_usize {
        let lengths: Vec<usize> = (0..20).map(|row| (row * 7 + group) % 23).collect();
        let reps: Vec<i16> = lengths.iter().flat_map(|n| (0..=*n).map(|i| i16::from(i > 0))).collect();
        let defs = vec![3_i16; reps.len()];
        let genes: Vec<i64> = lengths
            .iter()
            .flat_map(|n| std::iter::once(1).chain((0..*n).map(|i| 3 + i as i64 * 5)))
            .collect();
        let values: Vec<f32> = lengths
            .iter()
            .flat_map(|n| std::iter::once(-2.0).chain((0..*n).map(|i| (i % 4 + 1) as f32)))
            .collect();
        let mut rows = writer.next_row_group().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<Int64Type>().write_batch(&genes, Some(&defs), Some(&reps)).unwrap();
        column.close().unwrap();
        let mut column = rows.next_column().unwrap().unwrap();
        column.typed::<FloatType>().write_batch(&values, Some(&defs), Some(&reps)).unwrap();
        column.close().unwrap();
        for name in 0..8 {
            let texts: Vec<ByteArray> = (0..20)
                .map(|row| {
                    ByteArray::from(format!("{name}-{}", if name == 2 { row } else { row / 9 }).as_str())
                })
                .collect();
            let mut column = rows.next_column().unwrap().unwrap();
            column.typed::<ByteArrayType>().write_batch(&texts, Some(&[1; 20]), None).unwrap();
            column.close().unwrap();
        }
        rows.close().unwrap();
    }
    writer.into_inner().unwrap()
}

/// One to four kinds of damage.
fn damage(bytes: &mut Vec<u8>, random: &mut Random) {
    const INTERESTING: [u8; 10] = [0, 1, 3, 0x0f, 0x15, 0x7f, 0x80, 0xfe, 0xff, 0x1c];
    for _ in 0..=random.below(4) {
        let length = bytes.len();
        let footer = length.saturating_sub(8 + 1_500);
        // A quarter of the damage goes to the footer: most of a small shard's structure is there.
        let at = if random.below(4) > 0 {
            random.below(footer.max(1))
        } else {
            footer + random.below(length - footer)
        };
        match random.below(8) {
            0 | 1 => bytes[at] ^= 1 << random.below(8),
            2 => bytes[at] = INTERESTING[random.below(INTERESTING.len())],
            3 => bytes[at] = random.next() as u8,
            4 => {
                let n = random.below(12).min(length - at);
                bytes[at..at + n].fill(INTERESTING[random.below(INTERESTING.len())]);
            }
            5 => {
                let from = random.below(length);
                let n = random.below(40).min(length - at).min(length - from);
                bytes.copy_within(from..from + n, at);
            }
            6 => {
                let n = random.below(24).min(length - at);
                bytes.drain(at..at + n);
            }
            _ => {
                let piece: Vec<u8> = (0..random.below(12)).map(|_| random.next() as u8).collect();
                bytes.splice(at..at, piece);
            }
        }
        if bytes.len() < 64 {
            return;
        }
    }
}

#[test]
fn damaged_shards_end_as_a_receipt_or_a_defect() {
    let count = std::env::var("TAHOE_MUTATIONS").ok().and_then(|n| n.parse().ok()).unwrap_or(3_000_u64);
    let seed = std::env::var("TAHOE_SEED").ok().and_then(|n| n.parse().ok()).unwrap_or(0_u64);
    let vocabulary = Vocabulary::new((3..2_003).collect(), vec![false; 2_000]).unwrap();
    let joins = Joins::default();
    let shards: Vec<Vec<u8>> = (0..32).map(shard).collect();
    for bytes in &shards {
        let whole =
            compute(&request(Stats::All, false, &vocabulary, &joins), &Memory(bytes.clone().into())).unwrap();
        assert_eq!((whole.receipt.rows_in, whole.receipt.kept), (40, 40));
    }
    let mut verdicts: BTreeMap<&str, u64> = BTreeMap::new();
    for index in seed..seed + count {
        let mut random = Random(index);
        let mut bytes = shards[random.below(shards.len())].clone();
        damage(&mut bytes, &mut random);
        let stats = [Stats::Summary, Stats::Qc, Stats::All][random.below(3)];
        let reject = random.below(2) == 0;
        let (outcome, grown) =
            grown(|| compute(&request(stats, reject, &vocabulary, &joins), &Memory(bytes.into())));
        assert!(grown < 512 << 20, "TAHOE_SEED={index}: {grown} bytes");
        let verdict = outcome.map_or_else(|defect| defect.code.as_str(), |_| "read");
        assert_ne!(verdict, Code::Panic.as_str(), "TAHOE_SEED={index}");
        *verdicts.entry(verdict).or_default() += 1;
    }
    println!("{count} mutations from seed {seed}: {verdicts:?}");
    assert!(verdicts.len() > 4, "the damage is too tame: {verdicts:?}");
}
