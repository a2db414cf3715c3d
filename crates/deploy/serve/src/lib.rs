//! A multi-exit network as an HTTP service.
//!
//! Images come in over HTTP, one or many a request; whatever waits is computed together, and each
//! image is answered by the first exit at which its rule stops, while others go deeper. The
//! crate knows no tensors: a network is an [`Engine`], owned by a thread of its own.
//!
//! | step | items |
//! |---|---|
//! | what answers | [`Engine`], [`Model`], [`Source`], [`PlanFile`] |
//! | what a budget buys | [`RunFacts`] |
//! | how much is taken on | [`Limits`] |
//! | authentication | [`Keys`], [`Tls`] |
//! | run it | [`Server`], [`Control`], [`Config`] |
//! | description | [`openapi`] |
//!
//! A request is *accepted* when its images have places in the queue. Accepted requests are answered,
//! also while the service stops or loads its models anew; only their client can call them off.
//!
//! ```no_run
//! # async fn serve(source: Box<dyn offramp_serve::Source>) -> Result<(), offramp_serve::ServeError> {
//! use offramp_serve::{Config, Server};
//!
//! let server = Server::bind(Config::default(), vec![source]).await?;
//! println!("http://{}", server.address());
//! let control = server.control();
//! tokio::spawn(async move { control.follow_signals().await });
//! server.run().await
//! # }
//! ```

mod answers;
mod api_error;
mod auth;
mod body;
mod config;
mod decode;
mod error;
mod input;
mod metrics;
mod model;
mod models;
mod openapi;
mod options;
mod page;
mod plan_file;
mod predict;
mod routes;
mod server;
mod state;
mod timing;
mod tls;
mod worker;

pub use auth::Keys;
pub use config::{Config, Limits};
pub use error::{LoadError, ServeError};
pub use model::{Model, Source};
pub use offramp_run::{Engine, EngineError, RunFacts};
pub use openapi::openapi;
pub use plan_file::PlanFile;
pub use server::{Control, Server};
pub use tls::Tls;
