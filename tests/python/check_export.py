"""Checks what `offramp export` writes, with ONNX Runtime and PyTorch.

    pip install -r tests/python/requirements.txt
    OFFRAMP_PYTHON=python cargo test --release --workspace --test python     # every backbone and head
    python tests/python/check_export.py networks FOLDER      # what that test wrote
    python tests/python/check_export.py chain SEGMENTS predictions.json
    python tests/python/check_export.py accuracy model.onnx DATA/cifar-100-lowdata

`networks`: the logits of ONNX Runtime, whole and segment by segment, and of PyTorch with the exported weights are
within 1e-4 of offramp's, relative to the largest. `chain`: every picture that `offramp predict --json` answered
leaves the chain at the same exit with the same class. `accuracy`: top-1 of every exit over CIFAR-100's test images.
"""

import json
import os
import sys

import numpy as np
import onnx
import onnxruntime
from safetensors import safe_open
from safetensors.numpy import load_file

from run_staged import Chain

TOLERANCE = 1e-4


def session(path):
    onnx.checker.check_model(path, full_check=True)
    return onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])


def error(found, expected):
    """The largest difference, relative to the largest number."""
    found = np.asarray(found)
    if found.shape != expected.shape:
        raise SystemExit(f"shape {found.shape} instead of {expected.shape}")
    return float(np.abs(found - expected).max() / np.abs(expected).max())


def whole(folder, inputs, expected):
    """The whole graph, with the batch and with its first image alone."""
    net = session(os.path.join(folder, "model.onnx"))
    names = [output.name for output in net.get_outputs()]
    if set(names) != set(expected):
        raise SystemExit(f"outputs {names} instead of {sorted(expected)}")
    every = dict(zip(names, net.run(names, inputs)))
    one = dict(zip(names, net.run(names, {name: x[:1] for name, x in inputs.items()})))
    errors = [error(every[name], expected[name]) for name in names]
    return max(errors + [error(one[name], expected[name][:1]) for name in names])


def segments(folder, image, expected):
    """All segments in turn, no image leaves."""
    for name in sorted(os.listdir(folder)):
        if name.endswith(".onnx"):
            onnx.checker.check_model(os.path.join(folder, name), full_check=True)
    chain = Chain(folder)
    values, worst = {"image": image}, 0.0
    for k, segment in enumerate(chain.segments):
        values = chain.segment(k, values)
        worst = max(worst, error(values[segment["logits"]], expected[segment["logits"]]))
    return worst


def pytorch(path, image, expected):
    """The weights in PyTorch's own model; nothing where there is no such model."""
    import torch

    from torch_twins import MultiExit, SmallResNet, backbone

    with safe_open(path, "pt") as file:
        about = {name.removeprefix("offramp."): text for name, text in file.metadata().items()}
        weights = {name: file.get_tensor(name) for name in file.keys()}
    net, classes = json.loads(about["net"]), len(json.loads(about["classes"]))
    stages = [exit["stage"] for exit in json.loads(about["exits"])]
    usual = backbone(net["backbone"], classes)
    if usual is None or net.get("cascade", {"name": "none"})["name"] != "none":
        return None
    alone = len(stages) == 1 and net["head"]["name"] == "linear"
    if not (alone or isinstance(usual, SmallResNet)):
        return None  # its single-exit form is checked by check_backbones.py
    model = usual if alone else MultiExit(net, stages, classes)
    if set(model.state_dict()) != set(weights):
        difference = sorted(set(model.state_dict()) ^ set(weights))
        raise SystemExit(f"{path}: names differ: {difference[:10]}")
    model.load_state_dict(weights, strict=True)
    with torch.no_grad():
        logits = model.eval()(torch.from_numpy(image))
    logits = [logits] if alone else logits
    return max(error(z.numpy(), expected[f"exit{k}"]) for k, z in enumerate(logits))


def networks(folder):
    versions = f"onnx {onnx.__version__}, onnxruntime {onnxruntime.__version__}"
    print(f"{versions}; largest difference of logits, relative to the largest logit")
    print(f"{'network':44} {'whole':>8} {'segments':>8} {'PyTorch':>8}")
    failed = []
    for case in sorted(os.listdir(folder)):
        path = os.path.join(folder, case)
        values = load_file(os.path.join(path, "io.safetensors"))
        inputs = {name[3:]: x for name, x in values.items() if name.startswith("in.")}
        expected = {name[4:]: x for name, x in values.items() if name.startswith("out.")}
        errors = [whole(path, inputs, expected), None, None]
        if os.path.isdir(os.path.join(path, "segments")):
            errors[1] = segments(os.path.join(path, "segments"), inputs["image"], expected)
        if os.path.exists(os.path.join(path, "pytorch.safetensors")):
            weights = os.path.join(path, "pytorch.safetensors")
            errors[2] = pytorch(weights, inputs["image"], expected)
        shown = ["       -" if e is None else f"{e:8.1e}" for e in errors]
        print(f"{case:44} {' '.join(shown)}")
        # Written so that NaN fails.
        if not all(e is None or e <= TOLERANCE for e in errors):
            failed.append(case)
    if failed:
        raise SystemExit(f"more than {TOLERANCE}: {', '.join(failed)}")


def chain(folder, predictions):
    from PIL import Image

    with open(predictions) as file:
        predictions = json.load(file)["predictions"]
    chain = Chain(folder)
    pixels = np.stack([np.asarray(Image.open(p["image"]).convert("RGB")) for p in predictions])
    exits, classes, confidences = chain.run(chain.normalise(pixels))
    wrong = [
        p["image"]
        for p, exit, label in zip(predictions, exits, classes)
        if (p["exit"], p["label"]) != (exit, label)
    ]
    difference = np.abs(confidences - [p["confidence"] for p in predictions]).max()
    counts = np.bincount(exits, minlength=len(chain.sessions)).tolist()
    print(f"{len(predictions)} images, {counts} at each exit, {len(wrong)} differ")
    print(f"largest difference of confidences {difference:.1e}")
    if wrong:
        raise SystemExit(f"another exit or class: {', '.join(wrong[:10])}")


def accuracy(path, data):
    # Records of CIFAR-100: coarse label, fine label, red, green and blue plane.
    records = np.fromfile(os.path.join(data, "test.bin"), np.uint8).reshape(-1, 2 + 3072)
    pixels = records[:, 2:].reshape(-1, 3, 32, 32).astype(np.float32) / 255
    net = session(path)
    about = net.get_modelmeta().custom_metadata_map
    mean, std = (np.float32(json.loads(about[f"offramp.{k}"])) for k in ("mean", "std"))
    x = (pixels - mean[:, None, None]) / std[:, None, None]
    names = [output.name for output in net.get_outputs()]
    right = np.zeros(len(names), int)
    for start in range(0, len(x), 500):
        labels = records[start : start + 500, 1]
        for k, z in enumerate(net.run(names, {"image": x[start : start + 500]})):
            right[k] += (z.argmax(1) == labels).sum()
    for name, count in zip(names, right):
        print(f"{name}: {100 * count / len(x):.2f} % of {len(x)}")


COMMANDS = {"networks": networks, "chain": chain, "accuracy": accuracy}

if __name__ == "__main__":
    if len(sys.argv) < 3 or sys.argv[1] not in COMMANDS:
        raise SystemExit(__doc__)
    COMMANDS[sys.argv[1]](*sys.argv[2:])
