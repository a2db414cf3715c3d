//! The module `cpu` of `offramp-kernels` and its tests, nothing else.

// What only tensors call is unused here.
#![allow(dead_code, unused_imports, unreachable_pub)]

#[path = "../src/cpu/mod.rs"]
mod cpu;
