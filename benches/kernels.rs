//! Convolution and batch norm at the shapes of ResNet-20 and ResNet-18, forward and backward.

use std::hint::black_box;

use burn::tensor::{Device, Distribution, Tensor};
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use offramp_core::default_device;
use offramp_kernels::{Conv2dOptions, batch_norm_train, conv2d};

/// Images, input channels, output channels, size of the map, kernel, stride.
const SHAPES: [[usize; 6]; 8] = [
    [128, 3, 16, 32, 3, 1],
    [128, 16, 16, 32, 3, 1],
    [128, 16, 32, 32, 3, 2],
    [128, 32, 32, 16, 3, 1],
    [128, 64, 64, 8, 3, 1],
    [32, 64, 64, 32, 3, 1],
    [32, 256, 256, 8, 3, 1],
    [32, 512, 512, 4, 3, 1],
];

fn random<const D: usize>(shape: [usize; D], device: &Device) -> Tensor<D> {
    Tensor::random(shape, Distribution::Default, device)
}

fn convolution(c: &mut Criterion) {
    let mut group = c.benchmark_group("conv2d");
    group.sample_size(20);
    for [n, c_in, c_out, size, kernel, stride] in SHAPES {
        let device = default_device().unwrap();
        let x = random([n, c_in, size, size], &device);
        let weight = random([c_out, c_in, kernel, kernel], &device);
        let options = Conv2dOptions {
            stride: [stride; 2],
            padding: [kernel / 2; 2],
            ..Conv2dOptions::default()
        };
        // A convolution puts its result channels-last, as the next one will find it.
        let one = Tensor::ones([c_in, 1, 1, 1], &device);
        let depthwise = Conv2dOptions {
            groups: c_in,
            ..Conv2dOptions::default()
        };
        let x = conv2d(x, one, None, depthwise);
        let name = format!("{n}x{c_in}->{c_out} {size}px {kernel}x{kernel}/{stride}");
        let outputs = (size / stride) * (size / stride);
        let products = n * outputs * c_out * c_in * kernel * kernel;
        // Criterion's elements are multiplications with additions.
        group.throughput(Throughput::Elements(products as u64));
        group.bench_function(BenchmarkId::new("forward", &name), |b| {
            b.iter(|| black_box(conv2d(x.clone(), weight.clone(), None, options)));
        });
        let x = Tensor::from_inner(x).require_grad();
        let weight = Tensor::from_inner(weight).require_grad();
        group.throughput(Throughput::Elements(3 * products as u64));
        group.bench_function(BenchmarkId::new("forward and backward", &name), |b| {
            b.iter(|| {
                let y = conv2d(x.clone(), weight.clone(), None, options);
                black_box(y.sum().backward())
            });
        });
    }
    group.finish();
}

fn batch_norm(c: &mut Criterion) {
    let mut group = c.benchmark_group("batch_norm_train with ReLU");
    group.sample_size(20);
    let device = default_device().unwrap().autodiff();
    for [n, channels, size] in [[128, 16, 32], [128, 64, 8], [32, 512, 4]] {
        let x = random([n, channels, size, size], &device).require_grad();
        let gamma = Tensor::<1>::ones([channels], &device).require_grad();
        let beta = Tensor::<1>::zeros([channels], &device).require_grad();
        group.throughput(Throughput::Elements((n * channels * size * size) as u64));
        let name = format!("{n}x{channels} {size}px");
        group.bench_function(BenchmarkId::new("forward and backward", name), |b| {
            b.iter(|| {
                let (gamma, beta) = (gamma.clone(), beta.clone());
                let result = batch_norm_train(x.clone(), gamma, beta, 1e-5, None, true);
                black_box(result.output.sum().backward())
            });
        });
    }
    group.finish();
}

criterion_group!(benches, convolution, batch_norm);
criterion_main!(benches);
