//! Every backbone of the registry against what it states of itself and what the literature does.

use burn::module::Module;
use burn::tensor::Tensor;
use offramp_backbones::{AnyBackbone, BackboneConfig, registry};
use offramp_core::{Backbone, Cost, Features, MapShape, default_device, params};
use offramp_graph::reference;
use offramp_nn::Init;
use serde_json::{Value, json};

fn config(name: &str, options: Value) -> BackboneConfig {
    let Value::Object(options) = options else {
        panic!("options are a table")
    };
    let config = BackboneConfig::named(name).unwrap();
    config.with_options(options).unwrap()
}

fn build(name: &str, options: Value) -> AnyBackbone {
    config(name, options).init(&mut Init::new(0, &default_device().unwrap()))
}

/// The networks whose code is that of another, smaller one.
const LARGE: [&str; 6] = [
    "resnet110",
    "resnet101",
    "resnet152",
    "wrn28-10",
    "shufflenetv2-x2.0",
    "vgg19",
];

/// All others, with each of the options that change the layers.
fn variants() -> Vec<(&'static str, Value)> {
    let names = registry().into_iter().map(|entry| entry.name);
    let mut variants = Vec::new();
    for name in names.filter(|name| !LARGE.contains(name)) {
        variants.push((name, json!({})));
        if !(name.starts_with("wrn") || name.starts_with("msdnet")) {
            variants.push((name, json!({"stem": "imagenet"})));
        }
        if name.starts_with("resnet") {
            variants.push((name, json!({"shortcut": "A"})));
            variants.push((name, json!({"taps": "inner"})));
        }
    }
    variants.push(("mobilenetv2", json!({"width": 0.5})));
    variants.push(("msdnet", json!({"blocks": 4, "prune": "min"})));
    variants
}

fn total(net: &AnyBackbone, side: usize) -> Cost {
    let costs = net.costs(MapShape::new(3, side, side));
    costs.into_iter().map(|(cost, _)| cost).sum()
}

/// Trainable parameters as burn counts them: everything but the running statistics.
fn trainable(net: &AnyBackbone) -> u64 {
    let tensors = params::collect(net);
    tensors
        .iter()
        .filter(|(name, _)| !name.contains("running_"))
        .map(|(_, data)| data.num_elements() as u64)
        .sum()
}

/// What checkpointing keeps depends on where stages are cut.
#[test]
fn stages_are_cut_into_blocks() {
    let blocks = |net: &AnyBackbone| -> Vec<usize> {
        (0..net.stages().len())
            .map(|stage| net.blocks(stage))
            .collect()
    };
    for (name, options, expected) in [
        ("resnet8", json!({}), vec![2, 1, 1]),
        ("resnet8", json!({"taps": "inner"}), vec![2, 1, 1, 1, 1, 1]),
        ("resnet18", json!({}), vec![3, 2, 2, 2]),
        ("resnet50", json!({}), vec![4, 4, 6, 3]),
        ("wrn16-2", json!({}), vec![3, 2, 2]),
        ("vgg8", json!({}), vec![1, 1, 1, 1, 1]),
        ("densenet121", json!({}), vec![7, 13, 25, 17]),
        ("msdnet", json!({"blocks": 3}), vec![6, 2, 3]),
    ] {
        assert_eq!(blocks(&build(name, options)), expected, "{name}");
    }
    for (name, options) in variants() {
        let net = build(name, options);
        assert!(blocks(&net).into_iter().all(|count| count > 0), "{name}");
    }
    // Without a stem.
    let mut init = Init::new(0, &default_device().unwrap());
    let piece = config("resnet18", json!({})).init_stages(1..4, &mut init);
    assert_eq!(blocks(&piece.unwrap()), [2, 2, 2]);
}

#[test]
fn stated_shapes_and_parameters_are_the_computed_ones() {
    let device = default_device().unwrap();
    for (name, options) in variants() {
        let net = build(name, options.clone());
        assert_eq!(total(&net, 64).params, trainable(&net), "{name} {options}");
        assert_eq!(net.stages(), config(name, options).stages());
        let mut x = Features::from(Tensor::zeros([1, 3, 64, 64], &device));
        let costs = net.costs(MapShape::new(3, 64, 64));
        for (i, (stage, (_, map))) in net.stages().iter().zip(costs).enumerate() {
            x = net.forward_stage(i, x);
            let dims = [1, map.channels, map.height, map.width];
            assert_eq!(x.map.dims(), dims, "{name} {}", stage.name);
            assert_eq!(stage.channels, map.channels, "{name} {}", stage.name);
            assert_eq!(stage.reduction * map.height, 64, "{name} {}", stage.name);
        }
    }
}

/// The whole is its first stages and then the others, in the same order of random numbers.
#[test]
fn pieces_are_parts_of_the_whole() {
    let device = default_device().unwrap();
    for name in [
        "resnet8",
        "resnet18",
        "resnet50",
        "wrn16-2",
        "densenet121",
        "vgg8",
        "shufflenetv2",
    ] {
        let config = config(name, json!({}));
        let whole = config.init(&mut Init::new(0, &device));
        let stages = config.stages();
        assert_eq!(whole.stages(), stages);
        for cut in 1..=stages.len() {
            let mut init = Init::new(0, &device);
            let first = config.init_stages(0..cut, &mut init).unwrap();
            let rest = config.init_stages(cut..stages.len(), &mut init).unwrap();
            assert_eq!([first.stages(), rest.stages()].concat(), stages);
            let mut joined = params::collect(&first);
            joined.extend(params::collect(&rest));
            assert!(joined == params::collect(&whole), "{name} {cut}");

            let mut x = Features::from(Tensor::<4>::ones([1, 3, 16, 16], &device));
            let mut y = x.clone();
            let shape = MapShape::new(3, 16, 16);
            let costs = first.costs(shape);
            let (_, map) = costs[cut - 1];
            assert_eq!([costs, rest.costs(map)].concat(), whole.costs(shape));
            for stage in 0..stages.len() {
                x = whole.forward_stage(stage, x);
                y = match stage.checked_sub(cut) {
                    None => first.forward_stage(stage, y),
                    Some(stage) => rest.forward_stage(stage, y),
                };
            }
            x.map.into_data().assert_eq(&y.map.into_data(), true);
        }
    }
}

/// The graph computes, by the interpreter, what the network does.
#[test]
fn graphs_compute_the_same() {
    let device = default_device().unwrap();
    for (name, options) in variants() {
        let net = build(name, options.clone()).valid();
        let large = options == json!({"stem": "imagenet"}) || name == "msdnet-imagenet";
        let side = if large { 64 } else { 32 };
        let mut init = Init::new(1, &device);
        let image = init.normal([1, 3, side, side], 1.0).val().detach();
        let mut x = Features::from(image.clone());
        for stage in 0..net.stages().len() {
            x = net.forward_stage(stage, x);
        }
        let graph = net.graph().unwrap().resized(&[&[3, side, side]]).unwrap();
        let image: Vec<f32> = image.into_data().try_to_vec().unwrap();
        let found = &reference::run(&graph, 1, &[image]).unwrap()[0];
        let expected: Vec<f32> = x.map.into_data().iter::<f32>().collect();
        let largest = expected.iter().fold(0.0_f32, |m, x| m.max(x.abs()));
        assert!(largest > 0.0, "{name} {options}");
        for (found, expected) in found.iter().zip(&expected) {
            let difference = (found - expected).abs();
            assert!(
                difference <= 1e-4 * largest,
                "{name} {options}: {found} {expected}"
            );
        }
    }
}

/// What the literature counts: multiply-accumulates of convolutions and linear layers in units of
/// a million, and parameters.
#[test]
fn costs_are_those_of_the_literature() {
    let million = |macs: u64| (macs + 500_000) / 1_000_000;
    // He et al.: ResNet-20 has 0.27 M parameters; 40.55 M MACs of convolutions with option A.
    let cost = total(&build("resnet20", json!({"shortcut": "A"})), 32);
    assert_eq!((cost.macs, cost.params + 650), (40_550_400, 269_722));
    // chenyaofo/pytorch-cifar-models lists 40.81 M and 125.75 M (10 classes) for 1x1 shortcuts.
    let hundredths = |macs: u64| (macs + 5_000) / 10_000;
    for (name, macs) in [("resnet20", 4_081), ("resnet56", 12_575)] {
        let cost = total(&build(name, json!({})), 32);
        assert_eq!(hundredths(cost.macs + 640), macs, "{name}");
    }
    // Parameters for 100 classes: RepDistiller's networks as SimKD's tables state them (in
    // units of 10,000), and kuangliu/pytorch-cifar's ResNet-18 for 10 classes.
    for (name, width, params) in [
        ("resnet8x4", 256, 123),
        ("resnet32x4", 256, 743),
        ("wrn16-2", 128, 70),
        ("wrn40-2", 128, 226),
        ("wrn40-1", 64, 57),
        ("wrn28-10", 640, 3_654),
        ("vgg8", 512, 397),
        ("vgg13", 512, 946),
        ("shufflenetv1", 960, 95),
        ("shufflenetv2", 1024, 136),
    ] {
        let cost = total(&build(name, json!({})), 32) + Cost::linear(width, 100);
        assert_eq!((cost.params + 5_000) / 10_000, params, "{name}");
    }
    let cost = total(&build("resnet18", json!({})), 32) + Cost::linear(512, 10);
    assert_eq!(cost.params, 11_173_962);

    // torchvision's published numbers for 224 pixels and 1000 classes: GFLOPs (its name for 10^9
    // multiply-accumulates) in millions, parameters.
    let one = |width| Cost::linear(width, 1000);
    let vgg = Cost::linear(25_088, 4096) + Cost::linear(4096, 4096) + one(4096);
    for (name, classifier, macs, params) in [
        ("resnet18", one(512), 1_814, 11_689_512),
        ("resnet34", one(512), 3_664, 21_797_672),
        ("resnet50", one(2048), 4_089, 25_557_032),
        ("resnet101", one(2048), 7_801, 44_549_160),
        ("resnet152", one(2048), 11_514, 60_192_808),
        ("resnext50-32x4d", one(2048), 4_230, 25_028_904),
        ("vgg11", vgg, 7_609, 132_868_840),
        ("vgg13", vgg, 11_308, 133_053_736),
        ("vgg16", vgg, 15_470, 138_365_992),
        ("vgg19", vgg, 19_632, 143_678_248),
        ("mobilenetv2", one(1280), 301, 3_504_872),
        (
            "mobilenetv3-small",
            Cost::linear(576, 1024) + one(1024),
            57,
            2_542_856,
        ),
        ("shufflenetv2-x0.5", one(1024), 40, 1_366_792),
        ("shufflenetv2", one(1024), 145, 2_278_604),
        ("shufflenetv2-x1.5", one(1024), 296, 3_503_624),
        ("shufflenetv2-x2.0", one(2048), 583, 7_393_996),
        ("densenet121", one(1024), 2_834, 7_978_856),
    ] {
        let cost = total(&build(name, json!({"stem": "imagenet"})), 224) + classifier;
        assert_eq!(cost.params, params, "{name}");
        // torchvision rounds, and counts biases and the activations of gates in some networks.
        let difference = million(cost.macs).abs_diff(macs);
        assert!(difference <= 1 + macs / 1000, "{name}: {}", cost.macs);
    }
    // Zhang et al., table 1: 137 M for ShuffleNet 1x in groups of 3.
    let cost = total(&build("shufflenetv1", json!({"stem": "imagenet"})), 224) + one(960);
    assert_eq!(million(cost.macs), 137);
}

/// `123.45 M`, of the backbone with its published classifier left out.
fn in_millions(count: u64) -> String {
    format!("{:.2} M", count as f64 / 1e6)
}

#[test]
fn the_books_table_is_that_of_the_code() {
    let page = concat!(
        env!("CARGO_MANIFEST_DIR"),
        "/../../../docs/src/backbones.md"
    );
    let page = std::fs::read_to_string(page).unwrap();
    let rows = registry().into_iter().map(|entry| {
        let at = |options: Value, side: usize| {
            in_millions(total(&build(entry.name, options), side).macs)
        };
        let small = build(entry.name, json!({}));
        let widths: Vec<String> = small
            .stages()
            .iter()
            .map(|s| s.channels.to_string())
            .collect();
        // Those that are not used with images of 224 pixels.
        let only_small = ["wrn", "msdnet", "vgg8"]
            .iter()
            .any(|name| entry.name.starts_with(name))
            || entry.name.starts_with("resnet") && small.stages().len() == 3;
        let at_32 = in_millions(total(&small, 32).macs);
        let [at_32, at_224] = match (entry.name, only_small) {
            ("msdnet-imagenet", _) => [String::new(), at(json!({}), 224)],
            (_, true) => [at_32, String::new()],
            (_, false) => [at_32, at(json!({"stem": "imagenet"}), 224)],
        };
        format!(
            "| `{}` | {} | {} | {at_32} | {at_224} |",
            entry.name,
            widths.join(", "),
            in_millions(total(&small, 64).params),
        )
    });
    let rows: Vec<String> = rows.collect();
    let missing = rows.iter().any(|row| !page.contains(row));
    assert!(
        !missing,
        "docs/src/backbones.md should hold\n{}",
        rows.join("\n")
    );
}
