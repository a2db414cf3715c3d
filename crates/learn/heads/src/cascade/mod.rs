//! Cascades: exits that build on the answer of the exit before.
//!
//! A head gives logits `z_k` of its own. In a cascade a *link* makes something of the answer of the
//! exit before, and the exit's answer is the sum:
//!
//! ```text
//! G_k = z_k + link_k(G_{k-1})
//! ```
//!
//! That sum is what is called the exit's logits everywhere: methods, policies and the runner see
//! nothing else. One file per kind of link.

mod boost;
mod isc;
mod ztw;

use std::any::Any;
use std::fmt::Debug;

use burn::tensor::Tensor;
use offramp_core::registry::Kind;
use offramp_graph::{Builder, GraphError, Value};
use offramp_nn::{GraphModule, Init};
use serde::{Deserialize, Serialize};

pub use boost::BoostCascade;
pub use isc::IscCascade;
pub use ztw::ZtwCascade;

use crate::NetError;

/// A kind of cascade: what an exit makes of the answer of the exit before.
pub trait Cascade: Any + Debug + Send + Sync {
    /// Writes the link into an exit: from the logits of the exit before to what is added to its own
    /// logits, a vector with one number for every class. `None` where the exit answers by itself.
    ///
    /// # Errors
    /// When an operation does not fit its operands.
    fn write(
        &self,
        b: &mut Builder,
        previous: Value,
        place: LinkPlace,
    ) -> Result<Option<Value>, GraphError>;

    /// Whether the exit before learns from the exits that build on its answer.
    fn passes_gradients(&self) -> bool;

    /// The fewest exits between which there is a link.
    fn fewest_exits(&self) -> usize {
        2
    }
}

/// The exit that a link leads to.
#[derive(Clone, Copy, Debug)]
pub struct LinkPlace {
    /// Number of classes.
    pub classes: usize,
    /// Width of the exit's embedding.
    pub width: usize,
    /// Whether it is the last exit of the network.
    pub last: bool,
}

/// Every exit answers by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct NoCascade {}

impl Kind for NoCascade {
    const NAME: &'static str = "none";
    const DOC: &'static str = "every exit answers by itself";
}

impl Cascade for NoCascade {
    fn write(&self, _: &mut Builder, _: Value, _: LinkPlace) -> Result<Option<Value>, GraphError> {
        Ok(None)
    }

    fn passes_gradients(&self) -> bool {
        false
    }
}

offramp_core::registry! {
    /// A kind of cascade with its options: a name or a table with a name in a recipe.
    pub struct CascadeConfig of dyn Cascade, entries CascadeEntry, called "cascade", first NoCascade;
    BoostCascade,
    ZtwCascade,
    IscCascade,
}

/// All kinds of cascades.
pub fn cascades() -> Vec<CascadeEntry> {
    CascadeConfig::registry()
}

/// A link as a module.
pub type Link = GraphModule<LinkGradient>;

/// Whether a gradient flows through a link into the exit before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LinkGradient {
    passes: bool,
}

impl CascadeConfig {
    /// Whether every exit answers by itself.
    pub fn is_none(&self) -> bool {
        self.kind::<NoCascade>().is_some()
    }

    /// The links into exits of the given embedding widths, shallowest first.
    ///
    /// # Errors
    /// [`NetError::NothingToLink`] when there is a cascade and no exit has a link.
    pub(crate) fn links(
        &self,
        widths: &[usize],
        classes: usize,
        init: &mut Init,
    ) -> Result<Vec<Option<Link>>, NetError> {
        let mut links = Vec::new();
        for (exit, &width) in widths.iter().enumerate() {
            let place = LinkPlace {
                classes,
                width,
                last: exit + 1 == widths.len(),
            };
            links.push(match exit {
                0 => None,
                _ => self.link(place, init)?,
            });
        }
        if !self.is_none() && links.iter().all(Option::is_none) {
            Err(NetError::NothingToLink {
                cascade: self.name(),
                exits: widths.len(),
                needed: self.fewest_exits(),
            })
        } else {
            Ok(links)
        }
    }

    fn link(&self, place: LinkPlace, init: &mut Init) -> Result<Option<Link>, NetError> {
        let mut b = Builder::new();
        let previous = b.input("previous", &[place.classes]);
        let added = self.write(&mut b, previous, place);
        let fits = added.and_then(|added| match added {
            Some(added) if b.shape(added) != [place.classes] => Err(GraphError::Shape {
                node: format!("cascade {}", self.name()),
                reason: format!(
                    "what is added has the shape {:?}, not [{}]",
                    b.shape(added),
                    place.classes
                ),
            }),
            added => Ok(added),
        });
        let added = fits.map_err(|source| NetError::Cascade {
            cascade: self.name(),
            source,
        })?;
        Ok(added.map(|added| {
            let gradient = LinkGradient {
                passes: self.passes_gradients(),
            };
            GraphModule::whole(b.finish_whole([("added", added)]), gradient, init)
        }))
    }
}

/// What is added to an exit's own logits.
///
/// # Shapes
/// - `previous`, the logits of the exit before, and output: `[N, classes]`
pub(crate) fn added(link: &Link, previous: Tensor<2>) -> Tensor<2> {
    let previous = if link.data().passes {
        previous
    } else {
        previous.detach()
    };
    let mut outputs = link.run(0, vec![previous.into()]).into_iter();
    outputs.next().expect("a link has one output").into_vector()
}
