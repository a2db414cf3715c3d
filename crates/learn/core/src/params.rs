//! Parameters and buffers of a module by name: collecting, replacing, storing.
//!
//! A name is the path of fields down to the tensor, joined by dots, as in a
//! PyTorch `state_dict` (`backbone.layer1.0.conv1.weight`). Variants of enums do
//! not appear, so that a module may change from a struct to a choice of structs
//! without changing a name.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{DType, Gradients, Tensor, TensorData};
use safetensors::SafeTensors;
use safetensors::tensor::{Dtype, TensorView};
use thiserror::Error;

/// Tensors by name, in the order of the names.
pub type NamedTensors = BTreeMap<String, TensorData>;

/// Tensors that do not fit a module, or bytes that hold no tensors.
#[derive(Debug, Error)]
pub enum ParamError {
    /// A tensor of the module has no counterpart.
    #[error("no tensor is called {name:?}{}", suggestion(nearest))]
    Missing {
        /// Name in the module.
        name: String,
        /// The most similar name among those given.
        nearest: Option<String>,
    },
    /// A given tensor has no counterpart in the module.
    #[error("the network has no tensor called {name:?}{}", suggestion(nearest))]
    Unexpected {
        /// Name among those given.
        name: String,
        /// The most similar name in the module.
        nearest: Option<String>,
    },
    /// Shapes differ.
    #[error("tensor {name:?} has shape {found:?}, the network wants {expected:?}")]
    Shape {
        /// Name of the tensor.
        name: String,
        /// Shape in the module.
        expected: Vec<usize>,
        /// Shape given.
        found: Vec<usize>,
    },
    /// A type that we do not read.
    #[error("tensor {name:?} has type {dtype}; float32, float64 and int64 can be read")]
    Dtype {
        /// Name of the tensor.
        name: String,
        /// Its type.
        dtype: String,
    },
    /// The bytes are no safetensors file.
    #[error("not a safetensors file: {0}")]
    Format(String),
}

fn suggestion(nearest: &Option<String>) -> String {
    match nearest {
        Some(name) => format!("; the nearest name is {name:?}"),
        None => String::new(),
    }
}

/// Follows a traversal and knows the name of the tensor at hand.
#[derive(Clone, Debug, Default)]
pub struct Path {
    parts: Vec<Option<String>>,
}

impl Path {
    /// To be called from `enter_module`.
    pub fn enter(&mut self, name: &str, container_type: &str) {
        let is_variant = container_type.starts_with("Enum:");
        self.parts.push((!is_variant).then(|| name.to_owned()));
    }

    /// To be called from `exit_module`.
    pub fn exit(&mut self) {
        self.parts.pop();
    }

    /// The dotted name.
    pub fn name(&self) -> String {
        let parts: Vec<&str> = self.parts.iter().flatten().map(String::as_str).collect();
        parts.join(".")
    }
}

/// The gradient of every parameter that has one, by name.
pub fn gradients<M: Module>(module: &M, gradients: &Gradients) -> BTreeMap<String, Tensor<1>> {
    struct Find<'a> {
        path: Path,
        gradients: &'a Gradients,
        found: BTreeMap<String, Tensor<1>>,
    }

    impl ModuleVisitor for Find<'_> {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            if let Some(gradient) = param.val().grad(self.gradients) {
                self.found.insert(self.path.name(), gradient.reshape([-1]));
            }
        }
    }

    let mut visitor = Find {
        path: Path::default(),
        gradients,
        found: BTreeMap::new(),
    };
    module.visit(&mut visitor);
    visitor.found
}

/// Copies every float tensor of a module, parameters and buffers, to the host.
pub fn collect<M: Module>(module: &M) -> NamedTensors {
    struct Collect {
        path: Path,
        tensors: NamedTensors,
    }

    impl ModuleVisitor for Collect {
        fn enter_module(&mut self, name: &str, container_type: &str) {
            self.path.enter(name, container_type);
        }

        fn exit_module(&mut self, _name: &str, _container_type: &str) {
            self.path.exit();
        }

        fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
            self.tensors.insert(self.path.name(), param.val().to_data());
        }
    }

    let mut visitor = Collect {
        path: Path::default(),
        tensors: NamedTensors::new(),
    };
    module.visit(&mut visitor);
    visitor.tensors
}

/// Replaces every float tensor of a module by the one of the same name.
/// Whether a tensor requires gradients is as it was.
///
/// # Errors
/// When the names or the shapes are not exactly those of the module; the
/// module is consumed, nothing half-filled is returned.
pub fn apply<M: Module>(module: M, tensors: NamedTensors) -> Result<M, ParamError> {
    let mut mapper = Apply {
        path: Path::default(),
        tensors,
        used: Vec::new(),
        error: None,
    };
    let module = module.map(&mut mapper);
    if let Some(error) = mapper.error {
        return Err(error);
    }
    match mapper.tensors.into_keys().next() {
        None => Ok(module),
        Some(name) => Err(ParamError::Unexpected {
            nearest: crate::nearest(&name, mapper.used.iter().map(String::as_str))
                .map(str::to_owned),
            name,
        }),
    }
}

struct Apply {
    path: Path,
    tensors: NamedTensors,
    used: Vec<String>,
    error: Option<ParamError>,
}

impl Apply {
    fn take(&mut self, expected: &[usize]) -> Result<TensorData, ParamError> {
        let name = self.path.name();
        let Some(data) = self.tensors.remove(&name) else {
            let nearest = crate::nearest(&name, self.tensors.keys().map(String::as_str));
            return Err(ParamError::Missing {
                nearest: nearest.map(str::to_owned),
                name,
            });
        };
        let found: Vec<usize> = data.shape().to_vec();
        if found != expected {
            return Err(ParamError::Shape {
                name,
                expected: expected.to_vec(),
                found,
            });
        }
        self.used.push(name);
        Ok(data)
    }
}

impl ModuleMapper for Apply {
    fn enter_module(&mut self, name: &str, container_type: &str) {
        self.path.enter(name, container_type);
    }

    fn exit_module(&mut self, _name: &str, _container_type: &str) {
        self.path.exit();
    }

    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        if self.error.is_some() {
            return param;
        }
        match self.take(&param.val().dims()) {
            Ok(data) => param.map(|old| {
                Tensor::from_data(data, (&old.device(), old.dtype()))
                    .set_require_grad(old.is_require_grad())
            }),
            Err(error) => {
                self.error = Some(error);
                param
            }
        }
    }
}

/// Writes tensors in the safetensors format, with free-form metadata.
///
/// # Errors
/// [`ParamError::Dtype`] for types other than float32, float64 and int64.
pub fn to_safetensors(
    tensors: &NamedTensors,
    metadata: BTreeMap<String, String>,
) -> Result<Vec<u8>, ParamError> {
    let views = tensors
        .iter()
        .map(|(name, data)| {
            let dtype = match data.dtype() {
                DType::F32 => Dtype::F32,
                DType::F64 => Dtype::F64,
                DType::I64 => Dtype::I64,
                other => {
                    return Err(ParamError::Dtype {
                        name: name.clone(),
                        dtype: format!("{other:?}"),
                    });
                }
            };
            let view = TensorView::new(dtype, data.shape().to_vec(), data.as_bytes())
                .map_err(|error| ParamError::Format(error.to_string()))?;
            Ok((name.as_str(), view))
        })
        .collect::<Result<Vec<_>, ParamError>>()?;
    let metadata = metadata.into_iter().collect();
    safetensors::serialize(views, Some(metadata))
        .map_err(|error| ParamError::Format(error.to_string()))
}

/// Reads tensors in the safetensors format.
///
/// # Errors
/// [`ParamError::Format`] when the bytes are truncated or malformed,
/// [`ParamError::Dtype`] for a type that we do not read.
pub fn from_safetensors(bytes: &[u8]) -> Result<NamedTensors, ParamError> {
    let file =
        SafeTensors::deserialize(bytes).map_err(|error| ParamError::Format(error.to_string()))?;
    file.iter()
        .map(|(name, view)| {
            let shape = view.shape().to_vec();
            let raw = view.data();
            let data = match view.dtype() {
                Dtype::F32 => TensorData::new(numbers(raw, f32::from_le_bytes), shape),
                Dtype::F64 => TensorData::new(numbers(raw, f64::from_le_bytes), shape),
                Dtype::I64 => TensorData::new(numbers(raw, i64::from_le_bytes), shape),
                other => {
                    return Err(ParamError::Dtype {
                        name: name.to_owned(),
                        dtype: format!("{other:?}"),
                    });
                }
            };
            Ok((name.to_owned(), data))
        })
        .collect()
}

fn numbers<const SIZE: usize, T>(bytes: &[u8], from: fn([u8; SIZE]) -> T) -> Vec<T> {
    let (numbers, _) = bytes.as_chunks::<SIZE>();
    numbers.iter().map(|bytes| from(*bytes)).collect()
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use super::*;
    use crate::default_device;
    use burn::tensor::Device;

    #[derive(Module, Debug)]
    enum Choice {
        Scale(Scale),
    }

    #[derive(Module, Debug)]
    struct Scale {
        weight: Param<Tensor<1>>,
    }

    #[derive(Module, Debug)]
    struct Net {
        layers: Vec<Choice>,
        bias: Option<Param<Tensor<2>>>,
    }

    fn net(values: [f32; 2], device: &Device) -> Net {
        let scale = |v: f32| {
            Choice::Scale(Scale {
                weight: Param::from_tensor(Tensor::from_floats([v], device)),
            })
        };
        Net {
            layers: values.into_iter().map(scale).collect(),
            bias: Some(Param::from_tensor(Tensor::zeros([1, 2], device))),
        }
    }

    #[test]
    fn names_are_those_of_pytorch() {
        let names: Vec<String> = collect(&net([1.0, 2.0], &default_device().unwrap()))
            .into_keys()
            .collect();
        assert_eq!(names, ["bias", "layers.0.weight", "layers.1.weight"]);
    }

    #[test]
    fn tensors_survive_the_file_format_and_keep_requiring_gradients() {
        let device = default_device().unwrap().autodiff();
        let tensors = collect(&net([1.0, -2.5], &device));
        let bytes = to_safetensors(&tensors, BTreeMap::new()).unwrap();
        let loaded = apply(net([0.0, 0.0], &device), from_safetensors(&bytes).unwrap()).unwrap();
        assert_eq!(collect(&loaded), tensors);
        assert!(loaded.bias.unwrap().val().is_require_grad());
    }

    #[test]
    fn what_does_not_fit_is_named_with_the_nearest_name() {
        let device = default_device().unwrap();
        let mut tensors = collect(&net([1.0, 2.0], &device));
        let data = tensors.remove("layers.1.weight").unwrap();
        tensors.insert("layers.1.wieght".into(), data);
        let error = apply(net([0.0, 0.0], &device), tensors).unwrap_err();
        let message = error.to_string();
        assert!(message.contains("layers.1.weight"), "{message}");
        assert!(message.contains("layers.1.wieght"), "{message}");
    }

    #[test]
    fn every_truncation_of_a_file_is_an_error() {
        let tensors = collect(&net([1.0, 2.0], &default_device().unwrap()));
        let bytes = to_safetensors(&tensors, BTreeMap::new()).unwrap();
        for length in 0..bytes.len() {
            assert!(from_safetensors(&bytes[..length]).is_err(), "{length}");
        }
    }
}
