//! A trained network as a WebAssembly module: the page of the service without a service.
//!
//! `just web RUN` builds it for `wasm32-unknown-unknown` and puts it into a folder of files with the page
//! and the run's plan. No binding generator: seven functions that take numbers and exchange text, called by
//! `web/wasm.js`.
//!
//! | function | takes from the inbox | leaves in the outbox |
//! |---|---|---|
//! | `inbox(bytes)` | | returns where to write that many bytes, 0 where there is no memory |
//! | `outbox()` | | returns where the last answer begins |
//! | `load_plan()` | a plan of `offramp export --format plan` | `{}` |
//! | `load_run()` | [`RunFiles`] as JSON | [`ModelAnswer`] |
//! | `choose()` | [`Choice`] as JSON | `{"policy": "..."}`, a description |
//! | `begin(width, height)` | RGBA of an image | `{}` |
//! | `next()` | | [`ExitAnswer`], `{}` after the last exit |
//!
//! Each of the last five returns the number of bytes of its answer, JSON in UTF-8. A mistake is the
//! answer `{"error": "..."}`.
//!
//! The same types can be used as a library.

mod abi;
mod answers;
mod error;
mod network;
mod requests;

pub use answers::{ClassAnswer, CurvePoint, ExitAnswer, ExitFacts, ModelAnswer};
pub use error::WebError;
pub use network::Network;
pub use requests::{Choice, RunFiles};
