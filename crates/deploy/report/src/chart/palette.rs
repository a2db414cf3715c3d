//! Colours that readers with any of the common colour deficiencies can tell apart.
//!
//! After Okabe and Ito, Color Universal Design (2008), darkened until each has a contrast of at
//! least 4.5 with white; the originals serve on dark ground. Series also differ in their markers.

use plotters::style::RGBColor;

/// A colour on white paper and its counterpart on dark ground.
struct Pair {
    light: RGBColor,
    dark: &'static str,
}

const fn pair(light: (u8, u8, u8), dark: &'static str) -> Pair {
    Pair {
        light: RGBColor(light.0, light.1, light.2),
        dark,
    }
}

const SERIES: [Pair; 6] = [
    pair((0x00, 0x72, 0xB2), "#56B4E9"),
    pair((0xBF, 0x4A, 0x00), "#E69F00"),
    pair((0x00, 0x7A, 0x5A), "#2CC495"),
    pair((0xA8, 0x47, 0x7F), "#E08FBF"),
    pair((0x82, 0x62, 0x00), "#F0E442"),
    pair((0x4D, 0x4D, 0x4D), "#C8C8C8"),
];

/// Ground, text, grid and guides. No two colours of a chart may be equal, or the stylesheet could
/// not tell them apart.
const PAPER_PAIR: Pair = pair((0xFF, 0xFF, 0xFF), "#16181C");
const INK_PAIR: Pair = pair((0x1B, 0x1C, 0x1E), "#E8E8EA");
const GRID_PAIR: Pair = pair((0xDF, 0xE1, 0xE5), "#32363D");
const GUIDE_PAIR: Pair = pair((0x6B, 0x70, 0x78), "#9AA0A8");

pub(super) const PAPER: RGBColor = PAPER_PAIR.light;
pub(super) const INK: RGBColor = INK_PAIR.light;
pub(super) const GRID: RGBColor = GRID_PAIR.light;
pub(super) const GUIDE: RGBColor = GUIDE_PAIR.light;

/// The colour of a place in the palette; beyond its end it begins again, with other markers.
pub(super) fn colour(slot: usize) -> RGBColor {
    SERIES[slot % SERIES.len()].light
}

/// The marker of a place in the palette, 0 to 3.
pub(super) fn marker(slot: usize) -> usize {
    (slot + slot / SERIES.len()) % 4
}

/// Rules that give an inlined SVG its dark colours: what a rule says goes before what an attribute
/// says, so the same SVG serves on paper and on a dark page.
pub(crate) fn stylesheet() -> String {
    let pairs = [&PAPER_PAIR, &INK_PAIR, &GRID_PAIR, &GUIDE_PAIR];
    let rule = |pair: &Pair| {
        let RGBColor(r, g, b) = pair.light;
        let (light, dark) = (format!("#{r:02X}{g:02X}{b:02X}"), pair.dark);
        format!("svg [fill=\"{light}\"]{{fill:{dark}}}svg [stroke=\"{light}\"]{{stroke:{dark}}}\n")
    };
    pairs.into_iter().chain(&SERIES).map(rule).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// WCAG 2.2, contrast ratio of two colours.
    fn contrast(a: [u8; 3], b: [u8; 3]) -> f64 {
        let linear = |c: u8| match f64::from(c) / 255.0 {
            c if c <= 0.04045 => c / 12.92,
            c => ((c + 0.055) / 1.055).powf(2.4),
        };
        let light = |[r, g, b]: [u8; 3]| {
            0.2126 * linear(r) + 0.7152 * linear(g) + 0.0722 * linear(b) + 0.05
        };
        let (a, b) = (light(a), light(b));
        a.max(b) / a.min(b)
    }

    fn hex(text: &str) -> [u8; 3] {
        [1, 3, 5].map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
    }

    #[test]
    fn every_colour_stands_out_from_its_ground() {
        assert!((contrast([0; 3], [255; 3]) - 21.0).abs() < 1e-9);
        for pair in SERIES.iter().chain([&INK_PAIR, &GUIDE_PAIR]) {
            let RGBColor(r, g, b) = pair.light;
            assert!(contrast([r, g, b], [255; 3]) > 4.5, "{}", pair.dark);
            assert!(
                contrast(hex(pair.dark), hex(PAPER_PAIR.dark)) > 4.5,
                "{}",
                pair.dark
            );
        }
    }

    #[test]
    fn colour_and_marker_together_are_unique() {
        let mut seen: Vec<_> = (0..24).map(|slot| (colour(slot), marker(slot))).collect();
        seen.sort_by_key(|(RGBColor(r, g, b), marker)| (*r, *g, *b, *marker));
        seen.dedup();
        assert_eq!(seen.len(), 24);
    }
}
