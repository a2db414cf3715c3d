# Short names for what is run often; `just --list` shows them.

# the main job on the built-in data set: train, evaluate, calibrate
demo:
    cargo demo

# all tests; with OFFRAMP_DATA set, also those on real files
test:
    cargo test --release --workspace

# the slow group: every recipe on the low-data CIFAR-100 for two epochs (OFFRAMP_DATA)
test-slow:
    cargo test --release --workspace --test every_recipe --test narrow -- --ignored --nocapture

# all tests with the kernels' portable code (or avx2), as on an older machine
test-portable ISA="portable":
    OFFRAMP_KERNELS={{ISA}} cargo test --release --workspace

# all tests on burn's ndarray backend; builds burn once more
test-ndarray:
    OFFRAMP_DEVICE=ndarray cargo test --release --workspace --features offramp-cli/ndarray

# one suite on the processor, burn's ndarray and wgpu (software Vulkan will do: Debian's mesa-vulkan-drivers); builds burn once more
test-devices DEVICES="cpu,ndarray,wgpu" *ARGS:
    OFFRAMP_DEVICES={{DEVICES}} cargo test --release -p offramp-conformance --features ndarray,wgpu --test devices -- {{ARGS}}

# one stripped program for a machine with a GPU: the suite, and images/s beside PyTorch (FEATURES: nvrtc, vulkan)
gpu-check FEATURES="nvrtc":
    bash crates/learn/conformance/gpu-check.sh {{FEATURES}}

# the kernels' tests under AddressSanitizer (ISA: avx512, avx2, portable)
asan ISA="avx512":
    RUSTC_BOOTSTRAP=1 RUSTFLAGS="-Zsanitizer=address -Cdebug-assertions --cfg exact_buffers" CARGO_PROFILE_RELEASE_OPT_LEVEL=1 CARGO_PROFILE_RELEASE_DEBUG=line-tables-only OFFRAMP_KERNELS={{ISA}} cargo test --release -p offramp-cpu --lib --target x86_64-unknown-linux-gnu --target-dir target/asan

# the kernels' NEON tests in an emulator; needs the Rust target, gcc-aarch64-linux-gnu and qemu-user-static
test-neon:
    CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER=aarch64-linux-gnu-gcc CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_RUNNER="qemu-aarch64-static -L /usr/aarch64-linux-gnu" cargo test --release -p offramp-cpu --lib --target aarch64-unknown-linux-gnu --target-dir target/neon

# the kernels' WebAssembly tests in Node; needs the Rust target wasm32-unknown-unknown, or TARGET=wasm32-wasip1
test-wasm TARGET="wasm32-unknown-unknown":
    CARGO_TARGET_WASM32_UNKNOWN_UNKNOWN_RUNNER="node {{justfile_directory()}}/tests/wasm/run.mjs" CARGO_TARGET_WASM32_WASIP1_RUNNER="node --no-warnings {{justfile_directory()}}/tests/wasm/run.mjs" RUSTFLAGS="-C target-feature=+simd128" cargo test --release -p offramp-cpu --lib --target {{TARGET}}

# a folder with the page and a network that runs in the browser; needs the Rust target wasm32-unknown-unknown
web RUN="runs/demo" *OUT:
    web/build.sh {{RUN}} {{OUT}}

# that folder of a run with calibrate.json in Chromium, beside `offramp serve`; IMAGES: a folder of PNG files, gallery.json, or test.bin of CIFAR-100
test-web RUN IMAGES PYTHON="python3": (web RUN)
    cargo build --release --workspace --bin offramp
    {{PYTHON}} tests/browser/check_web.py ${CARGO_TARGET_DIR:-target}/release/offramp {{RUN}} {{RUN}}/export/web {{IMAGES}}

# damaged weight files for the given number of minutes (TARGET: weights, pickle); needs nightly Rust and cargo-fuzz
fuzz TARGET="weights" MINUTES="10":
    mkdir -p fuzz/corpus/{{TARGET}}
    {{ if TARGET == "weights" { "cp crates/base/weights/tests/fixtures/*.pt crates/base/weights/tests/fixtures/*.th fuzz/corpus/weights/" } else { "for f in crates/base/weights/tests/fixtures/*.pt; do unzip -p $f '*data.pkl' > fuzz/corpus/pickle/$(basename $f) 2>/dev/null || true; done" } }}
    cd fuzz && cargo +nightly fuzz run {{TARGET}} -- -max_total_time=$(({{MINUTES}} * 60)) -rss_limit_mb=2048 -malloc_limit_mb=512 -max_len=65536 -timeout=10

# exports in ONNX Runtime and PyTorch; needs a Python with tests/python/requirements.txt
test-export PYTHON="python3":
    OFFRAMP_PYTHON={{PYTHON}} cargo test --release --workspace --test python --test export -- --nocapture

# the Python package beside the command line; needs a Python with numpy and pillow (PYTHON=...)
test-python:
    cargo build --release --workspace --bin offramp
    ${PYTHON:-python3} -m pip install ./crates/deploy/python
    ${PYTHON:-python3} tests/python/check_package.py ${CARGO_TARGET_DIR:-target}/release/offramp

# what CI runs
ci:
    bash .ci/run

# headless Chromium on networks trained for it: PARTS of report, page, web, all unless named; needs chromium, chromium-driver, a Python with selenium (PYTHON=...), for web the Rust target wasm32-unknown-unknown
test-browser *PARTS:
    cargo build --release --workspace --bin offramp
    tests/browser/run.sh ${CARGO_TARGET_DIR:-target}/release/offramp {{PARTS}}

# schemathesis against the service's OpenAPI document; needs the program `schemathesis` (PyPI)
test-openapi SCHEMATHESIS="schemathesis" PORT="8092":
    cargo build --release -p offramp-serve --example toy
    ${CARGO_TARGET_DIR:-target}/release/examples/toy 127.0.0.1:{{PORT}} & trap "kill $!" EXIT; sleep 1; {{SCHEMATHESIS}} --config-file tests/openapi/schemathesis.toml run http://127.0.0.1:{{PORT}}/openapi.json --checks all --max-examples 100 --seed 1 --no-color

# criterion benches
bench *ARGS:
    cargo bench -p offramp-benches {{ARGS}}

# ours and PyTorch's in turn; needs a Python with torch (PYTHON=...)
bench-peers *ARGS:
    cargo build --release -p offramp-kernels --example train_step && ${PYTHON:-python3} benches/peers/bench_peers.py {{ARGS}}

# the book into docs/book, with every link and code block checked; needs `cargo install mdbook --version '^0.5'` and Python 3.11
book PROGRAM="":
    mdbook build docs
    python3 tests/book/check_links.py
    python3 tests/book/check_code.py {{PROGRAM}}

# licences, versions and sources of all dependencies (deny.toml); needs `cargo install cargo-deny`
deny *CHECKS="licenses bans sources":
    cargo deny --locked check {{CHECKS}}

# every crate as the registry would get it, into target/package
package:
    cargo package --workspace --exclude offramp-benches --exclude offramp-conformance --exclude offramp-web --no-verify

# API documentation of all crates
docs:
    cargo doc --release --no-deps --workspace

# ResNet-18, 64x64, four exits, MATE-R, all of Tiny-ImageNet
train-tinyimagenet *ARGS:
    cargo run --release --bin offramp -- train recipes/tinyimagenet.toml {{ARGS}}

# ResNet-18 with four exits, MATE-R, all of CIFAR-100
train-cifar100 *ARGS:
    cargo run --release --bin offramp -- train recipes/cifar100.toml {{ARGS}}
