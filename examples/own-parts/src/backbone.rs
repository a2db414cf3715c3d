//! A backbone: a function that writes a graph.

use offramp_backbones::{BackboneEntry, BackboneFamily};
use offramp_graph::{Builder, Conv, GraphError, Value, Window, Written};
use serde::{Deserialize, Serialize};

/// Three fire modules (Iandola et al., *SqueezeNet*, 2016), with batch norm; the map is halved between
/// them.
#[derive(Clone, Debug, Default)]
pub struct FireNet {
    options: FireNetOptions,
}

/// What a recipe may set: `backbone = { name = "fire-net", width = 16 }`.
#[derive(Clone, Copy, Debug, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct FireNetOptions {
    /// Channels that each half of the first module makes; every further module makes twice as many.
    width: usize,
}

impl Default for FireNetOptions {
    fn default() -> Self {
        Self { width: 16 }
    }
}

/// The line of the registry.
pub const ENTRY: BackboneEntry = BackboneEntry {
    name: "fire-net",
    doc: "three fire modules, as in SqueezeNet",
    config: || FireNet::default().into(),
};

/// `concat(relu(bn(conv1x1(s))), relu(bn(conv3x3(s))))` of `s = relu(bn(conv1x1(x)))`.
fn fire(b: &mut Builder, x: Value, width: usize) -> Written {
    let squeezed = Conv::new(width.div_ceil(2), 1);
    let s = b.conv_bn_relu(["squeeze", "squeeze_bn"], x, squeezed)?;
    let small = b.conv_bn_relu(["expand1x1", "expand1x1_bn"], s, Conv::new(width, 1))?;
    let large = b.conv_bn_relu(["expand3x3", "expand3x3_bn"], s, Conv::new(width, 3))?;
    b.concat(&[small, large])
}

impl BackboneFamily for FireNet {
    type Options = FireNetOptions;

    fn name(&self) -> &str {
        ENTRY.name
    }

    fn options(&self) -> FireNetOptions {
        self.options
    }

    fn with_options(self, options: FireNetOptions) -> Result<Self, String> {
        match options.width {
            1..=1024 => Ok(Self { options }),
            width => Err(format!("width = {width} must be between 1 and 1024")),
        }
    }

    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let width = self.options.width;
        let mut x = b.conv_bn_relu(["conv1", "bn1"], image, Conv::new(width, 3))?;
        for stage in 0..3 {
            b.block();
            if stage > 0 {
                x = b.max_pool(x, Window::square(3, 2, 1))?;
            }
            let name = format!("fire{}", stage + 2);
            x = b.scope(&name, |b| fire(b, x, width << stage))?;
            b.stage(name, x);
        }
        Ok(())
    }
}
