//! The service with an engine that names colours: to look at the page and the API without a network.
//!
//! Run: `cargo run --release -p offramp-serve --example toy -- [ADDRESS:PORT]`

#[path = "../tests/support/toy.rs"]
mod toy;

use std::error::Error;
use std::time::Duration;

use offramp_serve::{Config, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut config = Config::default();
    if let Some(address) = std::env::args().nth(1) {
        config.listen = address.parse()?;
    }
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let toy = toy::Toy {
            pace: Duration::from_millis(2),
            ..toy::Toy::default()
        };
        let server = Server::bind(config, vec![Box::new(toy)]).await?;
        println!("listening on http://{}", server.address());
        let control = server.control();
        tokio::select! {
            ended = server.run() => Ok(ended?),
            () = control.follow_signals() => Err("stopped at once".into()),
        }
    })
}
