//! Writes a contact sheet of the generated set: one row per class, four images per difficulty.
//!
//! `cargo run --release -p offramp-data --example contact_sheet -- OUT.png [SIZE]`

use std::path::PathBuf;

use image::{Rgb, RgbImage};
use offramp_data::generated::{CLASSES, generate};
use offramp_data::{Difficulty, Split};

const EACH: usize = 4;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let path = PathBuf::from(
        arguments
            .next()
            .ok_or("usage: contact_sheet OUT.png [SIZE]")?,
    );
    let size: usize = arguments.next().as_deref().unwrap_or("32").parse()?;
    let images = generate(Split::Train, 1000, size, 0)?;
    let cell = size + 2;
    let columns = Difficulty::ALL.len() * EACH;
    let mut sheet = RgbImage::from_pixel(
        (columns * cell) as u32,
        (CLASSES.len() * cell) as u32,
        Rgb([255, 255, 255]),
    );
    let mut shown = [[0; Difficulty::ALL.len()]; CLASSES.len()];
    for i in 0..images.len() {
        let Some(difficulty) = images.difficulty(i) else {
            continue;
        };
        let (class, level) = (images.label(i) as usize, difficulty as usize);
        if shown[class][level] == EACH {
            continue;
        }
        let column = level * EACH + shown[class][level];
        shown[class][level] += 1;
        let image = images.image(i);
        for at in 0..size * size {
            let pixel = [0, 1, 2].map(|channel| image[channel * size * size + at]);
            let (x, y) = (column * cell + at % size, class * cell + at / size);
            sheet.put_pixel(x as u32, y as u32, Rgb(pixel));
        }
    }
    sheet.save(&path)?;
    println!("{}: rows {}", path.display(), CLASSES.join(", "));
    Ok(())
}
