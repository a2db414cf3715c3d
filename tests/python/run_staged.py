"""Runs a chain of `offramp export --format onnx --segments` and stops early.

    pip install onnxruntime numpy pillow
    python tests/python/run_staged.py runs/demo/export/segments cat.png dog.png

A short program to start from: the classes `Chain` and `Policy` are all that it takes. Chains of format 1
(`staged.json`) are read too.
"""

import json
import os
import sys

import numpy as np
import onnxruntime


class Policy:
    """Evidence and thresholds as in docs/src/policies.md: sums in float64, numbers compared in float32."""

    def __init__(self, policy, temperatures, exits):
        # Format 1 had `kind` for `name`.
        self.name = policy.get("name") or policy["kind"]
        self.last = exits - 1
        self.exit = policy.get("exit")
        self.thresholds = [float(t) for t in policy.get("thresholds", [])]
        self.temperatures = temperatures or [1.0] * exits

    def probabilities(self, logits, exit):
        z = logits.astype(np.float64) / self.temperatures[exit]
        p = np.exp(z - z.max(axis=1, keepdims=True))
        return p / p.sum(axis=1, keepdims=True)

    def stops(self, p, exit):
        """Which rows stop at this exit."""
        if exit == self.last:
            return np.ones(len(p), dtype=bool)
        if self.name == "fixed-exit":
            return np.full(len(p), exit >= self.exit)
        threshold = self.thresholds[exit]
        two = np.sort(p, axis=1)[:, -2:]
        if self.name == "confidence":
            return two[:, 1].astype(np.float32) >= threshold
        if self.name == "margin":
            return (two[:, 1] - two[:, 0]).astype(np.float32) >= threshold
        if self.name == "entropy":
            terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0.0)
            return np.maximum(-terms.sum(axis=1), 0).astype(np.float32) <= threshold
        raise SystemExit(f"policy {self.name} is not known to this program")


class Chain:
    def __init__(self, folder):
        names = [os.path.join(folder, name) for name in ("segments.json", "staged.json")]
        with open(next(filter(os.path.exists, names), names[0])) as file:
            self.about = json.load(file)
        # Format 1 had `stages` for `segments`.
        self.segments = self.about.get("segments") or self.about["stages"]
        files = [os.path.join(folder, segment["file"]) for segment in self.segments]
        self.sessions = [
            onnxruntime.InferenceSession(f, providers=["CPUExecutionProvider"]) for f in files
        ]
        exits = len(self.segments)
        self.policy = Policy(self.about["policy"], self.about.get("temperatures"), exits)

    def normalise(self, pixels):
        """`[N, H, W, 3]` bytes to what the first segment reads."""
        mean, std = (np.array(self.about[key], dtype=np.float32) for key in ("mean", "std"))
        x = (pixels.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def segment(self, k, values):
        """The outputs of segment K by name, from those of the segment before (or the image)."""
        segment = self.segments[k]
        names = [output["name"] for output in segment["outputs"]]
        inputs = {port["name"]: values[port["name"]] for port in segment["inputs"]}
        return dict(zip(names, self.sessions[k].run(names, inputs)))

    def run(self, image):
        """Exit, class and confidence of every image; a segment sees only the images that reach it."""
        exits, classes = np.zeros(len(image), int), np.zeros(len(image), int)
        confidences = np.zeros(len(image), np.float32)
        rows, values = np.arange(len(image)), {"image": image}
        for k, segment in enumerate(self.segments):
            if not len(rows):
                break
            values = self.segment(k, values)
            p = self.policy.probabilities(values[segment["logits"]], k)
            stop = self.policy.stops(p, k)
            exits[rows[stop]] = k
            classes[rows[stop]] = values[segment["logits"]][stop].argmax(axis=1)
            confidences[rows[stop]] = p[stop].max(axis=1)
            rows = rows[~stop]
            values = {name: value[~stop] for name, value in values.items()}
        return exits, classes, confidences


def main(folder, images):
    from PIL import Image

    chain = Chain(folder)
    size, resize = chain.about["image"], chain.about["resize"]
    for image in images:
        pixels = Image.open(image).convert("RGB")
        if pixels.size != (size["width"], size["height"]):
            # offramp's own resampling differs in the last bits.
            pixels = pixels.resize((resize["width"], resize["height"]), Image.Resampling.BILINEAR)
            left = (resize["width"] - size["width"]) // 2
            top = (resize["height"] - size["height"]) // 2
            pixels = pixels.crop((left, top, left + size["width"], top + size["height"]))
        exits, classes, confidences = chain.run(chain.normalise(np.asarray(pixels)[None]))
        name = chain.about["classes"][classes[0]]
        macs = chain.about["exits"][exits[0]]["macs"]
        print(f"{image}: {name} ({confidences[0]:.3f}) at exit {exits[0]}, {macs:,} MACs")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
