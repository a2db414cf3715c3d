//! A service on a free port of this machine, and a client that writes what it likes.
#![allow(dead_code, reason = "every test file uses a part of it")]

pub(crate) mod images;
pub(crate) mod toy;
pub(crate) mod wild;

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::thread::JoinHandle;
use std::time::Duration;

use offramp_serve::{Config, Control, Limits, ServeError, Server, Source};
use serde_json::Value;

/// A service in its own thread; stops when dropped.
pub(crate) struct Service {
    pub address: SocketAddr,
    pub control: Control,
    pub runtime: tokio::runtime::Handle,
    thread: Option<JoinHandle<Result<(), ServeError>>>,
}

impl Service {
    pub(crate) fn start(sources: Vec<Box<dyn Source>>, change: impl FnOnce(&mut Config)) -> Self {
        let mut config = Config {
            listen: "127.0.0.1:0".parse().unwrap(),
            ..Config::default()
        };
        config.limits = Limits {
            stop_time: Duration::from_secs(20),
            ..Limits::default()
        };
        change(&mut config);
        let (sender, receiver) = std::sync::mpsc::channel();
        let thread = std::thread::spawn(move || {
            let runtime = tokio::runtime::Builder::new_multi_thread()
                .worker_threads(2)
                .enable_all()
                .build()
                .unwrap();
            let handle = runtime.handle().clone();
            runtime.block_on(async move {
                let server = Server::bind(config, sources).await?;
                sender
                    .send((server.address(), server.control(), handle))
                    .unwrap();
                server.run().await
            })
        });
        let (address, control, runtime) = receiver.recv().expect("the service starts");
        Self {
            address,
            control,
            runtime,
            thread: Some(thread),
        }
    }

    pub(crate) fn toy() -> Self {
        Self::start(vec![Box::new(toy::Toy::default())], |_| {})
    }

    pub(crate) fn reload(&self) {
        self.runtime.block_on(self.control.reload());
    }

    /// Tells it to stop and waits until it has.
    pub(crate) fn stop(mut self) {
        self.control.stop();
        let thread = self.thread.take().unwrap();
        thread.join().expect("no panic").expect("no error");
    }

    pub(crate) fn get(&self, path: &str) -> Reply {
        self.raw(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
    }

    pub(crate) fn post(&self, path: &str, kind: &str, body: &[u8]) -> Reply {
        self.raw(&post_bytes(path, kind, body))
    }

    pub(crate) fn predict(&self, query: &str, image: &[u8]) -> Reply {
        self.post(&format!("/v1/predict{query}"), "image/png", image)
    }

    pub(crate) fn json(&self, value: &Value) -> Reply {
        self.post(
            "/v1/predict",
            "application/json",
            value.to_string().as_bytes(),
        )
    }

    /// Writes bytes and reads the one reply.
    pub(crate) fn raw(&self, bytes: &[u8]) -> Reply {
        let mut stream = self.connect();
        // The service may answer and close before it has all of it.
        let _ = stream.write_all(bytes);
        Reply::read(&mut stream)
    }

    pub(crate) fn connect(&self) -> TcpStream {
        let stream = TcpStream::connect(self.address).unwrap();
        stream
            .set_read_timeout(Some(Duration::from_secs(30)))
            .unwrap();
        stream
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.control.stop();
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

pub(crate) fn post_bytes(path: &str, kind: &str, body: &[u8]) -> Vec<u8> {
    let length = body.len();
    let mut bytes = format!(
        "POST {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\ncontent-type: {kind}\r\n\
         content-length: {length}\r\n\r\n"
    )
    .into_bytes();
    bytes.extend_from_slice(body);
    bytes
}

/// A reply, read to the end of the connection.
#[derive(Debug)]
pub(crate) struct Reply {
    pub status: u16,
    pub head: String,
    pub body: String,
}

impl Reply {
    /// Status 0 for a connection that was closed without an answer.
    pub(crate) fn read(stream: &mut TcpStream) -> Self {
        let mut bytes = Vec::new();
        let _ = stream.read_to_end(&mut bytes);
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let (head, body) = text.split_once("\r\n\r\n").unwrap_or_default();
        let status = head
            .split(' ')
            .nth(1)
            .and_then(|status| status.parse().ok());
        Self {
            status: status.unwrap_or(0),
            head: head.to_ascii_lowercase(),
            body: body.to_owned(),
        }
    }

    #[track_caller]
    pub(crate) fn json(&self) -> Value {
        serde_json::from_str(&self.body).unwrap_or_else(|error| panic!("{error}: {self:?}"))
    }

    /// The answer of a request that must succeed.
    #[track_caller]
    pub(crate) fn ok(&self) -> Value {
        assert_eq!(self.status, 200, "{self:?}");
        self.json()
    }

    /// The message of a request that must be refused so.
    #[track_caller]
    pub(crate) fn refused(&self, status: u16) -> String {
        assert_eq!(self.status, status, "{self:?}");
        let message = self.json()["message"]
            .as_str()
            .expect("a message")
            .to_owned();
        assert!(message.len() > 8, "{message}");
        message
    }
}
