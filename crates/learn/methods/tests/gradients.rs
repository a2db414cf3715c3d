//! Values and gradients of every method on a tiny linear network, against the equations in
//! float64 and their finite differences.

#[path = "support/reference.rs"]
mod reference;
mod support;

use burn::tensor::{Tensor, TensorData};
use offramp_core::params::{NamedTensors, collect};
use offramp_core::{ExitOutput, ExitOutputs};
use offramp_methods::{Method, MethodConfig, registry};
use reference::{Matrix, Outputs, Point};
use support::{
    END, device, init, network, parameter_gradients, staged, targets, values, with_parameters,
};

const EXITS: usize = 3;
const SAMPLES: usize = 4;
const INPUTS: usize = 3;
const WIDTH: usize = 2;
const CLASSES: usize = 4;
const LABELS: [i64; SAMPLES] = [0, -1, 3, 1];
const STEP: f64 = 1e-5;

/// Exit `k` has the embedding `x U_k` and the logits `x U_k V_k`.
const WEIGHTS: usize = EXITS * WIDTH * (INPUTS + CLASSES);

/// Numbers between -1 and 1 that look random.
fn numbers(count: usize, seed: u64) -> Vec<f64> {
    let mut state = seed;
    let mut next = || {
        state = state
            .wrapping_mul(6364136223846793005)
            .wrapping_add(1442695040888963407);
        f64::from((state >> 40) as u32) / f64::from(1 << 23) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

fn product(a: &[Vec<f64>], b: &[f64], columns: usize) -> Matrix {
    let row = |a: &Vec<f64>| {
        let value = |c: usize| a.iter().zip(b.chunks(columns)).map(|(a, b)| a * b[c]).sum();
        (0..columns).map(value).collect()
    };
    a.iter().map(row).collect()
}

fn input() -> Matrix {
    numbers(SAMPLES * INPUTS, 7)
        .chunks(INPUTS)
        .map(<[f64]>::to_vec)
        .collect()
}

fn forward(weights: &[f64]) -> Outputs {
    let (mut logits, mut embeddings) = (Vec::new(), Vec::new());
    for exit in weights.chunks(WEIGHTS / EXITS) {
        let (u, v) = exit.split_at(INPUTS * WIDTH);
        let embedding = product(&input(), u, WIDTH);
        // Scaled, so that the probabilities are not all alike.
        logits.push(product(
            &embedding,
            &v.iter().map(|v| 4.0 * v).collect::<Vec<_>>(),
            CLASSES,
        ));
        embeddings.push(embedding);
    }
    Outputs { logits, embeddings }
}

/// The same on tensors; `weights` holds all numbers of [`forward`].
fn forward_tensors(weights: &Tensor<1>) -> ExitOutputs {
    let x = input()
        .concat()
        .into_iter()
        .map(|x| x as f32)
        .collect::<Vec<_>>();
    let x: Tensor<2> = Tensor::from_data(TensorData::new(x, [SAMPLES, INPUTS]), &weights.device());
    let size = WEIGHTS / EXITS;
    let exit = |k: usize| {
        let u = weights.clone().narrow(0, k * size, INPUTS * WIDTH);
        let v = weights
            .clone()
            .narrow(0, k * size + INPUTS * WIDTH, WIDTH * CLASSES);
        let embedding = x.clone().matmul(u.reshape([INPUTS, WIDTH]));
        let logits = embedding.clone().matmul(v.reshape([WIDTH, CLASSES]) * 4.0);
        ExitOutput::new(embedding, logits)
    };
    staged((0..EXITS).map(exit).collect())
}

fn shifted(parameters: &NamedTensors, name: &str, at: usize, by: f64) -> NamedTensors {
    let mut parameters = parameters.clone();
    let data = &parameters[name];
    let mut numbers: Vec<f64> = data.iter::<f64>().collect();
    numbers[at] += by;
    let data = TensorData::new(numbers, data.shape().clone());
    parameters.insert(name.to_owned(), data);
    parameters
}

#[track_caller]
fn assert_all_near(name: &str, actual: &[f32], expected: &[f64]) {
    let size = expected.iter().fold(1e-3_f64, |size, e| size.max(e.abs()));
    for (a, e) in actual.iter().zip(expected) {
        let error = (f64::from(*a) - e).abs();
        assert!(
            error <= 1e-4 * size,
            "{name}: {actual:?}\nexpected {expected:?}"
        );
    }
    assert_eq!(actual.len(), expected.len(), "{name}");
}

fn check(config: &MethodConfig) {
    let seeds = 11..;
    let method = init(config, &network(EXITS, CLASSES, WIDTH));
    // Away from the symmetric start.
    let method = with_parameters(method, |parameters| {
        for (data, seed) in parameters.values_mut().zip(seeds.clone()) {
            let noise = numbers(data.num_elements(), seed);
            let moved = data
                .iter::<f64>()
                .zip(noise)
                .map(|(x, noise)| (x + noise) as f32);
            *data = TensorData::new(moved.collect::<Vec<_>>(), data.shape().clone());
        }
    });
    let parameters = collect(&method);
    let weights: Vec<f64> = numbers(WEIGHTS, 3)
        .iter()
        .map(|w| f64::from(*w as f32))
        .collect();
    let fixed = forward(&weights);
    let loss = |live: &Outputs, parameters_now: &NamedTensors| {
        reference::loss(
            config,
            &Point {
                live,
                fixed: &fixed,
                parameters: parameters_now,
                fixed_parameters: &parameters,
                labels: &LABELS,
            },
        )
    };

    let leaf: Vec<f32> = weights.iter().map(|w| *w as f32).collect();
    let leaf = Tensor::<1>::from_floats(leaf.as_slice(), &device()).require_grad();
    let total = method
        .losses(&forward_tensors(&leaf), &targets(&LABELS), &END)
        .total();
    let gradients = total.backward();
    let name = config.name();
    assert_all_near(name, &values(total), &[loss(&fixed, &parameters)]);

    let numeric: Vec<f64> = (0..WEIGHTS)
        .map(|i| {
            let at = |by: f64| {
                let mut weights = weights.clone();
                weights[i] += by;
                loss(&forward(&weights), &parameters)
            };
            (at(STEP) - at(-STEP)) / (2.0 * STEP)
        })
        .collect();
    let analytic = leaf.grad(&gradients).expect("the network learns");
    assert_all_near(name, &values(analytic), &numeric);

    let own = parameter_gradients(&method, &gradients);
    for (parameter, data) in &parameters {
        let numeric: Vec<f64> = (0..data.num_elements())
            .map(|i| {
                let at = |by: f64| loss(&fixed, &shifted(&parameters, parameter, i, by));
                (at(STEP) - at(-STEP)) / (2.0 * STEP)
            })
            .collect();
        match own.get(parameter) {
            Some(analytic) => assert_all_near(parameter, analytic, &numeric),
            None => assert!(
                numeric.iter().all(|g| *g == 0.0),
                "{name} {parameter}: no gradient"
            ),
        }
    }
}

#[test]
fn every_method_with_its_defaults() {
    for entry in registry() {
        check(&(entry.config)());
    }
}

#[test]
fn the_alternatives() {
    for table in [
        "name = \"last-exit\"\nform = \"cross-entropy\"\nkd-weight = 2.0",
        "name = \"phuong-lampert\"\nform = \"kl\"\ntemperature = 4.0\nkd-share = 0.3",
        "name = \"byot\"\nfeature-weight = 0.5\nform = \"kl\"",
        "name = \"eed\"\nform = \"kl\"\nkd-weight = 0.5\nfeature-weight = 0.3",
        "name = \"eed\"\nform = \"cross-entropy\"",
        "name = \"beed\"\nbalance = 1.3\nkd-weight = 0.5\nfeature-weight = 2.0",
        "name = \"mate\"\nkd-trains-teachers = true",
        "name = \"mate\"\nweights = \"per-sample\"",
        "name = \"mate\"\nweights = \"per-sample\"\nkd-trains-teachers = true\nfeature-weight = 0.7",
        "name = \"mate\"\nweights = \"uniform\"\nfeature-weight = 0.7\nlambda = 0.4",
        "name = \"mate\"\nform = \"cross-entropy\"\npull = 0.5\nteacher-weight = 2.0",
        "name = \"mlcsd\"\nform = \"as-released\"\nfeatures = \"all-pairs\"",
        "name = \"mlcsd\"\nkd-weight = 0.5\nfeature-weight = 0.3\nteacher-weight = 2.0",
        "name = \"dml\"\ndetach = false\ntemperature = 3.0",
        "name = \"dml\"\ntarget = \"mean\"\nkd-weight = 0.5",
        "name = \"dml\"\ntarget = \"mean\"\ndetach = false",
        "name = \"one\"\ndetach = false\nkd-weight = 0.5",
        "name = \"one\"\nteacher-weight = 0.0\ntemperature = 2.0",
        "name = \"okddip\"\ndetach = true",
        "name = \"okddip\"\nreduction = 1\nkd-weight = 0.5",
    ] {
        check(&toml::from_str(table).expect("a method table"));
    }
}
