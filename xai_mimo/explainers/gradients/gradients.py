"""Gradients as they are: the plain gradient, input times gradient, and SmoothGrad."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import ClassVar

import numpy as np

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, is_number, whole
from xai_mimo.core.model import Arrays, Differentiable, Model
from xai_mimo.core.precision import precision_of
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.gradients.not_finite import check_gradients
from xai_mimo.explainers.gradients.sampling import mean_gradient
from xai_mimo.explainers.passes import differentiable, points_at_once, zeros


@dataclass(frozen=True)
class Gradient:
    """How the target changes per unit of each input: A = df/dx, in the head's unit per input unit.

    Source: Simonyan et al. (2014), "Deep Inside Convolutional Networks", Section 3, with its sign.
    """

    name: ClassVar[str] = "gradient"
    reference: ClassVar[str] = "simonyan2014deep"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One forward pass for all targets, one backward pass for each."""
        return _gradient(model, inputs, selectors, context, method=self.name)


@dataclass(frozen=True)
class InputXGradient:
    """The linear part of the target: A = x * df/dx.

    It sums to f(x) - f(0) only for models that are linear in x, so no completeness gap is reported.

    Source: Shrikumar et al. (2016), "Not Just a Black Box", Section 2.
    """

    name: ClassVar[str] = "input_x_gradient"
    reference: ClassVar[str] = "shrikumar2016not"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One forward pass for all targets, one backward pass for each."""
        attribution = _gradient(model, inputs, selectors, context, method=self.name)
        for name, values in attribution.values.items():
            values *= inputs[name]
        return attribution


@dataclass(frozen=True)
class SmoothGrad:
    """The gradient averaged over noisy copies of the row: A = mean over e of df/dx (x + e), e ~ N(0, s^2).

    Attributes:
        samples: noisy copies of each row.
        noise: s of each feature, as a share of that feature's range (largest minus smallest value) in the background;
            none for a feature that is constant there. The source takes the range of one image; streams of different
            units need one per feature (our reading).

    Standard errors are those of the mean over the copies, whose number stands in ``draws``; where they are few an
    interval of 95 % takes Student's t: value +- ``scipy.stats.t(draws - 1).ppf(0.975)`` standard errors.

    Source: Smilkov et al. (2017), "SmoothGrad: removing noise by adding noise", Section 3.
    """

    samples: int = 50
    noise: float = 0.15

    name: ClassVar[str] = "smoothgrad"
    reference: ClassVar[str] = "smilkov2017smoothgrad"
    speaks_of: ClassVar[SpeaksOf] = "sensitivity"
    needs: ClassVar[tuple[type[Model], ...]] = (Differentiable,)

    def __post_init__(self) -> None:
        whole(self.samples, "samples")
        if not is_number(self.noise) or self.noise < 0:
            raise BadSetting(f"noise must be a number of at least 0; got {self.noise!r}.")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Average gradients over the copies, as many copies at a time as memory allows."""
        scale = {
            name: float(self.noise) * np.ptp(b.astype(np.float64), axis=0) for name, b in context.background.items()
        }
        sources = dict(zip(inputs, context.rng.spawn(len(inputs)), strict=True))

        def draw(count: int) -> tuple[Arrays, None]:
            noisy = {}
            for name, x in inputs.items():
                noise = sources[name].standard_normal((count, *x.shape)) * scale[name]
                noisy[name] = (x + noise).astype(x.dtype)
            return noisy, None

        values, error = mean_gradient(
            model,
            inputs,
            selectors,
            context,
            samples=self.samples,
            draw=draw,
            method=self.name,
            points="a noisy copy of",
        )
        prediction = take(model.predict(inputs), selectors)
        draws = None if error is None else np.full(prediction.shape, self.samples)
        return Attribution(values, prediction, standard_error=error, draws=draws)


def _gradient(
    model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context, *, method: str
) -> Attribution:
    machine = differentiable(model, method)
    rows = len(selectors[0].units)
    values = zeros(inputs, selectors)
    prediction = np.empty((len(selectors), rows))
    for part in slices(rows, points_at_once(inputs, len(selectors), context)):
        chosen = rows_of(selectors, part)
        outputs, gradients = machine.gradients({name: x[part] for name, x in inputs.items()}, chosen)
        prediction[:, part] = take(outputs, chosen)
        words = partial(_row, context, part.start)
        check_gradients(gradients, chosen, words, precision=precision_of(model))
        for name, gradient in gradients.items():
            values[name][:, part] = gradient
        context.advance(part.stop - part.start)
    return Attribution(values=values, prediction=prediction)


def _row(context: Context, first: int, point: int) -> str:
    return f"row {context.row_number(first + point)}"
