"""A method: a frozen dataclass of settings, and one call."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from xai_mimo.core.method import Attribution, Context
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.targets import Selector, take


@dataclass(frozen=True)
class Halving:
    """What a target loses when one value is made smaller: A_i = f(x) - f(x with x_i times factor).

    Attributes:
        factor: of the value.
    """

    factor: float = 0.5

    name: ClassVar[str] = "toy_halving"
    reference: ClassVar[str] = "toy2025halving"
    bibtex: ClassVar[str] = "@misc{toy2025halving,\n  title = {On Halving},\n  author = {Toy, A.},\n  year = {2025}\n}"

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One prediction for each value of a row, for all targets together."""
        prediction = take(model.predict(inputs), selectors)
        values = {}
        for name, x in inputs.items():
            lost = np.zeros((len(selectors), *x.shape))
            for index in np.ndindex(x.shape[1:]):
                smaller = x.copy()
                smaller[(slice(None), *index)] *= self.factor
                less = take(model.predict({**inputs, name: smaller}), selectors)
                lost[(slice(None), slice(None), *index)] = prediction - less
            values[name] = lost
        context.advance(len(prediction[0]))
        return Attribution(values, prediction)
