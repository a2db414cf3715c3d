//! The functions that JavaScript calls; the crate's documentation describes them.

#![expect(
    unsafe_code,
    reason = "a name that is exported as it is counts as unsafe, since two of them could collide in one program"
)]

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Network, WebError};

/// The buffers that the page writes and reads, and the network.
#[derive(Default)]
struct Shared {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    network: Option<Network>,
}

thread_local! {
    static SHARED: RefCell<Shared> = RefCell::default();
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Chosen {
    policy: String,
}

#[derive(Serialize)]
struct ErrorAnswer {
    error: String,
}

/// Empties the inbox, answers, and returns the length of the answer.
fn answer<A: Serialize>(
    work: impl FnOnce(&mut Option<Network>, Vec<u8>) -> Result<A, WebError>,
) -> usize {
    SHARED.with_borrow_mut(|shared| {
        let inbox = std::mem::take(&mut shared.inbox);
        let json = match work(&mut shared.network, inbox) {
            Ok(answer) => serde_json::to_vec(&answer),
            Err(error) => serde_json::to_vec(&ErrorAnswer {
                error: error.to_string(),
            }),
        };
        // Numbers that JSON cannot hold become null, so nothing else can fail.
        shared.outbox = json.unwrap_or_else(|_| br#"{"error":"an answer without words"}"#.to_vec());
        shared.outbox.len()
    })
}

fn loaded(network: &mut Option<Network>) -> Result<&mut Network, WebError> {
    network.as_mut().ok_or(WebError::NoNetwork)
}

fn read<T: DeserializeOwned>(what: &'static str, json: &[u8]) -> Result<T, WebError> {
    serde_json::from_slice(json).map_err(|source| WebError::Json { what, source })
}

/// Room for `bytes` bytes; null where there is no memory for them.
#[unsafe(no_mangle)]
extern "C" fn inbox(bytes: usize) -> *mut u8 {
    SHARED.with_borrow_mut(|shared| {
        shared.inbox = Vec::new();
        match shared.inbox.try_reserve_exact(bytes) {
            Ok(()) => {
                shared.inbox.resize(bytes, 0);
                shared.inbox.as_mut_ptr()
            }
            Err(_) => std::ptr::null_mut(),
        }
    })
}

/// Where the last answer begins.
#[unsafe(no_mangle)]
extern "C" fn outbox() -> *const u8 {
    SHARED.with_borrow(|shared| shared.outbox.as_ptr())
}

#[unsafe(no_mangle)]
extern "C" fn load_plan() -> usize {
    answer(|network, plan| {
        *network = None;
        *network = Some(Network::new(&plan)?);
        Ok(Nothing {})
    })
}

#[unsafe(no_mangle)]
extern "C" fn load_run() -> usize {
    answer(|network, json| loaded(network)?.load_run(&read("the files of a run", &json)?))
}

#[unsafe(no_mangle)]
extern "C" fn choose() -> usize {
    answer(|network, json| {
        let policy = loaded(network)?.choose(&read("a choice", &json)?)?;
        Ok(Chosen { policy })
    })
}

#[unsafe(no_mangle)]
extern "C" fn begin(width: u32, height: u32) -> usize {
    answer(|network, rgba| {
        loaded(network)?.begin(&rgba, width, height)?;
        Ok(Nothing {})
    })
}

#[unsafe(no_mangle)]
extern "C" fn next() -> usize {
    answer(|network, _| {
        #[derive(Serialize)]
        #[serde(untagged)]
        enum Next {
            Exit(crate::ExitAnswer),
            Done(Nothing),
        }
        let answer = loaded(network)?.advance()?;
        Ok(answer.map_or(Next::Done(Nothing {}), Next::Exit))
    })
}
