//! What must hold for every method.

use std::collections::{BTreeMap, BTreeSet};

use crate::support::{END, device, init, network, staged, targets, values};
use burn::tensor::{Device, Distribution, FloatDType, Int, Tensor};
use offramp_core::{ExitOutput, ExitOutputs, default_device};
use offramp_methods::{
    AnyMethod, LossTerms, Method, MethodConfig, MethodError, NetworkInfo, Targets, registry,
};
use offramp_nn::Init;

const SAMPLES: usize = 5;
const CLASSES: usize = 4;

fn net() -> NetworkInfo {
    network(3, CLASSES, 6)
}

fn random_outputs(samples: usize, scale: f64, device: &Device) -> ExitOutputs {
    let random = |width: usize| {
        let distribution = Distribution::Uniform(-scale, scale);
        Tensor::<2>::random([samples, width], distribution, device)
    };
    let exit = |_| ExitOutput::new(random(6), random(CLASSES));
    staged((0..3).map(exit).collect())
}

fn every_method() -> impl Iterator<Item = (&'static str, AnyMethod)> {
    registry()
        .iter()
        .map(|entry| (entry.name, init(&(entry.config)(), &net())))
}

fn scalar(terms: &LossTerms) -> f32 {
    values(terms.total())[0]
}

#[test]
fn names_are_unique_and_are_what_a_recipe_says() {
    let names: BTreeSet<_> = registry().iter().map(|entry| entry.name).collect();
    assert_eq!(names.len(), registry().len());
    for entry in registry() {
        let config: MethodConfig = toml::from_str(&format!("name = {:?}", entry.name)).unwrap();
        assert_eq!(config, (entry.config)());
        assert_eq!(config.name(), entry.name);
        assert!(!entry.doc.is_empty() && !entry.doc.contains('\n'));
    }
}

#[test]
fn a_resolved_table_reads_back_as_itself() {
    for entry in registry() {
        let config = (entry.config)();
        let text = toml::to_string(&config).unwrap();
        assert_eq!(
            toml::from_str::<MethodConfig>(&text).unwrap(),
            config,
            "{text}"
        );
        let json = serde_json::to_string(&config).unwrap();
        assert_eq!(serde_json::from_str::<MethodConfig>(&json).unwrap(), config);
    }
}

#[test]
fn unknown_settings_are_refused_by_name() {
    for entry in registry() {
        let table = format!("name = {:?}\ntemprature = 3.0", entry.name);
        let error = toml::from_str::<MethodConfig>(&table)
            .unwrap_err()
            .to_string();
        assert!(error.contains("temprature"), "{error}");
    }
    let error = toml::from_str::<MethodConfig>("name = \"matte\"")
        .unwrap_err()
        .to_string();
    assert!(
        error.contains("matte") && error.contains("`mate`"),
        "{error}"
    );
}

#[test]
fn every_term_is_finite_and_named_once() {
    for (name, method) in every_method() {
        for (samples, scale) in [(SAMPLES, 2.0), (1, 2.0), (SAMPLES, 1e4)] {
            let outputs = random_outputs(samples, scale, &device());
            let labels: Vec<i64> = (0..samples as i64).map(|n| n % 2).collect();
            let terms = method.losses(&outputs, &targets(&labels), &END);
            let names: BTreeSet<_> = terms.iter().map(|term| &term.name).collect();
            assert_eq!(names.len(), terms.iter().count(), "{name}");
            for term in &terms {
                assert_eq!(term.value.dims(), [1]);
                let value = values(term.value.clone())[0];
                assert!(
                    value.is_finite() && term.weight.is_finite(),
                    "{name} {term:?}"
                );
            }
        }
    }
}

/// What is narrow is computed in float32: float16 ends at 65,504, and squares of 1e4 are beyond it.
#[test]
fn narrow_inputs_are_computed_in_float32() {
    for (name, mut method) in every_method() {
        for (dtype, scale) in [
            (FloatDType::F16, 2.0),
            (FloatDType::F16, 1e4),
            (FloatDType::BF16, 1e4),
        ] {
            let narrow = cast(&random_outputs(SAMPLES, scale, &device()), dtype);
            let total = |outputs: &ExitOutputs| {
                let labels = targets(&[0, 1, -1, 3, 2]);
                scalar(&method.losses(outputs, &labels, &END))
            };
            let (found, wide) = (total(&narrow), total(&cast(&narrow, FloatDType::F32)));
            assert!(found.is_finite() && found == wide, "{name}: {found} {wide}");
            method.after_step(&narrow);
        }
    }
}

fn cast(outputs: &ExitOutputs, dtype: FloatDType) -> ExitOutputs {
    let exit = |exit: &ExitOutput| ExitOutput {
        map: exit.map.clone().cast(dtype),
        embedding: exit.embedding.clone().cast(dtype),
        logits: exit.logits.clone().cast(dtype),
    };
    let stage = |map: &Tensor<4>| map.clone().cast(dtype);
    ExitOutputs {
        exits: outputs.exits.iter().map(exit).collect(),
        stages: outputs.stages.iter().map(stage).collect(),
    }
}

#[test]
fn a_batch_without_labels_is_finite_and_still_differentiable() {
    for (name, method) in every_method() {
        let mut outputs = random_outputs(SAMPLES, 2.0, &device());
        for exit in &mut outputs.exits {
            exit.logits = exit.logits.clone().require_grad();
        }
        let total = method
            .losses(&outputs, &targets(&[-1; SAMPLES]), &END)
            .total();
        assert!(values(total.clone())[0].is_finite(), "{name}");
        let gradients = total.backward();
        for logits in outputs.logits() {
            let finite = logits.grad(&gradients).map(|g| g.is_finite().all());
            assert!(
                finite.is_none_or(|finite| finite.into_scalar::<bool>()),
                "{name}"
            );
        }
    }
}

#[test]
fn the_order_of_the_batch_does_not_matter() {
    let device = device();
    let labels: Tensor<1, Int> = Tensor::from_data([0_i64, 1, -1, 3, 2], &device);
    let lambda = Tensor::from_floats([0.5, 1.0, 0.3, 0.9, 0.0], &device);
    let forward = Targets {
        mix: Some((labels.clone().flip([0]), lambda.clone())),
        labels: labels.clone(),
        smoothing: 0.1,
    };
    let reversed = Targets {
        mix: Some((labels.clone(), lambda.flip([0]))),
        labels: labels.flip([0]),
        smoothing: 0.1,
    };
    for (name, method) in every_method() {
        let outputs = random_outputs(SAMPLES, 2.0, &device);
        let mut flipped = outputs.clone();
        for exit in &mut flipped.exits {
            exit.logits = exit.logits.clone().flip([0]);
            exit.embedding = exit.embedding.clone().flip([0]);
        }
        for stage in &mut flipped.stages {
            *stage = stage.clone().flip([0]);
        }
        let before = scalar(&method.losses(&outputs, &forward, &END));
        let after = scalar(&method.losses(&flipped, &reversed, &END));
        assert!(
            (before - after).abs() <= 1e-5 * before.abs(),
            "{name}: {before} {after}"
        );
    }
}

/// Where only the last exit teaches, what it teaches must not change it.
#[test]
fn a_teacher_gets_no_gradient_from_its_pupils() {
    for (name, method) in every_method() {
        if !["last-exit", "phuong-lampert", "byot"].contains(&name) {
            continue;
        }
        let mut outputs = random_outputs(SAMPLES, 2.0, &device());
        for exit in &mut outputs.exits {
            exit.logits = exit.logits.clone().require_grad();
            exit.embedding = exit.embedding.clone().require_grad();
        }
        let mut taught = LossTerms::new();
        for term in method.losses(&outputs, &targets(&[0; SAMPLES]), &END) {
            if !term.name.starts_with("ce/") {
                taught.push(term.name, term.value, term.weight);
            }
        }
        let gradients = taught.total().backward();
        let [first, .., last] = &outputs.exits[..] else {
            panic!("three exits")
        };
        assert!(first.logits.grad(&gradients).is_some(), "{name}");
        assert!(last.logits.grad(&gradients).is_none(), "{name}");
        assert!(last.embedding.grad(&gradients).is_none(), "{name}");
    }
}

#[test]
fn methods_work_without_gradients_too() {
    let device = default_device().unwrap();
    let labels = Tensor::<1, Int>::from_data([0_i64; SAMPLES], &device);
    for entry in registry() {
        let mut init = Init::new(1, &device);
        let mut method = (entry.config)().init(&net(), &mut init).unwrap();
        let outputs = random_outputs(SAMPLES, 2.0, &device);
        let terms = method.losses(&outputs, &Targets::new(labels.clone()), &END);
        assert!(scalar(&terms).is_finite());
        method.after_step(&outputs);
        assert!(method.scalars().iter().all(|(_, value)| value.is_finite()));
    }
}

#[test]
fn teachers_weights_are_logged_and_add_up_to_one() {
    let per_sample: MethodConfig =
        toml::from_str("name = \"mate\"\nweights = \"per-sample\"").unwrap();
    let more = [("mate per sample", init(&per_sample, &net()))];
    for (name, mut method) in every_method().chain(more) {
        method.after_step(&random_outputs(SAMPLES, 2.0, &device()));
        let mut rows: BTreeMap<String, f64> = BTreeMap::new();
        for (key, value) in method.scalars() {
            if let Some((row, _)) = key.rsplit_once('/') {
                *rows.entry(row.to_owned()).or_default() += value;
            }
        }
        assert_eq!(rows.is_empty(), ["plain", "l2w-den"].contains(&name));
        for (row, sum) in rows {
            assert!((sum - 1.0).abs() < 1e-6, "{name} {row}: {sum}");
        }
    }
}

#[test]
fn states_survive_json_bit_for_bit_and_foreign_ones_are_refused() {
    for (name, mut method) in every_method() {
        for _ in 0..3 {
            method.after_step(&random_outputs(SAMPLES, 20.0, &device()));
        }
        let json = serde_json::to_string(&method.state()).unwrap();
        let state: BTreeMap<String, f64> = serde_json::from_str(&json).unwrap();
        let mut fresh = every_method().find(|(other, _)| *other == name).unwrap().1;
        fresh.load_state(&state).unwrap();
        assert_eq!(fresh.state(), method.state());

        let foreign = BTreeMap::from([("tau".to_owned(), 1.0)]);
        let error = fresh.load_state(&foreign).unwrap_err();
        assert_eq!(error, MethodError::UnknownState { key: "tau".into() });
        if !state.is_empty() {
            let error = fresh.load_state(&BTreeMap::new()).unwrap_err();
            assert!(matches!(error, MethodError::MissingState { .. }));
        }
    }
}

#[test]
fn settings_that_cannot_work_are_named() {
    let mut narrow = net();
    narrow.embedding_dims = vec![16, 32, 64];
    let cases = [
        ("name = \"eed\"", &narrow, "[16, 32, 64]"),
        ("name = \"byot\"", &narrow, "feature-weight = 0"),
        (
            "name = \"mate\"\nfeature-weight = 1.0",
            &narrow,
            "[16, 32, 64]",
        ),
        (
            "name = \"plain\"\nce-weights = [1.0]",
            &net(),
            "1 values for 3 exits",
        ),
        (
            "name = \"eed\"\nce-weights = [1.0, -2.0, 1.0]",
            &net(),
            "-2",
        ),
        ("name = \"mate\"\nlambda = 1.5", &net(), "lambda = 1.5"),
        (
            "name = \"last-exit\"\ntemperature = 0.0",
            &net(),
            "temperature = 0",
        ),
        ("name = \"beed\"\nbalance = 1.5", &net(), "balance = 1.5"),
        (
            "name = \"phuong-lampert\"\ngrowth = 0.9",
            &net(),
            "growth = 0.9",
        ),
        ("name = \"eed\"\nkd-weight = nan", &net(), "NaN"),
        ("name = \"dml\"\nkd-weight = -1.0", &net(), "kd-weight = -1"),
        (
            "name = \"one\"\nteacher-weight = -1.0",
            &net(),
            "teacher-weight = -1",
        ),
        ("name = \"okddip\"\nreduction = 0", &net(), "reduction = 0"),
    ];
    for (table, net, expected) in cases {
        let config: MethodConfig = toml::from_str(table).unwrap();
        let error = config
            .init(net, &mut Init::new(1, &device()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(expected), "{table}: {error}");
        assert!(error.contains(config.name()), "{error}");
    }
}

#[test]
fn methods_that_teach_need_two_exits() {
    let single = network(1, CLASSES, 6);
    for entry in registry() {
        let result = (entry.config)().init(&single, &mut Init::new(1, &device()));
        match entry.name {
            "plain" => assert!(result.is_ok()),
            _ => assert!(matches!(
                result,
                Err(MethodError::TooFewExits { exits: 1, .. })
            )),
        }
    }
}
