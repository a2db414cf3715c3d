"""PyTorch's side of `gpu-check`: images/s of a ResNet with four linear exits, trained and run.

Usage: gpu_twin.py NETWORK SIDE CLASSES BATCH PRECISION SECONDS [DEVICE]
NETWORK is resnet18 or resnet50, with the small stem below 64 pixels; PRECISION f32, bf16 or fp16 (autocast). As
fast as plain PyTorch gets: channels-last, cudnn.benchmark, TF32 off in f32 since ours computes in f32 too, fused SGD.
Prints one JSON line. `gpu-check` carries this file and runs it in turn with its own.
"""

import json
import sys
import time

import torch
import torchvision
from torch import nn
from torch.nn.functional import cross_entropy


class Exits(nn.Module):
    """A torchvision ResNet with a linear classifier on the mean of the map after each of its layers."""

    def __init__(self, name, side, classes):
        super().__init__()
        self.body = getattr(torchvision.models, name)(num_classes=classes)
        widths = [256, 512, 1024, 2048] if name == "resnet50" else [64, 128, 256, 512]
        if side < 64:
            self.body.conv1 = nn.Conv2d(3, 64, 3, 1, 1, bias=False)
            self.body.maxpool = nn.Identity()
        del self.body.fc
        self.exits = nn.ModuleList(nn.Linear(width, classes) for width in widths)

    def forward(self, x):
        body, logits = self.body, []
        x = body.maxpool(body.relu(body.bn1(body.conv1(x))))
        layers = (body.layer1, body.layer2, body.layer3, body.layer4)
        for layer, classifier in zip(layers, self.exits):
            x = layer(x)
            logits.append(classifier(x.mean((2, 3))))
        return logits


def rate(batch, seconds, device, step):
    def wait():
        if device.startswith("cuda"):
            torch.cuda.synchronize()

    for _ in range(5):
        step()
    wait()
    start, steps = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        step()
        wait()
        steps += 1
    return batch * steps / (time.perf_counter() - start)


def main():
    name, side, classes, batch, precision, seconds = sys.argv[1:7]
    side, classes, batch, seconds = int(side), int(classes), int(batch), float(seconds)
    device = sys.argv[7] if len(sys.argv) > 7 else "cuda"
    torch.backends.cudnn.benchmark = True
    torch.backends.cuda.matmul.allow_tf32 = torch.backends.cudnn.allow_tf32 = False
    dtype = {"f32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}[precision]
    net = Exits(name, side, classes).to(device, memory_format=torch.channels_last)
    optimizer = torch.optim.SGD(net.parameters(), lr=1e-3, momentum=0.9, weight_decay=5e-4, nesterov=True)
    scaler = torch.amp.GradScaler(enabled=precision == "fp16")
    images = torch.ones(batch, 3, side, side, device=device).to(memory_format=torch.channels_last)
    labels = torch.arange(batch, device=device) % classes

    def autocast():
        return torch.autocast(device.split(":")[0], dtype, enabled=precision != "f32")

    def train():
        optimizer.zero_grad(set_to_none=True)
        with autocast():
            loss = sum(cross_entropy(logits.float(), labels) for logits in net(images))
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()

    def infer():
        with torch.inference_mode(), autocast():
            net(images)

    found = {"train": rate(batch, seconds, device, train)}
    net.eval()
    found["infer"] = rate(batch, seconds, device, infer)
    found["torch"] = torch.__version__
    print(json.dumps(found))


if __name__ == "__main__":
    main()
