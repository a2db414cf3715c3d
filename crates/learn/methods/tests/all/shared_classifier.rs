//! SimKD and ATSC: numbers of `python/golden.py` and `python/shared_classifier.py`, gradients, what is shared,
//! and what must not change.

use crate::by_hand::{CLASSES, IMAGE, Scene, card, distiller, exit, fill, model, teacher, with};
use crate::support::{
    assert_all_close, assert_close, assert_gradient, device, parameter_gradients, values,
};
use burn::module::Module;
use burn::tensor::{Device, Tensor};
use offramp_core::default_device;
use offramp_core::params::{apply, collect};
use offramp_heads::{load_model, save_model};
use offramp_losses::cross_entropy;
use offramp_methods::LossTerms;
use offramp_methods::distill::{AnyDistiller, Distiller};
use offramp_nn::Init;
use serde_json::json;

fn projector(widths: &[usize]) -> serde_json::Value {
    json!({"name": "projector", "width": widths})
}

fn value(terms: &LossTerms, name: &str) -> f32 {
    values(terms.get(name).expect(name).value.clone())[0]
}

/// One teacher of width 2 and a student whose map has its shape, 1x1.
fn single(loss: &str) -> AnyDistiller {
    let teacher = teacher("t", 2, 1);
    let map = [2, 1, 1];
    distiller(loss, projector(&[2]), map, &[(&teacher, map)], &device()).unwrap()
}

fn map(values: [f32; 2], device: &Device) -> Tensor<4> {
    Tensor::<1>::from_floats(values, device).reshape([1, 2, 1, 1])
}

fn logits(n: usize, device: &Device) -> Tensor<2> {
    Tensor::zeros([n, CLASSES], device)
}

/// `mean (P(f_s) - f_t)^2` with `P(f_s) = [2.499963, 0]` and `f_t = [2, 0.5]` (Chen et al., CVPR 2022). That the
/// projector gives this map is tested beside the head.
#[test]
fn simkd_of_one_teacher() {
    let device = device();
    let student = exit(map([2.499963, 0.0], &device), logits(1, &device));
    let scene = Scene::new(
        student,
        vec![exit(map([2.0, 0.5], &device), logits(1, &device))],
        &[0],
    );
    assert_close(
        single("simkd").losses(&scene.distill_batch()).total(),
        0.249981,
    );
}

#[test]
fn several_teachers_with_larger_maps() {
    let device = device();
    let (a, b) = (teacher("a", 2, 1), teacher("b", 1, 2));
    let teachers = [(&a, [2, 4, 4]), (&b, [1, 3, 3])];
    let simkd = distiller("simkd", projector(&[2, 1]), [3, 2, 2], &teachers, &device).unwrap();
    let teacher_outputs = || {
        let device = default_device().unwrap();
        vec![
            exit(fill(2, [2, 2, 4, 4], &device), logits(2, &device)),
            exit(fill(3, [2, 1, 3, 3], &device), logits(2, &device)),
        ]
    };
    let student = fill(1, [2, 3, 2, 2], &device).require_grad();
    let scene = Scene::new(
        exit(student.clone(), logits(2, &device)),
        teacher_outputs(),
        &[0, 1],
    );
    let loss = simkd.losses(&scene.distill_batch()).total();
    assert_close(loss.clone(), 0.330390625);
    let gradient = student.grad(&loss.backward()).unwrap();
    let expected = [
        -0.015625, 0.06875, 0.009375, -0.04375, 0.034375, 0.015625, -0.04375, 0.040625, -0.0625,
        -0.0625, 0.0375, -0.03125,
    ];
    assert_all_close(gradient.narrow(0, 0, 1), &expected);

    let x = values(fill(1, [24], &device));
    assert_gradient(&x, |x| {
        let student = exit(x.reshape([2, 3, 2, 2]), logits(2, &device));
        simkd
            .losses(&Scene::new(student, teacher_outputs(), &[0, 1]).distill_batch())
            .total()
    });
}

#[test]
fn the_mean_of_several_classifiers_is_one_layer() {
    let device = device();
    let teachers = [teacher("a", 2, 1), teacher("b", 3, 2)];
    let plans = [(&teachers[0], [2, 1, 1]), (&teachers[1], [3, 1, 1])];
    let simkd = distiller("simkd", projector(&[2, 3]), [5, 1, 1], &plans, &device).unwrap();
    let config = model(json!({"backbone": "resnet8", "head": projector(&[2, 3]), "exits": [2]}));
    let net = config
        .init(CLASSES, IMAGE, &mut Init::new(5, &device))
        .unwrap();
    let net = simkd.share(0, net);
    let embeddings = [fill(1, [4, 2], &device), fill(2, [4, 3], &device)];
    let joined = net
        .classifier(0)
        .forward(Tensor::cat(embeddings.to_vec(), 1));
    let mean = (teachers.iter().zip(embeddings))
        .map(|(teacher, e)| teacher.net().classifier(0).forward(e))
        .reduce(|a, b| a + b)
        .unwrap()
        / 2.0;
    let expected: Vec<f64> = values(mean).into_iter().map(f64::from).collect();
    assert_all_close(joined, &expected);
}

#[test]
fn a_saved_student_predicts_with_the_teachers_classifier() {
    let device = device();
    let teacher = teacher("t", 64, 1);
    let teachers = [(&teacher, [64, 4, 4])];
    let simkd = distiller("simkd", projector(&[64]), [64, 4, 4], &teachers, &device).unwrap();
    let config = model(json!({
        "backbone": "resnet8", "head": {"name": "projector", "width": 64, "size": 4}
    }));
    let mut net = config
        .init(CLASSES, IMAGE, &mut Init::new(5, &device))
        .unwrap();
    // Every exit has the teacher's classifier, and none of them learns, even after a resumption.
    for exit in 0..3 {
        net = simkd.share(exit, net);
    }
    let tensors = collect(&net);
    let net = apply(net, tensors).unwrap().valid().train();
    let images = fill(1, [2, 3, 16, 16], &device);
    let outputs = net.forward(images.clone());
    let loss = outputs
        .logits()
        .map(|z| z.clone().square().sum())
        .reduce(|a, b| a + b)
        .unwrap();
    let found = parameter_gradients(&net, &loss.backward());
    assert!(found.contains_key("heads.1.projectors.0.conv3.conv.weight"));
    assert!(
        found.keys().all(|name| !name.contains("fc.")),
        "{:?}",
        found.keys()
    );

    let dir = tempfile::tempdir().unwrap();
    let net = net.valid();
    save_model(dir.path(), &net, card(&config)).unwrap();
    let (loaded, _) = load_model(dir.path(), &default_device().unwrap()).unwrap();
    let images = images.without_autodiff();
    let (before, after) = (net.forward(images.clone()), loaded.forward(images));
    let theirs = collect(&teacher.net().classifier(0));
    for (exit, (before, after)) in before.logits().zip(after.logits()).enumerate() {
        assert_eq!(values(before.clone()), values(after.clone()));
        assert_eq!(collect(&loaded.classifier(exit)), theirs);
    }
}

#[test]
fn a_student_that_does_not_fit_is_told_what_to_write() {
    let device = device();
    let (a, b) = (teacher("big", 64, 1), teacher("b", 64, 1));
    let one = [(&a, [64, 4, 4])];
    let error = |head: serde_json::Value, map, teachers: &[_]| {
        ["simkd", "atsc"].map(|loss| {
            let error = distiller(loss, head.clone(), map, teachers, &device).unwrap_err();
            error.to_string()
        })
    };
    for error in error(json!("linear"), [64, 4, 4], &one) {
        assert!(error.contains("no projector"), "{error}");
        let line = "head = { name = \"projector\", teacher = \"big\" }";
        assert!(error.contains(line), "{error}");
    }
    for error in error(projector(&[32]), [32, 4, 4], &one) {
        assert!(error.contains("[64]") && error.contains("[32]"), "{error}");
    }
    for error in error(projector(&[64]), [64, 8, 8], &one) {
        assert!(error.contains("4x4") && error.contains("8x8"), "{error}");
    }
    for error in error(projector(&[64]), [64, 4, 4], &[one[0], (&b, [64, 4, 4])]) {
        assert!(error.contains("teacher = [\"big\", \"b\"]"), "{error}");
    }
}

/// A scene for [`single`]'s student with a sample per label.
fn atsc_scene(labels: &[i64], scale: f64) -> Scene {
    let device = device();
    let n = labels.len();
    let student = fill(4, [n, 2, 1, 1], &device) * scale;
    let constant = exit(fill(5, [n, 2, 1, 1], &device), logits(n, &device));
    Scene::new(
        exit(student.require_grad(), logits(n, &device)),
        vec![constant],
        labels,
    )
}

#[test]
fn the_terms_of_atsc_come_from_its_own_teacher() {
    let scene = atsc_scene(&[0, 2, -1], 1.0);
    let twin = teacher("t", 2, 1);
    let trained = collect(twin.net());
    let teachers = [(&twin, [2, 1, 1])];
    let built = distiller("atsc", projector(&[2]), [2, 1, 1], &teachers, &device());
    let AnyDistiller::Atsc(atsc) = built.unwrap() else {
        panic!("it was asked for");
    };
    let terms = atsc.losses(&scene.distill_batch());
    assert_eq!(value(&terms, "pull"), 0.0);
    // The copy gets the images in the teacher's normalisation, in training mode: batch statistics.
    let net = twin.net().clone().train();
    let taught = net.forward(twin.renormalised(scene.images.clone()).autodiff());
    let last = taught.exits.last().unwrap();
    let expected = cross_entropy(last.logits.clone(), &scene.targets);
    assert_close(expected, f64::from(value(&terms, "ce")));
    let gap = (scene.student.map.clone() - last.map.clone())
        .square()
        .mean();
    assert_close(gap, f64::from(value(&terms, "")));
    // Its own statistics drift; the trained teacher's do not.
    let drifted = collect(&atsc.teachers()[0]);
    assert_eq!(collect(twin.net()), trained);
    let changed = |name: &str| drifted[name] != trained[name];
    assert!(changed("backbone.bn1.running_mean"));
    assert!(!changed("backbone.bn1.weight"));
}

/// Which terms move what: the gradients of `L` without the pull, then of the pull alone.
#[test]
fn the_classifier_learns_from_labels_and_the_rest_from_the_student() {
    const WEIGHT: &str = "teachers.0.heads.0.fc.weight";
    const BIAS: &str = "teachers.0.heads.0.fc.bias";
    const CONV: &str = "teachers.0.backbone.conv1.weight";
    const SCALE: &str = "teachers.0.backbone.bn1.weight";
    for released in [false, true] {
        let loss = format!(r#"{{"name": "atsc", "released": {released}}}"#);
        let scene = atsc_scene(&[0, 2, 1], 1.0);
        let atsc = single(&loss);
        let of = |name: &str| {
            let terms = atsc.losses(&scene.distill_batch());
            parameter_gradients(&atsc, &terms.get(name).unwrap().value.clone().backward())
        };
        let (distance, ce) = (of(""), of("ce"));
        assert!(distance.contains_key(CONV) && !distance.contains_key(WEIGHT));
        assert!(!distance.contains_key(BIAS) && !ce.contains_key(CONV));
        assert!(ce.contains_key(BIAS));
        assert_eq!(ce.contains_key(WEIGHT), !released);

        // Away from the first weights the pull is 2 (theta - theta_0): on all but the classifier, or
        // on the weights alone, the classifier's among them.
        let before = collect(&atsc);
        let moved = |name: &str| {
            let old = before[name].iter::<f32>().map(|x| x + 0.25);
            Tensor::<1>::from_floats(old.collect::<Vec<_>>().as_slice(), &device())
        };
        let names = [WEIGHT, BIAS, CONV, SCALE];
        let atsc = with(atsc.clone(), &names.map(|name| (name, moved(name))));
        let terms = atsc.losses(&scene.distill_batch());
        let pull = terms.get("pull").unwrap().value.clone();
        let size = |name: &str| before[name].num_elements() as f64;
        let pulled = size(CONV) + size(if released { WEIGHT } else { SCALE });
        assert_close(pull.clone(), pulled * 0.0625);
        let found = parameter_gradients(&atsc, &pull.backward());
        assert!(found[CONV].iter().all(|g| (g - 0.5).abs() < 1e-5));
        assert_eq!(found.contains_key(WEIGHT), released);
        assert!(!found.contains_key(BIAS));
        assert_eq!(found.contains_key(SCALE), !released);

        // What is shared is the classifier as it is now.
        let config = model(json!({"backbone": "resnet8", "head": projector(&[2]), "exits": [2]}));
        let net = config
            .init(CLASSES, IMAGE, &mut Init::new(5, &device()))
            .unwrap();
        let shared = collect(&atsc.share(0, net).classifier(0));
        assert_eq!(shared["weight"], collect(&atsc)[WEIGHT]);
        assert_eq!(shared["bias"], collect(&atsc)[BIAS]);
    }
}

/// Central differences of the whole loss in the student's map and in the classifier.
#[test]
fn gradients_of_atsc() {
    let atsc = single("atsc");
    let taught = atsc_scene(&[0, 2, 1], 1.0);
    let x = values(taught.student.map.clone().reshape([-1]));
    let of = |x: Tensor<1>| {
        let mut scene = atsc_scene(&[0, 2, 1], 1.0);
        scene.student = exit(x.reshape([3, 2, 1, 1]), logits(3, &device()));
        scene
    };
    assert_gradient(&x, |x| atsc.losses(&of(x).distill_batch()).total());
    for name in ["teachers.0.heads.0.fc.weight", "teachers.0.heads.0.fc.bias"] {
        let total = |atsc: &AnyDistiller| atsc.losses(&taught.distill_batch()).total();
        let found = parameter_gradients(&atsc, &total(&atsc).backward());
        let start: Vec<f32> = collect(&atsc)[name].iter::<f32>().collect();
        for i in 0..start.len() {
            let at = |by: f32| {
                let mut shifted = start.clone();
                shifted[i] += by;
                let shifted = Tensor::<1>::from_floats(shifted.as_slice(), &device());
                f64::from(values(total(&with(atsc.clone(), &[(name, shifted)])))[0])
            };
            let numeric = (at(0.02) - at(-0.02)) / 0.04;
            let analytic = f64::from(found[name][i]);
            assert!(
                (analytic - numeric).abs() < 1e-4,
                "{name} {i}: {analytic} {numeric}"
            );
        }
    }
}

#[test]
fn odd_batches_are_finite() {
    for loss in ["simkd", "atsc"] {
        let distiller = single(loss);
        // Other sizes, one sample, one class, no labels, huge features.
        for (labels, scale) in [
            (&[0, 1, 2, 0, 1][..], 1.0),
            (&[1], 1.0),
            (&[2, 2], 1.0),
            (&[-1, -1], 1.0),
            (&[0, 1], 1e4),
        ] {
            let scene = atsc_scene(labels, scale);
            let total = distiller.losses(&scene.distill_batch()).total();
            assert!(values(total.clone())[0].is_finite(), "{loss} {labels:?}");
            let gradient = scene.student.map.grad(&total.backward()).unwrap();
            assert!(
                values(gradient).iter().all(|g| g.is_finite()),
                "{loss} {labels:?}"
            );
        }
    }
}

/// Without labels there is no cross-entropy, and the classifier does not change.
#[test]
fn atsc_without_labels_leaves_the_classifier() {
    let scene = atsc_scene(&[-1, -1, -1], 1.0);
    let atsc = single("atsc");
    let terms = atsc.losses(&scene.distill_batch());
    assert_eq!(value(&terms, "ce"), 0.0);
    let found = parameter_gradients(&atsc, &terms.total().backward());
    let still = |name: &str| found[name].iter().all(|g| *g == 0.0);
    assert!(still("teachers.0.heads.0.fc.weight") && still("teachers.0.heads.0.fc.bias"));
}
