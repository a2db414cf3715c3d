//! What must hold for every distiller, on small networks.

#[path = "support/lessons.rs"]
mod lessons;
mod support;

use std::collections::{BTreeMap, BTreeSet};

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Int, Tensor, TensorData};
use lessons::{Batch, CLASSES, Change, ROWS, changed, net, net_config, teacher, wave};
use offramp_core::params::{NamedTensors, Path, apply, collect};
use offramp_core::{ExitOutputs, MapShape};
use offramp_heads::{MultiExitNet, NetConfig};
use offramp_methods::distill::{
    AnyDistiller, Distiller, DistillerConfig, DistillerEntry, LessonPlan, TeacherPlan, Teachers,
    ViewShape, distillers,
};
use offramp_methods::{LossTerms, MethodError, Targets};
use offramp_nn::Init;
use offramp_teachers::ExternalTeacher;
use support::{END, device, targets, values};

const SAMPLES: usize = 5;
const IMAGE: MapShape = MapShape {
    channels: 3,
    height: 8,
    width: 8,
};

/// A student, a teacher, and a batch of theirs.
struct School {
    config: NetConfig,
    student: MultiExitNet,
    teacher: ExternalTeacher,
    batch: Batch,
}

impl School {
    fn new(student: &str, teacher_net: &str) -> Self {
        let config = net_config(student);
        let student = net(&config, 3, IMAGE, &device());
        let teacher = teacher(teacher_net, IMAGE);
        let images: Tensor<4> = wave(1, [SAMPLES, 3, IMAGE.height, IMAGE.width], 1.0);
        let batch = Batch {
            student: changed(&student.forward(images.clone()), Change::Leaves),
            teacher: teacher.outputs(images.clone()),
            // Class 2 is missing.
            targets: targets(&[0, 1, -1, 3, 1]),
            images,
            rows: vec![0, 2, 3, 5, 6],
            context: END,
        };
        Self {
            config,
            student,
            teacher,
            batch,
        }
    }

    fn distiller(&self, entry: &DistillerEntry, exit: usize) -> AnyDistiller {
        let deepest = self.teacher.net().num_exits() - 1;
        let shape = ViewShape::of(self.teacher.net(), IMAGE, deepest);
        let faculty = TeacherPlan {
            teacher: &self.teacher,
            shape,
        };
        let plan = LessonPlan {
            student: ViewShape::of(&self.student, IMAGE, exit),
            exit,
            net: &self.config,
            image: IMAGE,
            teachers: match entry.teachers {
                Teachers::None => Vec::new(),
                Teachers::One | Teachers::All => vec![faculty],
            },
            rows: ROWS,
            batch_size: SAMPLES,
        };
        let mut init = Init::new(1, &device());
        (entry.config)().init(&plan, &mut init).expect("it fits")
    }
}

fn terms(
    distiller: &AnyDistiller,
    entry: &DistillerEntry,
    batch: &Batch,
    exit: usize,
) -> LossTerms {
    let mut lesson = batch.lesson(exit);
    if entry.teachers == Teachers::None {
        lesson.teachers.clear();
    }
    distiller.losses(&lesson)
}

fn number<const D: usize>(x: Tensor<D>) -> f64 {
    x.into_data().iter::<f64>().sum()
}

/// The gradients of what requires some, by name.
fn gradients_of<M: Module>(
    module: &M,
    gradients: &Gradients,
) -> BTreeMap<String, Option<Vec<f64>>> {
    struct Visitor<'a> {
        path: Path,
        gradients: &'a Gradients,
        found: BTreeMap<String, Option<Vec<f64>>>,
    }

    impl ModuleVisitor for Visitor<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if param.is_require_grad() {
                let gradient = param.val().grad(self.gradients);
                let gradient = gradient.map(|g| g.into_data().iter::<f64>().collect());
                self.found.insert(self.path.name(), gradient);
            }
        }
    }

    let mut visitor = Visitor {
        path: Path::default(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

/// Every tensor of some outputs, flattened.
fn flat(outputs: &ExitOutputs) -> Vec<Tensor<1>> {
    let stages = outputs.stages.iter().map(|x| x.clone().reshape([-1]));
    let exits = outputs.exits.iter().flat_map(|exit| {
        let (map, embedding) = (exit.map.clone(), exit.embedding.clone());
        [
            map.reshape([-1]),
            embedding.reshape([-1]),
            exit.logits.clone().reshape([-1]),
        ]
    });
    stages.chain(exits).collect()
}

/// The gradients of all leaves of some outputs; none where the loss does not depend on one.
fn leaf_gradients(outputs: &ExitOutputs, gradients: &Gradients) -> Vec<Option<Vec<f64>>> {
    fn of<const D: usize>(x: &Tensor<D>, gradients: &Gradients) -> Option<Vec<f64>> {
        let gradient = x.grad(gradients)?;
        Some(gradient.into_data().iter::<f64>().collect())
    }
    let stages = outputs.stages.iter().map(|x| of(x, gradients));
    let exits = outputs.exits.iter().flat_map(|exit| {
        [
            of(&exit.map, gradients),
            of(&exit.embedding, gradients),
            of(&exit.logits, gradients),
        ]
    });
    stages.chain(exits).collect()
}

struct ToDouble;

impl ModuleMapper for ToDouble {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        param.map(|x| {
            let data = x.to_data().convert::<f64>();
            Tensor::from_data(data, (&x.device(), DType::F64)).set_require_grad(x.is_require_grad())
        })
    }
}

/// Numbers between -1 and 1.
fn direction(seed: usize, count: usize) -> Vec<f64> {
    (0..count)
        .map(|i| (seed as f64 + 2.3 * i as f64 + 0.03 * (i * i) as f64).sin())
        .collect()
}

fn dot(gradient: &Option<Vec<f64>>, direction: &[f64]) -> f64 {
    let gradient = gradient.as_deref().unwrap_or_default();
    gradient.iter().zip(direction).map(|(g, d)| g * d).sum()
}

/// `outputs` with the numbers of tensor `at` moved.
fn moved(outputs: &ExitOutputs, at: usize, by: f64) -> ExitOutputs {
    fn add<const D: usize>(x: &mut Tensor<D>, by: f64, seed: usize) {
        let count = x.shape().num_elements();
        let step: Vec<f64> = direction(seed, count).iter().map(|d| d * by).collect();
        let step = TensorData::new(step, x.dims());
        *x = x.clone().detach() + Tensor::from_data(step, (&x.device(), DType::F64));
    }
    let mut outputs = outputs.clone();
    let stages = outputs.stages.len();
    match at.checked_sub(stages) {
        None => add(&mut outputs.stages[at], by, at),
        Some(rest) => {
            let exit = &mut outputs.exits[rest / 3];
            match rest % 3 {
                0 => add(&mut exit.map, by, at),
                1 => add(&mut exit.embedding, by, at),
                _ => add(&mut exit.logits, by, at),
            }
        }
    }
    outputs
}

fn shifted(tensors: &NamedTensors, name: &str, by: f64) -> NamedTensors {
    let mut tensors = tensors.clone();
    let data = &tensors[name];
    let steps = direction(name.len(), data.num_elements());
    let numbers = data.iter::<f64>().zip(steps).map(|(x, d)| x + by * d);
    let data = TensorData::new(numbers.collect::<Vec<_>>(), data.shape().clone());
    tensors.insert(name.to_owned(), data);
    tensors
}

/// Central differences; the smaller step is for slopes with the kink of a ReLU within the larger.
#[track_caller]
fn assert_slope(what: &str, analytic: f64, mut loss: impl FnMut(f64) -> f64) {
    let slopes = [1e-6, 1e-8].map(|step| (loss(step) - loss(-step)) / (2.0 * step));
    // Losses are below 100 and known to 16 digits: 1e-6 of a slope at the smaller step.
    let near = |slope: f64| (analytic - slope).abs() <= 1e-5 * slope.abs() + 1e-6;
    assert!(
        slopes.into_iter().any(near),
        "{what}: {analytic}, differences {slopes:?}"
    );
}

/// In float64, along one direction for every tensor that the student computes and every parameter
/// of the distiller.
#[test]
fn gradients_are_those_of_finite_differences() {
    let school = School::new("resnet8", "resnet14");
    for entry in distillers() {
        for exit in [0, 2] {
            let distiller = school.distiller(entry, exit).map(&mut ToDouble);
            let mut batch = Batch {
                student: changed(
                    &changed(&school.batch.student, Change::Double),
                    Change::Leaves,
                ),
                teacher: changed(&school.batch.teacher, Change::Double),
                targets: school.batch.targets.clone(),
                images: school.batch.images.clone(),
                rows: school.batch.rows.clone(),
                context: END,
            };
            // What is fixed at the first batch is fixed now.
            let total = |distiller: &AnyDistiller, batch: &Batch| {
                terms(distiller, entry, batch, exit).total()
            };
            total(&distiller, &batch);
            let gradients = total(&distiller, &batch).backward();

            let start = batch.student.clone();
            let leaves = leaf_gradients(&start, &gradients);
            assert!(leaves.iter().any(Option::is_some), "{}", entry.name);
            for (at, (gradient, tensor)) in leaves.iter().zip(flat(&start)).enumerate() {
                let [count] = tensor.dims();
                let analytic = dot(gradient, &direction(at, count));
                let what = format!("{} at exit {exit}, tensor {at}", entry.name);
                assert_slope(&what, analytic, |by| {
                    batch.student = moved(&start, at, by);
                    number(total(&distiller, &batch))
                });
            }
            batch.student = start;

            let tensors = collect(&distiller);
            for (name, gradient) in gradients_of(&distiller, &gradients) {
                let count = tensors[&name].num_elements();
                let analytic = dot(&gradient, &direction(name.len(), count));
                let what = format!("{} at exit {exit}, {name}", entry.name);
                assert_slope(&what, analytic, |by| {
                    let there = apply(distiller.clone(), shifted(&tensors, &name, by));
                    number(total(&there.expect("the same names"), &batch))
                });
            }
        }
    }
}

/// Batches as they come, and as they should not.
fn batches(batch: &Batch) -> Vec<(&'static str, Batch)> {
    let with = |name, change: &dyn Fn(&ExitOutputs) -> ExitOutputs, targets: Targets| {
        let [count] = targets.labels.dims();
        let batch = Batch {
            student: changed(&change(&batch.student), Change::Leaves),
            teacher: change(&batch.teacher),
            images: batch.images.clone().narrow(0, 0, count),
            rows: batch.rows[..count].to_vec(),
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
    let school = School::new("resnet8", "resnet8x4");
    for entry in distillers() {
        for exit in 0..3 {
            for (what, batch) in batches(&school.batch) {
                let mut distiller = school.distiller(entry, exit);
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
                let mut lesson = batch.lesson(exit);
                if entry.teachers == Teachers::None {
                    lesson.teachers.clear();
                }
                distiller.after_step(&lesson);
                for (name, data) in collect(&distiller) {
                    assert!(data.iter::<f64>().all(f64::is_finite), "{what}: {name}");
                }
            }
        }
    }
}

#[test]
fn a_teacher_gets_no_gradient() {
    let mut school = School::new("resnet8", "resnet8x4");
    let lecture = ExitOutputs {
        stages: school
            .batch
            .teacher
            .stages
            .iter()
            .map(|x| x.clone().autodiff())
            .collect(),
        exits: (school.batch.teacher.exits.iter().cloned())
            .map(|mut exit| {
                exit.map = exit.map.autodiff();
                exit.embedding = exit.embedding.autodiff();
                exit.logits = exit.logits.autodiff();
                exit
            })
            .collect(),
    };
    school.batch.teacher = changed(&lecture, Change::Leaves);
    for entry in distillers() {
        let distiller = school.distiller(entry, 2);
        let gradients = terms(&distiller, entry, &school.batch, 2)
            .total()
            .backward();
        for gradient in leaf_gradients(&school.batch.teacher, &gradients) {
            assert!(gradient.is_none(), "{}", entry.name);
        }
    }
}

#[test]
fn a_distiller_works_without_gradients_too() {
    let school = School::new("resnet8", "resnet8x4");
    for entry in distillers() {
        let mut distiller = school.distiller(entry, 2).valid();
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
        let labels = school.batch.targets.labels.clone().inner();
        let batch = Batch {
            student: plain(&school.batch.student),
            teacher: plain(&school.batch.teacher),
            targets: Targets::new(labels),
            images: school.batch.images.clone().inner(),
            rows: school.batch.rows.clone(),
            context: END,
        };
        let total = terms(&distiller, entry, &batch, 2).total();
        assert!(number(total).is_finite(), "{}", entry.name);
        let mut lesson = batch.lesson(2);
        if entry.teachers == Teachers::None {
            lesson.teachers.clear();
        }
        distiller.after_step(&lesson);
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
        assert_eq!(lessons::config(&text), config, "{text}");
        let table = format!("name = {:?}\ntemprature = 3.0", entry.name);
        let error = toml::from_str::<DistillerConfig>(&table).unwrap_err();
        assert!(error.to_string().contains("temprature"), "{error}");
    }
}

#[test]
fn the_classifier_of_srrl_is_the_teachers_and_stays() {
    let school = School::new("resnet8", "resnet8x4");
    let srrl = distillers().iter().find(|entry| entry.name == "srrl");
    let srrl = srrl.expect("it is registered");
    let distiller = school.distiller(srrl, 1);
    let own = collect(&distiller);
    let teachers = collect(school.teacher.net().classifier(2));
    for name in ["weight", "bias"] {
        assert_eq!(own[&format!("classifier.{name}")], teachers[name]);
    }
    let total = terms(&distiller, srrl, &school.batch, 1).total();
    let learns = gradients_of(&distiller, &total.backward());
    let names: Vec<&str> = learns.keys().map(String::as_str).collect();
    assert_eq!(names, ["bn.bias", "bn.weight", "conv.weight"]);
}

#[test]
fn one_class_cannot_be_decoupled() {
    let school = School::new("resnet8", "resnet8");
    let shape = ViewShape::of(school.teacher.net(), IMAGE, 2);
    let plan = LessonPlan {
        student: ViewShape {
            classes: 1,
            ..shape.clone()
        },
        exit: 2,
        net: &school.config,
        image: IMAGE,
        teachers: vec![TeacherPlan {
            teacher: &school.teacher,
            shape,
        }],
        rows: ROWS,
        batch_size: SAMPLES,
    };
    let dkd = lessons::config("name = \"dkd\"");
    let error = dkd.init(&plan, &mut Init::new(1, &device())).unwrap_err();
    assert!(
        matches!(error, MethodError::Value { key: "classes", .. }),
        "{error}"
    );
    assert_eq!(school.student.classes(), CLASSES);
}
