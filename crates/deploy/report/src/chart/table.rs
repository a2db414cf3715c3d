//! The numbers of a chart.

use std::collections::BTreeSet;
use std::fmt::Write;

use super::{Chart, Mark, Point, Series};

/// Rows of a table beside a chart; the CSV has all.
const ROWS: usize = 14;

/// Cells of text under a header.
#[derive(Clone, Debug, Default, PartialEq)]
pub(crate) struct Table {
    pub(crate) header: Vec<String>,
    pub(crate) rows: Vec<Vec<String>>,
    /// What was left out.
    pub(crate) remark: Option<String>,
}

impl Chart {
    /// The numbers: a row for each `x`, or for each category.
    pub(crate) fn table(&self) -> Table {
        let first = if self.categories.is_empty() {
            self.x.label.clone()
        } else {
            "class".to_owned()
        };
        let series = || self.series.iter().filter(|s| s.mark != Mark::Guide);
        let names = series().map(|series| series.name.clone());
        let xs = self.xs();
        let every = if self.categories.is_empty() {
            xs.len().div_ceil(ROWS).max(1)
        } else {
            1
        };
        let last = xs.len().saturating_sub(1);
        let kept: Vec<f64> = (xs.iter().enumerate())
            .filter(|(at, _)| at % every == 0 || *at == last)
            .map(|(_, x)| *x)
            .collect();
        let row = |x: &f64| {
            let head = match self.categories.get(*x as usize) {
                Some(category) => category.clone(),
                None => number(*x),
            };
            let cells = series().map(|series| cell(series, *x));
            [head].into_iter().chain(cells).collect()
        };
        Table {
            header: [first].into_iter().chain(names).collect(),
            remark: (every > 1).then(|| {
                format!(
                    "{} of {} rows; `--format csv` writes all.",
                    kept.len(),
                    xs.len()
                )
            }),
            rows: kept.iter().map(row).collect(),
        }
    }

    /// Lines of `chart,series,x,category,y,spread`.
    pub(crate) fn csv_rows(&self, text: &mut String) {
        for series in self.series.iter().filter(|s| s.mark != Mark::Guide) {
            for point in &series.points {
                let category = self.categories.get(point.x as usize);
                let optional = |value: Option<f64>| value.map_or(String::new(), |v| v.to_string());
                // Writing into a string cannot fail.
                let _ = writeln!(
                    text,
                    "{},{},{},{},{},{}",
                    field(&self.id),
                    field(&series.name),
                    point.x,
                    field(category.map_or("", |c| c)),
                    optional(point.y),
                    optional(point.spread),
                );
            }
        }
    }

    /// All `x` of what is not a guide, rising.
    fn xs(&self) -> Vec<f64> {
        let series = self.series.iter().filter(|s| s.mark != Mark::Guide);
        let points = series.flat_map(|series| &series.points);
        // Coordinates are finite, and of finite numbers that are not negative the bits rise too.
        let bits: BTreeSet<(bool, u64)> = points
            .map(|point| (point.x >= 0.0, point.x.to_bits()))
            .collect();
        bits.into_iter()
            .map(|(_, bits)| f64::from_bits(bits))
            .collect()
    }
}

fn cell(series: &Series, x: f64) -> String {
    let point = series.points.iter().find(|point| point.x == x);
    match point {
        Some(&Point {
            y: Some(y),
            spread: Some(spread),
            ..
        }) => {
            format!("{} ± {}", number(y), number(spread))
        }
        Some(&Point { y: Some(y), .. }) => number(y),
        _ => "–".to_owned(),
    }
}

/// Four digits, and integers as they are.
pub(crate) fn number(value: f64) -> String {
    match value.abs() {
        v if v == v.trunc() && v < 1e9 => format!("{value:.0}"),
        v if v >= 1e4 => format!("{value:.0}"),
        v if v >= 10.0 => format!("{value:.2}"),
        v if v >= 1.0 => format!("{value:.3}"),
        v if v >= 1e-3 => format!("{value:.4}"),
        _ => format!("{value:.2e}"),
    }
}

/// A field of RFC 4180. A leading `=`, `+`, `-` or `@`, which a spreadsheet would compute, is kept
/// from it by an apostrophe: names come from recipes, and recipes from anywhere.
fn field(text: &str) -> String {
    let guard = if text.starts_with(['=', '+', '-', '@']) {
        "'"
    } else {
        ""
    };
    if text.contains([',', '"', '\n', '\r']) {
        format!("\"{guard}{}\"", text.replace('"', "\"\""))
    } else {
        format!("{guard}{text}")
    }
}

#[cfg(test)]
mod tests {
    use super::super::tests::chart;
    use super::*;

    #[test]
    fn tables_hold_the_numbers() {
        let table = chart().table();
        assert_eq!(table.header, ["epoch", "<b>exit 0", "one"]);
        assert_eq!(table.rows[0], ["1", "3", "–"]);
        assert_eq!(table.rows[1], ["2", "–", "2"]);
        assert_eq!(table.rows.len(), 4);
    }

    #[test]
    fn long_tables_are_thinned_and_keep_the_last_row() {
        let mut long = chart();
        let points = (0..100).map(|x| (f64::from(x), Some(1.5)));
        long.series = vec![Series::new("a", 0, Mark::Line).with(points)];
        let table = long.table();
        assert_eq!(table.rows.len(), 14);
        assert_eq!(table.rows[13], ["99", "1.500"]);
        assert!(table.remark.unwrap().starts_with("14 of 100 rows"));
        let mut text = String::new();
        long.csv_rows(&mut text);
        assert_eq!(text.lines().count(), 100);
        assert_eq!(text.lines().next(), Some("a-b,a,0,,1.5,"));
    }

    #[test]
    fn fields_are_quoted() {
        assert_eq!(field("a,\"b\""), "\"a,\"\"b\"\"\"");
        assert_eq!(field("=1+1"), "'=1+1");
        assert_eq!(number(0.00012), "1.20e-4");
    }
}
