"""Captum's layer-wise relevance propagation, on models whose every layer has a rule."""

import copy
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal, get_args

from xai_mimo.core.errors import NotSupported
from xai_mimo.core.method import Attribution, Context, one_of, positive
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.precision import precision_of
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.targets import Selector, take
from xai_mimo_adapters.captum_methods.hooked import NEEDS, PACKAGES, Opened, captum_attr, opened
from xai_mimo_adapters.captum_methods.passes import MOVING, Operation
from xai_mimo_adapters.captum_methods.refusals import check_calls

LrpRule = Literal["epsilon", "gamma", "alpha1_beta0"]
_WEIGHTED = ("Linear", "Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d")
"""Linear layers with weights, which get the rule that was chosen."""
_UNWEIGHTED = tuple(
    f"{kind}{axes}d" for kind in ("MaxPool", "AvgPool", "AdaptiveAvgPool", "BatchNorm") for axes in (1, 2, 3)
)
"""Layers that get the epsilon rule, whichever was chosen: pools, and norms, whose statistics are those of training."""
_SUM = "Addition_Module"
_LEAST = 6.2e-5
"""The smallest epsilon that float16 holds."""


@dataclass(frozen=True)
class CaptumLRP:
    """Captum's ``LRP``: what the target is worth, handed back from layer to layer in the share of each input.

    R_i = sum over j of x_i w_ij R_j / (z_j + epsilon sign z_j),  z_j = sum over i of x_i w_ij + b_j

    is the epsilon rule; "gamma" takes w + gamma max(w, 0) for the weights, "alpha1_beta0" max(w, 0). ReLU, Tanh and
    Dropout hand on what they get. The sum of a row's values is the target less what biases and epsilon take, which is
    the diagnostic ``absorbed``: nothing is measured from a baseline.

    Linear layers, convolutions and their transposes, pooling, batch norms (epsilon, whichever rule is chosen), and
    modules that only move values are known; a module's own ``module.rule``, one of Captum's, stands above. Everything
    else on the way to a head is refused by name: functions that are not linear, sums and factors in ``forward`` (write
    a sum as Captum's ``Addition_Module``), modules that are called twice.

    Attributes:
        rule: of layers with weights.
        epsilon: see above; in float16 at least 6e-5.
        gamma: see above.

    Source: Bach et al. (2015), "On Pixel-Wise Explanations for Non-Linear Classifier Decisions by Layer-Wise Relevance
    Propagation", Equations 56 and 58; Montavon et al. (2019), "Layer-Wise Relevance Propagation: An Overview".
    """

    rule: LrpRule = "epsilon"
    epsilon: float = 1e-9
    gamma: float = 0.25

    name: ClassVar[str] = "captum.LRP"
    reference: ClassVar[str] = "bach2015pixelwise"
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = NEEDS
    packages: ClassVar[tuple[str, ...]] = PACKAGES

    def __post_init__(self) -> None:
        one_of(self.rule, get_args(LrpRule), "rule")
        positive(self.epsilon, "epsilon")
        positive(self.gamma, "gamma")

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """One Captum run for each target."""
        attr = captum_attr()
        epsilon = max(self.epsilon, _LEAST) if precision_of(model) == "float16" else self.epsilon
        passive = _passive()
        with opened(model, inputs, selectors, context, name=self.name, hooked=_is_leaf) as ready:
            layers = _layers_on_the_way(ready)
            _check_operations(ready, functional_relu=self.rule == "epsilon")
            rules = _rules(ready, layers, lambda layer: self._rule(layer, epsilon), passive)
            check_calls(ready, lambda module: module in layers and type(module).__name__ != _SUM)

            def attribute(rows: tuple[Any, ...], units: Any, *_: Any) -> Sequence[Any]:
                for module, rule in rules.items():  # Captum takes them away at the end of each run
                    module.rule = rule
                found: Sequence[Any] = attr.LRP(ready.module).attribute(rows, target=units)
                return found

            values = ready.explain(attribute, context, ready.rows_at_once(context))
        prediction = take(model.predict(inputs), selectors)
        total = sum(v.reshape(*prediction.shape, -1).sum(axis=-1) for v in values.values())
        return Attribution(values, prediction, diagnostics={"absorbed": prediction - total})

    def _rule(self, layer: Any, epsilon: float) -> Any:
        """Captum's rule for a layer, None where it has none."""
        from captum.attr._utils.lrp_rules import Alpha1_Beta0_Rule, EpsilonRule, GammaRule

        kind = type(layer).__name__
        if kind in _WEIGHTED and self.rule != "epsilon":
            rule = GammaRule(self.gamma) if self.rule == "gamma" else Alpha1_Beta0_Rule()
            rule.STABILITY_FACTOR = epsilon
            return rule
        return EpsilonRule(epsilon) if kind in (*_WEIGHTED, *_UNWEIGHTED, _SUM) else None


def _is_leaf(module: Any) -> bool:
    return next(module.children(), None) is None


def _passive() -> tuple[type, ...]:
    """Modules that hand on the relevance that they get."""
    from captum.attr._core.lrp import SUPPORTED_NON_LINEAR_LAYERS

    return tuple(SUPPORTED_NON_LINEAR_LAYERS)


def _layers_on_the_way(ready: Opened) -> dict[Any, str]:
    """Modules without parts that do more than move values on the way to an explained head, and one such head."""
    found: dict[Any, str] = {}
    for head in ready.heads:
        for operation in ready.seen.ways[head]:
            module = None if operation.within is None else operation.within.module
            if module is not None and _is_leaf(module) and operation.name not in MOVING:
                found.setdefault(module, head)
    return found


def _rules(
    ready: Opened, layers: dict[Any, str], rule_of: Callable[[Any], Any], passive: tuple[type, ...]
) -> dict[Any, Any]:
    """The rule of each module that gets one, the user's own before ours; what else is called ``rule`` is taken away.

    Raises:
        NotSupported: a layer on the way to a head has none.
    """
    from captum.attr._utils.lrp_rules import PropagationRule

    passing, rules = _passing(PropagationRule), {}
    for path, module in ready.module.named_modules():
        own = vars(module).pop("rule", None)
        if isinstance(own, PropagationRule):
            rules[module] = copy.copy(own)  # it keeps tensors
            continue
        if not _is_leaf(module) or (type(module) in passive and module in layers):
            continue
        rule = rule_of(module) if module in layers else passing()
        if rule is None:
            raise NotSupported(
                f"captum.LRP has no rule for '{path}' ({type(module).__name__}), which lies on the way to head "
                f"'{layers[module]}'. It has rules for {', '.join(_WEIGHTED[:4])}, their transposes, pooling and batch "
                f"norms, and hands on at {', '.join(kind.__name__ for kind in passive)}. If it is a final sigmoid or "
                "softmax, explain what that reads: on='logit'. Give a linear module a rule of its own (module.rule = "
                "EpsilonRule() of captum.attr._utils.lrp_rules), or take 'captum.DeepLift' or 'integrated_gradients'."
            )
        rules[module] = rule
    return rules


def _passing(base: type) -> type:
    class Passing(base):  # type: ignore[misc] # its type is known when captum is there
        """Modules that move values, or that no explained head reads: the gradient carries the relevance."""

        def forward_hook(self, module: Any, inputs: Any, outputs: Any) -> None:
            return None

        forward_hook_weights = _manipulate_weights = forward_hook

        def forward_pre_hook_activations(self, module: Any, inputs: Any) -> None:
            return None

    return Passing


def _check_operations(ready: Opened, *, functional_relu: bool) -> None:
    """Refuse what the model computes outside of layers, unless it only moves values: relevance is no gradient there."""
    for head in ready.heads:
        for operation in ready.seen.ways[head]:
            within = operation.within
            if (
                operation.name in MOVING
                or (operation.name == "Relu" and functional_relu)
                or (within is not None and _is_leaf(within.module))
            ):
                continue
            raise NotSupported(
                f"captum.LRP has rules for modules alone. On the way to head '{head}' '{operation.name.lower()}' is "
                f"computed {operation.place}, where relevance would be passed as a gradient is. {_mended(operation)}, "
                "or take 'captum.DeepLift' or 'integrated_gradients'."
            )


def _mended(operation: Operation) -> str:
    name = operation.name
    if name in ("Add", "Sub"):
        return "Write the sum as captum.attr._utils.custom_modules.Addition_Module()"
    if name in ("Sigmoid", "Softmax", "SafeSoftmax"):
        return "If it is the last step, explain what it reads, on='logit'; make it part of no model"
    if name == "Mean":
        return "Make it a pooling of its own, torch.nn.AdaptiveAvgPool1d(1)"
    return "Make it a module that has a rule"
