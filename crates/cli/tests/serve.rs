//! `offramp serve` on a run folder, beside `offramp predict` and through signals.
#![cfg(unix)]

mod support;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use serde_json::Value;
use support::{TINY, assert_names, failure, json, offramp, recipe, text};

/// The program serving; killed when a test fails.
struct Serving {
    child: Child,
    address: String,
}

impl Serving {
    fn start(args: &[&str]) -> Self {
        let serve = ["serve", "--listen", "127.0.0.1:0"];
        let mut child = offramp(&[&serve[..], args].concat())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let address = line.trim().strip_prefix("listening on http://");
        let address = address.unwrap_or_else(|| panic!("{line:?}")).to_owned();
        Self { child, address }
    }

    fn request(&self, head: &str, body: &[u8]) -> Value {
        let mut stream = TcpStream::connect(&self.address).unwrap();
        let length = body.len();
        let head = format!(
            "{head} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n"
        );
        stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
        let mut reply = String::new();
        stream.read_to_string(&mut reply).unwrap();
        assert!(reply.starts_with("HTTP/1.1 200"), "{reply}");
        serde_json::from_str(reply.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    fn signal(&self, name: &str) {
        let id = self.child.id().to_string();
        let sent = Command::new("kill").args([name, &id]).status().unwrap();
        assert!(sent.success());
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn image(path: &Path, seed: u32) {
    let noise = |x: u32, y: u32, c: u32| {
        let place = x * 31 + y * 17 + c * 7 + seed * 101;
        (place.wrapping_mul(2_654_435_761) >> 24) as u8
    };
    let image = image::RgbImage::from_fn(40, 36, |x, y| {
        image::Rgb([0, 1, 2].map(|c| noise(x / 4, y / 4, c)))
    });
    image.save(path).unwrap();
}

#[test]
fn the_service_answers_as_predict_does_and_follows_signals() {
    let folder = tempfile::tempdir().unwrap();
    let run = folder.path().join("run");
    let recipe = recipe(folder.path(), &TINY.replace("epochs = 2", "epochs = 1"));
    json(&["train", text(&recipe), "--out", text(&run), "--json"]);
    let calibration = json(&["calibrate", text(&run), "--json"]);
    std::fs::write(run.join("calibrate.json"), calibration.to_string()).unwrap();

    let paths: Vec<_> = (0..6)
        .map(|i| folder.path().join(format!("{i}.png")))
        .collect();
    for (seed, path) in (1..).zip(&paths) {
        image(path, seed);
    }
    let names: Vec<&str> = paths.iter().map(|path| text(path)).collect();
    let predict = ["predict", text(&run), "--json"];
    let predicted = json(&[&predict[..], &names].concat());

    let mut serving = Serving::start(&[text(&run), &format!("twin={}", text(&run))]);
    let mut exits = std::collections::BTreeSet::new();
    for (path, expected) in paths
        .iter()
        .zip(predicted["predictions"].as_array().unwrap())
    {
        let bytes = std::fs::read(path).unwrap();
        let said = serving.request("POST /v1/predict?top_k=3&model=twin", &bytes);
        let said = &said["predictions"][0];
        // The same engine on the same pixels: the same bits, whatever else was in the batch.
        for (key, other) in [
            ("class", "class"),
            ("label", "label"),
            ("probability", "confidence"),
            ("exit", "exit"),
            ("macs", "macs"),
        ] {
            assert_eq!(said[key], expected[other], "{}: {key}", path.display());
        }
        exits.insert(said["exit"].as_u64());
    }
    let model = serving.request("GET /v1/model", b"");
    assert_eq!(model["name"], "run");
    assert_eq!(model["curve"].as_array().unwrap().len(), 39);
    assert!(model["exits"][0]["top1"].is_number(), "{model}");
    let cheapest = &model["curve"][0]["mean_macs"];
    let bytes = std::fs::read(&paths[0]).unwrap();
    let said = serving.request(&format!("POST /v1/predict?max_macs={cheapest}"), &bytes);
    assert!(
        said["policy"].as_str().unwrap().contains("on average"),
        "{said}"
    );

    serving.signal("-HUP");
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        let metrics = metrics(&serving);
        if metrics.contains("offramp_reloads_total{model=\"run\",result=\"ok\"} 1") {
            break;
        }
        assert!(Instant::now() < deadline, "{metrics}");
        thread::sleep(Duration::from_millis(50));
    }
    serving.request("POST /v1/predict", &bytes);
    serving.signal("-TERM");
    let status = serving.child.wait().unwrap();
    assert!(status.success(), "{status}");
}

fn metrics(serving: &Serving) -> String {
    let mut stream = TcpStream::connect(&serving.address).unwrap();
    stream
        .write_all(b"GET /metrics HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n")
        .unwrap();
    let mut reply = String::new();
    stream.read_to_string(&mut reply).unwrap();
    reply
}

#[test]
fn what_cannot_be_served_is_named() {
    let folder = tempfile::tempdir().unwrap();
    let empty = folder.path().join("empty");
    std::fs::create_dir(&empty).unwrap();
    let serve = ["serve", "--listen", "127.0.0.1:0"];
    let of = |rest: &[&str]| failure(&[&serve[..], rest].concat());
    assert_names(&of(&[text(&empty)]), &["\"empty\"", "model.json"]);
    assert_names(&of(&["/nowhere/run"]), &["/nowhere/run"]);
    let keys = folder.path().join("keys");
    std::fs::write(&keys, "short\n").unwrap();
    assert_names(
        &of(&[text(&empty), "--keys", text(&keys)]),
        &["keys, line 1"],
    );
    assert_names(
        &of(&["a", "b", "--policy", "p.json"]),
        &["--policy and --plan are for one run"],
    );
    let taken = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = taken.local_addr().unwrap().to_string();
    assert_names(
        &failure(&["serve", text(&empty), "--listen", &address]),
        &["cannot listen", &address],
    );
}
