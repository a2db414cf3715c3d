//! A curve of a few characters.

/// A series of values, in few enough points for a line: when there are too many, each pair of neighbours
/// becomes its mean, so that the curve always spans the whole run.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Curve {
    points: Vec<f64>,
    /// Values in each point.
    per: usize,
    /// Sum and number of the values that do not fill a point yet.
    open: (f64, usize),
    last: f64,
}

/// Points that are kept at most; even.
const WIDTH: usize = 32;

const BARS: [char; 8] = ['▁', '▂', '▃', '▄', '▅', '▆', '▇', '█'];

impl Default for Curve {
    fn default() -> Self {
        Self {
            points: Vec::with_capacity(WIDTH),
            per: 1,
            open: (0.0, 0),
            last: f64::NAN,
        }
    }
}

impl Curve {
    /// Adds a value; values that are not finite are ignored.
    pub(crate) fn push(&mut self, value: f64) {
        if !value.is_finite() {
            return;
        }
        self.last = value;
        self.open = (self.open.0 + value, self.open.1 + 1);
        if self.open.1 < self.per {
            return;
        }
        self.points.push(self.open.0 / self.open.1 as f64);
        self.open = (0.0, 0);
        if self.points.len() == WIDTH {
            let halved = self
                .points
                .chunks(2)
                .map(|pair| pair.iter().sum::<f64>() / 2.0);
            self.points = halved.collect();
            self.per *= 2;
        }
    }

    /// The latest value; NaN before the first.
    pub(crate) fn last(&self) -> f64 {
        self.last
    }

    /// The points, the lowest at the bottom of a line and the highest at its top.
    pub(crate) fn draw(&self) -> String {
        let low = self.points.iter().copied().fold(f64::INFINITY, f64::min);
        let high = self
            .points
            .iter()
            .copied()
            .fold(f64::NEG_INFINITY, f64::max);
        let bar = |&point: &f64| {
            let share = if high > low {
                (point - low) / (high - low)
            } else {
                0.0
            };
            BARS[((share * 7.0).round() as usize).min(7)]
        };
        self.points.iter().map(bar).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn curve(values: impl IntoIterator<Item = f64>) -> Curve {
        let mut curve = Curve::default();
        values.into_iter().for_each(|value| curve.push(value));
        curve
    }

    #[test]
    fn low_is_low_and_high_is_high() {
        let rising = curve([0.0, 1.0, 2.0, 7.0]);
        assert_eq!(rising.draw(), "▁▂▃█");
        assert_eq!(rising.last(), 7.0);
        assert_eq!(curve([3.0, 3.0]).draw(), "▁▁");
        assert_eq!(curve([]).draw(), "");
        assert_eq!(curve([1.0, f64::NAN, 2.0]).draw(), "▁█");
    }

    /// However long, the whole run is there, in order.
    #[test]
    fn long_runs_fit() {
        for n in [31, 32, 33, 1000, 54_321] {
            let long = curve((0..n).map(f64::from));
            let drawn = long.draw();
            let length = drawn.chars().count();
            assert!((WIDTH / 2..WIDTH).contains(&length), "{n}: {length}");
            let heights: Vec<_> = (drawn.chars())
                .map(|bar| BARS.iter().position(|known| *known == bar))
                .collect();
            assert!(heights.is_sorted() && drawn.ends_with('█'), "{n}: {drawn}");
        }
    }
}
