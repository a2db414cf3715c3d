"""Golden values of crates/learn/heads/tests/cascade.rs, from PyTorch in float64.

    python crates/learn/heads/tests/python/cascade.py

Inputs and parameters are sine waves, which the Rust test computes alike; parameters are numbered in
the order of their names. The exits are put together as their papers do it: one linear layer on
joined vectors, and BoostNet's scaled sums with the loss of each weak learner. Of every gradient a
sum weighted by a wave is printed.
"""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

N, CLASSES, WIDTHS = 4, 5, [16, 32, 64]
LABELS = torch.tensor([1, 0, 4, 2])


def wave(seed, shape, scale=1.0):
    count = 1
    for side in shape:
        count *= side
    i = torch.arange(count).double()
    return scale * torch.sin(0.9 * seed + 1.7 * i + 0.05 * i * i).reshape(shape)


def parameters(links):
    shapes = dict(links)
    for k, width in enumerate(WIDTHS):
        shapes[f"heads.{k}.fc.weight"] = (CLASSES, width)
        shapes[f"heads.{k}.fc.bias"] = (CLASSES,)
    names = enumerate(sorted(shapes))
    return {name: wave(100 + i, shapes[name], 0.5).requires_grad_() for i, name in names}


def embedding(k):
    return wave(k, (N, WIDTHS[k], 2, 2)).mean((2, 3))


def own(p, k):
    return p[f"heads.{k}.fc.weight"], p[f"heads.{k}.fc.bias"]


def boost(p, r=0.5):
    """F_k = r (z_k + F_{k-1}); weak learner k is trained on z_k + sg F_{k-1}."""
    ensemble, losses, answers = torch.zeros(N, CLASSES), [], []
    for k in range(3):
        z = F.linear(embedding(k), *own(p, k))
        losses.append(F.cross_entropy(z + ensemble.detach(), LABELS))
        ensemble = r * (z + ensemble)
        answers.append(ensemble / r)
    return answers, sum(losses)


def joined(p, k, beside):
    """The classifier of the embedding and what stands beside it."""
    weight, bias = own(p, k)
    weight = torch.cat([weight, p[f"links.{k}.fc.weight"]], 1)
    return F.linear(torch.cat([embedding(k), beside], 1), weight, bias)


def ztw(p, norm, last):
    answers = [F.linear(embedding(0), *own(p, 0))]
    for k in (1, 2):
        if k == 2 and not last:
            answers.append(F.linear(embedding(2), *own(p, 2)))
            continue
        before = answers[-1].detach()
        if norm:
            scale, shift = p[f"links.{k}.norm.weight"], p[f"links.{k}.norm.bias"]
            before = F.layer_norm(before, (CLASSES,), scale, shift)
        answers.append(joined(p, k, before))
    return answers, sum(F.cross_entropy(z, LABELS) for z in answers)


def isc(p):
    answers = [F.linear(embedding(0), *own(p, 0))]
    for k in (1, 2):
        of = lambda name: p[f"links.{k}.{name}"]
        wide = F.linear(answers[-1], of("expand.weight"), of("expand.bias"))
        wide = F.batch_norm(wide, None, None, of("bn.weight"), of("bn.bias"), training=True)
        answers.append(joined(p, k, F.relu(wide)))
    return answers, sum(F.cross_entropy(z, LABELS) for z in answers)


def show(title, p, result):
    answers, loss = result
    loss.backward()
    print(f"// {title}")
    print(f'("loss", {loss.item():.9f}),')
    for k, answer in enumerate(answers):
        print(f'("logits.{k}", {(answer * wave(50 + k, answer.shape)).sum().item():.9f}),')
    for i, name in enumerate(sorted(p)):
        print(f'("{name}", {(p[name].grad * wave(200 + i, p[name].shape)).sum().item():.9f}),')


p = parameters({})
show("boost", p, boost(p))

p = parameters({"links.1.fc.weight": (CLASSES, CLASSES)})
show("ztw", p, ztw(p, False, False))

shapes = {}
for k in (1, 2):
    shapes[f"links.{k}.fc.weight"] = (CLASSES, CLASSES)
    shapes[f"links.{k}.norm.weight"] = shapes[f"links.{k}.norm.bias"] = (CLASSES,)
p = parameters(shapes)
show("ztw, norm and last", p, ztw(p, True, True))

shapes = {}
for k in (1, 2):
    d = WIDTHS[k]
    shapes[f"links.{k}.expand.weight"] = (d, CLASSES)
    shapes[f"links.{k}.fc.weight"] = (CLASSES, d)
    for name in ("expand.bias", "bn.weight", "bn.bias"):
        shapes[f"links.{k}.{name}"] = (d,)
p = parameters(shapes)
show("isc", p, isc(p))
