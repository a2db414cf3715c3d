//! Options of a request.

use std::sync::Arc;

use offramp_policies::{AnyPolicy, Rule};
use serde::Deserialize;
use serde_json::Value;
use utoipa::{IntoParams, ToSchema};

use crate::api_error::ApiError;
use crate::model::Card;
use crate::worker::StopRule;

/// Options of a prediction, of which `max_ms`, `max_macs`, `exit` and `policy` exclude each other.
///
/// They may stand in the query, beside the images of a JSON body, or as fields of a form; the body
/// overrides the query.
#[derive(Clone, Debug, Default, Deserialize, IntoParams, ToSchema)]
#[serde(default, deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Options {
    /// Name of the model; the first of the service without.
    #[param(min_length = 1)]
    pub(crate) model: Option<String>,
    /// How many of the most probable classes to return, at most as many as there are.
    #[schema(minimum = 1, default = 5)]
    #[param(minimum = 1, default = 5)]
    pub(crate) top_k: Option<usize>,
    /// Answer each image at the deepest exit that is reached within this many milliseconds after it was
    /// accepted, by times measured on an idle engine.
    #[schema(exclusive_minimum = 0)]
    #[param(exclusive_minimum = 0)]
    pub(crate) max_ms: Option<f64>,
    /// Spend at most this many multiply-accumulates: on average over images like those of the
    /// calibration where the model has a calibrated curve, else on each.
    #[schema(exclusive_minimum = 0)]
    #[param(exclusive_minimum = 0)]
    pub(crate) max_macs: Option<f64>,
    /// Answer at this exit, from 0.
    #[schema(minimum = 0)]
    #[param(minimum = 0)]
    pub(crate) exit: Option<usize>,
    /// Stop by this policy, written as in `policy.json`, such as
    /// `{"name": "confidence", "thresholds": [0.9, 0.8, 0]}`. In a query or a form it is JSON text.
    #[schema(value_type = Option<Object>)]
    #[param(value_type = Option<String>)]
    pub(crate) policy: Option<Value>,
    /// Also return the answer of every exit. Costs as many places in the queue as there are exits.
    #[schema(default = false)]
    #[param(default = false)]
    pub(crate) trace: Option<bool>,
}

/// Checked options of a request, for a model.
pub(crate) struct Choice {
    pub(crate) stop: StopRule,
    /// A description of what decides where an image leaves.
    pub(crate) origin: String,
    pub(crate) top_k: usize,
    pub(crate) trace: bool,
}

const TOP_K: usize = 5;

impl Options {
    /// The options of a query.
    pub(crate) fn of_query(query: &str) -> Result<Self, ApiError> {
        let mut options = Self::default();
        let pairs: Vec<(String, String)> = serde_urlencoded(query)?;
        for (name, text) in pairs {
            options.set(&name, &text)?;
        }
        Ok(options)
    }

    /// Sets one option from text.
    pub(crate) fn set(&mut self, name: &str, text: &str) -> Result<(), ApiError> {
        fn read<T: std::str::FromStr>(name: &str, text: &str) -> Result<Option<T>, ApiError> {
            let wrong = |_| ApiError::bad(format!("{name} = {text:?} cannot be read"));
            text.trim().parse().map(Some).map_err(wrong)
        }
        match name {
            "model" => self.model = Some(text.to_owned()),
            "top_k" => self.top_k = read(name, text)?,
            "max_ms" => self.max_ms = read(name, text)?,
            "max_macs" => self.max_macs = read(name, text)?,
            "exit" => self.exit = read(name, text)?,
            "trace" => self.trace = read(name, text)?,
            "policy" => {
                let policy = serde_json::from_str(text)
                    .map_err(|error| ApiError::bad(format!("policy is no JSON: {error}")))?;
                self.policy = Some(policy);
            }
            _ => {
                return Err(ApiError::bad(format!(
                    "{name:?} is no option; there are model, top_k, max_ms, max_macs, exit, policy, trace"
                )));
            }
        }
        Ok(())
    }

    /// These, overridden by what `over` sets.
    pub(crate) fn overridden(self, over: Self) -> Self {
        let decides = over.max_ms.is_some()
            || over.max_macs.is_some()
            || over.exit.is_some()
            || over.policy.is_some();
        let base = if decides {
            Self::default()
        } else {
            self.clone()
        };
        Self {
            model: over.model.or(self.model),
            top_k: over.top_k.or(self.top_k),
            max_ms: over.max_ms.or(base.max_ms),
            max_macs: over.max_macs.or(base.max_macs),
            exit: over.exit.or(base.exit),
            policy: over.policy.or(base.policy),
            trace: over.trace.or(self.trace),
        }
    }

    /// What this means for a model.
    pub(crate) fn choice(&self, card: &Card) -> Result<Choice, ApiError> {
        let classes = card.classes.len();
        if let Some(0) = self.top_k {
            return Err(ApiError::bad("top_k = 0, at least 1 is needed"));
        }
        let (stop, origin) = self.stop(card)?;
        Ok(Choice {
            stop,
            origin,
            top_k: self.top_k.unwrap_or(TOP_K).min(classes),
            trace: self.trace.unwrap_or(false),
        })
    }

    fn stop(&self, card: &Card) -> Result<(StopRule, String), ApiError> {
        match (self.max_ms, self.max_macs, self.exit, &self.policy) {
            (None, None, None, None) => {
                Ok((StopRule::Rule(Arc::clone(&card.rule)), card.origin.clone()))
            }
            (Some(ms), None, None, None) => within_ms(card, ms),
            (None, Some(macs), None, None) => within_macs(card, macs),
            (None, None, Some(exit), None) => at_exit(card, exit),
            (None, None, None, Some(policy)) => by_policy(card, policy),
            _ => Err(ApiError::bad(
                "max_ms, max_macs, exit and policy exclude each other; give one of them",
            )),
        }
    }
}

/// The pairs of a query.
fn serde_urlencoded(query: &str) -> Result<Vec<(String, String)>, ApiError> {
    let uri = format!("/?{query}")
        .parse()
        .map_err(|error| ApiError::bad(format!("the query cannot be read: {error}")))?;
    let pairs = axum::extract::Query::try_from_uri(&uri)
        .map_err(|error| ApiError::bad(format!("the query cannot be read: {error}")))?;
    Ok(pairs.0)
}

fn positive(name: &str, value: f64) -> Result<f64, ApiError> {
    if value.is_finite() && value > 0.0 {
        Ok(value)
    } else {
        Err(ApiError::bad(format!(
            "{name} = {value}, a number above 0 is needed"
        )))
    }
}

fn within_ms(card: &Card, ms: f64) -> Result<(StopRule, String), ApiError> {
    let ms = positive("max_ms", ms)?;
    let first = card.exit_ms.first().copied().unwrap_or_default();
    if ms < first {
        return Err(ApiError::option(format!(
            "max_ms = {ms}: exit 0 alone takes {first:.3} ms here"
        )));
    }
    Ok((StopRule::Within(ms), format!("within {ms} ms")))
}

fn within_macs(card: &Card, macs: f64) -> Result<(StopRule, String), ApiError> {
    let macs = positive("max_macs", macs)?;
    if let Some((point, rule)) = card
        .facts
        .curve
        .as_ref()
        .and_then(|curve| curve.within(macs))
    {
        let origin = format!("{:.0} MACs on average", point.mean_macs);
        return Ok((StopRule::Rule(Arc::clone(rule)), origin));
    }
    let fits = card.macs.partition_point(|&cost| cost as f64 <= macs);
    match fits.checked_sub(1) {
        Some(exit) => at_exit(card, exit),
        None => Err(ApiError::option(format!(
            "max_macs = {macs}: exit 0 alone costs {}",
            card.macs[0]
        ))),
    }
}

fn at_exit(card: &Card, exit: usize) -> Result<(StopRule, String), ApiError> {
    match card.at_exit.get(exit) {
        Some(rule) => Ok((
            StopRule::Rule(Arc::clone(rule)),
            format!("always exit {exit}"),
        )),
        None => Err(ApiError::option(format!(
            "exit = {exit}: the model has exits 0 to {}",
            card.exits() - 1
        ))),
    }
}

fn by_policy(card: &Card, policy: &Value) -> Result<(StopRule, String), ApiError> {
    let wrong = |error: String| ApiError::option(format!("policy: {error}"));
    let policy: AnyPolicy =
        serde_json::from_value(policy.clone()).map_err(|error| wrong(error.to_string()))?;
    let rule = Rule {
        policy,
        readout: card.rule.readout.clone(),
    };
    rule.check(card.exits(), card.classes.len())
        .map_err(|error| wrong(error.to_string()))?;
    Ok((
        StopRule::Rule(Arc::new(rule)),
        "the request's policy".to_owned(),
    ))
}
