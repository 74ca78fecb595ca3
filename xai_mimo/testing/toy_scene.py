"""What metrics are tried on: a model whose truth is known, a map that is right, one that is noise, and odd ones."""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np

from xai_mimo.comparison.explained import explain_all
from xai_mimo.comparison.request import read_request
from xai_mimo.comparison.settings import Settings
from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import UnusedStreamWarning
from xai_mimo.core.method import Attribution, Context, Method
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.progress import silent, steps
from xai_mimo.core.streams import Array, Head, Stream
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo.explainers import IntegratedGradients
from xai_mimo.metrics.metric import Metric
from xai_mimo.metrics.scene import Scene

RIGHT, NOISE = "right", "noise"
"""Labels of the method that is exact and of the one that knows nothing."""


def toy_scene(metric: Metric, *, rows: int = 24) -> Scene:
    """A scene in which every need of a metric is met.

    Head "level" is linear in the first two features of the stream "table", whose other two go together and do nothing;
    head "kind", two classes, reads the upper left quarter of the stream "picture". Methods: "right" is exact and
    complete; "noise" changes with every digit of a row and knows no model; "flat" is one everywhere; "nothing" is zero;
    "ties" has three values.

    Args:
        metric: the only one that runs.
        rows: explained rows.
    """
    model = SceneModel()
    data = _rows(rows, seed=2)
    methods: dict[str, Method] = {RIGHT: IntegratedGradients(baseline="mean"), NOISE: Noise()}
    truth = np.zeros((rows, 4, 4), dtype=bool)
    truth[:, :2, :2] = True
    request = read_request(
        model,
        data,
        methods | {what: Odd(what) for what in Odd.KINDS},
        metrics=[metric],
        labels={"kind": model.predict(data)["kind"].argmax(axis=1)},
        task=None,
        truth={"level": {"table": ["heat", "load"]}, "kind": {"picture": truth}},
        vocabulary=None,
        targets=None,
        background=_rows(12, seed=3),
        at=None,
        on="output",
        space=None,
        players=None,
        rows=None,
        seed=4,
        settings=Settings(ks=(1, 3), controls=1, resamples=200),
        title="",
        command="",
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UnusedStreamWarning)  # each head reads one stream, on purpose
        return explain_all(request, steps(silent, "", 1)).scene


def _rows(count: int, seed: int) -> Arrays:
    rng = np.random.default_rng(seed)
    rows = {s.name: rng.standard_normal((count, *(n or 1 for n in s.shape))) for s in SceneModel.streams}
    rows["table"][:, 3] = rows["table"][:, 2] + 0.1 * rows["table"][:, 3]  # a batch an hour, nearly
    return rows


class SceneModel:
    """level = 2 heat - 1.5 load, kind = softmax(0, sum of w over the picture), in float64, with weights of its own."""

    streams = (
        Stream("table", (4,), dtype="float64", features=("heat", "load", "hour", "batch")),
        Stream("picture", (4, 4, 1), dtype="float64"),
    )
    heads = (Head("level"), Head("kind", (2,), kind="multiclass"))
    randomisation: Literal["shuffled", "drawn"] = "shuffled"

    def __init__(self, table: Array | None = None, picture: Array | None = None) -> None:
        quarter = np.zeros((4, 4, 1))
        quarter[:2, :2, 0] = [[2.0, -1.5], [1.0, 2.5]]
        self._table = np.array([2.0, -1.5, 0.0, 0.0]) if table is None else table
        self._picture = quarter if picture is None else picture

    def fingerprint(self) -> str:
        """The weights themselves."""
        return (self._table.tobytes() + self._picture.tobytes()).hex()

    def predict(self, inputs: Any) -> Arrays:
        """Outputs ``{head: (sample, unit)}``."""
        x = check_inputs(inputs, self.streams)
        yes = 1 / (1 + np.exp(-np.einsum("nijc,ijc->n", x["picture"], self._picture)))
        return {"level": (x["table"] @ self._table)[:, None], "kind": np.stack([1 - yes, yes], axis=1)}

    def gradients(
        self, inputs: Any, selectors: Sequence[Selector], streams: Sequence[str] | None = None
    ) -> tuple[Arrays, Arrays]:
        """Outputs and ``{stream: (target, sample, *shape)}``."""
        x = check_inputs(inputs, self.streams)
        outputs = self.predict(x)
        by = {name: np.zeros((len(selectors), *values.shape)) for name, values in x.items()}
        for t, selector in enumerate(selectors):
            if selector.head == "level":
                by["table"][t] = self._table
            else:
                slope = outputs["kind"].prod(axis=1) * np.where(selector.units == 1, 1.0, -1.0)
                by["picture"][t] = slope[:, None, None, None] * self._picture
        return outputs, {name: by[name] for name in streams or by}

    def randomised(self, rng: np.random.Generator, layers: Sequence[str] | None = None) -> "SceneModel":
        """A copy with the weights in a random order."""
        table, picture = (rng.permuted(w.ravel()).reshape(w.shape) for w in (self._table, self._picture))
        return SceneModel(table, picture)


@dataclass(frozen=True)
class Noise:
    """Values that change with every digit of the row, whatever the model is."""

    name: ClassVar[str] = "noise"
    reference: ClassVar[str] = ""

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """The sine of large multiples of the row: as good as random, and the same for the same row."""
        flat = np.concatenate([x.reshape(len(x), -1) for x in inputs.values()], axis=1)
        factors = np.random.default_rng(9).uniform(500, 1500, (len(selectors), flat.shape[1], flat.shape[1]))
        noise = np.sin(np.einsum("nj,tjp->tnp", flat, factors))
        values, start = {}, 0
        for name, x in inputs.items():
            size = x[0].size
            values[name] = noise[:, :, start : start + size].reshape(len(selectors), *x.shape)
            start += size
        prediction = take(model.predict(inputs), selectors)
        return Attribution(values, prediction, take_mean(model.predict(context.background), selectors))


@dataclass(frozen=True)
class Odd:
    """Maps that a metric must live with: all alike, all zero, few values."""

    what: str

    name: ClassVar[str] = "odd"
    reference: ClassVar[str] = ""
    KINDS: ClassVar[tuple[str, ...]] = ("flat", "nothing", "ties")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One everywhere, zero everywhere, or the sign of what lies beyond half."""
        values = {}
        for name, x in inputs.items():
            of_row = {"flat": np.ones_like(x), "nothing": np.zeros_like(x), "ties": np.trunc(np.clip(2 * x, -1, 1))}
            values[name] = np.repeat(of_row[self.what][None], len(selectors), axis=0)
        return Attribution(values, take(model.predict(inputs), selectors))
