"""shap's ``DeepExplainer`` on models of PyTorch modules: DeepLIFT's rescale rule, averaged over a background.

shap changes what modules pass back, by hooks. Operations that are no modules (``torch.relu``, ``*``) pass their plain
gradient, as do modules that shap has no rule for; so the latter are refused, and of the former the completeness gap
tells. On models of other frameworks no hook would ever fire, which is why ``Hookable`` is asked for.
"""

import itertools
import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import IncompleteWarning, NotSupported
from xai_mimo.core.method import Attribution, Context, bytes_per_row
from xai_mimo.core.model import Arrays, Hookable, Model, require, require_floats
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take, take_mean
from xai_mimo_adapters.chunks import even_slices
from xai_mimo_adapters.shap_methods.bridge import seeded, shap_package, torch_package

_COPIES = 64
"""A background row is taken to need this many times its own memory inside the model: all of them go at once."""
_TOLERANCE = 1e-2
"""shap's own, absolute, and ours relative to the largest change of the target."""
_OTHERS = "Use 'shap.gradient', 'expected_gradients' or 'integrated_gradients', which hook nothing."


@dataclass(frozen=True)
class ShapDeep:
    """shap's ``DeepExplainer``: differences from each background row passed back through the modules.

    Takes native PyTorch models whose modules all have a rule of shap's and are called once. Where the values do not sum
    to the change of their target shap raises; here the completeness gap holds by how much, and a warning says so.

    Source: Shrikumar et al. (2017), "Learning Important Features Through Propagating Activation Differences", Section
    3.5.1; Lundberg and Lee (2017), Section 4.2, for the average over a background.
    """

    name: ClassVar[str] = "shap.deep"
    reference: ClassVar[str] = "lundberg2017unified"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Hookable,)
    packages: ClassVar[tuple[str, ...]] = ("shap", "torch")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row, one backward pass for each target and row.

        Warns:
            IncompleteWarning: the values of a target do not sum to its change.
        """
        able = require(model, Hookable, for_=self.name, instead=f"shap's hooks would never fire on it. {_OTHERS}")
        require_floats(model, for_=self.name)
        shap, torch = shap_package(), torch_package()
        ends = itertools.accumulate(head.size for head in model.heads)
        offsets = {head.name: end - head.size for head, end in zip(model.heads, ends, strict=True)}
        values = {name: np.zeros((len(selectors), *x.shape)) for name, x in inputs.items()}
        units = np.stack([s.units + offsets[s.head] for s in selectors], axis=1)
        behind = {name: context.background[name] for name in inputs}
        count = count_rows(behind)
        size = context.chunk(_COPIES * bytes_per_row(inputs), at_most=count)
        with able.hookable() as module, seeded(int(context.rng.integers(2**32))):
            _check_modules(module, {name: x[:1] for name, x in inputs.items()})
            for group in np.unique(units, axis=0):
                index = np.flatnonzero((units == group).all(axis=1))
                rows = [torch.from_numpy(np.ascontiguousarray(x[index])) for x in inputs.values()]
                for part in even_slices(count, size):
                    data = [torch.from_numpy(np.ascontiguousarray(x[part])) for x in behind.values()]
                    share = (part.stop - part.start) / count
                    for name, found in zip(
                        inputs, _explain(shap, _chosen(torch, module, group), data, rows), strict=True
                    ):
                        values[name][:, index] += share * np.moveaxis(found, -1, 0)
                context.advance(len(index))
        prediction = take(model.predict(inputs), selectors)
        before = take_mean(model.predict(context.background), selectors)
        _warn_of_gap(values, prediction - before, selectors)
        return Attribution(values=values, prediction=prediction, baseline_prediction=before)


def _explain(shap: Any, module: Any, data: list[Any], rows: list[Any]) -> list[Array]:
    """Values of each stream, ``(row, *shape, target)``."""
    explainer = shap.DeepExplainer(module, data)
    try:
        found = explainer.shap_values(rows)
    except AssertionError:  # shap's check of the sum: the completeness gap tells by how much
        found = explainer.shap_values(rows, check_additivity=False)
    return [np.asarray(x) for x in (found if isinstance(found, list) else [found])]


def _check_modules(module: Any, one: Arrays) -> None:
    """Refuse modules that shap would pass a plain gradient through, or mistake, without a word that stays.

    Raises:
        NotSupported: there is one.
    """
    import torch
    from shap.explainers._deep.deep_pytorch import op_handler

    leaves = {path: m for path, m in module.named_modules() if path and not list(m.children())}
    calls = dict.fromkeys(leaves, 0)

    def counted(path: str) -> Any:
        def count(*_: Any) -> None:
            calls[path] += 1

        return count

    hooks = [leaf.register_forward_hook(counted(path)) for path, leaf in leaves.items()]
    try:
        with torch.no_grad():
            module(*(torch.from_numpy(np.ascontiguousarray(x)) for x in one.values()))
    finally:
        for hook in hooks:
            hook.remove()
    for path, leaf in leaves.items():
        kind, rule = type(leaf).__name__, op_handler.get(type(leaf).__name__)
        where = f"'{path}' ({kind})"
        if not calls[path]:
            continue
        if rule is None:
            raise NotSupported(f"shap.deep has no rule for {where}, which would pass its plain gradient. {_OTHERS}")
        if kind == "Softmax":
            raise NotSupported(
                f"shap.deep takes {where} for a function of each unit alone, so that other classes would get nothing; "
                f"its hooks fire there behind a logit too. Take 'captum.DeepLift' with on='logit'. {_OTHERS}"
            )
        if calls[path] > 1 and rule.__name__ in ("nonlinear_1d", "maxpool"):
            raise NotSupported(
                f"shap.deep keeps one input of each module, and {where} is called {calls[path]} times. Give each call "
                f"a module of its own. {_OTHERS}"
            )
        if getattr(leaf, "inplace", False):
            raise NotSupported(
                f"shap.deep puts hooks on {where}, which works in place and would change what they keep. Make it with "
                f"inplace=False. {_OTHERS}"
            )


def _chosen(torch: Any, module: Any, units: Array) -> Any:
    """The module with these units alone."""

    class Chosen(torch.nn.Module):  # type: ignore[misc] # torch is untyped here
        def __init__(self) -> None:
            super().__init__()
            self.whole = module

        def forward(self, *streams: Any) -> Any:
            return self.whole(*streams)[:, units.tolist()]

    return Chosen()


def _warn_of_gap(values: Arrays, change: Array, selectors: Sequence[Selector]) -> None:
    sums = sum(v.reshape(*v.shape[:2], -1).sum(axis=-1) for v in values.values())
    gaps, changes = np.abs(sums - change).max(axis=1), np.abs(change).max(axis=1)
    wrong = [t for t in range(len(selectors)) if gaps[t] > _TOLERANCE * max(changes[t], 1e-6)]
    if wrong:
        worst = max(wrong, key=lambda t: gaps[t] / max(changes[t], 1e-6))
        warnings.warn(
            f"the values of shap.deep miss the change of '{selectors[worst].name}' by up to {gaps[worst]:.3g}, where "
            f"it changes by up to {changes[worst]:.3g}: something that is no module, such as torch.relu or a product, "
            f"passed its plain gradient. Make it a module with a rule of shap's, such as torch.nn.ReLU. {_OTHERS}",
            IncompleteWarning,
            stacklevel=2,
        )
