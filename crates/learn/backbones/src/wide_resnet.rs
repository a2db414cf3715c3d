//! Wide residual networks (Zagoruyko and Komodakis, BMVC 2016): pre-activation blocks, for small
//! images. Names are those of the PyTorch code that distillation toolkits share (RepDistiller).

use offramp_graph::{BatchNorm, Builder, Conv, GraphError, Value, Written};

use crate::{BackboneConfig, BackboneEntry, BackboneFamily, NoOptions};

/// WRN-`depth`-`widen`: `(depth - 4) / 6` blocks in each of three stages of `16 widen`, `32 widen` and
/// `64 widen` channels.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct WideResNet {
    name: &'static str,
    depth: usize,
    widen: usize,
}

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry("wrn16-2", "WRN-16-2 (Zagoruyko and Komodakis, BMVC 2016), widths 32/64/128", || wrn("wrn16-2", 16, 2)),
    entry("wrn40-1", "WRN-40-1, widths 16/32/64", || wrn("wrn40-1", 40, 1)),
    entry("wrn40-2", "WRN-40-2, widths 32/64/128", || wrn("wrn40-2", 40, 2)),
    entry("wrn28-10", "WRN-28-10, widths 160/320/640", || wrn("wrn28-10", 28, 10)),
];

const fn entry(
    name: &'static str,
    doc: &'static str,
    config: fn() -> BackboneConfig,
) -> BackboneEntry {
    BackboneEntry { name, doc, config }
}

fn wrn(name: &'static str, depth: usize, widen: usize) -> BackboneConfig {
    WideResNet { name, depth, widen }.into()
}

impl BackboneFamily for WideResNet {
    type Options = NoOptions;

    fn name(&self) -> &str {
        self.name
    }

    fn options(&self) -> NoOptions {
        NoOptions {}
    }

    fn with_options(self, _: NoOptions) -> Result<Self, String> {
        Ok(self)
    }

    /// The stem belongs to the first stage; the batch norm and ReLU before the classifier belong to
    /// the last, as its blocks end in a sum.
    fn write(&self, b: &mut Builder, image: Value) -> Result<(), GraphError> {
        let mut x = b.conv2d("conv1", image, Conv::new(16, 3))?;
        for stage in 0..3 {
            let out = (self.widen * 16) << stage;
            for i in 0..(self.depth - 4) / 6 {
                let stride = if stage > 0 && i == 0 { 2 } else { 1 };
                let name = format!("block{}.layer.{i}", stage + 1);
                b.block();
                x = b.scope(name, |b| block(b, x, out, stride))?;
            }
            if stage == 2 {
                x = b.batch_norm2d("bn1", x, BatchNorm::default())?;
                x = b.relu(x)?;
            }
            b.stage(format!("block{}", stage + 1), x);
        }
        Ok(())
    }
}

/// `conv2(relu(bn2(conv1(y)))) + x` with `y = relu(bn1(x))`; where the shape changes, a 1x1
/// convolution of `y` takes the place of `x`.
fn block(b: &mut Builder, x: Value, out: usize, stride: usize) -> Written {
    let keeps_shape = b.shape(x)[0] == out;
    let y = b.batch_norm2d("bn1", x, BatchNorm::default())?;
    let y = b.relu(y)?;
    let convs = b.conv_bn_relu(["conv1", "bn2"], y, Conv::new(out, 3).stride(stride))?;
    let convs = b.conv2d("conv2", convs, Conv::new(out, 3))?;
    let shortcut = if keeps_shape {
        x
    } else {
        b.conv2d("convShortcut", y, Conv::new(out, 1).stride(stride))?
    };
    b.add(convs, shortcut)
}
