//! Moving average of a network.

use std::collections::BTreeMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param};
use burn::tensor::Tensor;
use offramp_core::params::Path;

use crate::config::EmaConfig;

/// Exponential moving average of every float tensor of a module, running statistics included:
/// a network with averaged weights but the last statistics would normalise wrongly.
#[derive(Clone, Debug)]
pub struct Ema {
    config: EmaConfig,
    average: BTreeMap<String, Tensor<1>>,
}

impl Ema {
    /// An average that starts at `net`: the network itself, or after an interruption the network that
    /// [`Ema::network`] gave.
    pub fn new<M: Module>(config: EmaConfig, net: &M) -> Self {
        let mut ema = Self {
            config,
            average: BTreeMap::new(),
        };
        ema.follow(net, 0.0);
        ema
    }

    /// Takes the network after step `step`, counted from 0, into the average.
    pub fn update<M: Module>(&mut self, net: &M, step: u64) {
        let done = (step + 1) as f64;
        let decay = if self.config.warmup {
            self.config.decay.min((1.0 + done) / (10.0 + done))
        } else {
            self.config.decay
        };
        self.follow(net, decay);
    }

    fn follow<M: Module>(&mut self, net: &M, decay: f64) {
        struct Follow<'a> {
            path: Path,
            average: &'a mut BTreeMap<String, Tensor<1>>,
            decay: f64,
        }

        impl ModuleVisitor for Follow<'_> {
            fn enter_module(&mut self, name: &str, container_type: &str) {
                self.path.enter(name, container_type);
            }

            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.exit();
            }

            fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<D>>) {
                let name = self.path.name();
                let value = param.val().without_autodiff().reshape([-1]);
                let average = match self.average.remove(&name) {
                    // d old + (1 - d) value, in the form that leaves a tensor which does not
                    // change, as in a frozen backbone, the same to the last bit.
                    Some(old) => old.clone() + (value - old) * (1.0 - self.decay),
                    None => value,
                };
                self.average.insert(name, average);
            }
        }

        net.visit(&mut Follow {
            path: Path::default(),
            average: &mut self.average,
            decay,
        });
    }

    /// The averaged network for evaluation; all but the tensors is taken from `net`.
    pub fn network<M: Module>(&self, net: &M) -> M {
        struct Replace<'a> {
            path: Path,
            average: &'a BTreeMap<String, Tensor<1>>,
        }

        impl ModuleMapper for Replace<'_> {
            fn enter_module(&mut self, name: &str, container_type: &str) {
                self.path.enter(name, container_type);
            }

            fn exit_module(&mut self, _name: &str, _container_type: &str) {
                self.path.exit();
            }

            fn map_float<const D: usize>(&mut self, param: Param<Tensor<D>>) -> Param<Tensor<D>> {
                let average = self.average.get(&self.path.name()).cloned();
                param.map(|old| match average {
                    Some(average) => average.reshape(old.dims()),
                    None => old,
                })
            }
        }

        net.valid().map(&mut Replace {
            path: Path::default(),
            average: &self.average,
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use offramp_core::default_device;

    #[derive(Module, Debug)]
    struct Weight {
        weight: Param<Tensor<2>>,
    }

    fn net(value: f32) -> Weight {
        let device = default_device().unwrap().autodiff();
        Weight {
            weight: Param::from_tensor(Tensor::full([1, 2], value, &device)),
        }
    }

    fn value(ema: &Ema) -> f32 {
        let net = ema.network(&net(0.0));
        net.weight.val().into_data().try_to_vec::<f32>().unwrap()[1]
    }

    #[test]
    fn the_average_follows_the_formula() {
        let config = |warmup| EmaConfig {
            decay: 0.75,
            warmup,
        };
        let mut ema = Ema::new(config(false), &net(1.0));
        assert_eq!(value(&ema), 1.0);
        ema.update(&net(5.0), 0);
        assert_eq!(value(&ema), 0.75 + 1.25);
        // Warm-up: d = min(0.75, 2 / 11) after the first step, 0.75 after many.
        let mut ema = Ema::new(config(true), &net(0.0));
        ema.update(&net(11.0), 0);
        assert!((value(&ema) - 9.0).abs() < 1e-6);
        let mut ema = Ema::new(config(true), &net(0.0));
        ema.update(&net(4.0), 1000);
        assert_eq!(value(&ema), 1.0);
    }

    #[test]
    fn what_does_not_change_has_itself_as_its_average() {
        let constant = 0.1;
        let mut ema = Ema::new(EmaConfig::default(), &net(constant));
        for step in 0..100 {
            ema.update(&net(constant), step);
        }
        assert_eq!(value(&ema), constant);
    }

    #[test]
    fn its_network_restores_it() {
        let mut ema = Ema::new(EmaConfig::default(), &net(1.0));
        ema.update(&net(2.0), 3);
        let other = Ema::new(EmaConfig::default(), &ema.network(&net(0.0)));
        assert_eq!(value(&other), value(&ema));
    }
}
