"""Golden numbers of the optimisers: PyTorch's update rules in double precision.

The rules are those of the documentation of torch.optim.SGD (dampening 0) and
torch.optim.AdamW (amsgrad off). Gradient of step t: g = w^2 + (-1)^t, so that
it depends on the weights and changes sign. Run: python3 optimizers.py
"""
W, STEPS = [1.0, -0.8, 0.5], 5


def run(rule):
    w, state = list(W), [{} for _ in W]
    for t in range(1, STEPS + 1):
        w = [rule(x, x * x + (-1) ** t, s, t) for x, s in zip(w, state)]
    return w


def sgd(lr, mu, nesterov, wd):
    def rule(w, g, s, t):
        d = g + wd * w
        if mu:
            s["v"] = mu * s["v"] + d if "v" in s else d
            d = d + mu * s["v"] if nesterov else s["v"]
        return w - lr * d
    return rule


def adamw(lr, b1, b2, eps, wd):
    def rule(w, g, s, t):
        w -= lr * wd * w
        s["m"] = b1 * s.get("m", 0.0) + (1 - b1) * g
        s["v"] = b2 * s.get("v", 0.0) + (1 - b2) * g * g
        denominator = (s["v"] / (1 - b2 ** t)) ** 0.5 + eps
        return w - lr / (1 - b1 ** t) * s["m"] / denominator
    return rule


print("SGD_PLAIN", run(sgd(0.1, 0.0, False, 5e-4)))
print("SGD_MOMENTUM", run(sgd(0.1, 0.9, False, 0.01)))
print("SGD_NESTEROV", run(sgd(0.1, 0.9, True, 0.01)))
print("ADAMW", run(adamw(0.1, 0.9, 0.999, 1e-8, 0.05)))
