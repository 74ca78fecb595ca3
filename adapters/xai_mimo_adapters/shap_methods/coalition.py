"""shap's explainers of players in a hierarchy: Owen values, in which a group enters as one before its members do."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np

from xai_mimo.core.door import count_rows
from xai_mimo.core.errors import BadSetting
from xai_mimo.core.method import Attribution, Context, whole
from xai_mimo.core.model import Arrays, Model
from xai_mimo.core.named_players import NamedPlayers
from xai_mimo.core.players import WholePlayers
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector
from xai_mimo_adapters.shap_methods.bridge import (
    Predict,
    check_whole_players,
    explain_players,
    masker_of,
    shap_package,
)
from xai_mimo_adapters.shap_methods.hierarchy import Hierarchy, Tree, check_hierarchy, linkage, tree_of

_OWEN = """@incollection{owen1977values,
  author = {Owen, Guillermo},
  title = {Values of Games with a Priori Unions},
  booktitle = {Mathematical Economics and Game Theory},
  series = {Lecture Notes in Economics and Mathematical Systems},
  volume = {141},
  pages = {76--88},
  publisher = {Springer},
  year = {1977},
  doi = {10.1007/978-3-642-45494-3_7}
}
"""


@dataclass(frozen=True)
class ShapPartition:
    """shap's ``explainers.Partition``: Owen values of a hierarchy that splits in two, and again in two.

    They are no Shapley values: a group enters as one, and its change is then divided among its parts. For a model that
    adds up its inputs both are the same. A group of several is halved in its order, streams and the players in them.

    Attributes:
        hierarchy: "streams" first, then halves of each stream; "correlation", players whose ranks in the background go
            together first; or groups by name, see ``shap_methods.hierarchy``.
        evaluations: coalitions of a row at most. Where the hierarchy needs more, the largest changes are divided first,
            and what is left of a group is divided evenly among its players; ``converged`` then says False.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Owen (1977), "Values of Games with a Priori Unions"; Lundberg and Lee (2017) for the game.
    """

    hierarchy: Hierarchy | Literal["correlation"] = "streams"
    evaluations: int = 10_000
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.partition"
    reference: ClassVar[str] = "owen1977values"
    bibtex: ClassVar[str] = _OWEN
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        whole(self.evaluations, "evaluations")
        check_hierarchy(self.hierarchy, ("streams", "correlation"))
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        tree = None if self.hierarchy == "correlation" else tree_of(self.hierarchy, masker)
        size = context.chunk(8 * masker.count * count_rows(context.background), at_most=1024)
        is_whole = True

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            nonlocal is_whole
            if masker.count == 1:  # it takes the whole change; shap has no tree of one
                return _whole_change(predict, background, rows)
            links = by_correlation(background) if tree is None else linkage(tree, masker.count)
            is_whole = evaluations_of(links) <= self.evaluations
            partition = shap.maskers.Partition(background, max_samples=len(background), clustering=links)
            explainer = shap.explainers.Partition(predict, partition)
            found = explainer(rows, max_evals=self.evaluations, batch_size=2 * size, silent=True)
            return np.asarray(found.values)

        found = explain_players(model, inputs, selectors, context, masker, run)
        return replace(found, diagnostics={"converged": np.full(found.prediction.shape, is_whole)})


@dataclass(frozen=True)
class ShapCoalition:
    """shap's ``CoalitionExplainer``: Owen values of a hierarchy of any depth, whose groups may have any size.

    They are no Shapley values: within a group all orders count alike, while other groups are there as a whole or not at
    all. With two levels they are Owen's, with more Winter's. For a model that adds up its inputs all are the same.

    Attributes:
        hierarchy: the players of each stream together, or groups by name, see ``shap_methods.hierarchy``.
        evaluations: coalitions of a row at most; they double with each member of a group.
        players: as ``Shapley`` takes them, but for patches and for superpixels that differ from row to row.

    Source: Owen (1977), "Values of Games with a Priori Unions"; Winter (1989), "A Value for Cooperative Games with
    Levels Structure of Cooperation", for more than two levels.
    """

    hierarchy: Hierarchy = "streams"
    evaluations: int = 10_000
    players: WholePlayers | NamedPlayers = "features"

    name: ClassVar[str] = "shap.coalition"
    reference: ClassVar[str] = "owen1977values"
    bibtex: ClassVar[str] = _OWEN
    speaks_of: ClassVar[SpeaksOf] = "attribution"
    packages: ClassVar[tuple[str, ...]] = ("shap",)

    def __post_init__(self) -> None:
        whole(self.evaluations, "evaluations")
        check_hierarchy(self.hierarchy)
        check_whole_players(self.players)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Explain all targets of each row from the same coalitions."""
        shap = shap_package()
        masker = masker_of(inputs, self.players, model, self.name)
        tree = tree_of(self.hierarchy, masker)
        needed = _coalitions(tree)
        if needed > self.evaluations:
            raise BadSetting(
                f"{self.name} would ask for {needed} coalitions of a row, more than evaluations={self.evaluations}. "
                "Make smaller groups within groups, give fewer players (players='variables', 'streams', or by name), "
                "or use 'shap.partition', which splits in two."
            )
        names = [str(player) for player in range(masker.count)]

        def run(predict: Predict, background: Array, rows: Array, seed: int) -> Array:
            if masker.count == 1:
                return _whole_change(predict, background, rows)
            partition = shap.maskers.Partition(background, max_samples=len(background), clustering=None)
            # shap asks for a tree of two that this explainer does not use, and for names, which it does.
            partition.clustering, partition.feature_names = linkage(tuple(range(masker.count)), masker.count), names
            explainer = shap.explainers.CoalitionExplainer(
                lambda asked: _twice(predict(asked)), partition, partition_tree=_named(tree)
            )
            return np.asarray(explainer(rows, silent=True).values)[..., :-1]

        return explain_players(model, inputs, selectors, context, masker, run)


def _whole_change(predict: Predict, background: Array, rows: Array) -> Array:
    """What a single player takes."""
    change: Array = predict(rows) - predict(background).mean(axis=0)
    return change[:, None]


def by_correlation(background: Array) -> Array:
    """Players that go together first, in SciPy's form: complete linkage by 1 - |correlation of ranks|.

    Args:
        background: ``(row, player)``, values or ranks. Players that never change go with nobody.
    """
    import scipy.cluster.hierarchy
    import scipy.spatial.distance
    import scipy.stats

    ranks = scipy.stats.rankdata(background, axis=0)
    centred = ranks - ranks.mean(axis=0)
    norm = np.linalg.norm(centred, axis=0)
    unit = centred / np.where(norm == 0, 1, norm)
    distance = np.clip(1 - np.abs(unit.T @ unit), 0, 2)
    np.fill_diagonal(distance, 0)
    tree: Array = scipy.cluster.hierarchy.complete(scipy.spatial.distance.squareform(distance, checks=False))
    return tree


def evaluations_of(links: Array) -> int:
    """How many coalitions of a row a hierarchy in SciPy's form takes: all and nobody, and two for each split.

    A part is split once for each set of the others that may be there, twice as many as its group.
    """
    players = len(links) + 1
    splits = {2 * players - 2: 1}
    total = 2
    for number in range(2 * players - 2, players - 1, -1):
        total += 2 * splits[number]
        for part in links[number - players, :2].astype(int):
            splits[int(part)] = 2 * splits[number]
    return total


def _coalitions(tree: Tree, others: int = 1) -> int:
    """How many coalitions of a row a hierarchy asks for: for each player, those beside it on its way down, twice."""
    if isinstance(tree, int):
        return 2 * others
    return sum(_coalitions(part, others * 2 ** (len(tree) - 1)) for part in tree)


def _named(tree: Tree, place: str = "group") -> Any:
    """A tree as shap takes it: groups by names that no player has."""
    if all(isinstance(part, int) for part in tree):
        return {place: [str(part) for part in tree]}
    return {
        f"{place}.{i}": [str(part)] if isinstance(part, int) else _named(part, f"{place}.{i}")
        for i, part in enumerate(tree)
    }


def _twice(values: Array) -> Array:
    """The last target a second time: of a single one shap makes no table."""
    return np.concatenate([values, values[:, -1:]], axis=1)
