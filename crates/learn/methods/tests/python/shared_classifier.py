"""Golden numbers of tests/all/shared_classifier.rs and tests/all/several_teachers.rs, in float64.

    python crates/learn/methods/tests/python/shared_classifier.py     # needs torch
"""

import torch
import torch.nn.functional as F

torch.set_default_dtype(torch.float64)


def fill(seed, *shape):
    """The same plain numbers as `fill` in tests/support/by_hand.rs."""
    count = torch.Size(shape).numel()
    return torch.tensor([((7 * i + 3 * seed) % 11) / 5 - 1 for i in range(count)]).reshape(shape)


def show(name, tensor):
    print(name, [round(x, 9) for x in tensor.detach().flatten().tolist()])


def simkd():
    """Two teachers: a projected map of 2 + 1 channels; both teachers' maps are larger."""
    student = fill(1, 2, 3, 2, 2).requires_grad_()
    a = F.adaptive_avg_pool2d(fill(2, 2, 2, 4, 4), (2, 2))
    b = F.adaptive_avg_pool2d(fill(3, 2, 1, 3, 3), (2, 2))
    loss = (F.mse_loss(student[:, :2], a) + F.mse_loss(student[:, 2:], b)) / 2
    loss.backward()
    show("simkd", loss)
    show("simkd gradient, first sample", student.grad[0])


def merged():
    """mean_k (W_k e_k + b_k) is one layer of the joined embeddings."""
    a, b = torch.nn.Linear(2, 3), torch.nn.Linear(3, 3)
    e, f = fill(1, 4, 2), fill(2, 4, 3)
    joined = F.linear(
        torch.cat([e, f], 1), torch.cat([a.weight, b.weight], 1) / 2, (a.bias + b.bias) / 2
    )
    assert torch.allclose(joined, (a(e) + b(f)) / 2)


def divergence(student, teacher, t):
    p = F.log_softmax(teacher / t, 1)
    return t * t * (p.exp() * (p - F.log_softmax(student / t, 1))).sum(1)


def weighing():
    student = fill(1, 3, 3).requires_grad_()
    teachers = [2 * fill(2, 3, 3), 3 * fill(3, 3, 3)]
    labels = torch.tensor([0, 2, -1])
    kl = torch.stack([divergence(student, t, 4.0) for t in teachers])

    entropy = torch.stack([-(F.softmax(t, 1) * F.log_softmax(t, 1)).sum(1) for t in teachers])
    ebkd = ((1 - entropy / entropy.sum(0)) * kl).mean()
    show("ebkd", ebkd)
    show("ebkd gradient", torch.autograd.grad(ebkd, student, retain_graph=True)[0])

    def confidence(logits):
        ce = [F.cross_entropy(z, labels, reduction="none", ignore_index=-1) for z in logits]
        return (1 - F.softmax(torch.stack(ce), 0)) / (len(logits) - 1)

    ca = (confidence(teachers) * kl).mean()
    show("ca-mkd", ca)
    show("ca-mkd gradient", torch.autograd.grad(ca, student)[0])

    # Features: widths 2 and 3, sides 2 and 4, the student's map 2 x 4 x 4.
    f_s = fill(4, 3, 2, 4, 4).requires_grad_()
    maps = [fill(5, 3, 2, 2, 2).relu(), fill(6, 3, 3, 4, 4).relu()]
    logits, gaps = [], []
    for k, f_t in enumerate(maps):
        width, side = f_t.shape[1], f_t.shape[2]
        conv = fill(7 + k, width, 2, 1, 1)
        x = F.conv2d(F.adaptive_avg_pool2d(f_s, (side, side)), conv)
        x = F.relu(F.batch_norm(x, None, None, training=True, eps=1e-5))
        logits.append(F.linear(x.mean((2, 3)), fill(9 + k, 3, width), fill(11 + k, 3)))
        gaps.append(((x - f_t) ** 2).flatten(1).mean(1))
    feature = (confidence(logits) * torch.stack(gaps)).mean()
    show("ca-mkd feature", feature)
    gradient = torch.autograd.grad(feature, f_s)[0]
    show("ca-mkd feature gradient, second sample, first channel", gradient[1, 0])


def average():
    """Section 6.17: teachers against z1, label 0."""
    student = torch.tensor([[1.0, 0.0, -1.0]])
    teachers = [torch.tensor([t]) for t in ([3.0, 1.0, 0.0], [0.0, 2.0, 0.0], [1.0, 1.0, 1.0])]
    kl = torch.cat([divergence(student, t, 4.0) for t in teachers])
    show("AVER", kl.mean())


simkd()
merged()
weighing()
average()
