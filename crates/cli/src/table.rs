//! Plain tables for people.

use std::fmt::Write;

/// Lays out rows under a header: the first column to the left, the others to the right.
pub(crate) fn render(header: &[&str], rows: &[Vec<String>]) -> String {
    let columns = header.len();
    let width = |column: usize| {
        let cells = rows.iter().map(|row| row[column].chars().count());
        cells
            .chain([header[column].chars().count()])
            .max()
            .unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(width).collect();
    let mut text = String::new();
    let mut line = |cells: &mut dyn Iterator<Item = &str>| {
        let mut row = String::new();
        for (column, (cell, width)) in cells.zip(&widths).enumerate() {
            let _ = match column {
                0 => write!(row, "{cell:<width$}"),
                _ => write!(row, "  {cell:>width$}"),
            };
        }
        text.push_str(row.trim_end());
        text.push('\n');
    };
    line(&mut header.iter().copied());
    for row in rows {
        line(&mut row.iter().map(String::as_str));
    }
    text
}

/// Multiply-accumulates with a unit: `40.81 M`.
pub(crate) fn macs(macs: f64) -> String {
    match macs {
        m if m >= 1e9 => format!("{:.2} G", m / 1e9),
        m if m >= 1e6 => format!("{:.2} M", m / 1e6),
        m if m >= 1e3 => format!("{:.2} k", m / 1e3),
        m => format!("{m:.0}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_line_up() {
        let rows = vec![
            vec!["0".into(), "61.20".into()],
            vec!["10".into(), "7".into()],
        ];
        assert_eq!(
            render(&["exit", "top-1"], &rows),
            "exit  top-1\n0     61.20\n10        7\n"
        );
    }

    #[test]
    fn units() {
        assert_eq!(macs(40_813_184.0), "40.81 M");
        assert_eq!(macs(1.8e9), "1.80 G");
        assert_eq!(macs(12.0), "12");
    }
}
