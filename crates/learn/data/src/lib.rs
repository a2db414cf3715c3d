//! Image data for multi-exit classifiers: readers, download, augmentation, loading.
//!
//! [`open`] turns the `[data]` table of a recipe into three [`Subset`]s of decoded uint8 images;
//! a [`Loader`] turns a subset into [`Batch`]es. Nothing here knows of tensors or devices.
//!
//! Thresholds, temperatures, checkpoint choice and early stopping may use training and validation
//! rows only. The test images are for the score, and only a loader that is given an
//! [`AugmentConfig`] ever augments an image.
//!
//! | want | see |
//! |---|---|
//! | the known data sets | [`registry`] |
//! | a data set, opened | [`open`], [`DataConfig`], [`Splits`] |
//! | batches | [`Loader`], [`LoaderConfig`], [`Batch`] |
//! | variations of images | [`AugmentConfig`] |
//! | one image of a size | [`decode_image`] |
//! | a download | [`fetch`](mod@fetch); the feature `fetch`, on unless switched off |

#![cfg_attr(docsrs, feature(doc_cfg))]

mod augment;
mod cache;
mod config;
mod decode;
mod error;
pub mod fetch;
pub mod generated;
mod images;
mod info;
mod loader;
mod mapping;
mod open;
mod readers;
mod registry;
mod rng;
mod split;
mod statistics;
mod stratify;
mod subset;

pub use augment::{AugmentConfig, Erasing, Fill, Mix, RandAugment, ResizedCrop, Window};
pub use config::{DataConfig, GeneratedConfig, OnError};
pub use decode::{Source, decode_image};
pub use error::DataError;
pub use generated::Difficulty;
pub use images::{Images, Skipped};
pub use info::{DatasetInfo, ImageShape};
pub use loader::{Batch, EpochIter, Interleave, Loader, LoaderConfig, Windows};
pub use open::{DEFAULT_ROOT, open};
pub use registry::{Archive, DatasetEntry, Download, KnownFile, Reader, find, registry};
pub use split::{Split, Splits};
pub use statistics::channel_statistics;
pub use subset::Subset;
