//! Metrics for Prometheus.

use std::sync::Arc;
use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, text};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct RouteLabels {
    route: String,
    status: u16,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReasonLabels {
    reason: &'static str,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ModelLabels {
    model: String,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ExitLabels {
    model: String,
    exit: usize,
}

#[derive(Clone, Debug, Hash, PartialEq, Eq, EncodeLabelSet)]
struct ReloadLabels {
    model: String,
    result: &'static str,
}

type Latency = Family<ExitLabels, Histogram>;
type Sizes = Family<ModelLabels, Histogram>;

/// The numbers of a whole service.
#[derive(Clone)]
pub(crate) struct Metrics {
    registry: Arc<Registry>,
    requests: Family<RouteLabels, Counter>,
    refused: Family<ReasonLabels, Counter>,
    latency: Latency,
    exits: Family<ExitLabels, Counter>,
    batches: Sizes,
    queue: Family<ModelLabels, Gauge>,
    fill: Family<ModelLabels, Gauge<f64, AtomicU64>>,
    failures: Family<ModelLabels, Counter>,
    reloads: Family<ReloadLabels, Counter>,
    connections: Gauge,
}

impl Metrics {
    pub(crate) fn new() -> Self {
        let seconds = || Histogram::new(exponential_buckets(0.000_5, 2.0, 16));
        let images = || Histogram::new(exponential_buckets(1.0, 2.0, 9));
        let mut all = Self {
            registry: Arc::default(),
            requests: Family::default(),
            refused: Family::default(),
            latency: Latency::new_with_constructor(seconds),
            exits: Family::default(),
            batches: Sizes::new_with_constructor(images),
            queue: Family::default(),
            fill: Family::default(),
            failures: Family::default(),
            reloads: Family::default(),
            connections: Gauge::default(),
        };
        let mut r = Registry::with_prefix("offramp");
        let version = Info::new(vec![("version", env!("CARGO_PKG_VERSION"))]);
        r.register("build", "The program", version);
        r.register("requests", "Requests answered", all.requests.clone());
        r.register("refused", "Requests refused", all.refused.clone());
        r.register_with_unit(
            "latency",
            "Time of one image from its place in the queue to its answer",
            Unit::Seconds,
            all.latency.clone(),
        );
        r.register("exits", "Images answered", all.exits.clone());
        r.register(
            "batch_images",
            "Images computed together",
            all.batches.clone(),
        );
        r.register(
            "queue_images",
            "Images accepted and not answered",
            all.queue.clone(),
        );
        r.register(
            "queue_fill",
            "The same as a share of the limit",
            all.fill.clone(),
        );
        r.register("engine_failures", "Steps that failed", all.failures.clone());
        r.register("reloads", "Models loaded again", all.reloads.clone());
        r.register("connections", "Connections open", all.connections.clone());
        all.registry = Arc::new(r);
        all
    }

    pub(crate) fn request(&self, route: &str, status: u16) {
        let route = route.to_owned();
        self.requests
            .get_or_create(&RouteLabels { route, status })
            .inc();
    }

    pub(crate) fn refused(&self, reason: &'static str) {
        self.refused.get_or_create(&ReasonLabels { reason }).inc();
    }

    pub(crate) fn queue(&self, model: &str, images: usize, limit: usize) {
        let labels = ModelLabels {
            model: model.to_owned(),
        };
        self.queue.get_or_create(&labels).set(images as i64);
        let fill = images as f64 / limit.max(1) as f64;
        self.fill.get_or_create(&labels).set(fill);
    }

    pub(crate) fn reloaded(&self, model: &str, succeeded: bool) {
        let result = if succeeded { "ok" } else { "error" };
        let model = model.to_owned();
        self.reloads
            .get_or_create(&ReloadLabels { model, result })
            .inc();
    }

    pub(crate) fn connections(&self) -> &Gauge {
        &self.connections
    }

    /// The part of one model, whose series are there from the start.
    pub(crate) fn of_model(&self, model: &str, exits: usize) -> ModelMetrics {
        let labels = ModelLabels {
            model: model.to_owned(),
        };
        let exit = |exit| ExitLabels {
            model: model.to_owned(),
            exit,
        };
        ModelMetrics {
            latency: (0..exits)
                .map(|k| self.latency.get_or_create(&exit(k)).clone())
                .collect(),
            exits: (0..exits)
                .map(|k| self.exits.get_or_create(&exit(k)).clone())
                .collect(),
            batches: self.batches.get_or_create(&labels).clone(),
            failures: self.failures.get_or_create(&labels).clone(),
        }
    }

    /// The text format of OpenMetrics 1.0, which Prometheus reads.
    pub(crate) fn text(&self) -> Result<String, std::fmt::Error> {
        let mut out = String::new();
        text::encode(&mut out, &self.registry)?;
        Ok(out)
    }
}

/// The numbers of one model.
#[derive(Clone)]
pub(crate) struct ModelMetrics {
    latency: Vec<Histogram>,
    exits: Vec<Counter>,
    batches: Histogram,
    failures: Counter,
}

impl ModelMetrics {
    pub(crate) fn answered(&self, exit: usize, elapsed: Duration) {
        if let (Some(latency), Some(exits)) = (self.latency.get(exit), self.exits.get(exit)) {
            latency.observe(elapsed.as_secs_f64());
            exits.inc();
        }
    }

    pub(crate) fn batch(&self, images: usize) {
        self.batches.observe(images as f64);
    }

    pub(crate) fn failed(&self) {
        self.failures.inc();
    }
}
