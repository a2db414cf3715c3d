//! Images for a report: what left at each exit, right and wrong.

use std::io::Cursor;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use image::{ImageFormat, RgbImage};
use offramp_data::{ImageShape, Subset};
use offramp_run::{Gallery, GalleryImage, Rows};

use crate::error::CliError;

/// Images an exit, of those that it answered rightly and of the others.
const IMAGES_PER_EXIT: usize = 6;

/// The first images that left at each exit; nothing where no policy sends any anywhere.
///
/// `answers` are those of the rows of `subset` that have a label.
///
/// # Errors
/// When an image cannot be written as PNG.
pub(crate) fn gallery(
    subset: &Subset,
    answers: &Rows,
    classes: &[String],
    policy: &str,
) -> Result<Option<Gallery>, CliError> {
    let Some(taken) = &answers.taken else {
        return Ok(None);
    };
    let rows: Vec<usize> = (0..subset.len())
        .filter(|&row| subset.label(row) >= 0)
        .collect();
    let mut images = Vec::new();
    for (exit, exit_answers) in answers.exits.iter().enumerate() {
        let left = || (0..rows.len().min(taken.len())).filter(|&i| taken[i] == exit);
        let right = |i: &usize| exit_answers.prediction[*i] == answers.labels[*i];
        let chosen = (left().filter(right).take(IMAGES_PER_EXIT))
            .chain(left().filter(|i| !right(i)).take(IMAGES_PER_EXIT));
        for i in chosen {
            let name = |class: usize| classes.get(class).cloned().unwrap_or_default();
            images.push(GalleryImage {
                exit,
                label: name(answers.labels[i]),
                prediction: name(exit_answers.prediction[i]),
                confidence: exit_answers.confidence[i],
                png: png(subset.image(rows[i]), subset.shape())?,
            });
        }
    }
    Ok(Some(Gallery {
        policy: policy.to_owned(),
        images,
    }))
}

/// Planar bytes as PNG in base64.
fn png(planes: &[u8], shape: ImageShape) -> Result<String, CliError> {
    let size = shape.height * shape.width;
    let image = RgbImage::from_fn(shape.width as u32, shape.height as u32, |x, y| {
        let at = y as usize * shape.width + x as usize;
        image::Rgb([0, 1, 2].map(|c| planes[c * size + at]))
    });
    let mut bytes = Cursor::new(Vec::new());
    image.write_to(&mut bytes, ImageFormat::Png)?;
    Ok(STANDARD.encode(bytes.into_inner()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn planes_become_pixels() {
        let shape = ImageShape {
            channels: 3,
            height: 1,
            width: 2,
        };
        let text = png(&[1, 2, 30, 40, 200, 250], shape).unwrap();
        let bytes = STANDARD.decode(text).unwrap();
        let image = image::load_from_memory(&bytes).unwrap().into_rgb8();
        assert_eq!(image.into_raw(), [1, 30, 200, 2, 40, 250]);
    }
}
