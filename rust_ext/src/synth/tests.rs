//! The sampler against its stated law.

use super::*;

mod summaries;

const GENES: u32 = 3_000;

fn spec(effects: Effects) -> Spec {
    let kinds = (0..GENES).map(|gene| match gene {
        700 => 4,
        800..=812 => 3,
        _ if gene % 3 == 0 => 1,
        _ => 2,
    });
    let well = |sample: &str, drug: &str, dose_um| Well { sample: sample.into(), drug: drug.into(), dose_um };
    Spec {
        seed: 11,
        tokens: (3..GENES + 3).collect(),
        kinds: kinds.collect(),
        lines: vec!["CVCL_0131".into(), "CVCL_1239".into()],
        wells: vec![
            well("smp_1877", "DMSO_TF", 0.0),
            well("smp_1783", "Alpha", 5.0),
            well("smp_1784", "Alpha", 0.05),
        ],
        effects,
        marker: true,
    }
}

const NONE: Effects =
    Effects { line: 0.0, drug: 0.0, well: 0.0, drug_genes: 0.05, median_counts: 2_000.0, counts_spread: 0.0 };
const SOME: Effects = Effects { line: 0.8, drug: 1.0, well: 0.3, drug_genes: 0.2, ..NONE };

fn keys(n: u64, well: u32, line: u32) -> Vec<CellKey> {
    (0..n).map(|index| CellKey { well, line, key: cell_key(4, 1, index) }).collect()
}

/// (token, count) of each cell, read back from the buffers.
fn read(entries: &Entries) -> Vec<Vec<(i64, f32)>> {
    let offsets: Vec<usize> = entries
        .offsets
        .as_chunks::<4>()
        .0
        .iter()
        .map(|bytes| usize::try_from(i32::from_le_bytes(*bytes)).unwrap())
        .collect();
    let genes = entries.genes.as_chunks::<8>().0.iter().map(|bytes| i64::from_le_bytes(*bytes));
    let values = entries.expressions.as_chunks::<4>().0.iter().map(|b| f32::from_le_bytes(*b));
    let all: Vec<(i64, f32)> = genes.zip(values).collect();
    offsets.windows(2).map(|pair| all[pair[0]..pair[1]].to_vec()).collect()
}

#[test]
fn a_cell_is_the_marker_then_ascending_genes_with_whole_counts() {
    let model = Model::new(&spec(SOME)).unwrap();
    for cell in read(&model.cells(&keys(50, 1, 0)).unwrap()) {
        assert_eq!(cell[0], (1, -2.0));
        assert!(cell.windows(2).all(|pair| pair[0].0 < pair[1].0));
        assert!(cell[1..].iter().all(|(_, count)| *count >= 1.0 && count.fract() == 0.0));
    }
    let bare = Model::new(&Spec { marker: false, ..spec(SOME) }).unwrap();
    assert!(read(&bare.cells(&keys(50, 1, 0)).unwrap()).iter().all(|cell| cell[0].0 > 2));
}

#[test]
fn counts_follow_the_profile_by_a_chi_square_test() {
    // Without spread and effects a gene's counts over n cells are Poisson(n · 2,000 · share);
    // mitochondrial genes and MALAT1 vary by cell, so they are tested by their mean below.
    let model = Model::new(&spec(NONE)).unwrap();
    let shares = model.shares(&model.lines()[0]);
    let mut sums = vec![0.0; GENES as usize];
    let n = 4_000;
    for cell in read(&model.cells(&keys(n, 0, 0)).unwrap()) {
        for (token, count) in &cell[1..] {
            sums[usize::try_from(token - 3).unwrap()] += f64::from(*count);
        }
    }
    let (mut chi, mut freedom) = (0.0, 0.0);
    for (gene, (sum, share)) in sums.iter().zip(&shares).enumerate() {
        let expected = n as f64 * 2_000.0 * share;
        if gene == 700 {
            assert!((sum / expected - 1.0).abs() < 0.03, "MALAT1: {sum} for {expected}");
        } else if *share == 0.0 {
            assert!(sum.abs() < 0.5, "a silent gene was seen");
        } else if expected >= 20.0 && !(800..=812).contains(&gene) {
            chi += (sum - expected).powi(2) / expected;
            freedom += 1.0;
        }
    }
    // Mean and sd of chi square are k and sqrt(2k); four sd is one in 30,000.
    assert!(freedom > 1_000.0);
    assert!((chi - freedom).abs() < 4.0 * (2.0_f64 * freedom).sqrt(), "{chi} for {freedom}");
}

#[test]
fn shares_of_the_kinds_add_up_as_stated() {
    let model = Model::new(&spec(SOME)).unwrap();
    for line in model.lines() {
        let shares = model.shares(line);
        assert!((shares.iter().sum::<f64>() - 1.0).abs() < 1e-9);
        assert!((shares[700] - 0.06).abs() < 1e-12);
        assert!((shares[800..=812].iter().sum::<f64>() - 0.04).abs() < 1e-12);
    }
}

#[test]
fn a_planted_fold_change_is_found_in_the_counts() {
    let effects = Effects { line: 0.0, well: 0.0, ..SOME };
    let model = Model::new(&spec(effects)).unwrap();
    let (drug, well) = (&model.drugs()[1], &model.wells()[1]);
    let shares = model.shares(&model.lines()[0]);
    let mut moved = model.fold_changes(drug);
    moved.sort_by(|a, b| shares[b.0 as usize - 3].total_cmp(&shares[a.0 as usize - 3]));
    let total = |well| {
        let mut sums = vec![0.0_f64; GENES as usize];
        for (token, count) in read(&model.cells(&keys(4_000, well, 0)).unwrap()).concat() {
            if token > 2 {
                sums[usize::try_from(token - 3).unwrap()] += f64::from(count);
            }
        }
        sums
    };
    let (control, treated) = (total(0), total(1));
    for (token, lfc) in &moved[..20] {
        let gene = *token as usize - 3;
        let found = (treated[gene] / control[gene]).log2();
        let stated = lfc * well.response + drug.depth * well.response / std::f64::consts::LN_2;
        let error = (1.0 / treated[gene] + 1.0 / control[gene]).sqrt() / std::f64::consts::LN_2;
        assert!((found - stated).abs() < 4.5 * error, "{token}: {found} for {stated} ± {error}");
    }
}

#[test]
fn no_effect_is_none_exactly() {
    let model = Model::new(&spec(NONE)).unwrap();
    let here = model.cells(&keys(40, 0, 0)).unwrap();
    assert_eq!(here, model.cells(&keys(40, 1, 1)).unwrap());
    assert_eq!(here, model.cells(&keys(40, 2, 0)).unwrap());
    assert_ne!(here, Model::new(&spec(SOME)).unwrap().cells(&keys(40, 0, 0)).unwrap());
}

#[test]
fn a_cell_is_the_same_in_any_order_and_company() {
    let model = Model::new(&spec(SOME)).unwrap();
    let mut mixed: Vec<CellKey> = (0..6).flat_map(|i| keys(20, i % 3, i % 2)).collect();
    let forward = read(&model.cells(&mixed).unwrap());
    mixed.reverse();
    let mut backward = read(&model.cells(&mixed).unwrap());
    backward.reverse();
    assert_eq!(forward, backward);
    let alone: Vec<CellKey> = mixed.last().copied().into_iter().collect();
    assert_eq!(forward[0], read(&model.cells(&alone).unwrap())[0]);
}

#[test]
fn names_not_places_carry_the_effects() {
    let model = Model::new(&spec(SOME)).unwrap();
    let mut turned = spec(SOME);
    turned.lines.reverse();
    turned.wells.reverse();
    let turned = Model::new(&turned).unwrap();
    let here = model.cells(&keys(10, 1, 0)).unwrap();
    assert_eq!(here, turned.cells(&keys(10, 1, 1)).unwrap());
}

#[test]
fn a_model_that_cannot_be_is_refused() {
    assert!(Model::new(&Spec { lines: vec![], ..spec(NONE) }).is_err());
    assert!(Model::new(&Spec { kinds: vec![1], ..spec(NONE) }).is_err());
    assert!(Model::new(&spec(Effects { drug: f64::NAN, ..NONE })).is_err());
    let model = Model::new(&spec(NONE)).unwrap();
    assert!(model.cells(&keys(1, 9, 0)).is_err() && model.cells(&keys(1, 0, 9)).is_err());
    assert!(CellKey::read(&[0; 4], &[0; 4], &[0; 7]).is_err());
}

#[test]
fn the_bytes_of_a_seed_do_not_change() {
    // FNV-1a of the buffers: a change here is a change of every atlas ever made, and belongs in the CHANGELOG.
    let model = Model::new(&spec(Effects { counts_spread: 0.5, ..SOME })).unwrap();
    let drawn = model.cells(&(0..3).flat_map(|well| keys(20, well, well % 2)).collect::<Vec<_>>()).unwrap();
    let fold = |hash: u64, byte: &u8| (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
    let bytes = drawn.offsets.iter().chain(&drawn.genes).chain(&drawn.expressions);
    assert_eq!(bytes.fold(0xcbf2_9ce4_8422_2325, fold), 2_049_780_257_358_490_654);
}
