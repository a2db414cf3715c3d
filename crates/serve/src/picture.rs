//! From the bytes of a picture to the input of a network.

use std::io::Cursor;

use image::{ImageError, ImageReader};
use offramp_data::{DataError, DatasetInfo};

use crate::refusal::{Kind, Refusal};

/// Width and height that a picture's header speaks of; nothing is decoded.
fn size(bytes: &[u8]) -> Result<(u32, u32), Refusal> {
    let reader = ImageReader::new(Cursor::new(bytes));
    let reader = reader
        .with_guessed_format()
        .map_err(|error| unreadable(error.to_string()))?;
    if reader.format().is_none() {
        return Err(unreadable(
            "not a picture; png, jpeg, webp, bmp and gif are read",
        ));
    }
    reader.into_dimensions().map_err(|error| match error {
        // A header that asks for more memory than the decoder ever takes.
        ImageError::Limits(error) => Refusal::large(error.to_string()),
        error => unreadable(error.to_string()),
    })
}

fn unreadable(reason: impl Into<String>) -> Refusal {
    Refusal::new(Kind::NoPicture, reason)
}

/// `x = (byte / 255 - mean) / std`, channel by channel, with the very operations that `offramp predict`
/// uses: `byte * 1 / (255 std) - mean / std` in `f32`.
///
/// # Shapes
/// - `planes`: `[3, H, W]`, as is the result
pub fn normalise(planes: &[u8], mean: [f32; 3], std: [f32; 3]) -> Vec<f32> {
    let plane = (planes.len() / 3).max(1);
    let mut pixels = Vec::with_capacity(planes.len());
    for (channel, bytes) in planes.chunks_exact(plane).take(3).enumerate() {
        let scale = 1.0 / (255.0 * std[channel]);
        let shift = mean[channel] / std[channel];
        pixels.extend(bytes.iter().map(|&byte| f32::from(byte) * scale - shift));
    }
    pixels
}

/// Decodes a picture as the program's other parts do, and normalises it.
pub(crate) fn input(bytes: &[u8], info: &DatasetInfo, limit: u64) -> Result<Vec<f32>, Refusal> {
    if bytes.is_empty() {
        return Err(unreadable("the picture is empty"));
    }
    let (width, height) = size(bytes)?;
    if u64::from(width) * u64::from(height) > limit {
        return Err(Refusal::large(format!(
            "the picture has {width} x {height} pixels, at most {limit} are decoded"
        )));
    }
    let planes = info.decode(bytes).map_err(|error| match error {
        DataError::Decode { reason, .. } => unreadable(reason),
        other => unreadable(other.to_string()),
    })?;
    Ok(normalise(&planes, info.mean, info.std))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn channels_have_their_own_mean_and_deviation() {
        let x = normalise(
            &[0, 255, 51, 102, 0, 255],
            [0.0, 0.2, 0.5],
            [1.0, 0.5, 0.25],
        );
        for (x, expected) in x.iter().zip([0.0, 1.0, 0.0, 0.4, -2.0, 2.0]) {
            assert!((x - expected).abs() < 1e-6, "{x} {expected}");
        }
    }
}
