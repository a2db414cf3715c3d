//! Images that wait between two exits.

use std::collections::VecDeque;

use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::Features;
use offramp_policies::{SampleState, SegmentQueue, next_segment};

/// An image that has not been answered yet.
#[derive(Clone, Debug)]
pub(crate) struct WaitingImage {
    /// Its place in the order of admission, from 0.
    pub(crate) ticket: u64,
    /// What its policy knows of it so far.
    pub(crate) state: SampleState,
}

/// Images that are computed together, as a dense batch.
#[derive(Clone, Debug)]
pub(crate) struct Group {
    /// What the next segment takes.
    pub(crate) features: Features,
    /// Logits of the exit before, for the same images.
    pub(crate) previous: Option<Tensor<2>>,
    /// In the order of the batch; at least one.
    pub(crate) samples: Vec<WaitingImage>,
    /// The step of the stream after which they came here.
    pub(crate) since: u64,
}

impl Group {
    /// The images at some places of the batch.
    pub(crate) fn select(self, rows: &[usize], device: &Device) -> Self {
        let places: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
        let places: Tensor<1, Int> =
            Tensor::from_data(TensorData::new(places, [rows.len()]), device);
        let mut samples: Vec<Option<WaitingImage>> = self.samples.into_iter().map(Some).collect();
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

/// The queue of each segment, oldest first.
#[derive(Clone, Debug)]
pub(crate) struct SegmentQueues {
    queues: Vec<VecDeque<Group>>,
}

impl SegmentQueues {
    pub(crate) fn new(segments: usize) -> Self {
        Self {
            queues: vec![VecDeque::new(); segments],
        }
    }

    pub(crate) fn push(&mut self, segment: usize, group: Group) {
        self.queues[segment].push_back(group);
    }

    /// Images that wait for a segment.
    pub(crate) fn at(&self, segment: usize) -> usize {
        self.queues[segment]
            .iter()
            .map(|group| group.samples.len())
            .sum()
    }

    /// Images that wait for any segment.
    pub(crate) fn len(&self) -> usize {
        (0..self.queues.len()).map(|segment| self.at(segment)).sum()
    }

    /// The segment to compute next ([`next_segment`]), with the images to compute it for, at most `most`
    /// of them; nothing when nothing waits.
    pub(crate) fn take(&mut self, most: usize, step: u64) -> Option<(usize, Group)> {
        let queue = |(segment, groups): (usize, &VecDeque<Group>)| SegmentQueue {
            samples: self.at(segment),
            waited: groups.front().map_or(0, |group| step - group.since),
        };
        let queues: Vec<SegmentQueue> = self.queues.iter().enumerate().map(queue).collect();
        let segment = next_segment(&queues, most)?;
        let queue = &mut self.queues[segment];
        let (mut groups, mut samples) = (Vec::new(), 0);
        while let Some(group) = queue.front()
            && (groups.is_empty() || samples + group.samples.len() <= most)
        {
            samples += group.samples.len();
            groups.extend(queue.pop_front());
        }
        Group::join(groups).map(|group| (segment, group))
    }
}
