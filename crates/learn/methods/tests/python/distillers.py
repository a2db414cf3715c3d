"""Golden values of crates/learn/methods/tests/all/distillers.rs, from PyTorch in float64.

    python crates/learn/methods/tests/python/distillers.py

Inputs and parameters are sine waves, which the Rust test computes alike; parameters are numbered
in the order of their names. Written from the papers' equations.
"""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)

N, CLASSES = 5, 4
STUDENT = [(3, 8, 8), (4, 4, 4), (6, 2, 2)]
STUDENT_MAP = (6, 2, 2)
TEACHER = [(4, 16, 16), (4, 8, 8), (6, 4, 4), (8, 3, 3)]
TEACHER_MAP = (64, 3, 3)
LABELS = torch.tensor([1, 0, 3, 1, 2])
# Stages of STUDENT and TEACHER at the same relative depth.
PAIRS = [(0, 0), (1, 2), (2, 3)]
# CRD: rows of the batch among 7, and what the generator of seed 7 draws at steps 100 and 101.
MEMORY = 7
ROWS = torch.tensor([0, 2, 3, 5, 6])
DRAWS = [[0, 1, 6, 1, 1, 0], [4, 0, 0, 4, 5, 0]]


def wave(seed, shape, scale=1.0):
    count = 1
    for side in shape:
        count *= side
    i = torch.arange(count).double()
    return scale * torch.sin(0.9 * seed + 1.7 * i + 0.05 * i * i).reshape(shape)


class View:
    """One network's outputs."""

    def __init__(self, seed, stages, last):
        self.stages = [wave(seed + s, (N, *shape)) for s, shape in enumerate(stages)]
        self.map = wave(seed + 10, (N, *last))
        self.embedding = self.map.mean((2, 3))
        self.logits = wave(seed + 20, (N, CLASSES), 3.0)


def parameters(shapes):
    return {name: wave(100 + k, shapes[name], 0.5) for k, name in enumerate(sorted(shapes))}


def smaller(a, b):
    size = [min(x, y) for x, y in zip(a.shape[2:], b.shape[2:])]
    return F.adaptive_avg_pool2d(a, size), F.adaptive_avg_pool2d(b, size)


def batch_norm_relu(x, p, name):
    return F.relu(F.batch_norm(x, None, None, p[name + ".weight"], p[name + ".bias"], training=True))


def show(name, value):
    print(f"{name:24} {value.item():.12f}")


def dkd(s, t, label="dkd", temperature=4.0):
    p, q = F.softmax(t.logits / temperature, 1), F.softmax(s.logits / temperature, 1)
    own = F.one_hot(LABELS, CLASSES).bool()
    py, qy = p[own], q[own]
    target = py * (py / qy).log() + (1 - py) * ((1 - py) / (1 - qy)).log()
    p_rest = p[~own].reshape(N, -1) / (1 - py)[:, None]
    q_rest = q[~own].reshape(N, -1) / (1 - qy)[:, None]
    others = (p_rest * (p_rest / q_rest).log()).sum(1)
    show(label + " target", temperature**2 * target.mean())
    show(label + " non-target", temperature**2 * others.mean())


def fitnet(label, source, hint):
    c_s, c_t, side_s, side_t = source.shape[1], hint.shape[1], source.shape[2], hint.shape[2]
    name, shape = "conv.conv.weight", (c_t, c_s, 1, 1)
    if side_s == side_t:
        name = "conv.weight"
    elif side_s == 2 * side_t:
        name, shape = "conv.weight", (c_t, c_s, 3, 3)
    elif 2 * side_s == side_t:
        name, shape = "conv.weight", (c_s, c_t, 4, 4)
    p = parameters({name: shape, "bn.weight": (c_t,), "bn.bias": (c_t,)})
    if shape[-1] == 4:
        x = F.conv_transpose2d(source, p[name], stride=2, padding=1)
    elif shape[-1] == 3:
        x = F.conv2d(source, p[name], stride=2, padding=1)
    else:
        source, hint = smaller(source, hint)
        x = F.conv2d(source, p[name])
    show(label, F.mse_loss(batch_norm_relu(x, p, "bn"), hint))


def at(s, t, label, power):
    def attention(f):
        return F.normalize(f.abs().pow(power).mean(1).flatten(1), dim=1)

    loss = 0.0
    for i, j in PAIRS:
        a, b = smaller(s.stages[i], t.stages[j])
        loss = loss + (attention(a) - attention(b)).pow(2).mean()
    show(label, loss)


def sp(s, t):
    def gram(f):
        f = f.flatten(1)
        return F.normalize(f @ f.T, dim=1)

    show("sp", (gram(t.map) - gram(s.map)).norm() ** 2 / N**2)


def vid(s, t):
    shapes = {}
    for k, (i, j) in enumerate(PAIRS):
        c_s, c_t = STUDENT[i][0], TEACHER[j][0]
        shapes[f"regressors.{k}.conv1.weight"] = (c_t, c_s, 1, 1)
        shapes[f"regressors.{k}.conv2.weight"] = (c_t, c_t, 1, 1)
        shapes[f"regressors.{k}.conv3.weight"] = (c_t, c_t, 1, 1)
        shapes[f"regressors.{k}.rho"] = (c_t,)
    p = parameters(shapes)
    loss = 0.0
    for k, (i, j) in enumerate(PAIRS):
        x, hint = smaller(s.stages[i], t.stages[j])
        x = F.relu(F.conv2d(x, p[f"regressors.{k}.conv1.weight"]))
        x = F.relu(F.conv2d(x, p[f"regressors.{k}.conv2.weight"]))
        x = F.conv2d(x, p[f"regressors.{k}.conv3.weight"])
        variance = (1 + p[f"regressors.{k}.rho"].exp()).log() + 1e-5
        variance = variance.reshape(1, -1, 1, 1).expand_as(x)
        normal = torch.distributions.Normal(x, variance.sqrt())
        constant = 0.5 * torch.log(torch.tensor(2 * torch.pi))
        loss = loss - (normal.log_prob(hint) + constant).mean()
    show("vid", loss)


def rkd(s, t):
    def relations(x):
        d = torch.cdist(x, x, compute_mode="donot_use_mm_for_euclid_dist")
        d = d / (d.sum() / (N * (N - 1)))
        angles = torch.zeros(N, N, N)
        for i in range(N):
            for j in range(N):
                for k in range(N):
                    if i != j and i != k:
                        angles[i, j, k] = F.cosine_similarity(x[j] - x[i], x[k] - x[i], dim=0)
        return d, angles

    for name, a, b in zip(["distance", "angle"], relations(s.embedding), relations(t.embedding)):
        show("rkd " + name, F.smooth_l1_loss(a, b))


def pkt(s, t):
    def neighbours(x):
        cosine = F.cosine_similarity(x[:, None], x[None], dim=2)
        closeness = (cosine + 1) / 2
        return closeness / closeness.sum(1, keepdim=True)

    p, q = neighbours(t.embedding), neighbours(s.embedding)
    show("pkt", (p * torch.log((p + 1e-7) / (q + 1e-7))).mean())


def crd(s, t):
    dim, tau, momentum, k = 4, 0.5, 0.5, len(DRAWS[0])
    widths = {"student": STUDENT_MAP[0], "teacher": TEACHER_MAP[0]}
    shapes = {}
    for side, width in widths.items():
        shapes[side + ".bank"] = (MEMORY, dim)
        shapes[side + ".embed.weight"] = (dim, width)
        shapes[side + ".embed.bias"] = (dim,)
    p = parameters(shapes)
    v = {
        side: F.normalize(F.linear(f, p[side + ".embed.weight"], p[side + ".embed.bias"]), dim=1)
        for side, f in [("student", s.embedding), ("teacher", t.embedding)]
    }
    bank = {side: p[side + ".bank"].clone() for side in widths}
    classes = torch.full((MEMORY,), -1)
    scale = {}
    for step, draws in enumerate(DRAWS):
        drawn = torch.tensor(draws)
        loss = 0.0
        for own, other in [("student", "teacher"), ("teacher", "student")]:
            right = (v[own] * bank[other][ROWS]).sum(1).div(tau).exp()
            wrong = (v[own] @ bank[other][drawn].T).div(tau).exp()
            alike = (drawn[None] == ROWS[:, None]) | (classes[drawn][None] == LABELS[:, None])
            weight = (~alike).double()
            weight = weight * k / weight.sum(1, keepdim=True).clamp(min=1)
            if step == 0:
                scale[own] = MEMORY * (right.sum() + (wrong * weight).sum()) / (N * (k + 1))
            right, wrong = right / scale[own], wrong / scale[own]
            odds = k / MEMORY
            log_h = torch.log(right / (right + odds)).sum()
            log_not = (weight * torch.log(odds / (wrong + odds))).sum()
            loss = loss - (log_h + log_not) / N
        show(f"crd step {step}", loss)
        for side in widths:
            old = bank[side][ROWS]
            bank[side][ROWS] = F.normalize(momentum * old + (1 - momentum) * v[side], dim=1)
        classes[ROWS] = LABELS


def srrl(s, t):
    c_s, c_t = STUDENT_MAP[0], TEACHER_MAP[0]
    p = parameters({
        "conv.weight": (c_t, c_s, 1, 1),
        "bn.weight": (c_t,),
        "bn.bias": (c_t,),
        "classifier.weight": (CLASSES, c_t),
        "classifier.bias": (CLASSES,),
    })
    x = F.conv2d(s.embedding[:, :, None, None], p["conv.weight"])
    x = batch_norm_relu(x, p, "bn").flatten(1)
    show("srrl feature", F.mse_loss(x, t.embedding))
    logits = F.linear(x, p["classifier.weight"], p["classifier.bias"])
    show("srrl logit", F.mse_loss(logits, t.logits))


def semckd(s, t):
    width, many = N // 2, len(TEACHER)
    shapes = {}
    for kind, count in [("queries", len(STUDENT)), ("keys", many)]:
        for k in range(count):
            shapes[f"{kind}.{k}.linear1.weight"] = (2 * width, N)
            shapes[f"{kind}.{k}.linear1.bias"] = (2 * width,)
            shapes[f"{kind}.{k}.linear2.weight"] = (width, 2 * width)
            shapes[f"{kind}.{k}.linear2.bias"] = (width,)
    for i, (c_s, *_) in enumerate(STUDENT):
        for j, (c_t, *_) in enumerate(TEACHER):
            at, mid = f"projections.{i * many + j}.", 2 * c_t
            shapes[at + "conv1.weight"] = (mid, c_s, 1, 1)
            shapes[at + "conv2.weight"] = (mid, mid, 3, 3)
            shapes[at + "conv3.weight"] = (c_t, mid, 1, 1)
            for bn in ["bn1", "bn2"]:
                shapes[at + bn + ".weight"] = (mid,)
                shapes[at + bn + ".bias"] = (mid,)
    p = parameters(shapes)

    def embed(f, name):
        f = f.flatten(1)
        x = F.relu(F.linear(f @ f.T, p[name + ".linear1.weight"], p[name + ".linear1.bias"]))
        return F.normalize(F.linear(x, p[name + ".linear2.weight"], p[name + ".linear2.bias"]), dim=1)

    queries = torch.stack([embed(f, f"queries.{i}") for i, f in enumerate(s.stages)], 1)
    keys = torch.stack([embed(f, f"keys.{j}") for j, f in enumerate(t.stages)], 1)
    attention = F.softmax(torch.einsum("nid,njd->nij", queries, keys) / 0.5, dim=2)
    loss = 0.0
    for i, f in enumerate(s.stages):
        for j, hint in enumerate(t.stages):
            x, target = smaller(f, hint)
            at = f"projections.{i * many + j}."
            x = batch_norm_relu(F.conv2d(x, p[at + "conv1.weight"]), p, at + "bn1")
            x = batch_norm_relu(F.conv2d(x, p[at + "conv2.weight"], padding=1), p, at + "bn2")
            x = F.conv2d(x, p[at + "conv3.weight"])
            error = (x - target).pow(2).flatten(1).mean(1)
            loss = loss + (attention[:, i, j] * error).sum()
    show("semckd", loss / (N * len(s.stages)))


def main():
    s, t = View(1, STUDENT, STUDENT_MAP), View(40, TEACHER, TEACHER_MAP)
    kd = F.kl_div(F.log_softmax(s.logits / 4, 1), F.softmax(t.logits / 4, 1), reduction="batchmean")
    show("kd", 16 * kd)
    dkd(s, t)
    fitnet("fitnet transposed", s.stages[0], t.stages[0])
    fitnet("fitnet equal", s.stages[1], t.stages[2])
    fitnet("fitnet pooled", s.stages[2], t.stages[3])
    fitnet("fitnet stride 2", t.stages[0], s.stages[0])
    at(s, t, "at", 2)
    at(s, t, "at power 3", 3)
    sp(s, t)
    vid(s, t)
    rkd(s, t)
    pkt(s, t)
    crd(s, t)
    srrl(s, t)
    semckd(s, t)


if __name__ == "__main__":
    main()
