use std::path::PathBuf;

use super::lines::MOST;
use super::part::GroupTable;
use super::*;
use crate::cells::{Oddities, Row};
use crate::genes::CARRY_AFTER;
use crate::moments::{CP_SCALE, quantize};
use crate::spectrum::Bin;
use crate::sums::mean_and_variance;
use crate::table::Column;

fn bin(value: u32, times: u32, code: u32) -> Bin {
    Bin { value, times, code }
}

fn genes_of(lines: &Lines) -> Vec<(u16, GroupGene)> {
    let mut found = Vec::new();
    lines.each(|gene, sums| found.push((gene, *sums)));
    found
}

fn scratch(name: &str) -> PathBuf {
    std::env::temp_dir().join(format!("tahoe-groups-{}-{name}", std::process::id()))
}

fn row<'a>(genes: &'a [u32], codes: &'a [u32], spectrum: &'a [Bin]) -> Row<'a> {
    let entries = u32::try_from(genes.len()).unwrap();
    Row { genes, codes, ascending: true, spectrum, entries, oddities: Oddities::default() }
}

#[test]
fn two_cells_counted_by_hand() {
    // Gene 0: 1 of 4 molecules, then absent; gene 1: 3 of 4, then 2 of 2; gene 2: a stored zero.
    let (mut terms, mut lines) = (Terms::default(), Lines::new(4));
    terms
        .add(&[(&[bin(0, 1, 2), bin(1, 1, 0), bin(3, 1, 1)], 4, &[0, 1 << 16 | 1, 2 << 16 | 2])], &mut lines);
    terms.add(&[(&[bin(2, 1, 0)], 2, &[1 << 16])], &mut lines);
    let found = genes_of(&lines);
    assert_eq!(found.iter().map(|(gene, _)| *gene).collect::<Vec<_>>(), [0, 1]);
    let (one, two) = (found[0].1, found[1].1);
    assert_eq!((one.sums.n_cells, one.sums.total_counts, one.squares), (1, 1, 1));
    assert_eq!((two.sums.n_cells, two.sums.total_counts, two.squares), (2, 5, 13));
    assert_eq!(mean_and_variance(two.sums.cp, two.sums.cp_squares, 2, CP_SCALE), (8_750.0, 3_125_000.0));
    assert_eq!(mean_and_variance(one.sums.cp, one.sums.cp_squares, 2, CP_SCALE), (1_250.0, 3_125_000.0));
}

#[test]
fn carrying_over_changes_nothing() {
    // The largest count that is added in 64 bits, in cells of a single gene: no word may run over.
    let (mut terms, mut lines) = (Terms::default(), Lines::new(1));
    let n = u64::from(CARRY_AFTER) * 2 + 5;
    for _ in 0..n {
        terms.add(&[(&[bin(MOST, 1, 0)], u64::from(MOST), &[0])], &mut lines);
    }
    let found = genes_of(&lines)[0].1;
    let (q, most) = (u128::from(quantize(10_000.0, CP_SCALE)), u64::from(MOST));
    assert_eq!((found.sums.n_cells, found.sums.total_counts), (n, n * most));
    assert_eq!(found.squares, u128::from(n) * u128::from(most) * u128::from(most));
    assert_eq!((found.sums.cp, found.sums.cp_squares), (u128::from(n) * q, u128::from(n) * q * q));
}

#[test]
fn a_huge_count_is_exact_and_one_that_does_not_fit_its_column_is_named() {
    let (mut terms, mut lines) = (Terms::default(), Lines::new(2));
    let huge = u32::MAX;
    // Two codes, one entry each, and an ordinary one beside them.
    terms.add(&[(&[bin(5, 1, 1), bin(huge, 1, 0)], u64::from(huge) + 5, &[0, 1 << 16 | 1])], &mut lines);
    let found = genes_of(&lines);
    let square = u128::from(huge) * u128::from(huge);
    assert_eq!((found[0].1.sums.n_cells, found[0].1.sums.total_counts), (1, u64::from(huge)));
    assert_eq!((found[0].1.squares, found[1].1.squares), (square, 25));
    let mut table = GroupTable::default();
    table.push(7, 3, 1, &found[0].1).unwrap();
    terms.add(&[(&[bin(huge, 1, 0)], u64::from(huge), &[0])], &mut lines);
    let twice = genes_of(&lines)[0].1;
    assert_eq!(twice.squares, 2 * square);
    let defect = table.push(7, 3, 2, &twice).unwrap_err();
    assert_eq!(defect.code, Code::ValueRange);
    assert!(defect.reason.contains("gene 3 in group 7"), "{defect}");
}

#[test]
fn genes_come_out_in_order_however_they_came_in() {
    let (mut terms, mut lines) = (Terms::default(), Lines::new(SHELF));
    let genes: Vec<u32> = (0..1_000).map(|i| (i * 7_919 + 5) % 65_535).collect();
    let entries: Vec<u32> = genes.iter().map(|gene| gene << 16).collect();
    terms.add(&[(&[bin(2, 1_000, 0)], 2_000, &entries)], &mut lines);
    let mut expected = genes;
    expected.sort_unstable();
    let found = genes_of(&lines);
    assert!(found.iter().map(|(gene, _)| u32::from(*gene)).eq(expected));
    assert!(found.iter().all(|(_, sums)| sums.squares == 4));
    assert!(lines.bytes() < 2 * SHELF + (1_000 + 256) * 64);
}

#[test]
fn what_is_spilled_comes_back_and_leaves_no_file() {
    let (mut terms, mut lines) = (Terms::default(), Lines::new(9));
    terms.add(&[(&[bin(3, 2, 0)], 6, &[8 << 16, 2 << 16])], &mut lines);
    let path = scratch("spill");
    let mut spill = Spill::new(path.to_str().unwrap().to_owned());
    spill.write_sums(4, &lines).unwrap();
    spill.write_sums(4, &lines).unwrap();
    assert!(!path.exists() && spill.size() == 4 * 98);
    let mut buffer = Buffer::default();
    buffer.push(4, 1, 7, &row(&[1, 6], &[0, 1], &[bin(2, 1, 0), bin(5, 1, 1)]), &[2, 5]);
    spill.write_rows(4, &buffer, &buffer.pieces).unwrap();
    let (mut found, mut rows) = (Vec::new(), Vec::new());
    spill
        .read(4, |spilled| match spilled {
            Spilled::Sums(gene, sums) => found.push((gene, sums)),
            Spilled::Row(total, bins, entries) => rows.push((total, bins.to_vec(), entries.to_vec())),
        })
        .unwrap();
    assert_eq!(found, [genes_of(&lines), genes_of(&lines)].concat());
    assert_eq!(rows, [(7, vec![bin(2, 0, 0), bin(5, 0, 1)], vec![1 << 16, 6 << 16 | 1])]);
    assert!(spill.has(4) && !spill.has(5));
}

#[test]
fn more_genes_than_one_shelf_and_more_codes_than_half_an_entry() {
    let mut buffer = Buffer::default();
    let counts: Vec<u32> = (0..70_001).collect();
    let spectrum = [bin(9, 1, 9), bin(70_000, 2, 70_000)];
    buffer.push(3, 2, 140_009, &row(&[4, 65_535, 69_999], &[70_000, 9, 70_000], &spectrum), &counts);
    buffer.sort();
    let found: Vec<_> = buffer
        .pieces
        .iter()
        .map(|piece| (piece.place, buffer.entries(piece).to_vec(), buffer.bins(piece).to_vec()))
        .collect();
    assert_eq!(
        found,
        [
            (6, vec![4 << 16], vec![bin(70_000, 1, 0)]),
            (7, vec![0, 4_464 << 16 | 1], vec![bin(9, 1, 0), bin(70_000, 1, 1)]),
        ]
    );
}

#[test]
fn a_group_of_one_cell_has_no_variance() {
    let (mut terms, mut lines) = (Terms::default(), Lines::new(1));
    terms.add(&[(&[bin(3, 1, 0)], 6, &[0])], &mut lines);
    let mut table = GroupTable::default();
    table.push(0, 3, 1, &genes_of(&lines)[0].1).unwrap();
    // One cell of two has the gene: 5,000 and 0.
    table.push(1, 3, 2, &genes_of(&lines)[0].1).unwrap();
    let columns = table.into_table();
    let reals = |name: &str| match columns.iter().find(|(n, _)| *n == name) {
        Some((_, Column::Reals(values, nulls))) => (values.clone(), nulls.clone()),
        _ => panic!("no column {name}"),
    };
    assert_eq!(reals("mean_cp10k"), (vec![5_000.0, 2_500.0], vec![]));
    let (values, nulls) = reals("var_cp10k");
    assert_eq!((values[1], nulls), (12_500_000.0, vec![0..1; 1]));
    assert_eq!(reals("var_log1p_cp10k").1.first(), Some(&(0..1)));
}

#[test]
fn a_table_in_the_memory_of_another_has_nothing_of_it() {
    let (mut terms, mut lines) = (Terms::default(), Lines::new(1));
    terms.add(&[(&[bin(3, 1, 0)], 6, &[0])], &mut lines);
    let sums = genes_of(&lines)[0].1;
    let mut first = GroupTable::default();
    for cells in 1..9 {
        first.push(4, 9, cells, &sums).unwrap();
    }
    let again = GroupTable::recycle(first.into_table());
    let (mut again, mut fresh) = (again, GroupTable::default());
    for table in [&mut again, &mut fresh] {
        table.push(5, 3, 2, &sums).unwrap();
        table.push(6, 3, 1, &sums).unwrap();
    }
    assert_eq!(format!("{:?}", again.into_table()), format!("{:?}", fresh.into_table()));
}

#[test]
fn rows_added_together_are_rows_added_one_by_one() {
    // Genes up and down, of every tile, codes of many rows, and so many rows that they are carried over in between.
    let rows: Vec<(Vec<Bin>, u64, Vec<u32>)> = (0..100_u32)
        .map(|row| {
            let bins = vec![bin(row + 1, 1, 0), bin(MOST + row, 1, 1), bin(2, 1, 2)];
            let mut entries: Vec<u32> =
                (0..300).map(|i| (((i * 211 + row) % 62_710) << 16) | ((i + row) % 3)).collect();
            if row % 2 == 0 {
                entries.reverse();
            }
            (bins, 1_000_000_000 + u64::from(row), entries)
        })
        .collect();
    let packed: Vec<_> =
        rows.iter().map(|(bins, total, entries)| (&bins[..], *total, &entries[..])).collect();
    let (mut terms, mut together, mut single) = (Terms::default(), Lines::new(62_710), Lines::new(62_710));
    for _ in 0..CARRY_AFTER / 100 + 2 {
        terms.add(&packed, &mut together);
        for row in &packed {
            terms.add(&[*row], &mut single);
        }
    }
    assert_eq!(genes_of(&together), genes_of(&single));
    assert!(genes_of(&together).len() > 10_000);
}
