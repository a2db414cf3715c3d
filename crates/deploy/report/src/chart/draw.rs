//! Charts with two axes.

use plotters::coord::types::RangedCoordf64;
use plotters::prelude::*;
use plotters::style::RGBColor;

use super::legend::{self, FONT, draw_marker, text_style};
use super::{Area, Chart, DrawResult, Mark, Point, Series, palette};

/// Pixels; small, so that the letters stay readable on a phone.
pub(super) const SIZE: (u32, u32) = (440, 320);

/// Markers along one line.
const MARKERS: usize = 10;

/// Draws a chart.
pub(super) fn draw(chart: &Chart, area: &Area<'_>) -> DrawResult {
    area.fill(&palette::PAPER)?;
    let (places, height) = legend::layout(chart, SIZE.0);
    let (top, plot) = area.split_vertically(height);
    legend::draw(chart, &top, &places)?;

    let points = || shown(chart).flat_map(|series| &series.points);
    let xs = points().map(|point| point.x);
    let ys = points().flat_map(|point| {
        let spread = point.spread.unwrap_or(0.0);
        [point.y.map(|y| y - spread), point.y.map(|y| y + spread)]
    });
    let (x0, x1) = chart.x.range.unwrap_or_else(|| around(xs));
    let (y0, y1) = chart.y.range.unwrap_or_else(|| around(ys.flatten()));
    let mut context = ChartBuilder::on(&plot)
        .margin_top(6)
        .margin_right(14)
        .margin_bottom(4)
        .x_label_area_size(40)
        .y_label_area_size(56)
        .build_cartesian_2d(x0..x1, y0..y1)?;
    let (x_step, y_step) = (x1 - x0, y1 - y0);
    context
        .configure_mesh()
        .x_labels(6)
        .y_labels(6)
        .disable_x_mesh()
        .max_light_lines(0)
        .bold_line_style(palette::GRID)
        .axis_style(palette::INK)
        .label_style(text_style())
        .axis_desc_style(("sans-serif", FONT + 1).into_font().color(&palette::INK))
        .x_desc(chart.x.label.as_str())
        .y_desc(chart.y.label.as_str())
        .x_label_formatter(&|x| match chart.x.whole {
            // Labels are placed at round numbers, of which some may lie between exits.
            true if x.fract().abs() > 1e-9 => String::new(),
            true => format!("{:.0}", x.abs()),
            false => tick(*x, x_step),
        })
        .y_label_formatter(&|y| tick(*y, y_step))
        .draw()?;
    for series in shown(chart) {
        draw_series(&mut context, area, series)?;
    }
    Ok(())
}

type Context<'a, 'b> =
    ChartContext<'b, SVGBackend<'a>, Cartesian2d<RangedCoordf64, RangedCoordf64>>;

/// `area` is the whole chart, whose coordinates are pixels.
fn draw_series(context: &mut Context<'_, '_>, area: &Area<'_>, series: &Series) -> DrawResult {
    let colour = palette::colour(series.slot);
    match series.mark {
        Mark::Hidden => {}
        Mark::Guide => draw_lines(context, series, palette::GUIDE, 1)?,
        Mark::Bars => {
            let half = 0.5 / crate::stats::BINS as f64;
            let bars = placed(series).map(|(x, y, _)| {
                Rectangle::new(
                    [(x - half * 0.92, 0.0), (x + half * 0.92, y)],
                    colour.filled(),
                )
            });
            context.draw_series(bars)?;
        }
        Mark::Line | Mark::Dots => {
            if series.mark == Mark::Line {
                draw_lines(context, series, colour, 2)?;
            }
            let spreads = placed(series).filter_map(|(x, y, spread)| {
                let spread = spread.filter(|s| *s > 0.0)?;
                let ends = vec![(x, y - spread), (x, y + spread)];
                Some(PathElement::new(ends, colour.stroke_width(2)))
            });
            context.draw_series(spreads)?;
            let all: Vec<_> = placed(series).collect();
            let every = match series.mark {
                Mark::Line => all.len().div_ceil(MARKERS).max(1),
                _ => 1,
            };
            for &(x, y, _) in all.iter().step_by(every) {
                let at = context.backend_coord(&(x, y));
                draw_marker(area, at, series.slot, colour)?;
            }
        }
    }
    Ok(())
}

/// A line for each run of points without a gap.
fn draw_lines(
    context: &mut Context<'_, '_>,
    series: &Series,
    colour: RGBColor,
    width: u32,
) -> DrawResult {
    for piece in series.points.split(|point| point.y.is_none()) {
        let line: Vec<(f64, f64)> = piece.iter().filter_map(|p| Some((p.x, p.y?))).collect();
        if line.len() > 1 {
            context.draw_series([PathElement::new(thin(line), colour.stroke_width(width))])?;
        }
    }
    Ok(())
}

/// At most a few hundred points of a line: more than there are pixels only make the file large.
fn thin(line: Vec<(f64, f64)>) -> Vec<(f64, f64)> {
    let every = line.len().div_ceil(300).max(1);
    let last = line.len() - 1;
    let keep = |(at, point): (usize, (f64, f64))| (at % every == 0 || at == last).then_some(point);
    line.into_iter().enumerate().filter_map(keep).collect()
}

fn shown(chart: &Chart) -> impl Iterator<Item = &Series> {
    chart.series.iter().filter(|s| s.mark != Mark::Hidden)
}

fn placed(series: &Series) -> impl Iterator<Item = (f64, f64, Option<f64>)> {
    let place = |point: &Point| Some((point.x, point.y?, point.spread));
    series.points.iter().filter_map(place)
}

/// A range with some room around the values, never empty.
fn around(values: impl Iterator<Item = f64>) -> (f64, f64) {
    let (low, high) = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(low, high), value| {
        (low.min(value), high.max(value))
    });
    if low > high {
        return (0.0, 1.0);
    }
    let room = match high - low {
        0.0 => low.abs().max(1.0) / 2.0,
        width => width * 0.06,
    };
    // Nothing shown here is negative by nature; an axis that starts below 0 would suggest it.
    let floor = if low >= 0.0 { 0.0 } else { f64::NEG_INFINITY };
    ((low - room).max(floor), high + room)
}

/// A number of an axis that is `width` wide, with no more digits than its steps need.
fn tick(value: f64, width: f64) -> String {
    let text = match width.abs() {
        w if w >= 1e4 => format!("{value:.2e}"),
        w if w >= 8.0 => format!("{value:.0}"),
        w if w >= 0.8 => format!("{value:.1}"),
        w if w >= 0.08 => format!("{value:.2}"),
        w if w >= 0.008 => format!("{value:.3}"),
        _ => format!("{value:.1e}"),
    };
    if text
        .trim_start_matches('-')
        .chars()
        .all(|c| c == '0' || c == '.')
    {
        text.trim_start_matches('-').to_owned()
    } else {
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_never_empty() {
        assert_eq!(around([].into_iter()), (0.0, 1.0));
        assert_eq!(around([4.0].into_iter()), (2.0, 6.0));
        assert_eq!(around([0.0, 0.0].into_iter()), (0.0, 0.5));
        assert_eq!(around([0.0, 100.0].into_iter()), (0.0, 106.0));
    }

    #[test]
    fn ticks_have_the_digits_they_need() {
        assert_eq!(tick(20.0, 40.0), "20");
        assert_eq!(tick(-0.0, 1.0), "0.0");
        assert_eq!(tick(2.25, 0.5), "2.25");
        assert_eq!(tick(123456.0, 1e6), "1.23e5");
    }
}
