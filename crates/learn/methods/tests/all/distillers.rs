//! Every distiller against PyTorch in float64: `python/distillers.py` prints these numbers.

use crate::batches::{Batch, Shapes, TRAIN_IMAGES, config, fill, info, net_config, teacher, wave};
use crate::support::{END, device, targets, values};
use offramp_core::MapShape;
use offramp_methods::distill::{AnyDistiller, Distiller};
use offramp_methods::{StepContext, Targets};
use offramp_nn::Init;

const SAMPLES: usize = 5;
const STUDENT: Shapes = Shapes {
    stages: &[[3, 8, 8], [4, 4, 4], [6, 2, 2]],
    map: [6, 2, 2],
};
const TEACHER: Shapes = Shapes {
    stages: &[[4, 16, 16], [4, 8, 8], [6, 4, 4], [8, 3, 3]],
    map: [64, 3, 3],
};

/// A distiller of waves that learns as `student` from `taught_by`.
fn distiller(table: &str, student: Shapes, taught_by: Shapes) -> AnyDistiller {
    let image = MapShape::new(3, 8, 8);
    let (teacher, net) = (teacher("resnet8", image), net_config("resnet8"));
    let info = info(student, taught_by, &teacher, &net, SAMPLES);
    let mut init = Init::new(1, &device());
    fill(config(table).init(&info, &mut init).expect("it fits"))
}

/// Seeds 1 and 40 belong to [`STUDENT`] and [`TEACHER`], whoever learns.
fn batch([student, teacher]: [(Shapes, u64); 2]) -> Batch {
    Batch {
        student: student.0.waves(student.1, SAMPLES),
        teacher: teacher.0.waves(teacher.1, SAMPLES),
        targets: targets(&[1, 0, 3, 1, 2]),
        images: wave(0, [SAMPLES, 3, 8, 8], 1.0),
        indices: vec![0, 2, 3, 5, 6],
        context: END,
    }
}

#[track_caller]
fn assert_terms(distiller: &AnyDistiller, batch: &Batch, expected: &[(&str, f64)]) {
    let terms = distiller.losses(&batch.distill_batch(0));
    let found: Vec<_> = (terms.iter())
        .map(|term| (term.name.as_str(), f64::from(values(term.value.clone())[0])))
        .collect();
    assert_eq!(found.len(), expected.len(), "{found:?}");
    for ((name, value), (expected_name, expected_value)) in found.iter().zip(expected) {
        let near = (value - expected_value).abs() <= 1e-5 * expected_value.abs();
        assert!(
            name == expected_name && near,
            "{found:?}\nexpected {expected:?}"
        );
    }
}

#[track_caller]
fn check(table: &str, expected: &[(&str, f64)]) {
    let distiller = distiller(table, STUDENT, TEACHER);
    assert_terms(&distiller, &batch([(STUDENT, 1), (TEACHER, 40)]), expected);
}

#[test]
fn kd() {
    check("name = \"kd\"", &[("", 5.168040554268)]);
}

#[test]
fn dkd() {
    let expected = [("target", 1.623359826661), ("non-target", 4.385543800008)];
    check("name = \"dkd\"", &expected);
}

#[test]
fn fitnet_in_every_relation_of_sizes() {
    check("name = \"fitnet\"\nlayer = 0", &[("", 0.668928264689)]);
    check("name = \"fitnet\"", &[("", 0.565261547618)]);
    check("name = \"fitnet\"\nlayer = 2", &[("", 0.247660247268)]);
    let distiller = distiller("name = \"fitnet\"\nlayer = 0", TEACHER, STUDENT);
    let batch = batch([(TEACHER, 40), (STUDENT, 1)]);
    assert_terms(&distiller, &batch, &[("", 0.591653889463)]);
}

#[test]
fn at() {
    check("name = \"at\"", &[("", 0.042340654874)]);
    check("name = \"at\"\npower = 3.0", &[("", 0.072503091172)]);
}

#[test]
fn sp() {
    check("name = \"sp\"", &[("", 0.023272602002)]);
}

#[test]
fn vid() {
    check("name = \"vid\"", &[("", 0.051243410854)]);
}

#[test]
fn rkd() {
    let expected = [("distance", 0.053671057008), ("angle", 0.046663956761)];
    check("name = \"rkd\"", &expected);
}

#[test]
fn pkt() {
    check("name = \"pkt\"", &[("", 0.018090098638)]);
}

#[test]
fn srrl() {
    let expected = [("feature", 0.173009364462), ("logit", 5.821812039174)];
    check("name = \"srrl\"", &expected);
}

#[test]
fn semckd() {
    let table = "name = \"semckd\"\ntemperature = 0.5\nreduction = 2";
    check(table, &[("", 0.479151699823)]);
}

/// Two steps: the first fixes `Z`, the second meets memories that have moved and classes that are
/// known.
#[test]
fn crd() {
    let table = "name = \"crd\"\ndim = 4\nnegatives = 6\ntemperature = 0.5";
    let mut distiller = distiller(table, STUDENT, TEACHER);
    let mut batch = batch([(STUDENT, 1), (TEACHER, 40)]);
    for (step, expected) in [(100, 5.522363735481), (101, 6.567782308774)] {
        batch.context.step = step;
        assert_terms(&distiller, &batch, &[("", expected)]);
        distiller.after_step(&batch.distill_batch(0));
    }
}

/// The rows that the script knows.
#[test]
fn crd_draws_by_seed_and_step_alone() {
    let table = "name = \"crd\"\nnegatives = 6";
    let AnyDistiller::Crd(crd) = distiller(table, STUDENT, TEACHER) else {
        panic!("crd is called Crd");
    };
    let draws = |seed, step| {
        let context = StepContext { seed, step, ..END };
        crd.negatives(&context)
    };
    assert_eq!(draws(7, 100), [0, 1, 6, 1, 1, 0]);
    assert_eq!(draws(7, 101), [4, 0, 0, 4, 5, 0]);
    assert_ne!(draws(8, 100), draws(7, 100));
    assert!(draws(7, 5).iter().all(|row| *row < TRAIN_IMAGES));
}

#[test]
fn crd_moves_a_row_that_stands_twice_once() {
    let table = "name = \"crd\"\ndim = 4\nnegatives = 6";
    let mut distiller = distiller(table, STUDENT, TEACHER);
    let mut batch = batch([(STUDENT, 1), (TEACHER, 40)]);
    batch.indices = vec![0, 2, 3, 2, 0];
    distiller.after_step(&batch.distill_batch(0));
    let tensors = offramp_core::params::collect(&distiller);
    let numbers = |name: &str| tensors[name].iter::<f32>().collect::<Vec<_>>();
    assert_eq!(numbers("classes"), [1.0, -1.0, 0.0, 3.0, -1.0, -1.0, -1.0]);
    for (row, entry) in numbers("student.bank").chunks(4).enumerate() {
        let length: f32 = entry.iter().map(|x| x * x).sum();
        let moved = [0, 2, 3].contains(&row);
        assert_eq!((length - 1.0).abs() < 1e-5, moved, "row {row}: {length}");
    }
}

#[test]
fn kd_is_the_target_class_and_the_others_by_what_the_teacher_leaves_them() {
    let teacher = distiller("name = \"dkd\"", STUDENT, TEACHER);
    let kd = distiller("name = \"kd\"", STUDENT, TEACHER);
    let mut all = batch([(STUDENT, 1), (TEACHER, 40)]);
    let labels = [1, 0, 3, 1, 2];
    let (student, taught_by) = (all.student.clone(), all.teacher.clone());
    for (n, label) in labels.into_iter().enumerate() {
        let logits =
            |outputs: &offramp_core::ExitOutputs| outputs.exits[0].logits.clone().narrow(0, n, 1);
        all.student.exits[0].logits = logits(&student);
        all.teacher.exits[0].logits = logits(&taught_by);
        all.targets = targets(&[label]);
        let parts = teacher.losses(&all.distill_batch(0));
        let part = |name| values(parts.get(name).expect("a term").value.clone())[0];
        let p = burn::tensor::activation::softmax(logits(&taught_by) / 4.0, 1);
        let rest = 1.0 - values(p)[label as usize];
        let whole = values(kd.losses(&all.distill_batch(0)).total())[0];
        let sum = part("target") + rest * part("non-target");
        assert!((whole - sum).abs() <= 1e-5 * whole, "{whole} {sum}");
    }
}

#[test]
fn dkd_leaves_out_rows_without_a_label_and_shares_mixed_ones() {
    let dkd = distiller("name = \"dkd\"", STUDENT, TEACHER);
    let mut batch = batch([(STUDENT, 1), (TEACHER, 40)]);
    let mut total = |targets: Targets| {
        batch.targets = targets;
        values(dkd.losses(&batch.distill_batch(0)).total())[0]
    };
    let [a, b] = [[1, 0, 3, 1, 2], [2, 0, 1, 3, 0]].map(|labels| total(targets(&labels)));
    let mut mixed = targets(&[1, 0, 3, 1, 2]);
    let shares = burn::tensor::Tensor::full([SAMPLES], 0.75, &device());
    mixed.mix = Some((targets(&[2, 0, 1, 3, 0]).labels, shares));
    let expected = 0.75 * a + 0.25 * b;
    assert!((total(mixed) - expected).abs() <= 1e-5 * expected);
    assert_eq!(total(targets(&[-1; SAMPLES])), 0.0);
}

#[test]
fn semckd_is_silent_for_a_batch_of_another_size() {
    let semckd = distiller("name = \"semckd\"", STUDENT, TEACHER);
    let mut batch = batch([(STUDENT, 1), (TEACHER, 40)]);
    batch.student = STUDENT.waves(1, 3);
    batch.teacher = TEACHER.waves(40, 3);
    assert_eq!(
        values(semckd.losses(&batch.distill_batch(0)).total()),
        [0.0]
    );
}

#[test]
fn settings_that_make_no_sense_are_named() {
    let image = MapShape::new(3, 8, 8);
    let (teacher, net) = (teacher("resnet8", image), net_config("resnet8"));
    let info = info(STUDENT, TEACHER, &teacher, &net, SAMPLES);
    let mut init = Init::new(1, &device());
    for (table, key, value) in [
        ("name = \"dkd\"\ntemperature = 0.0", "temperature", "0"),
        (
            "name = \"dkd\"\nnon-target-weight = -8.0",
            "non-target-weight",
            "-8",
        ),
        ("name = \"fitnet\"\nlayer = 3", "layer", "3"),
        ("name = \"at\"\npower = 0.5", "power", "0.5"),
        (
            "name = \"vid\"\ninitial-variance = 0.0",
            "initial-variance",
            "0",
        ),
        (
            "name = \"rkd\"\ndistance-weight = 0.0\nangle-weight = 0.0",
            "angle-weight",
            "0",
        ),
        ("name = \"crd\"\nnegatives = 0", "negatives", "0"),
        ("name = \"crd\"\nmomentum = 1.5", "momentum", "1.5"),
        ("name = \"crd\"\ndim = 0", "dim", "0"),
        ("name = \"srrl\"\nlogit-weight = -1.0", "logit-weight", "-1"),
        ("name = \"semckd\"\nreduction = 0", "reduction", "0"),
    ] {
        let error = config(table)
            .init(&info, &mut init)
            .unwrap_err()
            .to_string();
        assert!(
            error.contains(key) && error.contains(value),
            "{table}: {error}"
        );
    }
}
