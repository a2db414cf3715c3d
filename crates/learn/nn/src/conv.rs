//! 2-D convolution.

use burn::module::{Content, DisplaySettings, Module, ModuleDisplay, Param};
use burn::tensor::Tensor;
use offramp_kernels::{Conv2dOptions, conv2d};

use crate::{Init, narrow};

/// Settings of a [`Conv2d`]. The padding keeps the size at stride 1 unless it is set.
#[derive(Clone, Copy, Debug)]
pub struct Conv2dConfig {
    channels: [usize; 2],
    kernel: [usize; 2],
    options: Conv2dOptions,
    bias: bool,
}

impl Conv2dConfig {
    /// `c_in` to `c_out` channels with a square kernel of odd side, stride 1,
    /// padding `kernel / 2`, no bias.
    pub fn new(c_in: usize, c_out: usize, kernel: usize) -> Self {
        Self {
            channels: [c_in, c_out],
            kernel: [kernel, kernel],
            options: Conv2dOptions {
                padding: [kernel / 2, kernel / 2],
                ..Conv2dOptions::default()
            },
            bias: false,
        }
    }

    /// Sets the stride of both axes.
    pub fn with_stride(mut self, stride: usize) -> Self {
        self.options.stride = [stride, stride];
        self
    }

    /// Sets the padding of both axes.
    pub fn with_padding(mut self, padding: usize) -> Self {
        self.options.padding = [padding, padding];
        self
    }

    /// Sets the number of groups.
    pub fn with_groups(mut self, groups: usize) -> Self {
        self.options.groups = groups;
        self
    }

    /// Adds a bias, initially 0.
    pub fn with_bias(mut self, bias: bool) -> Self {
        self.bias = bias;
        self
    }

    /// A layer with Kaiming fan-out weights.
    ///
    /// # Panics
    /// When the channels cannot be divided by the groups.
    pub fn init(&self, init: &mut Init) -> Conv2d {
        let [c_in, c_out] = self.channels;
        let groups = self.options.groups;
        assert!(
            c_in.is_multiple_of(groups) && c_out.is_multiple_of(groups),
            "{c_in} and {c_out} channels cannot be divided into {groups} groups"
        );
        let shape = [c_out, c_in / groups, self.kernel[0], self.kernel[1]];
        Conv2d {
            weight: init.kaiming_fan_out(shape),
            bias: self.bias.then(|| init.full([c_out], 0.0)),
            stride: self.options.stride,
            padding: self.options.padding,
            dilation: self.options.dilation,
            groups,
        }
    }
}

/// 2-D convolution, PyTorch's `nn.Conv2d`.
#[derive(Module, Debug)]
#[module(custom_display)]
pub struct Conv2d {
    /// `[C_out, C_in / groups, K_h, K_w]`.
    pub weight: Param<Tensor<4>>,
    /// `[C_out]`.
    pub bias: Option<Param<Tensor<1>>>,
    stride: [usize; 2],
    padding: [usize; 2],
    dilation: [usize; 2],
    groups: usize,
}

impl Conv2d {
    /// Convolves, in the type of the map.
    ///
    /// # Shapes
    /// - `x`: `[N, C_in, H, W]`, output: `[N, C_out, H_out, W_out]`
    pub fn forward(&self, x: Tensor<4>) -> Tensor<4> {
        let weight = narrow::like(self.weight.val(), &x);
        let bias = (self.bias.as_ref()).map(|bias| narrow::like(bias.val(), &x));
        conv2d(x, weight, bias, self.options())
    }

    fn options(&self) -> Conv2dOptions {
        Conv2dOptions {
            stride: self.stride,
            padding: self.padding,
            dilation: self.dilation,
            groups: self.groups,
        }
    }
}

impl ModuleDisplay for Conv2d {
    fn custom_settings(&self) -> Option<DisplaySettings> {
        DisplaySettings::new()
            .with_new_line_after_attribute(false)
            .optional()
    }

    fn custom_content(&self, content: Content) -> Option<Content> {
        let [c_out, c_group, k_h, k_w] = self.weight.dims();
        content
            .add("channels", &format!("{} -> {c_out}", c_group * self.groups))
            .add("kernel", &format!("{k_h}x{k_w}"))
            .add("stride", &format!("{:?}", self.stride))
            .add("padding", &format!("{:?}", self.padding))
            .add("groups", &self.groups)
            .optional()
    }
}
