//! Shapes of a convolution, and the correlations its passes consist of.

/// Geometry of a 2-D convolution.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Geometry {
    /// `[C_out, C_in / groups, K_h, K_w]`.
    pub weight: [usize; 4],
    /// Step of the window.
    pub stride: [usize; 2],
    /// Zeros added on both sides.
    pub padding: [usize; 2],
    /// Distance of neighbouring taps.
    pub dilation: [usize; 2],
    /// Number of channel groups.
    pub groups: usize,
}

impl Geometry {
    /// `[N, C_out, H_out, W_out]` for an input `[N, C_in, H, W]`.
    ///
    /// # Panics
    /// If the shapes do not fit each other.
    pub fn output(&self, [n, c, h, w]: [usize; 4]) -> [usize; 4] {
        let [c_out, c_in, kh, kw] = self.weight;
        assert!(
            self.groups > 0 && c == c_in * self.groups && c_out % self.groups == 0,
            "convolution weight {:?} in {} groups does not fit {c} input channels",
            self.weight,
            self.groups
        );
        let size = |axis: usize, len: usize, k: usize| {
            let span = self.dilation[axis] * (k - 1) + 1;
            let padded = len + 2 * self.padding[axis];
            assert!(
                padded >= span && self.stride[axis] > 0,
                "a window of {span} does not fit {padded} positions (axis {axis})"
            );
            (padded - span) / self.stride[axis] + 1
        };
        [n, c_out, size(0, h, kh), size(1, w, kw)]
    }

    /// Whether every group has one input and one output channel.
    pub fn is_depthwise(&self) -> bool {
        self.groups > 1 && self.weight[1] == 1 && self.weight[0] == self.groups
    }

    /// The forward pass as one correlation.
    pub(crate) fn forward(&self, input: [usize; 4]) -> Correlation {
        let [_, _, out_h, out_w] = self.output(input);
        let [_, _, kh, kw] = self.weight;
        let mut taps = Vec::with_capacity(kh * kw);
        for y in 0..kh {
            for x in 0..kw {
                taps.push(Tap {
                    kernel: [y, x],
                    offset: [y * self.dilation[0], x * self.dilation[1]],
                });
            }
        }
        Correlation {
            pad: self.padding.map(|p| p as isize),
            step: self.stride,
            out: [out_h, out_w],
            first: [0, 0],
            spread: [1, 1],
            taps,
        }
    }

    /// The input gradient as correlations of the output gradient, one for each
    /// phase of the stride: `dx[s*a + r] = sum_k w[k] dy[a + (r + p - k*d) / s]`
    /// over the taps `k` for which the division has no remainder. No zeros are inserted.
    pub(crate) fn input_gradient(&self, input: [usize; 4]) -> Vec<Correlation> {
        let [_, _, kh, kw] = self.weight;
        let mut phases = Vec::new();
        for y in self.axis_phases(0, input[2], kh) {
            for x in self.axis_phases(1, input[3], kw) {
                let mut taps = Vec::with_capacity(y.taps.len() * x.taps.len());
                for &(ky, oy) in &y.taps {
                    for &(kx, ox) in &x.taps {
                        taps.push(Tap {
                            kernel: [ky, kx],
                            offset: [oy, ox],
                        });
                    }
                }
                phases.push(Correlation {
                    pad: [y.pad, x.pad],
                    step: [1, 1],
                    out: [y.len, x.len],
                    first: [y.first, x.first],
                    spread: self.stride,
                    taps,
                });
            }
        }
        phases
    }

    fn axis_phases(&self, axis: usize, len: usize, kernel: usize) -> Vec<AxisPhase> {
        let stride = self.stride[axis] as isize;
        let mut phases = Vec::new();
        for first in 0..self.stride[axis].min(len) {
            let mut taps: Vec<(usize, isize)> = Vec::new();
            for k in 0..kernel {
                let at = (first + self.padding[axis]) as isize - (k * self.dilation[axis]) as isize;
                if at.rem_euclid(stride) == 0 {
                    taps.push((k, at.div_euclid(stride)));
                }
            }
            let least = taps.iter().map(|&(_, at)| at).min().unwrap_or(0);
            phases.push(AxisPhase {
                first,
                len: (len - first).div_ceil(self.stride[axis]),
                pad: -least,
                taps: taps
                    .into_iter()
                    .map(|(k, at)| (k, (at - least) as usize))
                    .collect(),
            });
        }
        phases
    }
}

struct AxisPhase {
    first: usize,
    len: usize,
    pad: isize,
    taps: Vec<(usize, usize)>,
}

/// One kernel position of a [`Correlation`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tap {
    /// Position in the weight, `[y, x]`.
    pub kernel: [usize; 2],
    /// Position it reads, relative to the padded source.
    pub offset: [usize; 2],
}

/// `out[first + spread*o] = sum_taps W[tap] . padded[step*o + tap.offset]` where
/// `padded[i] = source[i - pad]`, zero outside the source; `pad` may be negative.
#[derive(Clone, Debug)]
pub(crate) struct Correlation {
    /// Zeros above and left of the source.
    pub pad: [isize; 2],
    /// Source positions between neighbouring outputs.
    pub step: [usize; 2],
    /// Number of outputs, `[rows, columns]`.
    pub out: [usize; 2],
    /// Place of the first output.
    pub first: [usize; 2],
    /// Places between neighbouring outputs.
    pub spread: [usize; 2],
    /// Kernel positions.
    pub taps: Vec<Tap>,
}

impl Correlation {
    /// Each output is the source at its place.
    pub(crate) fn identity(out: [usize; 2]) -> Self {
        Self {
            pad: [0, 0],
            step: [1, 1],
            out,
            first: [0, 0],
            spread: [1, 1],
            taps: vec![Tap {
                kernel: [0, 0],
                offset: [0, 0],
            }],
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn geometry(k: usize, stride: usize, padding: usize) -> Geometry {
        Geometry {
            weight: [1, 1, k, k],
            stride: [stride; 2],
            padding: [padding; 2],
            dilation: [1; 2],
            groups: 1,
        }
    }

    #[test]
    fn output_sizes() {
        assert_eq!(geometry(3, 1, 1).output([2, 1, 32, 31]), [2, 1, 32, 31]);
        assert_eq!(geometry(3, 2, 1).output([2, 1, 32, 31]), [2, 1, 16, 16]);
        assert_eq!(geometry(7, 2, 3).output([1, 1, 224, 224]), [1, 1, 112, 112]);
    }

    #[test]
    fn stride_two_splits_the_taps_into_phases() {
        let phases = geometry(3, 2, 1).input_gradient([1, 1, 8, 8]);
        let counts: Vec<_> = phases.iter().map(|p| p.taps.len()).collect();
        assert_eq!(counts, [1, 2, 2, 4]);
        let pointwise = geometry(1, 2, 0).input_gradient([1, 1, 8, 8]);
        let counts: Vec<_> = pointwise.iter().map(|p| p.taps.len()).collect();
        assert_eq!(counts, [1, 0, 0, 0]);
    }

    #[test]
    #[should_panic(expected = "does not fit 2 input channels")]
    fn wrong_channels_are_refused() {
        geometry(3, 1, 1).output([1, 2, 8, 8]);
    }
}
