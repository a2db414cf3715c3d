//! `offramp report`: run folders as one page, as charts and as numbers.

mod support;

use support::{TINY, assert_names, failure, json, recipe, run, text};

#[test]
fn a_run_is_reported_in_every_form() {
    let folder = tempfile::tempdir().unwrap();
    let run_folder = folder.path().join("run");
    let recipe = recipe(folder.path(), &TINY.replace("epochs = 2", "epochs = 1"));
    json(&["train", text(&recipe), "--out", text(&run_folder), "--json"]);

    let page = folder.path().join("report.html");
    run(&["report", text(&run_folder), "-o", text(&page), "--measure"]);
    let page = std::fs::read_to_string(page).unwrap();
    assert!(page.contains("<svg") && page.contains("</html>"));
    assert!(
        run_folder.join("rows.json").exists(),
        "--measure keeps its rows"
    );
    assert!(!run_folder.join("gallery.json").exists(), "no policy yet");
    json(&[
        "calibrate",
        text(&run_folder),
        "--max-macs",
        "60%",
        "--json",
    ]);
    let times = ["--random", "--batch", "1", "--seconds", "0.05", "--json"];
    json(&[&["bench", text(&run_folder)], &times[..]].concat());
    let images = folder.path().join("images.html");
    run(&[
        "report",
        text(&run_folder),
        "-o",
        text(&images),
        "--measure",
    ]);
    let images = std::fs::read_to_string(images).unwrap();
    assert!(images.contains("data:image/png;base64,iVBORw0KGgo"));
    assert!(images.contains("% of the MACs"));
    assert!(!images.contains("there is no latency.json"));
    let charts = folder.path().join("charts");
    let more = ["--format", "svg", "-o", text(&charts)];
    run(&[&["report", text(&run_folder)], &more[..]].concat());
    let mut files = std::fs::read_dir(&charts).unwrap();
    assert!(files.any(|file| file.unwrap().path().extension().is_some_and(|e| e == "svg")));
    let numbers = folder.path().join("numbers.csv");
    let more = ["--format", "csv", "-o", text(&numbers)];
    run(&[&["report", text(&run_folder)], &more[..]].concat());
    let numbers = std::fs::read_to_string(numbers).unwrap();
    assert!(numbers.lines().count() > 3 && numbers.lines().all(|line| line.contains(',')));
}

#[test]
fn a_folder_that_is_no_run_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let page = folder.path().join("report.html");
    let message = failure(&["report", text(folder.path()), "-o", text(&page)]);
    assert_names(&message, &[text(folder.path())]);
    assert!(!page.exists());
}
