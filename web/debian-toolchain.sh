#!/usr/bin/env bash
# Builds offramp.wasm where rustup cannot fetch the target wasm32-unknown-unknown: with the Rust of Debian
# forky, in a folder of its own. Needs root and `apt-get install debootstrap`; 1.5 GB.
#
#   web/debian-toolchain.sh FOLDER        then: WASM=FOLDER/offramp_web.wasm web/build.sh RUN
#   web/debian-toolchain.sh FOLDER test   the kernels' tests in Node, with their names (WASI)
set -euo pipefail
folder=${1:?which folder? web/debian-toolchain.sh FOLDER [test]}
root=$(cd "$(dirname "$0")/.." && pwd)
registry=${CARGO_HOME:-$HOME/.cargo}/registry
system=$folder/forky

if [[ ! -x $system/usr/bin/cargo ]]; then
    mkdir -p "$folder"
    # Releases share one script; older debootstraps do not know this one's name.
    debootstrap --variant=minbase --include=ca-certificates forky "$system" \
        http://deb.debian.org/debian /usr/share/debootstrap/scripts/sid
    chroot "$system" env DEBIAN_FRONTEND=noninteractive apt-get install -y --no-install-recommends \
        rustc cargo libstd-rust-dev-wasm32 lld gcc libc6-dev
fi

# The sources and the crates that cargo has fetched are seen inside; nothing is fetched there.
cargo fetch --manifest-path "$root/Cargo.toml"
mkdir -p "$system/src" "$system/root/.cargo/registry" "$system/target"
mounts=()
trap 'for at in "${mounts[@]}"; do umount "$at"; done' EXIT
mount --bind "$root" "$system/src" && mounts+=("$system/src")
mount --bind "$registry" "$system/root/.cargo/registry" && mounts+=("$system/root/.cargo/registry")
inside() {
    chroot "$system" env HOME=/root CARGO_HOME=/root/.cargo CARGO_TARGET_DIR=/target \
        RUSTFLAGS="-C target-feature=+simd128" CARGO_BUILD_JOBS="${CARGO_BUILD_JOBS:-}" \
        cargo "$@" --offline --manifest-path /src/Cargo.toml
}
case ${2:-} in
    test)
        inside test --no-run --release -p offramp-cpu --lib --target wasm32-wasip1
        newest=$(ls -t "$system"/target/wasm32-wasip1/release/deps/offramp_cpu-*.wasm | head -1)
        node --no-warnings "$root/tests/wasm/run.mjs" "$newest"
        ;;
    *)
        inside build --profile web -p offramp-web --target wasm32-unknown-unknown
        cp "$system/target/wasm32-unknown-unknown/web/offramp_web.wasm" "$folder/"
        ls -l "$folder/offramp_web.wasm"
        ;;
esac
