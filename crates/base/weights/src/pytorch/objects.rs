//! What a pickle makes, kept as data.

use std::rc::Rc;

use crate::Problem;
use crate::view::View;

/// Objects that a pickle may make. A state_dict takes about 20 for a tensor.
pub(super) const MAX_OBJECTS: usize = 4 << 20;

/// Position of an object in [`Objects`].
pub(super) type Id = u32;

/// A Python object.
#[derive(Debug)]
pub(super) enum Object {
    None,
    Bool(bool),
    Int(i128),
    Text(Rc<str>),
    Tuple(Vec<Id>),
    List(Vec<Id>),
    Dict(Vec<(Id, Id)>),
    Function(Function),
    Storage(Rc<Storage>),
    Tensor(Box<Tensor>),
    /// A number, bytes or a set: read over, never looked at.
    Other(&'static str),
}

/// The callables that a pickled state_dict names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Function {
    OrderedDict,
    RebuildTensor,
    RebuildTensorV2,
    RebuildParameter,
    /// A class of storages, which only says what its elements are.
    StorageClass(crate::Dtype),
}

/// A storage that a persistent id names.
#[derive(Debug)]
pub(super) struct Storage {
    pub key: Rc<str>,
    pub dtype: crate::Dtype,
    /// Elements of the storage in the file.
    pub elements: usize,
    /// The first of them that belongs to the storage that is meant, in files before 0.4.
    pub first: usize,
}

/// A tensor that has been put together.
#[derive(Clone, Debug)]
pub(super) struct Tensor {
    pub storage: Rc<Storage>,
    pub view: View,
}

impl Object {
    /// What it is called in a message.
    pub(crate) fn kind(&self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Bool(_) => "a bool",
            Self::Int(_) => "an int",
            Self::Text(_) => "a str",
            Self::Tuple(_) => "a tuple",
            Self::List(_) => "a list",
            Self::Dict(_) => "a dict",
            Self::Function(_) => "a function or class",
            Self::Storage(_) => "a storage",
            Self::Tensor(_) => "a tensor",
            Self::Other(kind) => kind,
        }
    }
}

/// All objects of a pickle. They refer to each other by position, so that one which contains itself
/// or is nested a million times deep takes no recursion to build or to drop.
#[derive(Debug, Default)]
pub(super) struct Objects {
    all: Vec<Object>,
}

impl Objects {
    /// Adds an object.
    pub(crate) fn add(&mut self, object: Object) -> Result<Id, Problem> {
        if self.all.len() == MAX_OBJECTS {
            return Err(Problem::Objects { limit: MAX_OBJECTS });
        }
        self.all.push(object);
        Ok(self.all.len() as Id - 1)
    }

    /// The object of an id that [`Objects::add`] gave.
    pub(crate) fn get(&self, id: Id) -> &Object {
        &self.all[id as usize]
    }

    /// The same, to be changed.
    pub(crate) fn get_mut(&mut self, id: Id) -> &mut Object {
        &mut self.all[id as usize]
    }

    /// All storages that persistent ids name.
    pub(crate) fn storages(&self) -> impl Iterator<Item = &Storage> {
        self.all.iter().filter_map(|object| match object {
            Object::Storage(storage) => Some(&**storage),
            _ => None,
        })
    }

    /// The text of a `str`.
    pub(crate) fn text(&self, id: Id) -> Option<&Rc<str>> {
        match self.get(id) {
            Object::Text(text) => Some(text),
            _ => None,
        }
    }

    /// An `int` that is a size or a position.
    pub(crate) fn size(&self, id: Id) -> Option<usize> {
        match self.get(id) {
            Object::Int(number) => usize::try_from(*number).ok(),
            _ => None,
        }
    }
}
