"""Where Captum's hooks would be silently wrong on a model: found in what a pass computes, and refused by name."""

from collections.abc import Callable, Collection, Sequence
from typing import Any

from xai_mimo.core.errors import NotSupported
from xai_mimo_adapters.captum_methods.hooked import Opened
from xai_mimo_adapters.captum_methods.passes import Operation

RELUS = frozenset({"Relu", "Threshold", "Clamp", "ClampMin", "Where", "MaskedFill", "Maximum"})
"""Operations by which a ReLU is written, where they are not linear."""
_LINKS = frozenset({"Sigmoid", "Softmax", "SafeSoftmax", "LogSoftmax", "LogSigmoid"})
_OTHERS = "take 'integrated_gradients', 'expected_gradients' or 'gradient', which hook nothing"


def check_calls(opened: Opened, hooked: Callable[[Any], bool], *, once: bool = True) -> None:
    """Refuse modules that Captum hooks and that are called in a way that it does not see.

    Args:
        opened: the model. hooked: which modules Captum hooks.
        once: whether it keeps one call of each.
    Raises:
        NotSupported: one is called several times, or with more than one tensor, or with none that the streams reach.
    """
    for module in {call.module: None for call in opened.seen.calls if hooked(call.module)}:
        calls = opened.seen.calls_of(module)
        if once and len(calls) > 1:
            raise NotSupported(
                f"{opened.name} keeps what each module read, and '{calls[0].path}' ({type(module).__name__}) is called "
                f"{len(calls)} times in one pass: one call would be explained with the numbers of another. Give each "
                f"call a module of its own, or {_OTHERS}."
            )
    for call in opened.seen.calls:
        if hooked(call.module) and not call.is_plain:
            raise NotSupported(
                f"{opened.name} hooks modules that are called with one tensor by place, and '{call.path}' "
                f"({type(call.module).__name__}) is called with something else, or with what no stream reaches. "
                f"Call it so, or {_OTHERS}."
            )


def check_all_ruled(opened: Opened, ruled: Callable[[Any], bool], rules: Collection[type]) -> None:
    """Refuse operations that are not linear and for which Captum has no rule, since it has rules for modules alone.

    Raises:
        NotSupported: on the way to a head that is explained there is one.
    """
    for head in opened.heads:
        for operation in opened.seen.ways[head]:
            if not operation.is_linear and not _is_in(operation, ruled):
                raise NotSupported(
                    f"{opened.name} has rules for certain modules alone ({_listed(rules)}). On the way to head "
                    f"'{head}' {_described(operation)}, which would get its plain gradient under another name. "
                    f"{_mended(operation, rules)}"
                )


def check_relus(opened: Opened, hooked: Callable[[Any], bool]) -> None:
    """Refuse models whose ReLUs are none of modules, or that have none: what came back would be a plain gradient.

    Raises:
        NotSupported: a head that is explained is reached through such a ReLU, or none of them through any.
    """
    found = False
    for head in opened.heads:
        for operation in opened.seen.ways[head]:
            is_hooked = _is_in(operation, hooked)
            found = found or is_hooked
            is_relu = operation.name in RELUS or operation.is_threshold
            if is_relu and not operation.is_linear and not is_hooked:
                raise NotSupported(
                    f"{opened.name} changes the gradient of torch.nn.ReLU modules alone. On the way to head '{head}' "
                    f"{_described(operation)}, which would get its plain gradient. Make it a module of its own, "
                    f"self.act = torch.nn.ReLU(), or {_OTHERS}."
                )
    if not found and any(opened.seen.ways[head] for head in opened.heads):
        raise NotSupported(
            f"{opened.name} changes the gradient of torch.nn.ReLU modules, and none lies on the way to "
            f"{', '.join(repr(head) for head in opened.heads)}: the result would be a plain gradient under another "
            "name. Take 'gradient' for that, or 'integrated_gradients'."
        )


def _is_in(operation: Operation, modules: Callable[[Any], bool]) -> bool:
    return operation.within is not None and modules(operation.within.module)


def _described(operation: Operation) -> str:
    return f"'{operation.name.lower()}' is computed {operation.place}"


def _mended(operation: Operation, rules: Collection[type]) -> str:
    module = None if operation.within is None else operation.within.module
    if type(module) in rules and getattr(module, "_backward_hooks", None):
        return "The module has backward hooks of its own, and Captum passes such modules by: remove them."
    link = "If it is the last step, explain what it reads: on='logit'. " if operation.name in _LINKS else ""
    kinds = {rule.__name__.lower(): rule.__name__ for rule in rules}
    own = kinds.get(operation.name.lower())
    made = f"make it a module of its own that is called once, torch.nn.{own}()" if own else "leave it out"
    return f"{link}{made[0].upper()}{made[1:]}, or {_OTHERS}."


def _listed(rules: Collection[type]) -> str:
    names: Sequence[str] = [rule.__name__ for rule in rules]
    return ", ".join(names)
