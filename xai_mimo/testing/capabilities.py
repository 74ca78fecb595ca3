"""What each capability of an adapter promises: gradients, maps, cuts, other weights."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from xai_mimo.core.errors import NotSupported, ShapeMismatch, UnknownName
from xai_mimo.core.held import held_by
from xai_mimo.core.model import (
    Arrays,
    Differentiable,
    Fitted,
    Hookable,
    Interceptable,
    InterceptionMap,
    Model,
    Overridable,
    Randomisable,
    Splittable,
)
from xai_mimo.core.streams import Array, Stream
from xai_mimo.core.targets import Selector, take
from xai_mimo.testing.expectations import every_target, largest, require, require_equal, require_refusal


def is_float(stream: Stream) -> bool:
    """Whether the stream can be differentiated."""
    return "float" in stream.dtype


def check_gradients(model: Differentiable, arrays: Arrays, tolerance: float, slope_tolerance: float) -> None:
    """Gradients of all targets at once: as differences of predictions, as each alone, zero where nothing is read.

    Raises:
        AssertionError: with a sentence.
    """
    rows = len(next(iter(arrays.values())))
    floats = [s.name for s in model.streams if is_float(s)]
    selectors = every_target(model, rows)
    outputs, gradients = _gradients(model, arrays, selectors, floats)
    require_equal(outputs, model.predict(arrays), tolerance, "gradients' own outputs against predict: it")
    require(list(gradients) == floats, f"gradients gives the streams {list(gradients)}; expected {floats}.")
    for name, values in gradients.items():
        wanted = (len(selectors), *arrays[name].shape)
        require(values.shape == wanted, f"the gradient by '{name}' has shape {values.shape}; expected {wanted}.")
        require(np.isfinite(values).all(), f"the gradient by '{name}' holds NaN or infinite values.")
    _check_streams_asked_for(model, arrays, selectors, gradients)
    _check_each_target(model, arrays, selectors, gradients, tolerance)
    for name in floats:
        _check_slope(model, arrays, selectors, name, gradients[name], slope_tolerance)
        _check_unused(model, arrays, selectors, name, gradients[name])


def check_one_forward(model: Differentiable, arrays: Arrays, passes: Callable[[], int]) -> None:
    """All targets together take no more forward passes than one.

    Raises:
        AssertionError: with a sentence.
    """
    selectors = every_target(model, len(next(iter(arrays.values()))))
    floats = [s.name for s in model.streams if is_float(s)]
    counts = []
    for some in (selectors[:1], selectors):
        before = passes()
        model.gradients(arrays, some, streams=floats)
        counts.append(passes() - before)
    require(counts[0] > 0, "passes() does not count: a gradient was taken and the number stayed.")
    require(
        counts[1] <= counts[0],
        f"{len(selectors)} targets take {counts[1]} forward passes and one takes {counts[0]}: all heads share one.",
    )


def check_intercept(model: Interceptable, arrays: Arrays, tolerance: float) -> None:
    """Maps by layer and name, with a word for each axis and labels that fit; of rows that do not influence each other.

    Raises:
        AssertionError: with a sentence.
    """
    rows = len(next(iter(arrays.values())))
    maps = _can(lambda: model.intercept(arrays), model, "intercept")
    for key, interception in maps.items():
        _check_map(key, interception, rows)
    one = model.intercept({name: x[:1] for name, x in arrays.items()})
    expected = {key: m.values[:1] for key, m in maps.items()}
    require_equal({key: m.values for key, m in one.items()}, expected, tolerance, "intercept on one row")


def check_override(model: Overridable, arrays: Arrays, tolerance: float) -> None:
    """Each map that a layer works with can be replaced: its own changes nothing, another one is shown and marked.

    Raises:
        AssertionError: with a sentence.
    """
    before, maps = model.predict(arrays), model.intercept(arrays)
    is_known = all(n is not None for stream in model.streams for n in stream.shape)
    if is_known:
        nowhere = partial(model.override, {"no_layer/map": np.zeros((1, 1))})
        require_refusal(nowhere, UnknownName, "override of a map 'no_layer/map'", naming="no_layer")
    for key, interception in maps.items():
        try:
            same = model.override({key: interception.values}).predict(arrays)
        except NotSupported:  # a layer that only shows this map, and does not work with it
            continue
        require_equal(same, before, tolerance, f"override of '{key}' by the layer's own map: predict")
        turned = interception.values[::-1].copy()
        other = model.override({key: turned})
        for what in ("streams", "heads"):
            require(getattr(other, what) == getattr(model, what), f"override of '{key}' gives a model of other {what}.")
        if isinstance(other, Interceptable):
            shown = {key: other.intercept(arrays)[key].values}
            require_equal(shown, {key: turned}, tolerance, f"intercept, after override of '{key}',")
        require(other.fingerprint() != model.fingerprint(), f"override of '{key}' leaves the fingerprint as it was.")
        if is_known:
            wide = np.concatenate([turned, turned[..., :1]], axis=-1)
            asked = partial(_predict_with, model, {key: wide}, arrays)
            require_refusal(asked, ShapeMismatch, f"override of '{key}' by a map of a wrong width", naming=key)
    after = model.predict(arrays)
    kept = all(np.array_equal(after[name], y) for name, y in before.items())
    require(kept, "override changes the model itself; it must give another one.")


def _predict_with(model: Overridable, maps: Arrays, arrays: Arrays) -> Arrays:
    return model.override(maps).predict(arrays)


def check_split(model: Splittable, arrays: Arrays, layer: str, tolerance: float) -> tuple[Model, Arrays]:
    """The part behind a layer: the model's heads, from what the layer reads.

    Returns:
        The part, and what it reads.
    Raises:
        AssertionError: with a sentence.
    """
    tail = _can(lambda: model.tail(layer), model, "tail")
    require(tail.heads == model.heads, f"the part behind '{layer}' has the heads {tail.heads}; expected {model.heads}.")
    activations = _can(lambda: model.activations(arrays, layer), model, "activations")
    names = [s.name for s in tail.streams]
    read = [*names, *held_by(tail)]
    require(list(activations) == read, f"activations at '{layer}' are {list(activations)}; tail reads {read}.")
    expected = model.predict(arrays)
    require_equal(tail.predict(activations), expected, tolerance, f"tail('{layer}') on activations at '{layer}'")
    sources = model.layer_streams(layer)
    require(
        set(sources) == set(names), f"layer_streams('{layer}') speaks of {sorted(sources)}; tail reads {sorted(names)}."
    )
    for name, owners in sources.items():
        strange = set(owners) - set(arrays)
        require(not strange, f"layer_streams('{layer}') has '{name}' depend on {sorted(strange)}, no streams of ours.")
        if name in arrays:
            raw = np.array_equal(activations[name], arrays[name]) and owners == (name,)
            require(raw, f"at '{layer}' the stream '{name}' has a model input's name and is not that raw input.")
    return tail, activations


def check_hookable(model: Hookable, arrays: Arrays, tolerance: float) -> None:
    """As one module of PyTorch it gives all units of all heads side by side, with a gradient by every stream of floats.

    Raises:
        AssertionError: with a sentence.
    """
    import torch

    expected = np.concatenate([y.reshape(len(y), -1) for y in model.predict(arrays).values()], axis=1)
    with model.hookable() as module:
        require(isinstance(module, torch.nn.Module), f"hookable gives a {type(module).__name__}; expected a Module.")
        training = [name or "itself" for name, each in module.named_modules() if each.training]
        require(not training, f"hookable gives modules in training mode: {training}.")
        streams = [torch.tensor(x, requires_grad=x.dtype.kind == "f") for x in arrays.values()]
        answer = module(*streams)
        require_equal({"y": answer.detach().numpy()}, {"y": expected}, tolerance, "hookable against predict: it")
        floats = [stream for stream in streams if stream.requires_grad]
        gradients = torch.autograd.grad(answer.sum(), floats, allow_unused=True) if floats else ()
        lost = [n for n, g in zip((s.name for s in model.streams if is_float(s)), gradients, strict=True) if g is None]
        require(not lost, f"hookable gives no gradient by {lost}, not even zeros.")


def check_fitted(model: Fitted, arrays: Arrays) -> None:
    """Its parts have the heads in order, and each column of a table is made of the one feature that it is said to be.

    Raises:
        AssertionError: with a sentence.
    """
    try:
        parts = model.fitted()
    except NotSupported:  # of words, or of what mixes columns
        return
    heads, named = [head.name for head in model.heads], [head for part in parts for head in part.heads]
    require(named == heads, f"fitted() has parts with the heads {named}; the model has {heads}.")
    for part in parts:
        table = part.table(arrays)
        shape = (len(next(iter(arrays.values()))), len(part.places))
        fits = table.shape == shape and table.dtype == np.float64
        require(fits, f"a table of fitted() is {table.dtype} of shape {table.shape}; expected float64 of {shape}.")
        for column, (stream, feature) in enumerate(part.places):
            moved = arrays[stream].copy()
            moved[:, feature] = np.roll(moved[:, feature], 1)
            others = np.delete(part.table({**arrays, stream: moved}), column, axis=1)
            kept = np.array_equal(others, np.delete(table, column, axis=1))
            require(kept, f"feature {feature} of stream '{stream}' is in other columns of fitted() than {column}.")


def check_randomised(model: Randomisable, arrays: Arrays) -> None:
    """A copy of the same streams and heads, with other outputs, decided by the generator; the model stays as it is.

    Raises:
        AssertionError: with a sentence.
    """
    kind = model.randomisation
    require(kind in ("shuffled", "drawn"), f"randomisation is {kind!r}; expected 'shuffled' or 'drawn'.")
    before, mark = model.predict(arrays), model.fingerprint()
    copies = [
        _can(lambda: model.randomised(np.random.default_rng(7)), model, "randomised"),
        model.randomised(np.random.default_rng(7)),
    ]
    first, second = (c.predict(arrays) for c in copies)
    for what in ("streams", "heads"):
        require(getattr(copies[0], what) == getattr(model, what), f"a randomised copy has other {what} than the model.")
    changed = any(not np.allclose(first[n], y, rtol=1e-6, atol=1e-9) for n, y in before.items())
    require(changed, "a randomised copy gives the model's own outputs.")
    require_equal(second, first, 1e-6, "randomised with the same seed")
    after = model.predict(arrays)
    kept = all(np.array_equal(after[n], y) for n, y in before.items()) and model.fingerprint() == mark
    require(kept, "randomised changes the model itself; it must work on a copy.")


def _can(call: Callable[[], Any], model: Any, verb: str) -> Any:
    try:
        return call()
    except NotSupported as err:
        raise AssertionError(
            f"{type(model).__name__} has {verb} and refuses: {err} A model that cannot is of a class without {verb}."
        ) from err


def _gradients(
    model: Differentiable, arrays: Arrays, selectors: Sequence[Selector], floats: Sequence[str]
) -> tuple[Arrays, Arrays]:
    if len(floats) == len(arrays):
        both: tuple[Arrays, Arrays] = _can(lambda: model.gradients(arrays, selectors), model, "gradients")
        return both
    try:
        model.gradients(arrays, selectors)
    except NotSupported as err:
        named = any(s.name in str(err) for s in model.streams if not is_float(s))
        require(named, f"gradients by a stream of whole numbers is refused without its name: {err}")
    else:
        raise AssertionError("gradients are given by a stream of whole numbers; expected NotSupported.")
    held: tuple[Arrays, Arrays] = _can(lambda: model.gradients(arrays, selectors, streams=floats), model, "gradients")
    return held


def _check_streams_asked_for(
    model: Differentiable, arrays: Arrays, selectors: Sequence[Selector], gradients: Arrays
) -> None:
    for name, values in gradients.items():
        alone = model.gradients(arrays, selectors, streams=[name])[1]
        require_equal(alone, {name: values}, 1e-5, f"gradients(streams=['{name}'])")


def _check_each_target(
    model: Differentiable, arrays: Arrays, selectors: Sequence[Selector], gradients: Arrays, tolerance: float
) -> None:
    floats = list(gradients)
    for t, selector in enumerate(selectors):
        alone = model.gradients(arrays, [selector], streams=floats)[1]
        expected = {name: g[t : t + 1] for name, g in gradients.items()}
        require_equal(alone, expected, tolerance, f"the gradient of '{selector.name}' alone")
    start = 0
    for head in model.heads:
        rows = np.arange(len(selectors[0].units))
        mixed = Selector(head.name, head.name, rows % head.size)
        per_row = model.gradients(arrays, [mixed], streams=floats)[1]
        expected = {name: g[start + mixed.units, rows][None] for name, g in gradients.items()}
        require_equal(per_row, expected, tolerance, f"the gradient of head '{head.name}', a unit for each row,")
        start += head.size


def _check_slope(
    model: Model, arrays: Arrays, selectors: Sequence[Selector], name: str, gradient: Array, tolerance: float
) -> None:
    """Along two random directions the gradient is what central differences of predictions are."""
    x = arrays[name].astype(np.float64)
    narrow = arrays[name].dtype != np.float64
    step = (1e-2 if narrow else 1e-4) * max(float(x.std()), 1e-3)
    for seed in (0, 1):
        direction = np.random.default_rng(seed).standard_normal(x.shape)
        up, down = (
            model.predict({**arrays, name: (x + sign * step * direction).astype(arrays[name].dtype)})
            for sign in (1, -1)
        )
        slope = (take(up, selectors) - take(down, selectors)) / (2 * step)
        ours = (gradient * direction).reshape(*gradient.shape[:2], -1).sum(axis=-1)
        rounding = (1e-6 if narrow else 1e-14) * (1 + largest(take(up, selectors))) / step
        for selector, analytic, numeric in zip(selectors, ours, slope, strict=True):
            difference, allowed = largest(analytic - numeric), tolerance * largest(slope) + rounding
            require(
                difference <= allowed,
                f"the gradient of '{selector.name}' by '{name}' differs by {difference:.3g} from differences of "
                f"predictions; allowed {allowed:.3g}.",
            )


def _check_unused(model: Model, arrays: Arrays, selectors: Sequence[Selector], name: str, gradient: Array) -> None:
    """Where other values of a stream leave a target bit for bit, its gradient is exactly zero."""
    x = arrays[name]
    other = (x[::-1] + np.float32(0.37) * (1 + np.abs(x))).astype(x.dtype)
    now, then = take(model.predict(arrays), selectors), take(model.predict({**arrays, name: other}), selectors)
    for selector, before, after, values in zip(selectors, now, then, gradient, strict=True):
        if np.array_equal(before, after):
            require(
                not values.any(),
                f"'{selector.name}' does not read '{name}', and its gradient there is not exactly zero "
                f"(up to {largest(values):.3g}).",
            )


def _check_map(key: str, interception: InterceptionMap, rows: int) -> None:
    wanted = f"{interception.layer}/{interception.name}"
    require(key == wanted, f"a map is called '{key}'; expected '{wanted}', its layer and its name.")
    values, axes = interception.values, interception.axes
    fits = isinstance(values, np.ndarray) and values.ndim == 1 + len(axes) and len(values) == rows
    require(fits, f"map '{key}' has shape {np.shape(values)}; expected ({rows}, {', '.join(axes)}).")
    require(np.isfinite(values).all(), f"map '{key}' holds NaN or infinite values.")
    for label, ticks in interception.coords.items():
        axis = label.split(".")[0]
        require(axis in axes, f"map '{key}' labels an axis '{axis}' that it does not have.")
        length = values.shape[1 + axes.index(axis)]
        require(len(ticks) == length, f"map '{key}' has {len(ticks)} labels '{label}' for {length} entries.")
