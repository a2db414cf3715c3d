//! What the tests of the methods share.

#![allow(
    dead_code,
    missing_docs,
    unused_imports,
    reason = "every test file uses a part of it"
)]

#[path = "../../../losses/tests/support/mod.rs"]
mod losses;

pub(crate) use losses::{
    Z, assert_all_close, assert_close, assert_gradient, device, matrix, values,
};

use std::collections::BTreeMap;

use burn::module::Module;
use burn::tensor::{Device, Gradients, Int, Tensor, TensorData};
use offramp_core::params::{self, NamedTensors, apply, collect};
use offramp_core::{ExitOutput, ExitOutputs};
use offramp_methods::{AnyMethod, MethodConfig, NetworkInfo, StepContext, Targets};
use offramp_nn::Init;

/// The end of training: every ramp is at 1.
pub(crate) const END: StepContext = StepContext {
    epoch: 10.0,
    epochs: 10.0,
    step: 100,
    seed: 7,
};

pub(crate) fn network(exits: usize, classes: usize, width: usize) -> NetworkInfo {
    NetworkInfo {
        exits,
        classes,
        embedding_dims: vec![width; exits],
        exit_stages: (0..exits).collect(),
        stage_channels: vec![width; exits],
    }
}

/// A method from the text of a `[method]` table.
pub(crate) fn method(table: &str, net: &NetworkInfo) -> AnyMethod {
    let config: MethodConfig = toml::from_str(table).expect("a method table");
    init(&config, net)
}

pub(crate) fn init(config: &MethodConfig, net: &NetworkInfo) -> AnyMethod {
    let mut init = Init::new(1, &device());
    config
        .init(net, &mut init)
        .expect("a method for this network")
}

/// Outputs of exits, each with a stage before it whose map has the exit's embedding as its mean
/// over two positions.
pub(crate) fn staged(exits: Vec<ExitOutput>) -> ExitOutputs {
    let stage = |exit: &ExitOutput| {
        let pooled: Tensor<4> = exit.embedding.clone().unsqueeze_dims(&[2, 3]);
        Tensor::cat(vec![pooled.clone() * 1.5, pooled * 0.5], 3)
    };
    ExitOutputs {
        stages: exits.iter().map(stage).collect(),
        exits,
    }
}

/// One-sample outputs from the logits of every exit; the embeddings are given or zeros.
pub(crate) fn outputs<const C: usize>(
    logits: &[[f32; C]],
    embeddings: Option<&[[f32; 2]]>,
    device: &Device,
) -> ExitOutputs {
    let exit = |i: usize| {
        ExitOutput::new(
            matrix(&[embeddings.map_or([0.0; 2], |e| e[i])], device),
            matrix(&[logits[i]], device),
        )
    };
    staged((0..logits.len()).map(exit).collect())
}

pub(crate) fn targets(labels: &[i64]) -> Targets {
    Targets::new(Tensor::<1, Int>::from_data(labels, &device()))
}

/// Replaces some of a method's parameters.
pub(crate) fn with_parameters(method: AnyMethod, replace: impl Fn(&mut NamedTensors)) -> AnyMethod {
    let mut parameters = collect(&method);
    replace(&mut parameters);
    apply(method, parameters).expect("the names did not change")
}

/// Replaces the scores of MATE-R's teachers.
pub(crate) fn with_scores<const K: usize>(method: AnyMethod, scores: [[f32; K]; K]) -> AnyMethod {
    with_parameters(method, |parameters| {
        let data = TensorData::new(scores.concat(), [K, K]);
        parameters.insert("teacher.scores".to_owned(), data);
    })
}

/// Gradients of a module's parameters by name; a parameter without one is left out.
pub(crate) fn parameter_gradients<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> BTreeMap<String, Vec<f32>> {
    let found = params::gradients(module, gradients).into_iter();
    found
        .map(|(name, gradient)| (name, values(gradient)))
        .collect()
}
