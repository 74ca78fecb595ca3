"""MAIL written slowly in NumPy, one head, one row and one feature at a time, from the formulas of its docstring."""

import numpy as np


def softmax(z):
    e = np.exp(z - z.max())
    return e / e.sum()


def sparsemax(z):
    ordered = np.sort(z)[::-1]
    k = max(k for k in range(1, len(z) + 1) if 1 + k * ordered[k - 1] > ordered[:k].sum())
    return np.maximum(z - (ordered[:k].sum() - 1) / k, 0)


def sigmoid(z):
    return 1 / (1 + np.exp(-z))


NORMALIZERS = {"softmax": softmax, "sparsemax": sparsemax, "sigmoid": sigmoid}


def dense_scores(x, w, j, prefix=""):
    h = np.tanh(x @ w[f"{prefix}hidden_kernel"][:, j] + w[f"{prefix}hidden_bias"][j])
    e = h @ w[f"{prefix}score_kernel"][j] + w[f"{prefix}score_bias"][j]
    g = h @ w[f"{prefix}stream_kernel"][j] + w[f"{prefix}stream_bias"][j] if f"{prefix}stream_kernel" in w else None
    return e, g


def scores(scoring, x, w, j, widths):
    ends = np.cumsum(widths)
    if scoring == "dense":
        return dense_scores(x, w, j)
    if scoring == "stream":
        parts = [
            dense_scores(x[e - n : e], w, j, f"stream_{i}_") for i, (n, e) in enumerate(zip(widths, ends, strict=True))
        ]
        g = None if parts[0][1] is None else np.concatenate([p[1] for p in parts])
        return np.concatenate([p[0] for p in parts]), g
    if scoring == "additive":
        h = np.tanh(x @ w["hidden_kernel"] + w["query"][j, 0])
        g = h @ w["stream_kernel"] + w["stream_bias"] if "stream_kernel" in w else None
        return h @ w["score_kernel"] + w["score_bias"], g
    if scoring == "static":
        return w["score_kernel"][j, 0], w["stream_kernel"][j, 0] if "stream_kernel" in w else None
    e, votes = np.zeros(len(x)), np.zeros(len(x))
    for i, value in enumerate(x):
        for a in range(w["hidden_kernel"].shape[1]):
            h = np.tanh(value * w["hidden_kernel"][j, a, i] + w["hidden_bias"][j, a, i])
            e[i] += w["score_kernel"][j, a, i] * h
            votes[i] += w["stream_kernel"][j, a, i] * h if "stream_kernel" in w else 0
    g = None
    if "stream_kernel" in w:
        g = np.array([votes[end - n : end].mean() for n, end in zip(widths, ends, strict=True)]) + w["stream_bias"][j]
    return e + w["score_bias"][j], g


def mail(x, w, widths, head_widths, scoring, normalizer="softmax", temperature=1.0, rescale=False, hierarchical=False):
    """Outputs per head and attention ``(row, head, feature)`` for x ``(row, feature)``; all in float64."""
    w = {name: np.asarray(value, "float64") for name, value in w.items()}
    normalize, attention, outputs = NORMALIZERS[normalizer], [], []
    ends = np.cumsum(widths)
    for row in np.asarray(x, "float64"):
        maps, ys, unit = [], [], 0
        for j, o in enumerate(head_widths):
            e, g = scores(scoring, row, w, j, widths)
            if hierarchical:
                b = softmax(g / temperature)
                a = np.concatenate(
                    [
                        b[i] * normalize(e[end - n : end] / temperature)
                        for i, (n, end) in enumerate(zip(widths, ends, strict=True))
                    ]
                )
                gain = np.concatenate(
                    [np.full(n, len(widths) * (2 if normalizer == "sigmoid" else n), "float64") for n in widths]
                )
            else:
                a = normalize(e / temperature)
                gain = 2.0 if normalizer == "sigmoid" else len(row)
            context = (gain if rescale else 1.0) * a * row
            ys.append(context @ w["output_kernel"][:, unit : unit + o] + w["output_bias"][unit : unit + o])
            maps.append(a)
            unit += o
        attention.append(maps)
        outputs.append(ys)
    return [np.array([ys[j] for ys in outputs]) for j in range(len(head_widths))], np.array(attention)


def randomize(layer, rng):
    """Give every weight random values (zeros hide mistakes); returns them by name."""
    values = {w.name: rng.normal(size=w.shape).astype("float32") for w in layer.weights}
    layer.set_weights([values[w.name] for w in layer.weights])
    return values
