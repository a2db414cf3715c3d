//! Decoding of an image file.

use std::io::{self, Cursor};
use std::path::{Path, PathBuf};

use image::{DynamicImage, ImageDecoder, ImageReader, RgbImage};
use thiserror::Error;

/// An image file that cannot be decoded.
#[derive(Debug, Error)]
pub enum DecodeError {
    /// The file cannot be read.
    #[error("cannot read `{}`: {source}", path.display())]
    Io {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// The bytes are damaged, truncated or of another format.
    #[error("cannot decode the image `{}`: {reason}", path.display())]
    Format {
        /// The file; `<bytes>` when it came from memory.
        path: PathBuf,
        /// What the decoder said.
        reason: String,
    },
}

/// Decodes a png, jpeg, webp, bmp or gif to RGB.
///
/// Grey becomes RGB, 16 bits become 8, transparency is dropped, and the orientation noted by a camera is
/// applied. The format is told by the content.
///
/// # Errors
/// [`DecodeError::Format`], with `<bytes>` for the file.
pub fn decode(bytes: &[u8]) -> Result<RgbImage, DecodeError> {
    named(bytes, Path::new("<bytes>"))
}

/// As [`decode`], of a file.
///
/// # Errors
/// [`DecodeError`] that names the file.
pub fn decode_file(path: &Path) -> Result<RgbImage, DecodeError> {
    let bytes = std::fs::read(path).map_err(|source| DecodeError::Io {
        path: path.to_owned(),
        source,
    })?;
    named(&bytes, path)
}

fn named(bytes: &[u8], path: &Path) -> Result<RgbImage, DecodeError> {
    attempt(bytes).map_err(|reason| DecodeError::Format {
        path: path.to_owned(),
        reason,
    })
}

fn attempt(bytes: &[u8]) -> Result<RgbImage, String> {
    if bytes.is_empty() {
        return Err("the file is empty".into());
    }
    if is_cut_jpeg(bytes) {
        return Err("the JPEG is truncated".into());
    }
    let reader = ImageReader::new(Cursor::new(bytes));
    let reader = reader.with_guessed_format().map_err(|e| e.to_string())?;
    let mut decoder = reader.into_decoder().map_err(|e| e.to_string())?;
    let orientation = decoder.orientation().map_err(|e| e.to_string())?;
    let mut image = DynamicImage::from_decoder(decoder).map_err(|e| e.to_string())?;
    image.apply_orientation(orientation);
    Ok(image.into_rgb8())
}

/// Whether the bytes begin like a JPEG but no end marker follows the last scan. The decoder is
/// lenient here: it paints the missing part grey.
fn is_cut_jpeg(bytes: &[u8]) -> bool {
    // An embedded thumbnail has markers of its own, but ahead of the first scan of the image; and
    // some cameras append data, so the last two bytes alone do not tell.
    let last = |marker: [u8; 2]| bytes.windows(2).rposition(|pair| pair == marker);
    bytes.starts_with(&[0xff, 0xd8]) && last([0xff, 0xd9]) <= last([0xff, 0xda])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_name_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("note.png");
        let error = || decode_file(&path).unwrap_err().to_string();
        assert!(error().contains("cannot read") && error().contains("note.png"));
        for (bytes, part) in [("not an image", "cannot decode"), ("", "the file is empty")] {
            std::fs::write(&path, bytes).unwrap();
            assert!(
                error().contains(part) && error().contains("note.png"),
                "{}",
                error()
            );
        }
        assert!(decode(b"x").unwrap_err().to_string().contains("<bytes>"));
    }
}
