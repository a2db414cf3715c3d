//! A network large enough that images take turns, against the interpreter and against itself.

mod support;

use offramp_executor::{Executor, Options, Plan};
use support::{Example, Random, near, residual_network, run};

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
