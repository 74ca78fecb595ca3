"""What every adapter promises of names, rows, inputs and state, as checks that raise with a sentence."""

import string
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import Any

import numpy as np
import pandas as pd

from xai_mimo.core.door import check_inputs
from xai_mimo.core.errors import BadValues, EmptyData, ShapeMismatch, UnknownName, XaiMimoError
from xai_mimo.core.model import (
    Arrays,
    Differentiable,
    Fitted,
    Hookable,
    Interceptable,
    Model,
    Overridable,
    Randomisable,
    Splittable,
)
from xai_mimo.core.streams import Head, Stream
from xai_mimo.testing.capabilities import (
    check_fitted,
    check_gradients,
    check_hookable,
    check_intercept,
    check_one_forward,
    check_override,
    check_randomised,
    check_split,
    is_float,
)
from xai_mimo.testing.expectations import every_target, require, require_equal, require_refusal, unchanged, works

State = Callable[[], Mapping[str, Any]]
Verb = Callable[[Any], Any]


def check_adapter(
    adapter: Model,
    inputs: Any,
    *,
    state: State | None = None,
    broken: Callable[[], AbstractContextManager[Any]] | None = None,
    limited: Callable[[int], Model] | None = None,
    passes: Callable[[], int] | None = None,
    change_weights: Callable[[], Any] | None = None,
    layers: Sequence[str] | None = None,
    tolerance: float = 1e-5,
    slope_tolerance: float = 1e-2,
) -> None:
    """Run the whole contract of an adapted model, and of each capability that its class has.

    Names and members; outputs of any number of rows, from every form of input and width of float; refusals at the door;
    nothing random, nothing changed; a fingerprint that is stable. Gradients equal differences of predictions; maps have
    labels; the part behind each layer gives the whole's outputs; a copy with other weights leaves the model alone. A
    capability that the class has is there: a model that cannot is of another class.

    Args:
        adapter: a model of yours, adapted; smooth near the inputs, where it has gradients.
        inputs: rows that differ, two or more, within the range of float16.
        state: what reading must not change, by name: weights, modes, flags, random state.
        broken: within this context the model's own call raises; the error must come through, and the state be kept. An
            adapter that compiles needs ``limited`` beside it: what was compiled before does not raise.
        limited: adapts the same model anew, with so many bytes for one pass: ``xai_mimo.adapt(model, max_memory=...)``.
        passes: how often the model ran forward so far, for models that run eagerly.
        change_weights: changes the model's weights in a way that its outputs show; called last.
        layers: where to cut; None for every layer that the adapter names.
        tolerance: of numbers that should be equal, relative to the largest of their array (or absolute below 1).
        slope_tolerance: of gradients against differences of predictions, likewise.
    Raises:
        AssertionError: the adapter breaks the contract; the text says how.
    """
    keep = state or dict
    with unchanged(keep, "asking for members and the fingerprint"):
        _check_members(adapter)
    arrays = {
        name: x.astype(np.float16).astype(x.dtype) if x.dtype.kind == "f" else x  # the same values in any float
        for name, x in check_inputs(inputs, adapter.streams).items()
    }
    require(len(next(iter(arrays.values()))) > 1, "the contract needs inputs of two rows or more.")
    verbs = _verbs(adapter, layers)
    checks: list[tuple[str, Callable[[], Any]]] = [("predict", partial(_check_predict, adapter, arrays, tolerance))]
    if isinstance(adapter, Differentiable):
        checks.append(("gradients", partial(check_gradients, adapter, arrays, tolerance, slope_tolerance)))
        if passes is not None:
            checks.append(("gradients", partial(check_one_forward, adapter, arrays, passes)))
    if isinstance(adapter, Interceptable):
        checks.append(("intercept", partial(check_intercept, adapter, arrays, tolerance)))
    if isinstance(adapter, Overridable):
        checks.append(("override", partial(check_override, adapter, arrays, tolerance)))
    if isinstance(adapter, Splittable):
        for layer in adapter.layers() if layers is None else layers:
            checks.append((f"cutting at '{layer}'", partial(_check_cut, adapter, arrays, layer, tolerance)))
        nowhere = partial(adapter.tail, "no_layer")
        checks.append(("tail", partial(require_refusal, nowhere, UnknownName, "tail('no_layer')", naming="no_layer")))
    if isinstance(adapter, Fitted):
        checks.append(("fitted", partial(check_fitted, adapter, arrays)))
    if isinstance(adapter, Hookable):
        checks.append(("hookable", partial(check_hookable, adapter, arrays, tolerance)))
    if isinstance(adapter, Randomisable):
        checks.append(("randomised", partial(check_randomised, adapter, arrays)))
    checks.append(("refusing inputs", partial(_check_door, verbs, adapter.streams, arrays)))
    if limited is not None:
        little = _verbs(limited(1), layers)
        checks.append(("a small memory", partial(_check_memory, verbs, little, arrays, tolerance)))
    if broken is not None:
        anew = verbs if limited is None else _verbs(limited(2**29), layers)
        checks.append(("an error inside the model", partial(_check_broken, anew, arrays, broken)))
    for what, check in checks:
        with works(what), unchanged(keep, what), unchanged(lambda: arrays, f"{what}: it"):
            check()
    if change_weights is not None:
        _check_fingerprint(adapter, arrays, change_weights)


def _check_members(adapter: Any) -> None:
    for name in ("streams", "heads", "fingerprint", "predict"):
        require(hasattr(adapter, name), f"{type(adapter).__name__} has no '{name}', which every adapter has.")
    for what, kind in (("streams", Stream), ("heads", Head)):
        members = getattr(adapter, what)
        fits = isinstance(members, tuple) and members and all(isinstance(m, kind) for m in members)
        require(fits, f"{what} is {members!r}; expected a tuple of {kind.__name__} objects, one or more.")
        names = [m.name for m in members]
        require(len(set(names)) == len(names), f"two {what} share a name: {', '.join(names)}.")
    require(callable(adapter.fingerprint), "fingerprint is no method; it may read all weights, so it has to be called.")
    once = adapter.fingerprint()
    digits = isinstance(once, str) and once and set(once) <= set(string.hexdigits)
    require(digits, f"fingerprint() is {once!r}; expected hexadecimal digits.")
    require(adapter.fingerprint() == once, "fingerprint() differs between two calls on the same model.")
    for capability in (Differentiable, Interceptable, Splittable, Randomisable):
        members = [name for name in (*vars(capability), *capability.__annotations__) if not name.startswith("_")]
        there = [name for name in members if hasattr(adapter, name)]
        missing = [name for name in members if name not in there]
        require(
            not (there and missing),
            f"{type(adapter).__name__} has {', '.join(there)} and no {', '.join(missing)}: a capability is there as a "
            f"whole ({capability.__name__}), or not at all.",
        )


def _check_predict(adapter: Model, arrays: Arrays, tolerance: float) -> None:
    outputs = adapter.predict(arrays)
    rows = len(next(iter(arrays.values())))
    expected = [h.name for h in adapter.heads]
    require(list(outputs) == expected, f"predict gives the heads {list(outputs)}; expected {expected}, in this order.")
    for head in adapter.heads:
        values, wanted = outputs[head.name], (rows, *head.shape)
        require(isinstance(values, np.ndarray), f"head '{head.name}' is a {type(values).__name__}; expected an array.")
        require(values.shape == wanted, f"head '{head.name}' has shape {values.shape}; expected {wanted}.")
        wide = values.dtype.kind in "iub" or str(values.dtype) in ("float32", "float64")
        require(wide, f"head '{head.name}' has dtype {values.dtype}; expected float32 or float64, or whole numbers.")
        require(np.isfinite(values).all(), f"head '{head.name}' holds NaN or infinite values.")
    require_equal(adapter.predict(arrays), outputs, tolerance, "predict, called a second time,")
    many = np.arange(2 * rows + 1) % rows
    for what, index in (("one row", many[:1]), ("fewer rows", many[1:rows]), (f"{len(many)} rows", many)):
        some = adapter.predict({name: x[index] for name, x in arrays.items()})
        require_equal(some, {name: y[index] for name, y in outputs.items()}, tolerance, f"predict on {what}")
    for what, form in _forms(adapter, arrays).items():
        with works(f"predict, given {what},"):
            require_equal(adapter.predict(form), outputs, tolerance, f"predict, given {what},")


def _forms(adapter: Model, arrays: Arrays) -> dict[str, Any]:
    """The same rows in every form that an adapter takes."""
    forms: dict[str, Any] = {
        "a list": list(arrays.values()),
        "a tuple": tuple(arrays.values()),
        "a mapping in another order": dict(reversed(arrays.items())),
    }
    for dtype in ("float64", "float16"):
        forms[f"{dtype} inputs"] = {n: x.astype(dtype) if x.dtype.kind == "f" else x for n, x in arrays.items()}
    if len(arrays) == 1:
        forms["one array"] = next(iter(arrays.values()))
    frames = {
        s.name: pd.DataFrame(arrays[s.name], columns=list(s.features)).iloc[:, ::-1]
        for s in adapter.streams
        if len(s.shape) == 1 and s.features != tuple(str(i) for i in range(len(s.features)))
    }
    return forms | ({"data frames with their columns in another order": {**arrays, **frames}} if frames else {})


def _verbs(adapter: Model, layers: Sequence[str] | None) -> dict[str, Verb]:
    """Every way to read a model; each takes inputs."""
    verbs: dict[str, Verb] = {"predict": adapter.predict}
    if isinstance(adapter, Differentiable):
        differentiable = adapter
        floats = [s.name for s in adapter.streams if is_float(s)]

        def gradients(inputs: Any) -> Arrays:
            rows = len(next(iter(inputs.values()), ())) if isinstance(inputs, Mapping) else 1
            return differentiable.gradients(inputs, every_target(adapter, rows), streams=floats)[1]

        verbs["gradients"] = gradients
    if isinstance(adapter, Interceptable):
        interceptable = adapter
        verbs["intercept"] = lambda inputs: {k: m.values for k, m in interceptable.intercept(inputs).items()}
    if isinstance(adapter, Splittable):
        whole, names = adapter, tuple(adapter.layers() if layers is None else layers)
        if names:
            verbs["activations"] = lambda inputs: whole.activations(inputs, names[0])
    return verbs


def _check_door(verbs: Mapping[str, Verb], streams: Sequence[Stream], arrays: Arrays) -> None:
    for verb, read in verbs.items():
        for what, inputs, error, naming in _refused(streams, arrays):
            require_refusal(partial(read, inputs), error, f"{verb}, given {what}", naming=naming)


def _refused(streams: Sequence[Stream], arrays: Arrays) -> Iterator[tuple[str, Any, type[XaiMimoError], str]]:
    """Inputs that every door refuses: what they are, the inputs, the error that is due, a word in its text."""
    first = streams[0].name
    for stream in streams:
        name, x = stream.name, arrays[stream.name]
        for word, value in (("NaN", np.nan), ("infinity", np.inf)) if x.dtype.kind == "f" else ():
            bad = x.copy()
            bad.reshape(-1)[-1] = value
            yield f"{word} in '{name}'", {**arrays, name: bad}, BadValues, name
        if x.dtype == object:
            bad = x.copy()
            bad[-1, ...] = None
            yield f"a missing word in '{name}'", {**arrays, name: bad}, BadValues, name
        elif x.size:
            bad = x.astype(object)
            bad[-1, ...] = "a word"
            yield f"a word in '{name}'", {**arrays, name: bad}, BadValues, name
        yield f"'{name}' without its batch axis", {**arrays, name: x[0]}, ShapeMismatch, name
        if stream.shape and stream.shape[-1] is not None:
            wide = np.concatenate([x, x[..., :1]], axis=-1)
            yield f"'{name}' of a wrong width", {**arrays, name: wide}, ShapeMismatch, name
        yield f"no '{name}'", {n: v for n, v in arrays.items() if n != name}, UnknownName, name
        if len(arrays) > 1:
            yield f"fewer rows of '{name}' than of the others", {**arrays, name: x[:-1]}, ShapeMismatch, name
    yield "a stream 'no_stream' too many", {**arrays, "no_stream": arrays[first]}, UnknownName, "no_stream"
    yield "a list that is too long", [*arrays.values(), arrays[first]], ShapeMismatch, first
    yield "no rows", {name: x[:0] for name, x in arrays.items()}, EmptyData, ""


def _check_cut(whole: Splittable, arrays: Arrays, layer: str, tolerance: float) -> None:
    tail, activations = check_split(whole, arrays, layer, tolerance)
    _check_members(tail)
    outputs = tail.predict(activations)
    one = tail.predict({name: x[:1] for name, x in activations.items()})
    what = f"the part behind '{layer}', given one row,"
    require_equal(one, {name: y[:1] for name, y in outputs.items()}, tolerance, what)


def _check_memory(verbs: Mapping[str, Verb], limited: Mapping[str, Verb], arrays: Arrays, tolerance: float) -> None:
    rows = len(next(iter(arrays.values())))
    many = {name: x[np.arange(2 * rows + 1) % rows] for name, x in arrays.items()}
    require(set(verbs) == set(limited), f"with little memory the model can {_named(limited)}; else {_named(verbs)}.")
    for verb, read in verbs.items():
        require_equal(limited[verb](many), read(many), tolerance, f"{verb}, with memory for a row at a time,")


def _named(verbs: Mapping[str, Verb]) -> str:
    return ", ".join(f"'{verb}'" for verb in sorted(verbs))


def _check_broken(verbs: Mapping[str, Verb], arrays: Arrays, broken: Callable[[], AbstractContextManager[Any]]) -> None:
    for verb, read in verbs.items():
        if verb == "activations":  # reads the part before the layer, which need not be the one that fails
            continue
        with broken():
            try:
                read(arrays)
            except Exception:
                continue
        raise AssertionError(f"{verb} swallows the error of a model that fails.")


def _check_fingerprint(adapter: Model, arrays: Arrays, change_weights: Callable[[], Any]) -> None:
    before, outputs = adapter.fingerprint(), adapter.predict(arrays)
    change_weights()
    after = adapter.predict(arrays)
    stays = all(np.array_equal(after[name], y) for name, y in outputs.items())
    require(not stays, "predict gives the outputs of the old weights after they changed.")
    require(adapter.fingerprint() != before, "fingerprint() is the same after the weights changed.")
