//! The number format of a compiled network: `f32` or `int8`.

use std::path::Path;

use clap::ValueEnum;
use offramp_data::{DatasetInfo, Loader, LoaderConfig, Split, Subset};
use offramp_executor::{About, MultiExitPlan};
use serde::Serialize;

use crate::engine::{images, macs, options, values};
use crate::error::CliError;
use crate::run::Run;

/// The numbers of convolutions.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub(crate) enum Precision {
    /// 32-bit floats
    F32,
    /// Bytes, for the ranges that values have over validation rows
    Int8,
}

/// The most validation rows that ranges are measured on.
const CALIBRATION_ROWS: usize = 1000;

/// Images a batch of the loader.
const BATCH: usize = 128;

/// The run's plan, of bytes chosen on validation rows where there are `rows`.
///
/// # Errors
/// When a node of the network has no compiled form.
pub(crate) fn plan(
    run: &Run,
    rows: Option<&[f32]>,
    batch: usize,
    threads: Option<usize>,
) -> Result<MultiExitPlan, CliError> {
    let graphs = run.net.segment_graphs(run.card.image)?;
    let options = options(threads);
    let plan = match rows {
        None => MultiExitPlan::compile(&graphs, batch, options)?,
        Some(rows) => {
            let samples = rows.len() / run.image_len().max(1);
            MultiExitPlan::quantized(&graphs, batch, options, samples, rows)?
        }
    };
    Ok(plan.with_about(About::new(&run.card, macs(&run.net, &run.card)))?)
}

/// Validation rows for the ranges of bytes, nothing for `f32`.
///
/// # Errors
/// When the run has no validation rows or its data cannot be read.
pub(crate) fn calibration_rows(
    run: &Run,
    precision: Precision,
    data: Option<&Path>,
) -> Result<Option<Vec<f32>>, CliError> {
    if precision == Precision::F32 {
        return Ok(None);
    }
    let splits = run.open_data(data, None)?;
    let rows = splits.get(Split::Val);
    if rows.is_empty() {
        return Err(CliError::Usage(format!(
            "{}: the run has no validation rows (val-fraction = 0), on which --precision int8 measures \
             what ranges values have; train with a val-fraction above 0",
            run.dir.display()
        )));
    }
    Ok(Some(pixels(run, rows, &splits.info, CALIBRATION_ROWS)?))
}

/// At most `most` images of a split as the network reads them, `[N, 3, H, W]`; which, is the same every
/// time.
///
/// # Errors
/// When an image cannot be read.
pub(crate) fn pixels(
    run: &Run,
    rows: &Subset,
    info: &DatasetInfo,
    most: usize,
) -> Result<Vec<f32>, CliError> {
    let rows = rows.take_seeded(most.min(rows.len()), 0);
    let loader = Loader::new(rows, info, LoaderConfig::evaluation(BATCH))?;
    let mut pixels = Vec::new();
    for batch in loader.epoch(0) {
        pixels.extend(values(images(batch?.images, &run.card, &run.device)));
    }
    Ok(pixels)
}
