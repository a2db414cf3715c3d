//! Wide residual networks (Zagoruyko and Komodakis, BMVC 2016): pre-activation blocks, for small
//! images. Names are those of the PyTorch code that distillation toolkits share (RepDistiller).

use offramp_core::StageInfo;
use offramp_nn::{BatchNorm2d, Conv2dConfig, Init};
use serde::{Deserialize, Serialize};

use crate::BackboneEntry;
use crate::layers::{Activation, Branches, Chain, Layer, LayerFamily};

/// Settings of a wide residual network.
#[derive(Clone, Debug, PartialEq)]
pub struct WideResNetConfig {
    name: &'static str,
    depth: usize,
    widen: usize,
}

/// There is nothing to set.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct NoOptions {}

impl WideResNetConfig {
    /// WRN-`depth`-`widen`: `(depth - 4) / 6` blocks in each of three stages of
    /// `16 widen`, `32 widen` and `64 widen` channels.
    pub fn new(name: &'static str, depth: usize, widen: usize) -> Self {
        Self { name, depth, widen }
    }

    fn channels(&self, stage: usize) -> usize {
        (self.widen * 16) << stage
    }
}

/// The table of this family.
#[rustfmt::skip]
pub(crate) const ENTRIES: &[BackboneEntry] = &[
    entry("wrn16-2", "WRN-16-2 (Zagoruyko and Komodakis, BMVC 2016), widths 32/64/128", || WideResNetConfig::new("wrn16-2", 16, 2).into()),
    entry("wrn40-1", "WRN-40-1, widths 16/32/64", || WideResNetConfig::new("wrn40-1", 40, 1).into()),
    entry("wrn40-2", "WRN-40-2, widths 32/64/128", || WideResNetConfig::new("wrn40-2", 40, 2).into()),
    entry("wrn28-10", "WRN-28-10, widths 160/320/640", || WideResNetConfig::new("wrn28-10", 28, 10).into()),
];

const fn entry(
    name: &'static str,
    doc: &'static str,
    config: fn() -> crate::BackboneConfig,
) -> BackboneEntry {
    BackboneEntry { name, doc, config }
}

impl LayerFamily for WideResNetConfig {
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

    fn stages(&self) -> Vec<StageInfo> {
        let stage = |i: usize| StageInfo {
            name: format!("block{}", i + 1),
            channels: self.channels(i),
            reduction: 1 << i,
        };
        (0..3).map(stage).collect()
    }

    /// The stem belongs to the first stage; the batch norm and ReLU before the classifier belong to
    /// the last, as its blocks end in a sum.
    fn stage(&self, stage: usize, init: &mut Init) -> Chain {
        let mut chain = Chain::empty();
        let mut channels = match stage {
            0 => 16,
            _ => self.channels(stage - 1),
        };
        if stage == 0 {
            chain.push("conv1", Conv2dConfig::new(3, channels, 3).init(init));
        }
        let out = self.channels(stage);
        for i in 0..(self.depth - 4) / 6 {
            let stride = if stage > 0 && i == 0 { 2 } else { 1 };
            let name = format!("block{}.layer.{i}", stage + 1);
            chain.push(name, block([channels, out], stride, init));
            channels = out;
        }
        if stage == 2 {
            chain.push("bn1", BatchNorm2d::new(out, init));
            chain.push("", Activation::relu());
        }
        chain
    }
}

/// `conv2(relu(bn2(conv1(y)))) + x` with `y = relu(bn1(x))`; where the shape changes, a 1x1
/// convolution of `y` takes the place of `x`.
fn block([input, out]: [usize; 2], stride: usize, init: &mut Init) -> Chain {
    let bn1 = BatchNorm2d::new(input, init);
    let conv1 = Conv2dConfig::new(input, out, 3).with_stride(stride);
    let convs = Chain::empty()
        .with("conv1", conv1.init(init))
        .with("bn2", BatchNorm2d::new(out, init))
        .with("", Activation::relu())
        .with("conv2", Conv2dConfig::new(out, out, 3).init(init));
    let before = Chain::empty().with("bn1", bn1).with("", Activation::relu());
    match input == out {
        true => {
            let all = before.with("", convs);
            let sum = Branches::unnamed([all, Chain::empty()]);
            Chain::empty().with("", Layer::Sum(sum))
        }
        false => {
            let shortcut = Conv2dConfig::new(input, out, 1).with_stride(stride);
            let shortcut = Chain::empty().with("convShortcut", shortcut.init(init));
            before.with("", Layer::Sum(Branches::unnamed([convs, shortcut])))
        }
    }
}
