//! Policies of other crates, without their types.

use std::any::Any;
use std::fmt::Debug;
use std::sync::Arc;

use serde::{Serialize, Serializer, ser::Error};
use serde_json::Value;

use crate::{AnyPolicy, Criterion, ExitPolicy, NamedPolicy, named};

/// A policy of another crate; see [`register`](crate::register).
#[derive(Clone, Debug)]
pub struct CustomPolicy(Arc<dyn Custom>);

/// A [`NamedPolicy`] without its type.
trait Custom: Any + ExitPolicy + Debug + Send + Sync {
    fn name(&self) -> &'static str;
    fn criterion(&self) -> Option<Criterion>;
    fn fields(&self) -> serde_json::Result<Value>;
    fn equals(&self, other: &dyn Custom) -> bool;
}

impl<P: NamedPolicy> Custom for P {
    fn name(&self) -> &'static str {
        P::NAME
    }

    fn criterion(&self) -> Option<Criterion> {
        P::CRITERION
    }

    fn fields(&self) -> serde_json::Result<Value> {
        serde_json::to_value(self)
    }

    fn equals(&self, other: &dyn Custom) -> bool {
        (other as &dyn Any).downcast_ref() == Some(self)
    }
}

impl AnyPolicy {
    /// A policy of another crate. It can be run and evaluated at once; to be read from files, it must be
    /// [registered](crate::register).
    pub fn custom(policy: impl NamedPolicy) -> Self {
        Self::Custom(CustomPolicy(Arc::new(policy)))
    }
}

impl CustomPolicy {
    /// The policy, if it is a `P`.
    pub fn downcast_ref<P: NamedPolicy>(&self) -> Option<&P> {
        (&*self.0 as &dyn Any).downcast_ref()
    }

    pub(super) fn name(&self) -> &'static str {
        self.0.name()
    }

    pub(super) fn criterion(&self) -> Option<Criterion> {
        self.0.criterion()
    }

    pub(super) fn inner(&self) -> &dyn ExitPolicy {
        &*self.0
    }
}

impl PartialEq for CustomPolicy {
    fn eq(&self, other: &Self) -> bool {
        self.0.equals(&*other.0)
    }
}

impl Serialize for CustomPolicy {
    fn serialize<S: Serializer>(&self, out: S) -> Result<S::Ok, S::Error> {
        match self.0.fields().map_err(S::Error::custom)? {
            Value::Object(fields) => named::serialize(self.name(), &fields, out),
            other => Err(S::Error::custom(format!(
                "the policy `{}` is written as {other}; it must be a struct with named fields",
                self.name()
            ))),
        }
    }
}
