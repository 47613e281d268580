//! Where the nanoseconds go: the kernels of one shard in memory, on one thread.
//!
//! `TAHOE_SHARD=FILE cargo bench` measures that shard; without it the bench says so and ends.

#![allow(missing_docs, reason = "criterion's macros")]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::indexing_slicing, reason = "a bench may stop")]

use bytes::Bytes;
use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use tahoe_core::cells::Checker;
use tahoe_core::footer::read_footer;
use tahoe_core::genes::GeneMoments;
use tahoe_core::hybrid::Piece;
use tahoe_core::layout::{Leaf, find_layout};
use tahoe_core::levels::RowShape;
use tahoe_core::limits::Limits;
use tahoe_core::moments::{judge, scale, summarize};
use tahoe_core::pages::ColumnPages;
use tahoe_core::request::{ScanRequest, Stats};
use tahoe_core::scan::compute;
use tahoe_core::spectrum::Histogram;
use tahoe_core::store::Store;
use tahoe_core::table::write_part;
use tahoe_core::vocabulary::{Joins, Vocabulary};

struct Memory(Bytes);

impl Store for Memory {
    fn size(&self) -> u64 {
        self.0.len() as u64
    }

    fn read(&self, offset: u64, length: usize) -> std::io::Result<Bytes> {
        let start = usize::try_from(offset).unwrap();
        Ok(self.0.slice(start..start + length))
    }
}

fn request<'a>(stats: Stats, vocabulary: &'a Vocabulary, joins: &'a Joins) -> ScanRequest<'a> {
    ScanRequest {
        path: "",
        shard: "shard",
        part: "",
        genes_part: None,
        stats,
        identity: None,
        vocabulary,
        joins,
        wanted: [None, None, None, None],
        rows: (0, u64::MAX),
        min_genes: 0,
        reject_rows: false,
        limits: Limits::default(),
    }
}

/// A column of one row group, measured, with the number of values it has.
fn opened(store: &Memory, leaf: Leaf, group: usize) -> (ColumnPages, Vec<RowShape>, usize) {
    let limits = Limits::default();
    let footer = read_footer(store, &limits).unwrap();
    let mut pages = ColumnPages::open(store, &footer, group, leaf, &limits).unwrap();
    let mut shapes = Vec::new();
    pages.measure(usize::MAX, usize::MAX, &mut shapes).unwrap();
    let values = shapes.iter().map(|s| s.values as usize).sum();
    (pages, shapes, values)
}

fn kernels(criterion: &mut Criterion) {
    let Some(path) = std::env::var_os("TAHOE_SHARD") else {
        eprintln!("TAHOE_SHARD is not set: nothing to measure (`make bench` sets it)");
        return;
    };
    let store = Memory(std::fs::read(path).expect("the shard can be read").into());
    let limits = Limits::default();
    let footer = read_footer(&store, &limits).unwrap();
    let rows = u64::try_from(footer.meta.file_metadata().num_rows()).unwrap();
    let genes = 62_710;
    let vocabulary = Vocabulary::new((3..genes + 3).collect(), vec![false; 62_710]).unwrap();
    let joins = Joins::default();

    let mut whole = criterion.benchmark_group("whole shard");
    whole.sample_size(10).throughput(Throughput::Elements(rows));
    for (name, stats) in [("summary", Stats::Summary), ("qc", Stats::Qc), ("all", Stats::All)] {
        let request = request(stats, &vocabulary, &joins);
        whole.bench_function(name, |b| b.iter(|| compute(&request, &store).unwrap()));
    }
    let tables = compute(&request(Stats::All, &vocabulary, &joins), &store).unwrap();
    let part = std::env::temp_dir().join(format!("tahoe-bench-{}.parquet", std::process::id()));
    for (name, table) in [("write cells", &tables.cells), ("write genes", tables.genes.as_ref().unwrap())] {
        whole.bench_function(name, |b| {
            b.iter(|| {
                write_part(part.to_str().unwrap(), table).unwrap();
                std::fs::remove_file(&part).unwrap();
            });
        });
    }
    whole.finish();

    steps(criterion, &store, &vocabulary);
}

/// The steps, on one row group; times are given an entry.
fn steps(criterion: &mut Criterion, store: &Memory, vocabulary: &Vocabulary) {
    let footer = read_footer(store, &Limits::default()).unwrap();
    let layout = find_layout(footer.meta.file_metadata().schema_descr()).unwrap();
    let (_, shapes, entries) = opened(store, layout.genes, 0);
    let mut steps = criterion.benchmark_group("an entry of a row group");
    steps.sample_size(20).throughput(Throughput::Elements(entries as u64));
    for (name, leaf) in [("genes", layout.genes), ("expressions", layout.expressions)] {
        steps.bench_function(format!("{name}: decompress and levels"), |b| b.iter(|| opened(store, leaf, 0)));
        steps.bench_function(format!("{name}: unpack"), |b| {
            b.iter_batched_ref(
                || (opened(store, leaf, 0).0, Vec::with_capacity(entries)),
                |(pages, out)| pages.codes(entries, out).unwrap(),
                BatchSize::LargeInput,
            );
        });
    }
    let (mut pages, ..) = opened(store, layout.expressions, 0);
    let mut codes = Vec::new();
    pages.codes(entries, &mut codes).unwrap();
    let mut checker = Checker::default();
    checker.learn_values(pages.dictionary().numbers());
    let (mut gene_pages, ..) = opened(store, layout.genes, 0);
    let mut dense = Vec::new();
    gene_pages.codes(entries, &mut dense).unwrap();
    checker.learn_tokens(gene_pages.dictionary().numbers(), vocabulary);
    let raw = dense.clone();
    steps.bench_function("genes: to dense indices", |b| {
        b.iter_batched_ref(|| raw.clone(), |genes| checker.to_dense(genes), BatchSize::LargeInput);
    });
    checker.to_dense(&mut dense);
    steps.bench_function("histogram", |b| {
        let mut histogram = Histogram::default();
        histogram.reserve(checker.counts().len());
        b.iter(|| histogram.add(Piece::Each(&codes)));
    });
    let bounds: Vec<(usize, usize)> = shapes
        .iter()
        .scan(0, |at, shape| {
            let start = *at;
            *at += shape.values as usize;
            Some((start, *at))
        })
        .collect();
    let mut moments = GeneMoments::new(vocabulary.len());
    for (name, level) in [
        ("check", 0),
        ("check, summarize", 1),
        ("check, summarize, judge", 2),
        ("check, summarize, judge, genes", 3),
    ] {
        steps.bench_function(name, |b| {
            let (mut spectrum, mut scaled) = (Vec::new(), Vec::new());
            b.iter(|| {
                let mut sum = 0_u64;
                for (start, end) in &bounds {
                    let row = checker
                        .check_row(&dense[*start..*end], &codes[*start..*end], vocabulary, &mut spectrum)
                        .unwrap();
                    let total = if level > 0 { summarize(&row).total_counts } else { 1 };
                    if level > 1 {
                        scale(row.spectrum, total, &mut scaled);
                        sum += judge(&row, total, &scaled, checker.counts(), vocabulary).total_counts_mt;
                    }
                    if level > 2 {
                        moments.add(&row, &scaled, checker.counts().len());
                    }
                    sum += total;
                }
                sum
            });
        });
    }
    steps.finish();
}

criterion_group!(benches, kernels);
criterion_main!(benches);
