//! The methods' equations once more, in float64 and without tensors: every exit appears as a
//! student and, apart from that, as part of a teacher, so that a stopped gradient is a value
//! held fixed.

#![allow(missing_docs, reason = "the equations stand in the methods")]

#[path = "online_reference.rs"]
mod online;

use offramp_core::params::NamedTensors;
use offramp_methods::{
    EedForm, FeatureForm, L2wDenConfig, MateConfig, MateWeights, MethodConfig, MlcsdConfig,
    MlcsdForm, SoftForm,
};

pub(crate) type Matrix = Vec<Vec<f64>>;

/// Outputs of all exits: logits `[K][N][C]` and embeddings `[K][N][D]`, which are also the means
/// over positions of the maps of the stages before the exits.
#[derive(Clone)]
pub(crate) struct Outputs {
    pub logits: Vec<Matrix>,
    pub embeddings: Vec<Matrix>,
}

/// Everything that a loss depends on.
pub(crate) struct Point<'a> {
    /// What learns.
    pub live: &'a Outputs,
    /// What teaches.
    pub fixed: &'a Outputs,
    /// The method's parameters where they learn, and where they are held fixed.
    pub parameters: &'a NamedTensors,
    pub fixed_parameters: &'a NamedTensors,
    pub labels: &'a [i64],
}

fn log_softmax(row: &[f64], temperature: f64) -> Vec<f64> {
    let sum: f64 = row.iter().map(|z| (z / temperature).exp()).sum();
    row.iter().map(|z| z / temperature - sum.ln()).collect()
}

fn mean(values: impl ExactSizeIterator<Item = f64>) -> f64 {
    let count = values.len() as f64;
    values.sum::<f64>() / count
}

fn cross_entropy(logits: &Matrix, labels: &[i64]) -> f64 {
    let labelled = logits.iter().zip(labels).filter(|(_, label)| **label >= 0);
    let losses: Vec<f64> = labelled
        .map(|(row, label)| -log_softmax(row, 1.0)[*label as usize])
        .collect();
    if losses.is_empty() {
        0.0
    } else {
        mean(losses.into_iter())
    }
}

fn soft(form: SoftForm, student: &Matrix, target: &Matrix, temperature: f64) -> f64 {
    let rows = student.iter().zip(target).map(|(s, t)| {
        let (log_q, log_p) = (log_softmax(s, temperature), log_softmax(t, temperature));
        let entropy = |p: f64| if form == SoftForm::Kl { p } else { 0.0 };
        let pairs = log_p.into_iter().zip(log_q);
        pairs.map(|(p, q)| p.exp() * (entropy(p) - q)).sum::<f64>()
    });
    temperature * temperature * mean(rows)
}

fn squares(x: &Matrix, target: &Matrix, active_only: bool) -> Vec<f64> {
    let pairs = x.iter().flatten().zip(target.iter().flatten());
    pairs
        .map(|(x, t)| {
            if active_only && *x <= 0.0 && *t <= 0.0 {
                0.0
            } else {
                (x - t) * (x - t)
            }
        })
        .collect()
}

fn mse(x: &Matrix, target: &Matrix, active_only: bool) -> f64 {
    mean(squares(x, target, active_only).into_iter())
}

/// `sum_k w_k block_k` with weights that depend on the sample, `[N][K]`.
fn mix(weights: &Matrix, block: &[Matrix]) -> Matrix {
    let sample = |n: usize| {
        let width = block[0][n].len();
        let value = |c: usize| {
            block
                .iter()
                .zip(&weights[n])
                .map(|(m, w)| w * m[n][c])
                .sum()
        };
        (0..width).map(value).collect()
    };
    (0..block[0].len()).map(sample).collect()
}

fn mix_alike(weights: &[f64], block: &[Matrix]) -> Matrix {
    mix(&vec![weights.to_vec(); block[0].len()], block)
}

fn tensor(parameters: &NamedTensors, name: &str) -> Vec<f64> {
    parameters[name].iter::<f64>().collect()
}

/// Weights of MATE-R's teacher `k`, `[N][K]`.
fn mate_weights(config: &MateConfig, at: &NamedTensors, fixed: &Outputs, k: usize) -> Matrix {
    let exits = fixed.logits.len();
    let weights = |scores: &[f64]| log_softmax(scores, 1.0).into_iter().map(f64::exp).collect();
    let embeddings = &fixed.embeddings[k];
    if config.weights != MateWeights::PerSample {
        let scores = tensor(at, "teacher.scores");
        let row: Vec<f64> = weights(&scores[k * exits..(k + 1) * exits]);
        return vec![row; embeddings.len()];
    }
    let map = tensor(at, &format!("teacher.maps.{k}.weight"));
    let bias = tensor(at, &format!("teacher.maps.{k}.bias"));
    let sample = |embedding: &Vec<f64>| {
        let rows = map.chunks(embedding.len()).zip(&bias);
        let scores: Vec<f64> = rows
            .map(|(row, b)| b + row.iter().zip(embedding).map(|(w, f)| w * f).sum::<f64>())
            .collect();
        weights(&scores)
    };
    embeddings.iter().map(sample).collect()
}

fn ce_sum(point: &Point, weight: impl Fn(usize) -> f64) -> f64 {
    let exits = point.live.logits.iter().enumerate();
    exits
        .map(|(i, z)| weight(i) * cross_entropy(z, point.labels))
        .sum()
}

/// The loss of a method at the end of its ramp, with all cross-entropies weighted alike.
pub(crate) fn loss(config: &MethodConfig, point: &Point) -> f64 {
    let Point { live, fixed, .. } = point;
    let (z, f) = (&live.logits, &live.embeddings);
    let exits = z.len();
    let taught = 0..exits - 1;
    let (last, last_f) = (&fixed.logits[exits - 1], &fixed.embeddings[exits - 1]);
    match config {
        MethodConfig::Plain(_) => ce_sum(point, |_| 1.0),
        MethodConfig::LastExit(c) => {
            let kd: f64 = taught
                .map(|i| soft(c.form, &z[i], last, c.temperature))
                .sum();
            ce_sum(point, |_| 1.0) + c.kd_weight * kd
        }
        MethodConfig::PhuongLampert(c) => {
            let scale = c.global_scale.unwrap_or(10.0 / exits as f64);
            let kd: f64 = taught
                .map(|i| soft(c.form, &z[i], last, c.temperature))
                .sum();
            scale * (ce_sum(point, |_| 1.0 - c.kd_share) + c.kd_share * kd)
        }
        MethodConfig::Byot(c) => {
            let kd: f64 = taught
                .clone()
                .map(|i| soft(c.form, &z[i], last, c.temperature))
                .sum();
            let hints: f64 = taught.flat_map(|i| squares(&f[i], last_f, true)).sum();
            ce_sum(point, |_| 1.0 - c.kd_share) + c.kd_share * kd + c.feature_weight * hints
        }
        MethodConfig::Eed(c) => {
            let equal = vec![1.0 / exits as f64; exits];
            let teacher = mix_alike(&equal, &fixed.logits);
            let teacher_f = mix_alike(&equal, &fixed.embeddings);
            let compare = |z: &Matrix| match c.form {
                EedForm::Mse => mse(z, &teacher, false),
                EedForm::Kl => soft(SoftForm::Kl, z, &teacher, c.temperature),
                EedForm::CrossEntropy => soft(SoftForm::CrossEntropy, z, &teacher, c.temperature),
            };
            let kd: f64 = z.iter().map(compare).sum();
            let features: f64 = f.iter().map(|f| mse(f, &teacher_f, true)).sum();
            ce_sum(point, |_| 1.0) + c.kd_weight * kd + c.feature_weight * features
        }
        MethodConfig::Beed(c) => {
            let powers: Vec<f64> = (0..exits)
                .map(|j| c.ensemble_growth.powi(j as i32))
                .collect();
            let sum: f64 = powers.iter().sum();
            let weights: Vec<f64> = powers.iter().map(|power| power / sum).collect();
            let teacher = mix_alike(&weights, &fixed.logits);
            let teacher_f = mix_alike(&weights, &fixed.embeddings);
            let share = |i: usize| c.balance.powi((exits - 1 - i) as i32);
            let kd = |i: usize| share(i) * soft(c.form, &z[i], &teacher, c.temperature);
            let kd: f64 = (0..exits).map(kd).sum();
            let features: f64 = f.iter().map(|f| mse(f, &teacher_f, false)).sum();
            ce_sum(point, |i| 2.0 - share(i)) + c.kd_weight * kd + c.feature_weight * features
        }
        MethodConfig::L2wDen(c) => l2w_den(c, point),
        MethodConfig::Mate(c) => ce_sum(point, |_| 1.0) + mate(c, point),
        MethodConfig::Mlcsd(c) => ce_sum(point, |_| 1.0) + mlcsd(c, point),
        MethodConfig::Dml(c) => ce_sum(point, |_| 1.0) + online::dml(c, point),
        MethodConfig::One(c) => ce_sum(point, |_| 1.0) + online::one(c, point),
        MethodConfig::Okddip(c) => ce_sum(point, |_| 1.0) + online::okddip(c, point),
        _ => panic!("no reference for {}", config.name()),
    }
}

/// The weights come from losses and parameters that are held fixed.
fn l2w_den(c: &L2wDenConfig, point: &Point) -> f64 {
    let exits = point.live.logits.len();
    let labelled = point.labels.iter().enumerate().filter(|(_, l)| **l >= 0);
    let losses = |outputs: &Outputs, n: usize, label: i64| -> Vec<f64> {
        let exits = outputs.logits.iter();
        exits
            .map(|z| -log_softmax(&z[n], 1.0)[label as usize])
            .collect()
    };
    let layer = |name: &str, x: &[f64]| -> Vec<f64> {
        let weight = tensor(point.fixed_parameters, &format!("weight_net.{name}.weight"));
        let bias = tensor(point.fixed_parameters, &format!("weight_net.{name}.bias"));
        let row = |(row, b): (&[f64], &f64)| b + row.iter().zip(x).map(|(w, x)| w * x).sum::<f64>();
        weight.chunks(x.len()).zip(&bias).map(row).collect()
    };
    let sample = |(n, label): (usize, &i64)| {
        let hidden = layer("hidden", &losses(point.fixed, n, *label));
        let hidden: Vec<f64> = hidden.into_iter().map(|x| x.max(0.0)).collect();
        let raw = layer("output", &hidden).into_iter();
        let raw: Vec<f64> = raw.map(|x| 1.0 / (1.0 + (-x).exp())).collect();
        let centre = raw.iter().sum::<f64>() / exits as f64;
        let weights = raw.into_iter().map(|g| 1.0 + c.epsilon * (g - centre));
        weights
            .zip(losses(point.live, n, *label))
            .map(|(w, loss)| w * loss)
            .sum::<f64>()
    };
    mean(labelled.map(sample).collect::<Vec<_>>().into_iter())
}

/// Every value of `a` with every value of `b`.
fn all_pairs(a: &Matrix, b: &Matrix) -> f64 {
    let values = |m: &Matrix| m.concat();
    let (a, b) = (values(a), values(b));
    let pairs: Vec<f64> = (a.iter())
        .flat_map(|x| b.iter().map(move |y| (x - y) * (x - y)))
        .collect();
    mean(pairs.into_iter())
}

fn mlcsd(c: &MlcsdConfig, point: &Point) -> f64 {
    let Point { live, fixed, .. } = point;
    let mut loss = 0.0;
    for i in 0..live.logits.len() {
        let map = match c.form {
            MlcsdForm::Intended => i,
            MlcsdForm::AsReleased => 0,
        };
        let weights = |at: &NamedTensors| {
            let map = tensor(at, &format!("teacher.maps.{map}.weight"));
            let sample = |f: &Vec<f64>| {
                let scores: Vec<f64> = (map.chunks(f.len()))
                    .map(|row| row.iter().zip(f).map(|(w, f)| w * f).sum())
                    .collect();
                log_softmax(&scores, 1.0)
                    .into_iter()
                    .map(f64::exp)
                    .collect()
            };
            fixed.embeddings[i].iter().map(sample).collect::<Matrix>()
        };
        let held = weights(point.fixed_parameters);
        let teacher = mix(&held, &fixed.logits);
        loss += c.kd_weight * soft(SoftForm::Kl, &live.logits[i], &teacher, c.temperature);
        let teacher = mix(&held, &fixed.embeddings);
        loss += c.feature_weight
            * match c.features {
                FeatureForm::PerSample => mse(&live.embeddings[i], &teacher, false),
                FeatureForm::AllPairs => all_pairs(&live.embeddings[i], &teacher),
            };
        if c.form == MlcsdForm::Intended {
            let trained = mix(&weights(point.parameters), &fixed.logits);
            loss += c.teacher_weight * cross_entropy(&trained, point.labels);
        }
    }
    loss
}

fn mate(c: &MateConfig, point: &Point) -> f64 {
    let Point { live, fixed, .. } = point;
    let exits = live.logits.len();
    let mut loss = 0.0;
    for k in 0..exits {
        let trained = mate_weights(c, point.parameters, fixed, k);
        let held = mate_weights(c, point.fixed_parameters, fixed, k);
        let teacher = mix(&trained, &fixed.logits);
        let target = if c.kd_trains_teachers {
            teacher.clone()
        } else {
            mix(&held, &fixed.logits)
        };
        let target_f = mix(&held, &fixed.embeddings);
        for i in 0..exits {
            let share = if i == k {
                c.lambda
            } else {
                (1.0 - c.lambda) / (exits - 1) as f64
            };
            let kd = soft(c.form, &live.logits[i], &target, c.temperature);
            let feature = mse(&live.embeddings[i], &target_f, false);
            loss += share * (c.kd_weight * kd + c.feature_weight * feature);
        }
        if c.weights != MateWeights::Uniform {
            let pull = soft(c.form, &teacher, &fixed.logits[k], c.temperature);
            loss += c.teacher_weight * (cross_entropy(&teacher, point.labels) + c.pull * pull);
        }
    }
    loss
}
