//! The runner.

use burn::tensor::{Device, Int, Tensor, TensorData};
use offramp_core::Features;
use offramp_policies::{AnyPolicy, Decision, Evidence, ExitPolicy, PolicyError, Temperatures};
use serde::Serialize;

use crate::{InferError, StagedNet};

/// What the runner says of one sample.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Answer {
    /// The most probable class.
    pub class: usize,
    /// Its probability at the exit taken.
    pub confidence: f32,
    /// The exit taken, from 0.
    pub exit: usize,
    /// Multiply-accumulates spent on this sample, heads of the exits passed counted.
    pub macs: u64,
    /// Logits of the exit taken.
    #[serde(skip)]
    pub logits: Vec<f32>,
}

/// A network and the policy that decides where each sample leaves.
#[derive(Clone, Debug)]
pub struct Runner<N> {
    net: N,
    policy: AnyPolicy,
    temperatures: Option<Temperatures>,
    macs: Vec<u64>,
}

impl<N: StagedNet> Runner<N> {
    /// A runner; `macs[k]` is what it costs to answer at exit `k`
    /// ([`MultiExitNet::exit_costs`](offramp_heads::MultiExitNet::exit_costs)).
    ///
    /// The network should be in evaluation mode on a device without gradients.
    ///
    /// # Errors
    /// When the policy or the costs are for another number of exits.
    pub fn new(net: N, policy: AnyPolicy, macs: Vec<u64>) -> Result<Self, InferError> {
        policy.check_exits(net.num_exits())?;
        if macs.len() != net.num_exits() {
            return Err(InferError::Costs {
                found: macs.len(),
                exits: net.num_exits(),
            });
        }
        Ok(Self {
            net,
            policy,
            temperatures: None,
            macs,
        })
    }

    /// Divides the logits of each exit by its temperature before the policy looks at them.
    ///
    /// # Errors
    /// When there is not one temperature an exit.
    pub fn with_temperatures(mut self, temperatures: Temperatures) -> Result<Self, PolicyError> {
        temperatures.check_exits(self.net.num_exits())?;
        self.temperatures = Some(temperatures);
        Ok(self)
    }

    /// The network.
    pub fn net(&self) -> &N {
        &self.net
    }

    /// Answers every image of a batch, in the order of the batch. An empty batch has no answers.
    ///
    /// # Shapes
    /// - `x`: `[N, 3, H, W]`, normalised as in training
    ///
    /// # Errors
    /// [`NonFiniteLogit`](InferError::NonFiniteLogit) for the first sample that has one.
    pub fn run(&self, x: Tensor<4>) -> Result<Vec<Answer>, InferError> {
        let n = x.dims()[0];
        let mut answers: Vec<Option<Answer>> = vec![None; n];
        let mut waiting: Vec<usize> = (0..n).collect();
        let mut features = Features::from(x);
        let mut previous = None;
        for exit in 0..self.net.num_exits() {
            if waiting.is_empty() {
                break;
            }
            features = self.net.segment(exit, features);
            let mut answer = self.net.logits(exit, features.map.clone(), previous);
            let mut staying = Vec::new();
            for (row, logits) in rows(answer.clone()).into_iter().enumerate() {
                check_finite(&logits, waiting[row], exit)?;
                let evidence = self.evidence(exit, &logits);
                match self.policy.decide(exit, &evidence) {
                    Decision::Exit => {
                        answers[waiting[row]] = Some(self.answer(exit, &evidence, logits));
                    }
                    Decision::Continue => staying.push(row),
                }
            }
            if staying.len() < waiting.len() && !staying.is_empty() {
                let staying = indices(&staying, &answer.device());
                features = features.select(staying.clone());
                answer = answer.select(0, staying);
            }
            previous = Some(answer);
            waiting = staying.into_iter().map(|row| waiting[row]).collect();
        }
        Ok(answers.into_iter().flatten().collect())
    }

    fn evidence(&self, exit: usize, logits: &[f32]) -> Evidence {
        match &self.temperatures {
            Some(temperatures) => {
                Evidence::from_scaled_logits(logits, temperatures.as_slice()[exit])
            }
            None => Evidence::from_logits(logits),
        }
    }

    fn answer(&self, exit: usize, evidence: &Evidence, logits: Vec<f32>) -> Answer {
        Answer {
            class: evidence.prediction,
            confidence: evidence.confidence,
            exit,
            macs: self.macs[exit],
            logits,
        }
    }
}

/// Copies logits to the host, one vector a sample.
fn rows(logits: Tensor<2>) -> Vec<Vec<f32>> {
    let [n, classes] = logits.dims();
    let values: Vec<f32> = logits.into_data().iter::<f32>().collect();
    debug_assert_eq!(values.len(), n * classes);
    values.chunks(classes).map(<[f32]>::to_vec).collect()
}

fn check_finite(logits: &[f32], sample: usize, exit: usize) -> Result<(), InferError> {
    match logits.iter().position(|z| !z.is_finite()) {
        Some(class) => Err(InferError::NonFiniteLogit {
            sample,
            exit,
            class,
            value: logits[class],
        }),
        None => Ok(()),
    }
}

/// The rows of the samples that go on.
fn indices(rows: &[usize], device: &Device) -> Tensor<1, Int> {
    let indices: Vec<i64> = rows.iter().map(|&row| row as i64).collect();
    Tensor::from_data(TensorData::new(indices, [rows.len()]), device)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use burn::module::Module;
    use offramp_core::{MapShape, default_device};
    use offramp_heads::{CascadeConfig, MultiExitNet, NetConfig, ZtwConfig, cascades};
    use offramp_nn::Init;
    use offramp_policies::{Criterion, exit_taken};
    use proptest::prelude::*;

    use super::*;

    const IMAGE: MapShape = MapShape {
        channels: 3,
        height: 16,
        width: 16,
    };

    /// Counts for how many samples each segment was computed.
    struct Counting {
        net: MultiExitNet,
        calls: RefCell<Vec<(usize, usize)>>,
    }

    impl StagedNet for Counting {
        fn num_exits(&self) -> usize {
            self.net.num_exits()
        }

        fn segment(&self, exit: usize, x: Features) -> Features {
            self.calls.borrow_mut().push((exit, x.map.dims()[0]));
            self.net.segment(exit, x)
        }

        fn logits(&self, exit: usize, map: Tensor<4>, previous: Option<Tensor<2>>) -> Tensor<2> {
            if let Some(previous) = &previous {
                assert_eq!(previous.dims(), [map.dims()[0], self.net.classes()]);
            }
            StagedNet::logits(&self.net, exit, map, previous)
        }
    }

    fn net(seed: u64) -> MultiExitNet {
        cascade(seed, "none")
    }

    fn cascade(seed: u64, kind: &str) -> MultiExitNet {
        let mut config: NetConfig = serde_json::from_str(r#"{"backbone": "resnet8"}"#).unwrap();
        let entry = cascades().iter().find(|entry| entry.name == kind);
        config.cascade = match (entry.unwrap().config)() {
            // The default leaves the last exit out.
            CascadeConfig::Ztw(_) => CascadeConfig::Ztw(ZtwConfig {
                norm: true,
                last: true,
            }),
            config => config,
        };
        let device = default_device().unwrap();
        let net = config
            .init(4, IMAGE, &mut Init::new(seed, &device))
            .unwrap();
        net.valid()
    }

    fn policy(criterion: Criterion, thresholds: [f64; 3]) -> AnyPolicy {
        AnyPolicy::with_thresholds(criterion, thresholds.to_vec()).unwrap()
    }

    fn images(n: usize, seed: u64) -> Tensor<4> {
        let mut init = Init::new(seed, &default_device().unwrap());
        init.normal([n, 3, 16, 16], 2.0).val().detach()
    }

    fn run(
        net: &MultiExitNet,
        policy: &AnyPolicy,
        x: Tensor<4>,
    ) -> (Vec<Answer>, Vec<(usize, usize)>) {
        let counting = Counting {
            net: net.clone(),
            calls: RefCell::default(),
        };
        let runner = Runner::new(counting, policy.clone(), vec![1, 10, 100]).unwrap();
        let answers = runner.run(x).unwrap();
        (answers, runner.net.calls.into_inner())
    }

    #[test]
    fn all_stop_at_once_or_none_does() {
        let net = net(1);
        let (answers, calls) = run(&net, &policy(Criterion::Confidence, [0.0; 3]), images(5, 2));
        assert_eq!(calls, [(0, 5)]);
        assert!(answers.iter().all(|a| a.exit == 0 && a.macs == 1));

        let never = policy(Criterion::Confidence, [2.0; 3]);
        let (answers, calls) = run(&net, &never, images(5, 2));
        assert_eq!(calls, [(0, 5), (1, 5), (2, 5)]);
        assert!(answers.iter().all(|a| a.exit == 2 && a.macs == 100));

        let (answers, calls) = run(&net, &never, images(1, 2).slice_dim(0, 0..0));
        assert!(answers.is_empty() && calls.is_empty());
    }

    #[test]
    fn a_policy_for_another_network_is_refused() {
        let policy = AnyPolicy::with_thresholds(Criterion::Margin, vec![0.5; 2]).unwrap();
        let error = Runner::new(net(0), policy, vec![1, 2, 3]).unwrap_err();
        assert!(
            error.to_string().contains('2') && error.to_string().contains('3'),
            "{error}"
        );
    }

    #[test]
    fn a_logit_that_is_not_finite_is_an_error_with_its_sample_and_exit() {
        let runner = Runner::new(
            net(1),
            policy(Criterion::Confidence, [0.0; 3]),
            vec![1, 2, 3],
        );
        let x = Tensor::cat(vec![images(2, 2), images(1, 3).mul_scalar(f32::NAN)], 0);
        let error = runner.unwrap().run(x).unwrap_err();
        assert!(
            matches!(
                error,
                InferError::NonFiniteLogit {
                    sample: 2,
                    exit: 0,
                    class: 0,
                    ..
                }
            ),
            "{error}"
        );
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(24))]

        /// The runner answers as the full network and the simulator do, with every kind of cascade,
        /// and computes each segment for exactly the samples that reach it.
        #[test]
        fn runner_equals_simulator(
            seed in 0u64..1000,
            n in 1usize..7,
            a in 0.25f64..0.9,
            b in 0.25f64..0.9,
            entropy in any::<bool>(),
            kind in 0..cascades().len(),
        ) {
            let net = cascade(seed, cascades()[kind].name);
            let x = images(n, seed + 1);
            let policy = match entropy {
                true => policy(Criterion::Entropy, [a * 1.5, b * 1.5, 0.0]),
                false => policy(Criterion::Confidence, [a, b, 0.0]),
            };
            let (answers, calls) = run(&net, &policy, x.clone());
            let full: Vec<Vec<Vec<f32>>> = net.forward(x).logits().cloned().map(rows).collect();
            prop_assert_eq!(answers.len(), n);
            let mut reach = [0; 3];
            for (sample, answer) in answers.iter().enumerate() {
                let exit = exit_taken(&policy, |exit| Evidence::from_logits(&full[exit][sample]));
                prop_assert_eq!(answer.exit, exit);
                prop_assert_eq!(answer.macs, [1, 10, 100][exit]);
                for (found, expected) in answer.logits.iter().zip(&full[exit][sample]) {
                    prop_assert!((found - expected).abs() <= 1e-5 * expected.abs().max(1.0));
                }
                for count in &mut reach[..=exit] {
                    *count += 1;
                }
            }
            let expected: Vec<_> = reach.into_iter().enumerate().filter(|(_, n)| *n > 0).collect();
            prop_assert_eq!(calls, expected);
        }
    }

    #[test]
    fn infinite_thresholds_are_taken() {
        let policy = policy(
            Criterion::Confidence,
            [f64::INFINITY, 0.0, f64::NEG_INFINITY],
        );
        let (answers, _) = run(&net(3), &policy, images(3, 4));
        assert!(answers.iter().all(|answer| answer.exit == 1));
    }
}
