//! A run folder without a plan: the network itself is compiled.

use std::fs;

use offramp::core::{MapShape, default_device, images};
use offramp::executor::{About, MultiExitPlan, Options};
use offramp::heads::{ModelCard, save_model};
use offramp::nn::Init;
use offramp::{Error, RgbImage, load};

fn image() -> RgbImage {
    RgbImage::from_fn(40, 32, |x, y| {
        let (x, y) = (x as u8, y as u8);
        [7 * x, 5 * y, x ^ y].into()
    })
}

#[test]
fn the_networks_own_weights_are_compiled_and_a_plan_of_them_answers_alike() {
    let device = default_device().unwrap();
    let run = tempfile::tempdir().unwrap();
    let card = ModelCard {
        format: 1,
        net: serde_json::from_str(r#"{"backbone": "resnet8", "head": "sepconv"}"#).unwrap(),
        classes: vec!["cat".into(), "dog".into(), "bird".into()],
        image: MapShape::new(3, 32, 32),
        resize: MapShape::new(3, 32, 32),
        mean: [0.4, 0.5, 0.6],
        std: [0.25, 0.5, 0.3],
        dataset: "generated".into(),
        commit: None,
        sha256: String::new(),
    };
    let net = (card.net)
        .init(3, card.image, &mut Init::new(1, &device))
        .unwrap();
    let card = save_model(run.path(), &net, card).unwrap();

    let mut compiled = load(run.path()).unwrap();
    assert_eq!(compiled.sha256(), card.sha256);
    assert_eq!(compiled.num_exits(), net.num_exits());
    let answer = compiled.predict(image()).unwrap();
    assert_eq!(answer.exit, net.num_exits() - 1, "no policy");

    // What burn computes from the same bytes.
    let planes = card.input().planes(image());
    let x = images::normalise(planes, [1, 3, 32, 32], card.mean, card.std, &device);
    let expected = net.forward(x);
    let exits = compiled.all_exits(image()).unwrap();
    assert_eq!(exits.len(), expected.logits().len());
    for (exit, (logits, expected)) in exits.iter().zip(expected.logits()).enumerate() {
        let expected: Vec<f32> = expected.to_data().iter::<f32>().collect();
        for (z, expected) in logits.iter().zip(&expected) {
            let close = (z - expected).abs() <= 1e-4 * expected.abs().max(1.0);
            assert!(close, "exit {exit}: {logits:?} {expected:?}");
        }
    }

    let graphs = net.segment_graphs(card.image).unwrap();
    let costs = net.exit_costs(card.image);
    let about = About::new(&card, costs.iter().map(|cost| cost.macs).collect());
    let plan = MultiExitPlan::compile(&graphs, 64, Options::default()).unwrap();
    let plan = plan.with_about(about).unwrap();
    let export = run.path().join("export");
    fs::create_dir(&export).unwrap();
    plan.save(&export.join("f32.plan")).unwrap();
    let mut planned = load(run.path()).unwrap();
    assert_eq!(planned.predict(image()).unwrap(), answer);

    fs::remove_dir_all(&export).unwrap();
    fs::write(run.path().join("model.safetensors"), "damaged").unwrap();
    let error = load(run.path()).unwrap_err();
    assert!(matches!(error, Error::Model { .. }), "{error}");
}
