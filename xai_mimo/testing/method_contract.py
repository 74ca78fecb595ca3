"""What every method promises, as checks that raise with a sentence."""

import dataclasses
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import NotSupported, UnusedStreamWarning, XaiMimoError
from xai_mimo.core.explanation import stream_names
from xai_mimo.core.method import Attribution, Context, Method
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, take
from xai_mimo.explainers.explain import explain
from xai_mimo.testing.expectations import every_target, largest, require, require_equal, unchanged, works
from xai_mimo.testing.facts import check_named, check_settings, check_speaks_of
from xai_mimo.testing.toy_model import ToyModel


def check_method(
    method: Method,
    model: Model | None = None,
    inputs: Any = None,
    *,
    complete: float | None = 1e-2,
    uses_background: bool | None = None,
    zero_where_unused: bool = True,
    tolerance: float = 1e-6,
) -> None:
    """Run the whole contract of a method.

    Facts and settings that can be recorded; arrays of the documented shapes for exactly the model's streams; the
    model's own predictions; nothing random but ``context.rng``; rows that do not influence each other, in blocks of any
    size; the unit of each row; progress that ends at the number of rows; zeros where nothing is read; sums that are
    complete where a baseline is given; a model that only predicts is explained, or refused in words.

    Args:
        method: the settings to try; small ones, since the contract runs it about a dozen times.
        model: an adapted model that the method can explain; None for a small one of two streams and three heads, one
            of which is constant and one of which reads a single stream.
        inputs: rows of ``model``, four or more; needed with it.
        complete: where the method gives ``baseline_prediction``: the largest completeness gap, relative to the largest
            change of any target; None for a method that is complete only on average.
        uses_background: True where a row that equals the background gets zeros, and another background gives other
            values; False where the background changes nothing; None where neither is so.
        zero_where_unused: whether a stream that a target does not read gets zeros; False for maps that layers give.
        tolerance: of numbers that should be equal, relative to the largest of their array (or absolute below 1).
    Raises:
        AssertionError: the method breaks the contract; the text says how.
    """
    check_settings(method)
    check_named(method)
    check_speaks_of(method)
    case = _Case.of(method, model or ToyModel(), inputs if model is not None else _toy_rows(), tolerance)
    with works(f"'{method.name}'"):
        checks: list[Callable[[], None]] = [case.check_shapes, case.check_seed, case.check_rows, case.check_units]
        checks += [case.check_progress, case.check_blocks]
        if complete is not None:
            checks.append(partial(case.check_complete, complete))
        if zero_where_unused:
            checks.append(case.check_unused)
        if uses_background is not None:
            checks.append(partial(case.check_background, uses_background))
        for check in checks:
            with unchanged(case.surroundings, f"'{method.name}'"):
                check()
        case.check_refusal()


def _toy_rows() -> Arrays:
    rng = np.random.default_rng(11)
    return {s.name: rng.standard_normal((6, s.size)) for s in ToyModel.streams}


@dataclasses.dataclass(frozen=True)
class _Case:
    """A method on a model, and what it answered first."""

    method: Method
    model: Model
    inputs: Arrays
    background: Arrays
    selectors: Sequence[Selector]
    tolerance: float
    answer: Attribution

    @classmethod
    def of(cls, method: Method, model: Model, inputs: Any, tolerance: float) -> "_Case":
        rows = check_inputs(inputs, model.streams)
        count = len(next(iter(rows.values())))
        require(count >= 4, f"the contract needs inputs of four rows or more; got {count}.")
        background = {name: np.flip(x, axis=0)[: count - 1].copy() for name, x in rows.items()}
        selectors = every_target(model, count)
        with works(f"'{method.name}'"):
            answer = method(model, rows, selectors, _context(background))
        is_one = isinstance(answer, Attribution)
        require(is_one, f"'{method.name}' gives a {type(answer).__name__}; expected core.method.Attribution.")
        return cls(method, model, rows, background, selectors, tolerance, answer)

    @property
    def count(self) -> int:
        return len(self.selectors[0].units)

    def surroundings(self) -> dict[str, Any]:
        """What no method may change."""
        return {
            "the inputs": self.inputs,
            "the background": self.background,
            "NumPy's global generator": np.random.get_state(legacy=False),  # noqa: NPY002 - to see that it is left
            "the model's fingerprint": self.model.fingerprint(),
        }

    def run(
        self,
        inputs: Arrays | None = None,
        selectors: Sequence[Selector] | None = None,
        *,
        seed: int = 5,
        background: Arrays | None = None,
        advance: Callable[[float], None] | None = None,
    ) -> Attribution:
        """The method once more."""
        context = _context(self.background if background is None else background, seed, advance)
        return self.method(self.model, inputs or self.inputs, selectors or self.selectors, context)

    def check_shapes(self) -> None:
        answer, both = self.answer, (len(self.selectors), self.count)
        names = [s.name for s in self.model.streams]
        require(set(answer.values) == set(names), f"values are of {sorted(answer.values)}; the streams are {names}.")
        for name, values in answer.values.items():
            shape = self.inputs[name].shape[1:]
            allowed = {(*both, *shape), (*both, *shape[-1:]), both}
            fits = values.shape in allowed
            require(fits, f"values of '{name}' have shape {values.shape}; expected one of {sorted(allowed)}.")
            _require_numbers(values, f"values of '{name}'")
            if answer.standard_error is not None:
                error = answer.standard_error.get(name)
                shaped = error is not None and error.shape == values.shape
                require(shaped, f"standard_error of '{name}' has not the shape of its values, {values.shape}.")
                _require_numbers(error, f"standard_error of '{name}'")
                require((np.asarray(error) >= 0).all(), f"standard_error of '{name}' holds negative numbers.")
        more = {"prediction": answer.prediction, **answer.diagnostics}
        if answer.draws is not None:
            more["draws"] = answer.draws
        if answer.baseline_prediction is not None:
            more["baseline_prediction"] = answer.baseline_prediction
        for what, numbers in more.items():
            require(
                np.shape(numbers) == both, f"{what} has shape {np.shape(numbers)}; expected (target, sample) {both}."
            )
            _require_numbers(numbers, what)
        if answer.draws is not None:
            require(answer.standard_error is not None, "draws are given without the standard errors that they are of.")
            counts = answer.draws.dtype.kind in "iu" and (answer.draws >= 2).all()
            require(counts, "draws are not whole numbers of at least 2; a standard error needs two draws.")
        expected = take(self.model.predict(self.inputs), self.selectors)
        require_equal(
            {"prediction": answer.prediction}, {"prediction": expected}, self.tolerance, "the method's answer"
        )
        strange = set(answer.unexplained) - set(names)
        require(not strange, f"unexplained names {sorted(strange)}, which are no streams.")
        told = [name for name in answer.unexplained if answer.values[name].any()]
        require(not told, f"'{', '.join(told)}' is called unexplained and has values.")

    def check_seed(self) -> None:
        again = self.run()
        require_equal(again.values, self.answer.values, 0.0, "a second run with the same seed")

    @property
    def is_random(self) -> bool:
        """Whether another seed gives other values."""
        other = self.run(seed=6)
        return any(not np.array_equal(v, other.values[name]) for name, v in self.answer.values.items())

    def check_rows(self) -> None:
        one = self.run({n: x[:1] for n, x in self.inputs.items()}, rows_of(self.selectors, slice(0, 1)))
        expected = {name: v[:, :1] for name, v in self.answer.values.items()}
        if self.is_random:
            expected = {name: v[:, :1] for name, v in one.values.items()}  # shapes alone: the numbers are drawn anew
        require_equal(one.values, expected, self.tolerance, "one row, explained without the others,")
        require(
            np.shape(one.prediction) == (len(self.selectors), 1), "one row does not give one prediction per target."
        )

    def check_units(self) -> None:
        if self.is_random:
            return
        start = 0
        for head in self.model.heads:
            rows = np.arange(self.count)
            mixed = Selector(head.name, head.name, rows % head.size)
            alone = self.run(selectors=[mixed])
            expected = {name: v[start + mixed.units, rows][None] for name, v in self.answer.values.items()}
            require_equal(alone.values, expected, self.tolerance, f"head '{head.name}', with a unit for each row,")
            start += head.size

    def check_progress(self) -> None:
        steps: list[float] = []
        self.run(advance=steps.append)
        total = float(sum(steps))
        require(abs(total - self.count) < 1e-6, f"context.advance was told of {total:g} rows; there are {self.count}.")

    def check_blocks(self) -> None:
        """Through ``explain``, a block is what it is alone: nothing is kept from one to the next."""
        seen = partial(explain, self.model, method=self.method, targets=None, background=self.background, seed=3)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UnusedStreamWarning)  # the toy has such heads on purpose
            blocks = seen(self.inputs, rows_per_block=self.count - 1)
            first = seen({name: x[:-1] for name, x in self.inputs.items()}, rows_per_block=self.count - 1)
        for name in stream_names(blocks):
            ours, alone = blocks[name].values[:, :-1], first[name].values
            require_equal({name: ours}, {name: alone}, self.tolerance, "a block, explained before another one,")

    def check_complete(self, allowed: float) -> None:
        before = self.answer.baseline_prediction
        if before is None:
            return
        change = self.answer.prediction - before
        gap = largest(_sums(self.answer.values) - change)
        limit = allowed * max(largest(change), self.tolerance)
        require(
            gap <= limit,
            f"values miss f(x) - baseline_prediction by up to {gap:.3g}; allowed {limit:.3g}. Give no "
            "baseline_prediction where the sum means nothing.",
        )

    def check_unused(self) -> None:
        """Another value of the stream, in any row, leaves the target bit for bit: then its values there are zero."""
        now = take(self.model.predict(self.inputs), self.selectors)
        for name, x in self.inputs.items():
            if x.dtype.kind != "f" or name in self.answer.unexplained:
                continue
            other = (x[::-1] + np.asarray(0.37, x.dtype) * (1 + np.abs(x))).astype(x.dtype)
            then = take(self.model.predict({**self.inputs, name: other}), self.selectors)
            for selector, a, b, values in zip(self.selectors, now, then, self.answer.values[name], strict=True):
                if np.array_equal(a, b):
                    size = largest(values)
                    limit = 1e-3 * self.tolerance
                    require(size <= limit, f"'{selector.name}' does not read '{name}', and is given {size:.3g} there.")

    def check_background(self, uses: bool) -> None:
        one = {name: x[:1] for name, x in self.inputs.items()}
        other = self.run(background=one)
        same = all(np.allclose(v, other.values[n], rtol=1e-9, atol=1e-12) for n, v in self.answer.values.items())
        require(same != uses, f"another background gives {'the same' if same else 'other'} values.")
        if uses:
            size = max(largest(v[:, 0]) for v in other.values.values())
            require(size <= self.tolerance, f"a row that equals the background is given {size:.3g}; expected zeros.")

    def check_refusal(self) -> None:
        """A model that only predicts is explained, or refused in words of ours."""
        plain = _Plain(self.model)
        try:
            self.method(plain, self.inputs, self.selectors, _context(self.background))
        except XaiMimoError as err:
            fits = isinstance(err, NotSupported)
            require(fits, f"a model that only predicts is refused with {type(err).__name__}; expected NotSupported.")
        except Exception as err:
            raise AssertionError(
                f"a model that only predicts is refused with {type(err).__name__} ({err}); expected NotSupported of "
                "xai_mimo.core.errors, in words that say what else to use."
            ) from err


class _Plain:
    """A model without any of its capabilities."""

    def __init__(self, model: Model) -> None:
        self.streams, self.heads = model.streams, model.heads
        self.fingerprint, self.predict = model.fingerprint, model.predict


def _context(background: Arrays, seed: int = 5, advance: Callable[[float], None] | None = None) -> Context:
    context = Context(np.random.default_rng(seed), background)
    return context if advance is None else dataclasses.replace(context, advance=advance)


def _sums(values: Arrays) -> Array:
    parts = [np.asarray(v, np.float64).reshape(*v.shape[:2], -1).sum(axis=-1) for v in values.values()]
    total: Array = np.sum(parts, axis=0)
    return total


def _require_numbers(values: Any, what: str) -> None:
    is_array = isinstance(values, np.ndarray) and values.dtype.kind in "fiub"
    require(is_array, f"{what} is {type(values).__name__} of {getattr(values, 'dtype', 'no dtype')}; expected numbers.")
    require(np.isfinite(values).all(), f"{what} holds NaN or infinite numbers.")
