//! Run folders with a plan of a network whose answers follow from formulas.

use std::fs;
use std::path::Path;

use offramp::executor::{About, MultiExitPlan, Options};
use offramp::graph::{Builder, Graph};
use offramp::{Error, Image, LoadOptions, RgbImage, load, load_with};

const RED: [u8; 3] = [255, 0, 0];
/// Normalised, red is 0.176 and green -0.137: the first exit is not sure.
const DIM: [u8; 3] = [150, 110, 0];

/// `logits = factor * [mean of red, mean of green]` of the images, and what goes on is ReLU of them.
fn segment(input: &str, exit: usize, factor: f32) -> Graph {
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

fn plan() -> MultiExitPlan {
    let graphs = [segment("image", 0, 1.0), segment("map", 1, 3.0)];
    MultiExitPlan::compile(&graphs, 8, Options::default()).unwrap()
}

fn about() -> About {
    About {
        model: "a".repeat(64),
        classes: vec!["red".to_owned(), "green".to_owned()],
        image: [3, 4, 4],
        resize: [4, 4],
        mean: [0.5; 3],
        std: [0.5; 3],
        macs: vec![100, 300],
    }
}

/// A run folder with a plan and nothing else.
fn run() -> tempfile::TempDir {
    let run = tempfile::tempdir().unwrap();
    fs::create_dir(run.path().join("export")).unwrap();
    let plan = plan().with_about(about()).unwrap();
    plan.save(&run.path().join("export/f32.plan")).unwrap();
    run
}

/// Images leave at the first exit if the confidence is at least `threshold`.
fn write_policy(path: &Path, threshold: f64) {
    let policy = serde_json::json!({
        "format": 2, "model": about().model, "criterion": "confidence",
        "fitted-on": {"split": "val", "samples": 3},
        "policy": {"name": "confidence", "thresholds": [threshold, 0.0]},
        "expected": {
            "thresholds": [threshold, 0.0], "exit-fractions": [0.5, 0.5], "mean-macs": 200.0, "top1": 50.0
        }
    });
    fs::write(path, policy.to_string()).unwrap();
}

fn image(rgb: [u8; 3]) -> RgbImage {
    RgbImage::from_raw(4, 4, rgb.repeat(16)).unwrap()
}

fn sigmoid(x: f64) -> f32 {
    (1.0 / (1.0 + (-x).exp())) as f32
}

#[test]
fn an_image_leaves_where_the_policy_says() {
    let run = run();
    write_policy(&run.path().join("policy.json"), 0.8);
    let mut net = load(run.path()).unwrap();
    assert!(net.policy().ends_with("policy.json"), "{}", net.policy());
    let answer = net.predict(image(RED)).unwrap();
    assert_eq!((answer.class.as_str(), answer.label), ("red", 0));
    assert_eq!((answer.exit, answer.macs), (0, 100));
    // Logits 1 and -1.
    assert!(
        (answer.confidence - sigmoid(2.0)).abs() < 1e-6,
        "{answer:?}"
    );
    let [first, second] = answer.top_k(5)[..] else {
        panic!("two classes: {answer:?}")
    };
    assert_eq!(first, (0, answer.confidence));
    assert_eq!(second.0, 1);
    assert!((second.1 - sigmoid(-2.0)).abs() < 1e-6);
    assert_eq!(answer.top_k(1), [first]);

    // ReLU of red, 2 * 150 / 255 - 1, times 3; green is 0.
    let answer = net.predict(image(DIM)).unwrap();
    assert_eq!((answer.exit, answer.macs), (1, 300));
    let expected = sigmoid(3.0 * (300.0 / 255.0 - 1.0));
    assert!((answer.confidence - expected).abs() < 1e-6, "{answer:?}");
}

#[test]
fn a_file_its_bytes_and_its_pixels_are_one_image() {
    let run = run();
    let file = run.path().join("dim.png");
    image(DIM).save(&file).unwrap();
    let bytes = fs::read(&file).unwrap();
    let mut net = load(run.path()).unwrap();
    let expected = net.predict(image(DIM)).unwrap();
    assert_eq!(net.predict(&file).unwrap(), expected);
    assert_eq!(net.predict(file.to_str().unwrap()).unwrap(), expected);
    assert_eq!(net.predict(&bytes).unwrap(), expected);
    assert_eq!(net.predict(Image::Bytes(&bytes)).unwrap(), expected);
}

#[test]
fn the_given_policy_then_the_runs_then_the_deepest_exit() {
    let run = run();
    let mut net = load(run.path()).unwrap();
    assert_eq!(net.policy(), "always exit 1");
    assert_eq!(net.predict(image(RED)).unwrap().exit, 1);
    write_policy(&run.path().join("policy.json"), 0.5);
    let other = run.path().join("strict.json");
    write_policy(&other, 0.99);
    let options = LoadOptions {
        policy: Some(other.clone()),
        ..LoadOptions::default()
    };
    let mut strict = load_with(run.path(), &options).unwrap();
    assert_eq!(strict.predict(image(RED)).unwrap().exit, 1);
    let mut net = load(run.path()).unwrap();
    assert_eq!(net.predict(image(RED)).unwrap().exit, 0);
    net.set_policy(&other).unwrap();
    assert_eq!(net.predict(image(RED)).unwrap().exit, 1);
    net.set_exit(0).unwrap();
    assert_eq!(net.predict(image(DIM)).unwrap().exit, 0);
    let error = net.set_exit(2).unwrap_err();
    assert!(matches!(error, Error::Policy(_)), "{error}");
}

#[test]
fn the_file_of_a_plan_has_the_policy_beside_it() {
    let run = run();
    write_policy(&run.path().join("policy.json"), 0.99);
    let plan = run.path().join("export/f32.plan");
    assert_eq!(load(&plan).unwrap().policy(), "always exit 1");
    write_policy(&run.path().join("export/policy.json"), 0.5);
    let mut net = load(&plan).unwrap();
    assert!(
        net.policy().ends_with("export/policy.json"),
        "{}",
        net.policy()
    );
    assert_eq!(net.predict(image(RED)).unwrap().exit, 0);
    fs::write(run.path().join("export/policy.json"), "{}").unwrap();
    let error = load(&plan).unwrap_err().to_string();
    assert!(error.contains("policy.json"), "{error}");
}

#[test]
fn more_images_than_a_batch_are_answered_in_their_order() {
    let run = run();
    write_policy(&run.path().join("policy.json"), 0.8);
    let options = LoadOptions {
        batch: 2,
        threads: Some(1),
        ..LoadOptions::default()
    };
    let mut net = load_with(run.path(), &options).unwrap();
    let colours = [RED, DIM, [0, 255, 0], DIM, RED];
    let answers = net.predict_all(colours.map(image)).unwrap();
    let exits: Vec<usize> = answers.iter().map(|answer| answer.exit).collect();
    let labels: Vec<usize> = answers.iter().map(|answer| answer.label).collect();
    assert_eq!((exits, labels), (vec![0, 1, 0, 1, 0], vec![0, 0, 1, 0, 0]));
    assert_eq!(net.predict_all(Vec::<&str>::new()).unwrap(), []);
}

#[test]
fn all_exits_and_what_is_known_of_the_network() {
    let run = run();
    let mut net = load(run.path()).unwrap();
    for _ in 0..2 {
        let exits = net.all_exits(image(RED)).unwrap();
        for (logits, expected) in exits.iter().zip([[1.0, -1.0], [3.0, 0.0]]) {
            for (z, expected) in logits.iter().zip(expected) {
                assert!((z - expected).abs() < 1e-6, "{exits:?}");
            }
        }
        assert_eq!(exits.len(), 2);
    }
    assert_eq!(net.classes(), ["red", "green"]);
    assert_eq!((net.image_size(), net.num_exits()), ((4, 4), 2));
    assert_eq!(net.macs(), [100, 300]);
    assert_eq!(net.sha256(), about().model);
}

#[test]
fn errors_name_what_is_wrong() {
    let run = run();
    let plan_file = run.path().join("export/f32.plan");
    let error = load(run.path().join("nothing")).unwrap_err();
    assert!(matches!(error, Error::NoRun { .. }), "{error}");

    let card = serde_json::json!({
        "format": 1, "net": {}, "classes": ["red", "green"], "dataset": "generated", "commit": null,
        "image": {"channels": 3, "height": 4, "width": 4}, "resize": {"channels": 3, "height": 4, "width": 4},
        "mean": [0.5, 0.5, 0.5], "std": [0.5, 0.5, 0.5], "sha256": "b".repeat(64)
    });
    let card_file = run.path().join("model.json");
    fs::write(&card_file, card.to_string()).unwrap();
    let error = load(run.path()).unwrap_err().to_string();
    assert!(
        error.contains("f32.plan") && error.contains("bbbbbbbbbbbb"),
        "{error}"
    );
    let same = card.to_string().replace(&"b".repeat(64), &about().model);
    fs::write(&card_file, same).unwrap();
    let mut net = load(run.path()).unwrap();

    let error = net.predict("no/such.png").unwrap_err().to_string();
    assert!(error.contains("no/such.png"), "{error}");
    let error = net.predict(&b"not an image"[..]).unwrap_err();
    assert!(matches!(error, Error::Decode(_)), "{error}");
    let error = net.predict(RgbImage::new(0, 3)).unwrap_err();
    assert!(
        matches!(
            error,
            Error::EmptyImage {
                width: 0,
                height: 3
            }
        ),
        "{error}"
    );
    // An error leaves nothing behind.
    assert_eq!(net.predict(image(RED)).unwrap().class, "red");

    for (key, options) in [
        (
            "batch is 0",
            LoadOptions {
                batch: 0,
                ..LoadOptions::default()
            },
        ),
        (
            "threads is 5000",
            LoadOptions {
                threads: Some(5000),
                ..LoadOptions::default()
            },
        ),
    ] {
        let error = load_with(run.path(), &options).unwrap_err().to_string();
        assert!(error.starts_with(key), "{error}");
    }

    fs::write(run.path().join("policy.json"), "{}").unwrap();
    let error = load(run.path()).unwrap_err().to_string();
    assert!(error.contains("policy.json"), "{error}");
    fs::remove_file(run.path().join("policy.json")).unwrap();

    plan().save(&plan_file).unwrap();
    let error = load(run.path()).unwrap_err();
    assert!(matches!(error, Error::Unnamed { .. }), "{error}");
    fs::write(&plan_file, "offramp\n").unwrap();
    let error = load(run.path()).unwrap_err();
    assert!(matches!(error, Error::Plan(_)), "{error}");
    fs::remove_file(&plan_file).unwrap();
    let error = load(run.path()).unwrap_err();
    assert!(matches!(error, Error::NoPlan { .. }), "{error}");
}
