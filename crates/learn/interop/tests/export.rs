//! What is exported: ONNX files against the official schema, chains, and weights that come back.

mod support;

use std::collections::HashSet;

use offramp_backbones::BackboneConfig;
use offramp_core::{MapShape, default_device, params};
use offramp_graph::{Builder, Window};
use offramp_interop::export::{
    ChainPolicy, ExportError, OnnxNotes, OnnxSegments, Opset, SegmentsFile, graph_to_onnx, onnx,
    onnx_segments, state_dict,
};
use offramp_interop::{ImportOptions, WeightFile, import};
use serde_json::json;
use support::protobuf::{Message, Schema};
use support::{describe, network, policy};

const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 32,
    width: 32,
};

/// Reads a file by the official schema and checks what every ONNX file has to hold.
fn model(bytes: &[u8]) -> Message {
    let schema = Schema::parse(include_str!("schema/onnx.proto"));
    let model = schema.read("ModelProto", bytes);
    let graph = model.message("graph");
    let mut known: HashSet<&str> = HashSet::new();
    for tensor in graph.messages("initializer") {
        let elements: i64 = tensor.numbers("dims").iter().product();
        let size = match tensor.numbers("data_type")[..] {
            [1] => 4,
            [7] => 8,
            ref other => panic!("element type {other:?}"),
        };
        assert_eq!(tensor.bytes("raw_data") as i64, elements * size);
        assert!(known.insert(tensor.texts("name")[0]));
    }
    for port in graph.messages("input") {
        assert!(known.insert(port.texts("name")[0]));
    }
    let mut names = HashSet::new();
    for node in graph.messages("node") {
        assert!(names.insert(node.texts("name")[0]), "{node:?}");
        for input in node.texts("input") {
            assert!(known.contains(input), "{input} is read before it is made");
        }
        for output in node.texts("output") {
            assert!(known.insert(output), "{output} is made twice");
        }
    }
    for port in graph.messages("output") {
        assert!(known.contains(port.texts("name")[0]));
    }
    model
}

fn chain(exits: usize) -> ChainPolicy {
    ChainPolicy {
        policy: policy(exits),
        temperatures: None,
    }
}

/// Name and shape of inputs or outputs; the batch is a name.
fn ports(model: &Message, kind: &str) -> Vec<(String, Vec<i64>)> {
    let port = |port: &&Message| {
        let dims = port
            .message("type")
            .message("tensor_type")
            .message("shape")
            .messages("dim");
        assert_eq!(dims[0].texts("dim_param"), ["batch"]);
        let sides = dims[1..].iter().map(|dim| dim.numbers("dim_value")[0]);
        (port.texts("name")[0].to_owned(), sides.collect())
    };
    model
        .message("graph")
        .messages(kind)
        .iter()
        .map(port)
        .collect()
}

fn operators(model: &Message) -> Vec<String> {
    let nodes = model.message("graph").messages("node").into_iter();
    nodes
        .map(|node| node.texts("op_type")[0].to_owned())
        .collect()
}

#[test]
fn one_graph_with_all_exits() {
    let (net, card) = network(json!({"backbone": "resnet8", "head": "sepconv"}), IMAGE);
    let description = describe(&net, &card);
    let bytes = onnx(&net, &description, &chain(3), Opset::default()).unwrap();
    let model = model(&bytes);
    assert_eq!(model.numbers("ir_version"), [8]);
    let sets = model.messages("opset_import");
    assert_eq!(sets[0].numbers("version"), [17]);
    assert_eq!(
        ports(&model, "input"),
        [("image".to_owned(), vec![3, 32, 32])]
    );
    let exit = |k: usize| (format!("exit{k}"), vec![support::CLASSES as i64]);
    assert_eq!(ports(&model, "output"), [exit(0), exit(1), exit(2)]);
    let operators = operators(&model);
    assert!(
        !operators.iter().any(|name| name == "BatchNormalization"),
        "all are folded"
    );
    assert_eq!(operators.iter().filter(|name| *name == "Gemm").count(), 3);

    let properties = model.messages("metadata_props");
    let property = |key: &str| {
        let found = properties
            .iter()
            .find(|property| property.texts("key") == [key]);
        found.unwrap_or_else(|| panic!("{key}")).texts("value")[0]
    };
    assert_eq!(property("offramp.mean"), "[0.5,0.4,0.3]");
    assert_eq!(property("offramp.recipe"), "seed = 0\n");
    let classes: Vec<String> = serde_json::from_str(property("offramp.classes")).unwrap();
    assert_eq!(classes, card.classes);
    let thresholds = r#"{"name":"confidence","thresholds":["inf",0.25,"inf"]}"#;
    assert_eq!(property("offramp.policy"), thresholds);
    let macs: Vec<u64> = net.exit_costs(IMAGE).iter().map(|cost| cost.macs).collect();
    let exits: serde_json::Value = serde_json::from_str(property("offramp.exits")).unwrap();
    assert_eq!(exits[2]["macs"], macs[2]);
}

/// The first half of a block hands its map and the way around it to the second.
#[test]
fn a_chain_names_what_goes_from_segment_to_segment() {
    let config = json!({"backbone": {"name": "resnet8", "taps": "inner"}, "exits": [0, 3, 5]});
    let (net, card) = network(config, IMAGE);
    let chained = onnx_segments(&net, &describe(&net, &card), &chain(3), Opset::default()).unwrap();
    let models: Vec<Message> = chained.graphs.iter().map(|bytes| model(bytes)).collect();
    let mut before = ports(&models[0], "input");
    assert_eq!(before[0].0, "image");
    for (k, (about, model)) in chained.file.segments.iter().zip(&models).enumerate() {
        let (inputs, mut outputs) = (ports(model, "input"), ports(model, "output"));
        assert_eq!(inputs, before);
        let stated = about.inputs.iter().map(|tensor| tensor.name.as_str());
        assert!(stated.eq(inputs.iter().map(|(name, _)| name.as_str())));
        assert_eq!(outputs.remove(0).0, about.logits);
        assert_eq!(about.outputs.len(), 1 + outputs.len());
        assert_eq!(outputs.len(), [2, 1, 0][k]);
        before = outputs;
    }
    let macs: u64 = chained
        .file
        .segments
        .iter()
        .map(|segment| segment.macs)
        .sum();
    assert_eq!(macs, net.exit_costs(IMAGE)[2].macs);

    let folder = tempfile::tempdir().unwrap();
    chained.write(folder.path()).unwrap();
    let json = std::fs::read(folder.path().join(OnnxSegments::JSON)).unwrap();
    let read: SegmentsFile = serde_json::from_slice(&json).unwrap();
    assert_eq!(read, chained.file);
    // Format 1 was called `staged.json`.
    let text = String::from_utf8(json).unwrap();
    let old = text.replace("\"segments\"", "\"stages\"");
    let old = old.replace("\"name\": \"confidence\"", "\"kind\": \"confidence\"");
    assert_ne!(old, text);
    let read: SegmentsFile = serde_json::from_str(&old).unwrap();
    assert_eq!(read, chained.file);
    let first = std::fs::read(folder.path().join("segment0.onnx")).unwrap();
    assert_eq!(first, chained.graphs[0]);
}

#[test]
fn versions_are_checked_and_belong_together() {
    // onnx.helper.VERSION_TABLE of the Python package.
    for (opset, ir_version) in [
        (13, 7),
        (14, 7),
        (15, 8),
        (18, 8),
        (19, 9),
        (20, 9),
        (21, 10),
        (22, 10),
    ] {
        assert_eq!(
            Opset::new(opset).unwrap().ir_version(),
            ir_version,
            "{opset}"
        );
    }
    for opset in [0, 12, 23, -1] {
        let error = Opset::new(opset).unwrap_err();
        assert!(matches!(error, ExportError::Opset { found } if found == opset));
        assert!(error.to_string().contains("13 to 22"), "{error}");
    }
    assert!("seventeen".parse::<Opset>().unwrap_err().contains("17"));
}

/// HardSwish came with opset 14.
#[test]
fn older_operators_are_taken_where_needed() {
    let mut b = Builder::new();
    let x = b.input("x", &[4, 3, 3]);
    let y = b.hard_swish(x).unwrap();
    let pooled = b.max_pool(y, Window::square(3, 2, 1)).unwrap();
    // An output that is an input, and one value under two names.
    let graph = b.finish([("y", pooled), ("again", pooled), ("same", x)]);
    let of = |version: i64| {
        let opset = Opset::new(version).unwrap();
        let bytes = graph_to_onnx(&graph, &OnnxNotes::default(), opset).unwrap();
        operators(&model(&bytes))
    };
    let mut b = Builder::new();
    let x = b.input("x", &[2]);
    let ones = b.weight(0, &[2], vec![1.0; 2]);
    let y = b.layer_norm(x, [ones, ones], 1e-5).unwrap();
    let norm = b.finish([("y", y)]);
    let error = graph_to_onnx(&norm, &OnnxNotes::default(), Opset::new(16).unwrap());
    let error = error.unwrap_err().to_string();
    assert!(
        error.contains("layer_norm") && error.contains("17"),
        "{error}"
    );
    assert_eq!(of(14), ["HardSwish", "MaxPool", "Identity", "Identity"]);
    assert_eq!(
        of(13),
        ["HardSigmoid", "Mul", "MaxPool", "Identity", "Identity"]
    );
}

#[test]
fn images_that_do_not_fit_are_an_error() {
    let (net, mut card) = network(json!({"backbone": "resnet8"}), IMAGE);
    card.image.channels = 4;
    let error = onnx(&net, &describe(&net, &card), &chain(3), Opset::default()).unwrap_err();
    assert!(error.to_string().contains("backbone.conv1"), "{error}");
}

#[test]
fn exported_weights_come_back_by_import() {
    let (net, card) = network(json!({"backbone": "resnet8", "exits": [2]}), IMAGE);
    let bytes = state_dict(&net, &describe(&net, &card)).unwrap();
    let file = WeightFile::parse("w.safetensors".as_ref(), bytes).unwrap();
    let options = ImportOptions {
        backbone: BackboneConfig::named("resnet8").unwrap(),
        classes: None,
        num_classes: None,
        image_size: 32,
        resize: 32,
        mean: card.mean,
        std: card.std,
        renames: Vec::new(),
        allow_missing: false,
    };
    let back = import(&file, &options, &default_device().unwrap()).unwrap();
    assert_eq!(params::collect(&back.net), params::collect(&net));
}
