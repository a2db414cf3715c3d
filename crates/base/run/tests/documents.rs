//! Every document of a run folder: files of an earlier version are read, what is written comes back, and each
//! value that cannot be is an error that names file, key and value.
//!
//! `old/` holds what the program of 2026-11-29 (commit 590f66f) left of `recipes/demo.toml` made tiny:
//! `train`, `calibrate --temperatures --json`, `bench --random`, `report --measure`; of the gallery one image
//! per exit.

use std::path::{Path, PathBuf};

use offramp_policies::Rule;
use offramp_run::{
    Calibration, ChosenPolicy, Document, EvalReport, Gallery, Latency, Metrics, ModelCard,
    PolicyFile, RecipeText, Record, Rows, RuleCurve, RunFacts, RunPaths,
};
use serde_json::{Value, json};

fn old() -> RunPaths {
    RunPaths::new(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/old"))
}

/// A document of the earlier version as it is written now.
fn value<D: Document>() -> Value {
    let document = D::read(&old().document::<D>()).unwrap();
    serde_json::to_value(&document).unwrap()
}

/// A document that is written is read again, equal, and the same bytes are written again.
fn comes_back<D: Document + PartialEq + std::fmt::Debug>() -> D {
    let found: D = D::find(old().folder()).unwrap().unwrap();
    let folder = tempfile::tempdir().unwrap();
    found.write_to(folder.path()).unwrap();
    let again = D::read(&folder.path().join(D::FILE)).unwrap();
    assert_eq!(again, found);
    assert_eq!(D::find(&folder.path().join("nowhere")).unwrap(), None);
    let names = std::fs::read_dir(folder.path()).unwrap().count();
    assert_eq!(names, 1, "no temporary file stays");
    found
}

#[test]
fn files_of_an_earlier_version_are_read_and_come_back() {
    let card = comes_back::<ModelCard>();
    assert_eq!(
        (card.classes.len(), card.dataset.as_str()),
        (10, "generated")
    );
    assert_eq!(card.net["backbone"]["name"], "resnet8");
    let report = comes_back::<EvalReport>();
    assert_eq!((report.split.as_str(), report.exits.len()), ("test", 3));
    let policy = comes_back::<PolicyFile>();
    assert_eq!(policy.model, card.sha256);
    assert!(policy.temperatures.is_some());
    let calibration = comes_back::<Calibration>();
    assert_eq!((calibration.rows.len(), calibration.policy), (39, policy));
    assert_eq!(comes_back::<Latency>().exits_ms.len(), 3);
    let rows = comes_back::<Rows>();
    assert_eq!((rows.labels.len(), rows.exits.len()), (96, 3));
    let gallery = comes_back::<Gallery>();
    assert!(gallery.check_exits(3).is_ok() && !gallery.images.is_empty());

    let metrics = Metrics::read(&old().metrics()).unwrap();
    assert_eq!(metrics.damaged, []);
    assert_eq!((metrics.start, metrics.epochs.len()), (None, 2));
    assert_eq!(metrics.last.unwrap().test, report);
    let recipe = std::fs::read_to_string(old().recipe()).unwrap();
    let recipe = RecipeText::parse(recipe).unwrap();
    assert_eq!(recipe.get(&["method", "name"]).as_deref(), Some("mate"));
}

/// What the documents say together is what the program needs to answer.
#[test]
fn an_old_run_has_its_policy_and_its_curve() {
    let card = ModelCard::<Value>::read(&old().document::<ModelCard>()).unwrap();
    let report = EvalReport::read(&old().document::<EvalReport>()).unwrap();
    let macs: Vec<u64> = report.macs().collect();
    let classes = card.classes.len();
    let chosen =
        ChosenPolicy::choose(old().folder(), None, &card.sha256, macs.len(), classes).unwrap();
    let file = chosen.file.unwrap();
    assert_eq!(chosen.rule, Rule::from(&file));
    let facts = RunFacts::read(old().folder(), &card.sha256, &macs, classes);
    assert_eq!(facts.notes, [""; 0]);
    assert_eq!(
        facts.curve.as_ref().map(|curve| curve.points().len()),
        Some(39)
    );
    assert_eq!(facts.top1, Some(report.top1()));
    let other = RunFacts::read(old().folder(), &"0".repeat(64), &[1, 2, 3], classes);
    assert!(other.curve.is_none() && other.top1.is_none());
    assert_eq!(other.notes.len(), 2, "{:?}", other.notes);
}

/// What is said of a sound file in which the value at `pointer` is replaced, or taken out.
fn refusal<D: Document>(pointer: &str, bad: Option<Value>) -> Option<String> {
    let mut file = value::<D>();
    match bad {
        Some(bad) => *file.pointer_mut(pointer).expect(pointer) = bad,
        None => {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = file.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(key).expect(pointer);
        }
    }
    let path = PathBuf::from("run").join(D::FILE);
    let read = D::parse(&file.to_string(), &path);
    read.err().map(|error| {
        assert_eq!(error.path(), Some(&*path));
        error.to_string()
    })
}

/// Every one of the values is refused, with file, key and value.
fn refused<D: Document>(cases: &[(&str, Value, &str)]) {
    for (pointer, bad, key) in cases {
        let message = refusal::<D>(pointer, Some(bad.clone()));
        let message = message.unwrap_or_else(|| panic!("{} {pointer} = {bad}", D::FILE));
        let shown = match bad {
            Value::Array(_) | Value::Object(_) => String::new(),
            other => other.to_string(),
        };
        assert!(
            message.contains(D::FILE) && message.contains(key) && message.contains(&shown),
            "{pointer} = {bad}: {message}"
        );
    }
}

#[test]
fn values_that_cannot_be_are_named_in_the_model_card() {
    refused::<ModelCard>(&[
        ("/format", json!(7), "format 7"),
        ("/format", json!("one"), "format"),
        ("/classes", json!([]), "`classes`"),
        ("/classes/3", json!(5), "`classes[3]` is 5"),
        ("/image/channels", json!(1), "`image.channels` is 1"),
        ("/image/height", json!(0), "`image.height` is 0"),
        ("/image/width", json!(-4), "`image.width` is -4"),
        ("/image/width", json!(1u64 << 40), "`image.width`"),
        ("/resize/width", json!(8), "`resize.width` is 8"),
        ("/resize/width", json!(1 << 20), "`resize.width` is 1048576"),
        ("/mean/1", json!(null), "`mean[1]` is null"),
        ("/mean", json!([0.5, 0.5]), "`mean`"),
        ("/std/2", json!(0.0), "`std[2]` is 0"),
        ("/std/0", json!(-1.5), "`std[0]` is -1.5"),
        ("/dataset", json!(null), "`dataset` is null"),
        ("/sha256", json!("feed"), "`sha256` is \"feed\""),
    ]);
}

#[test]
fn values_that_cannot_be_are_named_in_the_scores() {
    refused::<EvalReport>(&[
        ("/split", json!("tset"), "`split` is \"tset\""),
        ("/samples", json!(0), "`samples` is 0"),
        ("/exits", json!([]), "`exits`"),
        ("/exits/1/exit", json!(0), "`exits[1].exit` is 0"),
        ("/exits/2/top1", json!(100.5), "`exits[2].top1` is 100.5"),
        ("/exits/2/top1", json!("12"), "`exits[2].top1` is \"12\""),
        ("/exits/0/top5", json!(-0.5), "`exits[0].top5` is -0.5"),
        ("/exits/0/nll", json!(-1.25), "`exits[0].nll` is -1.25"),
        ("/exits/0/ece", json!(1e300), "`exits[0].ece`"),
        ("/exits/1/macs", json!(1), "`exits[1].macs` is 1"),
        ("/exits/1/macs", json!(1.5), "`exits[1].macs` is 1.5"),
        ("/exits/2/params", json!(2), "`exits[2].params` is 2"),
        ("/ensemble/top1", json!(101), "`ensemble.top1` is 101"),
    ]);
    // A number that was not finite is `null`, and stays unknown.
    assert_eq!(
        refusal::<EvalReport>("/exits/2/top1", Some(json!(null))),
        None
    );
}

#[test]
fn values_that_cannot_be_are_named_in_policy_and_calibration() {
    refused::<PolicyFile>(&[
        ("/format", json!(3), "format version 3"),
        ("/fitted-on/samples", json!(0), "`fitted-on.samples` is 0"),
        (
            "/fitted-on/split",
            json!("test"),
            "`fitted-on.split` is \"test\"",
        ),
        ("/expected/top1", json!(100.5), "`expected.top1` is 100.5"),
        (
            "/expected/mean-macs",
            json!(-1.0),
            "`expected.mean-macs` is -1.0",
        ),
        (
            "/expected/exit-fractions/0",
            json!(1.5),
            "`expected.exit-fractions[0]` is 1.5",
        ),
        (
            "/expected/exit-fractions",
            json!([0.5, 0.25, 0.0]),
            "`expected.exit-fractions`",
        ),
        (
            "/expected/exit-fractions",
            json!([1.0]),
            "`expected.exit-fractions`",
        ),
        (
            "/expected/thresholds/0",
            json!(0.123),
            "`expected.thresholds`",
        ),
        ("/policy/name", json!("coin"), "coin"),
        ("/temperatures", json!([1.0, 1.0]), "`temperatures`"),
        ("/temperatures/1", json!(0.0), "temperature of exit 1"),
    ]);
    refused::<Calibration>(&[
        ("/rows/5/top1", json!(-0.5), "`rows[5].top1` is -0.5"),
        ("/rows/0/exit-fractions", json!([1.0]), "`rows[0]."),
        (
            "/rows/38/mean-macs",
            json!("many"),
            "`rows[38].mean-macs` is \"many\"",
        ),
        ("/scored/top1", json!(200), "`scored.top1` is 200"),
        ("/full/top1", json!(200), "`full.top1` is 200"),
        (
            "/policy/expected/top1",
            json!(100.5),
            "`policy.expected.top1` is 100.5",
        ),
        (
            "/policy/fitted-on/samples",
            json!(0),
            "`policy.fitted-on.samples` is 0",
        ),
    ]);
    let path = old().document::<Calibration>();
    let text = std::fs::read_to_string(&path).unwrap();
    let error = RuleCurve::parse(&text, &path, &"0".repeat(64), 3, 10).unwrap_err();
    assert!(error.to_string().contains("calibrate.json"), "{error}");
}

#[test]
fn values_that_cannot_be_are_named_in_times_answers_and_gallery() {
    refused::<Latency>(&[
        ("/exits_ms", json!([]), "`exits_ms`"),
        ("/exits_ms/1", json!(0.0), "`exits_ms[1]` is 0.0"),
        ("/exits_ms/2", json!(-2.5), "`exits_ms[2]` is -2.5"),
        ("/exits_ms/0", json!(null), "`exits_ms[0]` is null"),
        ("/hardware", json!(3), "`hardware` is 3"),
    ]);
    refused::<Rows>(&[
        ("/split", json!("train"), "`split` is \"train\""),
        ("/labels", json!([0, 1]), "`exits[0].prediction`"),
        ("/labels/7", json!(-1), "`labels[7]` is -1"),
        (
            "/exits/1/confidence/4",
            json!(1.5),
            "`exits[1].confidence[4]` is 1.5",
        ),
        ("/exits/2/prediction", json!([1]), "`exits[2].prediction`"),
        ("/taken/0", json!(9), "`taken[0]` is 9"),
        ("/taken", json!([]), "`taken`"),
    ]);
    refused::<Gallery>(&[
        (
            "/pictures/0/png",
            json!("<script>"),
            "`pictures[0].png` is \"<script>\"",
        ),
        (
            "/pictures/0/confidence",
            json!(-0.5),
            "`pictures[0].confidence` is -0.5",
        ),
        ("/pictures/0/exit", json!(-1), "`pictures[0].exit` is -1"),
    ]);
    let mut gallery = Gallery::read(&old().document::<Gallery>()).unwrap();
    gallery.images[0].exit = 2;
    assert!(gallery.check_exits(3).is_ok());
    assert_eq!(gallery.check_exits(2).unwrap_err().key, "pictures[0].exit");
    let latency = Latency::read(&old().document::<Latency>()).unwrap();
    assert_eq!(latency.check_exits(2).unwrap_err().key, "exits_ms");
}

#[test]
fn values_that_cannot_be_are_named_in_the_metrics() {
    let text = std::fs::read_to_string(old().metrics()).unwrap();
    let line = |kind: &str| -> Value {
        let mut lines = text.lines().map(|line| serde_json::from_str(line).unwrap());
        lines.find(|line: &Value| line["kind"] == kind).unwrap()
    };
    for (kind, pointer, bad, key) in [
        ("epoch", "/kind", json!("era"), "kind"),
        ("epoch", "/step", json!(-3), "step"),
        ("epoch", "/epoch", json!(-0.5), "epoch"),
        ("epoch", "/loss", json!("low"), "loss"),
        ("epoch", "/terms/ce~10", json!("low"), "terms.ce/0"),
        ("epoch", "/train_top1/2", json!(100.5), "train_top1[2]"),
        ("epoch", "/seconds", json!(-1.0), "seconds"),
        ("eval", "/best", json!(1), "best"),
        ("eval", "/exits/1/top1", json!(150), "exits[1].top1"),
        ("eval", "/exits/1/top1", json!("x"), "exits[1].top1"),
        (
            "final",
            "/test/exits/0/macs",
            json!(-5),
            "test.exits[0].macs",
        ),
        ("final", "/val/samples", json!(0), "val.samples"),
        ("final", "/model_step", json!(99), "model_step"),
    ] {
        let mut line = line(kind);
        *line.pointer_mut(pointer).expect(pointer) = bad.clone();
        let fault = Record::parse(line.to_string().as_bytes()).unwrap_err();
        assert_eq!(fault.key, key, "{fault}");
        assert!(fault.to_string().contains(&bad.to_string()), "{fault}");
    }
    for kind in ["epoch", "eval", "final"] {
        let line = line(kind);
        let record = Record::parse(line.to_string().as_bytes()).unwrap();
        assert_eq!(serde_json::to_value(&record).unwrap(), line);
    }
    let start = br#"{"kind": "start", "format": 3, "device": "cpu"}"#;
    assert_eq!(Record::parse(start).unwrap_err().key, "format");
}

/// Another version of a document that has had one version so far.
#[test]
fn an_unknown_version_is_named() {
    fn refuses<D: Document + std::fmt::Debug>() {
        let mut file = value::<D>();
        let key = D::FORMAT_KEYS.first().copied().unwrap_or("format");
        file[key] = json!(D::FORMAT + 1);
        let error = D::parse(&file.to_string(), Path::new(D::FILE)).unwrap_err();
        let found = (D::FORMAT + 1).to_string();
        let message = error.to_string();
        assert!(
            message.contains(D::FILE) && message.contains(&found),
            "{message}"
        );
        file[key] = json!(D::FORMAT);
        D::parse(&file.to_string(), Path::new(D::FILE)).unwrap();
    }
    refuses::<ModelCard>();
    refuses::<EvalReport>();
    refuses::<PolicyFile>();
    refuses::<Calibration>();
    refuses::<Latency>();
    refuses::<Rows>();
    refuses::<Gallery>();
}

/// `calibrate.json` holds a policy, which has a version of its own.
#[test]
fn the_version_of_a_calibrated_policy_is_checked() {
    let old = std::fs::read_to_string(old().document::<Calibration>()).unwrap();
    let old: Value = serde_json::from_str(&old).unwrap();
    assert!(old.get("format").is_none(), "format 1 does not say so");
    let new = value::<Calibration>();
    assert_eq!(new["format"], 2);
    let path = Path::new(Calibration::FILE);
    for (file, key) in [(&old, "format_version"), (&new, "format")] {
        let file = |version: Value| {
            let mut file = file.clone();
            file["policy"][key] = version;
            Calibration::parse(&file.to_string(), path)
        };
        for version in [json!(0), json!(3), json!(9), json!("2"), json!(null)] {
            let error = file(version.clone()).unwrap_err().to_string();
            let said = format!("`policy.{key}` is {version}");
            assert!(error.contains(&said), "{error}");
        }
        for version in [1, 2] {
            assert_eq!(file(json!(version)).unwrap().policy.format, 2);
        }
    }
    let error = refusal::<Calibration>("/format", Some(json!(0))).unwrap();
    assert!(error.contains("calibrate.json: format 0"), "{error}");
    assert_eq!(refusal::<Calibration>("/format", Some(json!(1))), None);
    assert_eq!(refusal::<Calibration>("/format", None), None);
}

/// Paths of all values in a document.
fn pointers(value: &Value, at: String, all: &mut Vec<String>) {
    let below = |key: &str| format!("{at}/{}", key.replace('~', "~0").replace('/', "~1"));
    match value {
        Value::Array(list) => (list.iter().enumerate())
            .for_each(|(i, value)| pointers(value, below(&i.to_string()), all)),
        Value::Object(map) => {
            (map.iter()).for_each(|(key, value)| pointers(value, below(key), all))
        }
        _ => {}
    }
    all.push(at);
}

/// Whatever a value is replaced by, a key taken out or the file cut: an error names the file, or the
/// document is as sound as another one.
#[test]
fn damage_of_any_kind_is_no_panic() {
    fn survives<D: Document>() {
        let sound = value::<D>();
        let mut all = Vec::new();
        pointers(&sound, String::new(), &mut all);
        let bad = [
            json!(null),
            json!(true),
            json!(-1),
            json!(1e308),
            json!(u64::MAX),
            json!(""),
            json!("NaN"),
            json!([]),
            json!({}),
        ];
        for pointer in all.iter().step_by(1 + all.len() / 150) {
            for bad in &bad {
                let mut file = sound.clone();
                *file.pointer_mut(pointer).unwrap() = bad.clone();
                if let Err(error) = D::parse(&file.to_string(), Path::new(D::FILE)) {
                    assert!(error.to_string().contains(D::FILE), "{pointer}: {error}");
                }
            }
            let (parent, key) = pointer.rsplit_once('/').unwrap_or_default();
            if sound.pointer(parent).is_some_and(Value::is_object) && !pointer.is_empty() {
                let key = key.replace("~1", "/").replace("~0", "~");
                let mut file = sound.clone();
                let parent = file.pointer_mut(parent).unwrap();
                parent.as_object_mut().unwrap().remove(&key);
                if let Err(error) = D::parse(&file.to_string(), Path::new(D::FILE)) {
                    assert!(error.to_string().contains(&key) || key == "kind", "{error}");
                }
            }
        }
        let text = sound.to_string();
        for length in (0..text.len()).step_by(1 + text.len() / 200) {
            let cut = text.get(..length).unwrap_or_default();
            let error = D::parse(cut, Path::new(D::FILE)).err().expect(cut);
            assert!(error.to_string().contains(D::FILE), "{error}");
        }
    }
    survives::<ModelCard>();
    survives::<EvalReport>();
    survives::<PolicyFile>();
    survives::<Calibration>();
    survives::<Latency>();
    survives::<Rows>();
    survives::<Gallery>();
    assert!(
        refusal::<ModelCard>("/classes", None)
            .unwrap()
            .contains("classes")
    );
}
