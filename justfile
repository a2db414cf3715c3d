# One-line names for cargo commands; `just --list` shows them.

# the main job on the built-in data set: train, evaluate, calibrate
demo:
    cargo demo

# all tests; with OFFRAMP_DATA set, also those on real files
test:
    cargo test --release --workspace

# what CI runs
ci:
    bash .ci/run

# criterion benches
bench *ARGS:
    cargo bench -p offramp-benches {{ARGS}}

# ours and PyTorch's in turn; needs a Python with torch (PYTHON=...)
bench-peers *ARGS:
    cargo build --release -p offramp-kernels --example train_step && ${PYTHON:-python3} benches/peers/bench_peers.py {{ARGS}}

# API documentation of all crates
docs:
    cargo doc --release --no-deps --workspace

# ResNet-18, 64x64, MATE, all of Tiny-ImageNet
train-tinyimagenet *ARGS:
    cargo run --release --bin offramp -- train recipes/tinyimagenet.toml {{ARGS}}

# ResNet-20 with 3 exits, MATE, all of CIFAR-100
train-cifar100 *ARGS:
    cargo run --release --bin offramp -- train recipes/cifar100.toml {{ARGS}}
