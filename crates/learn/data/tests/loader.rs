//! Batches are functions of (seed, epoch, number), and evaluation shows images as they are.

use std::collections::HashSet;

use offramp_data::{
    AugmentConfig, Batch, DataConfig, Erasing, Interleave, Loader, LoaderConfig, RandAugment,
    Splits, open,
};

/// Everything on at once.
fn heavy() -> AugmentConfig {
    AugmentConfig {
        crop: Some(28),
        rand_augment: Some(RandAugment::default()),
        cutout: 8,
        erase: Some(Erasing::default()),
        mixup: 0.4,
        cutmix: 1.0,
        ..AugmentConfig::default()
    }
}

fn splits(augment: AugmentConfig) -> Splits {
    let mut config = DataConfig {
        augment,
        val_fraction: 0.2,
        ..DataConfig::default()
    };
    (config.generated.train, config.generated.test) = (300, 80);
    open(&config, None).unwrap()
}

fn loader(splits: &Splits, augment: AugmentConfig, workers: usize) -> Loader {
    let config = LoaderConfig {
        workers,
        ..LoaderConfig::training(32, 5, augment)
    };
    Loader::new(splits.train.clone(), &splits.info, config).unwrap()
}

fn batches(epoch: impl Iterator<Item = Result<Batch, offramp_data::DataError>>) -> Vec<Batch> {
    epoch.map(Result::unwrap).collect()
}

#[test]
fn batches_do_not_depend_on_the_number_of_workers() {
    for augment in [AugmentConfig::default(), heavy()] {
        let splits = splits(augment.clone());
        let expected = batches(loader(&splits, augment.clone(), 0).epoch(3));
        assert_eq!(expected.len(), 240 / 32);
        for workers in [1, 2, 4, 16] {
            let found = batches(loader(&splits, augment.clone(), workers).epoch(3));
            assert!(found == expected, "{workers} workers");
        }
    }
}

#[test]
fn an_epoch_resumed_in_the_middle_is_the_same_epoch() {
    let splits = splits(heavy());
    for workers in [0, 1, 2, 4] {
        let loader = loader(&splits, heavy(), workers);
        let whole = batches(loader.epoch(1));
        for first in [0, 1, 3, 6, 7, 100] {
            let rest = batches(loader.epoch_from(1, first));
            assert!(
                rest == whole[first.min(7)..],
                "{workers} workers from batch {first}"
            );
        }
    }
}

#[test]
fn every_epoch_has_an_order_and_variations_of_its_own() {
    let splits = splits(AugmentConfig::default());
    let loader = loader(&splits, AugmentConfig::default(), 2);
    let [zero, one] = [0, 1].map(|epoch| batches(loader.epoch(epoch)));
    let order = |batches: &[Batch]| -> Vec<usize> {
        batches.iter().flat_map(|b| b.indices.clone()).collect()
    };
    let (first, second) = (order(&zero), order(&one));
    assert_ne!(first, second);
    let distinct: HashSet<usize> = first.iter().copied().collect();
    assert_eq!(distinct.len(), first.len(), "no sample comes twice");

    // With padding by 4 and a flip there are 162 variations of an image.
    let image = |batches: &[Batch], index: usize| -> Option<Vec<u8>> {
        let mut found = batches.iter().filter_map(|batch| {
            let at = batch.indices.iter().position(|&i| i == index)?;
            Some(batch.image(at).to_vec())
        });
        found.next()
    };
    let in_both: Vec<usize> = first.into_iter().filter(|i| second.contains(i)).collect();
    let equal = in_both
        .iter()
        .filter(|&&i| image(&zero, i) == image(&one, i))
        .count();
    assert!(
        equal < in_both.len() / 10,
        "{equal} of {} are not varied",
        in_both.len()
    );
}

/// A sample is varied in the same way wherever in the epoch it comes.
#[test]
fn variations_belong_to_the_sample_not_to_its_place() {
    let splits = splits(AugmentConfig::default());
    let by_index = |batch_size| {
        let config = LoaderConfig::training(batch_size, 5, AugmentConfig::default());
        let loader = Loader::new(splits.train.clone(), &splits.info, config).unwrap();
        let mut all: Vec<(usize, Vec<u8>)> = Vec::new();
        for batch in batches(loader.epoch(0)) {
            all.extend((0..batch.len()).map(|i| (batch.indices[i], batch.image(i).to_vec())));
        }
        all.sort();
        all
    };
    assert!(by_index(24) == by_index(30));
}

#[test]
fn evaluation_shows_the_centre_and_nothing_else() {
    for augment in [AugmentConfig::default(), heavy()] {
        let splits = splits(augment.clone());
        let (side, margin) = match augment.crop {
            Some(crop) => (crop, (32 - crop) / 2),
            None => (32, 0),
        };
        for subset in [&splits.val, &splits.test, &splits.train] {
            let config = LoaderConfig::evaluation(7);
            let loader = Loader::new(subset.clone(), &splits.info, config).unwrap();
            let mut position = 0;
            for epoch in [0, 1] {
                position = 0;
                for batch in batches(loader.epoch(epoch)) {
                    assert!(batch.mix.is_none());
                    for i in 0..batch.len() {
                        let stored = subset.image(position);
                        for (at, &pixel) in batch.image(i).iter().enumerate() {
                            let (c, y, x) = (at / side / side, at / side % side, at % side);
                            let from = (c * 32 + y + margin) * 32 + x + margin;
                            assert_eq!(pixel, stored[from]);
                        }
                        assert_eq!(batch.labels[i], subset.label(position));
                        position += 1;
                    }
                }
            }
            assert_eq!(position, subset.len(), "the last, partial batch comes too");
        }
    }
}

#[test]
fn an_epoch_may_be_left_early() {
    let splits = splits(AugmentConfig::default());
    for workers in [0, 1, 4] {
        let loader = loader(&splits, AugmentConfig::default(), workers);
        let mut epoch = loader.epoch(0);
        epoch.next().unwrap().unwrap();
        drop(epoch);
        assert_eq!(batches(loader.epoch(0)).len(), 7);
    }
}

#[test]
fn senseless_settings_are_errors() {
    let splits = splits(AugmentConfig::default());
    let error = |config| {
        Loader::new(splits.test.clone(), &splits.info, config)
            .unwrap_err()
            .to_string()
    };
    assert!(error(LoaderConfig::evaluation(0)).contains("`batch-size` is 0"));
    let dropped = LoaderConfig::training(81, 0, AugmentConfig::default());
    let message = error(dropped);
    assert!(
        message.contains("80 samples in full batches of 81"),
        "{message}"
    );
}

/// 60 images with a label and 180 without one, in turns of 2 and 5.
#[test]
fn rows_with_and_without_labels_take_turns() {
    let splits = semi_supervised();
    let interleave = Interleave {
        labelled: 2,
        unlabelled: 5,
    };
    let config = |drop_last| LoaderConfig {
        drop_last,
        interleave: Some(interleave),
        ..LoaderConfig::training(14, 5, AugmentConfig::default())
    };
    let loader =
        |drop_last| Loader::new(splits.train.clone(), &splits.info, config(drop_last)).unwrap();
    // 60 / 2 = 30 turns, 180 / 5 = 36: 30 turns of 7 rows are 210 samples, 15 batches.
    assert_eq!((loader(true).batches(), loader(true).samples()), (15, 210));
    let epochs = [0, 1].map(|epoch| batches(loader(true).epoch(epoch)));
    for epoch in &epochs {
        let mut seen = HashSet::new();
        for batch in epoch {
            let kinds: Vec<bool> = batch.labels.iter().map(|label| *label >= 0).collect();
            for turn in kinds.chunks(7) {
                assert_eq!(turn, [true, true, false, false, false, false, false]);
            }
            assert!(
                batch.indices.iter().all(|row| seen.insert(*row)),
                "a row twice"
            );
        }
        let labelled = epoch.iter().flat_map(|batch| &batch.labels);
        assert_eq!(labelled.filter(|label| **label >= 0).count(), 60);
    }
    let order = |epoch: &[Batch]| {
        epoch
            .iter()
            .flat_map(|b| b.indices.clone())
            .collect::<Vec<_>>()
    };
    assert_ne!(order(&epochs[0]), order(&epochs[1]));
    // In the middle and with other workers it is the same epoch.
    let rest = batches(loader(true).epoch_from(1, 4));
    assert!(rest == epochs[1][4..]);
}

#[test]
fn turns_that_cannot_be_filled_are_refused() {
    let semi = semi_supervised();
    let none = splits(AugmentConfig::default());
    for (splits, labelled, unlabelled, found) in [
        (&semi, 0, 1, "0:1"),
        (&semi, 1, 0, "1:0"),
        (&semi, 61, 1, "60 and 180"),
        (&none, 1, 1, "240 and 0"),
    ] {
        let interleave = Some(Interleave {
            labelled,
            unlabelled,
        });
        let config = LoaderConfig {
            interleave,
            ..LoaderConfig::training(16, 5, AugmentConfig::default())
        };
        let error = Loader::new(splits.train.clone(), &splits.info, config).unwrap_err();
        assert!(error.to_string().contains(found), "{error}");
    }
}

fn semi_supervised() -> Splits {
    let mut config = DataConfig {
        val_fraction: 0.2,
        labelled_fraction: 0.25,
        ..DataConfig::default()
    };
    (config.generated.train, config.generated.test) = (300, 80);
    open(&config, None).unwrap()
}
