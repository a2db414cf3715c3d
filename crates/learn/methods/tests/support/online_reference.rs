//! The equations of DML, ONE and OKDDip.

use offramp_core::params::NamedTensors;
use offramp_methods::{DmlConfig, MutualTarget, OkddipConfig, OneConfig, SoftForm};

use super::{Matrix, Outputs, Point, cross_entropy, log_softmax, mix, mix_alike, soft, tensor};

fn softmax(scores: &[f64]) -> Vec<f64> {
    log_softmax(scores, 1.0).into_iter().map(f64::exp).collect()
}

/// `W x` with the rows of `W` one after another.
fn product(weight: &[f64], x: &[f64]) -> Vec<f64> {
    let rows = weight.chunks(x.len());
    rows.map(|row| row.iter().zip(x).map(|(w, x)| w * x).sum())
        .collect()
}

pub(crate) fn dml(c: &DmlConfig, point: &Point) -> f64 {
    let live = &point.live.logits;
    let teaching = if c.detach { &point.fixed.logits } else { live };
    let mut loss = 0.0;
    for (i, z) in live.iter().enumerate() {
        let others: Vec<Matrix> = (teaching.iter().enumerate())
            .filter(|(j, _)| *j != i)
            .map(|(_, z)| z.clone())
            .collect();
        let share = 1.0 / others.len() as f64;
        loss += match c.target {
            MutualTarget::Each => {
                let pairs = others
                    .iter()
                    .map(|t| soft(SoftForm::Kl, z, t, c.temperature));
                share * pairs.sum::<f64>()
            }
            MutualTarget::Mean => {
                let mean = mix_alike(&vec![share; others.len()], &others);
                soft(SoftForm::Kl, z, &mean, c.temperature)
            }
        };
    }
    c.kd_weight * loss
}

/// ONE's ensemble: batch norm over the samples, one score an exit.
fn ensemble(outputs: &Outputs, at: &NamedTensors) -> Matrix {
    let weight = tensor(at, "teacher.fc.weight");
    let (scale, shift) = (
        tensor(at, "teacher.bn.weight"),
        tensor(at, "teacher.bn.bias"),
    );
    let mut scores: Matrix = (outputs.embeddings[0].iter())
        .map(|shared| product(&weight, shared))
        .collect();
    let count = scores.len() as f64;
    for exit in 0..scale.len() {
        let mean = scores.iter().map(|row| row[exit]).sum::<f64>() / count;
        let squares = scores.iter().map(|row| (row[exit] - mean).powi(2));
        let deviation = (squares.sum::<f64>() / count + 1e-5).sqrt();
        for row in &mut scores {
            let normal = (row[exit] - mean) / deviation;
            row[exit] = (scale[exit] * normal + shift[exit]).max(0.0);
        }
    }
    let gates: Matrix = scores.iter().map(|row| softmax(row)).collect();
    mix(&gates, &outputs.logits)
}

pub(crate) fn one(c: &OneConfig, point: &Point) -> f64 {
    let trained = ensemble(point.live, point.parameters);
    let target = if c.detach {
        ensemble(point.fixed, point.fixed_parameters)
    } else {
        trained.clone()
    };
    let taught = point.live.logits.iter();
    let kd: f64 = taught
        .map(|z| soft(SoftForm::Kl, z, &target, c.temperature))
        .sum();
    c.teacher_weight * cross_entropy(&trained, point.labels) + c.kd_weight * kd
}

pub(crate) fn okddip(c: &OkddipConfig, point: &Point) -> f64 {
    let live = &point.live.logits;
    let peers = live.len() - 1;
    let teaching = if c.detach { point.fixed } else { point.live };
    let (f, z) = (&teaching.embeddings[..peers], &teaching.logits[..peers]);
    let mapped = |name: &str, i: usize, n: usize| {
        product(
            &tensor(point.parameters, &format!("teacher.{name}.0.weight")),
            &f[i][n],
        )
    };
    let mut kd = 0.0;
    for (i, student) in live[..peers].iter().enumerate() {
        let attention = |n: usize| {
            let query = mapped("queries", i, n);
            let score = |j| product(&query, &mapped("keys", j, n))[0];
            softmax(&(0..peers).map(score).collect::<Vec<f64>>())
        };
        let weights: Matrix = (0..student.len()).map(attention).collect();
        kd += soft(SoftForm::Kl, student, &mix(&weights, z), c.temperature);
    }
    let mean = mix_alike(&vec![1.0 / peers as f64; peers], z);
    c.kd_weight * (kd + soft(SoftForm::Kl, &live[peers], &mean, c.temperature))
}
