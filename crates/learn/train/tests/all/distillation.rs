//! Whole runs of a tiny student and a tiny teacher.

use std::fs;
use std::path::{Path, PathBuf};

use crate::support::*;
use offramp_core::{DeviceSpec, Precision, params};
use offramp_heads::load_model;
use offramp_methods::distill::{TeacherCount, distillers};
use offramp_train::Recipe;

/// A teacher with the recipe's own method and network.
fn teacher(folder: &Path, name: &str, settings: &[&str]) -> PathBuf {
    let out = folder.join(name);
    let settings: Vec<&str> = ["train.epochs=1"].iter().chain(settings).copied().collect();
    run(&recipe("plain", &settings), &out, false, None).unwrap();
    out
}

/// A student that is taught by `loss`, with what else that distiller needs.
fn student(loss: &str, teachers: &[&Path], settings: &[&str]) -> Recipe {
    let mut all = vec![format!("distill.ext.loss=\"{loss}\"")];
    for (n, run) in teachers.iter().enumerate() {
        all.push(format!("teachers.t{n}.run=\"{}\"", run.display()));
    }
    all.extend(settings.iter().map(|text| (*text).to_owned()));
    let all: Vec<&str> = all.iter().map(String::as_str).collect();
    recipe("plain", &all)
}

/// Settings without which a distiller has nothing to work on.
fn needs(loss: &str) -> &'static [&'static str] {
    match loss {
        "simkd" | "atsc" => &["model.head={ name = \"projector\", teacher = [\"t0\", \"t1\"] }"],
        _ => &[],
    }
}

#[test]
fn every_distiller_trains_logs_and_resumes_exactly() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let before = fs::read(teacher.join("model.safetensors")).unwrap();
    for entry in distillers() {
        let teachers: &[&Path] = match entry.teachers {
            TeacherCount::None => &[],
            TeacherCount::One => &[&teacher],
            TeacherCount::All => &[&teacher, &teacher],
        };
        let recipe = student(entry.name, teachers, needs(entry.name));
        let whole = parent.path().join(format!("{}-whole", entry.name));
        run(&recipe, &whole, false, None).unwrap();
        let lines = metrics(&whole);
        let step = lines.iter().find(|line| line["kind"] == "step").unwrap();
        let terms = step["terms"].as_object().unwrap();
        for exit in 0..3 {
            let named =
                |name: &String| name.starts_with("ext") && name.ends_with(&format!("/{exit}"));
            let value = terms.iter().find(|(name, _)| named(name));
            assert!(
                value.is_some(),
                "{}: no term of exit {exit} in {step}",
                entry.name
            );
        }
        let parts = parent.path().join(format!("{}-parts", entry.name));
        run(&recipe, &parts, false, Some(5)).unwrap();
        run(&recipe, &parts, true, None).unwrap();
        assert_same_run(&whole, &parts);
    }
    assert_eq!(fs::read(teacher.join("model.safetensors")).unwrap(), before);
}

/// Two steps in float16 where the device has it, three parts per batch, and blocks recomputed.
#[test]
fn every_distiller_learns_in_parts_and_in_narrow_numbers() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let spec = DeviceSpec::from_env().unwrap().best();
    let narrow = Precision::Fp16.check(spec, &spec.device().unwrap()).is_ok();
    for entry in distillers() {
        let teachers: &[&Path] = match entry.teachers {
            TeacherCount::None => &[],
            TeacherCount::One => &[&teacher],
            TeacherCount::All => &[&teacher, &teacher],
        };
        let mut settings = needs(entry.name).to_vec();
        settings.extend(["train.accumulate=3", "train.checkpointing=blocks"]);
        if narrow {
            settings.push("train.precision=fp16");
        }
        let out = parent.path().join(entry.name);
        run(
            &student(entry.name, teachers, &settings),
            &out,
            false,
            Some(2),
        )
        .unwrap();
        let lines = metrics(&out);
        let loss = lines.iter().find(|line| line["kind"] == "step").unwrap();
        assert!(loss["loss"].is_number(), "{}: {loss}", entry.name);
    }
}

/// A student of `loss` whose exits go through the classifier of its only teacher.
fn projected(loss: &str, teacher: &Path, settings: &[&str]) -> Recipe {
    let head = ["model.head={ name = \"projector\", teacher = \"t0\" }"];
    let settings: Vec<&str> = head.iter().chain(settings).copied().collect();
    student(loss, &[teacher], &settings)
}

#[test]
fn a_simkd_student_is_saved_with_its_teachers_classifier() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let device = offramp_core::default_device().unwrap();
    let (net, _) = load_model(&teacher, &device).unwrap();
    let theirs = params::collect(&net.classifier(2));

    // No cross-entropy; killed after the fifth step and resumed.
    let out = parent.path().join("student");
    let recipe = projected("simkd", &teacher, &["method.ce-weights=[0, 0, 0]"]);
    run(&recipe, &out, false, Some(5)).unwrap();
    run(&recipe, &out, true, None).unwrap();
    let lines = metrics(&out);
    let step = lines.iter().find(|line| line["kind"] == "step").unwrap();
    let terms: Vec<&String> = step["terms"].as_object().unwrap().keys().collect();
    assert_eq!(terms, ["ext/0", "ext/1", "ext/2"]);
    assert_eq!(step["train_top1"].as_array().unwrap().len(), 3);

    // The saved network needs no teacher, and answers as the one in memory did.
    fs::remove_dir_all(&teacher).unwrap();
    let head = &json(&out.join("model.json"))["net"]["head"];
    let expected = r#"{"name":"projector","width":64,"size":8,"factor":2}"#;
    let expected: serde_json::Value = serde_json::from_str(expected).unwrap();
    assert_eq!(*head, expected);
    let (net, _) = load_model(&out, &device).unwrap();
    let report = serde_json::to_value(evaluate(&net, 1)).unwrap();
    assert_eq!(report, json(&out.join("eval.json")));
    for exit in 0..3 {
        assert_eq!(params::collect(&net.classifier(exit)), theirs);
    }

    let mut checkpoints = out.join("checkpoints").read_dir().unwrap().flatten();
    let checkpoint = checkpoints.next().unwrap().path();
    let slots = offramp_train::checkpoint::read(&checkpoint)
        .unwrap()
        .optimizer;
    assert!(
        slots
            .keys()
            .any(|name| name.contains("heads.1.projectors.0.conv1"))
    );
    assert!(
        !slots.keys().any(|name| name.contains(".fc.")),
        "{:?}",
        slots.keys()
    );
}

/// The teacher is right on forty training images. Its students never get a label, and classify them
/// through its classifier.
#[test]
fn a_student_without_labels_answers_by_the_shared_classifier() {
    let parent = tempfile::tempdir().unwrap();
    let settings = [
        "data.generated={ train = 40, test = 20 }",
        "data.val-fraction=0.0",
        "data.augment={ pad = 0, flip = 0.0 }",
        "train.batch-size=20",
        "train.log-every=1000",
        "model.exits=[2]",
        "train.checkpoint.every-steps=0",
    ];
    let known = |out: &Path| {
        let lines = metrics(out);
        let last = lines.iter().rfind(|line| line["kind"] == "epoch").unwrap();
        last["train_top1"][0].as_f64().unwrap()
    };
    let teacher = parent.path().join("teacher");
    let seeded = [&settings[..], &["seed=5", "train.epochs=50"]].concat();
    run(&recipe("plain", &seeded), &teacher, false, None).unwrap();
    assert!(known(&teacher) >= 95.0, "{}", known(&teacher));
    // Chance is 10.
    for (loss, at_least) in [("simkd", 60.0), ("atsc", 30.0)] {
        let out = parent.path().join(loss);
        let blind = ["method.ce-weights=[0]", "train.epochs=80"];
        let settings = [&settings[..], &blind].concat();
        run(&projected(loss, &teacher, &settings), &out, false, None).unwrap();
        assert!(known(&out) >= at_least, "{loss}: {}", known(&out));
    }
}

#[test]
fn an_atsc_student_is_saved_with_the_adapted_classifier() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let out = parent.path().join("student");
    let settings = ["method.ce-weights=[0, 0, 0]", "train.checkpoint.best=last"];
    run(&projected("atsc", &teacher, &settings), &out, false, None).unwrap();

    let mut checkpoints: Vec<PathBuf> = (out.join("checkpoints").read_dir().unwrap().flatten())
        .map(|entry| entry.path())
        .collect();
    checkpoints.sort();
    let end = offramp_train::checkpoint::read(checkpoints.last().unwrap()).unwrap();
    let device = offramp_core::default_device().unwrap();
    let classifier = |folder: &Path, exit| {
        let (net, _) = load_model(folder, &device).unwrap();
        params::collect(&net.classifier(exit))
    };
    for exit in 0..3 {
        let adapted = format!("distill.tables.0.instances.{exit}.distiller.teachers.0.heads.2.fc");
        let (theirs, ours) = (classifier(&teacher, 2), classifier(&out, exit));
        for part in ["weight", "bias"] {
            assert_eq!(ours[part], end.method[&format!("{adapted}.{part}")]);
            assert_ne!(ours[part], theirs[part]);
        }
    }
}

#[test]
fn a_projector_without_its_teacher_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &[]);
    let out = parent.path().join("student");
    let fails = |recipe: &Recipe| run(recipe, &out, false, None).unwrap_err().to_string();

    let error = fails(&student("simkd", &[&teacher], &[]));
    assert!(
        error.contains("head = { name = \"projector\", teacher = \"t0\" }"),
        "{error}"
    );
    let error = fails(&projected("simkd", &teacher, &["model.head.teacher=big"]));
    assert!(error.contains("\"big\"") && error.contains("t0"), "{error}");
    // Nothing is left to learn.
    let error = fails(&recipe("plain", &["method.ce-weights=[0, 0, 0]"]));
    assert!(error.contains("[distill.NAME]"), "{error}");
}

#[test]
fn several_teachers_teach_one_by_one_and_some_exits_only() {
    let parent = tempfile::tempdir().unwrap();
    let a = teacher(parent.path(), "a", &["seed=5"]);
    // Another normalisation than the student's.
    let b = teacher(parent.path(), "b", &["seed=6", "data.mean=[0.4, 0.4, 0.4]"]);
    let settings = ["distill.ext.exits=[0, 2]", "distill.ext.weight=0.5"];
    let out = parent.path().join("student");
    run(&student("kd", &[&a, &b], &settings), &out, false, None).unwrap();
    let lines = metrics(&out);
    let step = lines.iter().find(|line| line["kind"] == "step").unwrap();
    let names: Vec<&String> = (step["terms"].as_object().unwrap().keys())
        .filter(|name| name.starts_with("ext"))
        .collect();
    assert_eq!(names, ["ext/0/t0", "ext/0/t1", "ext/2/t0", "ext/2/t1"]);
}

#[test]
fn what_does_not_fit_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let out = parent.path().join("student");
    let fails = |recipe: &Recipe| run(recipe, &out, false, None).unwrap_err().to_string();

    let error = fails(&student("kd", &[], &[]));
    assert!(error.contains("distill.ext needs a teacher"), "{error}");
    let error = fails(&student("kd", &[Path::new("/nowhere")], &[]));
    assert!(
        error.contains("t0") && error.contains("/nowhere"),
        "{error}"
    );

    let teacher = teacher(parent.path(), "teacher", &[]);
    let error = fails(&student("kd", &[&teacher], &["distill.ext.exits=[3]"]));
    assert!(
        error.contains("exit 3") && error.contains("0 to 2"),
        "{error}"
    );
    let error = fails(&student(
        "kd",
        &[&teacher],
        &["distill.ext.teachers=[\"t1\"]"],
    ));
    assert!(error.contains("\"t1\"") && error.contains("t0"), "{error}");
    let error = fails(&student("kd", &[&teacher], &["distill.ext.weight=-1"]));
    assert!(error.contains("-1"), "{error}");

    for (setting, named) in [
        ("distill.ext.exits=[1, 1]", "exits names 1 twice"),
        (
            "distill.ext.teachers=[\"t0\", \"t0\"]",
            "teachers names t0 twice",
        ),
    ] {
        let error = fails(&student("kd", &[&teacher], &[setting]));
        assert!(error.contains(named), "{error}");
    }

    let card = teacher.join("model.json");
    let mut json = json(&card);
    json["classes"].as_array_mut().unwrap().pop();
    fs::write(&card, json.to_string()).unwrap();
    let error = fails(&student("kd", &[&teacher], &[]));
    assert!(error.contains("teacher") && error.contains("t0"), "{error}");
}

#[test]
fn a_bad_table_is_named_by_its_key() {
    let problem = |settings: &[&str]| {
        let text = "[distill.ext]\nloss = 'kd'";
        let settings: Vec<&str> = settings.to_vec();
        Recipe::parse(text, "x.toml".as_ref(), &settings)
            .unwrap_err()
            .to_string()
    };
    let error = problem(&["distill.ext.loss=\"dk\""]);
    assert!(
        error.contains("distill.ext.loss") && error.contains("dk"),
        "{error}"
    );
    let error = problem(&["distill.ext.wieght=2"]);
    assert!(
        error.contains("distill.ext.wieght") && error.contains("weight"),
        "{error}"
    );
    let error = problem(&["distill.ext.loss={name=\"kd\", temprature=2}"]);
    assert!(
        error.contains("temprature") && error.contains("temperature"),
        "{error}"
    );
    let error = problem(&["teachers.t.path=\"x\""]);
    assert!(error.contains("teachers.t"), "{error}");
}

/// Outputs that were computed once and kept teach as those computed at every step, and the next
/// student finds them there.
#[test]
fn a_teachers_outputs_are_computed_once_and_kept() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let kept = teacher.join("outputs");
    let fixed = "data.augment={ pad = 0, flip = 0.0 }";
    for (loss, files) in [("kd", 1), ("dkd", 1), ("rkd", 2), ("at", 3)] {
        let terms = |name: &str, settings: &[&str]| {
            let out = parent.path().join(format!("{loss}-{name}"));
            let recipe = student(loss, &[&teacher], settings);
            run(&recipe, &out, false, None).unwrap();
            let lines = metrics(&out)
                .into_iter()
                .filter(|line| line["kind"] == "step");
            let losses = lines.map(|line| line["loss"].as_f64().unwrap());
            losses.collect::<Vec<_>>()
        };
        let computed = terms("computed", &[fixed]);
        for name in ["first", "second"] {
            let read = terms(name, &[fixed, "teachers.t0.cache=true"]);
            for (read, computed) in read.iter().zip(&computed) {
                // Equal on the CPU; another size of batch may sum in another order elsewhere.
                let near = (read - computed).abs() <= 1e-5 * computed.abs();
                assert!(near, "{loss}: {read} {computed}");
            }
            assert_eq!(read.len(), computed.len());
            // What only the logits are used of is one file, whatever the loss.
            assert_eq!(kept.read_dir().unwrap().count(), files, "{loss}");
        }
    }
    let out = parent.path().join("varied");
    let varied = ["teachers.t0.cache=true", "data.augment={ pad = 4 }"];
    let error = run(&student("kd", &[&teacher], &varied), &out, false, None).unwrap_err();
    assert!(error.to_string().contains("teachers.t0.cache"), "{error}");
}

#[test]
fn a_teacher_that_no_distiller_uses_is_named() {
    let parent = tempfile::tempdir().unwrap();
    let teacher = teacher(parent.path(), "teacher", &["seed=5"]);
    let only = ["distill.ext.teachers=[\"t1\"]"];
    let recipe = student("kd", &[&teacher, &teacher], &only);
    let error = run(&recipe, &parent.path().join("out"), false, None).unwrap_err();
    assert!(error.to_string().contains("[teachers.t0]"), "{error}");
}
