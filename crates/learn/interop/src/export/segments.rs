//! One ONNX file for each segment, and the JSON that chains them.

use std::path::Path;

use offramp_core::files;
use offramp_graph::{Graph, Port, fold_batch_norms};
use offramp_heads::MultiExitNet;
use offramp_policies::{AnyPolicy, Temperatures};
use serde::{Deserialize, Serialize};
use serde_json::to_string;

use super::whole::notes;
use super::{Description, ExportError, Opset, graph_to_onnx};

/// When a chain stops.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct ChainPolicy {
    /// The policy, as in `policy.json`.
    pub policy: AnyPolicy,
    /// What the logits of each exit are divided by before the softmax; none: nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub temperatures: Option<Temperatures>,
}

impl ChainPolicy {
    /// As [`Description::metadata`].
    pub(super) fn metadata(&self) -> serde_json::Result<Vec<(String, String)>> {
        let mut fields = vec![("offramp.policy".to_owned(), to_string(&self.policy)?)];
        if let Some(temperatures) = &self.temperatures {
            fields.push(("offramp.temperatures".to_owned(), to_string(temperatures)?));
        }
        Ok(fields)
    }
}

/// The file `segments.json`: the chain of graphs with everything that a runtime needs.
///
/// An image enters segment 0 as `image`. After segment K the policy looks at its output `exitK`; an
/// image that stops is answered with it, the others go on with those outputs of segment K that segment
/// K+1 names as inputs.
///
/// Format 1 of this file was called `staged.json` and had `stages` for `segments`; it is still read.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SegmentsFile {
    /// The network.
    #[serde(flatten)]
    pub description: Description,
    /// When an image stops.
    #[serde(flatten)]
    pub policy: ChainPolicy,
    /// Version of ONNX's operators in the files.
    pub opset: i64,
    /// Version of ONNX's format of the files.
    pub ir_version: i64,
    /// The files, in the order of computation.
    #[serde(alias = "stages")]
    pub segments: Vec<SegmentFile>,
}

/// One file of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SegmentFile {
    /// Its name, in the folder of the JSON.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The image, or outputs of the segment before under the same names.
    pub inputs: Vec<TensorDescription>,
    /// The logits, then what the next segment reads.
    pub outputs: Vec<TensorDescription>,
    /// Which of the outputs are the logits.
    pub logits: String,
    /// Multiply-accumulates of this segment alone, its head counted, for one image.
    pub macs: u64,
}

/// An input or output.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct TensorDescription {
    /// Its name.
    pub name: String,
    /// Its shape without the batch, which stands in front.
    pub shape: Vec<usize>,
}

/// A chain in memory.
#[derive(Clone, Debug)]
pub struct OnnxSegments {
    /// The JSON.
    pub file: SegmentsFile,
    /// The bytes of every segment's file.
    pub graphs: Vec<Vec<u8>>,
}

/// The network as one ONNX file for each segment with its exit, batch norms folded.
///
/// # Errors
/// As [`onnx`](super::onnx()).
pub fn onnx_segments(
    net: &MultiExitNet,
    description: &Description,
    policy: &ChainPolicy,
    opset: Opset,
) -> Result<OnnxSegments, ExportError> {
    let mut segments = Vec::new();
    let mut graphs = Vec::new();
    for (exit, graph) in net
        .segment_graphs(description.image)?
        .into_iter()
        .enumerate()
    {
        let mut notes = notes(description)?;
        notes.doc = format!(
            "Segment {exit} of 0 to {} of a {}; segments.json says how they are chained.",
            net.num_exits() - 1,
            description.net.backbone.name(),
        );
        let mut segment = SegmentFile {
            file: format!("segment{exit}.onnx"),
            sha256: String::new(),
            inputs: tensors(&graph, graph.inputs()),
            outputs: tensors(&graph, graph.outputs()),
            logits: description.exits[exit].output.clone(),
            macs: graph.macs(),
        };
        let bytes = graph_to_onnx(&fold_batch_norms(graph), &notes, opset)?;
        segment.sha256 = files::sha256(&bytes);
        segments.push(segment);
        graphs.push(bytes);
    }
    let file = SegmentsFile {
        description: description.clone(),
        policy: policy.clone(),
        opset: opset.version(),
        ir_version: opset.ir_version(),
        segments,
    };
    Ok(OnnxSegments { file, graphs })
}

impl OnnxSegments {
    /// Name of the JSON in the folder.
    pub const JSON: &str = "segments.json";

    /// Writes the files into a folder that exists, the JSON last.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ExportError> {
        for (segment, bytes) in self.file.segments.iter().zip(&self.graphs) {
            files::write_atomic(&folder.join(&segment.file), bytes)?;
        }
        let mut json = serde_json::to_vec_pretty(&self.file)?;
        json.push(b'\n');
        files::write_atomic(&folder.join(Self::JSON), &json)?;
        Ok(())
    }
}

fn tensors(graph: &Graph, ports: &[Port]) -> Vec<TensorDescription> {
    let tensor = |port: &Port| TensorDescription {
        name: port.name.clone(),
        shape: graph.shape(port.value).to_vec(),
    };
    ports.iter().map(tensor).collect()
}
