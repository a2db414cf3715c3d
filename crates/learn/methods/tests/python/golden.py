"""The numbers of the tests that compare with published formulas, in float64 and without any tensor library.

Run: python golden.py. Each line is a name, the numbers, and the test that holds them. The formulas are those of
the papers and of their public code, which the tests name. CE, KL, MATE-R, Phuong and Lampert, DKD, AT and SP were
also compared with that code run under PyTorch.

KL_T(s || t) = T^2 mean_n sum_c p_c (log p_c - log q_c) with p = softmax(t / T), q = softmax(s / T), and
xent_T(s, t) = -T^2 mean_n sum_c p_c log q_c; the student is the first argument. Every batch has one sample.
"""

from math import exp, log, sqrt

Z1, Z2, Z3, Z4 = [1, 0, -1], [2, 0.5, -1], [3, 1, 0], [0, 2, 0]
Z = [Z1, Z2, Z3]
LABEL = 0


def show(name, values, test):
    def text(x):
        return "[" + ", ".join(map(text, x)) + "]" if isinstance(x, (list, tuple)) else f"{x:.6f}"

    print(f"{name:34} {text(values):72} {test}")


def log_softmax(x, t=1.0):
    total = log(sum(exp(v / t) for v in x))
    return [v / t - total for v in x]


def softmax(x, t=1.0):
    return [exp(v) for v in log_softmax(x, t)]


def ce(z, y=LABEL):
    return -log_softmax(z)[y]


def xent(s, t, temperature):
    return -temperature**2 * sum(p * q for p, q in zip(softmax(t, temperature), log_softmax(s, temperature)))


def kl(s, t, temperature):
    return xent(s, t, temperature) - xent(t, t, temperature)


def mse(a, b):
    return sum((x - y) ** 2 for x, y in zip(a, b)) / len(a)


def masked(a, b):
    """(a - b)^2 where one of the two is positive."""
    return sum((x - y) ** 2 for x, y in zip(a, b) if x > 0 or y > 0)


def mix(weights, vectors):
    return [sum(w * v for w, v in zip(weights, column)) for column in zip(*vectors)]


def mean(vectors):
    return mix([1 / len(vectors)] * len(vectors), vectors)


def dot(a, b):
    return sum(x * y for x, y in zip(a, b))


def unit(x):
    length = sqrt(dot(x, x))
    return [v / length for v in x]


show("CE of z1, z2, z3", [ce(z) for z in Z], "losses: cross_entropy")
show("KL_4, KL_3 of z1 from z3", [kl(Z1, Z3, 4), kl(Z1, Z3, 3)], "losses: kl_divergence")
show("xent_3 of z1 from z3", xent(Z1, Z3, 3), "losses: cross_entropy_soft")

# MATE-R: w = softmax(a), e_k = sum_j w_kj z_j, lambda = 0.8, T = 3, mu = 0.
W = [softmax(a) for a in ([2, 1, 0], [0, 1, 0], [0, 1, 2])]
E = [mix(w, Z) for w in W]
PAIRS = [[kl(z, e, 3) for e in E] for z in Z]
KD = sum(PAIRS[i][k] * (0.8 if i == k else 0.1) for i in range(3) for k in range(3))
L_CE, L_W = sum(map(ce, Z)), sum(map(ce, E))
show("MATE-R w", W, "methods: mate")
show("MATE-R e", E, "losses: distillation")
show("MATE-R KL_3(z_i || e_k)", PAIRS, "losses: distillation")
show("MATE-R L_CE, L_W, L_KD, total", [L_CE, L_W, KD, L_CE + L_W + KD], "methods: mate")

# MLCSD-Net: s_i = softmax(W1 f_i) with W1 = 0.5 I, alpha = 5, beta = 10, T = 4, two exits.
F, Y = [[1, 2], [3, -1]], [[2, 0], [1, 0.5]]
S = [softmax([v / 2 for v in f]) for f in F]
T, G = [mix(s, Y) for s in S], [mix(s, F) for s in S]
TERMS = [[ce(z) for z in Y], [kl(z, t, 4) for z, t in zip(Y, T)], [mse(f, g) for f, g in zip(F, G)]]
show("MLCSD s", S, "teachers: learned")
show("MLCSD t, g", [T, G], "teachers: learned")
show("MLCSD CE, KL_4, MSE", TERMS, "methods: mlcsd")
show("MLCSD total", dot([1, 5, 10], [sum(t) for t in TERMS]), "methods: mlcsd")
A, B = [[1, 2], [3, -1]], [[0.5, 1.5], [2, 0]]
RELEASED = sum((A[n][c] - B[m][d]) ** 2 for n in (0, 1) for m in (0, 1) for c in (0, 1) for d in (0, 1)) / 16
show("MLCSD features, meant, released", [sum(map(mse, A, B)) / 2, RELEASED], "methods: mlcsd")

# Phuong and Lampert: sum_i CE(z_i) / 2 + T^2 / 2 sum_{i<K} xent(z_i / T, softmax(z_K / T)), scale 1. T starts at 1 and is
# multiplied by 1.05 while the largest probability of the teacher is above 0.5.
def phuong(t):
    return 0.5 * L_CE + 0.5 * (xent(Z1, Z3, t) + xent(Z2, Z3, t))


temperature = 1.0
for _ in range(41):
    temperature *= 1.05 if max(softmax(Z3, temperature)) > 0.5 else 1
show("Phuong and Lampert T = 1, 1.05, 4", [phuong(1), phuong(1.05), phuong(4)], "methods: phuong_lampert")
show("Phuong and Lampert, T annealed", temperature, "methods: phuong_lampert")

# SimKD: pooling to 1x1, three convolutions with fresh batch norms (a factor of 1 / sqrt(1 + 1e-5) each) and ReLU.
P = [2.5 / sqrt(1 + 1e-5) ** 3, 0.0]
show("SimKD P(f_s), MSE", [P, [mse(P, [2, 0.5])]], "heads: projector, methods: simkd")
# ATSC: P(f_s) = [1, 0], f_t = [2, -1]; R = sum (theta - theta_0)^2 over the weight.
show("ATSC MSE, R", [mse([1, 0], [2, -1]), 0.1**2 + 0.2**2], "methods: atsc, teacher_space")

# EED: targets are means over four exits.
LOGITS, FEATURES = [Z1, Z2, Z3, Z4], [[1, -1], [2, 0], [0, -2], [1, 3]]
ZBAR, FBAR = mean(LOGITS), mean(FEATURES)
show("EED zbar, fbar", [ZBAR, FBAR], "teachers: mean")
show("EED MSE, 0.1 xent_3", [sum(mse(z, ZBAR) for z in LOGITS), 0.1 * sum(xent(z, ZBAR, 3) for z in LOGITS)], "methods: eed")
show("EED features, each, sum", [[masked(f, FBAR) / 2 for f in FEATURES], [sum(masked(f, FBAR) / 2 for f in FEATURES)]],
     "losses: masked_mse")

# BYOT without features: 0.9 sum CE + 0.1 sum_{i<K} xent_3(z_i, z_K).
TAUGHT = [Z1, Z2, Z4]
show("BYOT", 0.9 * (sum(map(ce, TAUGHT)) + ce(Z3)) + 0.1 * sum(xent(z, Z3, 3) for z in TAUGHT), "methods: byot")

# BEED: e and fbar weighted by 1.6^i, KD weights 1.15^(K - 1 - i), CE weights 2 minus those.
LOGITS = [Z1, Z2, Z4, Z3]
GROWTH = [1.6**i / sum(1.6**j for j in range(4)) for i in range(4)]
SHARE = [1.15 ** (3 - i) for i in range(4)]
BEST, FEATURE = mix(GROWTH, LOGITS), mix(GROWTH, FEATURES)
show("BEED w", GROWTH, "teachers: weighted")
show("BEED CE, KL_3, features",
     [sum((2 - a) * ce(z) for a, z in zip(SHARE, LOGITS)), sum(a * kl(z, BEST, 3) for a, z in zip(SHARE, LOGITS)),
      0.1 * sum(mse(f, FEATURE) for f in FEATURES)], "methods: beed")

# DML of two exits at T = 3; ONE with g = softmax(relu([1, -1, 2])); OKDDip's A = softmax_j(q_i . k_j).
show("DML", ce(Z1) + ce(Z2) + kl(Z1, Z2, 3) + kl(Z2, Z1, 3), "methods: dml")
GATES = softmax([max(raw, 0) for raw in (1, -1, 2)])
ENSEMBLE = mix(GATES, Z)
show("ONE g, e", [GATES, ENSEMBLE], "teachers: gate, methods: one")
show("ONE loss", L_CE + ce(ENSEMBLE) + sum(kl(z, ENSEMBLE, 3) for z in Z), "methods: one")
Q, K = [[1, 0], [0, 1], [1, 1]], [[1, 0], [0, 2], [1, -1]]
show("OKDDip A", [softmax([dot(q, k) for k in K]) for q in Q], "teachers: peers")

# BoostNet with r = 1/2: G_k = z_k + F_{k-1}, F_k = r G_k, loss sum CE(G_k).
BOOSTED, total = [0, 0, 0], 0
for z in Z:
    total += ce([a + b for a, b in zip(z, BOOSTED)])
    BOOSTED = [(a + b) / 2 for a, b in zip(z, BOOSTED)]
show("BoostNet loss, F_3", [[total], BOOSTED], "methods: cascade")
# IMTA's OFA: 0.1 CE + 0.9 KL_3 / C, as nn.KLDivLoss() divides by N C.
show("IMTA", 0.1 * ce(Z1) + 0.9 * kl(Z1, Z3, 3) / 3, "methods: cascade")

# DKD: T = 4, label 0, student z1.
STUDENT, TEACHER = softmax([1, 0, -1], 4), softmax([3, 1, -2], 4)
TCKD = 16 * sum(p * log(p / q) for p, q in zip([TEACHER[0], 1 - TEACHER[0]], [STUDENT[0], 1 - STUDENT[0]]))
NCKD = kl([0, -1], [1, -2], 4)
show("DKD TCKD, NCKD, sum with 8", [TCKD, NCKD, TCKD + 8 * NCKD], "losses: decoupled")
show("DKD KL_4", kl([1, 0, -1], [3, 1, -2], 4), "losses: decoupled")


# AT: Q = unit(mean_c f^2); SP: rows of G = f f^T of length 1; VID: v = 5.
def q(maps):
    return unit([sum(f[i] ** 2 for f in maps) / len(maps) for i in range(4)])


show("AT", mse(q([[1, 2, 0, 1], [1, 0, 0, 1]]), q([[2, 0, 0, 2], [0, 1, 1, 0]])), "losses: attention_transfer")


def similar(f):
    return [unit([dot(a, b) for b in f]) for a in f]


show("SP", sum(map(mse, similar([[1, 0], [1, 1]]), similar([[2, 1], [0, 1]]))) / 2, "losses: similarity")
show("VID", 0.5 * ((1 - 3) ** 2 / 5 + log(5)), "losses: variational")

# Several teachers: AVER = mean KL_4; EBKD w_k = 1 - H_k / sum H; CA-MKD w_k = (1 - softmax_k CE_k) / (K - 1).
TEACHERS = [[3, 1, 0], [0, 2, 0], [1, 1, 1]]
DIVERGENCES = [kl(Z1, t, 4) for t in TEACHERS]
ENTROPIES = [xent(t, t, 1) for t in TEACHERS]
EBKD = [1 - h / sum(ENTROPIES) for h in ENTROPIES]
CA_MKD = [(1 - s) / 2 for s in softmax([ce(t) for t in TEACHERS])]
show("several teachers CE", [ce(t) for t in TEACHERS], "methods: ca_mkd")
show("several teachers KL_4", DIVERGENCES, "methods: ca_mkd, ebkd")
show("EBKD w, loss", [EBKD, [dot(EBKD, DIVERGENCES) / 3]], "methods: ebkd")
show("CA-MKD w, loss", [CA_MKD, [dot(CA_MKD, DIVERGENCES) / 3]], "methods: ca_mkd")
show("AVER", sum(DIVERGENCES) / 3, "methods: kd")
# L2W-DEN: w = 1 + 0.8 (g - mean g).
show("L2W-DEN w", [1 + 0.8 * (g - 0.5) for g in (0.2, 0.5, 0.8)], "methods: l2w_den")
