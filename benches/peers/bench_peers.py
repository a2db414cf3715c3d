"""Runs ours and PyTorch's training and inference in turn (A B A B ...) and prints the ratios.

Usage: bench_peers.py [--rounds 5] [--steps 10] [--out FILE]
Needs `cargo build --release -p offramp-kernels --example train_step`, and a Python with torch
(the one this script runs with). Everything printed also goes to FILE, by default
target/bench-peers.txt. Standard library only.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys

from machine import hardware

ROOT = pathlib.Path(__file__).resolve().parents[2]
NETWORKS = [("resnet20", 128), ("resnet18", 32)]
LINE = re.compile(r"^(training|inference, batch \d+): median (\d+) images/s")
MEMORY = re.compile(r"^peak memory: (\d+) kB")
THREADS = 2


def run(command, log):
    threads = {"RAYON_NUM_THREADS": str(THREADS), "OMP_NUM_THREADS": str(THREADS)}
    done = subprocess.run(
        command, capture_output=True, text=True, env={**os.environ, **threads}, check=False
    )
    log(f"$ {' '.join(command)}\n{done.stdout.strip()}")
    if done.returncode != 0:
        sys.exit(f"{command[0]} failed:\n{done.stderr.strip()}")
    found = {}
    for line in done.stdout.splitlines():
        if match := LINE.match(line):
            found[match[1]] = float(match[2])
        elif match := MEMORY.match(line):
            found["peak memory"] = float(match[1])
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--out", type=pathlib.Path, default=ROOT / "target/bench-peers.txt")
    options = parser.parse_args()
    target = pathlib.Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target"))
    ours = target / "release/examples/train_step"
    if not ours.exists():
        sys.exit(f"{ours} is missing: cargo build --release -p offramp-kernels --example train_step")
    version = subprocess.run(
        [sys.executable, "-c", "import torch; print(torch.__version__)"],
        capture_output=True,
        text=True,
        check=False,
    )
    if version.returncode != 0:
        sys.exit(f"{sys.executable} has no torch: pip install torch, or use another Python")
    options.out.parent.mkdir(parents=True, exist_ok=True)
    with options.out.open("w") as file:

        def log(text):
            print(text, flush=True)
            print(text, file=file, flush=True)

        log(f"{hardware()}; PyTorch {version.stdout.strip()}; {THREADS} threads each")
        twin = str(pathlib.Path(__file__).with_name("pytorch.py"))
        for name, batch in NETWORKS:
            arguments = [name, str(batch), str(options.steps)]
            ratios = {}
            for _ in range(options.rounds):
                a = run([str(ours), *arguments], log)
                b = run([sys.executable, twin, *arguments, str(THREADS)], log)
                for what in a.keys() & b.keys():
                    ratios.setdefault(what, []).append(a[what] / b[what])
            log(f"\n{name}, batch {batch}: ours / PyTorch (memory: less is better)")
            for what, values in sorted(ratios.items()):
                values.sort()
                middle = values[len(values) // 2]
                log(f"  {what}: min {values[0]:.2f}, median {middle:.2f}, max {values[-1]:.2f}")
            log("")


if __name__ == "__main__":
    main()
