//! What the service answers.

mod support;

use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::ImageFormat;
use offramp_policies::{Ensemble, ProductEnsemble};
use serde_json::{Value, json};
use support::images::{DULL, RED, encode, png, solid};
use support::toy::{CLASSES, MACS, Toy, info, logits};
use support::{Service, toy};

/// The product of the clipped logits of exits 0 and 1, to the powers 1/3 and 2/3, written down here.
#[test]
fn the_most_probable_classes_are_those_of_the_ensemble() {
    let toy = Toy {
        ensemble: Some(Ensemble::Product(
            ProductEnsemble::rising(MACS.len()).unwrap(),
        )),
        ..Toy::default()
    };
    let service = Service::start(vec![Box::new(toy)], |_| {});
    let answer = service.predict("?top_k=100&exit=1", &png(DULL)).ok();
    let planes = info().decode(&png(DULL)[..]).unwrap();
    let pixels = offramp_run::normalise(&planes, planes.len() / 3, info().mean, info().std);
    let means = [0, 1, 2].map(|c| pixels[c * 64..][..64].iter().sum::<f32>() / 64.0);
    let [first, second] = [0, 1].map(|exit| logits(means, exit));
    let power = |z: f32, w: f64| f64::from(z).max(0.0).powf(w);
    let products: Vec<f64> = (first.iter().zip(&second))
        .map(|(&a, &b)| power(a, 1.0 / 3.0) * power(b, 2.0 / 3.0))
        .collect();
    let sum: f64 = products.iter().sum();
    let prediction = &answer["predictions"][0];
    let top = prediction["top_k"].as_array().unwrap();
    assert_eq!(top.len(), CLASSES.len());
    assert_eq!(top[0]["label"], prediction["label"]);
    assert_eq!(top[0]["probability"], prediction["confidence"]);
    let said = |class: &Value| class["probability"].as_f64().unwrap();
    assert!(top.is_sorted_by(|a, b| said(a) >= said(b)));
    for class in top {
        let label = class["label"].as_u64().unwrap() as usize;
        assert!(
            (said(class) - products[label] / sum).abs() < 1e-6,
            "{class}"
        );
    }
}

#[test]
fn one_image_is_answered_by_the_first_exit_that_is_sure() {
    let service = Service::toy();
    let answer = service.predict("", &png(RED)).ok();
    let red = &answer["predictions"][0];
    assert_eq!(
        (&red["class"], &red["label"], &red["exit"]),
        (&json!("red"), &json!(0), &json!(0))
    );
    assert_eq!(red["macs"], MACS[0]);
    assert!(red["ms"].as_f64().unwrap() >= red["waited_ms"].as_f64().unwrap());
    assert_eq!(
        (&answer["model"], &answer["policy"]),
        (&json!("toy"), &json!("confidence"))
    );
    let dull = service.predict("", &png(DULL)).ok();
    assert_eq!(dull["predictions"][0]["exit"], 2);
    assert_eq!(dull["predictions"][0]["class"], "red");
}

/// The most probable classes against a softmax written down here, from the same pixels.
#[test]
fn probabilities_are_the_softmax_of_the_exit_taken() {
    let service = Service::toy();
    let answer = service.predict("?top_k=100&exit=1", &png(DULL)).ok();
    let planes = info().decode(&png(DULL)[..]).unwrap();
    let pixels = offramp_run::normalise(&planes, planes.len() / 3, info().mean, info().std);
    let means = [0, 1, 2].map(|c| pixels[c * 64..][..64].iter().sum::<f32>() / 64.0);
    let exps: Vec<f64> = logits(means, 1)
        .iter()
        .map(|&z| f64::from(z).exp())
        .collect();
    let sum: f64 = exps.iter().sum();
    let top = answer["predictions"][0]["top_k"].as_array().unwrap();
    assert_eq!(top.len(), CLASSES.len());
    let mut last = 1.0;
    for class in top {
        let label = class["label"].as_u64().unwrap() as usize;
        let p = class["probability"].as_f64().unwrap();
        assert!((p - exps[label] / sum).abs() < 1e-6, "{label}: {p}");
        assert!(p <= last);
        last = p;
    }
}

#[test]
fn all_forms_of_a_request_have_one_answer() {
    let service = Service::toy();
    let class = |reply: support::Reply, n: usize| {
        let answer = reply.ok();
        let all = answer["predictions"].as_array().unwrap();
        let exits = all.iter().map(|p| {
            (
                p["class"].as_str().unwrap().to_owned(),
                p["exit"].as_u64().unwrap(),
            )
        });
        let exits: Vec<_> = exits.collect();
        assert_eq!(exits.len(), n);
        exits
    };
    let (red, dull) = (png(RED), png(DULL));
    let one = class(service.predict("", &red), 1);
    for kind in ["image/jpeg", "application/octet-stream", "IMAGE/PNG; x=y"] {
        assert_eq!(class(service.post("/v1/predict", kind, &red), 1), one);
    }
    let [r, d] = [&red, &dull].map(|bytes| STANDARD.encode(bytes));
    assert_eq!(class(service.json(&json!({"image": r})), 1), one);
    assert_eq!(
        class(
            service.json(&json!({"image": format!("data:image/png;base64,{r}")})),
            1
        ),
        one
    );
    let two = class(service.json(&json!({"images": [r, d]})), 2);
    assert_eq!(two[0], one[0]);
    assert_eq!(two[1].1, 2);
    let form = support_form(&[
        ("image", Some("a.png"), &red),
        ("image", Some("b.png"), &dull),
    ]);
    assert_eq!(
        class(
            service.post("/v1/predict", "multipart/form-data; boundary=XX", &form),
            2
        ),
        two
    );
    let form = support_form(&[("exit", None, b"1"), ("image", Some("a.png"), &dull)]);
    let reply = service.post("/v1/predict", "multipart/form-data; boundary=XX", &form);
    assert_eq!(class(reply, 1)[0].1, 1);
}

fn support_form(parts: &[(&str, Option<&str>, &[u8])]) -> Vec<u8> {
    let mut form = Vec::new();
    for (name, file, bytes) in parts {
        let file = file.map_or(String::new(), |file| format!("; filename=\"{file}\""));
        let head = format!("--XX\r\ncontent-disposition: form-data; name=\"{name}\"{file}\r\n\r\n");
        form.extend_from_slice(head.as_bytes());
        form.extend_from_slice(bytes);
        form.extend_from_slice(b"\r\n");
    }
    form.extend_from_slice(b"--XX--\r\n");
    form
}

#[test]
fn requests_have_policies_of_their_own() {
    let service = Service::toy();
    let exit = |query: &str| {
        let answer = service.predict(query, &png(DULL)).ok();
        let policy = answer["policy"].as_str().unwrap().to_owned();
        (answer["predictions"][0]["exit"].as_u64().unwrap(), policy)
    };
    assert_eq!(exit("?exit=0"), (0, "always exit 0".to_owned()));
    assert_eq!(
        exit("?max_macs=1000000"),
        (0, "1000000 MACs on average".to_owned())
    );
    assert_eq!(exit("?max_macs=1e9").0, 2);
    assert_eq!(exit("?max_ms=60000"), (2, "within 60000 ms".to_owned()));
    let policy = "%7B%22kind%22:%22confidence%22,%22thresholds%22:[0.01,0,0]%7D";
    assert_eq!(
        exit(&format!("?policy={policy}")),
        (0, "the request's policy".to_owned())
    );
    let body = json!({"image": STANDARD.encode(png(DULL)), "policy": {"kind": "patience", "patience": 1, "exits": 3}});
    let reply = service.post(
        "/v1/predict?exit=0",
        "application/json",
        body.to_string().as_bytes(),
    );
    assert!(
        [200, 422].contains(&reply.status),
        "the body overrides the query: {reply:?}"
    );
}

#[test]
fn a_deadline_takes_the_deepest_exit_in_time() {
    let slow = Toy {
        pace: Duration::from_millis(30),
        ..Toy::default()
    };
    let service = Service::start(vec![Box::new(slow)], |_| {});
    let measured = || {
        let exits = service.get("/v1/model").ok();
        [0, 1, 2].map(|k| exits["exits"][k]["ms"].as_f64().unwrap())
    };
    let mut ms = measured();
    assert!(ms[0] >= 30.0 && ms[1] >= 60.0 && ms[2] >= 90.0, "{ms:?}");
    // A machine busy with something else while exit 1 is timed makes both look alike.
    while ms[2] - ms[1] < 15.0 {
        service.reload();
        ms = measured();
    }
    let limit = ms[2] - 1.0;
    let answer = service
        .predict(&format!("?max_ms={limit}"), &png(DULL))
        .ok();
    assert_eq!(answer["predictions"][0]["exit"], 1);
    let message = service.predict("?max_ms=1", &png(DULL)).refused(422);
    assert!(message.contains("exit 0 alone takes"), "{message}");
}

#[test]
fn a_trace_says_what_every_exit_would_answer() {
    let service = Service::toy();
    let answer = service.predict("?trace=true", &png(DULL)).ok();
    let trace = answer["predictions"][0]["trace"].as_array().unwrap();
    assert_eq!(trace.len(), MACS.len());
    for (exit, said) in trace.iter().enumerate() {
        let alone = service.predict(&format!("?exit={exit}"), &png(DULL)).ok();
        let alone = &alone["predictions"][0];
        for key in [
            "class",
            "label",
            "confidence",
            "probability",
            "exit",
            "macs",
        ] {
            assert_eq!(said[key], alone[key], "exit {exit}, {key}");
        }
    }
    assert!(
        service.predict("", &png(DULL)).ok()["predictions"][0]
            .get("trace")
            .is_none()
    );
}

#[test]
fn several_models_are_told_apart() {
    let other = Toy {
        name: "other",
        ..Toy::default()
    };
    let service = Service::start(vec![Box::new(Toy::default()), Box::new(other)], |_| {});
    assert_eq!(
        service.predict("?model=other", &png(RED)).ok()["model"],
        "other"
    );
    assert_eq!(service.predict("", &png(RED)).ok()["model"], "toy");
    assert!(
        service
            .predict("?model=third", &png(RED))
            .refused(404)
            .contains("third")
    );
    let models = service.get("/v1/models").ok();
    assert_eq!(models["models"][1]["name"], "other");
    let model = service.get("/v1/model?model=other").ok();
    assert_eq!(model["classes"][5], "yellow");
    assert_eq!(model["curve"].as_array().unwrap().len(), 5);
    assert_eq!(model["exits"][2]["top1"], 86.0);
    service.get("/v1/model?model=third").refused(404);
    service.get("/v1/model?modle=toy").refused(400);
}

#[test]
fn every_format_is_decoded_as_elsewhere() {
    let service = Service::toy();
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Jpeg,
    ] {
        let bytes = encode(&solid([0, 0, 250]), format);
        let answer = service.predict("", &bytes).ok();
        assert_eq!(answer["predictions"][0]["class"], "blue", "{format:?}");
    }
}

#[test]
fn the_service_tells_of_itself() {
    let service = Service::toy();
    assert_eq!(service.get("/healthz").ok()["status"], "ok");
    assert_eq!(service.get("/readyz").ok()["status"], "ready");
    let document = service.get("/openapi.json").ok();
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"));
    let page = service.get("/");
    assert_eq!(page.status, 200);
    assert!(
        page.head
            .contains("content-security-policy: default-src 'none'; script-src 'sha256-")
    );
    assert!(page.head.contains("x-content-type-options: nosniff"));
    service.get("/nowhere").refused(404);
    let reply = service.get("/v1/predict");
    reply.refused(405);
    assert!(reply.head.contains("allow: post"), "{}", reply.head);
    for _ in 0..3 {
        service.predict("", &png(RED)).ok();
    }
    service.predict("", b"nothing").refused(422);
    let metrics = service.get("/metrics").body;
    for line in [
        "offramp_requests_total{route=\"/v1/predict\",status=\"200\"} 3",
        "offramp_refused_total{reason=\"no-picture\"} 1",
        "offramp_exits_total{model=\"toy\",exit=\"0\"} 3",
        "offramp_exits_total{model=\"toy\",exit=\"2\"} 0",
        "offramp_latency_seconds_count{model=\"toy\",exit=\"0\"} 3",
        "offramp_queue_images{model=\"toy\"} 0",
        "offramp_batch_images_count{model=\"toy\"} 3",
    ] {
        assert!(metrics.contains(line), "{line} is not in\n{metrics}");
    }
}

#[test]
fn names_are_needed_once() {
    let same: Vec<Box<dyn offramp_serve::Source>> =
        vec![Box::new(Toy::default()), Box::new(Toy::default())];
    let config = offramp_serve::Config {
        listen: "127.0.0.1:0".parse().unwrap(),
        ..Default::default()
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .unwrap();
    let error = runtime
        .block_on(offramp_serve::Server::bind(config.clone(), same))
        .err()
        .unwrap();
    assert!(
        error.to_string().contains("two models are called \"toy\""),
        "{error}"
    );
    let error = runtime
        .block_on(offramp_serve::Server::bind(config, Vec::new()))
        .err()
        .unwrap();
    assert!(error.to_string().contains("no model"), "{error}");
    let _ = toy::rule();
}
