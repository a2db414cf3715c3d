//! A check: named numbers, computed on a device and compared with the reference.

use std::any::Any;
use std::fmt;
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Place;

/// What a check computed: tensors by name.
pub type Numbers = Vec<(String, Vec<f64>)>;

/// Something to compute on a device.
pub struct Check {
    /// `GROUP/WHAT`, such as `layers/conv2d`.
    pub name: String,
    /// The largest error that is allowed, see [`Verdict::error`].
    pub tolerance: f64,
    /// The same for tensors whose name begins with `gradient`, where they are judged by their root mean
    /// square: a network's gradients jump where a ReLU turns, and in `f32` some turn that do not in `f64`.
    pub turning: Option<f64>,
    compute: Box<dyn Fn(&Place) -> Numbers + Send + Sync>,
}

/// How far a device is off.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The largest difference of any number, relative to the largest expected number of the same
    /// tensor, or to a thousandth of the largest of the whole check where that is more (a hundredth for
    /// [`Check::turning`] gradients): what should be zero is not compared with its own noise.
    pub error: f64,
    /// The tensor it was found in.
    pub tensor: String,
    /// The largest error of those gradients that are judged by their root mean square, and whose it is.
    pub turning: Option<(f64, String)>,
}

impl Check {
    pub(crate) fn new(
        name: impl Into<String>,
        tolerance: f64,
        compute: impl Fn(&Place) -> Numbers + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            tolerance,
            turning: None,
            compute: Box::new(compute),
        }
    }

    pub(crate) fn with_turning_gradients(mut self, tolerance: f64) -> Self {
        self.turning = Some(tolerance);
        self
    }

    /// What is expected: computed on `flex` in double precision.
    #[cfg(feature = "flex")]
    pub fn reference(&self) -> Numbers {
        (self.compute)(&Place::reference())
    }

    /// Computes on a device and compares with what is expected.
    ///
    /// # Errors
    /// A line that says what went wrong: an error beyond the tolerance, a number that is none, other
    /// tensors than expected, or a panic of the backend.
    pub fn verdict(&self, expected: &Numbers, place: &Place) -> Result<Verdict, String> {
        let found = catch_unwind(AssertUnwindSafe(|| (self.compute)(place)))
            .map_err(|panic| format!("panicked: {}", message(&*panic)))?;
        same_tensors(&found, expected)?;
        let (turning, firm): (Vec<_>, Vec<_>) = found
            .iter()
            .zip(expected)
            .partition(|(tensor, _)| self.turning.is_some() && tensor.0.starts_with("gradient"));
        let verdict = compare(&firm, largest, 1e-3)?.within(self.tolerance)?;
        match self.turning {
            None => Ok(verdict),
            Some(tolerance) => compare(&turning, root_mean_square, 1e-2)?
                .within(tolerance)
                .map(|turning| Verdict {
                    turning: Some((turning.error, turning.tensor)),
                    ..verdict
                }),
        }
    }
}

impl Verdict {
    fn within(self, tolerance: f64) -> Result<Self, String> {
        if self.error <= tolerance {
            Ok(self)
        } else {
            Err(format!(
                "{} is off by {:.1e}, more than {tolerance:.0e}",
                self.tensor, self.error
            ))
        }
    }
}

impl fmt::Display for Verdict {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:.1e} in {}", self.error, self.tensor)?;
        match &self.turning {
            Some((error, tensor)) => write!(f, ", {error:.1e} in {tensor}"),
            None => Ok(()),
        }
    }
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<String>().map(String::as_str);
    text.or_else(|| panic.downcast_ref::<&str>().copied())
        .unwrap_or("without a message")
}

fn largest(values: &mut dyn Iterator<Item = f64>) -> f64 {
    values.fold(0.0, |most, value| {
        if value.is_nan() {
            f64::INFINITY
        } else {
            value.abs().max(most)
        }
    })
}

fn root_mean_square(values: &mut dyn Iterator<Item = f64>) -> f64 {
    let (sum, count) = values.fold((0.0, 0usize), |(sum, n), value| {
        (sum + value * value, n + 1)
    });
    if sum.is_nan() {
        f64::INFINITY
    } else {
        (sum / count.max(1) as f64).sqrt()
    }
}

fn same_tensors(found: &Numbers, expected: &Numbers) -> Result<(), String> {
    let names = |numbers: &Numbers| {
        let sizes = numbers
            .iter()
            .map(|(name, values)| (name.clone(), values.len()));
        sizes.collect::<Vec<_>>()
    };
    if names(found) == names(expected) {
        Ok(())
    } else {
        Err(format!(
            "tensors {:?}, expected {:?}",
            names(found),
            names(expected)
        ))
    }
}

type Pair<'a> = (&'a (String, Vec<f64>), &'a (String, Vec<f64>));
type Size = fn(&mut dyn Iterator<Item = f64>) -> f64;

/// The tensor of the largest difference, by one measure of its size. Tensors smaller than `noise` times the
/// largest count as of that size.
fn compare(pairs: &[Pair<'_>], size: Size, noise: f64) -> Result<Verdict, String> {
    let sizes = |values: &[f64]| size(&mut values.iter().copied());
    let whole = pairs.iter().map(|(_, (_, expected))| sizes(expected));
    let floor = whole.fold(1e-30, f64::max) * noise;
    let mut worst = Verdict {
        error: 0.0,
        tensor: "all".to_owned(),
        turning: None,
    };
    for ((tensor, found), (_, expected)) in pairs {
        let differences = &mut found.iter().zip(expected).map(|(a, e)| a - e);
        let error = size(differences) / sizes(expected).max(floor);
        let error = if error.is_nan() { f64::INFINITY } else { error };
        if error > worst.error {
            worst.error = error;
            worst.tensor.clone_from(tensor);
        }
    }
    if worst.error.is_finite() {
        Ok(worst)
    } else {
        Err(format!("{} holds what is no number", worst.tensor))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use burn::tensor::Device;

    fn numbers(values: &[f64]) -> Numbers {
        vec![
            ("x".into(), values.to_vec()),
            ("big".into(), vec![100.0]),
            ("gradient".into(), values.iter().map(|x| -x).collect()),
        ]
    }

    fn check(found: &[f64]) -> Check {
        let found = numbers(found);
        Check::new("x", 0.5, move |_| found.clone())
    }

    fn verdict(check: &Check, expected: &[f64]) -> Result<Verdict, String> {
        check.verdict(&numbers(expected), &Place::on(Device::flex()))
    }

    #[test]
    fn errors_are_relative_to_the_tensor_and_noise_to_the_whole() {
        let error = |a: &[f64], b: &[f64]| verdict(&check(a), b).unwrap().error;
        assert_eq!(error(&[1.0, 2.0], &[1.0, 2.0]), 0.0);
        assert_eq!(error(&[1.5, 2.0], &[1.0, 2.0]), 0.25);
        // The largest of all is 100: what is expected to be 0 may be wrong by 0.1 to count as 1.
        assert!((error(&[0.01], &[0.0]) - 0.1).abs() < 1e-12);
        assert!(verdict(&check(&[0.1]), &[0.0]).is_err());
    }

    #[test]
    fn turning_gradients_are_judged_by_their_root_mean_square() {
        let mut found = vec![1.0; 100];
        found[7] = 1.4;
        let check = check(&found).with_turning_gradients(0.05);
        let verdict = verdict(&check, &[1.0; 100]).unwrap();
        let (turning, name) = verdict.turning.unwrap();
        assert!((turning - 0.04).abs() < 1e-12 && name == "gradient");
        assert!((verdict.error - 0.4).abs() < 1e-12);
    }

    #[test]
    fn what_is_no_number_or_of_another_size_is_refused() {
        assert!(verdict(&check(&[f64::NAN]), &[1.0]).is_err());
        assert!(verdict(&check(&[1.0]), &[1.0, 1.0]).is_err());
        let turning = check(&[f64::NAN]).with_turning_gradients(1.0);
        assert!(verdict(&turning, &[f64::NAN]).is_err());
    }

    #[test]
    fn a_panic_is_a_verdict() {
        let check = Check::new("x", 1.0, |_| panic!("no such kernel"));
        let place = Place::on(Device::flex());
        let error = check.verdict(&Vec::new(), &place).unwrap_err();
        assert!(error.contains("no such kernel"), "{error}");
    }
}
