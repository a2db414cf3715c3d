//! `offramp list`: the registries.

use serde::Serialize;

use super::print_json;
use crate::args::{Kind, ListArgs};
use crate::error::CliError;

#[derive(Serialize)]
struct Entry {
    name: &'static str,
    doc: &'static str,
}

/// Shows a registry.
pub fn run(args: &ListArgs) -> Result<(), CliError> {
    let entries = entries(args.kind);
    if args.json {
        return print_json(&entries);
    }
    let rows: Vec<_> = entries
        .iter()
        .map(|entry| vec![entry.name.to_owned(), entry.doc.to_owned()])
        .collect();
    let width = rows.iter().map(|row| row[0].len()).max().unwrap_or(0);
    for row in rows {
        println!("{:<width$}  {}", row[0], row[1]);
    }
    Ok(())
}

fn entries(kind: Kind) -> Vec<Entry> {
    macro_rules! table {
        ($registry:expr, $doc:ident) => {
            $registry
                .iter()
                .map(|entry| Entry {
                    name: &entry.name,
                    doc: &entry.$doc,
                })
                .collect()
        };
    }
    match kind {
        Kind::Backbones => table!(offramp_backbones::registry(), doc),
        Kind::Heads => table!(offramp_heads::registry(), doc),
        Kind::Methods => table!(offramp_methods::registry(), doc),
        Kind::Datasets => table!(offramp_data::registry(), about),
        Kind::Policies => table!(offramp_policies::registry(), doc),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::ValueEnum;
    use std::collections::BTreeSet;

    #[test]
    fn every_table_has_unique_names_and_one_line_docs() {
        for kind in Kind::value_variants() {
            let entries = entries(*kind);
            let names: BTreeSet<_> = entries.iter().map(|entry| entry.name).collect();
            assert_eq!(names.len(), entries.len());
            assert!(!entries.is_empty());
            assert!(
                entries
                    .iter()
                    .all(|entry| !entry.doc.is_empty() && !entry.doc.contains('\n'))
            );
        }
    }
}
