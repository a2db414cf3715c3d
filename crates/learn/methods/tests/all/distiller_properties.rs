//! What must hold for every distiller, on small networks.

use std::collections::BTreeSet;

use crate::batches::{Batch, CLASSES, Change, TRAIN_IMAGES, changed};
use crate::setup::{
    IMAGE, SAMPLES, Setup, distill_batch, gradients_of, leaf_gradients, number, terms,
};
use crate::support::{END, device, targets, values};
use burn::module::Module;
use burn::tensor::{FloatDType, Int, Tensor};
use offramp_core::ExitOutputs;
use offramp_core::params::collect;
use offramp_methods::distill::{
    DistillInfo, Distiller, DistillerConfig, ExitShapes, TeacherInfo, distillers,
};
use offramp_methods::{MethodError, Targets};
use offramp_nn::Init;

/// Batches as they come, and as they should not.
fn batches(batch: &Batch) -> Vec<(&'static str, Batch)> {
    let with = |name, change: &dyn Fn(&ExitOutputs) -> ExitOutputs, targets: Targets| {
        let [count] = targets.labels.dims();
        let batch = Batch {
            student: changed(&change(&batch.student), Change::Leaves),
            teacher: change(&batch.teacher),
            images: batch.images.clone().narrow(0, 0, count),
            indices: batch.indices[..count].to_vec(),
            context: batch.context,
            targets,
        };
        (name, batch)
    };
    let same = |x: &ExitOutputs| x.clone();
    let labels = [0, 1, -1, 3, 1];
    let mut mixed = targets(&labels);
    let others = Tensor::<1, Int>::from_data([-1_i64, 2, 2, 0, 1], &device());
    mixed.mix = Some((others, Tensor::full([SAMPLES], 0.3, &device())));
    vec![
        with("a class missing", &same, targets(&labels)),
        with(
            "fewer",
            &|x| changed(x, Change::First(3)),
            targets(&labels[..3]),
        ),
        with(
            "one sample",
            &|x| changed(x, Change::First(1)),
            targets(&labels[..1]),
        ),
        with("no labels", &same, targets(&[-1; SAMPLES])),
        with("one class", &same, targets(&[1; SAMPLES])),
        with("mixed labels", &same, mixed),
        with(
            "huge",
            &|x| changed(x, Change::Times(1e4)),
            targets(&labels),
        ),
        with(
            "dead",
            &|x| changed(x, Change::Times(0.0)),
            targets(&labels),
        ),
    ]
}

#[test]
fn any_batch_is_finite_and_has_finite_gradients() {
    for entry in distillers() {
        let setup = Setup::of(entry, "resnet8", "resnet8x4");
        for exit in 0..3 {
            for (what, batch) in batches(&setup.batch) {
                let mut distiller = setup.distiller(entry, exit);
                let what = format!("{} at exit {exit}: {what}", entry.name);
                let losses = terms(&distiller, entry, &batch, exit);
                let names: BTreeSet<_> = losses.iter().map(|term| &term.name).collect();
                assert_eq!(names.len(), losses.iter().count(), "{what}");
                for term in &losses {
                    assert_eq!(term.value.dims(), [1], "{what}");
                    let value = values(term.value.clone())[0];
                    assert!(
                        value.is_finite() && term.weight.is_finite(),
                        "{what}: {term:?}"
                    );
                }
                let gradients = losses.total().backward();
                let finite =
                    |g: Option<Vec<f64>>| g.is_none_or(|g| g.iter().all(|g| g.is_finite()));
                for gradient in leaf_gradients(&batch.student, &gradients) {
                    assert!(finite(gradient), "{what}");
                }
                for (name, gradient) in gradients_of(&distiller, &gradients) {
                    assert!(finite(gradient), "{what}: {name}");
                }
                distiller.after_step(&distill_batch(entry, &batch, exit));
                for (name, data) in collect(&distiller) {
                    assert!(data.iter::<f64>().all(f64::is_finite), "{what}: {name}");
                }
            }
        }
    }
}

/// What is narrow is computed in float32: the terms of float16 and bfloat16 inputs are those of the
/// same numbers in float32, also where their squares and exponentials overflow.
#[test]
fn narrow_inputs_are_computed_in_float32() {
    for entry in distillers() {
        let setup = Setup::of(entry, "resnet8", "resnet8x4");
        let distiller = setup.distiller(entry, 1);
        for (dtype, scale) in [
            (FloatDType::F16, 1.0),
            (FloatDType::F16, 1e3),
            (FloatDType::BF16, 1.0),
            (FloatDType::BF16, 1e4),
        ] {
            let cast = |outputs: &ExitOutputs, to: FloatDType| {
                changed(&changed(outputs, Change::Times(scale)), Change::Cast(to))
            };
            let batch = |to: FloatDType| {
                let narrow = |outputs| cast(outputs, dtype);
                let to_end = |outputs: &ExitOutputs| changed(outputs, Change::Cast(to));
                Batch {
                    student: to_end(&narrow(&setup.batch.student)),
                    teacher: to_end(&narrow(&setup.batch.teacher)),
                    images: setup.batch.images.clone().cast(dtype).cast(to),
                    indices: setup.batch.indices.clone(),
                    context: setup.batch.context,
                    targets: setup.batch.targets.clone(),
                }
            };
            let total = |to| values(terms(&distiller, entry, &batch(to), 1).total())[0];
            let (narrow, wide) = (total(dtype), total(FloatDType::F32));
            assert!(
                narrow.is_finite() && narrow == wide,
                "{}: {narrow} {wide}",
                entry.name
            );
        }
    }
}

#[test]
fn a_teacher_gets_no_gradient() {
    for entry in distillers() {
        let mut setup = Setup::of(entry, "resnet8", "resnet8x4");
        let teacher_outputs = ExitOutputs {
            stages: setup
                .batch
                .teacher
                .stages
                .iter()
                .map(|x| x.clone().autodiff())
                .collect(),
            exits: (setup.batch.teacher.exits.iter().cloned())
                .map(|mut exit| {
                    exit.map = exit.map.autodiff();
                    exit.embedding = exit.embedding.autodiff();
                    exit.logits = exit.logits.autodiff();
                    exit
                })
                .collect(),
        };
        setup.batch.teacher = changed(&teacher_outputs, Change::Leaves);
        let distiller = setup.distiller(entry, 2);
        let gradients = terms(&distiller, entry, &setup.batch, 2).total().backward();
        for gradient in leaf_gradients(&setup.batch.teacher, &gradients) {
            assert!(gradient.is_none(), "{}", entry.name);
        }
    }
}

#[test]
fn a_distiller_works_without_gradients_too() {
    for entry in distillers() {
        let setup = Setup::of(entry, "resnet8", "resnet8x4");
        let mut distiller = setup.distiller(entry, 2).valid();
        let plain = |x: &ExitOutputs| ExitOutputs {
            stages: x.stages.iter().map(|x| x.clone().inner()).collect(),
            exits: (x.exits.iter().cloned())
                .map(|mut exit| {
                    exit.map = exit.map.inner();
                    exit.embedding = exit.embedding.inner();
                    exit.logits = exit.logits.inner();
                    exit
                })
                .collect(),
        };
        let labels = setup.batch.targets.labels.clone().inner();
        let batch = Batch {
            student: plain(&setup.batch.student),
            teacher: plain(&setup.batch.teacher),
            targets: Targets::new(labels),
            images: setup.batch.images.clone().inner(),
            indices: setup.batch.indices.clone(),
            context: END,
        };
        let total = terms(&distiller, entry, &batch, 2).total();
        assert!(number(total).is_finite(), "{}", entry.name);
        distiller.after_step(&distill_batch(entry, &batch, 2));
    }
}

#[test]
fn names_and_settings_are_those_of_recipes() {
    for entry in distillers() {
        let config: DistillerConfig = serde_json::from_value(entry.name.into()).unwrap();
        assert_eq!(config, (entry.config)());
        assert_eq!(config.name(), entry.name);
        assert!(!entry.doc.is_empty() && !entry.doc.contains('\n'));
        let text = toml::to_string(&config).unwrap();
        assert_eq!(crate::batches::config(&text), config, "{text}");
        let table = format!("name = {:?}\ntemprature = 3.0", entry.name);
        let error = toml::from_str::<DistillerConfig>(&table).unwrap_err();
        assert!(error.to_string().contains("temprature"), "{error}");
    }
}

#[test]
fn the_classifier_of_srrl_is_the_teachers_and_stays() {
    let setup = Setup::new("resnet8", "resnet8x4");
    let srrl = distillers().iter().find(|entry| entry.name == "srrl");
    let srrl = srrl.expect("it is registered");
    let distiller = setup.distiller(srrl, 1);
    let own = collect(&distiller);
    let teachers = collect(&setup.teacher.net().classifier(2));
    for name in ["weight", "bias"] {
        assert_eq!(own[&format!("classifier.{name}")], teachers[name]);
    }
    let total = terms(&distiller, srrl, &setup.batch, 1).total();
    let learns = gradients_of(&distiller, &total.backward());
    let names: Vec<&str> = learns.keys().map(String::as_str).collect();
    assert_eq!(names, ["bn.bias", "bn.weight", "conv.weight"]);
}

#[test]
fn one_class_cannot_be_decoupled() {
    let setup = Setup::new("resnet8", "resnet8");
    let shape = ExitShapes::of(setup.teacher.net(), IMAGE, 2);
    let info = DistillInfo {
        student: ExitShapes {
            classes: 1,
            ..shape.clone()
        },
        exit: 2,
        net: &setup.config,
        image: IMAGE,
        teachers: vec![TeacherInfo {
            teacher: &setup.teacher,
            shape,
        }],
        train_images: TRAIN_IMAGES,
        batch_size: SAMPLES,
    };
    let dkd = crate::batches::config("name = \"dkd\"");
    let error = dkd.init(&info, &mut Init::new(1, &device())).unwrap_err();
    assert!(
        matches!(error, MethodError::Value { key: "classes", .. }),
        "{error}"
    );
    assert_eq!(setup.student.classes(), CLASSES);
}
