//! The service on a plan file: a program without burn.
//!
//! Run: `cargo run --release -p offramp-serve --example plan -- FILE [ADDRESS:PORT] [BATCH] [THREADS]`,
//! where `offramp export RUN --format plan` wrote FILE.

use std::error::Error;

use offramp_serve::{Config, PlanFile, Server};

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = arguments
        .next()
        .ok_or("usage: plan FILE [ADDRESS:PORT] [BATCH] [THREADS]")?;
    let mut config = Config::default();
    if let Some(address) = arguments.next() {
        config.listen = address.parse()?;
    }
    let source = PlanFile {
        name: "plan".to_owned(),
        path: path.into(),
        policy: None,
        batch: arguments.next().map_or(Ok(32), |batch| batch.parse())?,
        threads: arguments
            .next()
            .map(|threads| threads.parse())
            .transpose()?,
    };
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()?;
    runtime.block_on(async {
        let server = Server::bind(config, vec![Box::new(source)]).await?;
        println!("listening on http://{}", server.address());
        let control = server.control();
        tokio::select! {
            ended = server.run() => Ok(ended?),
            () = control.follow_signals() => Err("stopped at once".into()),
        }
    })
}
