//! A web server on the loopback address that can misbehave.

use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

/// How the server answers one request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// As it should, `Range` included.
    Right,
    /// A correct answer, but the connection ends after this number of bytes of the body.
    CutAfter(usize),
    /// The whole file, whatever `Range` says.
    IgnoreRange,
    /// The whole file, whatever `Range` says, and the connection ends after this number of bytes.
    IgnoreRangeAndCutAfter(usize),
    /// Only this status.
    Status(&'static str),
}

/// A server of one file on a free port of the loopback address.
pub(crate) struct Server {
    /// Where the file is.
    pub url: String,
    requests: Arc<Mutex<Vec<Option<usize>>>>,
}

impl Server {
    /// Serves `file` and gives these answers in turn, the right one after the last of them.
    pub(crate) fn start(file: Vec<u8>, answers: &[Answer]) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}/archive", listener.local_addr().unwrap());
        let requests = Arc::new(Mutex::new(Vec::new()));
        let (seen, answers) = (requests.clone(), answers.to_vec());
        std::thread::spawn(move || {
            for (number, stream) in listener.incoming().enumerate() {
                let answer = answers.get(number).copied().unwrap_or(Answer::Right);
                serve(stream.unwrap(), &file, answer, &seen);
            }
        });
        Self { url, requests }
    }

    /// The first byte asked for by each request so far; `None` for one without `Range`.
    pub(crate) fn requests(&self) -> Vec<Option<usize>> {
        self.requests.lock().unwrap().clone()
    }
}

fn serve(mut stream: TcpStream, file: &[u8], answer: Answer, seen: &Mutex<Vec<Option<usize>>>) {
    let mut range = None;
    for line in BufReader::new(&stream).lines() {
        let line = line.unwrap().to_ascii_lowercase();
        if line.is_empty() {
            break;
        }
        if let Some(start) = line.strip_prefix("range: bytes=") {
            range = Some(start.trim_end_matches('-').parse::<usize>().unwrap());
        }
    }
    seen.lock().unwrap().push(range);
    let start = match answer {
        Answer::IgnoreRange | Answer::IgnoreRangeAndCutAfter(_) => None,
        _ => range,
    };
    let length = file.len();
    let (head, body) = match (answer, start) {
        (Answer::Status(status), _) => (format!("{status}\r\nContent-Length: 0"), &file[..0]),
        (_, Some(start)) if start >= length => (
            format!("416 No\r\nContent-Length: 0\r\nContent-Range: bytes */{length}"),
            &file[..0],
        ),
        (_, Some(start)) => (
            format!(
                "206 Part\r\nContent-Length: {}\r\nContent-Range: bytes {start}-{}/{length}",
                length - start,
                length - 1
            ),
            &file[start..],
        ),
        (_, None) => (format!("200 OK\r\nContent-Length: {length}"), file),
    };
    let sent = match answer {
        Answer::CutAfter(n) | Answer::IgnoreRangeAndCutAfter(n) => &body[..n.min(body.len())],
        _ => body,
    };
    let head = format!("HTTP/1.1 {head}\r\nConnection: close\r\n\r\n");
    // A client that has hung up is no fault of the server.
    let _ = stream
        .write_all(head.as_bytes())
        .and_then(|()| stream.write_all(sent));
}
