//! A network with two exits and hand-made weights: its answers follow from formulas.

use offramp_executor::{About, MultiExitPlan, Options};
use offramp_graph::{Builder, Graph};
use offramp_web::{Choice, Network, RunFiles};

/// `logits = factor * [mean of red, mean of green]` of ReLU(x), or of x.
fn stage(input: &str, exit: usize, factor: f32) -> Graph {
    let mut b = Builder::new();
    let x = b.input(input, &[3, 4, 4]);
    let means = b.global_avg_pool(x).unwrap();
    let means = b.reshape(means, &[3]).unwrap();
    let weight = b.weight(1, &[2, 3], vec![factor, 0.0, 0.0, 0.0, factor, 0.0]);
    let logits = b.linear(means, weight, None).unwrap();
    let onward = b.relu(x).unwrap();
    let name = format!("logits{exit}");
    b.finish([(name.as_str(), logits), ("map", onward)])
}

fn about() -> About {
    About {
        model: "ab".to_owned(),
        classes: vec!["red".to_owned(), "green".to_owned()],
        image: [3, 4, 4],
        resize: [6, 6],
        mean: [0.5; 3],
        std: [0.5; 3],
        macs: vec![100, 300],
    }
}

fn plan(about: Option<About>) -> Vec<u8> {
    let graphs = [stage("image", 0, 1.0), stage("map", 1, 3.0)];
    let mut plan = MultiExitPlan::compile(&graphs, 8, Options::default()).unwrap();
    if let Some(about) = about {
        plan = plan.with_about(about).unwrap();
    }
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("plan");
    plan.save(&path).unwrap();
    std::fs::read(path).unwrap()
}

fn network() -> Network {
    Network::new(&plan(Some(about()))).unwrap()
}

/// One colour, with some transparency.
fn image(width: u32, height: u32, rgb: [u8; 3]) -> Vec<u8> {
    let pixel = [rgb[0], rgb[1], rgb[2], 7];
    pixel.repeat((width * height) as usize)
}

fn ask(network: &mut Network, rgb: [u8; 3]) -> Vec<(usize, String, f32, bool)> {
    network.begin(&image(4, 4, rgb), 4, 4).unwrap();
    let mut said = Vec::new();
    while let Some(answer) = network.advance().unwrap() {
        assert_eq!(answer.macs, [100, 300][answer.exit]);
        assert_eq!(answer.top_k[0].class, answer.class);
        let sum: f32 = answer.top_k.iter().map(|class| class.probability).sum();
        assert!((sum - 1.0).abs() < 1e-6, "two classes are all");
        said.push((answer.exit, answer.class, answer.confidence, answer.stops));
    }
    said
}

fn sigmoid(x: f64) -> f32 {
    (1.0 / (1.0 + (-x).exp())) as f32
}

/// Normalised, red is 1 and green -1; so the first exit sees a difference of 2, the second, behind a
/// ReLU and with a factor of 3, one of 3.
#[test]
fn exits_say_what_the_formula_says() {
    let mut network = network();
    for (rgb, class) in [([255, 0, 0], "red"), ([0, 255, 9], "green")] {
        let said = ask(&mut network, rgb);
        for ((exit, name, probability, stops), (k, difference)) in
            said.into_iter().zip([(0, 2.0), (1, 3.0)])
        {
            assert_eq!((exit, name.as_str(), stops), (k, class, k == 1));
            assert!(
                (probability - sigmoid(difference)).abs() < 1e-6,
                "{probability}"
            );
        }
    }
    assert_eq!(network.advance().unwrap(), None);
}

#[test]
fn images_of_any_size_are_brought_to_the_networks() {
    let mut network = network();
    let expected = ask(&mut network, [200, 30, 30])[0].2;
    for (width, height) in [(1, 1), (6, 6), (300, 7), (1, 900)] {
        let image = image(width, height, [200, 30, 30]);
        network.begin(&image, width, height).unwrap();
        let answer = network.advance().unwrap().unwrap();
        assert_eq!(answer.confidence, expected, "{width} x {height}");
    }
}

/// `policy.json` that stops at exit 0 from a confidence of `threshold` on.
fn policy(threshold: f64, model: &str) -> String {
    format!(
        r#"{{"format_version": 1, "model": "{model}", "criterion": "confidence",
        "fitted_on": {{"split": "val", "samples": 3}},
        "policy": {{"kind": "confidence", "thresholds": [{threshold}, 0.0]}}, "expected": {}}}"#,
        point(threshold, 150.0)
    )
}

fn point(threshold: f64, macs: f64) -> String {
    format!(
        r#"{{"thresholds": [{threshold}, 0.0], "exit_fractions": [0.75, 0.25], "mean_macs": {macs}, "top1": 50.0}}"#
    )
}

fn exit_report(exit: usize, top1: &str, macs: u64) -> String {
    format!(
        r#"{{"exit": {exit}, "top1": {top1}, "top5": 100.0, "nll": 1.0, "ece": 2.0, "macs": {macs}, "params": 5}}"#
    )
}

fn eval(exits: &[String]) -> String {
    format!(
        r#"{{"split": "test", "samples": 8, "exits": [{}], "ensemble": {{"top1": 60.0}}}}"#,
        exits.join(", ")
    )
}

fn run_files(threshold: f64) -> RunFiles {
    RunFiles {
        name: "toy".to_owned(),
        dataset: Some("colours".to_owned()),
        policy: Some(policy(threshold, "ab")),
        eval: Some(eval(&[
            exit_report(0, "60.5", 100),
            exit_report(1, "null", 300),
        ])),
        calibrate: Some(format!(
            r#"{{"fitted_on": "val", "scored_on": "test", "rows": [{}, {}], "policy": {}}}"#,
            point(0.9, 250.0),
            point(0.5, 120.0),
            policy(threshold, "ab")
        )),
    }
}

/// Pages of earlier versions read `image` and `probability`.
#[test]
fn earlier_names_are_answered_too() {
    let mut network = network();
    let model = network.load_run(&run_files(0.8)).unwrap();
    let model = serde_json::to_value(&model).unwrap();
    assert_eq!(model["image_size"], serde_json::json!([4, 4]));
    assert_eq!(model["image"], model["image_size"]);
    network.begin(&image(4, 4, [255, 0, 0]), 4, 4).unwrap();
    let answer = network.advance().unwrap().unwrap();
    let answer = serde_json::to_value(&answer).unwrap();
    assert!(answer["confidence"].is_number());
    assert_eq!(answer["probability"], answer["confidence"]);
}

fn choice(json: &str) -> Choice {
    serde_json::from_str(json).unwrap()
}

/// The exit taken by a red image, which is sure to 0.88 at exit 0.
fn exit(network: &mut Network) -> usize {
    let said = ask(network, [255, 0, 0]);
    let stops: Vec<usize> = said
        .iter()
        .filter(|said| said.3)
        .map(|said| said.0)
        .collect();
    assert_eq!(stops.len(), 1, "an image leaves once");
    stops[0]
}

#[test]
fn the_run_and_the_page_say_where_images_leave() {
    let mut network = network();
    let model = network.load_run(&run_files(0.8)).unwrap();
    assert!(model.notes.is_empty(), "{:?}", model.notes);
    assert_eq!(
        (model.name.as_str(), model.dataset.as_str()),
        ("toy", "colours")
    );
    assert_eq!(
        (model.exits[0].top1, model.exits[1].top1),
        (Some(60.5), None)
    );
    let costs: Vec<f64> = model.curve.iter().map(|point| point.mean_macs).collect();
    assert_eq!(costs, [120.0, 250.0], "cheapest first");
    assert_eq!(exit(&mut network), 0, "0.88 is enough for policy.json");
    for (json, taken) in [
        (r#"{"max_macs": 130}"#, 0),
        (r#"{"max_macs": 251}"#, 1),
        (r#"{"max_macs": 101}"#, 0),
        (r#"{"exit": 1}"#, 1),
        (r#"{"exit": 0}"#, 0),
        (
            r#"{"policy": {"kind": "confidence", "thresholds": [0.95, 0.0]}}"#,
            1,
        ),
        (
            r#"{"policy": {"kind": "confidence", "thresholds": [0.85, 0.0]}}"#,
            0,
        ),
        ("{}", 0),
    ] {
        network.choose(&choice(json)).unwrap();
        assert_eq!(exit(&mut network), taken, "{json}");
    }
    network.load_run(&run_files(0.9)).unwrap();
    assert_eq!(exit(&mut network), 1, "0.88 is not enough");
}

#[test]
fn what_does_not_belong_to_the_network_is_named() {
    let mut network = network();
    let mut files = run_files(0.8);
    files.eval = Some(eval(&[exit_report(0, "60.5", 1)]));
    files.calibrate = Some("{".to_owned());
    let model = network.load_run(&files).unwrap();
    assert!(model.curve.is_empty() && model.exits[0].top1.is_none());
    assert_eq!(model.notes.len(), 2, "{:?}", model.notes);
    files.policy = Some(policy(0.8, "other"));
    let error = network.load_run(&files).unwrap_err().to_string();
    assert!(
        error.contains("policy.json") && error.contains("other"),
        "{error}"
    );
    for (json, part) in [
        (r#"{"max_macs": 99}"#, "exit 0 alone costs 100"),
        (r#"{"exit": 2}"#, "exits 0 to 1"),
        (r#"{"exit": 0, "max_macs": 5}"#, "exclude each other"),
        (
            r#"{"policy": {"kind": "confidence", "thresholds": [0.5]}}"#,
            "1",
        ),
    ] {
        let error = network.choose(&choice(json)).unwrap_err().to_string();
        assert!(error.contains(part), "{json}: {error}");
    }
    for (bytes, width, height) in [(64, 4, 5), (0, 0, 0), (0, 0, 9), (64, u32::MAX, u32::MAX)] {
        let error = network.begin(&vec![0; bytes], width, height).unwrap_err();
        assert!(error.to_string().contains("RGBA"), "{error}");
    }
    assert_eq!(exit(&mut network), 0, "and the next image is answered");
}

#[test]
fn damaged_plans_are_refused() {
    let whole = plan(Some(about()));
    for length in (0..whole.len()).step_by(97).chain([63, 64, 65]) {
        assert!(Network::new(&whole[..length]).is_err(), "{length} bytes");
    }
    for at in (0..whole.len()).step_by(61) {
        // The rest of the first 64 bytes is unused.
        if (36..64).contains(&at) {
            continue;
        }
        let mut bytes = whole.clone();
        bytes[at] ^= 0x20;
        assert!(Network::new(&bytes).is_err(), "byte {at}");
    }
    let error = Network::new(&plan(None)).unwrap_err().to_string();
    assert!(error.contains("offramp export"), "{error}");
}
