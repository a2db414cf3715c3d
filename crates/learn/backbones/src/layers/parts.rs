//! Modules side by side under names of their own.

use burn::module::{
    Content, Devices, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper, ModuleVisitor,
};
use burn::tensor::Device;

/// Modules with names, as a `Sequential` with named members, and what else belongs to them.
///
/// A derived module calls its parts by the names of its fields; these are called as their family
/// calls them (`features.3.conv.0`), which the public weights decide. A part called `""` adds
/// nothing to the names within it.
#[derive(Clone, Debug)]
pub struct Parts<M, D = ()> {
    parts: Vec<(String, M)>,
    /// Not a module.
    pub data: D,
}

impl<M, D> Parts<M, D> {
    /// No parts yet.
    pub fn new(data: D) -> Self {
        Self {
            parts: Vec::new(),
            data,
        }
    }

    /// The same with one part more.
    pub fn with(mut self, name: impl Into<String>, part: impl Into<M>) -> Self {
        self.push(name, part);
        self
    }

    /// Adds a part.
    pub fn push(&mut self, name: impl Into<String>, part: impl Into<M>) {
        self.parts.push((name.into(), part.into()));
    }

    /// The parts in their order, with their names.
    pub fn as_slice(&self) -> &[(String, M)] {
        &self.parts
    }

    fn map_parts<N>(self, mut change: impl FnMut(&str, M) -> N) -> Parts<N, D> {
        let parts = self.parts.into_iter();
        Parts {
            parts: parts
                .map(|(name, part)| {
                    let part = change(&name, part);
                    (name, part)
                })
                .collect(),
            data: self.data,
        }
    }
}

/// What visitors are told of the kind of container.
const CONTAINER: &str = "Struct:Parts";

impl<M: Module, D: Clone + Send + std::fmt::Debug> Module for Parts<M, D> {
    fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
        for (name, part) in &self.parts {
            if name.is_empty() {
                part.visit(visitor);
                continue;
            }
            visitor.enter_module(name, CONTAINER);
            part.visit(visitor);
            visitor.exit_module(name, CONTAINER);
        }
    }

    fn map<P: ModuleMapper>(self, mapper: &mut P) -> Self {
        self.map_parts(|name, part| {
            if name.is_empty() {
                return part.map(mapper);
            }
            mapper.enter_module(name, CONTAINER);
            let part = part.map(mapper);
            mapper.exit_module(name, CONTAINER);
            part
        })
    }

    fn to_device(self, device: &Device) -> Self {
        self.map_parts(|_, part| part.to_device(device))
    }

    fn fork(self, device: &Device) -> Self {
        self.map_parts(|_, part| part.fork(device))
    }

    fn collect_devices(&self, devices: Devices) -> Devices {
        let parts = self.parts.iter();
        parts.fold(devices, |devices, (_, part)| part.collect_devices(devices))
    }

    fn materialize(self) -> Self {
        self.map_parts(|_, part| part.materialize())
    }

    fn valid(&self) -> Self {
        self.clone().map_parts(|_, part| part.valid())
    }

    fn train(self) -> Self {
        self.map_parts(|_, part| part.train())
    }
}

impl<M: Module + ModuleDisplay, D> ModuleDisplayDefault for Parts<M, D> {
    fn content(&self, content: Content) -> Option<Content> {
        let parts = self.parts.iter();
        let content = parts.fold(content, |content, (name, part)| content.add(name, part));
        content.set_top_level_type("Parts").optional()
    }
}

impl<M: Module + ModuleDisplay, D> ModuleDisplay for Parts<M, D> {}
