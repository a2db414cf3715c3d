"""The PyTorch twin of recipes/cifar100-lowdata/plain.toml with `--set model.head.style=mlcsd`: the
network of pytorch.py has heads of that form, the recipe of BYOT's. The order of the images differs.
So far it was run for its first four epochs only.

Usage: lowdata_twin.py DATA_DIR SEED [EPOCHS]
"""

import math
import pathlib
import sys
import time

import numpy as np
import torch
import torch.nn.functional as F
from pytorch import Network
from torch import nn


def load(path):
    records = np.fromfile(path, np.uint8).reshape(-1, 3074)
    return torch.from_numpy(records[:, 2:].reshape(-1, 3, 32, 32)), torch.from_numpy(
        records[:, 1].astype(np.int64)
    )


MEAN = torch.tensor([0.5071, 0.4865, 0.4409]).view(1, 3, 1, 1)
STD = torch.tensor([0.2673, 0.2564, 0.2762]).view(1, 3, 1, 1)


def normalise(images):
    x = (images.float() / 255 - MEAN) / STD
    return x.contiguous(memory_format=torch.channels_last)


def augment(images):
    n = len(images)
    padded = F.pad(images, (4, 4, 4, 4))
    top, left = torch.randint(0, 9, (n,)), torch.randint(0, 9, (n,))
    out = torch.empty_like(images)
    for i in range(n):
        crop = padded[i, :, top[i] : top[i] + 32, left[i] : left[i] + 32]
        out[i] = crop.flip(2) if torch.rand(()) < 0.5 else crop
    return out


def main():
    data, seed = pathlib.Path(sys.argv[1]), int(sys.argv[2])
    epochs = int(sys.argv[3]) if len(sys.argv) > 3 else 24
    torch.set_num_threads(2)
    torch.manual_seed(seed)
    train, labels = load(data / "train.bin")
    test, test_labels = load(data / "test.bin")
    network = Network([16, 32, 64], 3)
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
    network = network.to(memory_format=torch.channels_last)
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.1, momentum=0.9, weight_decay=5e-4, nesterov=True
    )
    steps = len(train) // 128
    total, step, start = steps * epochs, 0, time.time()
    for epoch in range(epochs):
        network.train()
        order, right = torch.randperm(len(train)), 0
        for i in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = 0.05 * (1 + math.cos(math.pi * step / total))
            rows = order[i * 128 : (i + 1) * 128]
            x, y = normalise(augment(train[rows])), labels[rows]
            optimiser.zero_grad(set_to_none=True)
            exits = network(x)
            sum(F.cross_entropy(logits, y) for logits in exits).backward()
            optimiser.step()
            right = right + torch.stack([(logits.argmax(1) == y).sum() for logits in exits])
            step += 1
        print(epoch + 1, "train", (100 * right / (steps * 128)).tolist(),
              f"{time.time() - start:.0f} s", flush=True)
    network.eval()
    right = torch.zeros(3)
    with torch.inference_mode():
        for rows in torch.arange(len(test)).split(500):
            exits = network(normalise(test[rows]))
            right += torch.stack([(e.argmax(1) == test_labels[rows]).sum() for e in exits])
    print("test", (100 * right / len(test)).tolist())


main()
