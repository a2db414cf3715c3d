//! AVER, EBKD and CA-MKD: numbers of `python/golden.py` and `python/shared_classifier.py`, gradients, and odd
//! batches.

use std::collections::BTreeMap;

use crate::by_hand::{
    CLASSES, IMAGE, Scene, answer, distiller, exit, external, fill, model, teacher, with,
};
use crate::support::{
    END, Z, assert_all_close, assert_close, assert_gradient, device, matrix, parameter_gradients,
    values,
};
use burn::tensor::{Device, Int, Tensor};
use offramp_core::{ExitOutputs, default_device};
use offramp_methods::distill::{
    AnyDistiller, DistillConfig, Distiller, Distillers, StepBatch, Student,
};
use offramp_methods::{LossTerms, Targets};
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;
use serde_json::json;

/// The logits of three teachers.
const TEACHERS: [[f32; 3]; 3] = [[3.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0]];

fn by_logits(loss: &str, teachers: usize) -> AnyDistiller {
    let teacher = teacher("t", 1, 1);
    let plans = vec![(&teacher, [1, 1, 1]); teachers];
    distiller(loss, json!("linear"), [1, 1, 1], &plans, &device()).unwrap()
}

fn constants() -> Vec<ExitOutputs> {
    let device = default_device().unwrap();
    let outputs = |logits| vec![answer(matrix(&[logits], &device))].into();
    TEACHERS.map(outputs).to_vec()
}

fn loss_of_z1(loss: &str) -> f32 {
    let scene = Scene::new(
        answer(matrix(&[Z[0]], &device())),
        constants().into_iter().flat_map(|all| all.exits).collect(),
        &[0],
    );
    let terms = by_logits(loss, 3).losses(&scene.distill_batch());
    values(terms.get("").unwrap().value.clone())[0]
}

/// Student `z_1`, label 0, `T = 4`; `KL_4(z_1 || t_k) = [.124105, .814283, .331613]`:
///
/// ```text
/// EBKD:    L = 1/K sum_k w_k KL_4(z || t_k),  w_k = 1 - H_k / sum_j H_j = [.770908, .709160, .519932]
/// CA-MKD:  the same with w_k = (1 - softmax_k(CE(t_k, y))) / (K - 1) = [.456346, .154157, .389496],
///          CE(t_k, y) = [.169846, 2.239545, 1.098612]
/// ```
///
/// Kwon et al., ICASSP 2020; Zhang, Chen and Wang, ICASSP 2022; both as in Rorozhl/CA-MKD.
#[test]
fn weighted_teachers() {
    for (loss, expected) in [("ebkd", 0.281849), ("ca-mkd", 0.103775)] {
        let found = loss_of_z1(loss);
        assert!((found - expected).abs() < 1e-5, "{loss}: {found}");
    }
}

/// `kd` with several teachers is AVER: `L = 1/K sum_k KL_4(z || t_k)`.
#[test]
fn kd_from_several_teachers_is_the_mean() {
    let device = device();
    let config = model(json!({"backbone": "resnet8", "exits": [2]}));
    let net = config
        .init(CLASSES, IMAGE, &mut Init::new(0, &device))
        .unwrap();
    let teachers = ["a", "b", "c"].map(|name| teacher(name, 1, 1));
    let student = Student {
        net: &net,
        config: &config,
        image: IMAGE,
        train_images: 1,
        batch_size: 1,
    };
    let table: DistillConfig = serde_json::from_value(json!({"loss": "kd"})).unwrap();
    let tables = BTreeMap::from([("kd".to_owned(), table)]);
    let mut init = Init::new(0, &device);
    let distillers = Distillers::new(&tables, &student, &teachers, &mut init).unwrap();
    let outputs: ExitOutputs = vec![answer(matrix(&[Z[0]], &device))].into();
    let mut terms = LossTerms::new();
    let batch = StepBatch {
        images: &Tensor::zeros([1, 3, 16, 16], &device),
        indices: &[0],
        outputs: &outputs,
        teachers: &constants(),
        targets: &Targets::new(Tensor::<1, Int>::from_data([0], &device)),
        context: &END,
    };
    distillers.push_losses(&mut terms, &batch);
    assert_eq!(terms.iter().count(), 3);
    assert_close(terms.total(), 0.423334);
}

/// The second sample's label is 2, the third has none.
fn scene(student: Tensor<2>) -> Scene {
    let device = default_device().unwrap();
    let teachers = [
        fill(2, [3, 3], &device) * 2.0,
        fill(3, [3, 3], &device) * 3.0,
    ];
    Scene::new(answer(student), teachers.map(answer).to_vec(), &[0, 2, -1])
}

#[test]
fn values_and_gradients_of_pytorch() {
    let golden = [
        (
            "ebkd",
            0.968215046,
            [
                -0.129570415,
                0.0823375,
                0.047232915,
                -0.129570415,
                0.0823375,
                0.047232915,
                -0.03046312,
                0.134502359,
                -0.104039239,
            ],
        ),
        (
            r#"{"name": "ca-mkd", "feature-weight": 0}"#,
            0.826725725,
            [
                -0.146889091,
                0.076159742,
                0.070729349,
                -0.035974359,
                0.115724219,
                -0.07974986,
                -0.031132083,
                0.131521638,
                -0.100389555,
            ],
        ),
    ];
    for (loss, expected, gradient) in golden {
        let distiller = by_logits(loss, 2);
        let student = fill(1, [3, 3], &device()).require_grad();
        let terms = distiller.losses(&scene(student.clone()).distill_batch());
        assert_eq!(terms.iter().count(), 1);
        assert_close(terms.total(), expected);
        assert_all_close(student.grad(&terms.total().backward()).unwrap(), &gradient);
        let x = values(fill(1, [9], &device()));
        assert_gradient(&x, |x| {
            distiller
                .losses(&scene(x.reshape([3, 3])).distill_batch())
                .total()
        });
    }
}

/// A teacher whose classifier is that of python/shared_classifier.py.
fn known_teacher(place: usize, width: usize) -> ExternalTeacher {
    let device = default_device().unwrap();
    let config = crate::by_hand::teacher_config(width);
    let net = config
        .init(CLASSES, IMAGE, &mut Init::new(1, &device))
        .unwrap();
    let weight = fill(9 + place, [3 * width], &device);
    let net = with(
        net,
        &[
            ("heads.0.fc.weight", weight),
            ("heads.0.fc.bias", fill(11 + place, [3], &device)),
        ],
    );
    external(["a", "b"][place], net, &config)
}

#[test]
fn features_of_pytorch() {
    let device = device();
    let teachers = [known_teacher(0, 2), known_teacher(1, 3)];
    let plans = [(&teachers[0], [2, 2, 2]), (&teachers[1], [3, 4, 4])];
    let ca_mkd = distiller("ca-mkd", json!("linear"), [2, 4, 4], &plans, &device).unwrap();
    let adapters = ["adapters.0.conv.weight", "adapters.1.conv.weight"];
    let ca_mkd = with(
        ca_mkd,
        &[
            (adapters[0], fill(7, [4], &device)),
            (adapters[1], fill(8, [6], &device)),
        ],
    );
    let no_logits = |device: &Device| Tensor::zeros([3, 3], device);
    let scene = |student: Tensor<4>| {
        let flex = default_device().unwrap();
        let relu = |map: Tensor<4>| exit(map.clamp_min(0.0), no_logits(&flex));
        let maps = vec![
            relu(fill(5, [3, 2, 2, 2], &flex)),
            relu(fill(6, [3, 3, 4, 4], &flex)),
        ];
        Scene::new(exit(student, no_logits(&device)), maps, &[0, 2, -1])
    };
    let student = fill(4, [3, 2, 4, 4], &device).require_grad();
    let mut first_epoch = scene(student.clone());
    first_epoch.context.epoch = 0.9;
    let weight = |terms: &LossTerms| terms.get("feature").unwrap().weight;
    assert_eq!(weight(&ca_mkd.losses(&first_epoch.distill_batch())), 0.0);

    let terms = ca_mkd.losses(&scene(student.clone()).distill_batch());
    assert_eq!(weight(&terms), 50.0);
    let feature = terms.get("feature").unwrap().value.clone();
    assert_close(feature.clone(), 0.18146473);
    // A hundred times as large, so that the tolerance is a relative one.
    let gradients = (feature * 100.0).backward();
    let gradient = student.grad(&gradients).unwrap();
    let expected: [f64; 16] = [
        -0.001730319,
        0.00474663,
        0.00753558,
        0.012605912,
        0.004800039,
        -0.00523164,
        0.013442235,
        0.019021969,
        -0.018484553,
        -0.009292381,
        -0.004638425,
        -0.005267305,
        -0.009238972,
        -0.01994993,
        -0.004430982,
        0.001263053,
    ];
    assert_all_close(gradient.slice([1..2, 0..1]), &expected.map(|g| g * 100.0));
    let learned = parameter_gradients(&ca_mkd, &gradients);
    for name in adapters {
        assert!(learned.contains_key(name), "{name}");
    }
}

#[test]
fn odd_batches_are_finite() {
    for loss in ["ebkd", "ca-mkd"] {
        let distiller = by_logits(loss, 2);
        for (labels, scale) in [
            (&[0, 1, 2, 0, 1][..], 1.0),
            (&[1], 1.0),
            (&[2, 2], 1.0),
            (&[-1, -1], 1.0),
            (&[0, 1], 1e4),
        ] {
            let n = labels.len();
            let student = (fill(1, [n, 3], &device()) * scale).require_grad();
            let constant = |seed| answer(fill(seed, [n, 3], &default_device().unwrap()) * scale);
            let scene = Scene::new(
                answer(student.clone()),
                vec![constant(2), constant(3)],
                labels,
            );
            let total = distiller.losses(&scene.distill_batch()).total();
            assert!(values(total.clone())[0].is_finite(), "{loss} {labels:?}");
            let gradient = values(student.grad(&total.backward()).unwrap());
            assert!(gradient.iter().all(|g| g.is_finite()), "{loss} {labels:?}");
        }
    }
}

#[test]
fn one_teacher_cannot_be_weighed() {
    let teacher = teacher("t", 1, 1);
    for loss in ["ebkd", "ca-mkd"] {
        let plans = [(&teacher, [1, 1, 1])];
        let result = distiller(loss, json!("linear"), [1, 1, 1], &plans, &device());
        let error = result.unwrap_err().to_string();
        assert!(
            error.contains(loss) && error.contains("[teachers.NAME]"),
            "{error}"
        );
    }
}
