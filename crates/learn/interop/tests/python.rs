//! Exports of every backbone and head, run by ONNX Runtime and PyTorch.
//!
//! ```text
//! pip install -r tests/python/requirements.txt
//! OFFRAMP_PYTHON=python cargo test --release --workspace --test python -- --nocapture
//! ```
//!
//! Without `OFFRAMP_PYTHON`, or where that Python lacks the packages, the test prints that it was
//! skipped.

mod support;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, Tensor, TensorData};
use offramp_backbones::BackboneConfig;
use offramp_core::MapShape;
use offramp_core::params::{self, NamedTensors, to_safetensors};
use offramp_graph::{Builder, ConvGeometry, Graph, GraphError, Window, reference};
use offramp_interop::export::{
    ChainPolicy, OnnxNotes, Opset, graph_to_onnx, onnx, onnx_segments, state_dict,
};
use offramp_nn::Init;
use serde_json::{Value, json};
use support::{describe, images, network, policy};

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// The Python that was named, if it has what is needed.
fn python() -> Option<String> {
    let Ok(python) = std::env::var("OFFRAMP_PYTHON") else {
        eprintln!("left out: OFFRAMP_PYTHON names no Python with tests/python/requirements.txt");
        return None;
    };
    let packages = "import numpy, onnx, onnxruntime, safetensors, torch, torchvision";
    let output = Command::new(&python).args(["-c", packages]).output();
    match output {
        Ok(output) if output.status.success() => Some(python),
        Ok(output) => {
            let reason = String::from_utf8_lossy(&output.stderr);
            let reason = reason.lines().last().unwrap_or_default();
            eprintln!("left out: {python} lacks tests/python/requirements.txt: {reason}");
            None
        }
        Err(error) => panic!("OFFRAMP_PYTHON={python} cannot be started: {error}"),
    }
}

/// Writes inputs and outputs for the script.
fn write_values(folder: &Path, values: NamedTensors) {
    let bytes = to_safetensors(&values, BTreeMap::new()).unwrap();
    std::fs::write(folder.join("io.safetensors"), bytes).unwrap();
}

/// Everything that is exported of a network, and its own logits.
fn write(parent: &Path, name: &str, config: Value, image: MapShape, opset: i64) {
    let folder = parent.join(name);
    let chain = folder.join("segments");
    std::fs::create_dir_all(&chain).unwrap();
    let opset = Opset::new(opset).unwrap();
    let (net, card) = network(config, image);
    let description = describe(&net, &card);
    let policy = ChainPolicy {
        policy: policy(net.num_exits()),
        temperatures: None,
    };
    let bytes = onnx(&net, &description, &policy, opset).unwrap();
    std::fs::write(folder.join("model.onnx"), bytes).unwrap();
    onnx_segments(&net, &description, &policy, opset)
        .unwrap()
        .write(&chain)
        .unwrap();
    let bytes = state_dict(&net, &description).unwrap();
    std::fs::write(folder.join("pytorch.safetensors"), bytes).unwrap();

    let x: Tensor<4> = images(3, image);
    let outputs = net.forward(x.clone());
    let logits = outputs.logits().enumerate();
    let mut values: NamedTensors = logits
        .map(|(k, z)| (format!("out.exit{k}"), z.to_data()))
        .collect();
    values.insert("in.image".to_owned(), x.into_data());
    write_values(&folder, values);
}

/// Every operation of a graph, with the reference's numbers.
fn write_operations(parent: &Path, opset: i64) {
    let folder = parent.join(format!("operations-opset{opset}"));
    std::fs::create_dir_all(&folder).unwrap();
    let graph = operations(opset).unwrap();
    let opset = Opset::new(opset).unwrap();
    let bytes = graph_to_onnx(&graph, &OnnxNotes::default(), opset).unwrap();
    std::fs::write(folder.join("model.onnx"), bytes).unwrap();
    let x = images(3, MapShape::new(6, 7, 5)).into_data();
    let numbers: Vec<f32> = x.iter::<f32>().collect();
    let outputs = reference::run(&graph, 3, &[numbers]).unwrap();
    let mut values = NamedTensors::from([("in.x".to_owned(), x)]);
    for (port, numbers) in graph.outputs().iter().zip(outputs) {
        let shape = [&[3], graph.shape(port.value)].concat();
        values.insert(
            format!("out.{}", port.name),
            TensorData::new(numbers, shape),
        );
    }
    write_values(&folder, values);
}

fn operations(opset: i64) -> Result<Graph, GraphError> {
    let mut b = Builder::new();
    let x = b.input("x", &[6, 7, 5]);
    let numbers = |count: usize| (0..count).map(|i| (i as f32 * 0.7).sin()).collect();
    let kernel = b.weight(1, &[4, 3, 3, 2], numbers(72));
    let bias = b.weight(2, &[4], numbers(4));
    let geometry = ConvGeometry {
        stride: [2, 1],
        padding: [1, 2],
        dilation: [1, 2],
        groups: 2,
    };
    let conv = b.conv(x, kernel, Some(bias), geometry)?;
    let statistics = [
        b.weight(3, &[6], numbers(6)),
        b.weight(4, &[6], numbers(6)),
        b.weight(5, &[6], numbers(6)),
        b.weight(6, &[6], vec![0.3, 0.5, 0.7, 0.9, 1.1, 1.3]),
    ];
    let norm = b.batch_norm(x, statistics, 1e-3)?;
    let pooled = b.global_avg_pool(x)?;
    let gate = b.reshape(pooled, &[6, 1, 1])?;
    let gate = b.sigmoid(gate)?;
    let matrix = b.weight(7, &[2, 6], numbers(12));
    let shift = b.weight(8, &[2], numbers(2));
    let rows = b.slice(x, 1, 1..6, 2)?;
    let mut outputs = vec![
        ("conv", conv),
        ("batch_norm", norm),
        ("linear", b.linear(pooled, matrix, Some(shift))?),
        ("relu", b.relu(x)?),
        ("clamp", b.clamp(x, -0.5, 0.25)?),
        ("hard_sigmoid", b.hard_sigmoid(x)?),
        ("hard_swish", b.hard_swish(x)?),
        ("scale", b.scale(x, -1.5)?),
        ("add", b.add(x, norm)?),
        ("mul", b.mul(x, gate)?),
        ("max_pool", b.max_pool(x, Window::square(3, 2, 1))?),
        ("avg_pool", b.avg_pool(x, Window::square(3, 2, 1))?),
        ("adaptive_avg_pool", b.shrink(x, [3, 2])?),
        ("concat", b.concat(&[norm, x])?),
        ("slice", b.slice(rows, 2, 0..5, 2)?),
        ("pad_channels", b.pad_channels(x, 1, 2)?),
        ("shuffle", b.shuffle(x, 3)?),
        ("same", x),
    ];
    if opset >= 17 {
        let [scale, shift, ..] = statistics;
        outputs.push(("layer_norm", b.layer_norm(pooled, [scale, shift], 1e-5)?));
    }
    Ok(b.finish(outputs))
}

#[test]
fn other_programs_compute_the_same() {
    let Some(python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for opset in [Opset::OLDEST, 17, Opset::NEWEST] {
        write_operations(folder.path(), opset);
    }
    for entry in offramp_backbones::registry() {
        write(
            folder.path(),
            entry.name,
            json!({"backbone": entry.name}),
            IMAGE,
            17,
        );
    }
    for head in offramp_heads::registry() {
        for (backbone, opset) in [("resnet8", 13), ("resnet18", 22)] {
            let name = format!("{backbone}-{}-opset{opset}", head.name);
            let config = json!({"backbone": backbone, "head": head.name});
            write(folder.path(), &name, config, IMAGE, opset);
        }
    }
    for cascade in offramp_heads::cascades() {
        let name = format!("cascade-{}", cascade.name);
        let config = json!({"backbone": "resnet8", "cascade": cascade.name});
        write(folder.path(), &name, config, IMAGE, 17);
    }
    let large = json!({"name": "resnet18", "stem": "imagenet"});
    for (name, config, image) in [
        (
            "one-exit",
            json!({"backbone": "resnet20", "exits": [2]}),
            IMAGE,
        ),
        (
            "torchvision",
            json!({"backbone": large, "exits": [3]}),
            MapShape::new(3, 64, 96),
        ),
        (
            "shortcut-a",
            json!({"backbone": {"name": "resnet8", "shortcut": "A"}}),
            IMAGE,
        ),
        (
            "inner-taps",
            json!({"backbone": {"name": "resnet8", "taps": "inner"}}),
            IMAGE,
        ),
        (
            "byot",
            json!({"backbone": "resnet8", "head": {"name": "sepconv", "style": "byot"}}),
            IMAGE,
        ),
        (
            "cascade-ztw-norm",
            json!({"backbone": "resnet8", "cascade": {"name": "ztw", "norm": true, "last": true}}),
            IMAGE,
        ),
        (
            "two-teachers",
            json!({"backbone": "resnet8", "head": {"name": "projector", "width": [6, 4], "size": 3}}),
            IMAGE,
        ),
    ] {
        write(folder.path(), name, config, image, 17);
    }

    check(&python, "check_export.py", &["networks"], folder.path());
}

/// Runs a script of `tests/python` on a folder.
fn check(python: &str, script: &str, args: &[&str], folder: &Path) {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../tests/python");
    let output = Command::new(python)
        .arg(scripts.join(script))
        .args(args)
        .arg(folder)
        .output()
        .unwrap();
    let stdout = String::from_utf8_lossy(&output.stdout);
    let stderr = String::from_utf8_lossy(&output.stderr);
    println!("{stdout}");
    assert!(output.status.success(), "{stdout}{stderr}");
}

/// Logits, gradients of `sum(r * logits)` and the running statistics after a step, in evaluation
/// and in training.
fn write_gradients(parent: &Path, name: &str, options: Value, side: usize) {
    let folder = parent.join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let image = MapShape::new(3, side, side);
    let mut backbone = options;
    backbone["name"] = name.split(' ').next().into();
    let config: BackboneConfig = serde_json::from_value(backbone.clone()).unwrap();
    let last = config.stages().len() - 1;
    let (net, card) = network(json!({"backbone": backbone, "exits": [last]}), image);
    let bytes = state_dict(&net, &describe(&net, &card)).unwrap();
    std::fs::write(folder.join("pytorch.safetensors"), bytes).unwrap();

    let x = images(2, image);
    let r = Init::new(5, &x.device()).normal([2, support::CLASSES], 1.0);
    let r = r.val().detach();
    let mut values = NamedTensors::from([
        ("image".to_owned(), x.to_data()),
        ("r".to_owned(), r.to_data()),
    ]);
    let double = net.clone().map(&mut Double).train();
    let net = net.train();
    for (precision, net) in [("float32", net), ("float64", double)] {
        let dtype = match precision {
            "float32" => DType::F32,
            _ => DType::F64,
        };
        let x = Tensor::from_inner(x.clone().cast(dtype));
        let r = Tensor::from_inner(r.clone().cast(dtype));
        let evaluating = net.clone().freeze().set_require_grad(true);
        for (mode, net) in [("eval", evaluating), ("train", net)] {
            let outputs = net.forward(x.clone());
            let logits = outputs.logits().next().unwrap().clone();
            let name = |rest: String| format!("{precision}.{mode}.{rest}");
            values.insert(name("logits".to_owned()), logits.to_data());
            let gradients = (logits * r.clone()).sum().backward();
            for (parameter, gradient) in params::gradients(&net, &gradients) {
                values.insert(name(format!("gradient.{parameter}")), gradient.into_data());
            }
            for (buffer, value) in params::collect(&net) {
                if buffer.contains("running_") {
                    values.insert(name(format!("buffer.{buffer}")), value);
                }
            }
        }
    }
    write_values(&folder, values);
}

/// The same network with numbers of float64, which burn's own operations serve.
struct Double;

impl ModuleMapper for Double {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|tensor| tensor.cast(DType::F64))
    }
}

/// Networks for 224 pixels at 64, so that their last maps are not a single position.
#[test]
fn gradients_are_those_of_pytorch() {
    let Some(python) = python() else {
        return;
    };
    let folder = tempfile::tempdir().unwrap();
    for entry in offramp_backbones::registry() {
        let large = entry.name == "msdnet-imagenet";
        write_gradients(
            folder.path(),
            entry.name,
            json!({}),
            if large { 64 } else { 32 },
        );
        if !entry.name.starts_with("wrn") && !entry.name.starts_with("msdnet") {
            let name = format!("{} imagenet", entry.name);
            write_gradients(folder.path(), &name, json!({"stem": "imagenet"}), 64);
        }
    }
    check(&python, "check_backbones.py", &[], folder.path());
}
