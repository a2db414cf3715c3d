//! Unusual images: odd formats, damaged files, and files that are no images.

use std::io::Write;

use flate2::Compression;
use flate2::write::ZlibEncoder;
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::{
    DynamicImage, Frame, GrayAlphaImage, GrayImage, ImageFormat, Luma, LumaA, Rgb, RgbImage, Rgba,
    RgbaImage,
};

use super::images::encode;

/// What the service should make of a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Expect {
    /// An answer of this class.
    Class(&'static str),
    /// An answer, whichever.
    Answer,
    /// A refusal with this status.
    Status(u16),
    /// An image or not, but one of the two in an orderly way.
    Either,
}

pub(crate) struct Case {
    pub name: String,
    pub bytes: Vec<u8>,
    pub expect: Expect,
}

fn case(name: impl Into<String>, bytes: Vec<u8>, expect: Expect) -> Case {
    Case {
        name: name.into(),
        bytes,
        expect,
    }
}

/// Blue, with a red top left corner that is too small to matter.
fn scene(width: u32, height: u32) -> RgbImage {
    RgbImage::from_fn(width, height, |x, y| match (x, y) {
        (0, 0) => Rgb([200, 0, 0]),
        _ => Rgb([10, 10, 240]),
    })
}

/// Every colour type of every format that can write it.
pub(crate) fn formats() -> Vec<Case> {
    let blue = Expect::Class("blue");
    let mut cases = Vec::new();
    for (width, height) in [(1, 1), (2, 3), (8, 8), (31, 17), (300, 200)] {
        let image = RgbImage::from_pixel(width, height, Rgb([10, 10, 240]));
        for format in [
            ImageFormat::Png,
            ImageFormat::Bmp,
            ImageFormat::WebP,
            ImageFormat::Gif,
            ImageFormat::Jpeg,
        ] {
            let bytes = encode(&image.clone().into(), format);
            cases.push(case(format!("{width}x{height} {format:?}"), bytes, blue));
        }
    }
    let rgb = DynamicImage::from(scene(40, 30));
    let kinds = [
        ("rgba", DynamicImage::from(rgb.to_rgba8()), blue),
        ("rgb 16 bit", rgb.to_rgb16().into(), blue),
        ("rgba 16 bit", rgb.to_rgba16().into(), blue),
        (
            "grey",
            GrayImage::from_pixel(9, 9, Luma([90])).into(),
            Expect::Answer,
        ),
        ("grey 16 bit", rgb.to_luma16().into(), Expect::Answer),
        (
            "grey and alpha",
            GrayAlphaImage::from_pixel(9, 9, LumaA([90, 7])).into(),
            Expect::Answer,
        ),
        (
            "grey and alpha 16 bit",
            rgb.to_luma_alpha16().into(),
            Expect::Answer,
        ),
        (
            "see-through",
            RgbaImage::from_pixel(9, 9, Rgba([10, 10, 240, 0])).into(),
            blue,
        ),
    ];
    for (name, image, expect) in kinds {
        cases.push(case(
            format!("{name} png"),
            encode(&image, ImageFormat::Png),
            expect,
        ));
    }
    for (name, image) in [
        ("rgba", rgb.to_rgba8().into()),
        ("grey", DynamicImage::from(rgb.to_luma8())),
    ] {
        let expect = if name == "rgba" { blue } else { Expect::Answer };
        cases.push(case(
            format!("{name} bmp"),
            encode(&image, ImageFormat::Bmp),
            expect,
        ));
    }
    cases.push(case(
        "rgba webp",
        encode(&rgb.to_rgba8().into(), ImageFormat::WebP),
        blue,
    ));
    for quality in [1, 50, 100] {
        let mut bytes = Vec::new();
        JpegEncoder::new_with_quality(&mut bytes, quality)
            .encode_image(&rgb)
            .unwrap();
        cases.push(case(format!("jpeg of quality {quality}"), bytes, blue));
    }
    let mut bytes = Vec::new();
    JpegEncoder::new(&mut bytes)
        .encode_image(&rgb.to_luma8())
        .unwrap();
    cases.push(case("grey jpeg", bytes, Expect::Answer));
    cases.push(case("cmyk jpeg", CMYK_JPEG.to_vec(), Expect::Class("cyan")));
    cases.push(case(
        "interlaced png",
        INTERLACED_PNG.to_vec(),
        Expect::Class("yellow"),
    ));
    cases.push(case(
        "palette png",
        PALETTE_PNG.to_vec(),
        Expect::Class("magenta"),
    ));
    cases.push(case(
        "progressive jpeg",
        PROGRESSIVE_JPEG.to_vec(),
        Expect::Class("green"),
    ));
    cases.push(case(
        "animated webp",
        ANIMATED_WEBP.to_vec(),
        Expect::Class("red"),
    ));
    cases.push(case(
        "animated png",
        ANIMATED_PNG.to_vec(),
        Expect::Class("red"),
    ));
    cases.push(case("1 bit png", ONE_BIT_PNG.to_vec(), Expect::Answer));
    cases
}

/// Written by Pillow, see `fixtures/make_images.py`.
const CMYK_JPEG: &[u8] = include_bytes!("../fixtures/cmyk.jpg");
const INTERLACED_PNG: &[u8] = include_bytes!("../fixtures/interlaced.png");
const PALETTE_PNG: &[u8] = include_bytes!("../fixtures/palette.png");
const PROGRESSIVE_JPEG: &[u8] = include_bytes!("../fixtures/progressive.jpg");
const ANIMATED_WEBP: &[u8] = include_bytes!("../fixtures/animated.webp");
const ANIMATED_PNG: &[u8] = include_bytes!("../fixtures/animated.png");
const ONE_BIT_PNG: &[u8] = include_bytes!("../fixtures/one-bit.png");

pub(crate) fn animations() -> Vec<Case> {
    let frame = |colour: [u8; 4]| Frame::new(RgbaImage::from_pixel(12, 12, Rgba(colour)));
    let mut bytes = Vec::new();
    let mut encoder = GifEncoder::new(&mut bytes);
    encoder.encode_frame(frame([250, 0, 0, 255])).unwrap();
    for _ in 0..3 {
        encoder.encode_frame(frame([0, 250, 0, 255])).unwrap();
    }
    drop(encoder);
    vec![case("animated gif", bytes, Expect::Class("red"))]
}

/// Halves of two colours, so that orientation tells in the middle of a square cut from it.
fn halves() -> RgbImage {
    RgbImage::from_fn(16, 16, |x, _| {
        if x < 8 {
            Rgb([250, 0, 0])
        } else {
            Rgb([0, 0, 250])
        }
    })
}

/// A JPEG with an Exif segment that notes orientation `tag`.
pub(crate) fn oriented(tag: u8) -> Vec<u8> {
    let mut jpeg = Vec::new();
    JpegEncoder::new_with_quality(&mut jpeg, 95)
        .encode_image(&DynamicImage::from(halves()))
        .unwrap();
    let mut exif = b"Exif\0\0MM\0\x2a\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01\0".to_vec();
    exif.extend_from_slice(&[tag, 0, 0, 0, 0, 0, 0]);
    let mut bytes = jpeg[..2].to_vec();
    bytes.extend_from_slice(&[0xff, 0xe1]);
    bytes.extend_from_slice(&u16::to_be_bytes(2 + exif.len() as u16));
    bytes.extend_from_slice(&exif);
    bytes.extend_from_slice(&jpeg[2..]);
    bytes
}

/// Whole images of each format, cut at many places.
pub(crate) fn truncations() -> Vec<Case> {
    let image = DynamicImage::from(scene(33, 21));
    let mut cases = Vec::new();
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Jpeg,
    ] {
        let bytes = encode(&image, format);
        for part in 0..20 {
            // The last bytes of some formats carry no pixels; without them there may be an answer.
            let cut = bytes.len() * part / 20;
            let expect = if part < 15 {
                Expect::Status(422)
            } else {
                Expect::Either
            };
            // Gif can end after any frame, and its decoder fills up what is missing.
            let expect = if format == ImageFormat::Gif && part > 2 {
                Expect::Either
            } else {
                expect
            };
            cases.push(case(
                format!("{format:?} cut at {part}/20"),
                bytes[..cut].to_vec(),
                expect,
            ));
        }
    }
    cases
}

/// One byte flipped, at places spread over the file.
pub(crate) fn damage() -> Vec<Case> {
    let image = DynamicImage::from(scene(33, 21));
    let mut cases = Vec::new();
    for format in [
        ImageFormat::Png,
        ImageFormat::Bmp,
        ImageFormat::WebP,
        ImageFormat::Gif,
        ImageFormat::Jpeg,
    ] {
        let bytes = encode(&image, format);
        for part in 0..16 {
            let place = bytes.len() * part / 16;
            let mut broken = bytes.clone();
            broken[place] ^= 0x5a;
            cases.push(case(
                format!("{format:?} damaged at {part}/16"),
                broken,
                Expect::Either,
            ));
        }
    }
    cases
}

fn chunk(name: &[u8; 4], data: &[u8]) -> Vec<u8> {
    let mut bytes = (data.len() as u32).to_be_bytes().to_vec();
    let mut named = name.to_vec();
    named.extend_from_slice(data);
    let mut crc = flate2::Crc::new();
    crc.update(&named);
    bytes.extend_from_slice(&named);
    bytes.extend_from_slice(&crc.sum().to_be_bytes());
    bytes
}

/// A grey png of any size whose pixels are all 0, compressed as well as zeros can be.
pub(crate) fn bomb(width: u32, height: u32) -> Vec<u8> {
    let mut header = [width.to_be_bytes(), height.to_be_bytes()].concat();
    header.extend_from_slice(&[8, 0, 0, 0, 0]);
    let mut zeros = ZlibEncoder::new(Vec::new(), Compression::best());
    // Enough to be believed; a decoder that trusts the header has its memory by then.
    let size = (u64::from(width) + 1) * u64::from(height);
    zeros
        .write_all(&vec![0; size.min(8 << 20) as usize])
        .unwrap();
    let mut bytes = b"\x89PNG\r\n\x1a\n".to_vec();
    bytes.extend(chunk(b"IHDR", &header));
    bytes.extend(chunk(b"IDAT", &zeros.finish().unwrap()));
    bytes.extend(chunk(b"IEND", b""));
    bytes
}

/// Sizes that cannot be, or should not be decoded.
pub(crate) fn sizes() -> Vec<Case> {
    let wide = |width, height| {
        encode(
            &RgbImage::from_pixel(width, height, Rgb([10, 10, 240])).into(),
            ImageFormat::Png,
        )
    };
    let blue = Expect::Class("blue");
    let mut text = b"\x89PNG\r\n\x1a\n".to_vec();
    text.extend(chunk(b"IHDR", &[0, 0, 0, 8, 0, 0, 0, 8, 8, 0, 0, 0, 0]));
    let mut zeros = ZlibEncoder::new(b"note\0\0".to_vec(), Compression::best());
    zeros.write_all(&vec![0; 20 << 20]).unwrap();
    text.extend(chunk(b"zTXt", &zeros.finish().unwrap()));
    let mut pixels = ZlibEncoder::new(Vec::new(), Compression::best());
    pixels.write_all(&[0; 72]).unwrap();
    text.extend(chunk(b"IDAT", &pixels.finish().unwrap()));
    text.extend(chunk(b"IEND", b""));
    let bmp = |width: i32, height: i32| {
        let mut bytes = b"BM\x3a\0\0\0\0\0\0\0\x36\0\0\0\x28\0\0\0".to_vec();
        bytes.extend_from_slice(&width.to_le_bytes());
        bytes.extend_from_slice(&height.to_le_bytes());
        bytes.extend_from_slice(&[1, 0, 24, 0]);
        bytes.extend_from_slice(&[0; 28]);
        bytes
    };
    vec![
        case("30000 wide", wide(30_000, 1), blue),
        case("30000 high", wide(1, 30_000), blue),
        case("30000 wide, 40 high", wide(30_000, 40), blue),
        case("30000 x 30000", bomb(30_000, 30_000), Expect::Status(413)),
        case("65535 x 65535", bomb(65_535, 65_535), Expect::Status(413)),
        case("4 billion wide", bomb(0x7fff_ffff, 1), Expect::Status(413)),
        case("no width", bomb(0, 5), Expect::Status(422)),
        case(
            "6400 x 6300, a little too much",
            bomb(6400, 6300),
            Expect::Status(413),
        ),
        case(
            "6000 x 6000 of which 1400 rows are there",
            bomb(6000, 6000),
            Expect::Status(422),
        ),
        case("a text of 20 megabytes in a png", text, Expect::Either),
        case(
            "bmp of size 30000 x 30000",
            bmp(30_000, 30_000),
            Expect::Status(413),
        ),
        case("bmp of negative width", bmp(-5, 5), Expect::Status(422)),
        case("bmp of the least height", bmp(5, i32::MIN), Expect::Either),
        case("bmp of no size", bmp(0, 0), Expect::Status(422)),
    ]
}

/// What is no image, or two things at once.
pub(crate) fn strangers() -> Vec<Case> {
    let jpeg = encode(&scene(20, 20).into(), ImageFormat::Jpeg);
    let png = encode(&scene(20, 20).into(), ImageFormat::Png);
    let refused = Expect::Status(422);
    let blue = Expect::Class("blue");
    let join = |a: &[u8], b: &[u8]| [a, b].concat();
    let mut cases = vec![
        case("nothing", Vec::new(), refused),
        case(
            "jpeg and a zip behind it",
            join(&jpeg, b"PK\x05\x06\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0"),
            Expect::Either,
        ),
        case(
            "png and a script behind it",
            join(&png, b"<script>alert(1)</script>"),
            blue,
        ),
        case("png and a jpeg behind it", join(&png, &jpeg), blue),
        case(
            "a script and a png behind it",
            join(b"<script>", &png),
            refused,
        ),
        case(
            "gif header and javascript",
            b"GIF89a/*.*/=0;alert(1)".to_vec(),
            Expect::Status(413),
        ),
        case(
            "svg",
            b"<svg xmlns='http://www.w3.org/2000/svg' width='9' height='9'/>".to_vec(),
            refused,
        ),
        case(
            "pdf",
            b"%PDF-1.7\n%\xe2\xe3\xcf\xd3\n1 0 obj".to_vec(),
            refused,
        ),
        case("tiff", b"II*\0\x08\0\0\0\0\0".to_vec(), refused),
        case(
            "heic",
            b"\0\0\0\x18ftypheic\0\0\0\0mif1heic".to_vec(),
            refused,
        ),
        case(
            "ico",
            b"\0\0\x01\0\x01\0\x10\x10\0\0\x01\0\x20\0".to_vec(),
            refused,
        ),
        case(
            "gzip",
            b"\x1f\x8b\x08\0\0\0\0\0\0\x03\x03\0\0\0\0\0\0\0\0\0".to_vec(),
            refused,
        ),
        case(
            "elf",
            b"\x7fELF\x02\x01\x01\0\0\0\0\0\0\0\0\0".to_vec(),
            refused,
        ),
        case("wasm", b"\0asm\x01\0\0\0".to_vec(), refused),
        case(
            "html",
            b"<!DOCTYPE html><title>404</title>".to_vec(),
            refused,
        ),
        case("utf-16", b"\xff\xfep\0n\0g\0".to_vec(), refused),
        case(
            "webp of sound",
            b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0".to_vec(),
            refused,
        ),
        case("png signature alone", png[..8].to_vec(), refused),
        case("jpeg start alone", vec![0xff, 0xd8], refused),
        case("jpeg start and end", vec![0xff, 0xd8, 0xff, 0xd9], refused),
        case("two bytes", vec![0, 1], refused),
    ];
    for size in [1usize, 7, 64, 1000, 100_000] {
        let noise = (0..size).map(|i| ((i + size).wrapping_mul(2_654_435_761) >> 13) as u8);
        cases.push(case(
            format!("{size} bytes of noise"),
            noise.collect(),
            refused,
        ));
        cases.push(case(format!("{size} zeros"), vec![0; size], refused));
    }
    cases
}
