//! Reading a request's body: not too much, not too slowly, not too many at a time.

use std::sync::Arc;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderMap, header};
use http_body_util::BodyExt;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::timeout;

use crate::Limits;
use crate::api_error::{ApiError, Kind};

/// What is read and thrown away of a refused body, so that its sender gets to read the answer.
const LINGER_BYTES: usize = 64 << 20;
const LINGER_TIME: Duration = Duration::from_secs(1);

/// Bytes that a permit of the budget stands for.
const UNIT: usize = 1 << 10;

/// Memory for bodies, shared by all requests.
#[derive(Clone)]
pub(crate) struct Budget(Arc<Semaphore>);

/// A body, and the share of the budget it holds.
pub(crate) struct Held {
    pub(crate) bytes: Bytes,
    _share: Option<OwnedSemaphorePermit>,
}

impl Budget {
    pub(crate) fn new(bytes: usize) -> Self {
        let units = bytes.div_ceil(UNIT).min(Semaphore::MAX_PERMITS);
        Self(Arc::new(Semaphore::new(units)))
    }

    /// Reads a body within the limits.
    pub(crate) async fn read(
        &self,
        headers: &HeaderMap,
        mut body: Body,
        limits: &Limits,
    ) -> Result<Held, ApiError> {
        let read = timeout(
            limits.body_time,
            self.collect(headers, &mut body, limits.body),
        )
        .await;
        match read {
            Ok(Ok(held)) => Ok(held),
            Ok(Err(error)) => {
                linger(body).await;
                Err(error)
            }
            Err(_) => Err(ApiError::new(
                Kind::Slow,
                format!("the body took longer than {:?}", limits.body_time),
            )),
        }
    }

    async fn collect(
        &self,
        headers: &HeaderMap,
        body: &mut Body,
        limit: usize,
    ) -> Result<Held, ApiError> {
        let large = || ApiError::large(format!("the body has more than {limit} bytes"));
        let length = headers.get(header::CONTENT_LENGTH);
        let length = length.and_then(|length| length.to_str().ok()?.parse::<usize>().ok());
        if length.is_some_and(|length| length > limit) {
            return Err(large());
        }
        let mut bytes: Vec<u8> = Vec::new();
        let mut share: Option<OwnedSemaphorePermit> = None;
        while let Some(frame) = body.frame().await {
            let frame =
                frame.map_err(|error| ApiError::bad(format!("the body broke off: {error}")))?;
            let Ok(data) = frame.into_data() else {
                continue;
            };
            if bytes.len() + data.len() > limit {
                return Err(large());
            }
            let held = share.as_ref().map_or(0, OwnedSemaphorePermit::num_permits);
            let needed = (bytes.len() + data.len()).div_ceil(UNIT);
            if needed > held {
                let more = self.take(needed - held)?;
                match &mut share {
                    Some(share) => share.merge(more),
                    None => share = Some(more),
                }
            }
            bytes.extend_from_slice(&data);
        }
        Ok(Held {
            bytes: bytes.into(),
            _share: share,
        })
    }

    fn take(&self, units: usize) -> Result<OwnedSemaphorePermit, ApiError> {
        let units = u32::try_from(units).unwrap_or(u32::MAX);
        Arc::clone(&self.0)
            .try_acquire_many_owned(units)
            .map_err(|_| ApiError::new(Kind::Busy, "too many large bodies at a time"))
    }
}

/// Reads on for a while and forgets.
///
/// Closing a connection while its client still writes resets it, and the client never sees why.
pub(crate) async fn linger(mut body: Body) {
    let drain = async {
        let mut left = LINGER_BYTES;
        while let Some(Ok(frame)) = body.frame().await {
            let size = frame.data_ref().map_or(0, Bytes::len);
            match left.checked_sub(size) {
                Some(rest) => left = rest,
                None => return,
            }
        }
    };
    // Whoever is still writing then has to live with a reset.
    let _ = timeout(LINGER_TIME, drain).await;
}
