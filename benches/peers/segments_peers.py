"""A network with exits and a policy: `offramp bench` and a chain of ONNX Runtime sessions in turn.

Usage: segments_peers.py RUN [--data DIR] [--rounds 3] [--seconds 1] [--batches 1 32 128] [--threads 2]
RUN has a policy.json (`offramp calibrate`) of a CIFAR-100 network. Needs `cargo build --release` and a Python with numpy and
onnxruntime. Both classify 2,048 images of the same test set, not the same ones; the chain is tests/python/run_staged.py's, with threads that
spin and without, whichever is faster. Prints every measurement and the ratios of images/s.
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
sys.path.insert(0, str(ROOT / "tests/python"))
from run_staged import Chain  # noqa: E402


def chain(folder, threads, spin):
    made = Chain(folder)
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", str(int(spin)))
    made.sessions = [
        ort.InferenceSession(os.path.join(folder, segment["file"]), options, providers=["CPUExecutionProvider"])
        for segment in made.segments
    ]
    return made


def everything(made, image):
    """All exits, nobody stops."""
    values = {"image": image}
    for k in range(len(made.sessions)):
        values = made.segment(k, values)


def measure(made, images, batch, seconds):
    """Images/s with the policy and with all exits, p50 and p99 of a batch with the policy, mean exit."""
    times, taken, full, at = [], [], [], 0
    for k in range(3):
        made.run(images[:batch])
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        x = images[at : at + batch]
        at = (at + batch) % (len(images) - batch + 1)
        start = time.perf_counter()
        exits, _, _ = made.run(x)
        times.append((time.perf_counter() - start) * 1e3)
        taken.append(exits)
    end = time.perf_counter() + seconds
    while time.perf_counter() < end:
        start = time.perf_counter()
        everything(made, images[:batch])
        full.append((time.perf_counter() - start) * 1e3)
    rate = lambda ms: batch * 1e3 * len(ms) / sum(ms)
    return {
        "images_per_second": rate(times), "full_images_per_second": rate(full),
        "p50_ms": float(np.median(times)), "p99_ms": float(np.quantile(times, 0.99)),
        "mean_exit": float(np.mean(np.concatenate(taken))),
    }


def ours(program, run, data, options, batch):
    command = [program, "bench", run, "--batch", batch, "--threads", options.threads]
    command += ["--seconds", options.seconds, "--data", data, "--json"]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, check=True)
    found = json.loads(done.stdout)["measurements"][0]
    policy = found["policy"]
    fractions = policy["exit_fractions"]
    return {
        "images_per_second": policy["images_per_second"],
        "full_images_per_second": found["exits"][-1]["images_per_second"],
        "single_images_per_second": found["single"]["images_per_second"],
        "p50_ms": policy["p50_ms"], "p99_ms": policy["p99_ms"],
        "mean_exit": sum(k * share for k, share in enumerate(fractions)),
        "macs_share": policy["macs_share"], "speed_up": policy["speed_up"],
        "speed_up_over_single": policy["speed_up_over_single"],
    }


def pictures(data, made):
    """The first 2,048 CIFAR-100 test images as the network reads them."""
    records = np.fromfile(data / "cifar-100-lowdata/test.bin", dtype=np.uint8).reshape(-1, 2 + 3072)
    planes = records[:2048, 2:].reshape(-1, 3, 32, 32)
    return made.normalise(planes.transpose(0, 2, 3, 1))


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--data", type=pathlib.Path, default=os.environ.get("OFFRAMP_DATA"))
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=1.0)
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--batches", nargs="+", type=int, default=[1, 32, 128])
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    program = target / "release/offramp"
    if not program.exists():
        sys.exit(f"{program} is missing: cargo build --release")
    print(f"{hardware()}; ONNX Runtime {ort.__version__}; {options.threads} threads each")
    ratios = {}
    with tempfile.TemporaryDirectory() as folder:
        export = [program, "export", options.run, "--format", "onnx", "--segments", "--out", folder]
        subprocess.run(export, check=True, stdout=subprocess.DEVNULL)
        chains = [chain(folder, options.threads, spin) for spin in (True, False)]
        images = pictures(options.data, chains[0])
        for batch in options.batches:
            for _ in range(options.rounds):
                mine = ours(program, options.run, options.data, options, batch)
                theirs = max(
                    (measure(made, images, batch, options.seconds) for made in chains),
                    key=lambda found: found["images_per_second"],
                )
                for who, found in (("offramp", mine), ("onnxruntime chain", theirs)):
                    print(json.dumps({"runtime": who, "batch": batch, **found}), flush=True)
                kept = ratios.setdefault(batch, {})
                over = lambda key: mine[key] / theirs[key]
                kept.setdefault("with the policy / chain", []).append(over("images_per_second"))
                kept.setdefault("all exits / chain", []).append(over("full_images_per_second"))
                kept.setdefault("policy / all exits", []).append(mine["speed_up"])
                kept.setdefault("policy / last exit alone", []).append(mine["speed_up_over_single"])
    print(f"\nmin, median, max of the rounds; {100 * mine['macs_share']:.1f} % of the multiply-accumulates")
    for batch, kept in ratios.items():
        for name, values in kept.items():
            values = sorted(values)
            low, middle, high = values[0], values[len(values) // 2], values[-1]
            print(f"batch {batch}, {name}: {low:.2f}, {middle:.2f}, {high:.2f}")


if __name__ == "__main__":
    main()
