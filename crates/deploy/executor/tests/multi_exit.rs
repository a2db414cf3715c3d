//! An exit for each image: the same answers as the interpreter with every exit computed.

mod support;

use offramp_executor::{ExecutorError, MultiExitExecutor, MultiExitPlan, Options};
use offramp_graph::{Builder, ConvGeometry, Graph, Value, reference};
use support::{Random, Weights, near};

const CLASSES: usize = 5;
const SIDE: usize = 8;

fn conv(b: &mut Builder, weights: &mut Weights, x: Value, width: usize, stride: usize) -> Value {
    let shape = [width, b.shape(x)[0], 3, 3];
    let weight = weights.add(b, &shape);
    let geometry = ConvGeometry {
        stride: [stride; 2],
        padding: [1, 1],
        ..ConvGeometry::default()
    };
    let y = b.conv(x, weight, None, geometry).unwrap();
    b.relu(y).unwrap()
}

/// Three segments that carry their map and the one before, and add the logits of the exit before.
fn segments(seed: u64) -> Vec<Graph> {
    let mut weights = Weights::new(seed);
    let mut inputs = vec![("image".to_owned(), vec![3, SIDE, SIDE])];
    let mut graphs = Vec::new();
    for k in 0..3 {
        let mut b = Builder::new();
        let values: Vec<Value> = (inputs.iter())
            .map(|(name, shape)| b.input(name, shape))
            .collect();
        let map = conv(&mut b, &mut weights, values[0], 16 + 8 * k, 1 + k % 2);
        let map = conv(&mut b, &mut weights, map, 16 + 8 * k, 1);
        let means = b.global_avg_pool(map).unwrap();
        let shape = [CLASSES, b.shape(means)[0]];
        let weight = weights.add(&mut b, &shape);
        let mut logits = b.linear(means, weight, None).unwrap();
        if k > 0 {
            logits = b.add(logits, values[2]).unwrap();
        }
        let [exit, next, carried] = ["exit", "map", "carried"].map(|name| format!("{name}{k}"));
        let outputs = [(exit, logits), (next, map), (carried, values[0])];
        let shapes = outputs
            .clone()
            .map(|(name, value)| (name, b.shape(value).to_vec()));
        let last = k == 2;
        let outputs = &outputs[..if last { 1 } else { 3 }];
        graphs.push(b.finish(outputs.iter().map(|(name, value)| (name.as_str(), *value))));
        let [exit, map, carried] = shapes;
        inputs = vec![map, carried, exit];
    }
    graphs
}

/// Logits of all exits for all samples, by the interpreter.
fn all_exits(graphs: &[Graph], images: usize, input: &[f32]) -> Vec<Vec<f32>> {
    let mut inputs = vec![input.to_vec()];
    let mut exits = Vec::new();
    for (k, graph) in graphs.iter().enumerate() {
        let outputs = reference::run(graph, images, &inputs).unwrap();
        exits.push(outputs[0].clone());
        if let Some(next) = graphs.get(k + 1) {
            let find = |name: &str| graph.outputs().iter().position(|o| o.name == name).unwrap();
            let ports = next.inputs().iter();
            inputs = ports
                .map(|port| outputs[find(&port.name)].clone())
                .collect();
        }
    }
    exits
}

fn largest(logits: &[f32]) -> f32 {
    logits.iter().fold(f32::NEG_INFINITY, |max, &x| max.max(x))
}

#[test]
fn exits_and_logits_are_those_of_the_simulator() {
    const BATCH: usize = 9;
    let mut random = Random::new(5);
    for seed in 0..6 {
        let graphs = segments(seed);
        let options = Options {
            threads: 1 + seed as usize % 3,
            ..Options::default()
        };
        let plan = MultiExitPlan::compile(&graphs, BATCH, options).unwrap();
        let mut executor = MultiExitExecutor::new(plan);
        for images in [BATCH, 1, 0, 4, 7, 2] {
            let input = random.values(images * 3 * SIDE * SIDE);
            let exits = all_exits(&graphs, images, &input);
            for _ in 0..4 {
                // From thresholds at which everything stops to those at which nothing does.
                let thresholds = [0, 1].map(|_| 1.5 * random.value());
                let simulated: Vec<usize> = (0..images)
                    .map(|i| {
                        let at = |k: usize| largest(&exits[k][i * CLASSES..][..CLASSES]);
                        (0..2).find(|&k| at(k) >= thresholds[k]).unwrap_or(2)
                    })
                    .collect();
                let mut asked = Vec::new();
                let answers = executor
                    .run(images, &input, |exit, sample, logits| {
                        asked.push((exit, sample));
                        largest(logits) >= thresholds[exit]
                    })
                    .unwrap();
                assert_eq!(answers.exits, simulated, "thresholds {thresholds:?}");
                for (i, &exit) in simulated.iter().enumerate() {
                    let found = &answers.logits[i * CLASSES..][..CLASSES];
                    let expected = &exits[exit][i * CLASSES..][..CLASSES];
                    near(found, expected, 1e-5, &format!("sample {i} at exit {exit}"));
                }
                let reach = |k: usize| simulated.iter().filter(|&&exit| exit >= k).count();
                assert_eq!(answers.reached, [0, 1, 2].map(reach));
                let expected: Vec<_> = (0..2)
                    .flat_map(|k| (0..images).map(move |i| (k, i)))
                    .filter(|&(k, i)| simulated[i] >= k)
                    .collect();
                assert_eq!(asked, expected);
            }
        }
    }
}

#[test]
fn segments_that_do_not_follow_each_other_are_refused() {
    let graphs = segments(1);
    let swapped = [graphs[0].clone(), graphs[2].clone()];
    let error = MultiExitPlan::compile(&swapped, 4, Options::default()).unwrap_err();
    assert!(
        matches!(error, ExecutorError::Chain { segment: 1, .. })
            && error.to_string().contains("map1"),
        "{error}"
    );
    assert!(MultiExitPlan::compile(&[], 4, Options::default()).is_err());
    let error = MultiExitPlan::compile(&graphs[1..], 4, Options::default()).unwrap_err();
    assert!(error.to_string().contains("3 inputs"), "{error}");
}

#[test]
fn calls_that_do_not_fit_are_refused() {
    let plan = MultiExitPlan::compile(&segments(1), 4, Options::default()).unwrap();
    let mut executor = MultiExitExecutor::new(plan);
    let never = |_: usize, _: usize, _: &[f32]| false;
    let error = executor.run(5, &[0.0; 5 * 192], never).unwrap_err();
    assert_eq!(
        error.to_string(),
        "5 images are more than the 4 that the plan was compiled for"
    );
    let error = executor.run(2, &[0.0; 300], never).unwrap_err();
    assert_eq!(
        error.to_string(),
        "input 0 has 300 words, 2 images need 384"
    );
}
