//! The shape of what an operation makes.

use crate::{ConvGeometry, Op, Weight, WeightId, Window};

/// The output's shape, or what is wrong with the operands.
pub(crate) fn output(
    op: &Op,
    inputs: &[&[usize]],
    weights: &[Weight],
) -> Result<Vec<usize>, String> {
    let arity = match op {
        Op::Concat => inputs.len().max(1),
        Op::Add | Op::Mul => 2,
        _ => 1,
    };
    if inputs.len() != arity {
        return Err(format!("{} operands instead of {arity}", inputs.len()));
    }
    let x = inputs[0];
    let shape = |id: &WeightId| weights[id.0].shape.as_slice();
    match op {
        Op::Conv {
            weight,
            bias,
            geometry,
        } => conv(map(x)?, shape(weight), bias.as_ref().map(shape), geometry),
        Op::Linear { weight, bias } => linear(x, shape(weight), bias.as_ref().map(shape)),
        Op::BatchNorm { .. } => {
            let channels = x.first().copied().ok_or("a value without channels")?;
            for id in op.weights() {
                vector("a statistic", shape(&id), channels)?;
            }
            Ok(x.to_vec())
        }
        Op::LayerNorm { .. } => match x {
            &[width] => {
                for id in op.weights() {
                    vector("scale or shift", shape(&id), width)?;
                }
                Ok(x.to_vec())
            }
            _ => Err(format!("{x:?} is no vector")),
        },
        Op::Relu
        | Op::Clamp { .. }
        | Op::Sigmoid
        | Op::HardSigmoid
        | Op::HardSwish
        | Op::Scale { .. } => Ok(x.to_vec()),
        Op::Add if x == inputs[1] => Ok(x.to_vec()),
        Op::Add => Err(format!("{x:?} and {:?} cannot be added", inputs[1])),
        Op::Mul => broadcast(x, inputs[1]),
        Op::MaxPool(window) | Op::AvgPool(window) => pool(map(x)?, window),
        Op::AdaptiveAvgPool { size: [h, w] } => {
            let [c, height, width] = map(x)?;
            if (1..=height).contains(h) && (1..=width).contains(w) {
                Ok(vec![c, *h, *w])
            } else {
                Err(format!("{x:?} cannot be pooled to {h}x{w}"))
            }
        }
        Op::GlobalAvgPool => Ok(vec![map(x)?[0]]),
        Op::Concat => concat(inputs),
        Op::Slice {
            axis,
            start,
            end,
            step,
        } => slice(x, *axis, *start, *end, *step),
        Op::PadChannels { before, after } => {
            let [c, h, w] = map(x)?;
            Ok(vec![before + c + after, h, w])
        }
        Op::Shuffle { groups } => match map(x)?[0].checked_rem(*groups) {
            Some(0) => Ok(x.to_vec()),
            _ => Err(format!("{x:?} cannot be divided into {groups} groups")),
        },
        Op::Reshape { shape } => {
            if shape.iter().product::<usize>() == x.iter().product() {
                Ok(shape.clone())
            } else {
                Err(format!("{x:?} cannot be reshaped to {shape:?}"))
            }
        }
    }
}

fn map(x: &[usize]) -> Result<[usize; 3], String> {
    <[usize; 3]>::try_from(x).map_err(|_| format!("{x:?} is no map of channels, rows and columns"))
}

fn vector(what: &str, found: &[usize], expected: usize) -> Result<(), String> {
    if found == [expected] {
        Ok(())
    } else {
        Err(format!("{what} is {found:?}, not [{expected}]"))
    }
}

/// How many windows that reach over `reach` entries fit into a padded side.
fn windows(side: usize, reach: usize, stride: usize, padding: usize) -> Result<usize, String> {
    match (side + 2 * padding).checked_sub(reach) {
        Some(room) if stride > 0 => Ok(room / stride + 1),
        _ => Err(format!(
            "a window of {reach} at stride {stride} does not fit a side of {side} with padding \
             {padding}"
        )),
    }
}

fn conv(
    [c, h, w]: [usize; 3],
    weight: &[usize],
    bias: Option<&[usize]>,
    geometry: &ConvGeometry,
) -> Result<Vec<usize>, String> {
    let &[c_out, c_group, k_h, k_w] = weight else {
        return Err(format!("{weight:?} is no kernel"));
    };
    if c_out == 0 || k_h == 0 || k_w == 0 {
        return Err(format!("a kernel {weight:?} has no weights"));
    }
    let groups = geometry.groups;
    if groups == 0 || c_group * groups != c || !c_out.is_multiple_of(groups) {
        return Err(format!(
            "a kernel {weight:?} of {groups} groups does not fit {c} channels"
        ));
    }
    if let Some(bias) = bias {
        vector("the bias", bias, c_out)?;
    }
    let side = |axis: usize, side: usize, kernel: usize| {
        let reach = geometry.dilation[axis] * kernel.saturating_sub(1) + 1;
        windows(side, reach, geometry.stride[axis], geometry.padding[axis])
    };
    Ok(vec![c_out, side(0, h, k_h)?, side(1, w, k_w)?])
}

fn linear(x: &[usize], weight: &[usize], bias: Option<&[usize]>) -> Result<Vec<usize>, String> {
    let &[out, inputs] = weight else {
        return Err(format!("{weight:?} is no matrix"));
    };
    vector("the input", x, inputs)?;
    if let Some(bias) = bias {
        vector("the bias", bias, out)?;
    }
    Ok(vec![out])
}

fn pool([c, h, w]: [usize; 3], window: &Window) -> Result<Vec<usize>, String> {
    for (kernel, padding) in window.kernel.iter().zip(window.padding) {
        if *kernel == 0 || 2 * padding > *kernel {
            return Err(format!(
                "a window of {kernel} with a padding of {padding}; it may be half of the window at most"
            ));
        }
    }
    let side = |axis: usize, side: usize| {
        windows(
            side,
            window.kernel[axis],
            window.stride[axis],
            window.padding[axis],
        )
    };
    Ok(vec![c, side(0, h)?, side(1, w)?])
}

fn broadcast(a: &[usize], b: &[usize]) -> Result<Vec<usize>, String> {
    let fit = |(&a, &b): (&usize, &usize)| a == b || a == 1 || b == 1;
    if a.len() == b.len() && a.iter().zip(b).all(fit) {
        Ok(a.iter().zip(b).map(|(a, b)| *a.max(b)).collect())
    } else {
        Err(format!("{a:?} and {b:?} cannot be multiplied"))
    }
}

fn concat(inputs: &[&[usize]]) -> Result<Vec<usize>, String> {
    let joined = |x: &[usize]| x.len() == inputs[0].len() && x.get(1..) == inputs[0].get(1..);
    if inputs[0].is_empty() || !inputs.iter().all(|x| joined(x)) {
        return Err(format!("{inputs:?} cannot be joined"));
    }
    let mut shape = inputs[0].to_vec();
    shape[0] = inputs.iter().map(|x| x[0]).sum();
    Ok(shape)
}

fn slice(
    x: &[usize],
    axis: usize,
    start: usize,
    end: usize,
    step: usize,
) -> Result<Vec<usize>, String> {
    let mut shape = x.to_vec();
    let end = match (end, x.get(axis)) {
        (usize::MAX, Some(size)) => *size,
        _ => end,
    };
    match shape.get_mut(axis) {
        Some(size) if start < end && end <= *size && step > 0 => {
            *size = (end - start).div_ceil(step);
            Ok(shape)
        }
        _ => Err(format!(
            "{x:?} has no entries {start} to {end} by {step} on axis {axis}"
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn operands_that_do_not_fit_are_named() {
        let error = |op: Op, inputs: &[&[usize]]| output(&op, inputs, &[]).unwrap_err();
        assert!(error(Op::Add, &[&[3, 4, 4], &[3, 2, 2]]).contains("[3, 2, 2]"));
        assert!(error(Op::Add, &[&[3]]).contains("1 operands instead of 2"));
        assert!(error(Op::Mul, &[&[3, 1], &[2, 4]]).contains("multiplied"));
        assert!(error(Op::Concat, &[&[3, 4, 4], &[3, 2, 4]]).contains("joined"));
        assert!(error(Op::Concat, &[]).contains("0 operands"));
        assert!(error(Op::GlobalAvgPool, &[&[3]]).contains("no map"));
        assert!(error(Op::Shuffle { groups: 0 }, &[&[4, 1, 1]]).contains("0 groups"));
        assert!(error(Op::MaxPool(Window::square(3, 2, 0)), &[&[4, 2, 2]]).contains("side of 2"));
        let slice = |start, end| Op::Slice {
            axis: 1,
            start,
            end,
            step: 1,
        };
        assert!(error(slice(0, 5), &[&[1, 4, 4]]).contains("0 to 5"));
        assert!(error(slice(2, 2), &[&[1, 4, 4]]).contains("2 to 2"));
        assert!(error(slice(0, 1), &[&[4]]).contains("axis 1"));
        let reshape = Op::Reshape { shape: vec![5] };
        assert!(error(reshape, &[&[2, 2, 1]]).contains("[5]"));
        let adaptive = Op::AdaptiveAvgPool { size: [3, 1] };
        assert!(error(adaptive, &[&[1, 2, 2]]).contains("3x1"));
    }

    #[test]
    fn shapes_of_pytorch() {
        let shape = |op: Op, inputs: &[&[usize]]| output(&op, inputs, &[]).unwrap();
        // nn.MaxPool2d(3, 2, 1) and nn.AvgPool2d(3, 2, 1) of 112 and 7.
        let pool = Op::MaxPool(Window::square(3, 2, 1));
        assert_eq!(shape(pool, &[&[64, 112, 112]]), [64, 56, 56]);
        let pool = Op::AvgPool(Window::square(3, 2, 1));
        assert_eq!(shape(pool, &[&[8, 7, 7]]), [8, 4, 4]);
        let every_other = Op::Slice {
            axis: 2,
            start: 0,
            end: 5,
            step: 2,
        };
        assert_eq!(shape(every_other, &[&[1, 5, 5]]), [1, 5, 3]);
        assert_eq!(shape(Op::Mul, &[&[8, 1, 1], &[8, 3, 2]]), [8, 3, 2]);
        assert_eq!(shape(Op::Concat, &[&[2, 4, 4], &[3, 4, 4]]), [5, 4, 4]);
    }
}
