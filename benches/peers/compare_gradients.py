"""Compares a trained ResNet-20 with its PyTorch twin: loss, all gradients, running statistics, and
the accuracy of every exit on the CIFAR-100 test set.

    cargo run --release -p offramp-heads --example gradients -- RUN BATCH.bin OURS.safetensors
    python compare_gradients.py RUN BATCH.bin OURS.safetensors DATA_DIR

RUN was trained by recipes/cifar100-lowdata/*.toml with `--set model.head.style=mlcsd`, the form of the
twin's heads. BATCH.bin holds CIFAR-100 records (for instance
the first 128 of test.bin), DATA_DIR is the folder of test.bin. PyTorch computes in float64.
"""

import json
import pathlib
import re
import struct
import sys

import numpy as np
import torch
import torch.nn.functional as F
from pytorch import Network

MEAN = torch.tensor([0.5071, 0.4865, 0.4409]).view(1, 3, 1, 1)
STD = torch.tensor([0.2673, 0.2564, 0.2762]).view(1, 3, 1, 1)


def tensors(path):
    data = pathlib.Path(path).read_bytes()
    (size,) = struct.unpack("<Q", data[:8])
    header, body = json.loads(data[8 : 8 + size]), data[8 + size :]
    header.pop("__metadata__", None)
    return {
        name: torch.from_numpy(
            np.frombuffer(body[slice(*entry["data_offsets"])], np.float32)
            .reshape(entry["shape"])
            .copy()
        )
        for name, entry in header.items()
    }


def twin_name(name):
    """Our name of a tensor as the twin calls it."""
    name = name.removeprefix("backbone.").replace("downsample", "shortcut")
    name = re.sub(r"^layer(\d)", lambda m: f"stages.{int(m[1]) - 1}", name)
    chain = re.match(r"heads\.(\d)\.chain\.(\d)\.(depthwise|pointwise|bn)\.(.*)", name)
    if chain:
        place = 4 * int(chain[2]) + ["depthwise", "pointwise", "bn"].index(chain[3])
        name = f"heads.{chain[1]}.layers.{place}.{chain[4]}"
    return name


def records(path):
    rows = np.fromfile(path, np.uint8).reshape(-1, 3074)
    images = torch.from_numpy(rows[:, 2:].reshape(-1, 3, 32, 32))
    x = (images.float() / 255 - MEAN) / STD
    return x, torch.from_numpy(rows[:, 1].astype(np.int64))


def main():
    run, batch, ours, data = sys.argv[1:]
    weights = {twin_name(k): v for k, v in tensors(f"{run}/model.safetensors").items()}
    network = Network([16, 32, 64], 3)
    result = network.load_state_dict(weights, strict=False)
    assert not result.unexpected_keys
    assert all("num_batches" in name for name in result.missing_keys)

    network.double().train()
    x, y = records(batch)
    loss = sum(F.cross_entropy(logits, y) for logits in network(x.double()))
    loss.backward()
    theirs = {name: p.grad for name, p in network.named_parameters()}
    theirs |= dict(network.named_buffers()) | {"loss": loss.detach().reshape(1)}
    errors = []
    for name, value in tensors(ours).items():
        twin = theirs[twin_name(name)].double()
        errors.append((float((value.double() - twin).norm() / twin.norm()), name))
    print("largest relative errors (2-norm, against float64):")
    for error, name in sorted(errors, reverse=True)[:5]:
        print(f"  {error:.2e}  {name}")

    network.float().load_state_dict(weights, strict=False)
    network.eval()
    x, y = records(f"{data}/test.bin")
    right = torch.zeros(3)
    with torch.inference_mode():
        for part in torch.arange(len(x)).split(500):
            right += torch.stack([(e.argmax(1) == y[part]).sum() for e in network(x[part])])
    print("test top-1 of the exits:", (100 * right / len(x)).tolist())


main()
