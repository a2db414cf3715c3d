//! One ONNX file for the whole network.

use std::collections::BTreeMap;

use offramp_graph::fold_batch_norms;
use offramp_heads::MultiExitNet;

use super::{ChainPolicy, Description, ExportError, OnnxNotes, Opset, graph_to_onnx};

/// The whole network as one ONNX file: from `image` to the logits `exit0`, `exit1`, ..., batch norms
/// folded, any size of batch. The description and the policy are its metadata.
///
/// # Errors
/// When the network does not take images of the card's shape, holds an operation that is not known,
/// or is larger than an ONNX file can be.
pub fn onnx(
    net: &MultiExitNet,
    description: &Description,
    policy: &ChainPolicy,
    opset: Opset,
) -> Result<Vec<u8>, ExportError> {
    let graph = fold_batch_norms(net.graph(description.image)?);
    let mut notes = notes(description)?;
    notes.doc = format!(
        "{} trained on {}: images in, the logits of {} exits out, shallowest first.",
        description.net.backbone.name(),
        description.dataset,
        description.exits.len(),
    );
    notes.metadata.extend(policy.metadata()?);
    graph_to_onnx(&graph, &notes, opset)
}

/// The metadata that all files of a network have in common.
pub(super) fn notes(description: &Description) -> Result<OnnxNotes, ExportError> {
    let image = "RGB pixels 0 to 1, minus offramp.mean, divided by offramp.std";
    let mut ports = BTreeMap::from([("image".to_owned(), image.to_owned())]);
    for exit in &description.exits {
        let doc = format!(
            "logits after stage {}, before softmax; {} multiply-accumulates from the image to here",
            exit.stage, exit.macs
        );
        ports.insert(exit.output.clone(), doc);
    }
    Ok(OnnxNotes {
        name: description.net.backbone.name().to_owned(),
        doc: String::new(),
        ports,
        metadata: description.metadata()?,
    })
}
