//! The book's tables are those of the registries, and its recipes can be parsed.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use offramp_methods::distill::{DistillConfig, DistillerEntry, distillers};
use offramp_methods::{MethodConfig, registry};
use serde::Deserialize;

#[derive(Deserialize)]
struct Recipe {
    method: MethodConfig,
}

fn page(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/src/methods");
    let path: PathBuf = folder.join(format!("{name}.md"));
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

fn toml_blocks(page: &str) -> impl Iterator<Item = &str> {
    let blocks = page.split("```toml\n").skip(1);
    blocks.filter_map(|block| block.split("```").next())
}

#[test]
fn the_table_of_methods_is_the_registry() {
    let page = page("README");
    let rows: Vec<&str> = page
        .lines()
        .filter(|line| line.starts_with("| [`"))
        .collect();
    let row = |entry: &offramp_methods::MethodEntry| {
        format!("| [`{0}`]({0}.md) | {1} |", entry.name, entry.doc)
    };
    let expected: Vec<String> = registry().iter().map(row).collect();
    assert_eq!(rows, expected);
}

#[test]
fn every_method_has_a_page_with_a_recipe_that_works() {
    for entry in registry() {
        let page = page(entry.name);
        let mut recipes = 0;
        for block in toml_blocks(&page) {
            let recipe: Recipe = toml::from_str(block)
                .unwrap_or_else(|error| panic!("{}: {error}\n{block}", entry.name));
            assert_eq!(recipe.method.name(), entry.name, "{block}");
            recipes += 1;
        }
        assert!(recipes > 0, "{} has no recipe", entry.name);
    }
}

/// The first recipe of a page spells out defaults, apart from a ramp that it marks.
#[test]
fn the_first_recipe_of_a_page_states_the_defaults() {
    for entry in registry() {
        let page = page(entry.name);
        let block = toml_blocks(&page).next().expect("checked above");
        let unmarked: Vec<&str> = block
            .lines()
            .filter(|line| !line.contains("default:"))
            .collect();
        let recipe: Recipe = toml::from_str(&unmarked.join("\n")).expect("checked above");
        assert_eq!(recipe.method, (entry.config)(), "{}", entry.name);
    }
}

#[derive(Deserialize)]
struct Taught {
    distill: BTreeMap<String, DistillConfig>,
}

/// A distiller that has the name of a method needs a page of another.
fn page_of(entry: &DistillerEntry) -> String {
    if registry().iter().any(|method| method.name == entry.name) {
        format!("distill-{}", entry.name)
    } else {
        entry.name.to_owned()
    }
}

#[test]
fn the_table_of_distillers_is_their_registry() {
    let page = page("distillers");
    let rows = page.lines().filter(|line| line.starts_with("| [`"));
    let expected = (distillers().iter()).map(|entry| {
        format!(
            "| [`{}`]({}.md) | {} |",
            entry.name,
            page_of(entry),
            entry.doc
        )
    });
    assert_eq!(rows.collect::<Vec<_>>(), expected.collect::<Vec<_>>());
}

#[test]
fn every_distiller_has_a_page_whose_example_states_the_defaults() {
    for entry in distillers() {
        let page = page(&page_of(entry));
        let block = toml_blocks(&page).next().expect("an example");
        let example: Taught = toml::from_str(block)
            .unwrap_or_else(|error| panic!("{}: {error}\n{block}", entry.name));
        let table = &example.distill[entry.name];
        assert_eq!(table.loss, (entry.config)(), "{}", entry.name);
        let recipe = format!("recipes/distill/{}.toml", entry.name);
        assert!(
            page.contains(&recipe),
            "{} does not name {recipe}",
            entry.name
        );
    }
}
