//! Samples on their way through a network.

use std::collections::VecDeque;

use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::Features;
use offramp_policies::{Reading, Trail};

/// A sample that has not been answered yet.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    /// Its place in the order of admission, from 0.
    pub(crate) ticket: u64,
    /// What the policy remembers of it.
    pub(crate) trail: Trail,
    /// What has been read of its exits.
    pub(crate) reading: Reading,
}

/// Samples that are computed together, as a dense batch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// What the next segment takes.
    pub(crate) features: Features,
    /// Logits of the exit before, for the same samples.
    pub(crate) previous: Option<Tensor<2>>,
    /// In the order of the batch; at least one.
    pub(crate) samples: Vec<Sample>,
    /// The step of the stream after which they came here.
    pub(crate) since: u64,
}

impl Group {
    /// The samples at some places of the batch.
    pub(crate) fn select(self, rows: &[usize], device: &Device) -> Self {
        let places: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let places: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(places, [rows.len()]), device);
        let mut samples: Vec<Option<Sample>> = self.samples.into_iter().map(Some).collect();
        Self {
            features: self.features.select(places.clone()),
            previous: self.previous.map(|logits| logits.select(0, places)),
            samples: rows.iter().filter_map(|&row| samples[row].take()).collect(),
            since: self.since,
        }
    }

    /// One batch of several, in their order; they come from the same exit.
    fn join(mut groups: Vec<Self>) -> Option<Self> {
        if groups.len() < 2 {
            return groups.pop();
        }
        let since = groups.iter().map(|group| group.since).min()?;
        let maps = groups.iter().map(|group| group.features.map.clone());
        let map = Tensor::cat(maps.collect(), 0);
        let carried = (0..groups[0].features.carried.len())
            .map(|i| {
                let parts = groups.iter().map(|group| group.features.carried[i].clone());
                Tensor::cat(parts.collect(), 0)
            })
            .collect();
        let previous: Option<Vec<_>> = groups.iter().map(|group| group.previous.clone()).collect();
        Some(Self {
            features: Features { map, carried },
            previous: previous.map(|logits| Tensor::cat(logits, 0)),
            samples: groups.into_iter().flat_map(|group| group.samples).collect(),
            since,
        })
    }
}

/// What waits in front of each segment, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct Waiting {
    stages: Vec<VecDeque<Group>>,
}

impl Waiting {
    pub(crate) fn new(stages: usize) -> Self {
        Self {
            stages: vec![VecDeque::new(); stages],
        }
    }

    pub(crate) fn push(&mut self, stage: usize, group: Group) {
        self.stages[stage].push_back(group);
    }

    /// Samples in front of a segment.
    pub(crate) fn at(&self, stage: usize) -> usize {
        self.stages[stage]
            .iter()
            .map(|group| group.samples.len())
            .sum()
    }

    /// Samples in front of any segment.
    pub(crate) fn len(&self) -> usize {
        (0..self.stages.len()).map(|stage| self.at(stage)).sum()
    }

    /// The segment to compute next, with the samples to compute it for, at most `most` of them; nothing
    /// when nothing waits.
    ///
    /// The segment with the most samples (up to `most`) makes the best use of the machine; of equals the
    /// deepest, whose samples have come furthest. But where a sample has waited for as many steps as
    /// there are segments, the deepest such segment comes first, so that no sample waits for ever.
    pub(crate) fn take(&mut self, most: usize, step: u64) -> Option<(usize, Group)> {
        let overdue = |stage: &usize| {
            let oldest = self.stages[*stage].front();
            oldest.is_some_and(|group| step - group.since >= self.stages.len() as u64)
        };
        let filled = (0..self.stages.len()).filter(|&stage| !self.stages[stage].is_empty());
        let stage = (filled.clone().rev().find(overdue))
            .or_else(|| filled.max_by_key(|&stage| self.at(stage).min(most)))?;
        let queue = &mut self.stages[stage];
        let (mut groups, mut samples) = (Vec::new(), 0);
        while let Some(group) = queue.front()
            && (groups.is_empty() || samples + group.samples.len() <= most)
        {
            samples += group.samples.len();
            groups.extend(queue.pop_front());
        }
        Group::join(groups).map(|group| (stage, group))
    }
}
