//! Modules whose type is not known, such as backbones and heads that somebody writes in burn himself.
//!
//! [`boxed!`](crate::boxed!) makes the type for a trait: a pointer that is a burn module like any other.

use std::any::Any;

use burn::module::{Flag, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::{Bool, Int, Tensor};

use crate::{Backbone, ExitHead};

/// Makes a type of a trait of burn modules: the trait of its objects, and the module that holds one.
/// Optimiser, checkpoint and moving average treat it like the module that it holds. The crate that
/// calls it needs `burn`.
///
/// ```
/// use burn::module::Module;
///
/// /// Has a size.
/// pub trait Shape {
///     /// The size.
///     fn size(&self) -> usize;
/// }
///
/// offramp_core::boxed! {
///     /// Anything with a size.
///     BoxedShape(ShapeObject: Shape)
/// }
///
/// #[derive(Module, Debug)]
/// struct Two {}
///
/// impl Shape for Two {
///     fn size(&self) -> usize {
///         2
///     }
/// }
///
/// assert_eq!(BoxedShape::new(Two {}).clone().size(), 2);
/// ```
#[macro_export]
macro_rules! boxed {
    ($(#[$doc:meta])* $boxed:ident($object:ident: $behaviour:ident)) => {
        #[doc = concat!("[`", stringify!($behaviour), "`] and [`Module`](::burn::module::Module) with the type forgotten; every type that is both is one.")]
        pub trait $object: $behaviour + ::std::fmt::Debug + Send + Sync {
            /// See [`Clone::clone`].
            fn clone_object(&self) -> Box<dyn $object>;
            /// See [`Module::visit`](::burn::module::Module::visit).
            fn visit_object(&self, visitor: &mut dyn $crate::boxed::ObjectVisitor);
            /// See [`Module::map`](::burn::module::Module::map).
            fn map_object(self: Box<Self>, mapper: &mut dyn $crate::boxed::ObjectMapper) -> Box<dyn $object>;
            /// See [`Module::to_device`](::burn::module::Module::to_device).
            fn to_device_object(self: Box<Self>, device: &::burn::tensor::Device) -> Box<dyn $object>;
            /// See [`Module::fork`](::burn::module::Module::fork).
            fn fork_object(self: Box<Self>, device: &::burn::tensor::Device) -> Box<dyn $object>;
            /// See [`Module::collect_devices`](::burn::module::Module::collect_devices).
            fn collect_devices_object(&self, devices: ::burn::module::Devices) -> ::burn::module::Devices;
            /// See [`Module::materialize`](::burn::module::Module::materialize).
            fn materialize_object(self: Box<Self>) -> Box<dyn $object>;
            /// See [`Module::valid`](::burn::module::Module::valid).
            fn valid_object(&self) -> Box<dyn $object>;
            /// See [`Module::train`](::burn::module::Module::train).
            fn train_object(self: Box<Self>) -> Box<dyn $object>;
        }

        impl<M: $behaviour + ::burn::module::Module + Sync + 'static> $object for M {
            fn clone_object(&self) -> Box<dyn $object> {
                Box::new(self.clone())
            }

            fn visit_object(&self, visitor: &mut dyn $crate::boxed::ObjectVisitor) {
                self.visit(&mut $crate::boxed::ToObject(visitor));
            }

            fn map_object(self: Box<Self>, mapper: &mut dyn $crate::boxed::ObjectMapper) -> Box<dyn $object> {
                Box::new((*self).map(&mut $crate::boxed::ToObject(mapper)))
            }

            fn to_device_object(self: Box<Self>, device: &::burn::tensor::Device) -> Box<dyn $object> {
                Box::new((*self).to_device(device))
            }

            fn fork_object(self: Box<Self>, device: &::burn::tensor::Device) -> Box<dyn $object> {
                Box::new((*self).fork(device))
            }

            fn collect_devices_object(&self, devices: ::burn::module::Devices) -> ::burn::module::Devices {
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
            pub fn new(module: impl $behaviour + ::burn::module::Module + Sync + 'static) -> Self {
                Self(Box::new(module))
            }
        }

        impl ::std::ops::Deref for $boxed {
            type Target = dyn $object;

            fn deref(&self) -> &Self::Target {
                &*self.0
            }
        }

        impl ::std::ops::DerefMut for $boxed {
            fn deref_mut(&mut self) -> &mut Self::Target {
                &mut *self.0
            }
        }

        impl Clone for $boxed {
            fn clone(&self) -> Self {
                Self(self.0.clone_object())
            }
        }

        impl ::burn::module::Module for $boxed {
            fn visit<V: ::burn::module::ModuleVisitor>(&self, visitor: &mut V) {
                self.0.visit_object(&mut $crate::boxed::FromObject(visitor));
            }

            fn map<M: ::burn::module::ModuleMapper>(self, mapper: &mut M) -> Self {
                Self(self.0.map_object(&mut $crate::boxed::FromObject(mapper)))
            }

            fn to_device(self, device: &::burn::tensor::Device) -> Self {
                Self(self.0.to_device_object(device))
            }

            fn fork(self, device: &::burn::tensor::Device) -> Self {
                Self(self.0.fork_object(device))
            }

            fn collect_devices(&self, devices: ::burn::module::Devices) -> ::burn::module::Devices {
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

        impl ::burn::module::ModuleDisplayDefault for $boxed {
            fn content(&self, content: ::burn::module::Content) -> Option<::burn::module::Content> {
                content.add_formatted(&"a module written in burn".to_owned()).optional()
            }
        }

        impl ::burn::module::ModuleDisplay for $boxed {}
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

/// Hands what burn calls on to an object; for [`boxed!`](crate::boxed!).
#[doc(hidden)]
#[derive(Debug)]
pub struct ToObject<'a, T: ?Sized>(pub &'a mut T);

/// Hands what an object is told on to burn; for [`boxed!`](crate::boxed!).
#[doc(hidden)]
#[derive(Debug)]
pub struct FromObject<'a, T>(pub &'a mut T);

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
