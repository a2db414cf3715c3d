//! Load from a process of its own: connections that each send a request as soon as the last is answered.
//!
//! Run: `cargo run --release -p offramp-serve --example load -- ADDRESS FOLDER [CONNECTIONS] [SECONDS]
//! [QUERY]`, where FOLDER holds images.
//!
//! Prints one JSON document: answers by status, requests without an answer, throughput, quantiles of the latency, shares of the
//! exits, and the service's own mean batch.

use std::collections::BTreeMap;
use std::error::Error;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::path::Path;
use std::time::{Duration, Instant};
use std::{fs, thread};

use serde_json::{Value, json};

/// What one connection saw.
#[derive(Default)]
struct Seen {
    milliseconds: Vec<f64>,
    statuses: BTreeMap<u16, usize>,
    exits: BTreeMap<u64, usize>,
    /// Requests that were sent whole and got no reply: the service closed the connection.
    unanswered: usize,
}

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let [address, folder, rest @ ..] = &arguments[..] else {
        return Err("usage: load ADDRESS FOLDER [CONNECTIONS] [SECONDS] [QUERY]".into());
    };
    let address: SocketAddr = address.parse()?;
    let number =
        |place: usize, default: u64| rest.get(place).map_or(Ok(default), |text| text.parse());
    let (connections, seconds) = (number(0, 64)?, number(1, 60)?);
    let query = rest.get(2).map_or("", String::as_str);
    let requests = requests(Path::new(folder), query)?;
    let before = batches(address)?;
    let start = Instant::now();
    let end = start + Duration::from_secs(seconds);
    let seen: Vec<Seen> = thread::scope(|scope| {
        let clients: Vec<_> = (0..connections as usize)
            .map(|client| {
                let requests = &requests;
                scope.spawn(move || ask(address, requests, client, end))
            })
            .collect();
        let joined = clients.into_iter().map(|client| client.join().ok()?.ok());
        joined.map(Option::unwrap_or_default).collect()
    });
    let elapsed = start.elapsed().as_secs_f64();
    // Gone, if the service was stopped in the middle.
    let after = batches(address).unwrap_or((f64::NAN, f64::NAN));
    let mut all = Seen::default();
    for seen in seen {
        all.milliseconds.extend(seen.milliseconds);
        merge(&mut all.statuses, seen.statuses);
        merge(&mut all.exits, seen.exits);
        all.unanswered += seen.unanswered;
    }
    all.milliseconds.sort_by(f64::total_cmp);
    let quantile = |p: f64| {
        let place = (p * all.milliseconds.len() as f64) as usize;
        all.milliseconds.get(place).copied().unwrap_or(f64::NAN)
    };
    let answered = all.statuses.get(&200).copied().unwrap_or(0);
    let report = json!({
        "connections": connections,
        "seconds": elapsed,
        "images": requests.len(),
        "statuses": all.statuses,
        "unanswered": all.unanswered,
        "answers_per_second": answered as f64 / elapsed,
        "ms": {"p50": quantile(0.5), "p90": quantile(0.9), "p99": quantile(0.99), "max": quantile(1.0 - 1e-9)},
        "exits": all.exits,
        "mean_batch": (after.1 - before.1) / (after.0 - before.0),
    });
    println!("{report:#}");
    Ok(())
}

fn merge<K: Ord>(into: &mut BTreeMap<K, usize>, from: BTreeMap<K, usize>) {
    for (key, count) in from {
        *into.entry(key).or_default() += count;
    }
}

/// Every image of a folder as a whole request.
fn requests(folder: &Path, query: &str) -> Result<Vec<Vec<u8>>, Box<dyn Error>> {
    let mut paths: Vec<_> = fs::read_dir(folder)?
        .map(|entry| entry.map(|entry| entry.path()))
        .collect::<Result<_, _>>()?;
    paths.retain(|path| path.is_file());
    paths.sort();
    let request = |path: &std::path::PathBuf| {
        let body = fs::read(path)?;
        let mut bytes = format!(
            "POST /v1/predict?{query} HTTP/1.1\r\nhost: load\r\ncontent-type: application/octet-stream\r\n\
             content-length: {}\r\n\r\n",
            body.len()
        )
        .into_bytes();
        bytes.extend(body);
        Ok(bytes)
    };
    let requests: Vec<Vec<u8>> = paths
        .iter()
        .map(request)
        .collect::<Result<_, std::io::Error>>()?;
    if requests.is_empty() {
        Err(format!("{} holds no files", folder.display()).into())
    } else {
        Ok(requests)
    }
}

/// One connection until the time is up.
fn ask(
    address: SocketAddr,
    requests: &[Vec<u8>],
    client: usize,
    end: Instant,
) -> Result<Seen, std::io::Error> {
    let mut stream = TcpStream::connect(address)?;
    stream.set_nodelay(true)?;
    let mut replies = BufReader::new(stream.try_clone()?);
    let mut seen = Seen::default();
    // Connections begin at places of their own.
    let order = requests.iter().cycle().skip(client * 31 % requests.len());
    for request in order {
        if Instant::now() >= end {
            break;
        }
        let start = Instant::now();
        if stream.write_all(request).is_err() {
            break;
        }
        let Ok(Reply { status, body, last }) = reply(&mut replies) else {
            seen.unanswered += 1;
            break;
        };
        *seen.statuses.entry(status).or_default() += 1;
        if status == 200 {
            seen.milliseconds.push(1e3 * start.elapsed().as_secs_f64());
            let answer: Value = serde_json::from_slice(&body)?;
            if let Some(exit) = answer["predictions"][0]["exit"].as_u64() {
                *seen.exits.entry(exit).or_default() += 1;
            }
        } else {
            thread::sleep(Duration::from_millis(10));
        }
        if last {
            break;
        }
    }
    Ok(seen)
}

/// What came back.
struct Reply {
    status: u16,
    body: Vec<u8>,
    /// The service closes the connection after it.
    last: bool,
}

fn reply(replies: &mut impl BufRead) -> Result<Reply, std::io::Error> {
    let broken = || std::io::Error::other("no HTTP reply");
    let mut line = String::new();
    replies.read_line(&mut line)?;
    let status = line
        .split(' ')
        .nth(1)
        .and_then(|status| status.parse().ok());
    let status = status.ok_or_else(broken)?;
    let (mut length, mut last) = (0, false);
    loop {
        line.clear();
        replies.read_line(&mut line)?;
        match line.trim_end().split_once(": ") {
            Some((name, value)) if name.eq_ignore_ascii_case("content-length") => {
                length = value.parse().map_err(|_| broken())?;
            }
            Some((name, value)) => {
                last |=
                    name.eq_ignore_ascii_case("connection") && value.eq_ignore_ascii_case("close");
            }
            None => break,
        }
    }
    let mut body = vec![0; length];
    replies.read_exact(&mut body)?;
    Ok(Reply { status, body, last })
}

/// Steps and images of the first model so far.
fn batches(address: SocketAddr) -> Result<(f64, f64), Box<dyn Error>> {
    let mut stream = TcpStream::connect(address)?;
    stream.write_all(b"GET /metrics HTTP/1.1\r\nhost: load\r\nconnection: close\r\n\r\n")?;
    let mut text = String::new();
    stream.read_to_string(&mut text)?;
    let number = |name: &str| {
        let line = text.lines().find(|line| line.starts_with(name));
        line.and_then(|line| line.rsplit(' ').next()?.parse::<f64>().ok())
    };
    let count = number("offramp_batch_images_count").unwrap_or(f64::NAN);
    let sum = number("offramp_batch_images_sum").unwrap_or(f64::NAN);
    Ok((count, sum))
}
