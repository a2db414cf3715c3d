#!/usr/bin/env bash
# The checks in headless Chromium on networks that are trained here in seconds: the report, the service's
# page, and the page with the network in it.
#
#   tests/browser/run.sh PROGRAM [report] [page] [web]     all three unless named
#
# PROGRAM is the built `offramp`; PYTHON a Python with selenium 4. `web` needs the Rust target
# wasm32-unknown-unknown, or the module that WASM names.
set -euo pipefail
program=$(realpath "${1:?which program? tests/browser/run.sh target/release/offramp}")
shift
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3}
parts=" ${*:-report page web} "
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
runs=$work/runs

train() {
    local name=$1
    shift
    "$program" train "$here/tiny.toml" --out "$runs/$name" "$@" >"$work/log" 2>&1 || { cat "$work/log"; exit 1; }
}
# Two seeds of one experiment and a baseline with a single exit.
train tiny-0
train tiny-1 --set seed=1
train single --set 'model.exits=[2]' --set method.name=plain
for name in tiny-0 tiny-1; do
    "$program" calibrate "$runs/$name" --json >"$work/calibrate.json"
    mv "$work/calibrate.json" "$runs/$name/"
    "$program" bench "$runs/$name" --batch 1 --seconds 0.1 >/dev/null
done
"$program" report "$runs"/{tiny-0,tiny-1,single} --measure -o "$work/report.html"

if [[ $parts = *" report "* ]]; then
    "$python" "$here/check_report.py" "$work/report.html" "$runs"/{tiny-0,tiny-1,single}
fi
if [[ $parts = *" page "* ]]; then
    "$python" "$here/check_page.py" "$program" "$runs/tiny-0" "$runs/tiny-0/gallery.json"
fi
if [[ $parts = *" web "* ]]; then
    OFFRAMP=$program "$here/../../web/build.sh" "$runs/tiny-0" "$work/web"
    "$python" "$here/check_web.py" "$program" "$runs/tiny-0" "$work/web" "$runs/tiny-0/gallery.json"
fi
