"""Which methods a comparison takes when none are named: those that the model has what they need for."""

import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Literal

from xai_mimo.comparison.explanations import ExplainRequest
from xai_mimo.comparison.spaces import Space, choose_space
from xai_mimo.core.attention import READ_BY, is_between_positions
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.held_streams import without_held
from xai_mimo.core.method import Method
from xai_mimo.core.model import Arrays, Differentiable, Interceptable, Model
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import Masker
from xai_mimo.core.plugins import method
from xai_mimo.core.progress import Advance, silent
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, rows_of, select
from xai_mimo.explainers.interception.interception import Interception
from xai_mimo.explainers.perturbation.shapley import Shapley

# Rows on which a layer's own map is tried: on one alone, contributions to another head cannot be told from a bias.
_TRIED = 8


def choose_methods(
    model: Model,
    rows: Arrays,
    at: str | None,
    space: str | None,
    *,
    selectors: Sequence[Selector] | None = None,
    labels: Mapping[str, Array] | None = None,
    background: Arrays | None = None,
    players: NamedPlayers | None = None,
) -> tuple[dict[str, Method], str]:
    """The methods, and how they were chosen.

    ``interception`` where one layer sows maps over features, the other methods can be compared with it, and it says
    something of the targets: its attention, or its contributions where it has no attention; ``integrated_gradients``
    where there are gradients by every stream; ``shapley`` where its budget is enough for the values to be explained,
    else ``occlusion``.

    Args:
        model: the adapted model.
        rows: of its inputs, at least one; the layer's map is tried on the first few.
        at, space: as ``compare`` takes them.
        selectors: the targets, resolved for these rows; every head by default.
        labels: of these rows, ``{head: (sample, ...)}``, where a target needs them.
        players: with names, in the place of single values.
        background: rows on which the layer's map is tried too; ``rows`` by default.
    """
    first_row = {name: values[:1] for name, values in rows.items()}
    few = {name: values[:_TRIED] for name, values in rows.items()}
    targets = select(None, model.heads, model.predict(few)) if selectors is None else selectors
    targets = rows_of(targets, slice(_TRIED))
    few_labels = {head: values[:_TRIED] for head, values in (labels or {}).items()}
    there = few if background is None else {name: values[:_TRIED] for name, values in background.items()}
    named: dict[str, Method] = {}
    names: list[str] = []
    own_text: list[str] = []
    left_out: list[str] = []
    try:
        kind = _kind_of_map(model, first_row)
        where = choose_space(model, first_row, intercepts=True, at=at, space=space)
        own = Interception(kind, baseline="background" if kind == "contribution" else "bias")
        _try(ExplainRequest(model, where, few, few_labels, targets), own, there)
    except (NotSupported, BadSetting) as err:
        left_out.append(f"interception ({str(err).rstrip('.')})")
        where = choose_space(model, first_row, intercepts=False, at=at, space=space)
    else:
        named["interception"] = own
        without = " (contributions, since no layer has an attention)" if kind == "contribution" else ""
        own_text.append(f"interception{without}")
    explained, values = _explained(model, where, first_row, players)
    if not isinstance(explained, Differentiable):
        left_out.append("integrated_gradients (the model gives no gradients)")
    elif any(s.is_integer for s in explained.streams):
        left_out.append("integrated_gradients (a stream holds whole numbers)")
    elif whole := [s.head for s in targets if model.predict(first_row)[s.head].dtype.kind != "f"]:
        left_out.append(f"integrated_gradients (head '{whole[0]}' gives whole numbers)")
    else:
        names.append("integrated_gradients")
    # Two pairs of permutations, without which Shapley values have no standard error.
    if 4 * (values - 1) <= Shapley().budget:
        names.append("shapley")
    else:
        names.append("occlusion")
        left_out.append(f"shapley ({values} values are more than its budget is enough for)")
    text = ", ".join([*own_text, *names]) + (f"; without {', '.join(left_out)}" if left_out else "")
    return named | {name: method(name) for name in names}, text


def _kind_of_map(model: Model, first_row: Arrays) -> Literal["attention", "contribution"]:
    """The kind of the layer's own map that a comparison takes.

    Raises:
        NotSupported: no layer has a map of such a kind.
    """
    maps = model.intercept(first_row) if isinstance(model, Interceptable) else {}
    if not maps:
        raise NotSupported("no layer of the model explains itself")
    if all(is_between_positions(m) for m in maps.values()):
        raise NotSupported(f"its layers attend from position to position, which {READ_BY} read")
    sown = {m.name for m in maps.values()}
    kinds: tuple[Literal["attention", "contribution"], ...] = ("attention", "contribution")
    for kind in kinds:
        if kind in sown:
            return kind
    raise NotSupported(f"no layer has an attention or contributions, only the maps {', '.join(maps)}")


def _try(asked: ExplainRequest, own: Method, background: Arrays) -> None:
    """Explain the rows with the layer's own map.

    Raises:
        NotSupported, BadSetting: the map says nothing of the targets.
    """
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # what there is to say of the maps is said when all rows are explained
        asked.run({"interception": own}, background, {"interception": 0}, _unseen_step)


@contextmanager
def _unseen_step(name: str, amount: float) -> Iterator[Advance]:
    """A step whose progress is not shown."""
    yield silent


def _explained(model: Model, space: Space, first_row: Arrays, players: NamedPlayers | None) -> tuple[Model, int]:
    """The model whose inputs are explained, and how many players a row of them has, by default values, groups of
    features as one."""
    model = without_held(model)
    if space.cut is not None and space.is_at_layer:
        model, first_row = space.cut.part, space.cut.enter(first_row)
    return model, Masker.of(first_row, "features" if players is None else players, model.streams).count
