//! `policy.json`: what is written comes back, and what does not belong is refused by name.

mod support;

use std::{fs, path::Path};

use offramp_policies::{
    AnyPolicy, Criterion, DeadlinePolicy, Ensemble, FitRows, FixedExit, Gate, GatePolicy,
    PatiencePolicy, Target, Temperatures, evaluate, fit,
};
use offramp_run::{Calibration, Document, PolicyFile};
use serde_json::{Value, json};
use support::{CLASSES, t8, val};

const MACS: [u64; 3] = [10, 20, 40];

fn file(rows: &FitRows) -> PolicyFile {
    let fitted = fit(rows, Criterion::Entropy, &MACS, Target::MaxMacs(25.0)).unwrap();
    PolicyFile::new("sha256:abc", rows, fitted.policy, fitted.on_fit)
}

/// Writes a good file with one change and reads it.
fn refusal(change: impl FnOnce(&mut Value)) -> String {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let mut value = serde_json::to_value(file(&val(t8()))).unwrap();
    change(&mut value);
    fs::write(&path, value.to_string()).unwrap();
    let error = PolicyFile::read_for(&path, "sha256:abc", 3, CLASSES)
        .unwrap_err()
        .to_string();
    assert!(
        error.contains(path.to_str().unwrap()),
        "names no file: {error}"
    );
    error
}

#[test]
fn what_is_written_comes_back() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("policy.json");
    let two = Temperatures::new(vec![2.0, 0.7, 1.3]).unwrap();
    let scaled = file(&val(t8()).with_temperatures(&two).unwrap());
    assert_eq!(scaled.temperatures.as_ref(), Some(&two));
    let rows = val(t8());
    let fixed = AnyPolicy::FixedExit(FixedExit::new(1, 3).unwrap());
    let point = evaluate(&fixed, rows.table(), &MACS).unwrap();
    let fixed = PolicyFile::new("sha256:abc", &rows, fixed, point);
    let infinite = vec![f64::INFINITY, 0.5, f64::NEG_INFINITY];
    let infinite = AnyPolicy::with_thresholds(Criterion::Margin, infinite).unwrap();
    let point = evaluate(&infinite, rows.table(), &MACS).unwrap();
    let infinite = PolicyFile::new("sha256:abc", &rows, infinite, point);
    for file in [file(&rows), scaled, fixed, infinite] {
        file.write(&path).unwrap();
        assert_eq!(
            PolicyFile::read_for(&path, "sha256:abc", 3, CLASSES).unwrap(),
            file
        );
    }
    assert_eq!(
        fs::read_dir(folder.path()).unwrap().count(),
        1,
        "no partial file stays"
    );
}

#[test]
fn the_layout_is_fixed() {
    let json = serde_json::to_value(file(&val(t8()))).unwrap();
    assert_eq!(json["format"], 2);
    assert_eq!(json["model"], "sha256:abc");
    assert_eq!(json["criterion"], "entropy");
    assert_eq!(json["fitted-on"], json!({ "split": "val", "samples": 6 }));
    assert_eq!(json["policy"]["name"], "entropy");
    assert_eq!(json["policy"]["thresholds"], json["expected"]["thresholds"]);
    assert!(json.get("temperatures").is_none());
}

/// Files of format 1, as the program wrote them for each kind of policy and ensemble.
#[test]
fn format_1_is_read() {
    let read = |policy: &str, criterion: &str, thresholds: &str, ensemble: &str| {
        let text = format!(
            r#"{{
                "format_version": 1, "model": "sha256:abc"{criterion}{ensemble},
                "fitted_on": {{ "split": "val", "samples": 6 }},
                "policy": {policy},
                "expected": {{ "thresholds": {thresholds}, "exit_fractions": [0.5, 0.25, 0.25],
                    "mean_macs": 22.5, "top1": 75.0 }},
                "guarantee": {{ "loss": "drop", "level": 0.01, "promise": {{ "probability": 0.95 }} }}
            }}"#
        );
        let file =
            PolicyFile::parse_for(&text, Path::new("policy.json"), "sha256:abc", 3, 2).unwrap();
        assert_eq!((file.format, file.expected.mean_macs), (2, 22.5));
        assert_eq!(file.expected.exit_fractions, [0.5, 0.25, 0.25]);
        file
    };
    let list = r#"["inf", 0.5, -1e8]"#;
    let entropy = format!(r#"{{ "kind": "entropy", "thresholds": {list} }}"#);
    let file = read(&entropy, r#", "criterion": "entropy""#, list, "");
    let thresholds = vec![f64::INFINITY, 0.5, -1e8];
    let expected = AnyPolicy::with_thresholds(Criterion::Entropy, thresholds).unwrap();
    assert_eq!(file.policy, expected);
    let none = |policy: &str| read(policy, "", "[]", "").policy;
    assert_eq!(
        none(r#"{ "kind": "patience", "patience": 2, "num_exits": 3 }"#),
        PatiencePolicy::new(2, 3).unwrap().into()
    );
    assert_eq!(
        none(r#"{ "kind": "fixed-exit", "exit": 1, "num_exits": 3 }"#),
        FixedExit::new(1, 3).unwrap().into()
    );
    assert_eq!(
        none(r#"{ "kind": "deadline", "exit_ms": [1.0, 2.0, 3.0], "limit_ms": 2.5 }"#),
        DeadlinePolicy::new(vec![1.0, 2.0, 3.0], 2.5)
            .unwrap()
            .into()
    );
    let gate = r#"{ "confidence": 1.0, "entropy": 2.0, "margin": 3.0, "power_entropy": 4.0, "bias": 5.0 }"#;
    let gates = vec![Gate::from([1.0, 2.0, 3.0, 4.0, 5.0]); 2];
    assert_eq!(
        none(&format!(
            r#"{{ "kind": "gates", "gates": [{gate}, {gate}] }}"#
        )),
        GatePolicy::new(gates).unwrap().into()
    );
    let ztw = r#", "ensemble": { "kind": "zero-time-waste", "exits": [
        { "log_weights": [0.5], "bias": [0.0, 1.0] },
        { "log_weights": [0.5, 0.25], "bias": [0.0, 1.0] },
        { "log_weights": [0.5, 0.25, 0.125], "bias": [0.0, 1.0] } ] }"#;
    let file = read(
        r#"{ "kind": "fixed-exit", "exit": 1, "num_exits": 3 }"#,
        "",
        "[]",
        ztw,
    );
    let Some(Ensemble::ZeroTimeWaste(ensemble)) = &file.ensemble else {
        panic!("{:?}", file.ensemble);
    };
    assert_eq!(ensemble.exits()[2].log_weights, [0.5, 0.25, 0.125]);

    // Written again, it is of the newest format.
    let json = serde_json::to_value(&file).unwrap();
    assert_eq!(json["format"], 2);
    assert_eq!(json["ensemble"]["name"], "zero-time-waste");
    assert_eq!(
        json["policy"],
        json!({ "name": "fixed-exit", "exit": 1, "num-exits": 3 })
    );
    assert_eq!(json["expected"]["mean-macs"], 22.5);
    assert!(json.get("format_version").is_none());
}

/// What is wrong in a file of format 1 is named as that file spells it.
#[test]
fn format_1_is_refused_in_its_own_words() {
    let sound = json!({
        "format_version": 1, "model": "ab", "criterion": "confidence",
        "fitted_on": { "split": "val", "samples": 6 },
        "policy": { "kind": "confidence", "thresholds": [0.5, 0.0] },
        "expected": { "thresholds": [0.5, 0.0], "exit_fractions": [0.5, 0.5], "mean_macs": 22.5, "top1": 75.0 }
    });
    let path = Path::new("policy.json");
    let keys = [
        ("/fitted_on/samples", json!(0), "`fitted_on.samples` is 0"),
        (
            "/expected/exit_fractions/1",
            json!(1.5),
            "`expected.exit_fractions[1]` is 1.5",
        ),
        (
            "/expected/exit_fractions",
            json!([1.0]),
            "`expected.exit_fractions` is",
        ),
        (
            "/expected/mean_macs",
            json!(-1.0),
            "`expected.mean_macs` is -1.0",
        ),
        (
            "/expected/mean_macs",
            json!("x"),
            "`expected.mean_macs` is \"x\"",
        ),
    ];
    for (pointer, bad, expected) in &keys {
        let mut file = sound.clone();
        *file.pointer_mut(pointer).unwrap() = bad.clone();
        let text = file.to_string();
        let errors = [
            PolicyFile::parse(&text, path).unwrap_err(),
            PolicyFile::parse_for(&text, path, "ab", 2, 2).unwrap_err(),
        ];
        for error in errors {
            assert!(error.to_string().contains(expected), "{pointer}: {error}");
        }
        let calibration = json!({
            "fitted_on": "val", "scored_on": "test", "rows": [], "policy": file
        });
        let error = Calibration::parse(&calibration.to_string(), Path::new("calibrate.json"));
        let error = error.unwrap_err().to_string();
        let below = expected.replacen('`', "`policy.", 1);
        assert!(error.contains(&below), "{pointer}: {error}");
    }
}

#[test]
fn what_does_not_belong_is_refused() {
    let error = refusal(|json| json["format"] = json!(3));
    assert!(
        error.contains("format version 3, this program reads versions up to 2"),
        "{error}"
    );
    let error = refusal(|json| *json = json!({ "format": 9, "anything": "else" }));
    assert!(error.contains("format version 9"), "{error}");
    let error = refusal(|json| json["model"] = json!("sha256:def"));
    assert!(
        error.contains("checksum sha256:def, but this model's is sha256:abc"),
        "{error}"
    );
    let error = refusal(|json| json["criterion"] = json!("margin"));
    assert!(
        error.contains("the criterion is margin, the policy's is entropy"),
        "{error}"
    );
    let error = refusal(|json| json["policy"]["thresholds"] = json!([0.5, 1e8]));
    assert!(
        error.contains("the policy has 2 exit(s), the model has 3"),
        "{error}"
    );
    let error = refusal(|json| json["policy"]["thresholds"] = json!([0.5, 0.5, 1e8]));
    assert!(
        error.contains("other thresholds than the policy"),
        "{error}"
    );
    let error = refusal(|json| json["temperatures"] = json!([1.0, 2.0]));
    assert!(error.contains("the temperatures have 2 exit(s)"), "{error}");
    let error = refusal(|json| json["temperatures"] = json!([1.0, -2.0, 1.0]));
    assert!(error.contains("the temperature of exit 1 is -2"), "{error}");
    let error = refusal(|json| json["fitted-on"]["split"] = json!("test"));
    assert!(error.contains("unknown variant `test`"), "{error}");
    let error = refusal(|json| json["policy"]["thresholds"][0] = json!("NaN"));
    assert!(error.contains("a number, \"inf\" or \"-inf\""), "{error}");
    let error = refusal(|json| json["spare"] = json!(1));
    assert!(error.contains("unknown field `spare`"), "{error}");
    let error = refusal(|json| *json = json!([]));
    assert!(error.contains("is not a valid policy file"), "{error}");
}

#[test]
fn missing_folders_and_files_are_named_and_earlier_files_stay() {
    let nowhere = Path::new("/nonexistent/policy.json");
    let error = PolicyFile::read_for(nowhere, "sha256:abc", 3, CLASSES)
        .unwrap_err()
        .to_string();
    assert!(
        error.starts_with("cannot read the policy file /nonexistent/policy.json"),
        "{error}"
    );
    let error = file(&val(t8())).write(nowhere).unwrap_err().to_string();
    assert!(
        error.starts_with("cannot write the policy file /nonexistent/policy.json"),
        "{error}"
    );

    // A folder in the way: the rename fails, and the partial file is gone.
    let folder = tempfile::tempdir().unwrap();
    let taken = folder.path().join("policy.json");
    fs::create_dir(&taken).unwrap();
    fs::write(taken.join("content"), "kept").unwrap();
    assert!(file(&val(t8())).write(&taken).is_err());
    assert_eq!(fs::read_to_string(taken.join("content")).unwrap(), "kept");
    assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
}
