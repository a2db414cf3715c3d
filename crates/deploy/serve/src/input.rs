//! Parses images and options from a body.

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD};
use multer::Multipart;
use serde::Deserialize;
use serde_json::Value;
use utoipa::ToSchema;

use crate::api_error::{ApiError, Kind};
use crate::options::Options;

/// Encoded images and what is wanted of them.
pub(crate) struct Input {
    pub(crate) images: Vec<Bytes>,
    pub(crate) options: Options,
}

/// Images as base64, with options beside them: `image` for one or `images` for several.
#[derive(Default, Deserialize, ToSchema)]
#[serde(default, deny_unknown_fields)]
pub(crate) struct JsonInput {
    /// One image, base64; a `data:` URL is taken too.
    #[schema(content_encoding = "base64", min_length = 1, example = example)]
    image: Option<String>,
    /// Several images.
    #[schema(min_items = 1)]
    images: Option<Vec<String>>,
    model: Option<String>,
    #[schema(minimum = 1)]
    top_k: Option<usize>,
    #[schema(exclusive_minimum = 0)]
    max_ms: Option<f64>,
    #[schema(exclusive_minimum = 0)]
    max_macs: Option<f64>,
    #[schema(minimum = 0)]
    exit: Option<usize>,
    #[schema(value_type = Option<Object>)]
    policy: Option<Value>,
    trace: Option<bool>,
}

/// One red pixel.
fn example() -> &'static str {
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
}

/// A form of images, with options as further fields.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a form for the OpenAPI document")]
pub(crate) struct FormInput {
    /// An image; the field may come several times.
    #[schema(value_type = Vec<String>, format = Binary)]
    image: Vec<u8>,
}

/// Reads a body by its content type; `limit` is the number of images allowed.
pub(crate) async fn read(
    headers: &HeaderMap,
    query: &str,
    body: Bytes,
    limit: usize,
) -> Result<Input, ApiError> {
    let options = Options::of_query(query)?;
    let coding = headers.get(header::CONTENT_ENCODING);
    if coding.is_some_and(|coding| coding != "identity") {
        let message = "the body is compressed; send it as it is";
        return Err(ApiError::new(Kind::MediaType, message));
    }
    let text = headers
        .get(header::CONTENT_TYPE)
        .map(|value| value.to_str());
    let text = match text {
        None => "application/octet-stream",
        Some(Ok(text)) => text,
        Some(Err(_)) => return Err(ApiError::bad("the content type is no text")),
    };
    let essence = text
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    let input = match essence.as_str() {
        "application/json" => json(&body, options)?,
        "multipart/form-data" => form(text, body, options, limit).await?,
        "application/octet-stream" => Input {
            images: vec![body],
            options,
        },
        image if image.starts_with("image/") => Input {
            images: vec![body],
            options,
        },
        other => {
            return Err(ApiError::new(
                Kind::MediaType,
                format!(
                    "{other:?} is not read; send image/*, application/octet-stream, \
                     multipart/form-data or application/json"
                ),
            ));
        }
    };
    match input.images.len() {
        0 => Err(ApiError::bad("there is no image in the request")),
        count if count > limit => Err(too_many(limit)),
        _ => Ok(input),
    }
}

fn too_many(limit: usize) -> ApiError {
    ApiError::large(format!("more than {limit} images in one request"))
}

fn json(body: &[u8], options: Options) -> Result<Input, ApiError> {
    // What reads structures takes lists too.
    if body.trim_ascii_start().first() != Some(&b'{') {
        return Err(ApiError::bad("the JSON is no object"));
    }
    let read: JsonInput = serde_json::from_slice(body)
        .map_err(|error| ApiError::bad(format!("the JSON cannot be used: {error}")))?;
    let images = match (read.image, read.images) {
        (Some(one), None) => vec![one],
        (None, Some(many)) => many,
        (None, None) => return Err(ApiError::bad("the JSON has neither image nor images")),
        (Some(_), Some(_)) => return Err(ApiError::bad("the JSON has both image and images")),
    };
    let count = images.len();
    let decoded = images.iter().enumerate().map(|(number, text)| {
        let wrong = |error| ApiError::bad(format!("not base64: {error}")).of_image(number, count);
        let text = match text
            .strip_prefix("data:")
            .and_then(|url| url.split_once(";base64,"))
        {
            Some((_, text)) => text,
            None => text.as_str(),
        };
        let engine = if text.ends_with('=') {
            STANDARD
        } else {
            STANDARD_NO_PAD
        };
        engine.decode(text).map(Bytes::from).map_err(wrong)
    });
    let own = Options {
        model: read.model,
        top_k: read.top_k,
        max_ms: read.max_ms,
        max_macs: read.max_macs,
        exit: read.exit,
        policy: read.policy,
        trace: read.trace,
    };
    Ok(Input {
        images: decoded.collect::<Result<_, _>>()?,
        options: options.overridden(own),
    })
}

/// Every part with a file name or of a type `image/*` or `application/octet-stream`, or called `image` or `images`, is an image; every
/// other one is an option.
async fn form(
    content_type: &str,
    body: Bytes,
    options: Options,
    limit: usize,
) -> Result<Input, ApiError> {
    let broken = |error: multer::Error| ApiError::bad(format!("the form cannot be read: {error}"));
    let boundary = multer::parse_boundary(content_type).map_err(broken)?;
    let mut form = Multipart::new(Body::from(body).into_data_stream(), boundary);
    let (mut images, mut own) = (Vec::new(), Options::default());
    while let Some(field) = form.next_field().await.map_err(broken)? {
        let name = field.name().unwrap_or_default().to_owned();
        let binary = field.content_type().is_some_and(|kind| {
            kind.type_() == "image" || kind.essence_str() == "application/octet-stream"
        });
        let is_image =
            field.file_name().is_some() || binary || matches!(&*name, "image" | "images");
        let bytes = field.bytes().await.map_err(broken)?;
        if is_image {
            if images.len() == limit {
                return Err(too_many(limit));
            }
            images.push(bytes);
        } else {
            let text = std::str::from_utf8(&bytes)
                .map_err(|_| ApiError::bad(format!("field {name:?} is no text")))?;
            own.set(&name, text)?;
        }
    }
    Ok(Input {
        images,
        options: options.overridden(own),
    })
}
