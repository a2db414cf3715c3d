"""Golden values of crates/learn/methods/tests/all/online.rs, from PyTorch in float64.

    python crates/learn/methods/tests/python/online.py     # needs torch

Four exits of sine waves, which the Rust test computes alike. Written from the papers' equations;
gradients by autograd, where they may flow.
"""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

N, EXITS, CLASSES, WIDTH = 3, 4, 5, 6
LABELS = torch.tensor([1, 0, 3])
T = 3.0


def wave(seed, shape, scale=1.0):
    i = torch.arange(torch.Size(shape).numel()).double()
    wave = scale * torch.sin(0.9 * seed + 1.7 * i + 0.05 * i * i).reshape(shape)
    return wave.requires_grad_()


def show(name, *tensors):
    numbers = [x for t in tensors for x in t.detach().flatten().tolist()]
    print(name, "[" + ", ".join(f"{x:.9f}" for x in numbers) + "]")


def outputs():
    logits = [wave(k, (N, CLASSES), 3.0) for k in range(EXITS)]
    embeddings = [wave(10 + k, (N, WIDTH)) for k in range(EXITS)]
    return logits, embeddings, wave(30, (N, WIDTH, 2, 2))


def kl(student, target, t=T):
    p = F.log_softmax(target / t, 1)
    return t * t * (p.exp() * (p - F.log_softmax(student / t, 1))).sum(1).mean()


def first_rows(loss, *leaves):
    """The gradients of the leaves, of the first sample or row alone."""
    gradients = torch.autograd.grad(loss, leaves, allow_unused=True)
    return [g[0] for g in gradients if g is not None]


def dml():
    for target in ["each", "mean"]:
        for detach in [True, False]:
            z, _, _ = outputs()
            t = [x.detach() if detach else x for x in z]
            kd = []
            for i in range(EXITS):
                others = [t[j] for j in range(EXITS) if j != i]
                if target == "each":
                    kd.append(sum(kl(z[i], x) for x in others) / len(others))
                else:
                    kd.append(kl(z[i], sum(others) / len(others)))
            name = f"dml {target} {'detached' if detach else 'not detached'}"
            show(name, torch.stack(kd))
            show(name + ", gradient of the second exit", *first_rows(sum(kd), z[1]))


def one():
    for detach in [True, False]:
        z, _, x = outputs()
        weight = wave(100, (EXITS, WIDTH), 0.5)
        scale, shift = wave(101, (EXITS,), 0.5), wave(102, (EXITS,), 0.5)
        scores = F.linear(x.mean((2, 3)), weight)
        scores = F.batch_norm(scores, None, None, scale, shift, training=True)
        gate = F.softmax(F.relu(scores), 1)
        e = sum(gate[:, j : j + 1] * z[j] for j in range(EXITS))
        target = e.detach() if detach else e
        ce, kd = F.cross_entropy(e, LABELS), torch.stack([kl(s, target) for s in z])
        name = f"one {'detached' if detach else 'not detached'}"
        show(name, ce, kd)
        loss = ce + kd.sum()
        exit, shared, gated = torch.autograd.grad(loss, [z[1], x, weight])
        show(f"{name}, gradient of exit 1", exit[0])
        show(f"{name}, gradient of the map's first pixel", shared[0, :, 0, 0])
        show(f"{name}, gradient of W", gated[:, 0])


def okddip():
    for detach in [False, True]:
        z, f, _ = outputs()
        query, key = wave(101, (3, WIDTH), 0.5), wave(100, (3, WIDTH), 0.5)
        constant = (lambda x: x.detach()) if detach else (lambda x: x)
        peers = EXITS - 1
        q = torch.stack([F.linear(constant(x), query) for x in f[:peers]], 1)
        k = torch.stack([F.linear(constant(x), key) for x in f[:peers]], 1)
        attention = F.softmax(q @ k.transpose(1, 2), 2)
        block = torch.stack([constant(x) for x in z[:peers]], 1)
        t = attention @ block
        kd = [kl(z[i], t[:, i]) for i in range(peers)] + [kl(z[peers], block.mean(1))]
        name = f"okddip {'detached' if detach else 'not detached'}"
        show(name, torch.stack(kd))
        leaves = {"exit 1": z[1], "leader": z[3], "W_q": query, "W_k": key}
        if not detach:
            leaves["embedding 1"] = f[1]
        for what, gradient in zip(leaves, first_rows(sum(kd), *leaves.values())):
            show(f"{name}, gradient of {what}", gradient)


dml()
one()
okddip()
