//! Modules whose type is not known: backbones and heads that somebody writes in burn himself.

use std::any::Any;
use std::fmt::Debug;
use std::ops::Deref;

use burn::module::{
    Content, Devices, Flag, Module, ModuleDisplay, ModuleDisplayDefault, ModuleMapper,
    ModuleVisitor, Param,
};
use burn::tensor::{Bool, Device, Int, Tensor};

use crate::{Backbone, ExitHead};

/// A trait of burn modules as a type: the trait of its objects, and the module that holds one.
macro_rules! boxed {
    ($(#[$doc:meta])* $boxed:ident($object:ident: $behaviour:ident)) => {
        #[doc = concat!("[`", stringify!($behaviour), "`] and [`Module`] with the type forgotten; every type that is both is one.")]
        pub trait $object: $behaviour + Debug + Send + Sync {
            /// See [`Clone::clone`].
            fn clone_object(&self) -> Box<dyn $object>;
            /// See [`Module::visit`].
            fn visit_object(&self, visitor: &mut dyn ObjectVisitor);
            /// See [`Module::map`].
            fn map_object(self: Box<Self>, mapper: &mut dyn ObjectMapper) -> Box<dyn $object>;
            /// See [`Module::to_device`].
            fn to_device_object(self: Box<Self>, device: &Device) -> Box<dyn $object>;
            /// See [`Module::fork`].
            fn fork_object(self: Box<Self>, device: &Device) -> Box<dyn $object>;
            /// See [`Module::collect_devices`].
            fn collect_devices_object(&self, devices: Devices) -> Devices;
            /// See [`Module::materialize`].
            fn materialize_object(self: Box<Self>) -> Box<dyn $object>;
            /// See [`Module::valid`].
            fn valid_object(&self) -> Box<dyn $object>;
            /// See [`Module::train`].
            fn train_object(self: Box<Self>) -> Box<dyn $object>;
        }

        impl<M: $behaviour + Module + Sync + 'static> $object for M {
            fn clone_object(&self) -> Box<dyn $object> {
                Box::new(self.clone())
            }

            fn visit_object(&self, visitor: &mut dyn ObjectVisitor) {
                self.visit(&mut ToObject(visitor));
            }

            fn map_object(self: Box<Self>, mapper: &mut dyn ObjectMapper) -> Box<dyn $object> {
                Box::new((*self).map(&mut ToObject(mapper)))
            }

            fn to_device_object(self: Box<Self>, device: &Device) -> Box<dyn $object> {
                Box::new((*self).to_device(device))
            }

            fn fork_object(self: Box<Self>, device: &Device) -> Box<dyn $object> {
                Box::new((*self).fork(device))
            }

            fn collect_devices_object(&self, devices: Devices) -> Devices {
                self.collect_devices(devices)
            }

            fn materialize_object(self: Box<Self>) -> Box<dyn $object> {
                Box::new((*self).materialize())
            }

            fn valid_object(&self) -> Box<dyn $object> {
                Box::new(self.valid())
            }

            fn train_object(self: Box<Self>) -> Box<dyn $object> {
                Box::new((*self).train())
            }
        }

        $(#[$doc])*
        #[derive(Debug)]
        pub struct $boxed(Box<dyn $object>);

        impl $boxed {
            /// Forgets the type of a module.
            pub fn new(module: impl $behaviour + Module + Sync + 'static) -> Self {
                Self(Box::new(module))
            }
        }

        impl Deref for $boxed {
            type Target = dyn $object;

            fn deref(&self) -> &Self::Target {
                &*self.0
            }
        }

        impl Clone for $boxed {
            fn clone(&self) -> Self {
                Self(self.0.clone_object())
            }
        }

        impl Module for $boxed {
            fn visit<V: ModuleVisitor>(&self, visitor: &mut V) {
                self.0.visit_object(&mut FromObject(visitor));
            }

            fn map<M: ModuleMapper>(self, mapper: &mut M) -> Self {
                Self(self.0.map_object(&mut FromObject(mapper)))
            }

            fn to_device(self, device: &Device) -> Self {
                Self(self.0.to_device_object(device))
            }

            fn fork(self, device: &Device) -> Self {
                Self(self.0.fork_object(device))
            }

            fn collect_devices(&self, devices: Devices) -> Devices {
                self.0.collect_devices_object(devices)
            }

            fn materialize(self) -> Self {
                Self(self.0.materialize_object())
            }

            fn valid(&self) -> Self {
                Self(self.0.valid_object())
            }

            fn train(self) -> Self {
                Self(self.0.train_object())
            }
        }

        impl ModuleDisplayDefault for $boxed {
            fn content(&self, content: Content) -> Option<Content> {
                content.add_formatted(&"a module written in burn".to_owned()).optional()
            }
        }

        impl ModuleDisplay for $boxed {}
    };
}

boxed! {
    /// A backbone that is written in burn, behind a pointer. It is a burn module like any other.
    BoxedBackbone(BackboneObject: Backbone)
}

boxed! {
    /// An exit head that is written in burn, behind a pointer. It is a burn module like any other.
    BoxedHead(HeadObject: ExitHead)
}

/// A [`ModuleVisitor`] whose type is not known. Parameters have between one and eight axes.
pub trait ObjectVisitor {
    /// A float parameter with the given number of axes, `Param<Tensor<D>>`.
    fn visit_float(&mut self, axes: usize, param: &dyn Any);
    /// An integer parameter, `Param<Tensor<D, Int>>`.
    fn visit_int(&mut self, axes: usize, param: &dyn Any);
    /// A parameter of truth values, `Param<Tensor<D, Bool>>`.
    fn visit_bool(&mut self, axes: usize, param: &dyn Any);
    /// See [`ModuleVisitor::visit_flag`].
    fn visit_flag(&mut self, flag: &Param<Flag>);
    /// See [`ModuleVisitor::enter_module`].
    fn enter_module(&mut self, name: &str, container: &str);
    /// See [`ModuleVisitor::exit_module`].
    fn exit_module(&mut self, name: &str, container: &str);
}

/// A [`ModuleMapper`] whose type is not known.
pub trait ObjectMapper {
    /// A float parameter with the given number of axes, and what becomes of it.
    fn map_float(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    /// An integer parameter.
    fn map_int(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    /// A parameter of truth values.
    fn map_bool(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any>;
    /// See [`ModuleMapper::map_flag`].
    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag>;
    /// See [`ModuleMapper::enter_module`].
    fn enter_module(&mut self, name: &str, container: &str);
    /// See [`ModuleMapper::exit_module`].
    fn exit_module(&mut self, name: &str, container: &str);
}

/// Hands what burn calls on to an object.
struct ToObject<'a, T: ?Sized>(&'a mut T);

/// Hands what an object is told on to burn.
struct FromObject<'a, T>(&'a mut T);

impl ModuleVisitor for ToObject<'_, dyn ObjectVisitor + '_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
        self.0.visit_float(D, param);
    }

    fn visit_int<const D: usize>(&mut self, param: &Param<Tensor<D, Int>>) {
        self.0.visit_int(D, param);
    }

    fn visit_bool<const D: usize>(&mut self, param: &Param<Tensor<D, Bool>>) {
        self.0.visit_bool(D, param);
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

fn unboxed<T: 'static>(param: Box<dyn Any>) -> T {
    let param = param.downcast::<T>();
    *param.unwrap_or_else(|_| unreachable!("a parameter of the kind that was asked for"))
}

impl ModuleMapper for ToObject<'_, dyn ObjectMapper + '_> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
        unboxed(self.0.map_float(D, Box::new(param)))
    }

    fn map_int<const D: usize>(&mut self, param: Param<Tensor<D, Int>>) -> Param<Tensor<D, Int>> {
        unboxed(self.0.map_int(D, Box::new(param)))
    }

    fn map_bool<const D: usize>(
        &mut self,
        param: Param<Tensor<D, Bool>>,
    ) -> Param<Tensor<D, Bool>> {
        unboxed(self.0.map_bool(D, Box::new(param)))
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

/// The same expression for a constant number of axes.
macro_rules! for_axes {
    ($axes:expr, $D:ident => $result:expr; $($number:literal)*) => {
        match $axes {
            $($number => {
                const $D: usize = $number;
                $result
            })*
            axes => unreachable!("a parameter of {axes} axes"),
        }
    };
    ($axes:expr, $D:ident => $result:expr) => {
        for_axes!($axes, $D => $result; 1 2 3 4 5 6 7 8)
    };
}

fn known<T: 'static>(param: &dyn Any) -> &T {
    let param = param.downcast_ref();
    param.unwrap_or_else(|| unreachable!("a parameter of the kind that was said"))
}

impl<V: ModuleVisitor> ObjectVisitor for FromObject<'_, V> {
    fn visit_float(&mut self, axes: usize, param: &dyn Any) {
        for_axes!(axes, D => self.0.visit_float(known::<Param<Tensor<D>>>(param)));
    }

    fn visit_int(&mut self, axes: usize, param: &dyn Any) {
        for_axes!(axes, D => self.0.visit_int(known::<Param<Tensor<D, Int>>>(param)));
    }

    fn visit_bool(&mut self, axes: usize, param: &dyn Any) {
        for_axes!(axes, D => self.0.visit_bool(known::<Param<Tensor<D, Bool>>>(param)));
    }

    fn visit_flag(&mut self, flag: &Param<Flag>) {
        self.0.visit_flag(flag);
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}

impl<M: ModuleMapper> ObjectMapper for FromObject<'_, M> {
    fn map_float(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        for_axes!(axes, D => Box::new(self.0.map_float(unboxed::<Param<Tensor<D>>>(param))))
    }

    fn map_int(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        for_axes!(axes, D => Box::new(self.0.map_int(unboxed::<Param<Tensor<D, Int>>>(param))))
    }

    fn map_bool(&mut self, axes: usize, param: Box<dyn Any>) -> Box<dyn Any> {
        for_axes!(axes, D => Box::new(self.0.map_bool(unboxed::<Param<Tensor<D, Bool>>>(param))))
    }

    fn map_flag(&mut self, flag: Param<Flag>) -> Param<Flag> {
        self.0.map_flag(flag)
    }

    fn enter_module(&mut self, name: &str, container: &str) {
        self.0.enter_module(name, container);
    }

    fn exit_module(&mut self, name: &str, container: &str) {
        self.0.exit_module(name, container);
    }
}
