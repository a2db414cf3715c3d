//! Initial weights from another run folder.

use std::path::PathBuf;

use burn::tensor::Device;
use offramp_core::nearest;
use offramp_core::params::{self, NamedTensors, ParamError};
use offramp_data::{DataConfig, DatasetInfo};
use offramp_heads::{ModelCard, MultiExitNet, load_model};

use crate::{ModelConfig, TrainError};

/// The network of `model.init-from`.
pub(super) struct Initial {
    path: PathBuf,
    card: ModelCard,
    tensors: NamedTensors,
    /// The stage of each of its exits.
    stages: Vec<usize>,
    /// The backbone that its weights are wanted for.
    wanted: String,
}

impl Initial {
    /// Reads the network of `model.init-from`, if the recipe names one.
    pub(crate) fn of(config: &ModelConfig, device: &Device) -> Result<Option<Self>, TrainError> {
        let Some(path) = &config.init_from else {
            return Ok(None);
        };
        let (net, card) = load_model(path, &device.clone().inner())?;
        Ok(Some(Self {
            path: path.clone(),
            card,
            tensors: params::collect(&net),
            stages: net.exit_stages().to_vec(),
            wanted: config.backbone.name().to_owned(),
        }))
    }

    /// Sets the normalisation that the weights expect, where the recipe does not state one.
    pub(crate) fn normalise(&self, config: &DataConfig, info: &mut DatasetInfo) {
        if config.mean.is_none() {
            info.mean = self.card.mean;
        }
        if config.std.is_none() {
            info.std = self.card.std;
        }
    }

    /// Replaces the weights of the backbone, of every head whose counterpart at the same stage has
    /// the same tensors, and of every link whose counterpart between the same stages has; logs
    /// which of them keep their initial values.
    pub(crate) fn fill(&self, net: MultiExitNet) -> Result<MultiExitNet, TrainError> {
        let mut tensors = params::collect(&net);
        let fresh = self
            .replace(&mut tensors, net.exit_stages())
            .and_then(|fresh| Ok((params::apply(net, tensors)?, fresh)));
        let (net, fresh) = fresh.map_err(|source| TrainError::InitFrom {
            path: self.path.clone(),
            found: self.card.net.backbone.name().to_owned(),
            wanted: self.wanted.clone(),
            source: Box::new(source),
        })?;
        let fresh = if fresh.is_empty() {
            "nothing".to_owned()
        } else {
            fresh.join(", ")
        };
        tracing::info!(
            "initial weights from {}; fresh: {fresh}",
            self.path.display()
        );
        Ok(net)
    }

    /// The heads and links that have no counterpart.
    fn replace(
        &self,
        tensors: &mut NamedTensors,
        stages: &[usize],
    ) -> Result<Vec<String>, ParamError> {
        for (name, own) in tensors.iter_mut() {
            if name.starts_with("backbone.") {
                let Some(given) = self.tensors.get(name) else {
                    let names = self.tensors.keys().map(String::as_str);
                    return Err(ParamError::Missing {
                        name: name.clone(),
                        nearest: nearest(name, names).map(str::to_owned),
                    });
                };
                if given.shape() != own.shape() {
                    return Err(ParamError::Shape {
                        name: name.clone(),
                        expected: own.shape().to_vec(),
                        found: given.shape().to_vec(),
                    });
                }
                *own = given.clone();
            }
        }
        // All of ResNet-20 is found in ResNet-56.
        let backbone = |name: &&String| name.starts_with("backbone.");
        let mut given = self.tensors.keys().filter(backbone);
        if let Some(name) = given.find(|name| !tensors.contains_key(*name)) {
            return Err(ParamError::Unexpected {
                name: name.clone(),
                nearest: None,
            });
        }
        let mut fresh = Vec::new();
        for (exit, stage) in stages.iter().enumerate() {
            // Of several branches after one stage, the first takes the first's.
            let place = stages[..exit]
                .iter()
                .filter(|other| *other == stage)
                .count();
            let mut alike = (self.stages.iter().enumerate()).filter(|(_, given)| *given == stage);
            let given = alike.nth(place).map(|(given, _)| given);
            match given.and_then(|given| self.part("heads", given, exit, tensors)) {
                Some(head) => tensors.extend(head),
                None => fresh.push(format!("heads.{exit}")),
            }
        }
        for (exit, pair) in (1..).zip(stages.windows(2)) {
            let link = format!("links.{exit}.");
            if !tensors.keys().any(|name| name.starts_with(&link)) {
                continue;
            }
            let given = self.stages.windows(2).position(|given| given == pair);
            match given.and_then(|given| self.part("links", given + 1, exit, tensors)) {
                Some(link) => tensors.extend(link),
                None => fresh.push(format!("links.{exit}")),
            }
        }
        Ok(fresh)
    }

    /// The tensors of head or link `given` of this network under the names of number `exit` of the other,
    /// if names and shapes agree.
    fn part(
        &self,
        kind: &str,
        given: usize,
        exit: usize,
        tensors: &NamedTensors,
    ) -> Option<NamedTensors> {
        let (from, to) = (format!("{kind}.{given}."), format!("{kind}.{exit}."));
        let found: NamedTensors = (self.tensors.iter())
            .filter_map(|(name, data)| {
                let part = name.strip_prefix(&from)?;
                Some((format!("{to}{part}"), data.clone()))
            })
            .collect();
        let wanted = tensors.iter().filter(|(name, _)| name.starts_with(&to));
        let shape = |name: &String| found.get(name).map(|data| data.shape());
        let fits = wanted.clone().count() == found.len() && { wanted }
            .all(|(name, data)| shape(name) == Some(data.shape()));
        fits.then_some(found)
    }
}
