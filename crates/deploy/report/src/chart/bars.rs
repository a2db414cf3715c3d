//! Stacked bars, one per category, of shares that sum to 100 %.

use plotters::element::{PathElement, Rectangle, Text};
use plotters::prelude::Color;

use super::legend::{self, text_style};
use super::{Area, Chart, DrawResult, palette, short};

const WIDTH: u32 = 440;
/// Pixels of a bar with the gap below it.
const ROW: i32 = 17;
/// Where the bars begin and end.
const LEFT: i32 = 124;
const RIGHT: i32 = 424;
/// Letters of a category.
const NAME: usize = 16;

/// Pixels of the whole chart.
pub(super) fn size(chart: &Chart) -> (u32, u32) {
    let (_, legend) = legend::layout(chart, WIDTH);
    (
        WIDTH,
        legend + chart.categories.len() as u32 * ROW as u32 + 48,
    )
}

/// Draws a chart of categories.
pub(super) fn draw(chart: &Chart, area: &Area<'_>) -> DrawResult {
    area.fill(&palette::PAPER)?;
    let (places, top) = legend::layout(chart, WIDTH);
    legend::draw(chart, area, &places)?;
    let top = top as i32 + 4;
    let bottom = top + chart.categories.len() as i32 * ROW;
    for (row, name) in chart.categories.iter().enumerate() {
        let y = top + row as i32 * ROW;
        area.draw(&Text::new(short(name, NAME), (6, y + 1), text_style()))?;
        let mut start = 0.0;
        for series in &chart.series {
            let point = series.points.iter().find(|point| point.x == row as f64);
            let share = point.and_then(|point| point.y).unwrap_or(0.0);
            let end = start + share;
            if share > 0.0 {
                let corners = [(pixel(start), y + 1), (pixel(end), y + ROW - 3)];
                let colour = palette::colour(series.slot);
                area.draw(&Rectangle::new(corners, colour.filled()))?;
                let edge = vec![(pixel(end), y + 1), (pixel(end), y + ROW - 3)];
                area.draw(&PathElement::new(edge, palette::PAPER.stroke_width(1)))?;
            }
            start = end;
        }
    }
    for percent in [0, 25, 50, 75, 100] {
        let x = pixel(f64::from(percent));
        let line = vec![(x, bottom), (x, bottom + 4)];
        area.draw(&PathElement::new(line, palette::INK.stroke_width(1)))?;
        let text = percent.to_string();
        let half = 7 * text.len() as i32 / 2;
        area.draw(&Text::new(text, (x - half, bottom + 7), text_style()))?;
    }
    let at = (LEFT, bottom + 24);
    area.draw(&Text::new(chart.y.label.clone(), at, text_style()))?;
    Ok(())
}

fn pixel(percent: f64) -> i32 {
    let share = percent.clamp(0.0, 100.0) / 100.0;
    LEFT + (share * f64::from(RIGHT - LEFT)).round() as i32
}
