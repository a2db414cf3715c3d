//! Decodes an image to the input of a network.

use std::io::Cursor;

use image::{ImageError, ImageReader};
use offramp_run::{DecodeError, ImageInput};

use crate::api_error::{ApiError, Kind};

/// Width and height in an image's header; nothing is decoded.
fn size(bytes: &[u8]) -> Result<(u32, u32), ApiError> {
    let reader = ImageReader::new(Cursor::new(bytes));
    let reader = reader
        .with_guessed_format()
        .map_err(|error| unreadable(error.to_string()))?;
    if reader.format().is_none() {
        return Err(unreadable(
            "not an image; png, jpeg, webp, bmp and gif are read",
        ));
    }
    reader.into_dimensions().map_err(|error| match error {
        // A header that asks for more memory than the decoder ever takes.
        ImageError::Limits(error) => ApiError::large(error.to_string()),
        error => unreadable(error.to_string()),
    })
}

fn unreadable(reason: impl Into<String>) -> ApiError {
    ApiError::new(Kind::NoPicture, reason)
}

/// Decodes an image as the program's other parts do, and normalises it.
pub(crate) fn input(bytes: &[u8], to: &ImageInput, limit: u64) -> Result<Vec<f32>, ApiError> {
    if bytes.is_empty() {
        return Err(unreadable("the image is empty"));
    }
    let (width, height) = size(bytes)?;
    if u64::from(width) * u64::from(height) > limit {
        return Err(ApiError::large(format!(
            "the image has {width} x {height} pixels, at most {limit} are decoded"
        )));
    }
    let planes = to.decode(bytes).map_err(|error| match error {
        DecodeError::Format { reason, .. } => unreadable(reason),
        other => unreadable(other.to_string()),
    })?;
    Ok(to.normalise(&planes))
}
