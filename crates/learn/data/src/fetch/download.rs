//! A file over HTTP, continued where an earlier attempt stopped.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use ureq::Agent;
use ureq::http::{HeaderMap, StatusCode, header};

use super::{FetchOptions, Progress, space};
use crate::error::DataError;

/// Downloads `url` to `path`, after whatever `path` holds already, and checks that the disk will
/// hold `reserve` bytes on top of it.
///
/// A connection that breaks is taken up again with a `Range` request; when the server sends the
/// whole file instead, it is read from the beginning. Attempts that bring the file further than
/// ever are not counted. What has arrived stays in `path` when this fails.
pub(super) fn download(
    url: &str,
    path: &Path,
    reserve: u64,
    options: &FetchOptions,
    progress: &mut dyn FnMut(Progress),
) -> Result<(), DataError> {
    let file = OpenOptions::new().create(true).append(true).open(path);
    let mut file = file.map_err(|e| DataError::io("create", path, e))?;
    let agent = agent();
    let mut failures = 0;
    let mut furthest = length(&file, path)?;
    loop {
        let reason = match attempt(&agent, url, &mut file, path, reserve, progress)? {
            Outcome::Complete => return Ok(()),
            Outcome::Refused(reason) => return Err(failed(url, reason)),
            Outcome::Broken(reason) => reason,
        };
        let arrived = length(&file, path)?;
        failures = if arrived > furthest { 1 } else { failures + 1 };
        furthest = furthest.max(arrived);
        if failures > options.retries {
            return Err(failed(url, reason));
        }
        progress(Progress::Retrying { reason });
        std::thread::sleep(options.pause * 2u32.saturating_pow(failures.min(6) - 1));
    }
}

/// How one request ended.
enum Outcome {
    Complete,
    /// Another attempt may get further.
    Broken(String),
    /// Another attempt would get the same answer.
    Refused(String),
}

fn agent() -> Agent {
    Agent::config_builder()
        .http_status_as_error(false)
        .user_agent(concat!("offramp/", env!("CARGO_PKG_VERSION")))
        .timeout_connect(Some(Duration::from_secs(30)))
        .timeout_recv_response(Some(Duration::from_secs(60)))
        // A stalled connection counts as a broken one.
        .timeout_per_read(Some(Duration::from_secs(60)))
        .build()
        .into()
}

fn attempt(
    agent: &Agent,
    url: &str,
    file: &mut File,
    path: &Path,
    reserve: u64,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, DataError> {
    let have = length(file, path)?;
    let mut request = agent.get(url).header(header::ACCEPT_ENCODING, "identity");
    if have > 0 {
        request = request.header(header::RANGE, format!("bytes={have}-"));
    }
    let mut response = match request.call() {
        Ok(response) => response,
        Err(ureq::Error::BadUri(reason)) => return Ok(Outcome::Refused(reason)),
        Err(error) => return Ok(Outcome::Broken(error.to_string())),
    };
    let range = content_range(response.headers());
    let start = match response.status() {
        StatusCode::OK => 0,
        StatusCode::PARTIAL_CONTENT if range.is_some_and(|r| r.start == Some(have)) => have,
        // Nothing is left to send, if the file is as long as ours.
        StatusCode::RANGE_NOT_SATISFIABLE if range.is_some_and(|r| r.total == Some(have)) => {
            return Ok(Outcome::Complete);
        }
        StatusCode::PARTIAL_CONTENT | StatusCode::RANGE_NOT_SATISFIABLE if have > 0 => {
            restart(file, path)?;
            return Ok(Outcome::Broken(
                "the server's part does not fit ours".into(),
            ));
        }
        status if status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS => {
            return Ok(Outcome::Broken(format!("the server answered {status}")));
        }
        status => return Ok(Outcome::Refused(format!("the server answered {status}"))),
    };
    if start == 0 {
        restart(file, path)?;
    }
    let left = response.body().content_length();
    let total = left.map(|left| start.saturating_add(left));
    space::require(
        path.parent().unwrap_or(path),
        left.unwrap_or(0).saturating_add(reserve),
    )?;
    copy(
        &mut response.body_mut().as_reader(),
        file,
        path,
        start,
        total,
        progress,
    )
}

/// Copies the body to the end of the file.
fn copy(
    body: &mut dyn Read,
    file: &mut File,
    path: &Path,
    start: u64,
    total: Option<u64>,
    progress: &mut dyn FnMut(Progress),
) -> Result<Outcome, DataError> {
    let mut block = vec![0; 1 << 16];
    let mut done = start;
    progress(Progress::Downloading { done, total });
    loop {
        match body.read(&mut block) {
            Ok(0) if total.is_some_and(|total| done < total) => {
                return Ok(Outcome::Broken("the connection ended early".into()));
            }
            Ok(0) => {
                file.sync_all()
                    .map_err(|e| DataError::io("write", path, e))?;
                return Ok(Outcome::Complete);
            }
            Ok(n) => {
                file.write_all(&block[..n])
                    .map_err(|e| DataError::io("write", path, e))?;
                done += n as u64;
                progress(Progress::Downloading { done, total });
            }
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Ok(Outcome::Broken(error.to_string())),
        }
    }
}

/// What `Content-Range: bytes START-END/TOTAL` says; either number may be a `*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct ContentRange {
    start: Option<u64>,
    total: Option<u64>,
}

fn content_range(headers: &HeaderMap) -> Option<ContentRange> {
    let text = headers.get(header::CONTENT_RANGE)?.to_str().ok()?;
    let (range, total) = text.strip_prefix("bytes ")?.split_once('/')?;
    let start = range
        .split_once('-')
        .and_then(|(start, _)| start.trim().parse().ok());
    let total = total.trim().parse().ok();
    Some(ContentRange { start, total })
}

fn restart(file: &mut File, path: &Path) -> Result<(), DataError> {
    file.set_len(0)
        .and_then(|()| file.seek(SeekFrom::Start(0)).map(drop))
        .map_err(|e| DataError::io("write", path, e))
}

fn length(file: &File, path: &Path) -> Result<u64, DataError> {
    let stat = file.metadata();
    stat.map(|stat| stat.len())
        .map_err(|e| DataError::io("read", path, e))
}

fn failed(url: &str, reason: String) -> DataError {
    let url = url.to_owned();
    DataError::Download { url, reason }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn content_ranges() {
        let parse = |text: &str| {
            let headers = HeaderMap::from_iter([(header::CONTENT_RANGE, text.parse().unwrap())]);
            content_range(&headers).map(|r| (r.start, r.total))
        };
        assert_eq!(parse("bytes 5-9/10"), Some((Some(5), Some(10))));
        assert_eq!(parse("bytes 5-9/*"), Some((Some(5), None)));
        assert_eq!(parse("bytes */10"), Some((None, Some(10))));
        assert_eq!(parse("bytes x-9/y"), Some((None, None)));
        assert_eq!(parse("pages 1-2/3"), None);
    }
}
