#!/usr/bin/env bash
# Builds the program gpu-check for another machine: small and stripped, with the suite and the bench in it.
# Usage: gpu-check.sh FEATURES, where FEATURES is nvrtc (CUDA, kernels compiled by the driver's NVRTC) or vulkan.
#
# cubecl's LLVM is downloaded while building unless its build script believes it is on docs.rs; nothing of
# it is called with NVRTC, so its symbols may stay open until they are asked for, which is never. Identical
# functions become one and relocations are packed, which needs lld (Rust's own linker on x86-64 Linux), and
# glibc 2.36 where the program runs.
set -euo pipefail
cd "$(dirname "$0")/../../.."
features=$1
target=${CARGO_TARGET_DIR:-target}/gpu
if [[ $features == *nvrtc* ]]; then
    export DOCS_RS=1
    export RUSTFLAGS="-C relro-level=off -C link-arg=-Wl,--unresolved-symbols=ignore-all -C link-arg=-Wl,-z,lazy -C link-arg=-Wl,--icf=all -C link-arg=-Wl,-z,pack-relative-relocs"
fi
cargo build --profile carried -p offramp-conformance --bin gpu-check --features "$features" --target-dir "$target"
cp "$target/carried/gpu-check" "$target/gpu-check"
ls -l "$target/gpu-check"
