//! Every committed recipe, and the errors of wrong ones.

use std::path::{Path, PathBuf};

use offramp_train::Recipe;

fn recipes() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../recipes")
}

fn all(folder: &Path) -> Vec<PathBuf> {
    let mut found = Vec::new();
    for entry in folder.read_dir().unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(all(&path));
        } else if path
            .extension()
            .is_some_and(|extension| extension == "toml")
        {
            found.push(path);
        }
    }
    found.sort();
    found
}

fn error(text: &str, overrides: &[&str]) -> String {
    let path = Path::new("my/recipe.toml");
    Recipe::parse(text, path, overrides)
        .unwrap_err()
        .to_string()
}

#[test]
fn committed_recipes_are_read_and_their_resolved_form_says_the_same() {
    let all = all(&recipes());
    assert!(all.len() >= 8, "{all:?}");
    for path in all {
        let recipe = Recipe::load::<&str>(&path, &[]).unwrap();
        let resolved = recipe.to_toml().unwrap();
        let again = Recipe::parse::<&str>(&resolved, &path, &[]).unwrap();
        assert_eq!(again, recipe, "{}", path.display());
        assert_eq!(again.difference(&recipe).unwrap(), None);
    }
}

#[test]
fn the_lowdata_recipes_differ_in_the_method_only() {
    let load = |name: &str| {
        let path = recipes().join("cifar100-lowdata").join(name);
        Recipe::load(&path, &["name=same"]).unwrap()
    };
    let plain = load("plain.toml");
    for entry in offramp_methods::registry() {
        let name = format!("{}.toml", entry.name);
        let mut other = load(&name);
        assert_eq!(other.method.name(), entry.name);
        assert_eq!(other.data.dataset, plain.data.dataset, "{name}");
        // Branches, or the paper's network, and the authors' schedule.
        if ["dml", "mlcsd", "okddip", "one"].contains(&entry.name) {
            continue;
        }
        other.method = plain.method.clone();
        assert_eq!(other, plain, "{name}");
    }
}

#[test]
fn the_recipes_of_cascades_are_trained_like_the_lowdata_recipes() {
    let load = |path: &str| Recipe::load(&recipes().join(path), &["name=same"]).unwrap();
    let plain = load("cifar100-lowdata/plain.toml");
    for name in ["boostnet.toml", "ztw.toml", "imta.toml"] {
        let mut linked = load(&format!("cifar100-lowdata/{name}"));
        assert!(!linked.model.cascade.is_none());
        assert_eq!(
            (&linked.model.backbone, &linked.model.head),
            (&plain.model.backbone, &plain.model.head)
        );
        linked.model = plain.model.clone();
        linked.method = plain.method.clone();
        assert_eq!(linked, plain, "{name}");
    }
}

#[test]
fn the_distill_recipes_differ_in_what_is_taught_only() {
    let load = |path: &str| {
        let path = recipes().join(path);
        Recipe::load(&path, &["name=same"]).unwrap()
    };
    let alone = load("cifar100-lowdata/resnet20.toml");
    assert!(alone.distill.is_empty() && alone.teachers.is_empty());
    for entry in offramp_methods::distill::distillers() {
        let mut taught = load(&format!("distill/{}.toml", entry.name));
        assert_eq!(taught.distill[entry.name].loss.name(), entry.name);
        taught.distill = alone.distill.clone();
        taught.teachers = alone.teachers.clone();
        taught.method = alone.method.clone();
        // The head through which these students answer.
        if ["simkd", "atsc"].contains(&entry.name) {
            taught.model.head = alone.model.head.clone();
        }
        assert_eq!(taught, alone, "{}", entry.name);
    }
}

#[test]
fn everything_registered_can_be_named_on_the_command_line() {
    for entry in offramp_methods::registry() {
        let setting = format!("method.name={}", entry.name);
        let recipe = Recipe::parse("", "r.toml".as_ref(), &[setting.as_str()]).unwrap();
        assert_eq!(recipe.method, (entry.config)());
    }
    for entry in offramp_heads::registry() {
        let setting = format!("model.head={}", entry.name);
        let recipe = Recipe::parse("", "r.toml".as_ref(), &[setting.as_str()]).unwrap();
        assert_eq!(recipe.model.head, (entry.config)());
    }
    for entry in offramp_heads::cascades() {
        let setting = format!("model.cascade={}", entry.name);
        let recipe = Recipe::parse("", "r.toml".as_ref(), &[setting.as_str()]).unwrap();
        assert_eq!(recipe.model.cascade, (entry.config)());
    }
    for entry in offramp_heads::gradient_flows() {
        let setting = format!("model.gradients={}", entry.name);
        let recipe = Recipe::parse("", "r.toml".as_ref(), &[setting.as_str()]).unwrap();
        assert_eq!(recipe.model.gradients, entry.flow);
    }
}

#[test]
fn mistakes_name_the_file_the_key_and_the_nearest_right_one() {
    let cases = [
        ("[train]\nepoch = 3", "`train.epoch`", "`train.epochs`"),
        (
            "[data]\nval_fraction = 0.1",
            "`data.val_fraction`",
            "`data.val-fraction`",
        ),
        (
            "[data.augment]\ncropp = 3",
            "`data.augment.cropp`",
            "`data.augment.crop`",
        ),
        (
            "[method]\nname = \"mate\"\nlamda = 1",
            "`method.lamda`",
            "`method.lambda`",
        ),
        ("[method]\nname = \"matte\"", "`method.name`", "\"mate\""),
        (
            "[model]\nbackbone = \"resnet21\"",
            "`model.backbone`",
            "\"resnet20\"",
        ),
        ("[model]\nhead = \"sepcov\"", "`model.head`", "\"sepconv\""),
        (
            "[train.optimizer]\nname = \"sdg\"",
            "`train.optimizer.name`",
            "\"sgd\"",
        ),
        (
            "[train.optimizer]\nmomemtum = 1",
            "`train.optimizer.momemtum`",
            "momentum`",
        ),
        (
            "[train.schedule]\nname = \"cosinus\"",
            "`train.schedule.name`",
            "\"cosine\"",
        ),
        (
            "[train.ema]\ndecy = 0.9",
            "`train.ema.decy`",
            "`train.ema.decay`",
        ),
        (
            "[train.checkpoint]\nbest = \"deep\"",
            "`train.checkpoint.best`",
            "deepest",
        ),
        ("lr = 0.1", "`lr`", "`train.optimizer.lr`"),
        ("device = \"gpu\"", "`device`", "cuda"),
        ("[train]\nepochs = \"x\"", "`train.epochs`", "\"x\""),
        ("[train]\nepochs = 0", "`train.epochs`", "at least 1"),
    ];
    for (text, key, hint) in cases {
        let error = error(text, &[]);
        for part in ["my/recipe.toml", key, hint] {
            assert!(error.contains(part), "{text}: {part} is not in {error}");
        }
    }
}

#[test]
fn a_mistake_on_the_command_line_is_blamed_on_it() {
    for (setting, parts) in [
        ("train.epoch=3", ["--set train.epoch=3", "`train.epochs`"]),
        ("train.epochs=x", ["--set train.epochs=x", "\"x\""]),
        (
            "train.optimizer.lr=-1",
            ["--set train.optimizer.lr=-1", "above 0"],
        ),
        ("epochs", ["\"epochs\"", "key=value"]),
    ] {
        let error = error("[train]\nbatch-size = 3", &[setting]);
        for part in parts {
            assert!(error.contains(part), "{setting}: {error}");
        }
    }
}

#[test]
fn a_file_that_is_missing_or_no_toml_is_named() {
    let error = Recipe::load::<&str>(Path::new("no/such.toml"), &[]).unwrap_err();
    assert!(error.to_string().contains("no/such.toml"));
    let error = self::error("[train\nepochs = 3", &[]);
    assert!(
        error.contains("my/recipe.toml") && error.contains("line 1"),
        "{error}"
    );
}

#[test]
fn options_may_be_set_without_naming_the_variant() {
    let recipe = Recipe::parse(
        "[train.optimizer]\nlr = 0.05\n[model]\nhead = \"conv\"",
        "r.toml".as_ref(),
        &["train.schedule.min-lr=0.01", "model.head.width=16"],
    )
    .unwrap();
    assert_eq!(recipe.train.optimizer.lr(), 0.05);
    assert_eq!(
        recipe.model.head,
        offramp_heads::HeadConfig::new(offramp_heads::ConvHead {
            width: offramp_heads::ConvWidth::Channels(16)
        })
    );
    assert_eq!(recipe.name, "r");
}
