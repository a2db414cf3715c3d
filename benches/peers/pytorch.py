"""The PyTorch twin of `crates/learn/kernels/examples/train_step.rs`: same network, batch, data and output.

Usage: pytorch.py resnet20|resnet18 BATCH STEPS [threads]
Memory format is channels-last, PyTorch's faster one for these networks on a CPU.
"""

import resource
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn


def conv(c_in, c_out, k, stride, groups=1):
    return nn.Conv2d(c_in, c_out, k, stride, k // 2, groups=groups, bias=False)


class Block(nn.Module):
    def __init__(self, c_in, width, stride):
        super().__init__()
        self.conv1, self.bn1 = conv(c_in, width, 3, stride), nn.BatchNorm2d(width)
        self.conv2, self.bn2 = conv(width, width, 3, 1), nn.BatchNorm2d(width)
        self.shortcut = nn.Identity()
        if stride != 1 or c_in != width:
            self.shortcut = nn.Sequential(conv(c_in, width, 1, stride), nn.BatchNorm2d(width))

    def forward(self, x):
        y = F.relu(self.bn1(self.conv1(x)), inplace=True)
        return F.relu(self.bn2(self.conv2(y)) + self.shortcut(x), inplace=True)


class Head(nn.Module):
    def __init__(self, width, deepest, classes=100):
        super().__init__()
        layers = []
        while width < deepest:
            layers += [conv(width, width, 3, 2, groups=width), conv(width, 2 * width, 1, 1)]
            layers += [nn.BatchNorm2d(2 * width), nn.ReLU(inplace=True)]
            width *= 2
        self.layers, self.fc = nn.Sequential(*layers), nn.Linear(deepest, classes)

    def forward(self, x):
        return self.fc(self.layers(x).mean((2, 3)))


class Network(nn.Module):
    def __init__(self, widths, blocks):
        super().__init__()
        self.conv1, self.bn1 = conv(3, widths[0], 3, 1), nn.BatchNorm2d(widths[0])
        stages, c_in = [], widths[0]
        for i, width in enumerate(widths):
            stage = []
            for block in range(blocks):
                stage.append(Block(c_in, width, 2 if i > 0 and block == 0 else 1))
                c_in = width
            stages.append(nn.Sequential(*stage))
        self.stages = nn.ModuleList(stages)
        self.heads = nn.ModuleList(Head(width, widths[-1]) for width in widths)

    def forward(self, x):
        x, exits = F.relu(self.bn1(self.conv1(x)), inplace=True), []
        for stage, head in zip(self.stages, self.heads):
            x = stage(x)
            exits.append(head(x))
        return exits


def report(what, batch, seconds, processor):
    seconds.sort()
    middle, best, worst = seconds[len(seconds) // 2], seconds[0], seconds[-1]
    print(
        f"{what}: median {batch / middle:.0f} images/s, best {batch / best:.0f}, "
        f"worst {batch / worst:.0f}; "
        f"{1e3 * processor / (batch * len(seconds)):.3f} processor ms an image",
        flush=True,
    )


def timed(repeats, run):
    """Two untimed rounds, as in the Rust program, then `repeats` timed ones."""
    seconds, processor = [], 0.0
    for step in range(repeats + 2):
        if step == 2:
            processor = time.process_time()
        start = time.perf_counter()
        run()
        if step >= 2:
            seconds.append(time.perf_counter() - start)
    return seconds, time.process_time() - processor


def main():
    name, batch, steps = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    torch.set_num_threads(int(sys.argv[4]) if len(sys.argv) > 4 else 2)
    torch.manual_seed(0)
    widths, blocks = ([64, 128, 256, 512], 2) if name == "resnet18" else ([16, 32, 64], 3)
    network = Network(widths, blocks).to(memory_format=torch.channels_last).train()
    images = torch.rand(batch, 3, 32, 32).contiguous(memory_format=torch.channels_last)
    labels = torch.arange(batch) % 100
    optimiser = torch.optim.SGD(
        network.parameters(), lr=0.01, momentum=0.9, weight_decay=5e-4, nesterov=True
    )

    def train():
        optimiser.zero_grad(set_to_none=True)
        sum(F.cross_entropy(logits, labels) for logits in network(images)).backward()
        optimiser.step()

    seconds, processor = timed(steps, train)
    report("training", batch, seconds, processor)
    network.eval()
    with torch.inference_mode():
        for count in (batch, 1):
            some = images[:count]
            repeats = steps * min(-(-batch // count), 20)
            seconds, processor = timed(repeats, lambda: network(some)[-1].sum().item())
            report(f"inference, batch {count}", count, seconds, processor)
    print(f"peak memory: {resource.getrusage(resource.RUSAGE_SELF).ru_maxrss} kB")


if __name__ == "__main__":
    main()
