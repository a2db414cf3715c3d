"""PyTorch's side of exported networks: the residual networks for small images, and the exit heads.

Written from the tables in docs/src/pytorch-names.md, to be loaded with `load_state_dict(strict=True)`.
"""

import torch
import torch.nn.functional as F
import torchvision
from torch import nn
from torchvision.models.resnet import BasicBlock

# Blocks of each layer, width of the stem, widths.
SMALL = {f"resnet{6 * n + 2}": ([n] * 3, 16, [16, 32, 64]) for n in (1, 2, 3, 5, 7, 9, 18)}
SMALL["resnet8x4"] = ([1] * 3, 32, [64, 128, 256])
SMALL["resnet32x4"] = ([5] * 3, 32, [64, 128, 256])
SMALL["resnet18"] = ([2, 2, 2, 2], 64, [64, 128, 256, 512])
SMALL["resnet34"] = ([3, 4, 6, 3], 64, [64, 128, 256, 512])


class SmallResNet(nn.Module):
    """He et al.'s networks for CIFAR: torchvision's blocks, a 3x3 stem, no pooling."""

    def __init__(self, blocks, stem, widths, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, stem, 3, padding=1, bias=False)
        self.bn1 = nn.BatchNorm2d(stem)
        self.depth = len(widths)
        before = stem
        for i, (n, width) in enumerate(zip(blocks, widths)):
            layer = []
            for block in range(n):
                stride = 2 if i > 0 and block == 0 else 1
                down = None
                if stride != 1 or before != width:
                    conv = nn.Conv2d(before, width, 1, stride, bias=False)
                    down = nn.Sequential(conv, nn.BatchNorm2d(width))
                layer.append(BasicBlock(before, width, stride, down))
                before = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*layer))
        self.fc = nn.Linear(before, classes)

    def maps(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        for i in range(self.depth):
            x = getattr(self, f"layer{i + 1}")(x)
            yield x

    def forward(self, x):
        *_, last = self.maps(x)
        return self.fc(last.mean((2, 3)))


def backbone(net, classes):
    """The usual model of a backbone, or nothing where there is none."""
    name = net["name"]
    if net.get("shortcut", "conv") != "conv" or net.get("taps", "layers") != "layers":
        return None
    if net.get("stem") == "imagenet":
        return getattr(torchvision.models, name)(num_classes=classes)
    return SmallResNet(*SMALL[name], classes) if name in SMALL else None


class ConvBn(nn.Module):
    def __init__(self, c_in, c_out, kernel, stride=1, padding=None):
        super().__init__()
        padding = kernel // 2 if padding is None else padding
        self.conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return F.relu(self.bn(self.conv(x)))


class SepConv(nn.Module):
    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.depthwise = nn.Conv2d(c_in, c_in, 3, stride, 1, groups=c_in, bias=False)
        self.pointwise = nn.Conv2d(c_in, c_out, 1, bias=False)
        self.bn = nn.BatchNorm2d(c_out)

    def forward(self, x):
        return F.relu(self.bn(self.pointwise(self.depthwise(x))))


class Head(nn.Module):
    """`fc(mean(layers(x)))`; the layers are called as in the file."""

    def __init__(self, width, classes, **layers):
        super().__init__()
        for name, layer in layers.items():
            setattr(self, name, layer)
        self.order = list(layers)
        self.fc = nn.Linear(width, classes)

    def forward(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


class Projectors(nn.Module):
    def __init__(self, channels, head, last, classes):
        super().__init__()
        widths = head.get("width", last)
        widths = widths if isinstance(widths, list) else [widths]
        self.size = head.get("size")

        def projector(width):
            middle = max(width // head["factor"], 1)
            layers = nn.Module()
            layers.conv1 = ConvBn(channels, middle, 1)
            layers.conv2 = ConvBn(middle, middle, 3)
            layers.conv3 = ConvBn(middle, width, 1)
            return layers

        self.projectors = nn.ModuleList([projector(width) for width in widths])
        self.fc = nn.Linear(sum(widths), classes)

    def forward(self, x):
        if self.size:
            x = F.adaptive_avg_pool2d(x, [min(side, self.size) for side in x.shape[2:]])
        maps = [p.conv3(p.conv2(p.conv1(x))) for p in self.projectors]
        return self.fc(torch.cat(maps, 1).mean((2, 3)))


class Branch(nn.Module):
    """The rest of a backbone, from a copy of its own."""

    def __init__(self, net, stage, classes):
        super().__init__()
        rest = backbone(net, classes)
        self.order = [f"layer{i + 1}" for i in range(stage + 1, rest.depth)]
        for name in self.order:
            setattr(self, name, getattr(rest, name))
        self.fc = rest.fc

    def forward(self, x):
        for name in self.order:
            x = getattr(self, name)(x)
        return self.fc(x.mean((2, 3)))


def head(config, widths, stage, classes):
    """The head of `config` after stage `stage`; every stage but the first halves the map."""
    here, last = widths[stage], widths[-1]
    links = list(zip(widths[stage:], widths[stage + 1 :]))
    kind = config["name"]
    if kind == "sepconv":
        chain = []
        for a, b in links:
            byot = config["style"] == "byot"
            chain += [SepConv(a, a, 2), SepConv(a, b, 1)] if byot else [SepConv(a, b, 2)]
        return Head(last, classes, chain=nn.Sequential(*chain))
    if kind == "bottleneck":
        k, middle = 2 ** len(links), max(last // 4, 1)
        layers = [ConvBn(here, middle, 1), ConvBn(middle, middle, k, k, 0), ConvBn(middle, last, 1)]
        return Head(last, classes, layers=nn.Sequential(*(layers if links else [])))
    if kind == "conv":
        width = config["width"]
        convs = {"conv1": ConvBn(here, width, 3, 2), "conv2": ConvBn(width, width, 3, 2)}
        return Head(width, classes, **convs)
    if kind == "projector":
        return Projectors(here, config, last, classes)
    return Head(here, classes)


class MultiExit(nn.Module):
    """The usual model with `exits`; the last head is its own `fc` where that is all there is to it."""

    def __init__(self, net, stages, classes):
        super().__init__()
        self.__dict__["body"] = backbone(net["backbone"], classes)
        for name, module in self.body.named_children():
            self.add_module(name, module)
        widths = SMALL[net["backbone"]["name"]][2]
        self.stages = stages
        kind = net["head"]["name"]
        plain = kind in ("linear", "sepconv", "bottleneck", "branch")
        early = stages[:-1] if plain else stages

        def exit(stage):
            if kind == "branch":
                return Branch(net["backbone"], stage, classes)
            return head(net["head"], widths, stage, classes)

        exits = {str(k): exit(s) for k, s in enumerate(early)}
        self.exits = nn.ModuleDict(exits)
        if not plain:
            del self.fc
        if not exits:
            del self.exits

    def forward(self, x):
        maps = list(self.body.maps(x))
        exits = getattr(self, "exits", {})
        return [
            exits[str(k)](maps[s]) if str(k) in exits else self.fc(maps[s].mean((2, 3)))
            for k, s in enumerate(self.stages)
        ]
