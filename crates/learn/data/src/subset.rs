//! A choice of samples from a block of images.

use std::path::Path;
use std::sync::Arc;

use crate::error::DataError;
use crate::generated::Difficulty;
use crate::images::Images;
use crate::info::ImageShape;
use crate::stratify::stratified_order;

/// Some samples of an [`Images`], in a fixed order. Cheap to clone.
///
/// A *position* runs from 0 to [`Subset::len`]; the *index* at a position names the sample in the
/// underlying [`Images`] and is what random choices are keyed with.
#[derive(Debug, Clone)]
pub struct Subset {
    images: Arc<Images>,
    indices: Arc<[usize]>,
    /// By index: whether the label is withheld. `None` withholds no label.
    hidden: Option<Arc<[bool]>>,
}

impl Subset {
    /// Every sample of `images`.
    pub fn all(images: Arc<Images>) -> Self {
        let indices = (0..images.len()).collect();
        Self {
            images,
            indices,
            hidden: None,
        }
    }

    /// The samples of `images` with these indices.
    ///
    /// # Errors
    /// [`DataError::Config`] if an index is not below `images.len()`.
    pub fn new(images: Arc<Images>, indices: Vec<usize>) -> Result<Self, DataError> {
        if let Some(bad) = indices.iter().find(|&&i| i >= images.len()) {
            return Err(DataError::Config {
                key: "indices",
                value: bad.to_string(),
                rule: format!("there are {} samples", images.len()),
            });
        }
        Ok(Self {
            images,
            indices: indices.into(),
            hidden: None,
        })
    }

    /// No sample, of the same images.
    pub(crate) fn none(&self) -> Self {
        Self {
            images: self.images.clone(),
            indices: Arc::new([]),
            hidden: None,
        }
    }

    /// The number of samples.
    pub fn len(&self) -> usize {
        self.indices.len()
    }

    /// Whether there is no sample.
    pub fn is_empty(&self) -> bool {
        self.indices.is_empty()
    }

    /// The shape of the stored images (before any crop).
    pub fn shape(&self) -> ImageShape {
        self.images.shape()
    }

    /// The block the samples are chosen from.
    pub fn images(&self) -> &Arc<Images> {
        &self.images
    }

    /// The indices of the samples, by position.
    pub fn indices(&self) -> &[usize] {
        &self.indices
    }

    /// The image at position `i`, `C x H x W`.
    ///
    /// # Panics
    /// If `i` is not below [`Subset::len`]; so do the other methods that take a position.
    pub fn image(&self, i: usize) -> &[u8] {
        self.images.image(self.indices[i])
    }

    /// The label at position `i`; -1 if there is none or it is withheld.
    pub fn label(&self, i: usize) -> i32 {
        let index = self.indices[i];
        match &self.hidden {
            Some(hidden) if hidden[index] => -1,
            _ => self.images.label(index),
        }
    }

    /// All labels, by position.
    pub fn labels(&self) -> Vec<i32> {
        (0..self.len()).map(|i| self.label(i)).collect()
    }

    /// The file of the image at position `i`, where each has its own.
    pub fn path(&self, i: usize) -> Option<&Path> {
        self.images.path(self.indices[i])
    }

    /// The difficulty of the image at position `i`; `None` for real images.
    pub fn difficulty(&self, i: usize) -> Option<Difficulty> {
        self.images.difficulty(self.indices[i])
    }

    /// `n` samples, each class in proportion, chosen with seed 0 and left in their order. All of
    /// them if `n` is larger. Choices are nested: `take(100)` is part of `take(1000)`.
    pub fn take(&self, n: usize) -> Self {
        self.take_seeded(n, 0)
    }

    /// [`Subset::take`] with a given seed.
    pub fn take_seeded(&self, n: usize, seed: u64) -> Self {
        self.divide(n, seed).0
    }

    /// `n` samples, each class in proportion, and the rest, both in their order.
    pub fn divide(&self, n: usize, seed: u64) -> (Self, Self) {
        let order = stratified_order(&self.labels(), seed);
        let n = n.min(self.len());
        let pick = |positions: &[usize]| {
            let mut positions = positions.to_vec();
            positions.sort_unstable();
            let indices = positions.into_iter().map(|p| self.indices[p]).collect();
            Self {
                indices,
                ..self.clone()
            }
        };
        (pick(&order[..n]), pick(&order[n..]))
    }

    /// Withholds labels so that `round(fraction * len)` samples, each class in proportion, keep
    /// theirs; the others show -1 (semi-supervised learning).
    pub fn with_labelled_fraction(&self, fraction: f64, seed: u64) -> Self {
        if fraction >= 1.0 {
            return self.clone();
        }
        let keep = (fraction.max(0.0) * self.len() as f64).round() as usize;
        let (_, rest) = self.divide(keep, seed);
        let mut hidden = match &self.hidden {
            Some(hidden) => hidden.to_vec(),
            None => vec![false; self.images.len()],
        };
        for &index in rest.indices() {
            hidden[index] = true;
        }
        Self {
            hidden: Some(hidden.into()),
            ..self.clone()
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(n: usize) -> Subset {
        let shape = ImageShape {
            channels: 1,
            height: 1,
            width: 1,
        };
        let labels = (0..n).map(|i| (i % 5) as i32).collect();
        let pixels = (0..n).map(|i| i as u8).collect();
        Subset::all(Arc::new(Images::owned(shape, pixels, labels).unwrap()))
    }

    #[test]
    fn take_is_stratified_nested_and_in_order() {
        let all = sample(100);
        let (ten, fifty) = (all.take(10), all.take(50));
        assert!(ten.indices().is_sorted() && fifty.indices().is_sorted());
        assert!(ten.indices().iter().all(|i| fifty.indices().contains(i)));
        for class in 0..5 {
            assert_eq!(ten.labels().iter().filter(|&&l| l == class).count(), 2);
        }
        assert_eq!(all.take(1000).len(), 100);
        assert_eq!(ten.image(3), &[ten.indices()[3] as u8]);
    }

    #[test]
    fn divide_leaves_nothing_out_and_nothing_twice() {
        let (left, right) = sample(103).divide(20, 9);
        let mut all = [left.indices(), right.indices()].concat();
        all.sort_unstable();
        assert!(all.into_iter().eq(0..103));
    }

    #[test]
    fn withheld_labels_show_as_minus_one() {
        let all = sample(100);
        let part = all.with_labelled_fraction(0.2, 1);
        let labels = part.labels();
        assert_eq!(labels.iter().filter(|&&l| l >= 0).count(), 20);
        for (position, label) in labels.into_iter().enumerate() {
            assert!(label == -1 || label == all.label(position));
        }
    }

    #[test]
    fn indices_out_of_range_are_refused() {
        let images = sample(3).images().clone();
        assert!(Subset::new(images, vec![0, 3]).is_err());
    }
}
