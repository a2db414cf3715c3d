//! Nothing grows without bound, and nothing that was accepted is lost.

mod support;

use std::io::Write;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Barrier};
use std::thread;
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use serde_json::json;
use support::images::{BLACK, DULL, RED, png};
use support::toy::{Toy, Trouble};
use support::{Reply, Service, post_bytes};

fn slow(ms: u64, batch: usize) -> Toy {
    Toy {
        pace: Duration::from_millis(ms),
        batch,
        ..Toy::default()
    }
}

fn metric(service: &Service, line: &str) -> f64 {
    let text = service.get("/metrics").body;
    let found = text
        .lines()
        .find_map(|l| l.strip_prefix(line)?.trim().parse().ok());
    found.unwrap_or_else(|| panic!("{line} is not in\n{text}"))
}

#[test]
fn a_full_queue_refuses_and_loses_nothing() {
    let service = Service::start(vec![Box::new(slow(5, 2))], |config| config.limits.queue = 4);
    let (answered, refused) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for _ in 0..24 {
            scope.spawn(|| {
                for _ in 0..5 {
                    let reply = service.predict("", &png(DULL));
                    match reply.status {
                        200 => {
                            assert_eq!(reply.json()["predictions"][0]["exit"], 2);
                            answered.fetch_add(1, Ordering::SeqCst);
                        }
                        _ => {
                            let message = reply.refused(503);
                            assert!(message.contains("queue of 4"), "{message}");
                            assert!(reply.head.contains("retry-after: 1"), "{}", reply.head);
                            refused.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    let (answered, refused) = (answered.into_inner(), refused.into_inner());
    assert_eq!(answered + refused, 120);
    assert!(
        answered > 0 && refused > 0,
        "{answered} answered, {refused} refused"
    );
    let exits = metric(&service, "offramp_exits_total{model=\"toy\",exit=\"2\"}");
    assert_eq!(
        exits as usize, answered,
        "the engine answers what was accepted and no more"
    );
    assert_eq!(metric(&service, "offramp_queue_images{model=\"toy\"}"), 0.0);
}

#[test]
fn a_request_larger_than_the_queue_never_fits() {
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.queue = 4
    });
    let image = STANDARD.encode(png(RED));
    assert_eq!(
        service.json(&json!({"images": vec![&image; 4]})).status,
        200
    );
    let message = service
        .json(&json!({"images": vec![&image; 5]}))
        .refused(413);
    assert!(message.contains("needs 5 places"), "{message}");
    let message = service
        .json(&json!({"images": vec![&image; 2], "trace": true}))
        .refused(413);
    assert!(message.contains("needs 8 places"), "{message}");
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.images = 3
    });
    service
        .json(&json!({"images": vec![&image; 4]}))
        .refused(413);
}

#[test]
fn requests_are_computed_together() {
    let service = Service::start(vec![Box::new(slow(20, 16))], |_| {});
    thread::scope(|scope| {
        for _ in 0..32 {
            scope.spawn(|| service.predict("?exit=0", &png(DULL)).ok());
        }
    });
    let steps = metric(&service, "offramp_batch_images_count{model=\"toy\"}");
    let images = metric(&service, "offramp_batch_images_sum{model=\"toy\"}");
    assert_eq!(images, 32.0);
    assert!(steps <= 16.0, "{steps} steps for 32 images");
}

#[test]
fn stopping_in_the_middle_answers_what_was_accepted() {
    let service = Service::start(vec![Box::new(slow(60, 4))], |_| {});
    let begun = Arc::new(Barrier::new(17));
    let address = service.address;
    let clients: Vec<_> = (0..16)
        .map(|_| {
            let begun = Arc::clone(&begun);
            thread::spawn(move || {
                let mut stream = std::net::TcpStream::connect(address).unwrap();
                stream
                    .write_all(&post_bytes("/v1/predict", "image/png", &png(DULL)))
                    .unwrap();
                begun.wait();
                Reply::read(&mut stream)
            })
        })
        .collect();
    begun.wait();
    // All are written; the service takes them in within this time, and needs 4 * 3 * 60 ms for them.
    while metric(&service, "offramp_queue_images{model=\"toy\"}") < 16.0 {
        thread::sleep(Duration::from_millis(5));
    }
    let stopped = Instant::now();
    service.stop();
    assert!(
        stopped.elapsed() > Duration::from_millis(60),
        "there was something left to do"
    );
    for client in clients {
        let answer = client.join().unwrap().ok();
        assert_eq!(answer["predictions"][0]["exit"], 2);
    }
    assert!(
        std::net::TcpStream::connect(address).is_err(),
        "nobody listens any more"
    );
}

#[test]
fn readiness_ends_before_acceptance_does() {
    let drain = Duration::from_millis(400);
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.drain_time = drain;
    });
    service.control.stop();
    let deadline = Instant::now() + drain / 2;
    while service.get("/readyz").status != 503 {
        assert!(Instant::now() < deadline, "still ready");
    }
    assert_eq!(service.get("/healthz").status, 200);
    assert_eq!(service.predict("", &png(RED)).status, 200);
}

#[test]
fn loading_again_loses_no_request() {
    let toy = slow(4, 4);
    let loads = Arc::clone(&toy.loads);
    let service = Service::start(vec![Box::new(toy)], |_| {});
    let done = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..25 {
                    assert_eq!(
                        service.predict("", &png(DULL)).ok()["predictions"][0]["exit"],
                        2
                    );
                    done.fetch_add(1, Ordering::SeqCst);
                }
            });
        }
        for _ in 0..4 {
            service.reload();
        }
    });
    assert_eq!(done.into_inner(), 200);
    assert_eq!(loads.load(Ordering::SeqCst), 5);
    assert_eq!(service.get("/v1/model").ok()["commit"], "load 4");
    assert_eq!(
        metric(&service, "offramp_exits_total{model=\"toy\",exit=\"2\"}"),
        200.0
    );
}

#[test]
fn a_model_that_cannot_be_loaded_again_stays() {
    let toy = Toy {
        trouble: Trouble::Reload,
        ..Toy::default()
    };
    let service = Service::start(vec![Box::new(toy)], |_| {});
    service.reload();
    assert_eq!(service.get("/v1/model").ok()["commit"], "load 0");
    assert_eq!(service.predict("", &png(RED)).status, 200);
    let failed = "offramp_reloads_total{model=\"toy\",result=\"error\"}";
    assert_eq!(metric(&service, failed), 1.0);
}

/// The step that fails loses its whole batch; each of those requests hears of it, the others do not.
#[test]
fn a_step_that_fails_fails_its_requests_alone() {
    let toy = Toy {
        trouble: Trouble::BlackFails,
        ..slow(2, 4)
    };
    let service = Service::start(vec![Box::new(toy)], |_| {});
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for thread in 0..8 {
            let (service, failed) = (&service, &failed);
            scope.spawn(move || {
                for i in 0..10 {
                    let black = thread == 0 && i % 2 == 0;
                    let reply = service.predict("", &png(if black { BLACK } else { DULL }));
                    match reply.status {
                        200 => assert!(!black),
                        _ => {
                            let message = reply.refused(500);
                            assert!(message.contains("overflow"), "{message}");
                            failed.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                }
            });
        }
    });
    assert!((5..=20).contains(&failed.into_inner()));
    assert_eq!(service.predict("", &png(RED)).status, 200);
    assert_eq!(metric(&service, "offramp_queue_images{model=\"toy\"}"), 0.0);
}

#[test]
fn an_engine_that_panics_is_started_again() {
    let toy = Toy {
        trouble: Trouble::BlackPanics,
        ..Toy::default()
    };
    let service = Service::start(vec![Box::new(toy)], |_| {});
    assert_eq!(service.predict("", &png(RED)).status, 200);
    let message = service.predict("", &png(BLACK)).refused(500);
    assert!(message.contains("stopped"), "{message}");
    assert_eq!(service.get("/readyz").status, 503);
    assert_eq!(service.get("/healthz").status, 200);
    service.predict("", &png(RED)).refused(503);
    let deadline = Instant::now() + Duration::from_secs(20);
    while service.get("/readyz").status != 200 {
        assert!(Instant::now() < deadline, "not revived");
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(service.predict("", &png(RED)).status, 200);
    assert_eq!(
        service.get("/v1/model").ok()["commit"],
        "load 2",
        "tried until it worked"
    );
}

#[test]
fn large_and_slow_bodies_are_refused() {
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.body = 10_000;
        config.limits.bodies = 25_000;
        config.limits.body_time = Duration::from_millis(300);
        config.limits.header_time = Duration::from_millis(300);
    });
    let message = service.predict("", &vec![0; 10_001]).refused(413);
    assert!(message.contains("10000 bytes"), "{message}");
    // Without a length, as chunks.
    let mut chunked =
        b"POST /v1/predict HTTP/1.1\r\nhost: x\r\ntransfer-encoding: chunked\r\n\r\n".to_vec();
    for _ in 0..11 {
        chunked.extend_from_slice(b"400\r\n");
        chunked.extend_from_slice(&[0; 1024]);
        chunked.extend_from_slice(b"\r\n");
    }
    let mut stream = service.connect();
    stream.write_all(&chunked).unwrap();
    assert_eq!(Reply::read(&mut stream).status, 413);

    // A body that stops coming.
    let whole = post_bytes("/v1/predict", "image/png", &png(RED));
    let mut stream = service.connect();
    stream.write_all(&whole[..whole.len() - 10]).unwrap();
    let reply = Reply::read(&mut stream);
    assert!(reply.refused(408).contains("300ms"));
    // A header that stops coming: no answer, but no hanging either.
    let start = Instant::now();
    let mut stream = service.connect();
    stream.write_all(&whole[..20]).unwrap();
    assert!([0, 408].contains(&Reply::read(&mut stream).status));
    assert!(start.elapsed() < Duration::from_secs(10));

    // Three bodies are more than all bodies may have; what is not finished is given back.
    let mut held: Vec<_> = (0..2)
        .map(|_| {
            let mut stream = service.connect();
            let bytes = post_bytes("/v1/predict", "image/png", &[7; 10_000]);
            stream.write_all(&bytes[..bytes.len() - 1]).unwrap();
            stream
        })
        .collect();
    thread::sleep(Duration::from_millis(100));
    let reply = service.predict("", &[7; 10_000]);
    assert!(reply.refused(503).contains("bodies"), "{reply:?}");
    for stream in &mut held {
        assert_eq!(Reply::read(stream).status, 408);
    }
    assert_eq!(service.predict("", &[7; 10_000]).status, 422);
}

#[test]
fn answers_that_take_too_long_are_given_up() {
    let service = Service::start(vec![Box::new(slow(400, 4))], |config| {
        config.limits.answer_time = Duration::from_millis(200);
    });
    let message = service.predict("", &png(RED)).refused(503);
    assert!(message.contains("in time"), "{message}");
    while metric(&service, "offramp_queue_images{model=\"toy\"}") > 0.0 {
        thread::sleep(Duration::from_millis(20));
    }
}

#[test]
fn keys_guard_what_they_should() {
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), "0123456789abcdef\n").unwrap();
    let keys = offramp_serve::Keys::read(file.path()).unwrap();
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.keys = Some(keys)
    });
    for path in ["/v1/model", "/v1/models", "/metrics"] {
        let reply = service.get(path);
        reply.refused(401);
        assert!(reply.head.contains("www-authenticate: bearer"));
    }
    service.predict("", &png(RED)).refused(401);
    for path in ["/healthz", "/readyz", "/openapi.json", "/"] {
        assert_eq!(service.get(path).status, 200, "{path}");
    }
    let with = "GET /v1/model HTTP/1.1\r\nhost: x\r\nconnection: close\r\nauthorization: Bearer 0123456789abcdef\r\n\r\n";
    assert_eq!(service.raw(with.as_bytes()).status, 200);
}

#[test]
fn connections_beyond_the_limit_wait_their_turn() {
    let service = Service::start(vec![Box::new(Toy::default())], |config| {
        config.limits.connections = 2;
        config.limits.header_time = Duration::from_millis(200);
    });
    // Two that say nothing take both places until their time is up.
    let _idle = [service.connect(), service.connect()];
    let start = Instant::now();
    assert_eq!(service.get("/healthz").status, 200);
    assert!(start.elapsed() < Duration::from_secs(10));
}
