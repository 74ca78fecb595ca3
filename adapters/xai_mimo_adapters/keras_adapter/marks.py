"""What a Keras model looks like: cheap marks by which it is seen that what was compiled for it is out of date.

Weights are arguments of what is compiled; the rest of a layer is written into it: its activation, the statistics of a
``Normalization``, the sublayers and variables that it has. All of that are attributes of layers, and whoever changes a
layer sets one. So the marks of a model are the attributes of its layers: plain values as they are, everything else by
identity. No weight is read and nothing is hashed. What is changed *inside* an object that a layer holds, or in a
global that its ``call`` reads, leaves no mark: for that, new adapters look once at what was compiled (``compiled.py``).

Three kinds of attributes are no settings and leave no mark either:

- those of training: whatever the methods assign that a Keras model has and a layer has not (``compile``, ``fit``),
  unless the model's own ``call`` reads it;
- Keras's and PyTorch's own notes in a layer, by name (``_NOTES``);
- records: what a layer's ``call`` assigns and nothing that ``call`` runs ever reads, such as ``self.last = scores``.
  What ``call`` also reads (``self.calls += 1``) or keeps otherwise (``self.scores.append(...)``, an attribute of
  another layer) may be a setting: after every eager call of such a model, what was compiled is compiled again.
"""

import dis
import functools
import inspect
import itertools
import operator
import types
import weakref
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import keras
import numpy as np

_PLAIN = (type(None), bool, int, float, complex, str, bytes, np.generic)
_CONTAINERS = (list, tuple, set, frozenset, dict)
# What Keras and PyTorch keep for themselves in a layer, and change while a model is called, saved or called inside
# another; no answer in inference mode depends on it.
# fmt: off
_NOTES = frozenset({
    "_tracker", "_lock", "_metrics", "_auto_config", "_inbound_nodes", "_outbound_nodes", "_losses", "_loss_ids",
    "_losses_override", "_called", "_call_signature", "call_signature_parameters", "_build_shapes_dict",
    "_parent_path", "_input_spec", "_nodes", "_nodes_by_depth", "_operations_by_depth", "_inputs", "_inputs_struct",
    "_outputs", "_outputs_struct", "_dropout_mask", "_recurrent_dropout_mask", "_tracked",
    "_saved_model_inputs_spec", "_saved_model_arg_spec",
    "_parameters", "_buffers", "_modules", "_non_persistent_buffers_set", "_is_full_backward_hook", "_backward_hooks",
    "_backward_pre_hooks", "_forward_hooks", "_forward_hooks_always_called", "_forward_hooks_with_kwargs",
    "_forward_pre_hooks", "_forward_pre_hooks_with_kwargs", "_load_state_dict_post_hooks",
    "_load_state_dict_pre_hooks", "_state_dict_hooks", "_state_dict_pre_hooks", "training",
})
# What callbacks, properties and the makers of Keras's compiled functions set; the rest is read from its code.
_NOTES_OF_TRAINING = frozenset({
    "optimizer", "history", "loss", "compiled", "_compile_config", "_jax_state", "_jax_state_synced",
    "_compiled_trainable_state", "_eval_epoch_iterator", "predict_function", "test_function", "train_function",
})
# fmt: on
# Loading weights notes that a layer is not calibrated, which it is not either where nothing is noted.
_FALSE_IF_MISSING = frozenset({"is_gptq_calibrated", "is_awq_calibrated"})
_RUN = ("__call__", "call", "compute_mask")  # what is run of a layer in a model
_READS = ("LOAD_ATTR", "LOAD_METHOD", "LOAD_SUPER_ATTR", "DELETE_ATTR")


class Marks:
    """The marks that a model had at one time; they keep nothing of it alive.

    Args:
        model: any Keras model.
    """

    def __init__(self, model: keras.Model) -> None:
        self._layers = [_LayerMarks(layer) for layer in model._flatten_layers()]

    def fit(self, model: keras.Model) -> bool:
        """Whether the model has these marks still."""
        layers = model._flatten_layers()
        return len(layers) == len(self._layers) and all(map(_LayerMarks.fit, self._layers, layers))


class _LayerMarks:
    """The attributes of one layer.

    What they were is compared quickly, by the identities of all of them at once, and in full where that differs. An
    identity is only that of the same thing while the thing lives: plain values are kept for that, of others it is noted
    when they end.
    """

    def __init__(self, layer: keras.Layer) -> None:
        self._layer = weakref.ref(layer)
        self._ignored = _no_settings(layer)
        self._attributes = {name: _kept(value, self._end) for name, value in self._settings(layer)}
        self._pick = operator.itemgetter(*self._attributes, "built")  # two at least, so that it gives a tuple
        self._take_identities(layer)

    def fit(self, layer: keras.Layer) -> bool:
        if self._layer() is not layer:
            return False
        values = vars(layer)
        if self._all_alive and len(values) == self._size:
            try:
                if tuple(map(id, self._pick(values))) == self._identities:
                    return all(_same(self._attributes[name], values[name]) for name in self._containers)
            except KeyError:
                return False
        now = dict(self._settings(layer))
        if now.keys() != self._attributes.keys() or not all(_same(self._attributes[n], now[n]) for n in now):
            return False
        self._take_identities(layer)
        return True

    def _take_identities(self, layer: keras.Layer) -> None:
        values = vars(layer)
        self._size = len(values)
        self._identities = tuple(map(id, self._pick(values)))
        self._containers = [name for name, kept in self._attributes.items() if isinstance(kept, _Items)]
        self._all_alive = True

    def _end(self, _: Any) -> None:
        self._all_alive = False

    def _settings(self, layer: keras.Layer) -> Iterator[tuple[str, Any]]:
        for name, value in vars(layer).items():
            if name in self._ignored or name.startswith("_self_"):  # the second are TensorFlow's
                continue
            if name in _FALSE_IF_MISSING and value is False:
                continue
            yield name, value


def _no_settings(layer: keras.Layer) -> frozenset[str]:
    """Names of attributes of a layer on which no answer in inference mode depends."""
    kind = type(layer)
    if kind not in _OF_CLASSES:
        assigned, read = _of_call(kind)
        training = _names_of_training() - read if issubclass(kind, keras.Model) else frozenset()
        _OF_CLASSES[kind] = _NOTES | training | (assigned - read)
    return _OF_CLASSES[kind]


_OF_CLASSES: "weakref.WeakKeyDictionary[type, frozenset[str]]" = weakref.WeakKeyDictionary()


@functools.cache
def _names_of_training() -> frozenset[str]:
    """What the methods assign that a Keras model has and a layer has not."""
    trainers = [
        each for each in keras.Model.__mro__ if not issubclass(each, keras.Layer) and not issubclass(keras.Layer, each)
    ]
    codes = [code for each in trainers for member in vars(each).values() for code in _codes(member)]
    return _NOTES_OF_TRAINING.union(*map(_assigned, codes))


def _of_call(kind: type) -> tuple[set[str], set[str]]:
    """Names that ``call`` of a class of layers assigns, and names that it reads, itself or in methods that it runs."""
    assigned, read = set[str](), set[str]()
    known, waiting = set(_RUN), list(_RUN)
    while waiting:
        name = waiting.pop()
        for each in itertools.takewhile(lambda each: each is not keras.Layer, kind.__mro__):
            for code in _codes(vars(each).get(name)):
                assigned |= _assigned(code)
                read |= _read(code)
                waiting += set(code.co_names) - known
                known.update(code.co_names)
    return assigned, read


def _codes(member: Any) -> Iterator[types.CodeType]:
    """The code of a method or property, that of functions within it too."""
    waiting: list[Any] = [member.fget, member.fset] if isinstance(member, property) else [member]
    while waiting:
        each = waiting.pop()
        if isinstance(each, types.CodeType):
            yield each
            waiting += [const for const in each.co_consts if isinstance(const, types.CodeType)]
        else:
            function = getattr(each, "__func__", each)
            function = inspect.unwrap(function) if inspect.isfunction(function) else None
            waiting += [function.__code__] if inspect.isfunction(function) else []


def _assigned(code: types.CodeType) -> set[str]:
    return {each.argval for each in dis.get_instructions(code) if each.opname == "STORE_ATTR"}


def _read(code: types.CodeType) -> set[str]:
    """Names that a piece of code reads of anything, or could: ``getattr`` has them as texts."""
    texts = {const for const in code.co_consts if isinstance(const, str)}
    return texts | {each.argval for each in dis.get_instructions(code) if each.opname in _READS}


@dataclass(frozen=True)
class _Items:
    """What a list, tuple, set or mapping held."""

    items: tuple[Any, ...]


def _items(value: Any) -> list[Any]:
    """What stands in a container, with its kind and length."""
    each = itertools.chain.from_iterable(value.items()) if isinstance(value, dict) else value
    return [type(value), len(value), *each]


def _kept(value: Any, end: Callable[[Any], None] | None = None) -> Any:
    """What is noted of a value; it keeps nothing alive from which one could come to the model."""
    if isinstance(value, _CONTAINERS):
        return _Items(tuple(_kept(each) for each in _items(value)))
    if isinstance(value, _PLAIN):
        return value
    try:
        return weakref.ref(value, end)
    except TypeError:
        return _Identity(id(value))


@dataclass(frozen=True)
class _Identity:
    of: int


def _same(kept: Any, now: Any) -> bool:
    if isinstance(kept, _Items):
        if not isinstance(now, _CONTAINERS):
            return False
        items = _items(now)
        return len(items) == len(kept.items) and all(map(_same, kept.items, items))
    if isinstance(kept, weakref.ref):
        return kept() is now
    if isinstance(kept, _Identity):
        return kept.of == id(now)
    return kept is now or (type(kept) is type(now) and bool(kept == now))
