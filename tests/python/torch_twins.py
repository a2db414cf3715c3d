"""PyTorch's side of exported networks: backbones that torchvision lacks or has for large images only, and the exit heads.

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


class Wide(nn.Module):
    """Zagoruyko and Komodakis' pre-activation block."""

    def __init__(self, c_in, c_out, stride):
        super().__init__()
        self.bn1, self.conv1 = nn.BatchNorm2d(c_in), nn.Conv2d(c_in, c_out, 3, stride, 1, bias=False)
        self.bn2, self.conv2 = nn.BatchNorm2d(c_out), nn.Conv2d(c_out, c_out, 3, 1, 1, bias=False)
        if c_in != c_out:
            self.convShortcut = nn.Conv2d(c_in, c_out, 1, stride, bias=False)

    def forward(self, x):
        y = F.relu(self.bn1(x))
        around = self.convShortcut(y) if hasattr(self, "convShortcut") else x
        return self.conv2(F.relu(self.bn2(self.conv1(y)))) + around


class WideResNet(nn.Module):
    def __init__(self, depth, widen, classes):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 16, 3, padding=1, bias=False)
        before = 16
        for i in range(3):
            width, blocks = 16 * widen << i, []
            for j in range((depth - 4) // 6):
                blocks.append(Wide(before, width, 2 if i > 0 and j == 0 else 1))
                before = width
            block = nn.Module()
            block.layer = nn.Sequential(*blocks)
            setattr(self, f"block{i + 1}", block)
        self.bn1, self.fc = nn.BatchNorm2d(before), nn.Linear(before, classes)

    def forward(self, x):
        x = self.conv1(x)
        for block in (self.block1, self.block2, self.block3):
            x = block.layer(x)
        return self.fc(F.relu(self.bn1(x)).mean((2, 3)))


class SmallVgg(nn.Module):
    """Five blocks of convolutions; the first three are pooled."""

    def __init__(self, convolutions, classes):
        super().__init__()
        before = 3
        for i, (count, width) in enumerate(zip(convolutions, [64, 128, 256, 512, 512])):
            layers = []
            for _ in range(count):
                layers += [nn.Conv2d(before, width, 3, padding=1), nn.BatchNorm2d(width), nn.ReLU()]
                before = width
            setattr(self, f"block{i}", nn.Sequential(*layers))
        self.classifier = nn.Linear(before, classes)

    def forward(self, x):
        for i in range(5):
            x = getattr(self, f"block{i}")(x)
            x = F.max_pool2d(x, 2) if i < 3 else x
        return self.classifier(x.mean((2, 3)))


class Shuffle(nn.Module):
    """Zhang et al.'s unit, `small` in the form of kuangliu/pytorch-cifar."""

    def __init__(self, c_in, c_out, halves, small):
        super().__init__()
        self.halves, self.small = halves, small
        new = c_out - c_in if halves else c_out
        inner = (new if small else c_out) // 4
        self.groups = 1 if c_in == 24 else 3
        self.conv1 = nn.Conv2d(c_in, inner, 1, groups=self.groups, bias=False)
        self.bn1 = nn.BatchNorm2d(inner)
        self.conv2 = nn.Conv2d(inner, inner, 3, 2 if halves else 1, 1, groups=inner, bias=False)
        self.bn2 = nn.BatchNorm2d(inner)
        self.conv3 = nn.Conv2d(inner, new, 1, groups=3, bias=False)
        self.bn3 = nn.BatchNorm2d(new)

    def forward(self, x):
        y = F.channel_shuffle(F.relu(self.bn1(self.conv1(x))), self.groups)
        y = self.bn2(self.conv2(y))
        y = self.bn3(self.conv3(F.relu(y) if self.small else y))
        return F.relu(torch.cat([y, F.avg_pool2d(x, 3, 2, 1)], 1) if self.halves else y + x)


class ShuffleNetV1(nn.Module):
    def __init__(self, small, classes):
        super().__init__()
        self.small = small
        self.conv1 = nn.Conv2d(3, 24, 1 if small else 3, 1 if small else 2, 0 if small else 1, bias=False)
        self.bn1 = nn.BatchNorm2d(24)
        before = 24
        for i, (width, count) in enumerate(zip([240, 480, 960], [4, 8, 4])):
            units = []
            for j in range(count):
                units.append(Shuffle(before, width, j == 0, small))
                before = width
            setattr(self, f"layer{i + 1}", nn.Sequential(*units))
        self.linear = nn.Linear(before, classes)

    def forward(self, x):
        x = F.relu(self.bn1(self.conv1(x)))
        x = x if self.small else F.max_pool2d(x, 3, 2, 1)
        return self.linear(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


class Net(nn.Module):
    """Convolution, batch norm and ReLU, once or twice: the parts are called `net`."""

    def __init__(self, *convs):
        super().__init__()
        layers = []
        for c_in, c_out, kernel, stride in convs:
            conv = nn.Conv2d(c_in, c_out, kernel, stride, kernel // 2, bias=False)
            layers += [conv, nn.BatchNorm2d(c_out), nn.ReLU()]
        self.net = nn.Sequential(*layers)

    def forward(self, x):
        return self.net(x)


def bottleneck(c_in, new, width, stride):
    inner = min(c_in, width * new)
    return Net((c_in, inner, 1, 1), (inner, new, 3, stride))


class MsdLayer(nn.Module):
    """A layer of MSDNet; `parts` makes a map of each scale that is kept from the maps of all before."""

    def __init__(self, layers, kind):
        super().__init__()
        setattr(self, "m" if kind == "each" else "layers", nn.ModuleList(layers))
        self.kind = kind

    def forward(self, maps):
        if self.kind == "each":
            return [layer(x) for layer, x in zip(self.m, maps)]
        if self.kind == "stem":
            for layer in self.layers:
                maps = [*maps, layer(maps[-1])]
            return maps[1:]
        gone = len(maps) - len(self.layers)
        made = []
        for i, layer in enumerate(self.layers, gone):
            parts = [maps[i], layer.conv_normal(maps[i])]
            if hasattr(layer, "conv_down"):
                parts.insert(1, layer.conv_down(maps[i - 1]))
            made.append(torch.cat(parts, 1))
        return made


class MsdNet(nn.Module):
    """Huang et al.'s network, pruned after every part of the layers (`max`)."""

    def __init__(self, steps, channels, growth, factors, imagenet, classes):
        super().__init__()
        scales, total, layer = len(factors), sum(steps), 0
        interval = -(-total // scales)
        self.blocks = nn.ModuleList()
        for block, step in enumerate(steps):
            layers = []
            if block == 0:
                chain, before = [], 3
                for i, f in enumerate(factors):
                    first, width = i == 0, channels * f
                    if first and imagenet:
                        conv = nn.Conv2d(before, width, 7, 2, 3)
                        chain.append(nn.Sequential(conv, nn.BatchNorm2d(width), nn.ReLU(), nn.MaxPool2d(3, 2, 1)))
                    else:
                        chain.append(Net((before, width, 3, 1 if first else 2)))
                    before = width
                layers.append(MsdLayer(chain, "stem"))
            for _ in range(step):
                layer += 1
                before = scales - max(layer - 2, 0) // interval
                kept = scales - (layer - 1) // interval
                joints = []
                for i in range(scales - kept, scales):
                    f, joint = factors[i], nn.Module()
                    alone = i == 0 or (i == scales - kept and before == kept)
                    new = growth * f if alone else growth * f // 2
                    joint.conv_normal = bottleneck(channels * f, new, f, 1)
                    if not alone:
                        finer = factors[i - 1]
                        joint.conv_down = bottleneck(channels * finer, new, finer, 2)
                    joints.append(joint)
                layers.append(MsdLayer(joints, "dense"))
                channels += growth
                if kept < before:
                    halves = [Net((channels * f, channels // 2 * f, 1, 1)) for f in factors[scales - kept :]]
                    layers.append(MsdLayer(halves, "each"))
                    channels //= 2
            self.blocks.append(nn.Sequential(*layers))
        self.fc = nn.Linear(channels * factors[-1], classes)

    def forward(self, x):
        maps = [x]
        for block in self.blocks:
            maps = block(maps)
        return self.fc(maps[-1].mean((2, 3)))


class Features(nn.Module):
    """torchvision's features with one linear layer in the place of its larger classifier."""

    def __init__(self, features, width, classifier, classes):
        super().__init__()
        self.features, self.key = features, classifier
        if "." in classifier:
            self.classifier = nn.ModuleDict({classifier.split(".")[1]: nn.Linear(width, classes)})
        else:
            self.classifier = nn.Linear(width, classes)

    def forward(self, x):
        x = self.features(x).mean((2, 3))
        last = self.classifier
        return last(x) if isinstance(last, nn.Linear) else last[self.key.split(".")[1]](x)


def shrink_stem(model, name):
    """torchvision's model in the form for small images: strides and pooling of the first layers taken away."""
    if name.startswith(("resnet", "resnext")):
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    elif name.startswith("shufflenetv2"):
        model.conv1[0].stride, model.maxpool = (1, 1), nn.Identity()
    elif name.startswith("densenet"):
        model.features.conv0 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
        model.features.pool0 = nn.Identity()
    elif name == "mobilenetv2":
        model.features[0][0].stride = model.features[2].conv[1][0].stride = (1, 1)
    else:
        model.features[0][0].stride = model.features[1].block[0][0].stride = (1, 1)
        model.features[1].use_res_connect = True
    return model


TORCHVISION = {
    "mobilenetv2": "mobilenet_v2",
    "mobilenetv3-small": "mobilenet_v3_small",
    "shufflenetv2-x0.5": "shufflenet_v2_x0_5",
    "shufflenetv2": "shufflenet_v2_x1_0",
    "shufflenetv2-x1.5": "shufflenet_v2_x1_5",
    "shufflenetv2-x2.0": "shufflenet_v2_x2_0",
    "resnext50-32x4d": "resnext50_32x4d",
    "densenet121": "densenet121",
    **{f"resnet{n}": f"resnet{n}" for n in (18, 34, 50, 101, 152)},
    **{f"vgg{n}": f"vgg{n}_bn" for n in (11, 13, 16, 19)},
}
MSDNET = {
    "msdnet": ([4] + [2] * 6, 16, 6, [1, 2, 4], False),
    "msdnet-batch": ([1, 2, 3, 4, 5], 16, 6, [1, 2, 4], False),
    "msdnet-imagenet": ([4] * 5, 32, 16, [1, 2, 4, 4], True),
}
VGG = {8: [1] * 5, 11: [1, 1, 2, 2, 2], 13: [2] * 5, 16: [2, 2, 3, 3, 3], 19: [2, 2, 4, 4, 4]}


def classifier_of(net):
    """What the classifier is called."""
    name = net["name"]
    return {"mobilenetv2": "classifier.1", "mobilenetv3-small": "classifier.3", "shufflenetv1": "linear"}.get(
        name, "classifier" if name.startswith(("vgg", "densenet")) else "fc"
    )


def backbone(net, classes):
    """The usual model of a backbone with one linear classifier, or nothing where there is none."""
    name = net["name"]
    if net.get("shortcut", "conv") != "conv" or net.get("taps", "layers") != "layers":
        return None
    if net.get("width", 1.0) != 1.0:
        return None
    small = net.get("stem", "small") == "small"
    if name.startswith("wrn"):
        depth, widen = name.removeprefix("wrn").split("-")
        return WideResNet(int(depth), int(widen), classes)
    if name == "shufflenetv1":
        return ShuffleNetV1(small, classes)
    if name in MSDNET:
        return MsdNet(*MSDNET[name], classes)
    if name.startswith("vgg") and small:
        return SmallVgg(VGG[int(name.removeprefix("vgg"))], classes)
    if name in SMALL and small:
        return SmallResNet(*SMALL[name], classes)
    if name not in TORCHVISION:
        return None
    model = getattr(torchvision.models, TORCHVISION[name])(num_classes=classes)
    model = shrink_stem(model, name) if small else model
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = 0.0
    if name.startswith("vgg"):
        return Features(model.features, 512, classifier_of(net), classes)
    if name == "mobilenetv3-small":
        return Features(model.features, 576, classifier_of(net), classes)
    return model


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
