//! Images per second: augmented CIFAR batches, and Tiny-ImageNet decoded and from the cache.
//!
//! `cargo bench -p offramp-benches --bench data`. With `OFFRAMP_DATA` set the images are real,
//! otherwise they are drawn and encoded here, which changes the decoding time little.
//! The targets on two cores are 20,000 CIFAR images per second, 2,000 JPEGs per second on the first
//! pass and 10,000 per second from the cache.

use std::hint::black_box;
use std::path::{Path, PathBuf};

use criterion::{BatchSize, Criterion, Throughput, criterion_group, criterion_main};
use image::RgbImage;
use offramp_data::generated::generate;
use offramp_data::{
    AugmentConfig, DataConfig, Erasing, Loader, LoaderConfig, RandAugment, Split, Splits, open,
};

/// Classes and training images per class of the Tiny-ImageNet that is measured: enough to keep two
/// cores busy for a second, little enough to repeat.
const CLASSES: usize = 40;
const EACH: usize = 50;

fn real(name: &str) -> Option<PathBuf> {
    let root = PathBuf::from(std::env::var_os("OFFRAMP_DATA")?);
    root.join(name).is_dir().then_some(root)
}

fn loader(splits: &Splits, augment: AugmentConfig) -> Loader {
    let config = LoaderConfig::training(128, 0, augment);
    Loader::new(splits.train.clone(), &splits.info, config).expect("the settings fit")
}

/// Runs through an epoch and lets go of each batch at once.
fn consume(loader: &Loader, epoch: u64) {
    for batch in loader.epoch(epoch) {
        black_box(batch.expect("a batch"));
    }
}

fn cifar(c: &mut Criterion) {
    let mut config = DataConfig::default();
    let root = real("cifar-100-lowdata");
    match root {
        Some(_) => config.dataset = "cifar-100-lowdata".into(),
        None => config.generated.train = 10_000,
    }
    let splits = open(&config, root.as_deref()).expect("the data can be read");
    let heavy = AugmentConfig {
        rand_augment: Some(RandAugment::default()),
        erase: Some(Erasing::default()),
        cutmix: 1.0,
        ..AugmentConfig::default()
    };
    let mut group = c.benchmark_group("cifar epoch");
    group.sample_size(20);
    for (name, augment) in [
        ("crop and flip", AugmentConfig::default()),
        ("with RandAugment, erasing, cutmix", heavy),
    ] {
        let loader = loader(&splits, augment);
        let mut epoch = 0;
        group.throughput(Throughput::Elements(loader.samples() as u64));
        group.bench_function(name, |b| {
            b.iter(|| {
                consume(&loader, epoch);
                epoch += 1;
            });
        });
    }
    group.finish();
}

fn tiny_imagenet(c: &mut Criterion) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tree = folder.path().join("tiny-imagenet-200");
    match real("tiny-imagenet-200") {
        Some(root) => copy_part(&root.join("tiny-imagenet-200"), &tree),
        None => draw_tree(&tree),
    }
    let config = DataConfig {
        dataset: "tiny-imagenet-200".into(),
        val_fraction: 0.0,
        ..DataConfig::default()
    };
    let opened = || open(&config, Some(folder.path())).expect("the images can be read");
    let splits = opened();
    let (train, all) = (splits.train.len(), splits.train.len() + splits.test.len());
    drop(splits);
    let cache = tree.join(".offramp-cache");

    let mut group = c.benchmark_group("tiny-imagenet");
    group.sample_size(10);
    group.throughput(Throughput::Elements(all as u64));
    group.bench_function("first pass, cache written", |b| {
        let remove = || std::fs::remove_dir_all(&cache).expect("a cache was written");
        b.iter_batched(remove, |()| black_box(opened()), BatchSize::PerIteration);
    });
    group.throughput(Throughput::Elements(train as u64));
    group.bench_function("opened from the cache and one epoch augmented", |b| {
        b.iter(|| consume(&loader(&opened(), AugmentConfig::default()), 0));
    });
    group.finish();
}

/// The first classes of a real tree.
fn copy_part(from: &Path, to: &Path) {
    let read = |name: &str| std::fs::read_to_string(from.join(name)).expect("a text file");
    let mut ids: Vec<String> = read("wnids.txt").lines().map(str::to_owned).collect();
    ids.sort();
    ids.truncate(CLASSES);
    let copy = |name: &Path| {
        let target = to.join(name);
        let parent = target.parent().expect("it lies in a folder");
        std::fs::create_dir_all(parent).expect("a folder");
        std::fs::copy(from.join(name), target).expect("a copy");
    };
    for id in &ids {
        for i in 0..EACH {
            copy(Path::new(&format!("train/{id}/images/{id}_{i}.JPEG")));
        }
    }
    let annotations = read("val/val_annotations.txt");
    let wanted = |line: &&str| {
        line.split('\t')
            .nth(1)
            .is_some_and(|id| ids.iter().any(|i| i == id))
    };
    let lines: Vec<&str> = annotations.lines().filter(wanted).collect();
    for line in &lines {
        let name = line.split('\t').next().unwrap_or_default();
        copy(&Path::new("val/images").join(name));
    }
    put(&to.join("wnids.txt"), &ids.join("\n"));
    put(&to.join("val/val_annotations.txt"), &lines.join("\n"));
}

/// A tree of drawn images.
fn draw_tree(to: &Path) {
    let ids: Vec<String> = (0..CLASSES).map(|class| format!("n{class:08}")).collect();
    let images = generate(Split::Train, CLASSES * (EACH + 10), 64, 0).expect("images");
    let mut number = 0;
    let mut save = |path: PathBuf| {
        std::fs::create_dir_all(path.parent().expect("it lies in a folder")).expect("a folder");
        let (planes, plane) = (images.image(number), 64 * 64);
        let image = RgbImage::from_fn(64, 64, |x, y| {
            let at = y as usize * 64 + x as usize;
            image::Rgb([0, 1, 2].map(|channel| planes[channel * plane + at]))
        });
        image.save(path).expect("an image");
        number += 1;
    };
    let mut lines = Vec::new();
    for id in &ids {
        for i in 0..EACH {
            save(to.join(format!("train/{id}/images/{id}_{i}.jpeg")));
        }
        for i in 0..10 {
            let name = format!("{id}_{i}.jpeg");
            save(to.join("val/images").join(&name));
            lines.push(format!("{name}\t{id}\t0\t0\t63\t63"));
        }
    }
    put(&to.join("wnids.txt"), &ids.join("\n"));
    put(&to.join("val/val_annotations.txt"), &lines.join("\n"));
}

fn put(path: &Path, text: &str) {
    std::fs::write(path, text).expect("a text file");
}

criterion_group!(benches, cifar, tiny_imagenet);
criterion_main!(benches);
