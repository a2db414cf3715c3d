//! A network large enough that images take turns, against the interpreter and against itself.

mod support;

use offramp_executor::{Executor, Options, Plan};
use offramp_graph::{Builder, ConvGeometry, Graph, Value, WeightNames};
use support::{Example, Random, Weights, near, run};

struct Net {
    b: Builder,
    weights: Weights,
}

impl Net {
    fn conv(&mut self, x: Value, width: usize, kernel: usize, stride: usize) -> Value {
        let shape = [width, self.b.shape(x)[0], kernel, kernel];
        let weight = self.weights.add(&mut self.b, &shape);
        let geometry = ConvGeometry {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..ConvGeometry::default()
        };
        let y = self.b.conv(x, weight, None, geometry).unwrap();
        let norm = self.weights.norm(&mut self.b, width);
        self.b.batch_norm(y, norm, 1e-5).unwrap()
    }

    fn block(&mut self, x: Value, width: usize, stride: usize) -> Value {
        let y = self.conv(x, width, 3, stride);
        let y = self.b.relu(y).unwrap();
        let y = self.conv(y, width, 3, 1);
        let short = match stride {
            1 => x,
            _ => self.conv(x, width, 1, stride),
        };
        let y = self.b.add(y, short).unwrap();
        self.b.relu(y).unwrap()
    }
}

fn residual_network(widths: &[usize]) -> Graph {
    let mut net = Net {
        b: Builder::new(WeightNames::default()),
        weights: Weights::new(2),
    };
    let x = net.b.input("image", &[3, 32, 32]);
    let mut y = net.conv(x, widths[0], 3, 1);
    for (i, &width) in widths.iter().enumerate() {
        y = net.block(y, width, 1 + usize::from(i > 0));
        y = net.block(y, width, 1);
    }
    let y = net.b.global_avg_pool(y).unwrap();
    let shape = [10, widths[widths.len() - 1]];
    let weight = net.weights.add(&mut net.b, &shape);
    let y = net.b.linear(y, weight, None).unwrap();
    net.b.finish([("logits", y)])
}

#[test]
fn a_residual_network_is_what_the_interpreter_computes() {
    let graph = residual_network(&[16, 32]);
    let example = Example::new(&graph, 3, 4);
    for winograd in [false, true] {
        let options = Options {
            threads: 2,
            winograd,
        };
        let mut executor = Executor::new(Plan::compile(&graph, 3, options).unwrap());
        let outputs = run(&mut executor, &example, 3, 3);
        near(&outputs[0], &example.outputs[0], 1e-5, "logits");
    }
}

/// Neither the batch nor the number of threads changes a bit, though images go through the early
/// layers by ones and through the late ones together.
#[test]
fn an_image_is_answered_alike_in_any_batch() {
    const BATCH: usize = 21;
    let graph = residual_network(&[64, 128, 256]);
    let images = Random::new(6).values(BATCH * 3072);
    let mut alone: Vec<u32> = Vec::new();
    for threads in [1, 2] {
        let options = Options {
            threads,
            ..Options::default()
        };
        let plan = Plan::compile(&graph, BATCH, options).unwrap();
        let phases = plan.program().parts().phases.len();
        assert!(phases > 2, "{phases} phases");
        let mut executor = Executor::new(plan);
        let mut logits = vec![0.0; BATCH * 10];
        if threads == 1 {
            for (x, y) in images.chunks(3072).zip(logits.chunks_mut(10)) {
                executor.run(1, &[x], &mut [y]).unwrap();
            }
            alone = logits.iter().map(|y| y.to_bits()).collect();
        }
        for batch in [BATCH, 3, 1] {
            let (x, y) = (&images[..batch * 3072], &mut logits[..batch * 10]);
            executor.run(batch, &[x], &mut [y]).unwrap();
            let bits: Vec<u32> = logits[..batch * 10].iter().map(|y| y.to_bits()).collect();
            assert!(
                bits == alone[..batch * 10],
                "{batch} images, {threads} threads"
            );
        }
    }
}
