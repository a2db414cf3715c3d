//! Addresses and limits of a service.

use std::net::{Ipv4Addr, SocketAddr};
use std::time::Duration;

use crate::{Keys, ServeError, Tls};

/// How a service listens.
#[derive(Clone, Debug)]
pub struct Config {
    /// Where; port 0 takes any free one. By default 127.0.0.1:8080: this machine alone can reach it.
    pub listen: SocketAddr,
    /// How much it takes on.
    pub limits: Limits,
    /// API keys; by default none is needed.
    pub keys: Option<Keys>,
    /// The certificate; by default the connection is plain.
    pub tls: Option<Tls>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from((Ipv4Addr::LOCALHOST, 8080)),
            limits: Limits::default(),
            keys: None,
            tls: None,
        }
    }
}

/// How much a service takes on. Beyond a limit it answers with 4xx or 503 and a reason.
#[derive(Clone, Debug)]
pub struct Limits {
    /// Images of one model that are accepted and not answered yet.
    pub queue: usize,
    /// Images of one request.
    pub images: usize,
    /// Bytes of one request's body.
    pub body: usize,
    /// Bytes of all bodies that are held at a time.
    pub bodies: usize,
    /// Pixels of one image, read from its header before it is decoded.
    pub pixels: u64,
    /// Images decoded at a time.
    pub decoders: usize,
    /// Connections at a time; more wait in the system's backlog.
    pub connections: usize,
    /// Time for a request's header, also the time a connection may be idle.
    pub header_time: Duration,
    /// Time for a request's body.
    pub body_time: Duration,
    /// Time for the answer, once the body is there.
    pub answer_time: Duration,
    /// Time that a stopping service goes on accepting, while `/readyz` already answers 503.
    pub drain_time: Duration,
    /// Time for the requests under way when it then stops.
    pub stop_time: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        let cores = std::thread::available_parallelism().map_or(1, usize::from);
        Self {
            queue: 256,
            images: 64,
            body: 16 << 20,
            bodies: 256 << 20,
            pixels: 40_000_000,
            decoders: cores,
            connections: 1024,
            header_time: Duration::from_secs(15),
            body_time: Duration::from_secs(30),
            answer_time: Duration::from_secs(30),
            drain_time: Duration::ZERO,
            stop_time: Duration::from_secs(30),
        }
    }
}

impl Limits {
    /// Refuses limits with which nothing could be answered.
    ///
    /// # Errors
    /// [`ServeError::Limit`].
    pub fn check(&self) -> Result<(), ServeError> {
        let counts = [
            ("queue", self.queue),
            ("images", self.images),
            ("body", self.body),
            ("decoders", self.decoders),
            ("connections", self.connections),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, count)| *count == 0) {
            return Err(ServeError::Limit {
                key,
                value: "0".to_owned(),
                rule: "at least 1",
            });
        }
        let times = [
            ("header_time", self.header_time),
            ("body_time", self.body_time),
            ("answer_time", self.answer_time),
        ];
        if let Some((key, _)) = times.iter().find(|(_, time)| time.is_zero()) {
            return Err(ServeError::Limit {
                key,
                value: "0".to_owned(),
                rule: "longer than nothing",
            });
        }
        if self.bodies < self.body {
            return Err(ServeError::Limit {
                key: "bodies",
                value: self.bodies.to_string(),
                rule: "at least as much as one body may have",
            });
        }
        Ok(())
    }
}
