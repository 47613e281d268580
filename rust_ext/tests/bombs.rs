//! Small files that ask for much: each is refused, and before the memory is taken.

#![allow(clippy::unwrap_used, reason = "a test may stop")]

mod memory;

use std::sync::Arc;

use memory::{Memory, SCHEMA, grown, request};
use parquet::data_type::{ByteArray, ByteArrayType, FloatType, Int64Type};
use parquet::file::properties::WriterProperties;
use parquet::file::writer::SerializedFileWriter;
use parquet::schema::parser::parse_message_type;
use tahoe_core::error::{Code, Defect};
use tahoe_core::request::Stats;
use tahoe_core::scan::compute;
use tahoe_core::vocabulary::{Joins, Vocabulary};

/// One row group of `rows` cells: lists of these lengths, and every text of every row the same.
fn shard(rows: usize, genes: usize, values: usize, id: &str) -> Vec<u8> {
    let schema = Arc::new(parse_message_type(SCHEMA).unwrap());
    let properties = Arc::new(WriterProperties::builder().set_write_batch_size(1 << 16).build());
    let mut writer = SerializedFileWriter::new(Vec::new(), schema, properties).unwrap();
    let levels = |length: usize| -> (Vec<i16>, Vec<i16>) {
        let reps = (0..rows).flat_map(|_| (0..length.max(1)).map(|i| i16::from(i > 0))).collect();
        (vec![if length == 0 { 1 } else { 3 }; rows * length.max(1)], reps)
    };
    let mut group = writer.next_row_group().unwrap();
    let (defs, reps) = levels(genes);
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<Int64Type>().write_batch(&vec![3; rows * genes], Some(&defs), Some(&reps)).unwrap();
    column.close().unwrap();
    let (defs, reps) = levels(values);
    let mut column = group.next_column().unwrap().unwrap();
    column.typed::<FloatType>().write_batch(&vec![1.0; rows * values], Some(&defs), Some(&reps)).unwrap();
    column.close().unwrap();
    for name in 0..8 {
        let text = ByteArray::from(if name == 2 { id } else { "a" });
        let mut column = group.next_column().unwrap().unwrap();
        column.typed::<ByteArrayType>().write_batch(&vec![text; rows], Some(&vec![1; rows]), None).unwrap();
        column.close().unwrap();
    }
    group.close().unwrap();
    writer.into_inner().unwrap()
}

/// The defect of a small file, and by how many bytes reading it grew.
fn refused(bytes: Vec<u8>, reject_rows: bool) -> (Defect, usize) {
    let vocabulary = Vocabulary::new(vec![3, 4], vec![false, true]).unwrap();
    let joins = Joins::default();
    assert!(bytes.len() < 1 << 20, "{} bytes are no small file", bytes.len());
    let (outcome, grown) =
        grown(|| compute(&request(Stats::All, reject_rows, &vocabulary, &joins), &Memory(bytes.into())));
    (outcome.err().unwrap(), grown)
}

/// One test, since the allocator counts what every thread of the process does.
#[test]
fn small_files_that_ask_for_much_are_refused() {
    // The ids of all kept cells together.
    let (defect, grown) = refused(shard(6_000, 0, 0, &"x".repeat(60_000)), false);
    assert_eq!(defect.code, Code::LimitMemory, "{defect}");
    assert!(grown < 256 << 20, "{grown} bytes");
    // Lists of different length are not decoded, however long one of them is.
    let (defect, grown) = refused(shard(600, 0, 100_000, "a"), false);
    assert_eq!((defect.code, defect.row), (Code::LengthMismatch, Some(0)), "{defect}");
    assert!(grown < 64 << 20, "{grown} bytes");
}
