//! A graph as an ONNX file.

use std::collections::BTreeMap;

use offramp_graph::{Graph, Port};
use prost::Message;

use super::Opset;
use super::lower::{Lowered, lower};
use super::proto::{
    Dimension, GraphProto, ModelProto, OperatorSetIdProto, StringStringEntryProto,
    TensorShapeProto, TensorType, TypeProto, ValueInfoProto, data_type,
};
use crate::export::ExportError;

/// The metadata of an ONNX file.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct OnnxNotes {
    /// Name of the graph; `graph` if empty.
    pub name: String,
    /// Description of the model, for people.
    pub doc: String,
    /// Descriptions of inputs and outputs by name, for people.
    pub ports: BTreeMap<String, String>,
    /// Metadata for programs.
    pub metadata: BTreeMap<String, String>,
}

/// A graph as the bytes of an ONNX file, operation by operation, for batches of any size.
///
/// # Errors
/// When it holds an operation that is not known or is larger than an ONNX file can be.
pub fn graph_to_onnx(
    graph: &Graph,
    notes: &OnnxNotes,
    opset: Opset,
) -> Result<Vec<u8>, ExportError> {
    let Lowered { nodes, constants } = lower(graph, opset)?;
    let port = |port: &Port| ValueInfoProto {
        name: port.name.clone(),
        r#type: Some(tensor(graph.shape(port.value))),
        doc_string: notes.ports.get(&port.name).cloned().unwrap_or_default(),
    };
    let metadata = notes
        .metadata
        .iter()
        .map(|(key, value)| StringStringEntryProto {
            key: key.clone(),
            value: value.clone(),
        });
    let model = ModelProto {
        ir_version: opset.ir_version(),
        producer_name: "offramp".to_owned(),
        producer_version: env!("CARGO_PKG_VERSION").to_owned(),
        doc_string: notes.doc.clone(),
        graph: Some(GraphProto {
            node: nodes,
            // Its absence is an error to ONNX's checker.
            name: if notes.name.is_empty() {
                "graph".to_owned()
            } else {
                notes.name.clone()
            },
            initializer: constants,
            input: graph.inputs().iter().map(port).collect(),
            output: graph.outputs().iter().map(port).collect(),
        }),
        opset_import: vec![OperatorSetIdProto {
            domain: String::new(),
            version: opset.version(),
        }],
        metadata_props: metadata.collect(),
    };
    // The limit of protobuf, which readers enforce.
    let bytes = model.encoded_len();
    match i32::try_from(bytes) {
        Ok(_) => Ok(model.encode_to_vec()),
        Err(_) => Err(ExportError::TooLarge { bytes }),
    }
}

/// Floats, a batch of any size in front.
fn tensor(shape: &[usize]) -> TypeProto {
    let batch = Dimension {
        dim_value: None,
        dim_param: Some("batch".to_owned()),
    };
    let sides = shape.iter().map(|side| Dimension {
        dim_value: Some(*side as i64),
        dim_param: None,
    });
    TypeProto {
        tensor_type: Some(TensorType {
            elem_type: data_type::FLOAT,
            shape: Some(TensorShapeProto {
                dim: [batch].into_iter().chain(sides).collect(),
            }),
        }),
    }
}
