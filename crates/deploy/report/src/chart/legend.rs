//! Markers, and the names of the series above a chart.

use plotters::element::{Circle, Cross, Polygon, Rectangle, Text, TriangleMarker};
use plotters::prelude::{Color, IntoFont};
use plotters::style::{RGBColor, TextStyle};

use super::{Area, Chart, DrawResult, Mark, palette, short};

/// Pixels of a line of the legend.
const LINE: i32 = 18;
/// The plotting library has no font to measure; this is the width of a wide letter of [`TEXT`].
const LETTER: i32 = 7;
/// Letters of a name.
const NAME: usize = 34;
/// Pixels of a line of text.
const TEXT: i32 = 12;
/// What the plotting library is to be asked for, which takes 1.24 for the ratio of a font's box to
/// its size, to have letters of [`TEXT`] pixels.
pub(super) const FONT: i32 = 15;

/// The look of all small text.
pub(super) fn text_style<'a>() -> TextStyle<'a> {
    ("sans-serif", FONT).into_font().color(&palette::INK)
}

/// Where each name stands, and the height of all.
pub(super) fn layout(chart: &Chart, width: u32) -> (Vec<(usize, i32, i32)>, u32) {
    let (mut x, mut y) = (8, 4);
    let mut places = Vec::new();
    for (index, series) in chart.series.iter().enumerate() {
        if series.mark == Mark::Hidden {
            continue;
        }
        let letters = series.name.chars().count().min(NAME) as i32;
        let wide = 22 + LETTER * letters;
        if x > 8 && x + wide > width as i32 {
            (x, y) = (8, y + LINE);
        }
        places.push((index, x, y));
        x += wide + 8;
    }
    (places, (y + LINE) as u32)
}

/// Draws the names.
pub(super) fn draw(chart: &Chart, area: &Area<'_>, places: &[(usize, i32, i32)]) -> DrawResult {
    for &(index, x, y) in places {
        let series = &chart.series[index];
        let colour = match series.mark {
            Mark::Guide => palette::GUIDE,
            _ => palette::colour(series.slot),
        };
        let (left, middle) = (x, y + LINE / 2 - 1);
        match series.mark {
            Mark::Bars => area.draw(&Rectangle::new(
                [(left, middle - 5), (left + 12, middle + 5)],
                colour.filled(),
            ))?,
            _ => area.draw(&Rectangle::new(
                [(left, middle - 1), (left + 14, middle + 1)],
                colour.filled(),
            ))?,
        }
        if matches!(series.mark, Mark::Line | Mark::Dots) {
            draw_marker(area, (left + 7, middle), series.slot, colour)?;
        }
        let name = short(&series.name, NAME);
        area.draw(&Text::new(
            name,
            (left + 19, middle - TEXT / 2),
            text_style(),
        ))?;
    }
    Ok(())
}

/// Draws the marker of a place in the palette around a pixel.
pub(super) fn draw_marker(
    area: &Area<'_>,
    (x, y): (i32, i32),
    slot: usize,
    colour: RGBColor,
) -> DrawResult {
    let style = colour.filled();
    match palette::marker(slot) {
        0 => area.draw(&Circle::new((x, y), 4, style))?,
        1 => area.draw(&TriangleMarker::new((x, y), 5, style))?,
        2 => {
            let diamond = vec![(x, y - 5), (x + 5, y), (x, y + 5), (x - 5, y)];
            area.draw(&Polygon::new(diamond, style))?;
        }
        _ => area.draw(&Cross::new((x, y), 4, colour.stroke_width(2)))?,
    }
    Ok(())
}
