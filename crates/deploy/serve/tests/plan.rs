//! The compiled executor behind the service: a plan's file, and the same bits as the stream alone.

mod support;

use std::path::Path;
use std::sync::Arc;
use std::thread;

use image::{Rgb, RgbImage};
use offramp_executor::{About, MultiExitPlan, Options, Stream};
use offramp_graph::{Builder, ConvGeometry, Graph};
use offramp_policies::{AnyPolicy, Criterion, Rule};
use offramp_run::normalise;
use offramp_serve::PlanFile;
use serde_json::json;
use support::Service;
use support::images::encode;

const SIDE: usize = 8;
const CLASSES: usize = 5;
const MACS: [u64; 2] = [10_000, 30_000];

/// Two segments with an exit each; weights are noise.
fn graphs() -> Vec<Graph> {
    let mut seed = 0u64;
    let mut noise = move |count: usize, scale: f32| -> Vec<f32> {
        (0..count)
            .map(|_| {
                seed += 1;
                let bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
                scale * (bits as f32 / (1 << 23) as f32 - 1.0)
            })
            .collect()
    };
    let same = ConvGeometry {
        padding: [1; 2],
        ..ConvGeometry::default()
    };
    let mut segment = |k: usize, channels: usize| {
        let mut b = Builder::new();
        let name = if k == 0 { "image" } else { "map0" };
        let x = b.input(name, &[channels, SIDE, SIDE]);
        let weight = b.weight(1, &[8, channels, 3, 3], noise(8 * channels * 9, 0.5));
        let map = b.conv(x, weight, None, same).unwrap();
        let map = b.relu(map).unwrap();
        let means = b.global_avg_pool(map).unwrap();
        let means = b.reshape(means, &[8]).unwrap();
        let weight = b.weight(2, &[CLASSES, 8], noise(CLASSES * 8, 3.0));
        let logits = b.linear(means, weight, None).unwrap();
        b.finish([
            (format!("exit{k}").as_str(), logits),
            (format!("map{k}").as_str(), map),
        ])
    };
    vec![segment(0, 3), segment(1, 8)]
}

fn rule(threshold: f64) -> Rule {
    let thresholds = vec![threshold, 0.0];
    AnyPolicy::with_thresholds(Criterion::Confidence, thresholds)
        .unwrap()
        .into()
}

fn plan(dir: &Path) -> MultiExitPlan {
    let options = Options {
        threads: 1,
        ..Options::default()
    };
    let plan = MultiExitPlan::compile(&graphs(), 4, options).unwrap();
    let about = About {
        model: "ab".repeat(32),
        classes: (0..CLASSES).map(|class| format!("class {class}")).collect(),
        image: [3, SIDE, SIDE],
        resize: [SIDE, SIDE],
        mean: [0.5, 0.4, 0.3],
        std: [0.2, 0.3, 0.25],
        macs: MACS.to_vec(),
    };
    let plan = plan.with_about(about).unwrap();
    plan.save(&dir.join("net.plan")).unwrap();
    plan
}

fn image(seed: u32) -> RgbImage {
    RgbImage::from_fn(SIDE as u32, SIDE as u32, |x, y| {
        Rgb([0, 1, 2].map(|c| {
            ((x * 7 + y * 13 + c * 29 + seed * 101).wrapping_mul(2_654_435_761) >> 24) as u8
        }))
    })
}

#[test]
fn answers_are_those_of_the_stream_whatever_is_computed_beside() {
    let dir = tempfile::tempdir().unwrap();
    let mut alone = Stream::new(plan(dir.path()), MACS.to_vec()).unwrap();
    let source = PlanFile {
        name: "net".to_owned(),
        path: dir.path().join("net.plan"),
        policy: None,
        batch: 16,
        threads: Some(1),
    };
    let service = Service::start(vec![Box::new(source)], |_| {});
    assert_eq!(service.get("/v1/model").ok()["policy"], "always exit 1");
    let policy = json!({"kind": "confidence", "thresholds": [0.6, 0]}).to_string();
    let query = format!(
        "?top_k=5&policy={}",
        policy
            .replace('"', "%22")
            .replace('{', "%7B")
            .replace('}', "%7D")
    );
    let rule = Arc::new(rule(0.6));
    let expected: Vec<_> = (0..48)
        .map(|seed| {
            let image = image(seed);
            let planes = (0..3).flat_map(|c| image.pixels().map(move |pixel| pixel[c]));
            let planes: Vec<u8> = planes.collect();
            let pixels = normalise(&planes, planes.len() / 3, [0.5, 0.4, 0.3], [0.2, 0.3, 0.25]);
            alone.run(&pixels, &rule).unwrap().remove(0)
        })
        .collect();
    let left: Vec<usize> = (0..2)
        .map(|k| expected.iter().filter(|a| a.exit == k).count())
        .collect();
    assert!(
        left.iter().all(|&count| count > 4),
        "both exits are taken: {left:?}"
    );
    thread::scope(|scope| {
        for client in 0..8 {
            let (service, expected, query) = (&service, &expected, &query);
            scope.spawn(move || {
                for seed in (client..48).step_by(8) {
                    let bytes = encode(&image(seed as u32).into(), image::ImageFormat::Png);
                    let said = service.predict(query, &bytes).ok();
                    let (said, alone) = (&said["predictions"][0], &expected[seed]);
                    assert_eq!(said["label"], alone.class);
                    assert_eq!(said["exit"], alone.exit);
                    assert_eq!(said["macs"], alone.macs);
                    let confidence = said["confidence"].as_f64().unwrap() as f32;
                    assert_eq!(confidence.to_bits(), alone.confidence.to_bits());
                }
            });
        }
    });
    let metrics = service.get("/metrics").body;
    assert!(
        metrics.contains("offramp_batch_images_count{model=\"net\"}"),
        "{metrics}"
    );
}

#[test]
fn files_that_are_no_plans_are_named() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("net.plan");
    let load = || {
        let source = PlanFile {
            name: "net".to_owned(),
            path: path.clone(),
            policy: None,
            batch: 4,
            threads: None,
        };
        offramp_serve::Source::load(&source)
            .err()
            .map(|error| error.to_string())
    };
    assert!(load().unwrap().contains("net.plan"));
    std::fs::write(&path, "no plan").unwrap();
    assert!(load().unwrap().contains("net.plan"));
    plan(dir.path());
    assert_eq!(load(), None);
    std::fs::write(dir.path().join("policy.json"), "{}").unwrap();
    assert!(load().unwrap().contains("policy.json"));
}
