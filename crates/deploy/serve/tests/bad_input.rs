//! Whatever comes: a right answer, or 4xx with a reason. Never 5xx, never a crash.

mod support;

use std::io::Write;
use std::thread;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::{Value, json};
use support::images::{RED, png};
use support::toy::{Toy, info};
use support::wild::{self, Case, Expect};
use support::{Reply, Service, post_bytes};

/// What the issue asks for at least.
const CASES: usize = 200;

#[track_caller]
fn check(name: &str, reply: &Reply, expect: Expect) {
    let orderly = |reply: &Reply| {
        let value = reply.json();
        match reply.status {
            200 => assert!(
                value["predictions"][0]["class"].is_string(),
                "{name}: {value}"
            ),
            400..=499 => assert!(
                value["message"].as_str().is_some_and(|text| text.len() > 8)
                    && value["error"].is_string(),
                "{name}: {value}"
            ),
            status => panic!("{name}: {status} {value}"),
        }
    };
    orderly(reply);
    match expect {
        Expect::Class(class) => {
            assert_eq!(reply.status, 200, "{name}: {reply:?}");
            assert_eq!(reply.json()["predictions"][0]["class"], class, "{name}");
        }
        Expect::Answer => assert_eq!(reply.status, 200, "{name}: {reply:?}"),
        Expect::Status(status) => assert_eq!(reply.status, status, "{name}: {reply:?}"),
        Expect::Either => {}
    }
}

#[test]
fn images_of_all_kinds() {
    let service = Service::toy();
    let groups: [fn() -> Vec<Case>; 6] = [
        wild::formats,
        wild::animations,
        wild::truncations,
        wild::damage,
        wild::sizes,
        wild::strangers,
    ];
    let mut count = 0;
    for case in groups.iter().flat_map(|group| group()) {
        let reply = service.predict("", &case.bytes);
        check(&case.name, &reply, case.expect);
        // The same bytes as base64 have the same end.
        let again = service.json(&json!({"image": STANDARD.encode(&case.bytes)}));
        assert_eq!(again.status, reply.status, "{}: {again:?}", case.name);
        count += 1;
    }
    assert!(count >= CASES, "{count} cases");
    println!("{count} images");
    assert_eq!(service.get("/readyz").status, 200);
}

/// The service decodes as the data crate does, which evaluation uses too.
#[test]
fn orientation_is_followed() {
    let service = Service::toy();
    for tag in 0..=9 {
        let bytes = wild::oriented(tag);
        let planes = info().decode(&bytes[..]).unwrap();
        let reply = service.predict("?top_k=6", &bytes);
        check(&format!("orientation {tag}"), &reply, Expect::Answer);
        // Red lies left in tags 1 and 4, right in 2 and 3, above in 5 and 6, below in 7 and 8.
        let red = |x: usize, y: usize| planes[8 * y + x] > 128;
        let corners = [red(0, 0), red(7, 0), red(0, 7), red(7, 7)];
        let expected = match tag {
            2 | 3 => [false, true, false, true],
            5 | 6 => [true, true, false, false],
            7 | 8 => [false, false, true, true],
            _ => [true, false, true, false],
        };
        assert_eq!(corners, expected, "orientation {tag}");
    }
}

#[test]
fn json_of_all_kinds() {
    let service = Service::toy();
    let red = STANDARD.encode(png(RED));
    let ok = Expect::Class("red");
    let (bad, odd) = (Expect::Status(400), Expect::Status(422));
    let cases: Vec<(&str, Value, Expect)> = vec![
        ("plain", json!({"image": red}), ok),
        (
            "all options",
            json!({"image": red, "model": "toy", "top_k": 3, "trace": true, "exit": 1}),
            ok,
        ),
        (
            "nulls",
            json!({"image": red, "model": null, "top_k": null, "max_ms": null}),
            ok,
        ),
        (
            "top_k beyond",
            json!({"image": red, "top_k": 1_000_000}),
            ok,
        ),
        ("max_macs", json!({"image": red, "max_macs": 2e6}), ok),
        (
            "a whole number of macs",
            json!({"image": red, "max_macs": 2_000_000}),
            ok,
        ),
        (
            "thresholds as text",
            json!({"image": red, "policy": {"kind": "entropy", "thresholds": ["-inf", "inf", 0]}}),
            ok,
        ),
        ("empty object", json!({}), bad),
        ("empty list", json!({"images": []}), bad),
        ("both", json!({"image": red, "images": [red]}), bad),
        ("a list", json!([red]), bad),
        ("a string", json!(red), bad),
        ("null", json!(null), bad),
        ("a number", json!(7), bad),
        ("image a number", json!({"image": 7}), bad),
        ("image a list", json!({"image": [red]}), bad),
        ("images a string", json!({"images": red}), bad),
        ("images with a number", json!({"images": [red, 7]}), bad),
        (
            "an unknown field",
            json!({"image": red, "modle": "toy"}),
            bad,
        ),
        ("empty image", json!({"image": ""}), odd),
        ("no base64", json!({"image": "***"}), bad),
        ("half base64", json!({"image": &red[..red.len() - 1]}), bad),
        (
            "base64 with a gap",
            json!({"image": red.replacen('A', " ", 1)}),
            bad,
        ),
        ("base64 of the web kind", json!({"image": "_-_-"}), bad),
        (
            "base64 in base64",
            json!({"image": STANDARD.encode(&red)}),
            odd,
        ),
        ("a path", json!({"image": "/etc/passwd"}), bad),
        (
            "an address",
            json!({"image": "http://127.0.0.1/cat.png"}),
            bad,
        ),
        (
            "data url without base64",
            json!({"image": "data:image/png,abc"}),
            bad,
        ),
        ("one of two broken", json!({"images": [red, "AAAA"]}), odd),
        (
            "another model",
            json!({"image": red, "model": "none"}),
            Expect::Status(404),
        ),
        (
            "empty model",
            json!({"image": red, "model": ""}),
            Expect::Status(404),
        ),
        ("top_k 0", json!({"image": red, "top_k": 0}), bad),
        ("top_k -1", json!({"image": red, "top_k": -1}), bad),
        ("top_k 1.5", json!({"image": red, "top_k": 1.5}), bad),
        ("top_k text", json!({"image": red, "top_k": "3"}), bad),
        ("max_ms 0", json!({"image": red, "max_ms": 0}), bad),
        ("max_ms -1", json!({"image": red, "max_ms": -1}), bad),
        ("max_ms tiny", json!({"image": red, "max_ms": 1e-300}), odd),
        ("max_ms huge", json!({"image": red, "max_ms": 1e300}), ok),
        ("max_macs tiny", json!({"image": red, "max_macs": 1}), odd),
        (
            "max_macs text",
            json!({"image": red, "max_macs": "60%"}),
            bad,
        ),
        (
            "two budgets",
            json!({"image": red, "max_macs": 2e6, "max_ms": 5}),
            bad,
        ),
        ("exit too deep", json!({"image": red, "exit": 3}), odd),
        ("exit -1", json!({"image": red, "exit": -1}), bad),
        ("exit huge", json!({"image": red, "exit": 1e18}), bad),
        ("trace text", json!({"image": red, "trace": "yes"}), bad),
        (
            "policy text",
            json!({"image": red, "policy": "confidence"}),
            odd,
        ),
        (
            "policy unknown",
            json!({"image": red, "policy": {"kind": "luck"}}),
            odd,
        ),
        (
            "policy of other exits",
            json!({"image": red, "policy": {"kind": "confidence", "thresholds": [0.5]}}),
            odd,
        ),
        (
            "policy without thresholds",
            json!({"image": red, "policy": {"kind": "confidence"}}),
            odd,
        ),
        (
            "thresholds null",
            json!({"image": red, "policy": {"kind": "margin", "thresholds": [null, 0, 0]}}),
            odd,
        ),
        (
            "gates without weights",
            json!({"image": red, "policy": {"kind": "gates", "gates": []}}),
            odd,
        ),
        (
            "scheduler of nothing",
            json!({"image": red, "policy": {"kind": "scheduler"}}),
            odd,
        ),
        (
            "deadline of no times",
            json!({"image": red, "policy": {"kind": "deadline", "exit_ms": [], "limit_ms": 1}}),
            odd,
        ),
    ];
    for (name, value, expect) in cases {
        check(name, &service.json(&value), expect);
    }
    let deep = |open: &str, close: &str, depth: usize| open.repeat(depth) + &close.repeat(depth);
    let texts: Vec<(&str, Vec<u8>)> = vec![
        ("no JSON", b"image=abc".to_vec()),
        ("nothing", Vec::new()),
        ("cut", format!("{{\"image\": \"{red}").into_bytes()),
        (
            "twice",
            format!("{{\"image\": \"{red}\", \"image\": \"{red}\"}}").into_bytes(),
        ),
        (
            "more behind it",
            format!("{{\"image\": \"{red}\"}} x").into_bytes(),
        ),
        ("100,000 lists deep", deep("[", "]", 100_000).into_bytes()),
        (
            "100,000 objects deep",
            deep("{\"image\":", "}", 100_000).into_bytes(),
        ),
        (
            "a deep policy",
            format!("{{\"policy\": {}}}", deep("[", "]", 50_000)).into_bytes(),
        ),
        ("not UTF-8", b"{\"image\": \"\xff\xfe\"}".to_vec()),
        ("half a surrogate", br#"{"image": "\ud800"}"#.to_vec()),
        (
            "NaN",
            format!("{{\"image\": \"{red}\", \"max_ms\": NaN}}").into_bytes(),
        ),
        (
            "a number beyond all",
            format!("{{\"image\": \"{red}\", \"max_ms\": 1e999}}").into_bytes(),
        ),
        (
            "a byte order mark",
            [
                b"\xef\xbb\xbf",
                json!({"image": red}).to_string().as_bytes(),
            ]
            .concat(),
        ),
        (
            "megabytes of spaces",
            [&[b' '; 5 << 20][..], b"{}"].concat(),
        ),
        (
            "megabytes of image",
            json!({"image": "A".repeat(8 << 20)})
                .to_string()
                .into_bytes(),
        ),
        (
            "a million images",
            format!("{{\"images\": [{}\"\"]}}", "\"\",".repeat(1_000_000)).into_bytes(),
        ),
        (
            "a thousand fields",
            format!("{{{}\"image\": \"\"}}", "\"x\": 1,".repeat(1000)).into_bytes(),
        ),
    ];
    for (name, bytes) in texts {
        let reply = service.post("/v1/predict", "application/json", &bytes);
        check(name, &reply, Expect::Either);
        assert_ne!(reply.status, 200, "{name}");
    }
    assert_eq!(service.get("/readyz").status, 200);
}

#[test]
fn requests_of_all_kinds() {
    let service = Service::toy();
    let red = png(RED);
    for (query, expect) in [
        ("?top_k=3", Expect::Class("red")),
        ("?", Expect::Class("red")),
        ("?trace=true&trace=false", Expect::Class("red")),
        ("?top_k=", Expect::Status(400)),
        ("?top_k=x", Expect::Status(400)),
        ("?top_k=99999999999999999999999", Expect::Status(400)),
        ("?max_ms=NaN", Expect::Status(400)),
        ("?max_ms=inf", Expect::Status(400)),
        ("?max_ms=-0", Expect::Status(400)),
        ("?trace=1", Expect::Status(400)),
        ("?policy={", Expect::Status(400)),
        ("?policy=%5B%5D", Expect::Status(422)),
        ("?unknown=1", Expect::Status(400)),
        ("?model=%ff", Expect::Either),
        ("?model=%00", Expect::Status(404)),
        ("?model=../../etc", Expect::Status(404)),
        ("?exit=1&max_macs=5", Expect::Status(400)),
        ("?&&&", Expect::Either),
        ("?=", Expect::Either),
    ] {
        check(query, &service.predict(query, &red), expect);
    }
    for (kind, expect) in [
        ("text/plain", Expect::Status(415)),
        ("application/xml", Expect::Status(415)),
        ("application/x-www-form-urlencoded", Expect::Status(415)),
        ("video/mp4", Expect::Status(415)),
        ("json", Expect::Status(415)),
        (";", Expect::Status(415)),
        ("application/json", Expect::Status(400)),
        ("multipart/form-data", Expect::Status(400)),
        ("multipart/form-data; boundary=", Expect::Status(400)),
        ("multipart/form-data; boundary=XX", Expect::Status(400)),
        ("multipart/mixed; boundary=XX", Expect::Status(415)),
        ("image/svg+xml", Expect::Class("red")),
        ("image/", Expect::Class("red")),
    ] {
        check(kind, &service.post("/v1/predict", kind, &red), expect);
    }
    let part = |head: &str, body: &str| format!("--XX\r\n{head}\r\n\r\n{body}\r\n");
    let named = |name: &str, body: &str| {
        part(
            &format!("content-disposition: form-data; name=\"{name}\""),
            body,
        )
    };
    for (name, form) in [
        ("no end", named("image", "abc")),
        ("options alone", named("top_k", "3") + "--XX--\r\n"),
        ("an unknown field", named("colour", "red") + "--XX--\r\n"),
        (
            "no name",
            part("content-type: text/plain", "abc") + "--XX--\r\n",
        ),
        ("no header", part("", "abc") + "--XX--\r\n"),
        (
            "a broken header",
            part("content-disposition", "abc") + "--XX--\r\n",
        ),
        (
            "a header without end",
            format!("--XX\r\n{}", "x".repeat(200_000)),
        ),
        ("nothing in it", "--XX--\r\n".to_owned()),
        ("parts without end", named("image", "abc").repeat(2000)),
        ("a bad image", named("image", "abc") + "--XX--\r\n"),
    ] {
        let reply = service.post(
            "/v1/predict",
            "multipart/form-data; boundary=XX",
            form.as_bytes(),
        );
        check(name, &reply, Expect::Either);
        assert_ne!(reply.status, 200, "{name}");
    }
    for (name, request, status) in [
        (
            "compressed",
            "POST /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-encoding: gzip\r\ncontent-length: 3\r\n\r\nabc",
            415,
        ),
        (
            "no length",
            "POST /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            422,
        ),
        (
            "another method",
            "PUT /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
            405,
        ),
        (
            "a method of its own",
            "BREW /v1/model HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            405,
        ),
        (
            "another path",
            "POST /v2/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 3\r\n\r\nabc",
            404,
        ),
        (
            "up and away",
            "GET /../../etc/passwd HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n",
            404,
        ),
    ] {
        let reply = service.raw(request.as_bytes());
        assert_eq!(reply.status, status, "{name}: {reply:?}");
        assert!(reply.json()["message"].is_string(), "{name}");
    }
    for (name, request) in [
        ("no HTTP", b"hello\r\n\r\n".to_vec()),
        ("a TLS greeting", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03".to_vec()),
        ("HTTP/2", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n".to_vec()),
        ("a long line", [&b"GET /"[..], &[b'a'; 100_000], b" HTTP/1.1\r\n\r\n"].concat()),
        ("many headers", [&b"GET / HTTP/1.1\r\n"[..], &b"x: y\r\n".repeat(5000), b"\r\n"].concat()),
        ("a wrong length", b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: x\r\n\r\nabc".to_vec()),
        ("two lengths", b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ncontent-length: 3\r\ncontent-length: 4\r\n\r\nabc".to_vec()),
        ("bad chunks", b"POST /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ntransfer-encoding: chunked\r\n\r\nzz\r\n".to_vec()),
        ("a length beyond all", b"POST /v1/predict HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-length: 99999999999\r\n\r\nabc".to_vec()),
    ] {
        let mut stream = service.connect();
        let _ = stream.write_all(&request);
        let _ = stream.shutdown(std::net::Shutdown::Write);
        let reply = Reply::read(&mut stream);
        // What is no HTTP may also find the connection closed.
        assert!(reply.status == 0 || (400..500).contains(&reply.status), "{name}: {reply:?}");
    }
    assert_eq!(service.predict("", &red).status, 200);
}

/// Clients that send a byte now and then, and some that go away in the middle.
#[test]
fn slow_clients_are_answered_or_left() {
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.body_time = Duration::from_millis(1500);
        config.limits.header_time = Duration::from_millis(1500);
    });
    let whole = post_bytes("/v1/predict", "image/png", &png(RED));
    thread::scope(|scope| {
        for pieces in [2, 5, 10, 20] {
            let (service, whole) = (&service, &whole);
            scope.spawn(move || {
                let mut stream = service.connect();
                for piece in whole.chunks(whole.len().div_ceil(pieces)) {
                    stream.write_all(piece).unwrap();
                    thread::sleep(Duration::from_millis(20));
                }
                check("slow", &Reply::read(&mut stream), Expect::Class("red"));
            });
        }
        for pieces in [100, 200] {
            let (service, whole) = (&service, &whole);
            scope.spawn(move || {
                let mut stream = service.connect();
                let mut broken = false;
                for piece in whole.chunks(whole.len().div_ceil(pieces)) {
                    broken |= stream.write_all(piece).is_err();
                    thread::sleep(Duration::from_millis(50));
                }
                let reply = Reply::read(&mut stream);
                assert!(broken || [0, 408].contains(&reply.status), "{reply:?}");
            });
        }
        for place in [10, 60, whole.len() - 5] {
            let (service, whole) = (&service, &whole);
            scope.spawn(move || {
                let mut stream = service.connect();
                stream.write_all(&whole[..place]).unwrap();
                drop(stream);
            });
        }
    });
    assert_eq!(service.predict("", &png(RED)).status, 200);
}
