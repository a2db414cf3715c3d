//! From bytes to the input of a network.

use offramp_core::images::{Place as Window, pixels, standardise, windows};

use crate::place::values;
use crate::{Check, Numbers, Place};

/// The same sums in `f32` everywhere; the reference rounds to it as well.
const TOLERANCE: f64 = 1e-6;

pub(crate) fn checks() -> Vec<Check> {
    vec![Check::new("images/windows", TOLERANCE, numbers)]
}

fn numbers(place: &Place) -> Numbers {
    let shape = [3, 3, 6, 7];
    let bytes: Vec<u8> = (0..shape.iter().product::<usize>())
        .map(|i| (i * 37 % 256) as u8)
        .collect();
    let window = |top, left, flip| Window { top, left, flip };
    let places = [
        window(-2, 3, false),
        window(0, 0, true),
        window(4, -1, true),
    ];
    let whole = pixels(bytes, shape, place.device());
    let cut = windows(whole.clone(), &places, [4, 5], [1, 2, 3]);
    let seen = standardise(cut.clone(), [0.5, 0.4, 0.3], [0.2, 0.3, 0.4]);
    vec![
        ("pixels".into(), values(whole)),
        ("windows".into(), values(cut)),
        ("seen".into(), values(seen)),
    ]
}
