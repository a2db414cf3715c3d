//! Convolutions of bytes.

mod support;

use offramp_cpu::program::{ByteWeights, Step};
use offramp_executor::{Executor, MultiExitExecutor, MultiExitPlan, Options, Plan};
use offramp_graph::{Builder, ConvGeometry};
use support::{Example, Random, Weights, near, residual_network, run};

fn geometry(stride: usize, padding: usize) -> ConvGeometry {
    ConvGeometry {
        stride: [stride; 2],
        padding: [padding; 2],
        ..ConvGeometry::default()
    }
}

fn one_thread() -> Options {
    Options {
        threads: 1,
        ..Options::default()
    }
}

/// The formula of `Quantized` in 64-bit, with an input whose bytes have a zero that is not 0.
#[test]
fn a_convolution_is_the_stated_sum_of_bytes() {
    for [c_in, c_out, kernel, stride, side] in [
        [16, 16, 3, 1, 9],
        [35, 40, 3, 2, 8],
        [64, 64, 1, 1, 5],
        [20, 70, 3, 1, 17],
    ] {
        let padding = kernel / 2;
        let mut random = Random::new(3);
        let mut b = Builder::new();
        let x = b.input("x", &[c_in, side, side]);
        let weights = random.values(c_out * c_in * kernel * kernel);
        let bias = random.values(c_out);
        let w = b.weight(1, &[c_out, c_in, kernel, kernel], weights.clone());
        let t = b.weight(2, &[c_out], bias.clone());
        let y = b.conv(x, w, Some(t), geometry(stride, padding)).unwrap();
        let graph = b.finish([("y", y)]);
        let images = [random.values(c_in * side * side)];
        let images = images.map(|x| x.iter().map(|x| x + 0.3).collect::<Vec<f32>>());
        let plan = Plan::quantized(&graph, 1, one_thread(), 1, &images).unwrap();
        let steps = &plan.program().parts().steps;
        assert!(steps.iter().any(|step| matches!(step, Step::Quantized(_))));

        let least = images[0].iter().fold(0.0, |a: f32, &b| a.min(b));
        let largest = images[0].iter().fold(0.0, |a: f32, &b| a.max(b));
        let scale = (largest - least) / 255.0;
        let zero = (-least / scale).round();
        assert!(zero > 0.0);
        let bytes: Vec<i64> = (images[0].iter())
            .map(|x| i64::from((x / scale + zero).round_ties_even().clamp(0.0, 255.0) as u8))
            .collect();
        let rounded = ByteWeights::new(&weights, c_out);
        let out = (side + 2 * padding - kernel) / stride + 1;
        let mut expected = Vec::new();
        for (o, &bias) in bias.iter().enumerate() {
            for y in 0..out {
                for x in 0..out {
                    let mut sum = 0;
                    for i in 0..c_in {
                        for k in 0..kernel * kernel {
                            let at = |place: usize, tap: usize| {
                                (place * stride + tap)
                                    .checked_sub(padding)
                                    .filter(|&p| p < side)
                            };
                            let (y, x) = (at(y, k / kernel), at(x, k % kernel));
                            let (Some(y), Some(x)) = (y, x) else { continue };
                            let q = bytes[(i * side + y) * side + x] - zero as i64;
                            let w = rounded.bytes[(o * c_in + i) * kernel * kernel + k];
                            sum += q * i64::from(w);
                        }
                    }
                    let factor = f64::from(scale) * f64::from(rounded.scales[o]);
                    expected.push((factor * sum as f64 + f64::from(bias)) as f32);
                }
            }
        }
        let mut found = vec![0.0; expected.len()];
        Executor::new(plan)
            .run(1, &[&images[0]], &mut [&mut found])
            .unwrap();
        let what = format!("{c_in} to {c_out}, kernel {kernel}, stride {stride}");
        near(&found, &expected, 1e-5, &what);
    }
}

/// Bytes have a step of 1/255 of the range; a network of ten layers stays within a few of them, and
/// neither batch nor threads change a bit.
#[test]
fn a_network_of_bytes_is_near_the_one_of_numbers() {
    let graph = residual_network(&[16, 32]);
    let example = Example::new(&graph, 6, 4);
    let mut first: Option<Vec<f32>> = None;
    for threads in [1, 2, 3] {
        let options = Options {
            threads,
            ..Options::default()
        };
        let plan = Plan::quantized(&graph, 6, options, 6, &example.inputs).unwrap();
        let mut executor = Executor::new(plan);
        for images in [6, 1, 5] {
            let logits = run(&mut executor, &example, images, 6).remove(0);
            near(&logits, &example.outputs[0][..logits.len()], 0.03, "logits");
            let first = first.get_or_insert_with(|| logits.clone());
            assert_eq!(
                logits,
                first[..logits.len()],
                "{images} images, {threads} threads"
            );
        }
    }
}

/// A map of bytes goes from segment to segment as it is.
#[test]
fn segments_hand_on_bytes() {
    let mut weights = Weights::new(4);
    let mut b = Builder::new();
    let image = b.input("image", &[3, 8, 8]);
    let weight = weights.add(&mut b, &[24, 3, 3, 3]);
    let map = b.conv(image, weight, None, geometry(1, 1)).unwrap();
    let map = b.relu(map).unwrap();
    let means = b.global_avg_pool(map).unwrap();
    let weight = weights.add(&mut b, &[4, 24]);
    let logits = b.linear(means, weight, None).unwrap();
    let first = b.finish([("exit0", logits), ("map0", map)]);
    let mut b = Builder::new();
    let map = b.input("map0", &[24, 8, 8]);
    let weight = weights.add(&mut b, &[32, 24, 3, 3]);
    let map = b.conv(map, weight, None, geometry(2, 1)).unwrap();
    let means = b.global_avg_pool(map).unwrap();
    let weight = weights.add(&mut b, &[4, 32]);
    let logits = b.linear(means, weight, None).unwrap();
    let graphs = [first, b.finish([("exit1", logits)])];

    let images = Random::new(8).values(7 * 192);
    let numbers = MultiExitPlan::compile(&graphs, 7, one_thread()).unwrap();
    let bytes = MultiExitPlan::quantized(&graphs, 7, one_thread(), 7, &images).unwrap();
    let words = |plan: &MultiExitPlan| plan.segments()[1].program().parts().inputs[0].words();
    assert_eq!(words(&bytes) * 4, words(&numbers));
    let answer = |plan: MultiExitPlan| {
        let mut executor = MultiExitExecutor::new(plan);
        let stop = |_: usize, sample: usize, _: &[f32]| sample % 3 == 1;
        let answers = executor.run(7, &images, stop).unwrap();
        assert_eq!(answers.exits, [1, 0, 1, 1, 0, 1, 1]);
        answers.logits.to_vec()
    };
    near(&answer(bytes), &answer(numbers), 0.03, "logits");
}
