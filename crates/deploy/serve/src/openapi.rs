//! The OpenAPI document, made from the code.

use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa::{Modify, OpenApi};

use crate::{answers, api_error, input, routes};

#[derive(OpenApi)]
#[openapi(
    info(
        title = "offramp",
        description = "Image classifiers that answer as soon as they are sure enough",
    ),
    paths(
        routes::predict,
        routes::model,
        routes::models,
        routes::healthz,
        routes::readyz,
        routes::metrics,
    ),
    components(schemas(
        answers::PredictAnswer,
        answers::ModelAnswer,
        answers::ModelsAnswer,
        answers::StateAnswer,
        input::JsonInput,
        input::FormInput,
        api_error::ErrorBody,
    )),
    modifiers(&KeyScheme),
)]
struct Document;

struct KeyScheme;

impl Modify for KeyScheme {
    fn modify(&self, document: &mut utoipa::openapi::OpenApi) {
        let scheme = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
        let components = document.components.get_or_insert_default();
        components.add_security_scheme("key", scheme);
    }
}

/// The OpenAPI 3.1 document of the service, as JSON.
pub fn openapi() -> String {
    // What is made of numbers and strings cannot fail.
    Document::openapi().to_pretty_json().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_path_is_described() {
        let document: serde_json::Value = serde_json::from_str(&super::openapi()).unwrap();
        let paths = document["paths"].as_object().unwrap();
        for path in [
            "/v1/predict",
            "/v1/model",
            "/v1/models",
            "/healthz",
            "/readyz",
            "/metrics",
        ] {
            assert!(paths.contains_key(path), "{path}");
        }
        let body = &paths["/v1/predict"]["post"]["requestBody"]["content"];
        for kind in ["application/json", "multipart/form-data", "image/png"] {
            assert!(body.get(kind).is_some(), "{kind}");
        }
    }
}
