"""MAIL against the published loop of Dense layers: forward, training step, and time to the first training step.

    KERAS_BACKEND=jax python benchmarks/mail_speed.py --quick

Both sides get the same weights; outputs are compared before anything is timed. A ratio above 1 means MAIL is faster.
Times are medians, and a ratio is the median of the ratios of neighbouring runs, the two sides taking turns, so that a
noisy machine hurts both alike.
"""

import argparse
import time

import keras
import numpy as np
from keras import ops

from xai_mimo.layers import MAIL


@keras.saving.register_keras_serializable(package="benchmark")
class PublishedLoop(keras.layers.Layer):
    """The article's formula as its listing evaluates it: three small Dense layers per head, one head after another."""

    def __init__(self, widths, hidden_units, **kwargs):
        super().__init__(**kwargs)
        self.widths, self.hidden_units = tuple(widths), hidden_units

    def build(self, input_shape):
        """Three Dense layers per head."""
        features = sum(shape[-1] for shape in input_shape)
        self.hidden = [keras.layers.Dense(self.hidden_units, activation="tanh") for _ in self.widths]
        self.scores = [keras.layers.Dense(features, activation="softmax") for _ in self.widths]
        self.outputs = [keras.layers.Dense(width) for width in self.widths]
        for hidden, score, output in zip(self.hidden, self.scores, self.outputs, strict=True):
            hidden.build((None, features))
            score.build((None, self.hidden_units))
            output.build((None, features))

    def call(self, inputs):
        """List of outputs, one per head."""
        x = ops.concatenate(inputs, axis=-1)
        return [
            output(score(hidden(x)) * x)
            for hidden, score, output in zip(self.hidden, self.scores, self.outputs, strict=True)
        ]

    def compute_output_shape(self, input_shape):
        """One shape per head."""
        return [(*input_shape[0][:-1], width) for width in self.widths]


def copy_weights(mail, loop):
    """Give the loop the weights of the MAIL layer."""
    stacked = {w.name: ops.convert_to_numpy(w) for w in mail.weights}
    unit = 0
    for j, width in enumerate(loop.widths):
        loop.hidden[j].set_weights([stacked["hidden_kernel"][:, j], stacked["hidden_bias"][j]])
        loop.scores[j].set_weights([stacked["score_kernel"][j], stacked["score_bias"][j]])
        part = slice(unit, unit + width)
        loop.outputs[j].set_weights([stacked["output_kernel"][:, part], stacked["output_bias"][part]])
        unit += width


def build(layer, streams):
    """A compiled model around the layer."""
    inputs = [keras.Input((x.shape[-1],)) for x in streams]
    model = keras.Model(inputs, ops.concatenate(layer(inputs), axis=-1))
    model.compile(keras.optimizers.SGD(1e-3), loss="mse")
    return model


def race(ours, theirs, seconds):
    """Median seconds of both, and the median of their ratio, theirs / ours, over runs that take turns."""
    times = []
    end = time.perf_counter() + seconds
    while len(times) < 5 or time.perf_counter() < end:
        start = time.perf_counter()
        ours()
        middle = time.perf_counter()
        theirs()
        times.append((middle - start, time.perf_counter() - middle))
    mine, other = np.transpose(times)
    return np.median(mine), np.median(other), np.median(other / mine)


def measure(heads, features, *, rows, hidden_units, width, seconds):
    """One row of the table."""
    rng = np.random.default_rng(0)
    streams = [rng.standard_normal((rows, n)).astype("float32") for n in (features // 2, features - features // 2)]
    target = rng.standard_normal((rows, heads * width)).astype("float32")
    layers = [MAIL([width] * heads, hidden_units=hidden_units), PublishedLoop([width] * heads, hidden_units)]
    models = [build(layer, streams) for layer in layers]
    copy_weights(*layers)
    ours, theirs = (model.predict_on_batch(streams) for model in models)
    np.testing.assert_allclose(ours, theirs, atol=1e-5, rtol=1e-4)
    first = []
    for model in models:
        start = time.perf_counter()
        model.train_on_batch(streams, target)
        first.append(time.perf_counter() - start)
    forward = race(*(lambda m=m: m.predict_on_batch(streams) for m in models), seconds)
    step = race(*(lambda m=m: float(m.train_on_batch(streams, target)) for m in models), seconds)
    return forward, step, first


def main():
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--heads", type=int, nargs="+", default=[1, 3, 16, 64, 256])
    parser.add_argument("--features", type=int, nargs="+", default=[32, 256, 1024])
    parser.add_argument("--rows", type=int, default=256)
    parser.add_argument("--hidden-units", type=int, default=128)
    parser.add_argument("--width", type=int, default=4, help="width of each head")
    parser.add_argument("--seconds", type=float, default=2.0, help="time for each figure")
    parser.add_argument("--quick", action="store_true", help="heads 3 and 64, features 32 and 256, half a second each")
    options = parser.parse_args()
    if options.quick:
        options.heads, options.features, options.seconds = [3, 64], [32, 256], 0.5
    print(f"backend {keras.backend.backend()}, {options.rows} rows, A = {options.hidden_units}; ms, and loop / MAIL")
    pair = f"{'loop':>9} {'ratio':>6}"
    print(f"{'M':>4} {'D':>5} | {'forward':>9} {pair} | {'step':>9} {pair} | first step s")
    for features in options.features:
        for heads in options.heads:
            forward, step, first = measure(
                heads,
                features,
                rows=options.rows,
                hidden_units=options.hidden_units,
                width=options.width,
                seconds=options.seconds,
            )
            parts = [f"{1e3 * a:9.2f} {1e3 * b:9.2f} {ratio:6.2f}" for a, b, ratio in (forward, step)]
            print(f"{heads:4} {features:5} | {' | '.join(parts)} | {first[0]:.1f} {first[1]:.1f}", flush=True)


if __name__ == "__main__":
    main()
