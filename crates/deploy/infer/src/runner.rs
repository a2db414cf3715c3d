//! The runner: a network with its policy.

use burn::tensor::Tensor;
use offramp_policies::{Answer, AnyPolicy, PolicyError, Readout, Rule, Temperatures};

use crate::{EarlyExitNet, InferError, Stream};

/// A network and the policy that decides at which exit each image stops.
#[derive(Clone, Debug)]
pub struct Runner<N> {
    pub(crate) net: N,
    pub(crate) rule: Rule,
    pub(crate) macs: Vec<u64>,
    image: Option<[usize; 3]>,
}

impl<N: EarlyExitNet> Runner<N> {
    /// A runner; `macs[k]` is what it costs to answer at exit `k`
    /// ([`MultiExitNet::exit_costs`](offramp_heads::MultiExitNet::exit_costs)).
    ///
    /// The network should be in evaluation mode on a device without gradients.
    ///
    /// # Errors
    /// When the policy or the costs are for another number of exits.
    pub fn new(net: N, policy: impl Into<AnyPolicy>, macs: Vec<u64>) -> Result<Self, InferError> {
        let policy = policy.into();
        policy.check_exits(net.num_exits())?;
        if macs.len() != net.num_exits() {
            return Err(InferError::Costs {
                found: macs.len(),
                exits: net.num_exits(),
            });
        }
        Ok(Self {
            net,
            rule: Rule::from(policy),
            macs,
            image: None,
        })
    }

    /// Divides the logits of each exit by its temperature before the policy decides.
    ///
    /// # Errors
    /// When the number of temperatures is not that of the exits.
    pub fn with_temperatures(mut self, temperatures: Temperatures) -> Result<Self, PolicyError> {
        temperatures.check_exits(self.net.num_exits())?;
        self.rule.readout.temperatures = Some(temperatures);
        Ok(self)
    }

    /// Applies temperatures and an ensemble before the policy decides.
    ///
    /// # Errors
    /// When temperatures or ensemble were fitted for another number of exits or classes.
    pub fn with_readout(mut self, readout: Readout, classes: usize) -> Result<Self, PolicyError> {
        readout.check(self.net.num_exits(), classes)?;
        self.rule.policy.check_classes(classes)?;
        self.rule.readout = readout;
        Ok(self)
    }

    /// Refuses images of another shape than `[C, H, W]`. Without, a network with pooling before its
    /// classifier answers images of any size, wrongly.
    #[must_use]
    pub fn with_image(mut self, image: [usize; 3]) -> Self {
        self.image = Some(image);
        self
    }

    /// The network.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// The policy.
    pub fn policy(&self) -> &AnyPolicy {
        &self.rule.policy
    }

    /// A stream that images can be added to at any time.
    pub fn stream(&self) -> Stream<'_, N> {
        Stream::new(self)
    }

    /// Answers every image of a batch, in the order of the batch. An empty batch has no answers.
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`, normalised as in training
    ///
    /// # Errors
    /// [`ImageShape`](InferError::ImageShape) for images of another size than
    /// [`with_image`](Self::with_image) gives, and those of [`Stream::step`]; images are named by their
    /// place in the batch.
    pub fn run(&self, x: Tensor<4>) -> Result<Vec<Answer>, InferError> {
        let mut stream = self.stream();
        stream.admit(x)?;
        let mut answers = stream.finish()?;
        answers.sort_unstable_by_key(|(ticket, _)| *ticket);
        Ok(answers.into_iter().map(|(_, answer)| answer).collect())
    }

    pub(crate) fn check_images(&self, x: &Tensor<4>) -> Result<(), InferError> {
        let [_, channels, height, width] = x.dims();
        let found = [channels, height, width];
        match self.image {
            Some(expected) if found != expected => Err(InferError::ImageShape { found, expected }),
            _ => Ok(()),
        }
    }
}
