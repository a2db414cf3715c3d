//! Running allocates nothing, for any number of images.

mod support;

use std::alloc::{GlobalAlloc, Layout, System};
use std::sync::atomic::{AtomicUsize, Ordering};

use offramp_executor::{Executor, MultiExitExecutor, MultiExitPlan, Options, Plan};
use offramp_graph::{Builder, ConvGeometry, Window};
use support::Weights;

/// Counts what the tests' threads and the executor's allocate.
struct Counting;

static COUNT: AtomicUsize = AtomicUsize::new(0);

// SAFETY: it hands everything on to the system's allocator.
#[expect(unsafe_code, reason = "an allocator is unsafe by nature")]
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        COUNT.fetch_add(1, Ordering::SeqCst);
        // SAFETY: as the caller vouches.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        // SAFETY: as the caller vouches.
        unsafe { System.dealloc(block, layout) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// One test, because others of the same process would be counted.
fn main() {
    const BATCH: usize = 12;
    let mut b = Builder::new();
    let mut weights = Weights::new(1);
    let x = b.input("image", &[3, 8, 8]);
    let geometry = ConvGeometry {
        padding: [1, 1],
        ..ConvGeometry::default()
    };
    let first = weights.add(&mut b, &[32, 3, 3, 3]);
    let y = b.conv(x, first, None, geometry).unwrap();
    let second = weights.add(&mut b, &[32, 32, 3, 3]);
    let z = b.conv(y, second, None, geometry).unwrap();
    let z = b.add(z, y).unwrap();
    let z = b.relu(z).unwrap();
    let z = b.max_pool(z, Window::square(2, 2, 0)).unwrap();
    let z = b.shuffle(z, 4).unwrap();
    let z = b.global_avg_pool(z).unwrap();
    let last = weights.add(&mut b, &[7, 32]);
    let z = b.linear(z, last, None).unwrap();
    let graph = b.finish([("exit0", z)]);
    let images = vec![0.5; BATCH * 192];
    let mut logits = vec![0.0; BATCH * 7];
    for threads in 1..=3 {
        let options = Options {
            threads,
            ..Options::default()
        };
        let plan = Plan::compile(&graph, BATCH, options).unwrap();
        let mut executor = Executor::new(plan);
        let plan = MultiExitPlan::compile(std::slice::from_ref(&graph), BATCH, options).unwrap();
        let mut staged = MultiExitExecutor::new(plan);
        let mut before = usize::MAX;
        for n in [BATCH, BATCH, 1, 5, 3, 2, BATCH, 0] {
            executor
                .run(n, &[&images[..n * 192]], &mut [&mut logits[..n * 7]])
                .unwrap();
            let answers = staged.run(n, &images[..n * 192], |_, _, _| false).unwrap();
            assert_eq!(answers.exits.len(), n);
            let count = COUNT.load(Ordering::SeqCst);
            assert!(
                count <= before,
                "{n} images, {threads} threads: allocations"
            );
            before = count;
        }
    }
    println!("no allocations after the first run ... ok");
}
