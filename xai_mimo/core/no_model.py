"""What is said of things that no adapter takes: data, parts of a framework, models of frameworks without an adapter."""

from collections.abc import Collection, Mapping
from types import ModuleType
from typing import Any

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.names import with_article

WRAPPED = {
    "torch": "model(torch.from_numpy(sensors)).detach().numpy()",
    "jax": "model(sensors)",
    "flax": "model.apply(parameters, sensors)",
    "equinox": "jax.vmap(model)(sensors)",
    "tensorflow": "model(tf.constant(sensors)).numpy()",
    "onnxruntime": "model.run(None, {model.get_inputs()[0].name: sensors})[0]",
    "sklearn": "model.predict(sensors)",
    "xgboost": "model.predict(sensors)",
    "lightgbm": "model.predict(sensors)",
    "catboost": "model.predict(sensors)",
    "paddle": "model(paddle.to_tensor(sensors)).numpy()",
    "mlx": "numpy.array(model(mlx.core.array(sensors)))",
    "tinygrad": "model(Tensor(sensors)).numpy()",
    "openvino": "model(sensors)[0]",
    "transformers": "network(torch.from_numpy(sensors)).logits.detach().numpy()",
}
"""For frameworks whose models are no plain functions, the body of a function of arrays that asks one."""
_DATA: dict[str, frozenset[str] | None] = {
    **dict.fromkeys(("numpy", "pandas", "polars", "pyarrow", "xarray", "scipy")),
    "xgboost": frozenset(["DMatrix"]),
    "lightgbm": frozenset(["Dataset"]),
    "catboost": frozenset(["Pool"]),
}
"""Packages whose objects are data, or the classes of them that are."""
_SAME = frozenset(["builtins", "functools", "jaxlib", "onnxruntime"])
"""Entry points that are another's adapter, or that of functions."""


def check_no_data(model: Any) -> None:
    """Refuse data in the place of a model.

    Raises:
        NotSupported: it is an array, a data frame or a data set of boosted trees.
    """
    for kind in type(model).__mro__:
        root = kind.__module__.split(".")[0]
        if root in _DATA and not callable(model) and kind.__name__ in (_DATA[root] or (kind.__name__,)):
            raise NotSupported(
                f"{with_article(name_of(type(model)))} is data and no model. The model comes first: "
                "xai_mimo.explain(model, x)."
            )


def no_adapter(model: Any, framework: str, entries: Collection[str]) -> NotSupported:
    """The error for what no adapter takes.

    Args:
        model: the thing. framework: whose it is, of those in ``WRAPPED``; "" for none of them.
        entries: names of the adapters that there are.
    """
    kind = name_of(type(model))
    if isinstance(model, ModuleType):
        return NotSupported(f"{model.__name__} is a Python module and no model; give a model or a function of it.")
    if model is None or isinstance(model, int | float):
        return NotSupported(f"{model!r} is no model; give a model of a framework, or a function of arrays.")
    if isinstance(model, Mapping | list | tuple):
        return NotSupported(
            f"{with_article(kind)} is no model. If it holds weights, load them into their model and give that; if it "
            "holds data, the model comes first: xai_mimo.explain(model, x). One call explains one model."
        )
    if framework == "transformers":
        return NotSupported(
            f"{kind} takes texts or pictures as they come, and no method can change these by a little. Give the "
            "network inside, xai_mimo.adapt(pipe.model), and rows as the tokenizer or processor makes them."
        )
    lacks = f"{kind} is a model of {framework}, for which no adapter loads" if framework else f"no adapter for {kind}"
    body = WRAPPED.get(framework, "model.predict(sensors)")
    return NotSupported(
        f"{lacks}; there are adapters for {', '.join([*sorted(set(entries) - _SAME), 'functions of arrays'])}. Wrap "
        "the model in a function that takes one array per stream and returns one per head; it can be predicted, not "
        f"differentiated: xai_mimo.adapt(lambda sensors: {body}, streams={{'sensors': (12,)}}, heads={{'risk': 1}})."
    )


def name_of(kind: type) -> str:
    """A type as its users write it: with its module, but for Python's own."""
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
