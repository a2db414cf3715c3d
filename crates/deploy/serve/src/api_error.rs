//! Errors of requests, with their HTTP status.

use axum::Json;
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use serde::Serialize;
use utoipa::ToSchema;

/// An error that is answered with its HTTP status.
#[derive(Clone, Debug)]
pub(crate) struct ApiError {
    kind: Kind,
    message: String,
}

/// The body of an error.
#[derive(Serialize, ToSchema)]
pub(crate) struct ErrorBody {
    /// The reason in one word, for programs.
    #[schema(example = "too-large")]
    error: &'static str,
    /// The reason in a sentence, for people.
    #[schema(example = "the body has more than 16777216 bytes")]
    message: String,
}

macro_rules! kinds {
    ($($kind:ident $name:literal $status:ident $doc:literal;)*) => {
        /// What can be wrong; one line of the table gives variant, word, status and meaning.
        #[derive(Clone, Copy, Debug, PartialEq, Eq)]
        pub(crate) enum Kind {
            $(#[doc = $doc] $kind,)*
        }

        impl Kind {
            /// The word for programs.
            pub(crate) fn name(self) -> &'static str {
                match self { $(Self::$kind => $name,)* }
            }

            pub(crate) fn status(self) -> StatusCode {
                match self { $(Self::$kind => StatusCode::$status,)* }
            }
        }
    };
}

kinds! {
    BadRequest "bad-request" BAD_REQUEST "The request cannot be read.";
    NoKey "no-key" UNAUTHORIZED "No API key, or none that is known.";
    NotFound "not-found" NOT_FOUND "No such path or model.";
    BadMethod "bad-method" METHOD_NOT_ALLOWED "The path takes other methods.";
    Slow "too-slow" REQUEST_TIMEOUT "The body did not come in time.";
    TooLarge "too-large" PAYLOAD_TOO_LARGE "More bytes, images or pixels than allowed.";
    MediaType "media-type" UNSUPPORTED_MEDIA_TYPE "A body of an unsupported type.";
    BadOption "bad-option" UNPROCESSABLE_ENTITY "An option that the model cannot follow.";
    NoPicture "no-picture" UNPROCESSABLE_ENTITY "No complete image of a supported format.";
    Busy "busy" SERVICE_UNAVAILABLE "No place in the queue; try again.";
    Late "late" SERVICE_UNAVAILABLE "Not answered in time.";
    NotReady "not-ready" SERVICE_UNAVAILABLE "The engine is being started again.";
    Failed "failed" INTERNAL_SERVER_ERROR "The engine failed.";
}

impl ApiError {
    pub(crate) fn new(kind: Kind, message: impl Into<String>) -> Self {
        Self {
            kind,
            message: message.into(),
        }
    }

    pub(crate) fn bad(message: impl Into<String>) -> Self {
        Self::new(Kind::BadRequest, message)
    }

    pub(crate) fn large(message: impl Into<String>) -> Self {
        Self::new(Kind::TooLarge, message)
    }

    pub(crate) fn option(message: impl Into<String>) -> Self {
        Self::new(Kind::BadOption, message)
    }

    /// The same, of one image of several.
    pub(crate) fn of_image(mut self, number: usize, count: usize) -> Self {
        if count > 1 {
            self.message = format!(
                "image {number} of {count}, counted from 0: {}",
                self.message
            );
        }
        self
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        let status = self.kind.status();
        let body = ErrorBody {
            error: self.kind.name(),
            message: self.message,
        };
        let mut response = (status, Json(body)).into_response();
        let headers = response.headers_mut();
        match status {
            StatusCode::SERVICE_UNAVAILABLE => {
                headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
            }
            StatusCode::UNAUTHORIZED => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            // The rest of the body is still on its way; the next request would begin in it.
            StatusCode::REQUEST_TIMEOUT => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response.extensions_mut().insert(self.kind);
        response
    }
}
