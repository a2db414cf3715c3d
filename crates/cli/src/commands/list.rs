//! `offramp list`: the registries.

use offramp_heads::{cascades, gradient_flows};
use offramp_methods::distill::distillers;
use serde::Serialize;

use super::print_json;
use crate::args::{Kind, ListArgs};
use crate::error::CliError;

#[derive(Clone, Serialize)]
struct Entry {
    name: &'static str,
    doc: &'static str,
    /// The table of a recipe or the option in which it is named, where there are several kinds.
    #[serde(skip_serializing_if = "Option::is_none")]
    table: Option<&'static str>,
    /// The key of that table, where it is not the one that the table is about.
    #[serde(skip_serializing_if = "Option::is_none")]
    key: Option<&'static str>,
}

impl Entry {
    fn label(&self) -> String {
        match self.key {
            Some(key) => format!("{key} = {:?}", self.name),
            None => self.name.to_owned(),
        }
    }
}

/// Shows a registry.
pub(crate) fn run(args: &ListArgs) -> Result<(), CliError> {
    let entries = entries(args.kind);
    if args.json {
        return print_json(&entries);
    }
    let width = entries.iter().map(|entry| entry.label().len()).max();
    let width = width.unwrap_or(0);
    let mut table = None;
    for entry in entries {
        if entry.table != table
            && let Some(name) = entry.table
        {
            if name.starts_with("--") {
                println!("{name} of `offramp calibrate`:");
            } else {
                println!("{name} of a recipe:");
            }
        }
        table = entry.table;
        println!("{:<width$}  {}", entry.label(), entry.doc);
    }
    Ok(())
}

fn entries(kind: Kind) -> Vec<Entry> {
    macro_rules! table {
        ($registry:expr, $doc:ident) => {
            table!($registry, $doc, None, None)
        };
        ($registry:expr, $doc:ident, $table:expr, $key:expr) => {
            $registry
                .iter()
                .map(|entry| Entry {
                    name: &entry.name,
                    doc: &entry.$doc,
                    table: $table,
                    key: $key,
                })
                .collect::<Vec<_>>()
        };
    }
    match kind {
        Kind::Backbones => table!(offramp_backbones::registry(), doc),
        Kind::Heads => table!(offramp_heads::registry(), doc),
        Kind::Methods => [
            table!(offramp_methods::registry(), doc, Some("[method]"), None),
            table!(distillers(), doc, Some("[distill.NAME]"), None),
            table!(cascades(), doc, Some("[model]"), Some("cascade")),
            table!(gradient_flows(), doc, Some("[model]"), Some("gradients")),
        ]
        .concat(),
        Kind::Datasets => table!(offramp_data::registry(), about),
        Kind::Policies => [
            table!(offramp_policies::registry(), doc, Some("--policy"), None),
            table!(offramp_policies::ensembles(), doc, Some("--ensemble"), None),
        ]
        .concat(),
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
            let names: BTreeSet<_> = (entries.iter())
                .map(|entry| (entry.table, entry.label()))
                .collect();
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
