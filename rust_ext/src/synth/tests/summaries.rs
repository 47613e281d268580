//! Rows of a cells table against the cells they stand for.

use super::*;

#[test]
fn summaries_agree_with_the_cells_they_stand_for() {
    let mut big = spec(Effects { counts_spread: 0.5, drug: 0.3, ..SOME });
    big.tokens = (3..40_003).collect();
    big.kinds = (0..40_000)
        .map(|g| {
            if g == 700 {
                4
            } else if g < 15 {
                3
            } else {
                1 + u8::from(g % 2 == 0)
            }
        })
        .collect();
    let model = Model::new(&big).unwrap();
    let keys = keys(3_000, 1, 1);
    let rows = model.summaries(&keys).unwrap();
    let cells = read(&model.cells(&keys).unwrap());
    let n = 3_000.0;
    let mean = |values: &mut dyn Iterator<Item = f64>| values.sum::<f64>() / n;
    let close = |name: &str, a: f64, b: f64, tolerance: f64| {
        assert!((a / b - 1.0).abs() < tolerance, "{name}: {a} for {b}");
    };
    let counts = |cell: &[(i64, f32)]| -> Vec<f64> { cell[1..].iter().map(|e| f64::from(e.1)).collect() };
    let total = mean(&mut cells.iter().map(|cell| counts(cell).iter().sum()));
    close("total", mean(&mut rows.total_counts.iter().map(|v| *v as f64)), total, 0.02);
    let genes = mean(&mut cells.iter().map(|cell| counts(cell).len() as f64));
    close("genes", mean(&mut rows.n_genes_by_counts.iter().map(|v| f64::from(*v))), genes, 0.03);
    let max = mean(&mut cells.iter().map(|cell| counts(cell).into_iter().fold(0.0, f64::max)));
    close("max", mean(&mut rows.expr_max.iter().copied()), max, 0.05);
    let sd = |cell: &[(i64, f32)]| {
        let values = counts(cell);
        let m = values.iter().sum::<f64>() / values.len() as f64;
        (values.iter().map(|v| (v - m).powi(2)).sum::<f64>() / values.len() as f64).sqrt()
    };
    close("sd", mean(&mut rows.expr_std.iter().copied()), mean(&mut cells.iter().map(|c| sd(c))), 0.06);
    let log = |cell: &[(i64, f32)]| {
        let values = counts(cell);
        let sum: f64 = values.iter().sum();
        values.iter().map(|v| libm::log1p(v * 1e4 / sum)).sum::<f64>() / 40_000.0
    };
    close(
        "log",
        mean(&mut rows.mean_log1p_cp10k.iter().copied()),
        mean(&mut cells.iter().map(|c| log(c))),
        0.03,
    );
    let top = |cell: &[(i64, f32)]| {
        let mut values = counts(cell);
        values.sort_by(|a, b| b.total_cmp(a));
        100.0 * values[..50].iter().sum::<f64>() / values.iter().sum::<f64>()
    };
    close(
        "top",
        mean(&mut rows.pct_counts_in_top_50_genes.iter().copied()),
        mean(&mut cells.iter().map(|c| top(c))),
        0.12,
    );
}
