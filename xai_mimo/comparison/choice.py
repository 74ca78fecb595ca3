"""Which methods a comparison takes when none are named: those that the model has what they need for."""

from xai_mimo.comparison.spaces import Space, choose_space
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Method
from xai_mimo.core.model import Arrays, Differentiable, Interceptable, Model
from xai_mimo.core.plugins import method
from xai_mimo.explainers.perturbation.shapley import Shapley


def choose_methods(model: Model, first_row: Arrays, at: str | None, space: str | None) -> tuple[dict[str, Method], str]:
    """The methods, and how they were chosen.

    ``interception`` where one layer sows maps over features and the other methods can be compared with it;
    ``integrated_gradients`` where there are gradients by every stream; ``shapley`` where its budget is enough for the
    values to be explained, else ``occlusion``.

    Args:
        model: the adapted model.
        first_row: one row of its inputs.
        at, space: as ``compare`` takes them.
    """
    names: list[str] = []
    left_out: list[str] = []
    where, why = _space_with_interception(model, first_row, at, space)
    if where is None:
        left_out.append(f"interception ({why})")
        where = choose_space(model, first_row, intercepts=False, at=at, space=space)
    else:
        names.append("interception")
    explained, values = _explained(model, where, first_row)
    if not isinstance(explained, Differentiable):
        left_out.append("integrated_gradients (the model gives no gradients)")
    elif any(s.is_integer for s in explained.streams):
        left_out.append("integrated_gradients (a stream holds whole numbers)")
    else:
        names.append("integrated_gradients")
    # Two pairs of permutations, without which Shapley values have no standard error.
    if 4 * (values - 1) <= Shapley().budget:
        names.append("shapley")
    else:
        names.append("occlusion")
        left_out.append(f"shapley ({values} values are more than its budget is enough for)")
    text = ", ".join(names) + (f"; without {', '.join(left_out)}" if left_out else "")
    return {name: method(name) for name in names}, text


def _space_with_interception(
    model: Model, first_row: Arrays, at: str | None, space: str | None
) -> tuple[Space | None, str]:
    if not isinstance(model, Interceptable) or not model.intercept(first_row):
        return None, "no layer of the model explains itself"
    try:
        return choose_space(model, first_row, intercepts=True, at=at, space=space), ""
    except (NotSupported, BadSetting) as err:
        return None, str(err).rstrip(".")


def _explained(model: Model, space: Space, first_row: Arrays) -> tuple[Model, int]:
    """The model whose inputs are explained, and how many values a row of them has."""
    if space.cut is not None and space.is_at_layer:
        model, first_row = space.cut.part, space.cut.enter(first_row)
    return model, sum(x[0].size for x in first_row.values())
