//! One column of one row group becomes pages.

use std::io::Write;

use parquet::data_type::{ByteArray, ByteArrayType, DoubleType, Int32Type, Int64Type};
use parquet::file::writer::SerializedRowGroupWriter;

use super::Column;

/// Writes the rows from `start` to `end`.
pub(super) fn write_column<W: Write + Send>(
    group: &mut SerializedRowGroupWriter<'_, W>,
    column: &Column,
    start: usize,
    end: usize,
) -> parquet::errors::Result<()> {
    let Some(mut writer) = group.next_column()? else {
        return Err(parquet::errors::ParquetError::General("a column too many".to_owned()));
    };
    match column {
        Column::I64(v) => {
            writer.typed::<Int64Type>().write_batch(part(v, start, end), None, None)?;
        }
        Column::U64(v) => {
            let signed: Vec<i64> = part(v, start, end).iter().map(|x| x.cast_signed()).collect();
            writer.typed::<Int64Type>().write_batch(&signed, None, None)?;
        }
        Column::I32(v) => {
            writer.typed::<Int32Type>().write_batch(part(v, start, end), None, None)?;
        }
        Column::U32(v) => {
            let signed: Vec<i32> = part(v, start, end).iter().map(|x| x.cast_signed()).collect();
            writer.typed::<Int32Type>().write_batch(&signed, None, None)?;
        }
        Column::F64(v) => {
            let v = part(v, start, end);
            let levels: Vec<i16> = v.iter().map(|x| i16::from(x.is_some())).collect();
            let there: Vec<f64> = v.iter().flatten().copied().collect();
            writer.typed::<DoubleType>().write_batch(&there, Some(&levels), None)?;
        }
        Column::Reals(v, nulls) => {
            let v = part(v, start, end);
            let mut levels = vec![1; v.len()];
            let inside = |at: usize| at.saturating_sub(start).min(v.len());
            for null in nulls {
                levels.get_mut(inside(null.start)..inside(null.end)).unwrap_or_default().fill(0);
            }
            let writer = writer.typed::<DoubleType>();
            if levels.contains(&0) {
                let there: Vec<f64> =
                    v.iter().zip(&levels).filter(|(_, level)| **level > 0).map(|(x, _)| *x).collect();
                writer.write_batch(&there, Some(&levels), None)?;
            } else {
                writer.write_batch(v, Some(&levels), None)?;
            }
        }
        Column::Category(codes, names) => {
            let names: Vec<ByteArray> = names.iter().map(|n| ByteArray::from(n.as_str())).collect();
            let texts: Vec<ByteArray> = part(codes, start, end)
                .iter()
                .map(|c| names.get(*c as usize).cloned().unwrap_or_default())
                .collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
        }
        Column::Label(codes, names) => {
            let names: Vec<Option<ByteArray>> =
                names.iter().map(|n| n.as_deref().map(ByteArray::from)).collect();
            let found =
                || part(codes, start, end).iter().map(|c| names.get(*c as usize).and_then(Option::as_ref));
            let levels: Vec<i16> = found().map(|n| i16::from(n.is_some())).collect();
            let texts: Vec<ByteArray> = found().flatten().cloned().collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, Some(&levels), None)?;
        }
        Column::Text(bytes, ends) => {
            let shared = bytes::Bytes::copy_from_slice(bytes);
            let first = start.checked_sub(1).and_then(|i| ends.get(i)).copied().unwrap_or(0);
            let mut from = first;
            let texts: Vec<ByteArray> = part(ends, start, end)
                .iter()
                .map(|to| ByteArray::from(shared.slice(std::mem::replace(&mut from, *to)..*to)))
                .collect();
            writer.typed::<ByteArrayType>().write_batch(&texts, None, None)?;
        }
    }
    writer.close()
}

/// Those values.
pub(super) fn part<T>(values: &[T], start: usize, end: usize) -> &[T] {
    values.get(start..end).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use crate::digest::digest_table;
    use crate::table::{Column, Table, write_part};

    #[test]
    fn reals_with_ranges_of_nulls_are_written_as_options_are() {
        // A run over the end of a row group, single ones, and the last row.
        let nulls = vec![0..1, 7..9, 131_000..131_500, 299_999..300_000];
        let values: Vec<f64> = (0..300_000).map(|i| f64::from(i) / 7.0).collect();
        let mut options: Vec<Option<f64>> = values.iter().copied().map(Some).collect();
        for null in &nulls {
            options[null.clone()].fill(None);
        }
        let whole: Vec<i64> = (0..300_000).map(|i| i * i - 9).collect();
        let none = || ("whole", Column::I64(whole.clone()));
        let plain = || ("plain", Column::Reals(values.clone(), Vec::new()));
        let tables: [Table; 2] = [
            vec![none(), ("real", Column::Reals(values.clone(), nulls)), plain()],
            vec![
                none(),
                ("real", Column::F64(options)),
                ("plain", Column::F64(values.iter().copied().map(Some).collect())),
            ],
        ];
        let facts = tables.map(|table| {
            let path = std::env::temp_dir().join(format!("tahoe-reals-{}", std::process::id()));
            let path = path.to_str().unwrap();
            let facts = write_part(path, &table).unwrap();
            // What is read back goes through the digest value by value.
            assert_eq!(digest_table(path).unwrap(), (300_000, facts.digest.clone()));
            std::fs::remove_file(path).unwrap();
            (facts.sha256, facts.digest)
        });
        assert_eq!(facts[0], facts[1]);
    }
}
