#!/usr/bin/env bash
# Makes a folder of files with the page and a trained network: any web server can serve it.
#
#   web/build.sh RUN [OUT]     OUT is RUN/export/web unless given
#
# OFFRAMP: the program, if it is built; PLAN: a plan to use instead of a new one in f32;
# WASM: the module, if it is built.
set -euo pipefail
run=${1:?which run? web/build.sh RUN [OUT]}
out=${2:-$run/export/web}
root=$(cd "$(dirname "$0")/.." && pwd)

if [[ -z ${WASM:-} ]]; then
    RUSTFLAGS="-C target-feature=+simd128" cargo build --manifest-path "$root/Cargo.toml" --profile web \
        --target wasm32-unknown-unknown -p offramp-web || {
        echo "web/build.sh: rustup target add wasm32-unknown-unknown, or web/debian-toolchain.sh" >&2
        exit 1
    }
    WASM=${CARGO_TARGET_DIR:-$root/target}/wasm32-unknown-unknown/web/offramp_web.wasm
fi
offramp() {
    if [[ -n ${OFFRAMP:-} ]]; then
        "$OFFRAMP" "$@"
    else
        cargo run --manifest-path "$root/Cargo.toml" --release --bin offramp -- "$@"
    fi
}

mkdir -p "$out"
if [[ -n ${PLAN:-} ]]; then
    cp "$PLAN" "$out/network.plan"
else
    offramp export "$run" --format plan --out "$out/network.plan" >/dev/null
fi
cp "$WASM" "$out/offramp.wasm"
files=
for file in model.json policy.json eval.json calibrate.json; do
    rm -f "$out/$file"
    if [[ -f $run/$file ]]; then
        # Run folders are private to their owner, web folders are not.
        install -m 644 "$run/$file" "$out/$file"
        files+=${files:+, }\"$file\"
    fi
done
name=$(basename "$(cd "$run" && pwd)" | tr -d '"\\[:cntrl:]')
printf '{"name": "%s", "files": [%s]}\n' "$name" "$files" >"$out/run.json"

page=$root/crates/deploy/serve/page
cp "$page/page.css" "$page/page.js" "$root/web/wasm.js" "$out/"
csp="default-src 'none'; script-src 'self' 'wasm-unsafe-eval'; style-src 'self'; img-src blob: data:; media-src blob:; connect-src 'self'; base-uri 'none'; form-action 'none'"
about="The network runs in this browser; images do not leave it."
sed -e "s|<meta name=\"viewport\"|<meta http-equiv=\"Content-Security-Policy\" content=\"$csp\"/>\n&|" \
    -e 's|<style>.*</style>|<link rel="stylesheet" href="page.css"/>|' \
    -e 's|<script>.*</script>|<script src="wasm.js"></script>\n<script src="page.js"></script>|' \
    -e 's|Asking the service …|Loading the network …|' \
    -e "s|<footer>.*</footer>|<footer><p>$about</p></footer>|" \
    "$page/page.html" >"$out/index.html"
[[ -f $out/calibrate.json ]] ||
    echo "note: $run has no calibrate.json, the slider will offer its exits; offramp calibrate RUN --json > RUN/calibrate.json" >&2
echo "$out: $(du -ch "$out"/* | tail -1 | cut -f1) in all, offramp.wasm $(stat -c %s "$out/offramp.wasm") bytes ($(gzip -9c "$out/offramp.wasm" | wc -c) gzipped)"
echo "try it: python3 -m http.server --directory $out 8000"
