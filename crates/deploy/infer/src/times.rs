//! Times of a network to each exit.

use std::time::Instant;

use burn::tensor::Tensor;
use offramp_core::Features;

use crate::EarlyExitNet;

/// Runs that are not counted: memory is allocated and threads are started in them.
const WARM_UP: usize = 5;

/// Milliseconds from the images `[N, 3, H, W]` to the logits of each exit on the host, all images going
/// all the way; `runs` times for each exit, ascending.
pub fn exit_times(net: &impl EarlyExitNet, x: &Tensor<4>, runs: usize) -> Vec<Vec<f64>> {
    let exits = net.num_exits();
    let mut times = vec![Vec::with_capacity(runs); exits];
    for run in 0..WARM_UP + runs {
        let start = Instant::now();
        let mut features = Features::from(x.clone());
        let mut previous = None;
        for (exit, times) in times.iter_mut().enumerate() {
            features = net.segment(exit, features);
            let logits = net.logits(exit, features.map.clone(), previous);
            // The host's copy is what a policy waits for, and ends the device's queue.
            let _on_host = logits.clone().into_data();
            previous = Some(logits);
            if run >= WARM_UP {
                times.push(start.elapsed().as_secs_f64() * 1e3);
            }
        }
    }
    for times in &mut times {
        times.sort_by(f64::total_cmp);
    }
    times
}

/// The time that a share `q` of the runs stays within; `times` from fast to slow, 0 for none.
pub fn quantile(times: &[f64], q: f64) -> f64 {
    let place = (q * times.len() as f64).ceil() as usize;
    let last = times.len().saturating_sub(1);
    times
        .get(place.saturating_sub(1).min(last))
        .copied()
        .unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::quantile;

    #[test]
    fn quantiles_by_hand() {
        let times = [1.0, 2.0, 3.0, 4.0];
        assert_eq!(
            [0.0, 0.25, 0.5, 0.51, 1.0].map(|q| quantile(&times, q)),
            [1.0, 1.0, 2.0, 3.0, 4.0]
        );
        assert_eq!(quantile(&[], 0.5), 0.0);
    }
}
