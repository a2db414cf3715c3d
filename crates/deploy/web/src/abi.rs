//! The functions that JavaScript calls; what they mean stands in the crate's documentation.

// A name that is exported as it is counts as unsafe, since two of them could collide in one program.
#![allow(unsafe_code)]

use std::cell::RefCell;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{Network, WebError};

/// What lies between the page and the network.
#[derive(Default)]
struct Desk {
    inbox: Vec<u8>,
    outbox: Vec<u8>,
    network: Option<Network>,
}

thread_local! {
    static DESK: RefCell<Desk> = RefCell::default();
}

#[derive(Serialize)]
struct Nothing {}

#[derive(Serialize)]
struct Chosen {
    policy: String,
}

#[derive(Serialize)]
struct Mistake {
    error: String,
}

/// Empties the inbox, answers, and returns the length of the answer.
fn answer<A: Serialize>(
    work: impl FnOnce(&mut Option<Network>, Vec<u8>) -> Result<A, WebError>,
) -> usize {
    DESK.with_borrow_mut(|desk| {
        let inbox = std::mem::take(&mut desk.inbox);
        let json = match work(&mut desk.network, inbox) {
            Ok(answer) => serde_json::to_vec(&answer),
            Err(error) => serde_json::to_vec(&Mistake {
                error: error.to_string(),
            }),
        };
        // Numbers that JSON cannot hold become null, so nothing else can fail.
        desk.outbox = json.unwrap_or_else(|_| br#"{"error":"an answer without words"}"#.to_vec());
        desk.outbox.len()
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
    DESK.with_borrow_mut(|desk| {
        desk.inbox = Vec::new();
        match desk.inbox.try_reserve_exact(bytes) {
            Ok(()) => {
                desk.inbox.resize(bytes, 0);
                desk.inbox.as_mut_ptr()
            }
            Err(_) => std::ptr::null_mut(),
        }
    })
}

/// Where the last answer begins.
#[unsafe(no_mangle)]
extern "C" fn outbox() -> *const u8 {
    DESK.with_borrow(|desk| desk.outbox.as_ptr())
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
        enum Said {
            Exit(crate::ExitAnswer),
            Done(Nothing),
        }
        let said = loaded(network)?.advance()?;
        Ok(said.map_or(Said::Done(Nothing {}), Said::Exit))
    })
}
