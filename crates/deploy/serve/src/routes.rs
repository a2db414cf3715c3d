//! The routes.

use axum::Json;
use axum::Router;
use axum::extract::{MatchedPath, Query, Request, State as Shared};
use axum::http::{HeaderValue, StatusCode, header};
use axum::middleware::{self, Next};
use axum::response::{Html, IntoResponse, Response};
use axum::routing::{get, post};
use serde::Deserialize;
use tower_http::catch_panic::CatchPanicLayer;

use crate::answers::{ModelAnswer, ModelsAnswer, PredictAnswer, StateAnswer};
use crate::api_error::{ApiError, ErrorBody, Kind};
use crate::body::linger;
use crate::input::{FormInput, JsonInput};
use crate::options::Options;
use crate::page;
use crate::state::State;

/// All paths, with keys where keys are asked for.
pub(crate) fn router(state: State) -> Router {
    let guarded = Router::new()
        .route("/v1/predict", post(predict))
        .route("/v1/model", get(model))
        .route("/v1/models", get(models))
        .route("/metrics", get(metrics))
        .route_layer(middleware::from_fn_with_state(state.clone(), authorise));
    Router::new()
        .merge(guarded)
        .route("/", get(page))
        .route("/healthz", get(healthz))
        .route("/readyz", get(readyz))
        .route("/openapi.json", get(document))
        .fallback(nowhere)
        .method_not_allowed_fallback(bad_method)
        .layer(CatchPanicLayer::custom(panicked))
        .layer(middleware::from_fn_with_state(state.clone(), account))
        .with_state(state)
}

/// Classify images
///
/// One image as the body, several as a form, or base64 in JSON. Options may stand in the query. Each
/// image is answered by the first exit at which its policy stops.
#[utoipa::path(
    post,
    path = "/v1/predict",
    params(Options),
    request_body(
        description = "Images: png, jpeg, webp, bmp or gif (its first frame)",
        content(
            (JsonInput = "application/json"),
            (FormInput = "multipart/form-data"),
            (Vec<u8> = "image/png"),
            (Vec<u8> = "application/octet-stream"),
        ),
    ),
    responses(
        (status = 200, description = "An answer for each image", body = PredictAnswer),
        (status = 400, description = "The request does not say what it wants", body = ErrorBody),
        (status = 401, description = "A key is needed", body = ErrorBody),
        (status = 404, description = "No such model", body = ErrorBody),
        (status = 408, description = "The body came too slowly", body = ErrorBody),
        (status = 413, description = "Too many bytes, images or pixels", body = ErrorBody),
        (status = 415, description = "A body of a type that is not read", body = ErrorBody),
        (status = 422, description = "No image, or an option the model cannot follow", body = ErrorBody),
        (status = 500, description = "The engine failed", body = ErrorBody),
        (status = 503, description = "Busy or not ready; come again after the seconds of Retry-After", body = ErrorBody),
    ),
    security((), ("key" = [])),
)]
pub(crate) async fn predict(
    Shared(state): Shared<State>,
    request: Request,
) -> Result<Json<PredictAnswer>, ApiError> {
    crate::predict::predict(state, request).await
}

/// The query of `/v1/model`.
#[derive(Deserialize, utoipa::IntoParams)]
#[serde(deny_unknown_fields)]
#[into_params(parameter_in = Query)]
pub(crate) struct Which {
    /// Name of the model; the first of the service without.
    model: Option<String>,
}

/// What a model is
#[utoipa::path(
    get,
    path = "/v1/model",
    params(Which),
    responses(
        (status = 200, description = "Classes, exits, policy, curve", body = ModelAnswer),
        (status = 400, description = "The query cannot be read", body = ErrorBody),
        (status = 401, description = "A key is needed", body = ErrorBody),
        (status = 404, description = "No such model", body = ErrorBody),
    ),
    security((), ("key" = [])),
)]
pub(crate) async fn model(
    Shared(state): Shared<State>,
    request: Request,
) -> Result<Json<ModelAnswer>, ApiError> {
    let Query(Which { model }) = Query::try_from_uri(request.uri())
        .map_err(|error| ApiError::bad(format!("the query cannot be read: {error}")))?;
    let live = state.models.get(model.as_deref()).ok_or_else(|| {
        let message = format!("there is no model {:?}", model.unwrap_or_default());
        ApiError::new(Kind::NotFound, message)
    })?;
    Ok(Json(ModelAnswer::new(&live)))
}

/// All models
#[utoipa::path(
    get,
    path = "/v1/models",
    responses(
        (status = 200, description = "The models, the one for requests that name none first", body = ModelsAnswer),
        (status = 401, description = "A key is needed", body = ErrorBody),
    ),
    security((), ("key" = [])),
)]
pub(crate) async fn models(Shared(state): Shared<State>) -> Json<ModelsAnswer> {
    let models = state.models.all().map(|live| ModelAnswer::new(&live));
    Json(ModelsAnswer {
        models: models.collect(),
    })
}

/// Whether the process lives
#[utoipa::path(
    get,
    path = "/healthz",
    responses((status = 200, description = "It does", body = StateAnswer)),
)]
pub(crate) async fn healthz() -> Json<StateAnswer> {
    Json(StateAnswer { status: "ok" })
}

/// Whether it takes requests
#[utoipa::path(
    get,
    path = "/readyz",
    responses(
        (status = 200, description = "It does", body = StateAnswer),
        (status = 503, description = "It is stopping, or an engine is being started again", body = StateAnswer),
    ),
)]
pub(crate) async fn readyz(Shared(state): Shared<State>) -> (StatusCode, Json<StateAnswer>) {
    if state.ready() {
        (StatusCode::OK, Json(StateAnswer { status: "ready" }))
    } else {
        let status = "not ready";
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(StateAnswer { status }),
        )
    }
}

/// Numbers for Prometheus
#[utoipa::path(
    get,
    path = "/metrics",
    responses(
        (status = 200, description = "OpenMetrics text", body = String,
         content_type = "application/openmetrics-text"),
        (status = 401, description = "A key is needed", body = ErrorBody),
    ),
    security((), ("key" = [])),
)]
pub(crate) async fn metrics(Shared(state): Shared<State>) -> Result<Response, ApiError> {
    state.models.count_queues();
    let text = state
        .metrics
        .text()
        .map_err(|error| ApiError::new(Kind::Failed, error.to_string()))?;
    let kind = "application/openmetrics-text; version=1.0.0; charset=utf-8";
    Ok(([(header::CONTENT_TYPE, kind)], text).into_response())
}

async fn document() -> Response {
    (
        [(header::CONTENT_TYPE, "application/json")],
        crate::openapi(),
    )
        .into_response()
}

async fn page() -> Response {
    let headers = [(header::CONTENT_SECURITY_POLICY, page::POLICY.as_str())];
    (headers, Html(page::PAGE.as_str())).into_response()
}

async fn nowhere(request: Request) -> ApiError {
    let message = format!(
        "there is nothing at {}; see /openapi.json",
        request.uri().path()
    );
    linger(request.into_body()).await;
    ApiError::new(Kind::NotFound, message)
}

async fn bad_method(request: Request) -> ApiError {
    let message = format!(
        "{} does not know {}",
        request.uri().path(),
        request.method()
    );
    linger(request.into_body()).await;
    ApiError::new(Kind::BadMethod, message)
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    tracing::error!("a request panicked");
    ApiError::new(Kind::Failed, "an error of the service").into_response()
}

/// Lets requests with a known key pass.
async fn authorise(Shared(state): Shared<State>, request: Request, next: Next) -> Response {
    let known = |keys: &crate::Keys| keys.admit(request.headers());
    if state.keys.as_ref().is_none_or(known) {
        return next.run(request).await;
    }
    linger(request.into_body()).await;
    let message = "show a key: Authorization: Bearer KEY, or X-Api-Key: KEY";
    ApiError::new(Kind::NoKey, message).into_response()
}

/// Counts, and sets the headers of every answer.
async fn account(
    Shared(state): Shared<State>,
    path: Option<MatchedPath>,
    request: Request,
    next: Next,
) -> Response {
    let mut response = next.run(request).await;
    let route = path.as_ref().map_or("other", MatchedPath::as_str);
    state.metrics.request(route, response.status().as_u16());
    if let Some(kind) = response.extensions().get::<Kind>() {
        state.metrics.refused(kind.name());
    }
    let headers = response.headers_mut();
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
