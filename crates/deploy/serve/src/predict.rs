//! `POST /v1/predict`.

use std::sync::Arc;
use std::time::Instant;

use axum::Json;
use axum::body::Bytes;
use axum::extract::Request;
use tokio::sync::{OwnedSemaphorePermit, oneshot};
use tokio::time::{Instant as Deadline, timeout_at};

use crate::answers::{ExitAnswer, PredictAnswer, Prediction};
use crate::api_error::{ApiError, Kind};
use crate::decode;
use crate::input;
use crate::models::Live;
use crate::options::Choice;
use crate::state::State;
use crate::worker::{Done, Job, StopRule};

/// Reads, queues, waits, answers.
pub(crate) async fn predict(
    state: State,
    request: Request,
) -> Result<Json<PredictAnswer>, ApiError> {
    let (parts, body) = request.into_parts();
    let held = state
        .bodies
        .read(&parts.headers, body, &state.limits)
        .await?;
    let deadline = Deadline::now() + state.limits.answer_time;
    let query = parts.uri.query().unwrap_or_default();
    let images = state.limits.images;
    let input = input::read(&parts.headers, query, held.bytes.clone(), images).await?;
    let name = input.options.model.as_deref();
    let live = state.models.get(name).ok_or_else(|| {
        let message = format!("there is no model {:?}", name.unwrap_or_default());
        ApiError::new(Kind::NotFound, message)
    })?;
    let choice = input.options.choice(&live.card)?;
    if !live.worker.alive() {
        return Err(ApiError::new(
            Kind::NotReady,
            "the engine is being started again",
        ));
    }
    let stops = stops(&choice, &live);
    let places = reserve(&live, input.images.len() * stops.len(), state.limits.queue)?;
    let late = |_| ApiError::new(Kind::Late, "not answered in time");
    let work = async {
        let pixels = decode(&state, &live, input.images).await?;
        // The images are decoded: what is left of the request is small.
        drop(held);
        answer(&live, &choice, &stops, places, pixels).await
    };
    timeout_at(deadline, work).await.map_err(late)?.map(Json)
}

/// The rules for each image: that of the request, then every exit for a trace.
fn stops(choice: &Choice, live: &Live) -> Vec<StopRule> {
    let trace = choice
        .trace
        .then(|| live.card.at_exit.iter().cloned().map(StopRule::Rule));
    std::iter::once(choice.stop.clone())
        .chain(trace.into_iter().flatten())
        .collect()
}

/// Places in the queue for all of a request, or none.
fn reserve(live: &Live, places: usize, limit: usize) -> Result<OwnedSemaphorePermit, ApiError> {
    if places > limit {
        return Err(ApiError::large(format!(
            "the request needs {places} places in the queue, which has {limit}"
        )));
    }
    let count = u32::try_from(places).unwrap_or(u32::MAX);
    Arc::clone(&live.places)
        .try_acquire_many_owned(count)
        .map_err(|_| ApiError::new(Kind::Busy, format!("the queue of {limit} images is full")))
}

/// Decodes on threads that may block, few at a time.
async fn decode(
    state: &State,
    live: &Arc<Live>,
    images: Vec<Bytes>,
) -> Result<Vec<Vec<f32>>, ApiError> {
    let count = images.len();
    let mut inputs = Vec::with_capacity(count);
    for (number, bytes) in images.into_iter().enumerate() {
        let turn = Arc::clone(&state.decoders).acquire_owned().await;
        let (live, limit) = (Arc::clone(live), state.limits.pixels);
        let decoded = tokio::task::spawn_blocking(move || {
            let _turn = turn;
            decode::input(&bytes, &live.card.input, limit)
        });
        // A decoder that panics was given something that is no image.
        let decoded = decoded.await.unwrap_or_else(|_| {
            Err(ApiError::new(
                Kind::NoPicture,
                "the image cannot be decoded",
            ))
        });
        inputs.push(decoded.map_err(|error| error.of_image(number, count))?);
    }
    Ok(inputs)
}

async fn answer(
    live: &Live,
    choice: &Choice,
    stops: &[StopRule],
    mut places: OwnedSemaphorePermit,
    images: Vec<Vec<f32>>,
) -> Result<PredictAnswer, ApiError> {
    let accepted = Instant::now();
    let mut replies = Vec::with_capacity(images.len() * stops.len());
    for pixels in images {
        for stop in stops {
            let (reply, answer) = oneshot::channel();
            let Some(place) = places.split(1) else {
                return Err(ApiError::new(
                    Kind::Failed,
                    "a place in the queue is missing",
                ));
            };
            let job = Job {
                pixels: pixels.clone(),
                stop: stop.clone(),
                accepted,
                reply,
                place,
            };
            live.worker.submit(job).map_err(failed)?;
            replies.push(answer);
        }
    }
    let mut done = Vec::with_capacity(replies.len());
    for reply in replies {
        let gone = |_| ApiError::new(Kind::Failed, "the engine stopped on the way");
        done.push(reply.await.map_err(gone)?.map_err(failed)?);
    }
    let predictions = done
        .chunks(stops.len())
        .map(|answers| prediction(live, choice, answers));
    Ok(PredictAnswer {
        model: live.card.name.clone(),
        policy: choice.origin.clone(),
        predictions: predictions.collect(),
    })
}

/// `said[0]` answers the wish, the others are the trace.
fn prediction(live: &Live, wish: &Choice, said: &[Done]) -> Prediction {
    let mut prediction = Prediction::new(&said[0], &live.card.classes, wish.top_k);
    if wish.trace {
        let exits = said[1..]
            .iter()
            .map(|done| ExitAnswer::new(done, &live.card));
        prediction.trace = Some(exits.collect());
    }
    prediction
}

fn failed(error: crate::EngineError) -> ApiError {
    ApiError::new(Kind::Failed, error.to_string())
}
