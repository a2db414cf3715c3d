//! Branches of one network: trained together, deployed one by one.

mod support;

use support::{TINY, failure, json, recipe, text};

fn branches(method: &str) -> String {
    TINY.replace(
        "backbone = \"resnet8\"",
        "backbone = \"resnet8\"\nhead = \"branch\"\nexits = [1, 1, 1]",
    )
    .replace("name = \"mate\"", &format!("name = {method:?}"))
    .replace(
        "val-fraction = 0.25",
        "val-fraction = 0.25\nmean = [0.5, 0.4, 0.3]\nstd = [0.2, 0.2, 0.2]",
    )
}

/// As docs/src/methods/one.md says it.
#[test]
fn one_branch_alone_is_the_plain_network_and_scores_as_before() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), &branches("one"));
    let trained = folder.path().join("trained");
    json(&["train", text(&recipe), "--out", text(&trained), "--json"]);
    let all = json(&["eval", text(&trained), "--json"]);
    let exits = all["exits"].as_array().unwrap();
    assert_eq!(exits.len(), 3);

    let weights = trained.join("model.safetensors");
    for branch in 0..3 {
        let alone = folder.path().join(format!("branch-{branch}"));
        let others: String = (0..3)
            .filter(|b| *b != branch)
            .map(|b| b.to_string())
            .collect();
        let (leave_out, take) = (
            format!(r"^heads\.[{others}]\..*="),
            format!(r"^heads\.{branch}\.="),
        );
        let import = [
            "import",
            text(&weights),
            "--backbone",
            "resnet8",
            "--rename",
            &leave_out,
            "--rename",
            &take,
            "--mean",
            ".5,.4,.3",
            "--std",
            ".2,.2,.2",
            "--out",
            text(&alone),
            "--json",
        ];
        let document = json(&import);
        assert_eq!(document["left_fresh"].as_array().unwrap().len(), 0);
        // The recipe says which images.
        std::fs::copy(trained.join("recipe.toml"), alone.join("recipe.toml")).unwrap();
        let scores = json(&["eval", text(&alone), "--json"]);
        let score = &scores["exits"][0];
        assert_eq!(score["macs"], exits[0]["macs"], "the plain network's cost");
        for key in ["top1", "nll"] {
            assert_eq!(score[key], exits[branch][key], "{key} of branch {branch}");
        }
    }
}

#[test]
fn calibration_and_prediction_take_branches_for_exits() {
    let folder = tempfile::tempdir().unwrap();
    let recipe = recipe(folder.path(), &branches("okddip"));
    let trained = folder.path().join("trained");
    json(&["train", text(&recipe), "--out", text(&trained), "--json"]);
    let curve = json(&["calibrate", text(&trained), "--json"]);
    assert!(curve.is_object());
    let wrong = branches("one").replace("head = \"branch\"\n", "");
    let recipe = support::recipe(folder.path(), &wrong);
    let out = folder.path().join("wrong");
    let message = failure(&["train", text(&recipe), "--out", text(&out)]);
    assert!(
        message.contains("must increase and end with 2"),
        "{message}"
    );
}
