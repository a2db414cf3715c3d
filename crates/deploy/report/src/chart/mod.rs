//! A chart as data: drawn as SVG, shown as a table, written as CSV.

mod bars;
mod draw;
mod legend;
mod palette;
mod table;

use plotters::prelude::{DrawingArea, IntoDrawingArea, SVGBackend};

pub(crate) use palette::stylesheet;
pub(crate) use table::Table;

use crate::ReportError;

/// One chart.
#[derive(Clone, Debug)]
pub(crate) struct Chart {
    /// Unique in a report, of `[a-z0-9-]`; also the name of the file.
    pub(crate) id: String,
    pub(crate) title: String,
    /// Text for readers who cannot see it.
    pub(crate) description: String,
    pub(crate) x: Axis,
    pub(crate) y: Axis,
    pub(crate) series: Vec<Series>,
    /// Names of `x = 0, 1, ...` for stacked bars; empty for everything else.
    pub(crate) categories: Vec<String>,
}

/// A name with its unit, and what to show.
#[derive(Clone, Debug)]
pub(crate) struct Axis {
    pub(crate) label: String,
    /// `None`: what the points need.
    pub(crate) range: Option<(f64, f64)>,
    /// Whether values between whole numbers mean nothing.
    pub(crate) whole: bool,
}

/// Points that belong together.
#[derive(Clone, Debug)]
pub(crate) struct Series {
    pub(crate) name: String,
    /// Place in the palette; the same thing has the same place in every chart.
    pub(crate) slot: usize,
    pub(crate) mark: Mark,
    pub(crate) points: Vec<Point>,
}

/// How a series is drawn.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Mark {
    /// A line with a few markers.
    Line,
    /// Markers alone.
    Dots,
    /// Bars as wide as a bin of a reliability diagram; with stacked bars, one part of each.
    Bars,
    /// A thin grey line to compare with.
    Guide,
    /// In the table and the CSV alone.
    Hidden,
}

/// One value; without `y` the line has a gap.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Point {
    pub(crate) x: f64,
    pub(crate) y: Option<f64>,
    /// Standard deviation of `y` over seeds.
    pub(crate) spread: Option<f64>,
}

type Area<'a> = DrawingArea<SVGBackend<'a>, plotters::coord::Shift>;
type DrawResult = Result<(), Box<dyn std::error::Error>>;

impl Axis {
    /// An axis that fits the points.
    pub(crate) fn new(label: &str) -> Self {
        Self {
            label: label.to_owned(),
            range: None,
            whole: false,
        }
    }

    /// An axis of things that are counted.
    pub(crate) fn counted(label: &str) -> Self {
        Self {
            whole: true,
            ..Self::new(label)
        }
    }

    /// An axis with fixed ends.
    pub(crate) fn fixed(label: &str, from: f64, to: f64) -> Self {
        Self {
            label: label.to_owned(),
            range: Some((from, to)),
            whole: false,
        }
    }
}

impl Series {
    pub(crate) fn new(name: impl Into<String>, slot: usize, mark: Mark) -> Self {
        Self {
            name: name.into(),
            slot,
            mark,
            points: Vec::new(),
        }
    }

    /// The same with points `(x, y)`.
    pub(crate) fn with(mut self, points: impl IntoIterator<Item = (f64, Option<f64>)>) -> Self {
        let point = |(x, y): (f64, Option<f64>)| Point {
            x,
            y: y.filter(|y| y.is_finite()),
            spread: None,
        };
        let finite = points.into_iter().filter(|(x, _)| x.is_finite());
        self.points = finite.map(point).collect();
        self
    }
}

impl Chart {
    /// Whether there is anything to see.
    pub(crate) fn has_points(&self) -> bool {
        let drawn = self.series.iter();
        let mut drawn = drawn.filter(|s| !matches!(s.mark, Mark::Guide | Mark::Hidden));
        drawn.any(|series| series.points.iter().any(|point| point.y.is_some()))
    }

    /// The chart as an SVG document with a title and a description.
    pub(crate) fn svg(&self) -> Result<String, ReportError> {
        let mut text = String::new();
        let size = if self.categories.is_empty() {
            draw::SIZE
        } else {
            bars::size(self)
        };
        {
            let area = SVGBackend::with_string(&mut text, size).into_drawing_area();
            let drawn = if self.categories.is_empty() {
                draw::draw(self, &area)
            } else {
                bars::draw(self, &area)
            };
            let drawn = drawn.and_then(|()| area.present().map_err(Into::into));
            drawn.map_err(|error| ReportError::Draw {
                chart: self.id.clone(),
                message: error.to_string(),
            })?;
        }
        Ok(self.labelled(&text))
    }

    /// Adds title and description, which the plotting library cannot, to its SVG.
    fn labelled(&self, svg: &str) -> String {
        let (id, title) = (&self.id, escape(&self.title));
        let description = escape(&self.description);
        let open = format!("<svg role=\"img\" aria-labelledby=\"{id}-t {id}-d\" ");
        let svg = svg.replacen("<svg ", &open, 1);
        let head = svg.find('>').map_or(0, |at| at + 1);
        let (start, rest) = svg.split_at(head);
        format!(
            "{start}\n<title id=\"{id}-t\">{title}</title>\n<desc id=\"{id}-d\">{description}</desc>{rest}"
        )
    }
}

/// Text inside XML. Control characters have no place in XML 1.0.
fn escape(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for c in text.chars() {
        match c {
            '<' => escaped.push_str("&lt;"),
            '>' => escaped.push_str("&gt;"),
            '&' => escaped.push_str("&amp;"),
            '"' => escaped.push_str("&quot;"),
            c if c.is_control() => escaped.push(' '),
            c => escaped.push(c),
        }
    }
    escaped
}

/// A name short enough for a legend or an axis, without what XML forbids.
fn short(name: &str, most: usize) -> String {
    let clean: String = name
        .chars()
        .map(|c| if c.is_control() { ' ' } else { c })
        .collect();
    if clean.chars().count() <= most {
        return clean;
    }
    let mut cut: String = clean.chars().take(most.saturating_sub(1)).collect();
    cut.push('…');
    cut
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;

    pub(crate) fn chart() -> Chart {
        Chart {
            id: "a-b".into(),
            title: "Loss <script>alert(1)</script>".into(),
            description: "a & b".into(),
            x: Axis::new("epoch"),
            y: Axis::new("nats"),
            series: vec![
                Series::new("<b>exit 0", 0, Mark::Line).with([
                    (1.0, Some(3.0)),
                    (2.0, None),
                    (3.0, Some(f64::NAN)),
                    (4.0, Some(1.0)),
                ]),
                Series::new("one", 1, Mark::Dots).with([(2.0, Some(2.0))]),
            ],
            categories: Vec::new(),
        }
    }

    #[test]
    fn an_svg_is_well_formed_and_named() {
        let svg = chart().svg().unwrap();
        crate::tests::well_formed(&svg);
        assert!(
            svg.contains("<title id=\"a-b-t\">Loss &lt;script&gt;"),
            "{svg}"
        );
        assert!(!svg.contains("<script") && !svg.contains("<b>"), "{svg}");
        assert!(!svg.contains("NaN"), "{svg}");
    }

    #[test]
    fn one_point_and_equal_points_have_a_range() {
        let mut one = chart();
        one.series.truncate(1);
        one.series[0].points.truncate(1);
        crate::tests::well_formed(&one.svg().unwrap());
        one.series[0].points.clear();
        assert!(!one.has_points());
        crate::tests::well_formed(&one.svg().unwrap());
    }

    #[test]
    fn stacked_bars() {
        let mut stacked = chart();
        stacked.categories = vec!["cat & dog".into(), "<frog>".into()];
        stacked.series = vec![
            Series::new("exit 0", 0, Mark::Bars).with([(0.0, Some(30.0)), (1.0, None)]),
            Series::new("exit 1", 1, Mark::Bars).with([(0.0, Some(70.0)), (1.0, Some(100.0))]),
        ];
        let svg = stacked.svg().unwrap();
        crate::tests::well_formed(&svg);
        assert!(
            svg.contains("cat &amp; dog") && svg.contains("&lt;frog&gt;"),
            "{svg}"
        );
    }

    #[test]
    fn long_names_are_cut() {
        assert_eq!(short("abcdef", 4), "abc…");
        assert_eq!(short("ab\u{1}", 4), "ab ");
    }
}
