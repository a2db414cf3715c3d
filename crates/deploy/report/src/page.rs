//! The HTML page.

use std::collections::BTreeMap;

use askama::Template;
use offramp_run::{Gallery, GalleryImage, known};

use crate::ReportError;
use crate::chart::{Chart, Table, stylesheet};
use crate::group;
use crate::report::Report;
use crate::run::Run;

#[derive(Template)]
#[template(path = "report.html")]
struct Page {
    title: String,
    version: &'static str,
    chart_styles: String,
    notes: Vec<String>,
    groups: Table,
    comparison: Vec<Figure>,
    runs: Vec<Section>,
}

struct Figure {
    id: String,
    title: String,
    description: String,
    svg: String,
    table: Table,
}

struct Section {
    id: String,
    label: String,
    facts: Vec<(&'static str, String)>,
    scores: Table,
    figures: Vec<Figure>,
    policy: String,
    gallery: Vec<GallerySection>,
    missing: Vec<String>,
    recipe: String,
}

/// Images that left at one exit with the same success.
struct GallerySection {
    title: String,
    images: Vec<GalleryImage>,
}

/// Renders the page.
pub(crate) fn render(report: &Report) -> Result<String, ReportError> {
    let sections = report.runs.iter().zip(&report.charts).enumerate();
    let sections = sections.map(|(place, (run, (charts, missing)))| {
        Ok(Section {
            id: format!("run-{place}"),
            label: run.label(),
            facts: facts(run),
            scores: scores(run),
            figures: figures(charts)?,
            policy: run
                .gallery
                .as_ref()
                .map_or(String::new(), |g| g.policy.clone()),
            gallery: run
                .gallery
                .as_ref()
                .map(gallery_sections)
                .unwrap_or_default(),
            missing: missing.clone(),
            recipe: run
                .recipe
                .as_ref()
                .map_or(String::new(), |r| r.text.clone()),
        })
    });
    let names: Vec<&str> = report.groups.iter().map(|g| g.name.as_str()).collect();
    let page = Page {
        title: names.join(", "),
        version: env!("CARGO_PKG_VERSION"),
        chart_styles: stylesheet(),
        notes: report.notes(),
        groups: group::table(&report.groups),
        comparison: figures(&report.comparison)?,
        runs: sections.collect::<Result<_, ReportError>>()?,
    };
    Ok(page.render()?)
}

fn figures(charts: &[Chart]) -> Result<Vec<Figure>, ReportError> {
    let figure = |chart: &Chart| {
        Ok(Figure {
            id: chart.id.clone(),
            title: chart.title.clone(),
            description: chart.description.clone(),
            svg: chart.svg()?,
            table: chart.table(),
        })
    };
    charts.iter().map(figure).collect()
}

fn facts(run: &Run) -> Vec<(&'static str, String)> {
    let recipe = |keys: &[&str]| run.recipe.as_ref().and_then(|r| r.get(keys));
    let card = run.card.as_ref();
    let last = run.metrics.last.as_ref();
    let unknown = || "not recorded".to_owned();
    let dataset = || card.map(|card| card.dataset.clone());
    let steps = last.map(|last| {
        let early = if last.stopped_early {
            ", stopped early"
        } else {
            ""
        };
        format!("{}, weights of step {}{early}", last.step, last.model_step)
    });
    let time = last.and_then(|last| known(last.seconds));
    let hardware = run.latency.as_ref().map(|latency| latency.hardware.clone());
    let policy = run.policy.as_ref().map(|file| {
        let expected = &file.expected;
        format!(
            "{}, fitted on {} rows of {}: {:.2} M MACs, top-1 {:.2} % there",
            file.criterion
                .map_or("learned".to_owned(), |c| c.to_string()),
            file.fitted_on.samples,
            file.fitted_on.split,
            expected.mean_macs / 1e6,
            expected.top1,
        )
    });
    let scored = run.calibration.as_ref().and_then(|c| c.scored.as_ref());
    let scored = scored.map(|p| format!("{:.2} M MACs, top-1 {:.2} %", p.mean_macs / 1e6, p.top1));
    vec![
        ("folder", run.folder.display().to_string()),
        ("name", run.name()),
        ("seed", recipe(&["seed"]).unwrap_or_else(unknown)),
        (
            "method",
            recipe(&["method", "name"]).unwrap_or_else(unknown),
        ),
        (
            "backbone",
            recipe(&["model", "backbone", "name"]).unwrap_or_else(unknown),
        ),
        (
            "data",
            recipe(&["data", "dataset"])
                .or_else(dataset)
                .unwrap_or_else(unknown),
        ),
        (
            "steps",
            steps.unwrap_or_else(|| "the run has no end yet".to_owned()),
        ),
        (
            "training time",
            time.map_or_else(unknown, |s| format!("{s:.0} s")),
        ),
        ("device", run.device().unwrap_or_else(unknown)),
        ("hardware", hardware.unwrap_or_else(unknown)),
        (
            "commit",
            card.and_then(|card| card.commit.clone())
                .unwrap_or_else(unknown),
        ),
        (
            "SHA-256 of the weights",
            card.map_or_else(unknown, |card| card.sha256.clone()),
        ),
        ("policy", policy.unwrap_or_else(|| "none".to_owned())),
        ("policy on the test rows", scored.unwrap_or_else(unknown)),
    ]
}

fn scores(run: &Run) -> Table {
    let Some(scores) = &run.scores else {
        return Table::default();
    };
    let number = |value: f64| known(value).map_or("–".to_owned(), |v| format!("{v:.2}"));
    let rows = scores.exits.iter().enumerate().map(|(exit, score)| {
        vec![
            exit.to_string(),
            number(score.top1),
            number(score.top5),
            known(score.nll).map_or("–".to_owned(), |nll| format!("{nll:.3}")),
            number(score.ece),
            format!("{:.2}", score.macs as f64 / 1e6),
            format!("{:.1}", score.params as f64 / 1e3),
        ]
    });
    let header = [
        "exit",
        "top-1 %",
        "top-5 %",
        "NLL, nats",
        "ECE %",
        "MACs, M",
        "parameters, k",
    ];
    Table {
        header: header.map(str::to_owned).to_vec(),
        rows: rows.collect(),
        remark: Some(format!(
            "{} rows of the {} split; mean of all exits' softmax: top-1 {} %. MACs and parameters \
             count everything up to the exit.",
            scores.samples,
            scores.split,
            number(scores.ensemble.top1)
        )),
    }
}

/// By exit, right answers before wrong ones.
fn gallery_sections(gallery: &Gallery) -> Vec<GallerySection> {
    let mut groups: BTreeMap<(usize, bool), Vec<GalleryImage>> = BTreeMap::new();
    for image in &gallery.images {
        let wrong = image.label != image.prediction;
        groups
            .entry((image.exit, wrong))
            .or_default()
            .push(image.clone());
    }
    let section = |((exit, wrong), images)| GallerySection {
        title: format!(
            "Left at exit {exit}, {}",
            if wrong { "wrong" } else { "right" }
        ),
        images,
    };
    groups.into_iter().map(section).collect()
}
