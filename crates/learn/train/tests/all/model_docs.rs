//! The book's tables of `[model]` are those of the registries, and its recipes can be parsed.

use std::fs;
use std::path::Path;

use offramp_heads::{cascades, gradient_flows};
use offramp_train::Recipe;

fn page(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/src/methods");
    fs::read_to_string(folder.join(format!("{name}.md"))).unwrap()
}

#[test]
fn the_table_of_model_settings_is_the_registries() {
    let page = page("README");
    let rows = page
        .lines()
        .filter(|line| line.starts_with("| `cascade = ") || line.starts_with("| `gradients = "));
    let of = |row: &str| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        (cells[1].replace('`', ""), cells[3].to_owned())
    };
    let links = cascades().into_iter();
    let links = links.map(|entry| (format!("cascade = {:?}", entry.name), entry.doc));
    let flows = gradient_flows().iter();
    let flows = flows.map(|entry| (format!("gradients = {:?}", entry.name), entry.doc));
    let expected = links.chain(flows).map(|(key, doc)| (key, doc.to_owned()));
    assert_eq!(
        rows.map(of).collect::<Vec<_>>(),
        expected.collect::<Vec<_>>()
    );
}

#[test]
fn the_pages_have_recipes_that_work_and_the_first_states_the_defaults() {
    for (name, cascade) in [("boostnet", "boost"), ("ztw", "ztw"), ("imta", "isc")] {
        let page = page(name);
        let blocks = page.split("```toml\n").skip(1);
        let blocks: Vec<&str> = blocks
            .filter_map(|block| block.split("```").next())
            .collect();
        assert!(!blocks.is_empty());
        let entry = cascades()
            .into_iter()
            .find(|entry| entry.name == cascade)
            .unwrap();
        for block in blocks {
            let recipe = Recipe::parse(block, name.as_ref(), &[""; 0]);
            let recipe = recipe.unwrap_or_else(|error| panic!("{name}: {error}\n{block}"));
            assert_eq!(recipe.model.cascade, (entry.config)(), "{name}");
        }
        assert!(
            page.contains(&format!("recipes/cifar100-lowdata/{name}.toml")),
            "{name}"
        );
    }
}
