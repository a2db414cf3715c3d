//! Runs that begin with the weights of another run.

use std::path::Path;

use crate::support::*;
use offramp_core::params::{NamedTensors, collect};
use offramp_heads::{ModelCard, load_model};
use offramp_train::Recipe;

fn model(run: &Path) -> (NamedTensors, ModelCard) {
    let (net, card) = load_model(run, &offramp_core::default_device().unwrap()).unwrap();
    (collect(&net), card)
}

fn part(tensors: &NamedTensors, prefix: &str) -> NamedTensors {
    let named = |(name, _): &(&String, _)| name.starts_with(prefix);
    let tensors = tensors.iter().filter(named);
    tensors
        .map(|(name, data)| (name.clone(), data.clone()))
        .collect()
}

/// A recipe that begins with the network of `from`.
fn after(from: &Path, settings: &[&str]) -> Recipe {
    let from = format!("model.init-from={:?}", from.to_str().unwrap());
    recipe("plain", &[&[from.as_str()], settings].concat())
}

const FROZEN: &str = "model.freeze-backbone=true";

#[test]
fn a_frozen_backbone_keeps_weights_and_statistics_while_heads_learn() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    let settings = ["data.mean=[0.4, 0.5, 0.6]", "model.exits=[2]"];
    run(&recipe("plain", &settings), &first, false, None).unwrap();
    let with_ema = ["train.ema={ decay = 0.9 }", "model.head=sepconv", FROZEN];
    run(&after(&first, &with_ema), &second, false, None).unwrap();

    let (before, _) = model(&first);
    let (learned, card) = model(&second);
    let backbone = part(&before, "backbone.");
    assert!(backbone.keys().any(|name| name.ends_with("running_var")));
    assert!(backbone == part(&learned, "backbone."), "bit for bit");
    // The head of the last stage was taken, under its number here, and has learned since.
    let (old, new) = (&before["heads.0.fc.weight"], &learned["heads.2.fc.weight"]);
    assert!(old != new);
    let log = std::fs::read_to_string(second.join("log.txt")).unwrap();
    assert!(log.contains("fresh: heads.0, heads.1\n"), "{log}");
    assert_eq!(card.mean, [0.4, 0.5, 0.6], "as the first weights expect");

    // What was trained stands alone.
    std::fs::remove_dir_all(&first).unwrap();
    let text = std::fs::read_to_string(second.join("model.json")).unwrap();
    assert!(
        !text.contains("init-from") && !text.contains("freeze"),
        "{text}"
    );
    model(&second);
}

#[test]
fn a_step_of_nothing_shows_what_was_taken() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    run(&recipe("plain", &[]), &first, false, None).unwrap();
    let still = [
        "train.optimizer.lr=1e-30",
        "train.optimizer.weight-decay=0",
        FROZEN,
    ];
    run(&after(&first, &still), &second, false, None).unwrap();
    assert_eq!(
        model(&first).0,
        model(&second).0,
        "all heads fit and are taken"
    );
    let log = std::fs::read_to_string(second.join("log.txt")).unwrap();
    assert!(log.contains("fresh: nothing\n"), "{log}");
}

#[test]
fn a_backbone_that_is_not_frozen_learns_and_a_resumed_run_is_exact() {
    let parent = tempfile::tempdir().unwrap();
    let first = parent.path().join("first");
    run(&recipe("plain", &[]), &first, false, None).unwrap();
    for (name, settings) in [("learns", &[][..]), ("frozen", &[FROZEN][..])] {
        let recipe = after(&first, settings);
        let (whole, stopped) = (parent.path().join(name), parent.path().join("stopped"));
        run(&recipe, &whole, false, None).unwrap();
        run(&recipe, &stopped, false, Some(5)).unwrap();
        run(&recipe, &stopped, true, None).unwrap();
        assert_same_run(&whole, &stopped);
        let same = part(&model(&first).0, "backbone.") == part(&model(&whole).0, "backbone.");
        assert_eq!(same, name == "frozen");
        std::fs::remove_dir_all(&stopped).unwrap();
    }
}

#[test]
fn what_does_not_fit_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let (first, out) = (parent.path().join("first"), parent.path().join("out"));
    let error = |recipe: &Recipe| run(recipe, &out, false, None).unwrap_err().to_string();
    let missing = error(&after(&first, &[]));
    assert!(
        missing.contains("first") && missing.contains("model.json"),
        "{missing}"
    );
    run(
        &recipe("plain", &["model.backbone=resnet14"]),
        &first,
        false,
        None,
    )
    .unwrap();
    // Every tensor of ResNet-8 has the name and the shape of one of ResNet-14.
    for (backbone, named) in [("resnet8", "layer1.1"), ("resnet20", "layer1.2")] {
        let message = error(&after(&first, &[&format!("model.backbone={backbone}")]));
        for part in ["first", "resnet14", backbone, named] {
            assert!(message.contains(part), "{part}: {message}");
        }
    }
    let alone = Recipe::parse(
        "[model]\nfreeze-backbone = true",
        "r.toml".as_ref(),
        &[""; 0],
    );
    let message = alone.unwrap_err().to_string();
    assert!(
        message.contains("model.freeze-backbone") && message.contains("init-from"),
        "{message}"
    );
}
