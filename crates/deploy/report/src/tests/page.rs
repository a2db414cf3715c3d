//! Pages of whole runs.

use super::outline::{outline, well_formed};
use super::{Made, three_runs};
use crate::{Format, Report};

#[test]
fn the_page_has_every_part() {
    let parent = tempfile::tempdir().unwrap();
    let html = three_runs(parent.path()).html().unwrap();
    well_formed(&html);
    insta::assert_snapshot!(outline(&html));
}

#[test]
fn the_page_asks_no_network_and_runs_no_script() {
    let parent = tempfile::tempdir().unwrap();
    let html = three_runs(parent.path()).html().unwrap();
    assert!(
        !html.contains("<script"),
        "a name from a run became an element"
    );
    for (at, _) in html.match_indices("http") {
        let word: String = html[at..].chars().take(40).collect();
        let harmless =
            word.starts_with("http://www.w3.org/2000/svg") || word.starts_with("http-equiv");
        assert!(harmless, "{word}");
    }
    for (at, _) in html.match_indices("src=") {
        assert!(html[at..].starts_with("src=\"data:image/png;base64,"));
    }
}

#[test]
fn seeds_are_put_together() {
    let parent = tempfile::tempdir().unwrap();
    let report = three_runs(parent.path());
    let html = report.html().unwrap();
    // Of 40 and 44: mean 42, deviation sqrt((4 + 4) / 1); of 60 and 62: 61 and sqrt(2).
    assert!(html.contains("42.00 ± 2.83 (n = 2)"));
    assert!(html.contains("61.00 ± 1.41 (n = 2)"));
    let csv = report.csv();
    let line = |start: &str| csv.lines().find(|l| l.starts_with(start)).unwrap();
    assert_eq!(
        line("accuracy-macs,mate,10"),
        format!("accuracy-macs,mate,10,,42,{}", 8f64.sqrt())
    );
    // Half leave at exit 0 (10 M), half at exit 1 (20 M); 1 ms and 3 ms.
    assert_eq!(
        line("accuracy-macs,mate: budgets,15"),
        "accuracy-macs,mate: budgets,15,,55,"
    );
    assert_eq!(
        line("accuracy-ms,mate: budgets,2"),
        "accuracy-ms,mate: budgets,2,,55,"
    );
    // Of two cats, one leaves at exit 0.
    assert_eq!(
        line("run-0-classes,exit 0,0"),
        "run-0-classes,exit 0,0,cat,50,"
    );
    // Confidence 0.6 falls into the bin (8/15, 9/15], whose middle is 8.5/15; one of two is right.
    let bin = format!("run-0-reliability-0,accuracy,{}", 8.5 / 15.0);
    assert_eq!(line(&bin), format!("{bin},,0.5,"));
}

#[test]
fn every_format_is_written_whole() {
    let parent = tempfile::tempdir().unwrap();
    let report = three_runs(parent.path());
    let out = parent.path().join("new/folder");
    report.write(Format::Html, &out.join("a.html")).unwrap();
    report.write(Format::Csv, &out.join("a.csv")).unwrap();
    report.write(Format::Svg, &out.join("svg")).unwrap();
    let svg = std::fs::read_dir(out.join("svg")).unwrap();
    let names: Vec<String> = svg
        .map(|e| e.unwrap().file_name().into_string().unwrap())
        .collect();
    assert!(names.iter().all(|name| name.ends_with(".svg")), "{names:?}");
    assert_eq!(names.len(), report.svgs().unwrap().len());
    let left = std::fs::read_dir(&out).unwrap().count();
    assert_eq!(left, 3, "a temporary file is left");
    let error = report.write(Format::Html, &out.join("svg")).unwrap_err();
    assert!(error.to_string().contains("svg"), "{error}");
}

#[test]
fn runs_of_one_name_and_other_recipes_stay_apart() {
    let parent = tempfile::tempdir().unwrap();
    let folders = [0, 1].map(|seed| {
        Made {
            name: "a",
            seed,
            top1: [1.0, 2.0],
        }
        .write(parent.path())
    });
    let recipe = "name = \"a\"\nseed = 1\n[method]\nname = \"eed\"\n";
    std::fs::write(folders[1].join("recipe.toml"), recipe).unwrap();
    let report = Report::read(&folders).unwrap();
    let names: Vec<&str> = report.groups.iter().map(|g| g.name.as_str()).collect();
    assert_eq!(names, ["a (a-0)", "a (a-1)"]);
}
