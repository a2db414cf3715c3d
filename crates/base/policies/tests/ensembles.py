"""The numbers of ensembles.rs, from the definitions; plain Python."""
import math


def softmax(z):
    e = [math.exp(v - max(z)) for v in z]
    return [v / sum(e) for v in e]


Z = [[2.0, 1.0, -1.0], [0.5, 3.0, 0.25], [1.0, 2.0, 4.0]]
P = [softmax(z) for z in Z]
W = [[0.1], [-0.5, 0.3], [0.2, 0.0, 0.4]]
B = [[0.0, 0.2, -0.1], [0.1, 0.0, 0.0], [0.0, -0.3, 0.3]]

for k in range(3):
    mean = [sum(math.exp(W[k][j]) * math.log(P[j][c]) for j in range(k + 1)) / (k + 1) for c in range(3)]
    print("ztw", k, softmax([m + b for m, b in zip(mean, B[k])]))
for k in range(3):
    q = [math.prod(max(Z[j][c], 0.0) ** ((j + 1) / 3) for j in range(k + 1)) for c in range(3)]
    print("product", k, [v / sum(q) for v in q])
best = P[0]
for k in range(3):
    best = P[k] if max(P[k]) >= max(best) else best
    print("surest", k, best)
