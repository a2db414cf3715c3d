//! The ten shapes, each as a test of a point in the shape's own coordinates.
//!
//! The origin is the centre, the reach is about 1, and y points down.

/// Whether the point `(x, y)` belongs to a shape.
pub(super) type Shape = fn(f32, f32) -> bool;

/// The shapes in the order of [`super::CLASSES`].
pub(super) const SHAPES: [Shape; 10] = [
    disc, ring, half_disc, crescent, square, frame, triangle, cross, star, hourglass,
];

fn within(x: f32, y: f32, radius: f32) -> bool {
    x * x + y * y <= radius * radius
}

fn boxed(x: f32, y: f32, half: f32) -> bool {
    x.abs() <= half && y.abs() <= half
}

pub(super) fn disc(x: f32, y: f32) -> bool {
    within(x, y, 0.95)
}

fn ring(x: f32, y: f32) -> bool {
    within(x, y, 1.0) && !within(x, y, 0.58)
}

fn half_disc(x: f32, y: f32) -> bool {
    y <= 0.45 && within(x, y - 0.45, 1.1)
}

fn crescent(x: f32, y: f32) -> bool {
    within(x - 0.15, y, 1.0) && !within(x - 0.65, y, 0.85)
}

fn square(x: f32, y: f32) -> bool {
    boxed(x, y, 0.85)
}

fn frame(x: f32, y: f32) -> bool {
    boxed(x, y, 0.9) && !boxed(x, y, 0.5)
}

pub(super) fn triangle(x: f32, y: f32) -> bool {
    y <= 0.75 && y >= 1.75 * x.abs() - 1.0
}

fn cross(x: f32, y: f32) -> bool {
    let (x, y) = (x.abs(), y.abs());
    x.min(y) <= 0.3 && x.max(y) <= 1.0
}

fn hourglass(x: f32, y: f32) -> bool {
    y.abs() <= 0.95 && x.abs() <= 0.1 + 0.75 * y.abs()
}

/// A five-pointed star: the points at radius 1.1, the notches at 0.44, from the top clockwise.
const STAR: [(f32, f32); 10] = [
    (0.0, -1.1),
    (0.2586, -0.356),
    (1.0462, -0.3399),
    (0.4185, 0.136),
    (0.6466, 0.8899),
    (0.0, 0.44),
    (-0.6466, 0.8899),
    (-0.4185, 0.136),
    (-1.0462, -0.3399),
    (-0.2586, -0.356),
];

/// Counts the edges that a ray to the right crosses.
fn star(x: f32, y: f32) -> bool {
    let mut inside = false;
    for (i, &(x0, y0)) in STAR.iter().enumerate() {
        let (x1, y1) = STAR[(i + 1) % STAR.len()];
        if (y0 > y) != (y1 > y) && x < (x1 - x0) * (y - y0) / (y1 - y0) + x0 {
            inside = !inside;
        }
    }
    inside
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn areas_are_those_of_geometry() {
        let area = |shape: Shape| {
            let at = |i: i32| (i as f32 + 0.5) / 200.0;
            let grid = (-300..300).flat_map(|i| (-300..300).map(move |j| (at(i), at(j))));
            grid.filter(|&(x, y)| shape(x, y)).count() as f32 / 40_000.0
        };
        let pi = std::f32::consts::PI;
        for (name, shape, want) in [
            ("disc", disc as Shape, 0.9025 * pi),
            ("ring", ring, (1.0 - 0.3364) * pi),
            ("half-disc", half_disc, 0.605 * pi),
            ("square", square, 2.89),
            ("frame", frame, 3.24 - 1.0),
            ("triangle", triangle, 1.75),
            ("cross", cross, 2.0 * 1.2 - 0.36),
            // Ten triangles between a point, a notch and the centre, 36 degrees apart.
            ("star", star, 5.0 * 1.1 * 0.44 * 0.587_785),
            ("hourglass", hourglass, 4.0 * (0.095 + 0.375 * 0.9025)),
        ] {
            assert!(
                (area(shape) - want).abs() < 0.02,
                "{name}: {} for {want}",
                area(shape)
            );
        }
        assert!((0.8..1.4).contains(&area(crescent)));
    }
}
