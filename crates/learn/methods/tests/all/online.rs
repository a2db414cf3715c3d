//! DML, ONE and OKDDip: numbers of the published formulas (`python/golden.py`) and of PyTorch
//! (`python/online.py`), and what the methods become at the ends of their settings.

use crate::batches::wave;
use crate::support::{
    END, Z, assert_all_close, assert_close, device, method, network, outputs, parameter_gradients,
    targets, values, with_parameters,
};
use burn::tensor::{Gradients, Tensor, TensorData};
use offramp_core::{ExitOutput, ExitOutputs};
use offramp_methods::{AnyMethod, LossTerms, Method, NetworkInfo};

const N: usize = 3;
const EXITS: usize = 4;
const CLASSES: usize = 5;
const WIDTH: usize = 6;

fn net() -> NetworkInfo {
    network(EXITS, CLASSES, WIDTH)
}

/// The outputs of the script, all of them leaves.
fn waves() -> ExitOutputs {
    let exit = |k: u64| {
        let embedding = wave(10 + k, [N, WIDTH], 1.0).require_grad();
        ExitOutput::new(embedding, wave(k, [N, CLASSES], 3.0).require_grad())
    };
    ExitOutputs {
        exits: (0..EXITS as u64).map(exit).collect(),
        stages: vec![wave(30, [N, WIDTH, 2, 2], 1.0).require_grad()],
    }
}

/// Waves in the place of some parameters.
fn filled<const S: usize>(method: AnyMethod, names: [(&str, u64); S]) -> AnyMethod {
    with_parameters(method, |parameters| {
        for (name, seed) in names {
            let data = parameters[name].clone();
            let numbers = values(wave(seed, [data.num_elements()], 0.5));
            let data = TensorData::new(numbers, data.shape().clone());
            assert!(parameters.insert(name.to_owned(), data).is_some());
        }
    })
}

/// The taught terms alone: what `kd/...` and `teacher/...` are.
fn taught(method: &AnyMethod, outputs: &ExitOutputs) -> LossTerms {
    let mut taught = LossTerms::new();
    for term in method.losses(outputs, &targets(&[1, 0, 3]), &END) {
        if !term.name.starts_with("ce/") {
            taught.push(term.name, term.value, term.weight);
        }
    }
    taught
}

#[track_caller]
fn assert_terms(terms: &LossTerms, expected: &[f64]) {
    let found: Vec<_> = terms.iter().map(|term| term.value.clone()).collect();
    assert_all_close(Tensor::cat(found, 0), expected);
}

/// Relative to the largest of the numbers, which may all be small.
#[track_caller]
fn assert_near(found: &[f32], expected: &[f64]) {
    assert_eq!(found.len(), expected.len());
    let size = expected.iter().fold(0.0_f64, |size, e| size.max(e.abs()));
    for (f, e) in found.iter().zip(expected) {
        let near = (f64::from(*f) - e).abs() <= 1e-5 * size;
        assert!(near, "{found:?}\nexpected {expected:?}");
    }
}

/// The gradient of the first sample.
fn first<const D: usize>(leaf: &Tensor<D>, gradients: &Gradients) -> Tensor<D> {
    let gradient = leaf.grad(gradients).expect("a gradient");
    gradient.narrow(0, 0, 1)
}

/// Two exits, `T = 3`: `CE(z_1) + CE(z_2) + KL_3(z_1 || z_2) + KL_3(z_2 || z_1)` (Zhang et al., CVPR 2018).
#[test]
fn dml_of_two_exits() {
    let method = method("name = \"dml\"\ntemperature = 3.0", &network(2, 3, 2));
    let outputs = outputs(&Z[..2], None, &device());
    let terms = method.losses(&outputs, &targets(&[0]), &END);
    assert_close(terms.total(), 0.801847);
}

#[test]
fn dml_is_pytorchs() {
    let each = [5.057492815, 2.194668137, 2.843861857, 4.089498189];
    let mean = [4.694691477, 0.738832283, 1.423134416, 3.129670262];
    for (settings, expected, gradient) in [
        (
            "",
            each,
            [
                0.035491085,
                0.039705723,
                -0.057706411,
                -0.119829052,
                0.102338655,
            ],
        ),
        (
            "detach = false",
            each,
            [
                0.020252571,
                0.088279413,
                -0.104767308,
                -0.210159218,
                0.206394542,
            ],
        ),
        (
            "target = \"mean\"",
            mean,
            [
                0.008334586,
                0.056654225,
                -0.068334772,
                -0.100467819,
                0.103813779,
            ],
        ),
        (
            "target = \"mean\"\ndetach = false",
            mean,
            [
                -0.021776520,
                0.093956740,
                -0.098843285,
                -0.116849650,
                0.143512715,
            ],
        ),
    ] {
        let dml = method(
            &format!("name = \"dml\"\ntemperature = 3.0\n{settings}"),
            &net(),
        );
        let outputs = waves();
        let terms = taught(&dml, &outputs);
        assert_terms(&terms, &expected);
        let gradients = terms.total().backward();
        assert_near(
            &values(first(&outputs.exits[1].logits, &gradients)),
            &gradient,
        );
    }
}

/// ONE (Lan, Zhu and Gong, NeurIPS 2018): `g = softmax(relu(bn(W x)))`, `e = sum_j g_j z_j`,
/// `L = sum_i CE(z_i, y) + CE(e, y) + sum_i KL_3(z_i || e)`. In a batch of one, batch norm gives its shift, here
/// [1, -1, 2].
#[test]
fn one_with_a_known_gate() {
    let one = method("name = \"one\"", &network(3, 3, 2));
    let one = with_parameters(one, |parameters| {
        let shift = TensorData::new(vec![1.0f32, -1.0, 2.0], [3]);
        parameters.insert("teacher.bn.bias".to_owned(), shift);
    });
    let outputs = outputs(&Z, None, &device());
    let AnyMethod::One(inner) = &one else {
        panic!("one is called One");
    };
    let mixture = inner.teacher.mixture(outputs.stages[0].clone());
    assert_all_close(mixture.mean(), &[0.244728, 0.090031, 0.665241]);
    let exits = offramp_teachers::stack(outputs.logits().cloned());
    assert_all_close(mixture.of(exits), &[2.420512, 0.710256, -0.334759]);
    let terms = one.losses(&outputs, &targets(&[0]), &END);
    assert_close(terms.total(), 1.125499);
}

#[test]
fn one_is_pytorchs() {
    let expected = [
        2.579538932,
        3.214323518,
        0.494337706,
        0.524087136,
        1.462848842,
    ];
    for (detach, exit, pixel, gate) in ONE {
        let one = method(&format!("name = \"one\"\ndetach = {detach}"), &net());
        let names = [
            ("teacher.fc.weight", 100),
            ("teacher.bn.weight", 101),
            ("teacher.bn.bias", 102),
        ];
        let one = filled(one, names);
        let outputs = waves();
        let terms = taught(&one, &outputs);
        assert_terms(&terms, &expected);
        let gradients = terms.total().backward();
        assert_near(&values(first(&outputs.exits[1].logits, &gradients)), &exit);
        let map = first(&outputs.stages[0], &gradients);
        assert_near(&values(map.narrow(2, 0, 1).narrow(3, 0, 1)), &pixel);
        let weight = &parameter_gradients(&one, &gradients)["teacher.fc.weight"];
        let column: Vec<f32> = weight.chunks(WIDTH).map(|row| row[0]).collect();
        assert_near(&column, &gate);
    }
}

#[test]
fn okddip_is_pytorchs() {
    let expected = [0.028978180, 0.822675069, 0.774032773, 3.129670262];
    for (detach, exit) in [
        (
            false,
            [
                0.017979896,
                0.025681770,
                -0.057521109,
                -0.071525461,
                0.085384904,
            ],
        ),
        (
            true,
            [
                0.121277812,
                -0.109320947,
                -0.029779272,
                0.067451714,
                -0.049629307,
            ],
        ),
    ] {
        let table = format!("name = \"okddip\"\nreduction = 2\ndetach = {detach}");
        let names = [
            ("teacher.keys.0.weight", 100),
            ("teacher.queries.0.weight", 101),
        ];
        let okddip = filled(method(&table, &net()), names);
        let outputs = waves();
        let terms = taught(&okddip, &outputs);
        assert_terms(&terms, &expected);
        let gradients = terms.total().backward();
        assert_near(&values(first(&outputs.exits[1].logits, &gradients)), &exit);
        let leader = [
            -0.010724365,
            -0.149620305,
            0.099650769,
            0.255378383,
            -0.194684482,
        ];
        assert_near(
            &values(first(&outputs.exits[3].logits, &gradients)),
            &leader,
        );
        let own = parameter_gradients(&okddip, &gradients);
        let row = |name: &str| own[name][..WIDTH].to_vec();
        let maps = [
            row("teacher.queries.0.weight"),
            row("teacher.keys.0.weight"),
        ];
        assert_near(&maps.concat(), &OKDDIP_MAPS);
        let embedding = outputs.exits[1].embedding.grad(&gradients);
        if detach {
            assert!(embedding.is_none())
        } else {
            let embedding = embedding.unwrap().narrow(0, 0, 1);
            assert_near(&values(embedding), &OKDDIP_EMBEDDING);
        }
        assert!(
            outputs.exits[3].embedding.grad(&gradients).is_none(),
            "the leader is no peer"
        );
    }
}

/// Rows 0 of the gradients of `W_q` and `W_k`, detached or not.
const OKDDIP_MAPS: [f64; 12] = [
    -0.928488759,
    -0.190975890,
    1.063965012,
    -0.627513876,
    -0.367869095,
    0.851300028,
    -0.033908445,
    0.066732080,
    -0.124214924,
    0.063113910,
    0.087513678,
    -0.203665871,
];

const OKDDIP_EMBEDDING: [f64; WIDTH] = [
    -0.001321894,
    -0.107995713,
    0.099467216,
    -0.022564875,
    -0.011483966,
    -0.023714903,
];

type GateGradients = (bool, [f64; CLASSES], [f64; WIDTH], [f64; EXITS]);

/// `detach`, then the gradients of an exit's logits, of a pixel of the map, of a column of `W`.
const ONE: [GateGradients; 2] = [
    (
        true,
        [
            0.031473388,
            -0.022754539,
            -0.043318212,
            -0.062571659,
            0.097171023,
        ],
        [
            0.002119792,
            -0.001446314,
            0.000308629,
            0.000639434,
            -0.001146389,
            0.001292184,
        ],
        [0.0, 0.005399945, 0.027223696, 0.000036249],
    ),
    (
        false,
        [
            0.037799580,
            -0.028884431,
            -0.045590323,
            -0.055406702,
            0.092081876,
        ],
        [
            -0.000698485,
            0.000355976,
            0.000246318,
            -0.000759029,
            0.001046235,
            -0.001146412,
        ],
        [0.0, -0.002982948, 0.014646047, -0.000030175],
    ),
];

/// A gate with equal weights is the mean, and so is attention between zeros.
#[test]
fn equal_weights_are_eeds_mean() {
    let value = |terms: &LossTerms, name: &str| values(terms.get(name).unwrap().value.clone())[0];
    let zeros = |method, names: &[&str]| {
        with_parameters(method, |parameters| {
            for name in names {
                let data = &parameters[*name];
                let data = TensorData::zeros::<f32, _>(data.shape().clone());
                parameters.insert((*name).to_owned(), data);
            }
        })
    };
    let eed = method(
        "name = \"eed\"\nform = \"kl\"\nfeature-weight = 0.0",
        &net(),
    );
    let eed = taught(&eed, &waves());
    let one = zeros(method("name = \"one\"", &net()), &["teacher.fc.weight"]);
    let one = taught(&one, &waves());
    for exit in 0..EXITS {
        let name = format!("kd/{exit}");
        assert!((value(&one, &name) - value(&eed, &name)).abs() < 1e-5);
    }
    // The peers without the leader are a network of three exits.
    let mut peers = waves();
    peers.exits.pop();
    let three = network(EXITS - 1, CLASSES, WIDTH);
    let eed = method(
        "name = \"eed\"\nform = \"kl\"\nfeature-weight = 0.0",
        &three,
    );
    let eed = taught(&eed, &peers);
    let okddip = zeros(
        method("name = \"okddip\"", &net()),
        &["teacher.keys.0.weight"],
    );
    let okddip = taught(&okddip, &waves());
    for exit in 0..EXITS - 1 {
        let name = format!("kd/{exit}");
        assert!((value(&okddip, &name) - value(&eed, &name)).abs() < 1e-5);
    }
}
