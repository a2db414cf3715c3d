"""Runs a chain of `offramp export --format onnx --staged` and stops early.

    pip install onnxruntime numpy pillow
    python tests/python/run_staged.py runs/demo/export/staged cat.png dog.png

A short program to start from: the classes `Chain` and `Policy` are all that it takes.
"""

import json
import os
import sys

import numpy as np
import onnxruntime


class Policy:
    """Evidence and thresholds as in docs/src/policies.md: sums in float64, numbers compared in float32."""

    def __init__(self, policy, temperatures, exits):
        self.kind = policy["kind"]
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
        if self.kind == "fixed-exit":
            return np.full(len(p), exit >= self.exit)
        threshold = self.thresholds[exit]
        two = np.sort(p, axis=1)[:, -2:]
        if self.kind == "confidence":
            return two[:, 1].astype(np.float32) >= threshold
        if self.kind == "margin":
            return (two[:, 1] - two[:, 0]).astype(np.float32) >= threshold
        if self.kind == "entropy":
            terms = np.where(p > 0, p * np.log(np.maximum(p, 1e-300)), 0.0)
            return np.maximum(-terms.sum(axis=1), 0).astype(np.float32) <= threshold
        raise SystemExit(f"policy {self.kind} is not known to this program")


class Chain:
    def __init__(self, folder):
        with open(os.path.join(folder, "staged.json")) as file:
            self.about = json.load(file)
        files = [os.path.join(folder, stage["file"]) for stage in self.about["stages"]]
        self.sessions = [
            onnxruntime.InferenceSession(f, providers=["CPUExecutionProvider"]) for f in files
        ]
        exits = len(self.about["stages"])
        self.policy = Policy(self.about["policy"], self.about.get("temperatures"), exits)

    def normalise(self, pixels):
        """`[N, H, W, 3]` bytes to what the first stage reads."""
        mean, std = (np.array(self.about[key], dtype=np.float32) for key in ("mean", "std"))
        x = (pixels.astype(np.float32) / 255 - mean) / std
        return np.ascontiguousarray(x.transpose(0, 3, 1, 2))

    def stage(self, k, values):
        """The outputs of stage K by name, from those of the stage before (or the image)."""
        stage = self.about["stages"][k]
        names = [output["name"] for output in stage["outputs"]]
        inputs = {port["name"]: values[port["name"]] for port in stage["inputs"]}
        return dict(zip(names, self.sessions[k].run(names, inputs)))

    def run(self, image):
        """Exit, class and confidence of every row; a stage sees only the rows that reach it."""
        exits, classes = np.zeros(len(image), int), np.zeros(len(image), int)
        confidences = np.zeros(len(image), np.float32)
        rows, values = np.arange(len(image)), {"image": image}
        for k, stage in enumerate(self.about["stages"]):
            if not len(rows):
                break
            values = self.stage(k, values)
            p = self.policy.probabilities(values[stage["logits"]], k)
            stop = self.policy.stops(p, k)
            exits[rows[stop]] = k
            classes[rows[stop]] = values[stage["logits"]][stop].argmax(axis=1)
            confidences[rows[stop]] = p[stop].max(axis=1)
            rows = rows[~stop]
            values = {name: value[~stop] for name, value in values.items()}
        return exits, classes, confidences


def main(folder, pictures):
    from PIL import Image

    chain = Chain(folder)
    image, resize = chain.about["image"], chain.about["resize"]
    for picture in pictures:
        pixels = Image.open(picture).convert("RGB")
        if pixels.size != (image["width"], image["height"]):
            # offramp's own resampling differs in the last bits.
            pixels = pixels.resize((resize["width"], resize["height"]), Image.Resampling.BILINEAR)
            left = (resize["width"] - image["width"]) // 2
            top = (resize["height"] - image["height"]) // 2
            pixels = pixels.crop((left, top, left + image["width"], top + image["height"]))
        exits, classes, confidences = chain.run(chain.normalise(np.asarray(pixels)[None]))
        name = chain.about["classes"][classes[0]]
        macs = chain.about["exits"][exits[0]]["macs"]
        print(f"{picture}: {name} ({confidences[0]:.3f}) at exit {exits[0]}, {macs:,} MACs")


if __name__ == "__main__":
    if len(sys.argv) < 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2:])
