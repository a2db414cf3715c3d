//! Metrics against numbers from plain Python.

mod support;

use offramp_policies::ExitTable;
use support::table_01;

/// Python, double precision, the logits below as `z`, labels `y`:
///
/// ```python
/// def sm(r):
///     m = max(r); e = [math.exp(v - m) for v in r]; return [v / sum(e) for v in e]
/// for k in range(2):
///     P = [sm(r) for r in z[k]]; bins = {}
///     nll = -sum(math.log(p[t]) for p, t in zip(P, y)) / 4
///     for p, t in zip(P, y):
///         c = max(p); b = math.ceil(c * 15); n, a, s = bins.get(b, (0, 0, 0))
///         bins[b] = (n + 1, a + (p.index(c) == t), s + c)
///     ece = sum(n / 4 * abs(a / n - s / n) for n, a, s in bins.values()) * 100
///     top1 = sum(p.index(max(p)) == t for p, t in zip(P, y)) * 25
///     top5 = sum(t in sorted(range(7), key=lambda c: -p[c])[:5] for p, t in zip(P, y)) * 25
///     print(top1, top5, nll, ece)
/// E = [[a + b for a, b in zip(sm(z[0][i]), sm(z[1][i]))] for i in range(4)]
/// print(sum(e.index(max(e)) == t for e, t in zip(E, y)) * 25)
/// ```
#[test]
fn golden_numbers() {
    let shallow = [
        [2.0, 1.0, 0.0, -1.0, 0.5, 0.25, -0.75],
        [0.0, 3.0, 0.0, 0.0, 1.0, -2.0, 0.5],
        [1.0, 1.5, -0.5, 2.0, 0.0, 0.125, 0.75],
        [-1.0, 0.0, 0.5, 0.25, 3.0, 2.5, -3.0],
    ];
    let deep = [
        [4.0, 0.0, 0.0, -2.0, 1.0, 0.5, -1.0],
        [0.0, 2.0, 2.5, 0.0, 1.0, 0.0, 0.5],
        [3.0, 0.0, -1.0, 1.0, 0.0, 0.0, 1.0],
        [0.0, 0.0, 0.0, 0.0, 1.0, 2.0, -1.0],
    ];
    let table = ExitTable::new(vec![shallow.concat(), deep.concat()], 7, vec![0, 1, 0, 6]).unwrap();
    let metrics = table.metrics();
    for (found, (nll, ece)) in metrics.iter().zip([
        (2.396_398_738_573_053, 42.596_767_327_667_81),
        (1.362_003_506_321_707, 34.480_530_655_767_69),
    ]) {
        assert_eq!((found.top1, found.top5), (50.0, 75.0));
        assert!((found.nll - nll).abs() < 1e-12, "{found:?}");
        // Confidences are kept in f32.
        assert!((found.ece - ece).abs() < 1e-5, "{found:?}");
    }
    assert_eq!((metrics[0].exit, metrics[1].exit), (0, 1));
    assert_eq!(table.running_ensemble_top1(), [50.0, 75.0]);
    assert_eq!(table.ensemble_top1(), 75.0);
}

/// 0.62 and 0.64 share the bin (0.6, 0.667], where a right and a wrong answer offset each other;
/// 0.59 and 0.51 lie in one bin each: `100 / 4 (|1 - 1.26| + |1 - 0.59| + |0 - 0.51|)`.
#[test]
fn calibration_gaps_are_averaged_within_bins() {
    let table = table_01(&[&[0.62, 0.64, 0.59, 0.51]], &[&[1, 0, 1, 0]]);
    let ece = table.metrics()[0].ece;
    assert!((ece - 25.0 * (0.26 + 0.41 + 0.51)).abs() < 1e-4, "{ece}");
}

/// Bins are closed above: 0.96 and 1 share the last one, `100 / 2 |1 - 1.96|`.
#[test]
fn certainty_shares_the_last_bin() {
    let logits = vec![24f32.ln(), 0.0, 900.0, 0.0];
    let table = ExitTable::new(vec![logits], 2, vec![0, 1]).unwrap();
    let ece = table.metrics()[0].ece;
    assert!((ece - 48.0).abs() < 1e-4, "{ece}");
}

#[test]
fn certainty_belongs_to_the_last_bin() {
    let sure = ExitTable::new(vec![vec![900.0, 0.0]], 2, vec![0]).unwrap();
    assert_eq!((sure.metrics()[0].ece, sure.metrics()[0].nll), (0.0, 0.0));
    let wrong = ExitTable::new(vec![vec![900.0, 0.0]], 2, vec![1]).unwrap();
    assert_eq!(
        (wrong.metrics()[0].ece, wrong.metrics()[0].nll),
        (100.0, 900.0)
    );
}
