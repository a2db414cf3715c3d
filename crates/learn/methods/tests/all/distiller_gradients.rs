//! Gradients of every distiller against finite differences, in float64 on small networks.

use crate::batches::{Batch, Change, changed};
use crate::setup::{Setup, gradients_of, leaf_gradients, number, terms};
use crate::support::END;
use burn::module::{Module, ModuleMapper, Param};
use burn::tensor::{DType, FloatDType, Tensor, TensorData};
use offramp_core::ExitOutputs;
use offramp_core::params::{NamedTensors, apply, collect};
use offramp_methods::distill::{AnyDistiller, distillers};

/// Every tensor of some outputs, flattened.
fn flat(outputs: &ExitOutputs) -> Vec<Tensor<1>> {
    let stages = outputs.stages.iter().map(|x| x.clone().reshape([-1]));
    let exits = outputs.exits.iter().flat_map(|exit| {
        let (map, embedding) = (exit.map.clone(), exit.embedding.clone());
        [
            map.reshape([-1]),
            embedding.reshape([-1]),
            exit.logits.clone().reshape([-1]),
        ]
    });
    stages.chain(exits).collect()
}

struct ToDouble;

impl ModuleMapper for ToDouble {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|x| {
            let data = x.to_data().convert::<f64>();
            Tensor::from_data(data, (&x.device(), DType::F64)).set_require_grad(x.is_require_grad())
        })
    }
}

/// Numbers between -1 and 1.
fn direction(seed: usize, count: usize) -> Vec<f64> {
    (0..count)
        .map(|i| (seed as f64 + 2.3 * i as f64 + 0.03 * (i * i) as f64).sin())
        .collect()
}

fn dot(gradient: &Option<Vec<f64>>, direction: &[f64]) -> f64 {
    let gradient = gradient.as_deref().unwrap_or_default();
    gradient.iter().zip(direction).map(|(g, d)| g * d).sum()
}

/// `outputs` with the numbers of tensor `at` moved.
fn moved(outputs: &ExitOutputs, at: usize, by: f64) -> ExitOutputs {
    fn add<const D: usize>(x: &mut Tensor<D>, by: f64, seed: usize) {
        let count = x.shape().num_elements();
        let step: Vec<f64> = direction(seed, count).iter().map(|d| d * by).collect();
        let step = TensorData::new(step, x.dims());
        *x = x.clone().detach() + Tensor::from_data(step, (&x.device(), DType::F64));
    }
    let mut outputs = outputs.clone();
    let stages = outputs.stages.len();
    match at.checked_sub(stages) {
        None => add(&mut outputs.stages[at], by, at),
        Some(rest) => {
            let exit = &mut outputs.exits[rest / 3];
            match rest % 3 {
                0 => add(&mut exit.map, by, at),
                1 => add(&mut exit.embedding, by, at),
                _ => add(&mut exit.logits, by, at),
            }
        }
    }
    outputs
}

fn shifted(tensors: &NamedTensors, name: &str, by: f64) -> NamedTensors {
    let mut tensors = tensors.clone();
    let data = &tensors[name];
    let steps = direction(name.len(), data.num_elements());
    let numbers = data.iter::<f64>().zip(steps).map(|(x, d)| x + by * d);
    let data = TensorData::new(numbers.collect::<Vec<_>>(), data.shape().clone());
    tensors.insert(name.to_owned(), data);
    tensors
}

/// Central differences; the smaller step is for slopes with the kink of a ReLU within the larger.
#[track_caller]
fn assert_slope(what: &str, analytic: f64, mut loss: impl FnMut(f64) -> f64) {
    let slopes = [1e-6, 1e-8].map(|step| (loss(step) - loss(-step)) / (2.0 * step));
    // Losses are below 100 and known to 16 digits: 1e-6 of a slope at the smaller step.
    let near = |slope: f64| (analytic - slope).abs() <= 1e-5 * slope.abs() + 1e-6;
    assert!(
        slopes.into_iter().any(near),
        "{what}: {analytic}, differences {slopes:?}"
    );
}

/// In float64, along one direction for every tensor that the student computes and every parameter
/// of the distiller.
#[test]
fn gradients_are_those_of_finite_differences() {
    // The teacher that ATSC trains takes images in float32; its own tests move its weights.
    for entry in distillers().iter().filter(|entry| entry.name != "atsc") {
        let setup = Setup::of(entry, "resnet8", "resnet14");
        for exit in [0, 2] {
            let config = match entry.name {
                // Differences know nothing of gradients that are stopped.
                "dml" => crate::batches::config("name = \"dml\"\npeers = 2\ndetach = false"),
                _ => (entry.config)(),
            };
            let distiller = setup.distiller_of(&config, exit).map(&mut ToDouble);
            let mut batch = Batch {
                student: changed(
                    &changed(&setup.batch.student, Change::Cast(FloatDType::F64)),
                    Change::Leaves,
                ),
                teacher: changed(&setup.batch.teacher, Change::Cast(FloatDType::F64)),
                targets: setup.batch.targets.clone(),
                images: setup.batch.images.clone().cast(DType::F64),
                indices: setup.batch.indices.clone(),
                context: END,
            };
            // What is fixed at the first batch is fixed now.
            let total = |distiller: &AnyDistiller, batch: &Batch| {
                terms(distiller, entry, batch, exit).total()
            };
            total(&distiller, &batch);
            let gradients = total(&distiller, &batch).backward();

            let start = batch.student.clone();
            let leaves = leaf_gradients(&start, &gradients);
            assert!(leaves.iter().any(Option::is_some), "{}", entry.name);
            for (at, (gradient, tensor)) in leaves.iter().zip(flat(&start)).enumerate() {
                let [count] = tensor.dims();
                let analytic = dot(gradient, &direction(at, count));
                let what = format!("{} at exit {exit}, tensor {at}", entry.name);
                assert_slope(&what, analytic, |by| {
                    batch.student = moved(&start, at, by);
                    number(total(&distiller, &batch))
                });
            }
            batch.student = start;

            let tensors = collect(&distiller);
            for (name, gradient) in gradients_of(&distiller, &gradients) {
                let count = tensors[&name].num_elements();
                let analytic = dot(&gradient, &direction(name.len(), count));
                let what = format!("{} at exit {exit}, {name}", entry.name);
                assert_slope(&what, analytic, |by| {
                    let there = apply(distiller.clone(), shifted(&tensors, &name, by));
                    number(total(&there.expect("the same names"), &batch))
                });
            }
        }
    }
}
