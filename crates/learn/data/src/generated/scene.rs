//! Composing one image: ground, scraps, the shape, what covers it, noise.

use super::Difficulty;
use super::canvas::{Canvas, Colour, EVERYWHERE, blend};
use super::shapes::{self, Shape};
use crate::rng::Stream;

/// What a level of difficulty means in numbers; lengths are shares of the image's side.
struct Level {
    /// Radius of the shape.
    radius: (f32, f32),
    /// How far the centre may lie from the middle.
    shift: f32,
    /// The largest tangent of the turn.
    turn: f32,
    /// Scraps strewn over the ground.
    scraps: (i32, i32),
    /// Pieces laid over the shape.
    covers: (i32, i32),
    /// How far the image is faded towards its mean.
    fade: (f32, f32),
    /// Standard deviation of the noise, in levels of 255.
    noise: (f32, f32),
}

fn level(difficulty: Difficulty) -> Level {
    match difficulty {
        Difficulty::Clean => Level {
            radius: (0.28, 0.36),
            shift: 0.08,
            turn: 0.15,
            scraps: (0, 0),
            covers: (0, 0),
            fade: (0.0, 0.1),
            noise: (0.0, 4.0),
        },
        Difficulty::Cluttered => Level {
            radius: (0.22, 0.32),
            shift: 0.14,
            turn: 0.5,
            scraps: (4, 8),
            covers: (0, 0),
            fade: (0.0, 0.2),
            noise: (0.0, 8.0),
        },
        Difficulty::Occluded => Level {
            radius: (0.22, 0.32),
            shift: 0.14,
            turn: 0.5,
            scraps: (4, 8),
            covers: (2, 3),
            fade: (0.0, 0.3),
            noise: (0.0, 10.0),
        },
        Difficulty::Noisy => Level {
            radius: (0.22, 0.32),
            shift: 0.14,
            turn: 0.6,
            scraps: (4, 8),
            covers: (1, 2),
            fade: (0.5, 0.7),
            noise: (12.0, 24.0),
        },
    }
}

/// Draws one image, planar `3 x size x size`.
pub(super) fn draw(
    shape: Shape,
    difficulty: Difficulty,
    size: usize,
    stream: &mut Stream,
    out: &mut [u8],
) {
    let level = level(difficulty);
    let (ground, colour) = contrasting(stream);
    let mut canvas = Canvas::new(size, ground);
    paint_ground(&mut canvas, ground, difficulty, stream);
    for _ in 0..stream.between(level.scraps.0, level.scraps.1) {
        paint_scrap(&mut canvas, stream);
    }

    let radius = pick(level.radius, stream);
    let centre = (
        0.5 + jitter(level.shift, stream),
        0.5 + jitter(level.shift, stream),
    );
    let place = Place {
        centre,
        radius,
        turn: turn(level.turn, stream),
    };
    let shade = jitter(25.0, stream);
    place.paint(&mut canvas, shape, |_, y| lighten(colour, shade * y));

    for _ in 0..stream.between(level.covers.0, level.covers.1) {
        paint_cover(&mut canvas, centre, radius, ground, stream);
    }
    canvas.fade(pick(level.fade, stream));
    canvas.add_noise(pick(level.noise, stream), stream);
    canvas.finish(out);
}

/// Where a shape lies: its centre, its reach and the unit vector of its x axis.
struct Place {
    centre: (f32, f32),
    radius: f32,
    turn: (f32, f32),
}

impl Place {
    fn paint(&self, canvas: &mut Canvas, shape: Shape, colour: impl Fn(f32, f32) -> Colour) {
        let ((cx, cy), (cos, sin)) = (self.centre, self.turn);
        // No shape reaches beyond 1.3 of its radius.
        let reach = 1.3 * self.radius;
        let bounds = (cx - reach, cy - reach, cx + reach, cy + reach);
        let inside = |x: f32, y: f32| {
            let (x, y) = ((x - cx) / self.radius, (y - cy) / self.radius);
            shape(cos * x + sin * y, cos * y - sin * x)
        };
        canvas.paint(bounds, inside, colour);
    }
}

/// A plain ground with a soft gradient; harder images also get stripes or checks.
fn paint_ground(canvas: &mut Canvas, ground: Colour, difficulty: Difficulty, stream: &mut Stream) {
    let (across, down) = (jitter(30.0, stream), jitter(30.0, stream));
    let gradient = move |x: f32, y: f32| lighten(ground, across * (x - 0.5) + down * (y - 0.5));
    canvas.paint(EVERYWHERE, |_, _| true, gradient);
    if difficulty == Difficulty::Clean {
        return;
    }
    let (cos, sin) = turn(1.0, stream);
    let period = pick((0.1, 0.3), stream);
    let checks = stream.chance(0.5);
    let shade = if stream.chance(0.5) { 35.0 } else { -35.0 };
    let band = move |v: f32| ((v + 4.0) / period) as i32 % 2 == 0;
    let inside =
        move |x: f32, y: f32| band(cos * x + sin * y) != (checks && band(cos * y - sin * x));
    canvas.paint(EVERYWHERE, inside, move |x, y| {
        lighten(gradient(x, y), shade)
    });
}

/// A small disc, triangle or stick of any colour anywhere.
fn paint_scrap(canvas: &mut Canvas, stream: &mut Stream) {
    let stick: Shape = |x, y| x.abs() <= 1.3 && y.abs() <= 0.25;
    let shape = [shapes::disc, shapes::triangle, stick][stream.below(3) as usize];
    let colour = any_colour(stream);
    let place = Place {
        centre: (pick((0.0, 1.0), stream), pick((0.0, 1.0), stream)),
        radius: pick((0.04, 0.1), stream),
        turn: turn(4.0, stream),
    };
    place.paint(canvas, shape, |_, _| colour);
}

/// A bar over the rim of the shape, the colour of the ground or any other.
fn paint_cover(
    canvas: &mut Canvas,
    (cx, cy): (f32, f32),
    radius: f32,
    ground: Colour,
    stream: &mut Stream,
) {
    let bar: Shape = |x, y| x.abs() <= 1.2 && y.abs() <= 0.28;
    let colour = if stream.chance(0.5) {
        ground
    } else {
        any_colour(stream)
    };
    let (cos, sin) = turn(8.0, stream);
    // Off the centre, so that something of the middle stays visible.
    let away = radius * pick((0.35, 0.75), stream) * if stream.chance(0.5) { 1.0 } else { -1.0 };
    let place = Place {
        centre: (cx - sin * away, cy + cos * away),
        radius,
        turn: (cos, sin),
    };
    place.paint(canvas, bar, |_, _| colour);
}

/// Two colours that differ by at least 90 levels of brightness.
fn contrasting(stream: &mut Stream) -> (Colour, Colour) {
    let brightness = |c: Colour| 0.3 * c[0] + 0.6 * c[1] + 0.1 * c[2];
    let ground = any_colour(stream);
    for _ in 0..64 {
        let colour = any_colour(stream);
        if (brightness(colour) - brightness(ground)).abs() >= 90.0 {
            return (ground, colour);
        }
    }
    (
        ground,
        if brightness(ground) > 128.0 {
            [10.0; 3]
        } else {
            [245.0; 3]
        },
    )
}

fn any_colour(stream: &mut Stream) -> Colour {
    std::array::from_fn(|_| stream.below(256) as f32)
}

fn lighten(colour: Colour, levels: f32) -> Colour {
    blend(colour, colour.map(|v| v + 1.0), levels)
}

/// Uniform between two bounds.
fn pick((low, high): (f32, f32), stream: &mut Stream) -> f32 {
    low + (high - low) * stream.unit() as f32
}

/// Uniform between `-reach` and `reach`.
fn jitter(reach: f32, stream: &mut Stream) -> f32 {
    pick((-reach, reach), stream)
}

/// A unit vector whose tangent is uniform between `-reach` and `reach`.
fn turn(reach: f32, stream: &mut Stream) -> (f32, f32) {
    let tangent = jitter(reach, stream);
    let norm = (1.0 + tangent * tangent).sqrt();
    (1.0 / norm, tangent / norm)
}
