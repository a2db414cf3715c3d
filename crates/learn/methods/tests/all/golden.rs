//! The losses of the methods against numbers that `python/golden.py` computes from the published formulas.
//!
//! The exits' logits are [`Z`] and, where there are four, [`Z4`]; the label is 0. `KL_T` and `xent_T` are those
//! of [`offramp_losses`].

use crate::support::{
    END, Z, assert_close, device, method, network, outputs, targets, values, with_parameters,
    with_scores,
};
use burn::tensor::TensorData;
use offramp_core::ExitOutputs;
use offramp_methods::{AnyMethod, LossTerms, Method, Targets};

/// The logits of a fourth exit.
const Z4: [f32; 3] = [0.0, 2.0, 0.0];

fn label() -> Targets {
    targets(&[0])
}

fn sum(terms: &LossTerms, kind: &str) -> f64 {
    let of_kind = terms.iter().filter(|term| term.name.starts_with(kind));
    of_kind
        .map(|term| term.weight * f64::from(values(term.value.clone())[0]))
        .sum()
}

#[track_caller]
fn assert_near(actual: f64, expected: f64) {
    assert!(
        (actual - expected).abs() <= 1e-5 * expected.abs().max(1.0),
        "{actual} {expected}"
    );
}

fn losses(method: &AnyMethod, outputs: &ExitOutputs) -> LossTerms {
    method.losses(outputs, &label(), &END)
}

/// MLCSD-Net (Zhang et al., Complex & Intelligent Systems 2024; public code deepzlk/MLCSD-Net) with one map `W` for
/// both exits, `W = 0.5 I`, `alpha = 5`, `beta = 10`, `T = 4`:
///
/// ```text
/// s_i = softmax(W f_i)    t_i = sum_d s_id z_d    g_i = sum_d s_id f_d
/// L   = sum_i CE(z_i, y) + alpha sum_i KL_4(z_i || sg t_i) + beta sum_i MSE(f_i, sg g_i)
/// s   = [.377541, .622459], [.880797, .119203]
/// ```
#[test]
fn mlcsd() {
    let table = "name = \"mlcsd\"\nform = \"as-released\"";
    let mlcsd = with_parameters(method(table, &network(2, 2, 2)), |parameters| {
        let data = TensorData::new(vec![0.5f32, 0.0, 0.0, 0.5], [2, 2]);
        parameters.insert("teacher.maps.0.weight".to_owned(), data);
    });
    let z = [[2.0, 0.0], [1.0, 0.5]];
    let f = [[1.0, 2.0], [3.0, -1.0]];
    let terms = losses(&mlcsd, &outputs(&z, Some(&f), &device()));
    for (name, expected) in [
        ("ce/0", 0.126928),
        ("ce/1", 0.474077),
        ("kd/0", 0.105731),
        ("kd/1", 0.211526),
        ("feature/0", 2.518462),
        ("feature/1", 5.042723),
    ] {
        assert_close(terms.get(name).unwrap().value.clone(), expected);
    }
    assert_close(terms.total(), 77.799134);
}

/// The maps learn from the teachers' cross-entropy alone; released, they do not.
#[test]
fn the_maps_of_mlcsd() {
    let z = [[2.0, 0.0], [1.0, 0.5]];
    let f = [[1.0, 2.0], [3.0, -1.0]];
    let net = network(2, 2, 2);
    for (table, learns) in [
        ("name = \"mlcsd\"", true),
        ("name = \"mlcsd\"\nteacher-weight = 0.0", false),
        ("name = \"mlcsd\"\nform = \"as-released\"", false),
    ] {
        let method = method(table, &net);
        let mut outputs = outputs(&z, Some(&f), &device());
        for exit in &mut outputs.exits {
            exit.logits = exit.logits.clone().require_grad();
        }
        let gradients = losses(&method, &outputs).total().backward();
        let AnyMethod::Mlcsd(mlcsd) = &method else {
            panic!("{method:?}")
        };
        let map = mlcsd.teacher.maps[0].weight.val();
        assert_eq!(map.grad(&gradients).is_some(), learns, "{table}");
    }
}

/// MATE-R, with scores `a` as below, `lambda = 0.8`, `T = 3`, `mu = 0` and weights of 1:
///
/// ```text
/// w_k  = softmax(a_k)    e_k = sum_j w_kj z_j    L_KD = sum_ik s_ik KL_3(z_i || e_k), s_ii = .8, s_ik = .1
/// e    = [1.42479, .212395, -.909969], [2, .5, -.788058], [2.57521, .787605, -.334759]
/// KL_3 = [.009549, .052474, .088566], [.032751, .003506, .010654], [.068800, .023323, .004144]
/// L    = sum_i CE(z_i) + L_KD + sum_k CE(e_k) = .818763 + .041416 + .783264
/// ```
#[test]
fn mate() {
    let table = "name = \"mate\"\npull = 0.0\nramp = { fraction = 0.0 }";
    let mate = with_scores(
        method(table, &network(3, 3, 2)),
        [[2.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 2.0]],
    );
    let terms = losses(&mate, &outputs(&Z, None, &device()));
    assert_near(sum(&terms, "ce/"), 0.818763);
    assert_near(sum(&terms, "teacher/"), 0.783264);
    assert_near(sum(&terms, "kd/"), 0.041416);
    assert_close(terms.total(), 1.643443);

    let weights = [
        [0.665241, 0.244728, 0.090031],
        [0.211942, 0.576117, 0.211942],
        [0.090031, 0.244728, 0.665241],
    ];
    for (name, value) in mate.scalars() {
        let parts: Vec<usize> = name
            .split('/')
            .filter_map(|part| part.parse().ok())
            .collect();
        assert_near(value, weights[parts[0]][parts[1]]);
    }
    assert_eq!(mate.scalars().len(), 9);
}

/// Phuong and Lampert (ICCV 2019; public code mary-phuong/multiexit-distillation), with a scale of 1 in place of
/// `2 * 5 / K`:
///
/// ```text
/// L = 1/2 sum_i CE(z_i, y) + 1/2 T^2 sum_{i<K} xent(z_i / T, softmax(sg z_K / T))
/// ```
///
/// `T` starts at 1 and is multiplied by 1.05 after every batch in which the mean over samples of
/// `max softmax(z_K / T)` is above 0.5: .843795 at `T = 1`. On this batch it stops after 27 updates, at
/// `1.05^27 = 3.733456`. At `T = 4` it is .481024, so that a constant 4 stays.
#[test]
fn phuong_lampert() {
    let net = network(3, 3, 2);
    let outputs = outputs(&Z, None, &device());
    let mut annealed = method("name = \"phuong-lampert\"\nglobal-scale = 1.0", &net);
    let temperature = |method: &AnyMethod| method.state()["temperature"];

    assert_close(losses(&annealed, &outputs).total(), 0.981609);
    annealed.after_step(&outputs);
    assert_eq!(temperature(&annealed), 1.05);
    assert_close(losses(&annealed, &outputs).total(), 1.075827);
    for _ in 0..40 {
        annealed.after_step(&outputs);
    }
    assert_near(temperature(&annealed), 3.733456);

    let table = "name = \"phuong-lampert\"\nglobal-scale = 1.0\ntemperature = 4.0";
    let mut warm = method(table, &net);
    assert_close(losses(&warm, &outputs).total(), 17.254655);
    warm.after_step(&outputs);
    assert_eq!(temperature(&warm), 4.0);
}

/// The public code's scale, `2 * 5 / K`, is 10/3 for three exits.
#[test]
fn phuong_lampert_scales_by_the_number_of_exits() {
    let method = method("name = \"phuong-lampert\"", &network(3, 3, 2));
    let total = losses(&method, &outputs(&Z, None, &device())).total();
    assert_close(total, 0.981609 * 10.0 / 3.0);
}

/// EED (Lee and Lee, arXiv 2104.00299; public code hjdw2/Exit-Ensemble-Distillation):
///
/// ```text
/// L    = sum_i CE(z_i, y) + sum_i MSE(z_i, sg zbar) + sum_i mean[(f_i - sg fbar)^2 (f_i > 0 or fbar > 0)]
/// zbar = mean_i z_i = [1.5, .875, -.5]    fbar = mean_i f_i = [1, 0]
/// ```
///
/// or with `0.1 sum_i xent_3(z_i, sg zbar)` for the logits.
#[test]
fn eed() {
    let net = network(4, 3, 2);
    let logits = [Z[0], Z[1], Z[2], Z4];
    let embeddings = [[1.0, -1.0], [2.0, 0.0], [0.0, -2.0], [1.0, 3.0]];
    let outputs = outputs(&logits, Some(&embeddings), &device());

    let terms = losses(&method("name = \"eed\"", &net), &outputs);
    assert_near(sum(&terms, "kd/"), 2.729167);
    assert_near(sum(&terms, "feature/"), 5.5);

    let table = "name = \"eed\"\nform = \"cross-entropy\"\nkd-weight = 0.1\nfeature-weight = 0.0";
    let terms = losses(&method(table, &net), &outputs);
    assert_near(sum(&terms, "kd/"), 3.930390);
    assert!(terms.get("feature/0").is_none());
}

/// BYOT (Zhang et al., ICCV 2019; public port luanyunteng/pytorch-be-your-own-teacher) without features, `a = 0.1`,
/// `T = 3`; the last exit has `z_3`:
/// `L = (1 - a) sum_i CE(z_i, y) + a sum_{i<K} xent_3(z_i, sg z_K)`.
#[test]
fn byot() {
    let logits = [Z[0], Z[1], Z4, Z[2]];
    let method = method("name = \"byot\"\nfeature-weight = 0.0", &network(4, 3, 2));
    let terms = losses(&method, &outputs(&logits, None, &device()));
    assert_close(terms.total(), 5.656583);
}

/// The equation of `beed.rs` in float64:
/// ```python
/// from math import exp, log
/// z = [[1, 0, -1], [2, .5, -1], [0, 2, 0], [3, 1, 0]]; f = [[1, -1], [2, 0], [0, -2], [1, 3]]
/// A, B, T, K = 1.15, 1.6, 3, 4
/// lsm = lambda x, T=1: [v / T - log(sum(exp(u / T) for u in x)) for v in x]
/// w = [B**j for j in range(K)]
/// mix = lambda m: [sum(a * b for a, b in zip(w, col)) / sum(w) for col in zip(*m)]
/// lp = lsm(mix(z), T); c = [A**(K - 1 - i) for i in range(K)]
/// kl = lambda x: T**2 * sum(exp(p) * (p - q) for p, q in zip(lp, lsm(x, T)))
/// print(sum((2 - a) * -lsm(x)[0] for a, x in zip(c, z)), sum(a * kl(x) for a, x in zip(c, z)),
///       .1 * sum((a - b)**2 / 2 for x in f for a, b in zip(x, mix(f))))
/// ```
#[test]
fn beed() {
    let logits = [Z[0], Z[1], Z4, Z[2]];
    let embeddings = [[1.0, -1.0], [2.0, 0.0], [0.0, -2.0], [1.0, 3.0]];
    let outputs = outputs(&logits, Some(&embeddings), &device());
    let terms = losses(&method("name = \"beed\"", &network(4, 3, 2)), &outputs);
    assert_near(sum(&terms, "ce/"), BEED[0]);
    assert_near(sum(&terms, "kd/"), BEED[1]);
    assert_near(sum(&terms, "feature/"), BEED[2]);
}

const BEED: [f64; 3] = [2.432241682, 1.154572418, 0.890963501];
