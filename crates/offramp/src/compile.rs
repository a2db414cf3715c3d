//! A plan made of the network in a run folder.

use std::path::Path;

use offramp_core::default_device;
use offramp_executor::{About, MultiExitPlan, Options};
use offramp_heads::load_model;

use crate::Error;

/// Reads `model.json` and `model.safetensors`, and compiles the network for at most `batch` images.
pub(crate) fn compile(
    run: &Path,
    batch: usize,
    threads: usize,
) -> Result<(MultiExitPlan, About), Error> {
    fn wrong<E>(run: &Path) -> impl Fn(E) -> Error
    where
        E: std::error::Error + Send + Sync + 'static,
    {
        move |source| Error::Model {
            run: run.to_owned(),
            source: Box::new(source),
        }
    }
    let device = default_device().map_err(wrong(run))?;
    let (net, card) = load_model(run, &device).map_err(wrong(run))?;
    let graphs = net.segment_graphs(card.image).map_err(wrong(run))?;
    let options = Options {
        threads,
        ..Options::default()
    };
    let plan = MultiExitPlan::compile(&graphs, batch, options)?;
    let costs = net.exit_costs(card.image);
    let about = About::new(&card, costs.iter().map(|cost| cost.macs).collect());
    Ok((plan.with_about(about.clone())?, about))
}
