//! The description of an exported network.

use std::collections::BTreeMap;

use offramp_core::MapShape;
use offramp_heads::{ModelCard, MultiExitNet, NetConfig};
use serde::{Deserialize, Serialize};
use serde_json::to_string;

/// Version of the description; a change that older readers would misread raises it.
const FORMAT: u32 = 2;

/// Everything that has to be known of an exported network besides its weights.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Description {
    /// Version of these fields, now 2; in version 1 a policy had `kind` for `name`.
    pub format: u32,
    /// Backbone, heads and stages of the exits, as in a recipe's `[model]`.
    pub net: NetConfig,
    /// Names of the classes, in the order of the logits.
    pub classes: Vec<String>,
    /// Shape of an input image.
    pub image: MapShape,
    /// The shape that an image is resized to before the centre is cut out.
    pub resize: MapShape,
    /// Mean of the pixels (0 to 1), per channel, that is subtracted before the network.
    pub mean: [f32; 3],
    /// Standard deviation of the pixels, per channel, that is divided by.
    pub std: [f32; 3],
    /// The data set that it was trained on.
    pub dataset: String,
    /// The resolved recipe, a TOML text; none for an imported network.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recipe: Option<String>,
    /// Commit of the program that trained it, where known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub commit: Option<String>,
    /// SHA-256 of the `model.safetensors` that this was made of.
    pub model: String,
    /// The exits, shallowest first.
    pub exits: Vec<ExitDescription>,
}

/// One exit.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ExitDescription {
    /// Name of its logits in ONNX.
    pub output: String,
    /// The backbone's stage that it is attached to, from 0.
    pub stage: usize,
    /// MACs for one image up to this exit, the heads of the exits before included.
    pub macs: u64,
    /// Trainable parameters up to here.
    pub params: u64,
}

impl Description {
    /// The description of a saved network; `recipe` is the text of its `recipe.toml`.
    pub fn new(net: &MultiExitNet, card: &ModelCard, recipe: Option<String>) -> Self {
        // What does not fit is an error of the export itself, which names the layer.
        let costs = match net.check_image(card.image) {
            Ok(()) => net.exit_costs(card.image),
            Err(_) => Vec::new(),
        };
        let exits = net.exit_stages().iter().zip(costs).enumerate();
        Self {
            format: FORMAT,
            net: card.net.clone(),
            classes: card.classes.clone(),
            image: card.image,
            resize: card.resize,
            mean: card.mean,
            std: card.std,
            dataset: card.dataset.clone(),
            recipe,
            commit: card.commit.clone(),
            model: card.sha256.clone(),
            exits: exits
                .map(|(exit, (&stage, cost))| ExitDescription {
                    output: format!("exit{exit}"),
                    stage,
                    macs: cost.macs,
                    params: cost.params,
                })
                .collect(),
        }
    }

    /// One text per field, `offramp.FIELD`, for files whose metadata are texts: a text is as it is,
    /// everything else is JSON.
    pub(crate) fn metadata(&self) -> serde_json::Result<BTreeMap<String, String>> {
        // Straight to text: by way of a `serde_json::Value` 0.4_f32 would become 0.4000000059604645.
        let mut fields = vec![
            ("format", to_string(&self.format)?),
            ("net", to_string(&self.net)?),
            ("classes", to_string(&self.classes)?),
            ("image", to_string(&self.image)?),
            ("resize", to_string(&self.resize)?),
            ("mean", to_string(&self.mean)?),
            ("std", to_string(&self.std)?),
            ("dataset", self.dataset.clone()),
            ("model", self.model.clone()),
            ("exits", to_string(&self.exits)?),
        ];
        fields.extend(self.recipe.clone().map(|text| ("recipe", text)));
        fields.extend(self.commit.clone().map(|text| ("commit", text)));
        let key = |(name, text)| (format!("offramp.{name}"), text);
        Ok(fields.into_iter().map(key).collect())
    }
}
