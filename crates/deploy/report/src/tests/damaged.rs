//! Damaged runs.

use std::fs;

use super::outline::well_formed;
use super::{Made, card};
use crate::{Report, ReportError};

const RUN: Made = Made {
    name: "mate",
    seed: 0,
    top1: [40.0, 60.0],
};

/// The notes of a report on a whole run of which one file was changed, and its page.
fn notes_with(file: &str, bytes: &[u8]) -> (Vec<String>, String) {
    let parent = tempfile::tempdir().unwrap();
    let folder = RUN.write(parent.path());
    Made::write_extras(&folder);
    fs::write(folder.join(file), bytes).unwrap();
    let report = Report::read(&[folder]).unwrap();
    let html = report.html().unwrap();
    well_formed(&html);
    (report.notes(), html)
}

#[test]
fn folders_that_are_no_run() {
    let parent = tempfile::tempdir().unwrap();
    let error = Report::read(&[parent.path()]).unwrap_err().to_string();
    assert!(
        error.contains("is no run folder") && error.contains("metrics.jsonl"),
        "{error}"
    );
    let missing = parent.path().join("nowhere");
    assert!(matches!(
        Report::read(&[missing]),
        Err(ReportError::NotARun { .. })
    ));
    assert!(matches!(
        Report::read::<&str>(&[]),
        Err(ReportError::NoRuns)
    ));
}

#[test]
fn a_run_without_metrics_is_shown_with_what_it_has() {
    let parent = tempfile::tempdir().unwrap();
    let folder = RUN.write(parent.path());
    fs::remove_file(folder.join("metrics.jsonl")).unwrap();
    fs::remove_file(folder.join("recipe.toml")).unwrap();
    fs::remove_file(folder.join("eval.json")).unwrap();
    let html = Report::read(&[folder]).unwrap().html().unwrap();
    well_formed(&html);
    assert!(html.contains("there is no metrics.jsonl"));
    assert!(html.contains("the run has no end yet") && html.contains("c0ffee"));
}

#[test]
fn damaged_files_are_named_and_left_out() {
    for (file, bytes, note) in [
        ("metrics.jsonl", &b"{\"kind\":\"epoch\",\"epo"[..], "line 1 cannot be read"),
        ("eval.json", b"{", "left out: eval.json"),
        ("model.json", b"[]", "left out: model.json"),
        ("recipe.toml", b"name = ", "left out: recipe.toml"),
        ("recipe.toml", b"\xff\xfe", "left out: recipe.toml"),
        ("policy.json", b"{\"format_version\": 9}", "left out: policy.json"),
        ("rows.json", b"{\"split\": 3}", "left out: rows.json"),
        ("latency.json", b"{\"hardware\": \"x\", \"exits_ms\": [1]}", "it has 1 exits"),
        ("latency.json", b"{\"hardware\": \"x\", \"exits_ms\": [1, -2]}", "-2 ms is no time"),
        (
            "gallery.json",
            b"{\"policy\": \"x\", \"pictures\": [{\"exit\": 0, \"label\": \"a\", \"prediction\": \"b\", \
              \"confidence\": 1, \"png\": \"iVBORw0KGgo\\\" onerror=\\\"x\"}]}",
            "image 0 is no PNG",
        ),
    ] {
        let (notes, html) = notes_with(file, bytes);
        assert!(notes.iter().any(|n| n.contains(note)), "{file}: {notes:?}");
        assert_eq!(named_twice(&notes, file), None);
        assert!(!html.contains("onerror"));
    }
}

/// A note that names the file more than once.
fn named_twice<'n>(notes: &'n [String], file: &str) -> Option<&'n String> {
    notes.iter().find(|note| note.matches(file).count() > 1)
}

/// Without its card nobody knows whose a policy is: it is shown, and said once.
#[test]
fn without_a_model_card_nothing_is_compared() {
    let check = |notes: &[String], html: &str| {
        let other = (notes.iter()).filter(|note| note.contains("made for model"));
        assert_eq!(other.count(), 0, "{notes:?}");
        let said = (notes.iter()).filter(|note| note.contains("cannot be compared"));
        let said: Vec<_> = said.collect();
        assert!(
            said.len() == 1 && said[0].contains("without model.json, calibrate.json, rows.json"),
            "{notes:?}"
        );
        assert!(html.contains("run-0-reliability-0") && html.contains("mate: budgets"));
    };
    let (notes, html) = notes_with("model.json", b"[]");
    assert_eq!(notes.len(), 2, "{notes:?}");
    check(&notes, &html);

    let parent = tempfile::tempdir().unwrap();
    let folder = RUN.write(parent.path());
    fs::remove_file(folder.join("model.json")).unwrap();
    let report = Report::read(&[&folder]).unwrap();
    assert_eq!(report.notes(), [""; 0], "there is nothing to compare");
    Made::write_extras(&folder);
    let report = Report::read(&[&folder]).unwrap();
    check(&report.notes(), &report.html().unwrap());
    // The policy beside it, of format 1 as in calibrate.json.
    let text = fs::read_to_string(folder.join("calibrate.json")).unwrap();
    let calibration: serde_json::Value = serde_json::from_str(&text).unwrap();
    fs::write(
        folder.join("policy.json"),
        calibration["policy"].to_string(),
    )
    .unwrap();
    let report = Report::read(&[&folder]).unwrap();
    let notes = report.notes();
    assert!(
        notes.len() == 1 && notes[0].contains("policy.json, calibrate.json, rows.json"),
        "{notes:?}"
    );
    assert!(report.runs[0].policy.is_some());
}

#[test]
fn files_of_another_model_are_left_out() {
    let other = card(&["a", "b"], &"beef".repeat(16)).to_string();
    let (notes, html) = notes_with("model.json", other.as_bytes());
    assert_eq!(notes.len(), 2, "{notes:?}");
    assert!(
        notes
            .iter()
            .all(|note| note.contains("made for model feed")),
        "{notes:?}"
    );
    assert!(!html.contains("run-0-reliability-0") && !html.contains("mate: budgets"));
}

#[test]
fn numbers_that_are_none_leave_gaps() {
    let lines = concat!(
        r#"{"kind":"epoch","epoch":1,"loss":null,"terms":{"ce/0":null},"train_top1":[null],"#,
        r#""step":4,"lr":0.1,"images_per_second":1,"seconds":1}"#,
        "\n",
        r#"{"kind":"epoch","epoch":2,"loss":1.5,"terms":{"ce/0":2.5},"train_top1":[50],"#,
        r#""step":8,"lr":0.1,"images_per_second":1,"seconds":2}"#,
    );
    let (notes, html) = notes_with("metrics.jsonl", lines.as_bytes());
    assert!(notes[0].contains("3 values are not finite"), "{notes:?}");
    assert!(!html.contains("NaN</"));
}

#[test]
fn an_old_run_names_no_device_and_its_log_is_not_read() {
    let parent = tempfile::tempdir().unwrap();
    let folder = RUN.write(parent.path());
    let path = folder.join("metrics.jsonl");
    let text = fs::read_to_string(&path).unwrap();
    let (_start, old) = text.split_once('\n').unwrap();
    let device = |text: &str| {
        fs::write(&path, text).unwrap();
        fs::write(
            folder.join("log.txt"),
            "INFO a: b (9 images), resnet20, 2 exits, mate on cuda, 8 steps\n",
        )
        .unwrap();
        let report = Report::read(&[&folder]).unwrap();
        assert_eq!(report.notes(), [""; 0]);
        report.runs[0].device()
    };
    assert_eq!(device(&text).as_deref(), Some("cpu"));
    assert_eq!(device(old), None);
}
