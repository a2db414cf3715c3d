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

/// The file `staged.json`: the chain of graphs with everything that a runtime needs.
///
/// A sample begins with `image` at stage 0. After stage K the policy looks at its output `exitK`; a
/// sample that stops is answered with it, the others go on with those outputs of stage K that stage
/// K+1 names as inputs.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct StagedFile {
    /// The network.
    #[serde(flatten)]
    pub description: Description,
    /// When a sample stops.
    #[serde(flatten)]
    pub policy: ChainPolicy,
    /// Version of ONNX's operators in the files.
    pub opset: i64,
    /// Version of ONNX's format of the files.
    pub ir_version: i64,
    /// The files, in the order of computation.
    pub stages: Vec<Stage>,
}

/// One file of a chain.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Stage {
    /// Its name, in the folder of the JSON.
    pub file: String,
    /// SHA-256 of the file.
    pub sha256: String,
    /// The image, or outputs of the stage before under the same names.
    pub inputs: Vec<TensorDescription>,
    /// The logits, then what the next stage reads.
    pub outputs: Vec<TensorDescription>,
    /// Which of the outputs are the logits.
    pub logits: String,
    /// Multiply-accumulates of this stage alone, its head counted, for one image.
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
pub struct Staged {
    /// The JSON.
    pub file: StagedFile,
    /// The bytes of every stage's file.
    pub graphs: Vec<Vec<u8>>,
}

/// The network as one ONNX file for each segment with its exit, batch norms folded.
///
/// # Errors
/// As [`onnx`](super::onnx()).
pub fn staged(
    net: &MultiExitNet,
    description: &Description,
    policy: &ChainPolicy,
    opset: Opset,
) -> Result<Staged, ExportError> {
    let mut stages = Vec::new();
    let mut graphs = Vec::new();
    for (exit, graph) in net
        .segment_graphs(description.image)?
        .into_iter()
        .enumerate()
    {
        let mut notes = notes(description)?;
        notes.doc = format!(
            "Stage {exit} of 0 to {} of a {}; staged.json says how they are chained.",
            net.num_exits() - 1,
            description.net.backbone.name(),
        );
        let mut stage = Stage {
            file: format!("stage{exit}.onnx"),
            sha256: String::new(),
            inputs: tensors(&graph, graph.inputs()),
            outputs: tensors(&graph, graph.outputs()),
            logits: description.exits[exit].output.clone(),
            macs: graph.macs(),
        };
        let bytes = graph_to_onnx(&fold_batch_norms(graph), &notes, opset)?;
        stage.sha256 = files::sha256(&bytes);
        stages.push(stage);
        graphs.push(bytes);
    }
    let file = StagedFile {
        description: description.clone(),
        policy: policy.clone(),
        opset: opset.version(),
        ir_version: opset.ir_version(),
        stages,
    };
    Ok(Staged { file, graphs })
}

impl Staged {
    /// Name of the JSON in the folder.
    pub const JSON: &str = "staged.json";

    /// Writes the files into a folder that exists, the JSON last.
    ///
    /// # Errors
    /// When a file cannot be written.
    pub fn write(&self, folder: &Path) -> Result<(), ExportError> {
        for (stage, bytes) in self.file.stages.iter().zip(&self.graphs) {
            files::write_atomic(&folder.join(&stage.file), bytes)?;
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
