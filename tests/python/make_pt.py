"""Writes the small PyTorch files that crates/learn/interop/tests reads, and what is in them.

    pip install -r tests/python/requirements.txt
    python tests/python/make_pt.py crates/base/weights/tests/fixtures
"""

import json
import os
import sys
import warnings
import zipfile
from collections import OrderedDict

import torch

warnings.filterwarnings("ignore")


def tensors():
    base = torch.arange(24, dtype=torch.float32) / 8 - 1
    shared = torch.tensor([1.0, 2.0, 3.0, 4.0])
    return OrderedDict(
        f32=base[:6].clone().reshape(2, 3),
        f64=torch.tensor([1 / 3, -1e300, 1e-300], dtype=torch.float64),
        f16=torch.tensor([1.5, -0.1, 65504.0, 6e-8], dtype=torch.float16),
        bf16=torch.tensor([1.5, -0.1, 3e38], dtype=torch.bfloat16),
        i64=torch.tensor([-(2**40), 7]),
        i32=torch.tensor([-5, 2**30], dtype=torch.int32),
        i16=torch.tensor([-300, 300], dtype=torch.int16),
        i8=torch.tensor([-128, 127], dtype=torch.int8),
        u8=torch.tensor([0, 255], dtype=torch.uint8),
        bool=torch.tensor([True, False]),
        scalar=torch.tensor(2.5),
        empty=torch.zeros(0, 3),
        parameter=torch.nn.Parameter(torch.tensor([0.25])),
        transposed=base.reshape(2, 3, 4).permute(2, 0, 1),
        part=base[5:13].reshape(2, 4)[:, 1:3],
        shared_a=shared,
        shared_b=shared[2:],
    )


class Call:
    def __reduce__(self):
        return os.system, ("touch /tmp/offramp-was-here",)


def checkpoint():
    net = torch.nn.Sequential(torch.nn.Linear(2, 2), torch.nn.BatchNorm1d(2))
    with torch.no_grad():
        for i, parameter in enumerate(net.parameters()):
            parameter.copy_(torch.arange(parameter.numel()).reshape(parameter.shape) + i)
    optimizer = torch.optim.Adam(net.parameters())
    net(torch.eye(2)).sum().backward()
    weights = OrderedDict((f"module.{k}", v.clone()) for k, v in net.state_dict().items())
    optimizer.step()
    return {
        "epoch": 3,
        "best": 71.5,
        "arch": "linear",
        "optimizer": optimizer.state_dict(),
        "state_dict": weights,
    }


def rezip(source, target, compression=zipfile.ZIP_STORED, replace=()):
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w", compression) as new:
        for name in old.namelist():
            data = dict(replace).get(name.split("/")[-1], old.read(name))
            # A fixed date, so that the file is the same every time.
            new.writestr(zipfile.ZipInfo(name), data, compression)


def expected(weights):
    def entry(tensor):
        values = tensor.detach().to(torch.float32).flatten().tolist()
        # JSON has no infinities.
        values = [str(v) if abs(v) == float("inf") else v for v in values]
        return {"shape": list(tensor.shape), "values": values}

    return {name: entry(tensor) for name, tensor in weights.items()}


def main(folder):
    def save(value, name, **options):
        torch.save(value, os.path.join(folder, name), **options)

    def path(name):
        return os.path.join(folder, name)

    legacy = {"_use_new_zipfile_serialization": False}
    save(tensors(), "zip.pt")
    save(tensors(), "protocol4.pt", pickle_protocol=4)
    save(tensors(), "legacy.pt", **legacy)
    save(checkpoint(), "checkpoint.pt")
    save(checkpoint(), "checkpoint-legacy.th", **legacy)
    save({"net": {"w": torch.ones(2)}}, "net.pt")
    save({"model": {"w": torch.ones(2)}, "x": torch.zeros(1)}, "model.pt")
    for name, options in [("call.pt", {}), ("call-legacy.pt", legacy)]:
        save({"w": torch.ones(2), "x": Call()}, name, **options)
    save(torch.nn.Linear(2, 2), "module.pt")
    save({"epoch": 3, "losses": [1.0]}, "no-tensors.pt")
    save({"w": torch.zeros(1).expand(1000, 1000)}, "expanded.pt")
    rezip(path("net.pt"), path("compressed.pt"), zipfile.ZIP_DEFLATED)
    rezip(path("net.pt"), path("big-endian.pt"), replace={"byteorder": b"big"})
    with open(path("expected.json"), "w") as file:
        weights = checkpoint()["state_dict"]
        json.dump({"tensors": expected(tensors()), "checkpoint": expected(weights)}, file, indent=1)
        file.write("\n")


main(sys.argv[1])
