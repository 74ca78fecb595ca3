"""What players do together: interaction indices, and their values as an ``xarray.Dataset``; this file is its schema.

Layout (version 1), made by ``xai_mimo.interactions``:

- ``interaction``, ``(head, sample, player, other_player)``, symmetric: off the diagonal what two players do together,
  on the diagonal what one does by itself, its *main effect*, as the index means it (``INDICES``; the attribute
  ``diagonal`` says it);
- ``interaction_3``, ``(head, sample, player, other_player, third_player)``, of order 3 alone: what three players do
  together, symmetric, 0 wherever a player stands twice;
- ``prediction`` and ``baseline_prediction``, ``(head, sample)``: f(x), and the mean of f over the background;
- ``completeness_gap``, ``(head, sample)``, of indices with efficiency alone: the sum of all main effects, of all pairs
  (each once) and of all triples (each once), less the change f(x) - mean f(background);
- ``evaluations``, ``(head, sample)``: coalitions that were asked for, shared by all heads; each was asked of every row
  of the background;
- coordinates ``head``, ``sample``, ``unit`` as in an explanation, and the names of the players on their dimensions;
- attributes as in an explanation, ``schema`` apart, with ``index``, ``order``, ``approximator`` ("exact", or what
  estimated them), ``diagonal``, ``players`` (the streams of each) and ``bibtex``.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, permutations
from typing import Any

import numpy as np
import xarray as xr

from xai_mimo.core.errors import SchemaError
from xai_mimo.core.streams import Array, Stream

SCHEMA = "xai_mimo.interactions/1"

PAIRS, TRIPLES = "interaction", "interaction_3"
DIMS = ("player", "other_player", "third_player")


@dataclass(frozen=True)
class Index:
    """An interaction index.

    Attributes:
        name: as papers write it.
        is_efficient: whether all of it up to the order sums to f(x) - mean f(background).
        diagonal: what its main effects are, in words.
        reference: BibTeX key. bibtex: the entry.
    """

    name: str
    is_efficient: bool
    diagonal: str
    reference: str
    bibtex: str


_GRABISCH = """@article{grabisch1999axiomatic,
  title = {An Axiomatic Approach to the Concept of Interaction among Players in Cooperative Games},
  author = {Grabisch, Michel and Roubens, Marc},
  journal = {International Journal of Game Theory},
  volume = {28},
  pages = {547--565},
  year = {1999}
}"""
_BORDT = """@inproceedings{bordt2023shapley,
  title = {From {Shapley} Values to Generalized Additive Models and back},
  author = {Bordt, Sebastian and von Luxburg, Ulrike},
  booktitle = {Proceedings of the 26th International Conference on Artificial Intelligence and Statistics (AISTATS)},
  series = {Proceedings of Machine Learning Research},
  volume = {206},
  pages = {709--745},
  year = {2023},
  publisher = {PMLR}
}"""
_SUNDARARAJAN = """@inproceedings{sundararajan2020shapley,
  title = {The {Shapley} {Taylor} Interaction Index},
  author = {Sundararajan, Mukund and Dhamdhere, Kedar and Agarwal, Ashish},
  booktitle = {Proceedings of the 37th International Conference on Machine Learning (ICML)},
  series = {Proceedings of Machine Learning Research},
  volume = {119},
  pages = {9259--9268},
  year = {2020},
  publisher = {PMLR}
}"""
_TSAI = """@article{tsai2023faith,
  title = {Faith-Shap: The Faithful {Shapley} Interaction Index},
  author = {Tsai, Che-Ping and Yeh, Chih-Kuan and Ravikumar, Pradeep},
  journal = {Journal of Machine Learning Research},
  volume = {24},
  number = {94},
  pages = {1--42},
  year = {2023}
}"""

INDICES = {
    index.name: index
    for index in (
        Index(
            "k-SII",
            True,
            "the Shapley value less the player's even shares of what it does together with others: the values of the "
            "index, each divided evenly among its players, sum to the Shapley values",
            "bordt2023shapley",
            _BORDT,
        ),
        Index(
            "SII",
            False,
            "the Shapley value, which contains the player's shares of what it does together with others",
            "grabisch1999axiomatic",
            _GRABISCH,
        ),
        Index(
            "STII",
            True,
            "what the player changes when no other player is known, v(i) - v(nobody)",
            "sundararajan2020shapley",
            _SUNDARARAJAN,
        ),
        Index(
            "FSII",
            True,
            "the player's coefficient in the polynomial of this order that comes closest to the worth of all "
            "coalitions, weighted as Shapley values weight them, and agrees with it for nobody and for everybody",
            "tsai2023faith",
            _TSAI,
        ),
        Index(
            "FBII",
            False,
            "the player's coefficient in the polynomial of this order that comes closest to the worth of all "
            "coalitions, each weighted alike; it has a constant of its own, so nothing sums to the change",
            "tsai2023faith",
            _TSAI,
        ),
    )
}
"""By name: k-SII and SII (Shapley interactions), STII (Shapley-Taylor), FSII and FBII (faithful Shapley, Banzhaf)."""


@dataclass(frozen=True)
class Interactions:
    """What a method of interactions found for a block of rows.

    Attributes:
        index: a key of ``INDICES``. approximator: "exact", or what estimated the values.
        names: of the players. streams: of which each has values.
        singles: ``(target, sample, player)``, main effects.
        pairs: ``(target, sample, pair)``, in the order of ``itertools.combinations``.
        triples: ``(target, sample, triple)``; None below order 3.
        evaluations: ``(target, sample)``.
    """

    index: str
    approximator: str
    names: tuple[str, ...]
    streams: tuple[tuple[str, ...], ...]
    singles: Array
    pairs: Array
    evaluations: Array
    triples: Array | None = field(default=None)

    @property
    def order(self) -> int:
        """The most players whose interaction is told."""
        return 2 if self.triples is None else 3

    def total(self) -> Array:
        """The sum of everything, each once: ``(target, sample)``."""
        parts = [self.singles, self.pairs, *(() if self.triples is None else (self.triples,))]
        total: Array = np.sum([part.sum(axis=2) for part in parts], axis=0)
        return total

    def matrix(self) -> Array:
        """``(target, sample, player, player)``: pairs, and the main effects on the diagonal."""
        count = len(self.names)
        full = np.zeros((*self.singles.shape[:2], count, count))
        full[..., np.arange(count), np.arange(count)] = self.singles
        for place, pair in enumerate(combinations(range(count), 2)):
            for i, j in permutations(pair):
                full[..., i, j] = self.pairs[..., place]
        return full

    def cube(self) -> Array:
        """``(target, sample, player, player, player)``: triples, 0 wherever a player stands twice."""
        if self.triples is None:
            raise SchemaError(f"interactions of order {self.order} have no triples.")
        count = len(self.names)
        full = np.zeros((*self.singles.shape[:2], count, count, count))
        for place, triple in enumerate(combinations(range(count), 3)):
            for i, j, k in permutations(triple):
                full[..., i, j, k] = self.triples[..., place]
        return full


def interactions_dataset(
    attribution: Any,
    *,
    streams: Sequence[Stream],
    selectors: Sequence[Any],
    samples: Array,
    attrs: Mapping[str, Any],
) -> xr.Dataset:
    """Give what a method of interactions returned its names; takes what ``core.explanation.to_dataset`` takes.

    Raises:
        SchemaError: the method returned no interactions.
    """
    found: Interactions | None = attribution.interactions
    if found is None:
        raise SchemaError(f"method {attrs.get('method')!r} gave no interactions; call it with xai_mimo.explain.")
    index, both = INDICES[found.index], ("head", "sample")
    dims = DIMS[: found.order]
    change = attribution.prediction - attribution.baseline_prediction
    data: dict[str, Any] = {
        PAIRS: ((*both, *dims[:2]), found.matrix()),
        **({} if found.triples is None else {TRIPLES: ((*both, *dims), found.cube())}),
        "prediction": (both, attribution.prediction),
        "baseline_prediction": (both, attribution.baseline_prediction),
        **({"completeness_gap": (both, found.total() - change)} if index.is_efficient else {}),
        "evaluations": (both, found.evaluations),
    }
    coords: dict[str, Any] = {
        "head": [s.name for s in selectors],
        "sample": samples,
        "unit": (both, np.stack([s.units for s in selectors])),
        **{dim: list(found.names) for dim in dims},
    }
    own = {
        "schema": SCHEMA,
        "signed": 1,
        "index": index.name,
        "order": found.order,
        "approximator": found.approximator,
        "diagonal": index.diagonal,
        "players": json.dumps(dict(zip(found.names, map(list, found.streams), strict=True))),
        "targets": json.dumps([(s.head, s.unit, s.step) for s in selectors]),
        "reference": index.reference,
        "bibtex": index.bibtex,
    }
    return validate(xr.Dataset(data, coords, {**attrs, **own}))


def validate(interactions: xr.Dataset) -> xr.Dataset:
    """Return the dataset if it follows the schema; else raise ``SchemaError`` that names what is wrong."""
    if not isinstance(interactions, xr.Dataset):
        raise SchemaError(
            f"expected interactions, the xarray.Dataset that xai_mimo.interactions returns; got "
            f"{type(interactions).__name__}."
        )
    if interactions.attrs.get("schema") != SCHEMA:
        raise SchemaError(
            f"this dataset's schema is {interactions.attrs.get('schema')!r}, expected {SCHEMA!r}; was it made by "
            "xai_mimo.interactions?"
        )
    order = int(interactions.attrs["order"])
    for name, dims in [(PAIRS, DIMS[:2]), (TRIPLES, DIMS)][: order - 1]:
        if name not in interactions:
            raise SchemaError(f"interactions of order {order} lack the variable '{name}'.")
        if interactions[name].dims != ("head", "sample", *dims):
            raise SchemaError(
                f"variable '{name}' has the dimensions {interactions[name].dims}; expected {('head', 'sample', *dims)}."
            )
        if not np.isfinite(interactions[name].values).all():
            raise SchemaError(f"variable '{name}' holds NaN or infinity.")
    return interactions
