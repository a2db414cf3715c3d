//! Training of cascades: what is recorded, taken from another run, exactly resumed, and refused.

use std::path::Path;

use crate::support::*;
use offramp_core::default_device;
use offramp_core::params::{NamedTensors, collect};
use offramp_heads::{CascadeConfig, cascades, load_model};
use offramp_train::Recipe;

fn tensors(run: &Path) -> NamedTensors {
    collect(&load_model(run, &default_device().unwrap()).unwrap().0)
}

fn log(run: &Path) -> String {
    std::fs::read_to_string(run.join("log.txt")).unwrap()
}

const BALANCED: &str = "model.gradients=equilibrium";

#[test]
fn every_cascade_learns_and_a_resumed_run_is_exact() {
    let parent = tempfile::tempdir().unwrap();
    for entry in cascades() {
        let cascade = format!("model.cascade={}", entry.name);
        let recipe = recipe("plain", &[&cascade, BALANCED]);
        let (whole, stopped) = (
            parent.path().join(entry.name),
            parent.path().join("stopped"),
        );
        run(&recipe, &whole, false, None).unwrap();
        run(&recipe, &stopped, false, Some(5)).unwrap();
        run(&recipe, &stopped, true, None).unwrap();
        assert_same_run(&whole, &stopped);
        std::fs::remove_dir_all(&stopped).unwrap();
        let (net, card) = load_model(&whole, &default_device().unwrap()).unwrap();
        assert_eq!(card.net.cascade, (entry.config)());
        assert_eq!(net.is_linked(1), entry.name != "none");
    }
    // How the gradients went belongs to the training and not to the network.
    let card = std::fs::read_to_string(parent.path().join("boost/model.json")).unwrap();
    assert!(
        card.contains("cascade") && !card.contains("gradients"),
        "{card}"
    );
}

/// Equal first steps up to the update: the same loss, and other weights of the first stages alone.
#[test]
fn equilibrium_changes_what_the_early_stages_learn() {
    let parent = tempfile::tempdir().unwrap();
    let one = [
        "train.epochs=1",
        "train.checkpoint.every-steps=1",
        "train.log-every=1",
    ];
    let learned = |name: &str, settings: &[&str]| {
        let out = parent.path().join(name);
        let recipe = recipe("plain", &[&one[..], settings].concat());
        run(&recipe, &out, false, Some(1)).unwrap();
        let line = metrics(&out).into_iter().next().unwrap();
        let checkpoint = out.join("checkpoints").read_dir().unwrap().next().unwrap();
        let net = offramp_train::checkpoint::read(&checkpoint.unwrap().path())
            .unwrap()
            .net;
        (line["loss"].clone(), net)
    };
    let (loss, plain) = learned("plain", &[]);
    let (balanced_loss, balanced) = learned("balanced", &[BALANCED]);
    assert_eq!(loss, balanced_loss);
    for (name, data) in &plain {
        let early = ["conv1", "bn1", "layer1", "layer2"].iter().any(|part| {
            name.strip_prefix("backbone.")
                .is_some_and(|name| name.starts_with(part))
        });
        let learns = early && !name.contains("running_");
        assert_eq!(*data != balanced[name], learns, "{name}");
    }
}

#[test]
fn links_are_taken_from_another_run_where_they_fit() {
    let parent = tempfile::tempdir().unwrap();
    let first = parent.path().join("first");
    run(
        &recipe("plain", &["model.cascade=isc"]),
        &first,
        false,
        None,
    )
    .unwrap();
    let from = format!("model.init-from={:?}", first.to_str().unwrap());
    let still = [
        from.as_str(),
        "model.freeze-backbone=true",
        "train.optimizer.lr=1e-30",
        "train.optimizer.weight-decay=0",
    ];
    for (name, settings, fresh) in [
        ("same", &["model.cascade=isc"][..], "nothing"),
        ("alone", &[][..], "nothing"),
        (
            "other",
            &["model.cascade={ name = 'ztw', last = true }"][..],
            "links.1, links.2",
        ),
        // No link there leads from stage 0 to stage 2.
        (
            "fewer",
            &["model.cascade=isc", "model.exits=[0, 2]"][..],
            "links.1",
        ),
    ] {
        let out = parent.path().join(name);
        run(
            &recipe("plain", &[&still[..], settings].concat()),
            &out,
            false,
            None,
        )
        .unwrap();
        let log = log(&out);
        assert!(log.contains(&format!("fresh: {fresh}\n")), "{log}");
    }
    let running = |name: &&String| !name.starts_with("links") || !name.contains("running_");
    let (old, new) = (tensors(&first), tensors(&parent.path().join("same")));
    assert!(
        old.keys()
            .filter(running)
            .all(|name| old[name] == new[name])
    );
    let old = &old["heads.2.fc.weight"];
    assert_eq!(
        *old,
        tensors(&parent.path().join("fewer"))["heads.1.fc.weight"]
    );
}

/// Zero-Time-Waste's network: whatever the optimiser does, what was trained stays.
#[test]
fn a_last_exit_of_weight_0_stays_as_it_was_found() {
    let parent = tempfile::tempdir().unwrap();
    let (first, second) = (parent.path().join("first"), parent.path().join("second"));
    run(&recipe("plain", &["model.exits=[2]"]), &first, false, None).unwrap();
    let from = format!("model.init-from={:?}", first.to_str().unwrap());
    let settings = [
        from.as_str(),
        "model.freeze-backbone=true",
        "model.cascade=ztw",
        "method.ce-weights=[1, 1, 0]",
        "train.optimizer.weight-decay=0.1",
        "train.ema={ decay = 0.9 }",
    ];
    run(&recipe("plain", &settings), &second, false, None).unwrap();
    let (old, new) = (tensors(&first), tensors(&second));
    for part in ["weight", "bias"] {
        assert_eq!(
            old[&format!("heads.0.fc.{part}")],
            new[&format!("heads.2.fc.{part}")]
        );
    }
    assert!(new.contains_key("links.1.fc.weight") && !new.contains_key("links.2.fc.weight"));
}

#[test]
fn what_makes_no_sense_is_refused() {
    let error = |settings: &[&str]| {
        let text = "[model]\ninit-from = 'runs/x'\n";
        Recipe::parse(text, "r.toml".as_ref(), settings)
            .unwrap_err()
            .to_string()
    };
    let frozen = error(&["model.freeze-backbone=true", BALANCED]);
    assert!(
        frozen.contains("model.gradients") && frozen.contains("freeze-backbone"),
        "{frozen}"
    );
    for (setting, parts) in [
        ("model.cascade=bost", ["`model.cascade`", "\"boost\""]),
        (
            "model.gradients=equilibrum",
            ["`model.gradients`", "equilibrium"],
        ),
        (
            "model.cascade={ name = 'boost', decay = 2 }",
            ["decay", "at most 1"],
        ),
        (
            "model.cascade={ name = 'boost', deca = 2 }",
            ["deca", "decay"],
        ),
    ] {
        let message = error(&[setting]);
        assert!(parts.iter().all(|part| message.contains(part)), "{message}");
    }
    let parent = tempfile::tempdir().unwrap();
    let one_exit = recipe("plain", &["model.cascade=boost", "model.exits=[2]"]);
    let message = run(&one_exit, parent.path(), false, None)
        .unwrap_err()
        .to_string();
    assert!(
        message.contains("boost") && message.contains("at least 2"),
        "{message}"
    );
    let named = recipe("plain", &["model.cascade=none"]);
    assert_eq!(named.model.cascade, CascadeConfig::default());
}
