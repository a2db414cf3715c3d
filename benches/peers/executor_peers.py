"""The compiled executor and ONNX Runtime in turn (A B A B ...), on the same networks and images.

Usage: executor_peers.py [--rounds 3] [--seconds 1] [--networks resnet20 resnet18] [--batches 1 32 128]
Needs `cargo build --release --workspace --example executor` and a Python with numpy and onnxruntime.
Prints one line of JSON a measurement, then the ratios of the medians; first the largest difference
of the answers.
"""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import onnxruntime as ort

from machine import hardware

ROOT = pathlib.Path(__file__).resolve().parents[2]
IMAGES = 128


def session(path, threads):
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return ort.InferenceSession(path, options, providers=["CPUExecutionProvider"])


def measure(net, images, network, batch, threads, seconds):
    x = {net.get_inputs()[0].name: np.ascontiguousarray(images[:batch])}
    end = time.perf_counter() + seconds / 4
    while time.perf_counter() < end:
        net.run(None, x)
    times = []
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        net.run(None, x)
        times.append((time.perf_counter() - start) * 1e3)
    times.sort()
    at = lambda part: times[int((len(times) - 1) * part)]
    return {
        "runtime": "onnxruntime", "network": network, "batch": batch, "threads": threads,
        "runs": len(times), "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99),
        "images_per_second": batch * 1e3 / at(0.5),
    }


def measure_ours(program, network, batch, options, precision):
    arguments = [network, batch, options.threads, options.seconds, precision]
    command = [str(program), "measure", *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return json.loads(done.stdout)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--networks", nargs="+", default=["resnet20", "resnet18"])
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = target / "release/examples/executor"
    if not ours.exists():
        sys.exit(f"{ours} is missing: cargo build --release --workspace --example executor")
    print(f"{hardware()}; ONNX Runtime {ort.__version__}; {options.threads} threads each")
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        for network in options.networks:
            subprocess.run([ours, "prepare", folder, network], check=True)
            read = lambda kind: np.fromfile(f"{folder}/{network}.{kind}", dtype="<f4")
            images = read("input").reshape(IMAGES, 3, 32, 32)
            net = session(f"{folder}/{network}.onnx", options.threads)
            theirs = net.run(None, {net.get_inputs()[0].name: images})[0]
            answers = read("output").reshape(theirs.shape)
            error = np.abs(answers - theirs).max() / np.abs(theirs).max()
            print(f"{network}: answers differ by {error:.1e} of the largest", flush=True)
            for batch in options.batches:
                for _ in range(options.rounds):
                    f32, int8 = (
                        measure_ours(ours, network, batch, options, precision)
                        for precision in ("f32", "int8")
                    )
                    theirs = measure(net, images, network, batch, options.threads, options.seconds)
                    print(*map(json.dumps, (f32, int8, theirs)), sep="\n", flush=True)
                    faster = ratios.setdefault((network, batch), ([], []))
                    faster[0].append(theirs["p50_ms"] / f32["p50_ms"])
                    faster[1].append(f32["p50_ms"] / int8["p50_ms"])
    print("\nmin, median, max of the rounds: f32 / ONNX Runtime's speed; int8 / f32 speed")
    for (network, batch), both in ratios.items():
        texts = []
        for values in map(sorted, both):
            middle = values[len(values) // 2]
            texts.append(f"{values[0]:.2f}, {middle:.2f}, {values[-1]:.2f}")
        print(f"{network}, batch {batch}: {'; '.join(texts)}")


if __name__ == "__main__":
    main()
