"""Attention of layers that explain nothing of themselves, as methods beside the others: its map, rollout and flow."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, Literal, get_args

import numpy as np

from xai_mimo.core.attention import AXES, CROSS_VALUES, CROSS_WEIGHTS, VALUES, WEIGHTS
from xai_mimo.core.cut import find_layer
from xai_mimo.core.errors import BadSetting, NotSupported
from xai_mimo.core.method import Attribution, Context, is_number, one_of
from xai_mimo.core.model import Arrays, Interceptable, Interceptions, Model, require
from xai_mimo.core.slices import slices
from xai_mimo.core.speaks_of import SpeaksOf
from xai_mimo.core.streams import Array
from xai_mimo.core.targets import Selector, take
from xai_mimo.explainers.interception.attention_graph import edges_of, flow, head_norms, joined_norms, rollout
from xai_mimo.explainers.interception.token_streams import TokenStreams

Weights = Literal["attention", "norms"]


@dataclass(frozen=True)
class _Layer:
    """A layer's weights ``(row, query, key)``, and whether it attends to its own positions."""

    weights: Array
    is_self: bool


Read = Callable[[Sequence[_Layer], Array], Array]
"""From the layers, and which queries of the last one count ``(row, query)``, to weights of tokens ``(row, key)``."""
_KOBAYASHI = "kobayashi2020attention"


@dataclass(frozen=True)
class _Attention:
    """The settings that the three readings share, see ``AttentionMap``, and what they do with them."""

    layers: Sequence[str] | None = None
    query: int | Literal["mean"] = "mean"
    attention_head: int | Literal["mean"] = "mean"
    weights: Weights = "attention"
    stream: str | None = None
    tokens: Mapping[str, int] | None = None
    prefix_tokens: int = 0
    grid: Sequence[int] | None = None

    speaks_of: ClassVar[SpeaksOf] = "attribution"
    needs: ClassVar[tuple[type[Model], ...]] = (Interceptable,)

    def __post_init__(self) -> None:
        one_of(self.weights, get_args(Weights), "weights")
        _whole_or_mean(self.query, "query")
        _whole_or_mean(self.attention_head, "attention_head")
        are_names = isinstance(self.layers, list | tuple) and all(isinstance(n, str) for n in self.layers)
        if self.layers is not None and not (are_names and self.layers):
            raise BadSetting(f"layers must be a list of names, or None for all; got {self.layers!r}.")
        self._of_tokens()

    def _of_tokens(self) -> TokenStreams:
        return TokenStreams.of(self.stream, self.tokens, self.prefix_tokens, self.grid)

    def _explained(
        self,
        model: Model,
        inputs: Arrays,
        selectors: Sequence[Selector],
        context: Context,
        *,
        name: str,
        read: Read,
        cited: str,
    ) -> Attribution:
        """One map for all targets, read block by block; ``name`` and ``cited`` are those of the method."""
        able, tokens = require(model, Interceptable, for_=f"'{name}'"), self._of_tokens()
        one = able.intercept({stream: x[:1] for stream, x in inputs.items()})
        layers = self._layers(model, one, tokens, name)
        owners = tokens.owners(model, layers)
        size = sum(m.values.nbytes for m in one.values()) * 4 + sum(8 * x[:1].size for x in inputs.values())
        values = {stream: np.zeros(x.shape) for stream, x in inputs.items()}
        total = len(selectors[0].units)
        for part in slices(total, context.chunk(size)):
            maps = able.intercept({stream: x[part] for stream, x in inputs.items()})
            chosen = [_Layer(self._weights_of(maps, key), maps[key].name == WEIGHTS) for key in layers]
            laid = tokens.laid(read(chosen, _queries(chosen[-1], self.query)), owners, inputs)
            for stream, block in laid.items():
                values[stream][part] = block
            context.advance(part.stop - part.start)
        return Attribution(
            {stream: np.broadcast_to(x, (len(selectors), *x.shape)) for stream, x in values.items()},
            take(model.predict(inputs), selectors),
            signed=False,
            reference=_KOBAYASHI if self.weights == "norms" else cited,
            unexplained=tuple(stream for stream in inputs if stream not in {each.name for each, _ in owners}),
        )

    def _layers(self, model: Model, maps: Interceptions, tokens: TokenStreams, name: str) -> list[str]:
        """The keys of the chosen layers' maps, in the order in which the layers run."""
        found = {key: m for key, m in maps.items() if m.name in (WEIGHTS, CROSS_WEIGHTS)}
        paths = list(dict.fromkeys(m.layer for m in found.values()))
        if not found:
            raise NotSupported(
                f"'{name}' reads attention from position to position, and no layer of this model that can be read has "
                f"any (there are: {', '.join(maps) or 'no maps'}). Use another method, e.g. 'integrated_gradients' or "
                "'shapley'."
            )
        if self.layers is not None:
            wanted = {find_layer(layer, paths, "layer with attention weights") for layer in self.layers}
            return [key for key, m in found.items() if m.layer in wanted]
        crossing = [m.layer for m in found.values() if m.name == CROSS_WEIGHTS]
        if crossing:
            raise NotSupported(
                f"layer '{crossing[0]}' does not attend to its own positions but to others (or to a copy of them), so "
                f"which layers follow each other cannot be told. Name them in their order: layers={paths[:3]}."
            )
        mine = {layer: tokens.reads(model, layer) for layer in paths}
        alone = [layer for layer, reads in mine.items() if reads]
        return [key for key, m in found.items() if m.layer in (alone or paths)]

    def _weights_of(self, maps: Interceptions, key: str) -> Array:
        """A layer's weights ``(row, query, key)``: of one attention head, or of all."""
        sown = maps[key]
        if sown.axes != AXES:
            raise NotSupported(
                f"layer '{sown.layer}' attends along some axes of its input only, so its weights have the axes "
                f"{sown.axes}; read them with xai_mimo.intercept."
            )
        heads = sown.values.shape[1]
        if self.attention_head != "mean" and not -heads <= self.attention_head < heads:
            raise BadSetting(f"attention_head={self.attention_head}: layer '{sown.layer}' has {heads} attention heads.")
        if self.weights == "attention":
            values = sown.values.astype(np.float64)
            return np.asarray(values.mean(axis=1) if self.attention_head == "mean" else values[:, self.attention_head])
        products = maps.get(f"{sown.layer}/{VALUES if sown.name == WEIGHTS else CROSS_VALUES}")
        if products is None:
            raise NotSupported(
                f"what layer '{sown.layer}' makes of its values cannot be read, so there are no norms of it. Use "
                "weights='attention'."
            )
        if self.attention_head == "mean":
            return joined_norms(sown.values, products.values)
        return head_norms(sown.values, products.values)[:, self.attention_head]


@dataclass(frozen=True)
class AttentionMap(_Attention):
    """How much a model's attention layers take from each token: the mean over layers, attention heads and queries.

    What a layer attends to is no statement about any head of the model: it is one map for all heads and targets, has
    no sign, and whether it explains one of them is what a comparison is for. Nothing is perturbed or differentiated.

    Attributes:
        layers: names or paths of attention layers, in any order; None for all of self-attention.
        query: position whose attention is read, such as 0 for a token of the class that stands first, or -1 for the
            last; "mean" for the mean over all positions that are not masked.
        attention_head: number of one attention head; "mean" for their mean. These are heads of the layer and none of
            the model's.
        weights: "attention" for the weights a themselves; "norms" for the length of what they move, ||a f(x)||, f being
            the layer's transformation of values; of "mean" all heads' vectors are added first. Weights sum to 1 over
            tokens; norms are in the unit of the layer's output.
        stream: the input stream whose positions the tokens are, where that cannot be read off the model.
        tokens: where tokens of several streams stand in one row, how many each has, in their order.
        prefix_tokens: tokens before the first position, such as one for the class; what they get is left out.
        grid: rows and columns of patches, where tokens are those of an image; None for the grid of its aspect.

    A token's weight is divided evenly among the positions and channels of the stream that it stands for.

    Source: weights as in Vaswani et al. (2017); norms: Kobayashi et al. (2020), "Attention is Not Only a Weight:
    Analyzing Transformers with Vector Norms".

    Example:
        >>> AttentionMap(layers=["block_2/attention"], query=0, weights="norms").query
        0
    """

    name: ClassVar[str] = "attention_map"
    reference: ClassVar[str] = "vaswani2017attention"

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the weights and give them the shape of an attribution."""
        return self._explained(
            model, inputs, selectors, context, name=self.name, read=_mean_of_layers, cited=self.reference
        )


@dataclass(frozen=True)
class AttentionRollout(_Attention):
    """Attention followed through all layers by multiplying them, the residual connections with them.

        R = W_L ... W_1,  W_l = (1 - r) A_l + r I;   the value of token j is R_ij of the query i, or the mean over i

    One map for all heads of the model, without a sign; the sum over tokens is 1. See ``AttentionMap`` for what that
    means and for the settings besides ``residual``. Of layers that attend to other positions than their own (the last
    one may, as a pooling layer does) A itself is taken. With ``weights="norms"`` A is the norms, scaled to sum to 1.

    Attributes:
        residual: r, the share of the residual connection: 1/2 in the source, 0 for layers that have none.

    Source: Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers", Section 3.
    """

    residual: float = 0.5

    name: ClassVar[str] = "attention_rollout"
    reference: ClassVar[str] = "abnar2020quantifying"

    def __post_init__(self) -> None:
        _Attention.__post_init__(self)
        _check_share(self.residual)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the weights, multiply them, and give the product the shape of an attribution."""
        return self._explained(
            model,
            inputs,
            selectors,
            context,
            name=self.name,
            read=lambda layers, counted: _mean_over(rollout(_edges(layers, self.residual)), counted),
            cited=self.reference,
        )


@dataclass(frozen=True)
class AttentionFlow(_Attention):
    """Attention followed through all layers as water through pipes: the largest flow from the query to each token.

    One map for all heads of the model, without a sign; see ``AttentionMap`` for what that means and for the settings,
    and ``AttentionRollout`` for ``residual``. One maximum flow for each row, query and token: with ``query="mean"``
    of n tokens n^2 of them, so name the query where it is known.

    Source: Abnar and Zuidema (2020), "Quantifying Attention Flow in Transformers", Section 3.
    """

    residual: float = 0.5

    name: ClassVar[str] = "attention_flow"
    reference: ClassVar[str] = "abnar2020quantifying"

    def __post_init__(self) -> None:
        _Attention.__post_init__(self)
        _check_share(self.residual)

    def __call__(self, model: Model, inputs: Arrays, selectors: Sequence[Selector], context: Context) -> Attribution:
        """Read the weights, find the flows, and give them the shape of an attribution."""

        def read(layers: Sequence[_Layer], counted: Array) -> Array:
            queries = np.flatnonzero(counted.any(axis=0))
            flows = flow(_edges(layers, self.residual), [int(query) for query in queries])
            return _mean_over(flows, counted[:, queries])

        return self._explained(model, inputs, selectors, context, name=self.name, read=read, cited=self.reference)


def _edges(layers: Sequence[_Layer], residual: float) -> list[Array]:
    """Each layer's weights with its residual connection, where each layer reads as many tokens as the one before gives.

    Raises:
        NotSupported: one does not.
    """
    for below, above in pairwise([each.weights for each in layers]):
        if above.shape[2] != below.shape[1]:
            raise NotSupported(
                f"a layer reads {above.shape[2]} tokens and the layer before gives {below.shape[1]}, so they do not "
                "follow each other. Name the layers of one row of tokens: layers=[...]."
            )
    return [edges_of(each.weights, residual if each.is_self else 0.0) for each in layers]


def _mean_of_layers(layers: Sequence[_Layer], counted: Array) -> Array:
    weights = [each.weights for each in layers]
    if len({each.shape for each in weights}) > 1:
        raise NotSupported(
            f"the layers have weights of {', '.join(str(each.shape[1:]) for each in weights)} queries and keys, which "
            "have no mean. Name those of one size: layers=[...]."
        )
    return _mean_over(np.mean(weights, axis=0), counted)


def _queries(layer: _Layer, query: int | Literal["mean"]) -> Array:
    """Which queries of a layer are read in each row: ``(row, query)``.

    Of all, those are left out that stand for masked positions: no query takes anything of them. Queries that are masked
    themselves may take the same of every key, and so do not count.
    """
    weights = layer.weights
    rows, queries, _ = weights.shape
    if query != "mean":
        if not -queries <= query < queries:
            raise BadSetting(f"query={query}: the last layer has {queries} queries.")
        chosen = np.zeros((rows, queries), bool)
        chosen[:, query] = True
        return chosen
    if not layer.is_self:
        return np.ones((rows, queries), bool)
    takes = weights.max(axis=2) > weights.min(axis=2) * (1 + 1e-6)
    taken = ((weights > 0) & takes[:, :, None]).any(axis=1)
    return np.asarray(np.where(taken.any(axis=1, keepdims=True), taken, True))


def _mean_over(weights: Array, counted: Array) -> Array:
    """The mean over the queries that count: ``(row, query, key)`` to ``(row, key)``."""
    return np.asarray((weights * counted[:, :, None]).sum(axis=1) / counted.sum(axis=1)[:, None])


def _check_share(residual: object) -> None:
    if not is_number(residual) or not 0 <= float(residual) < 1:  # type: ignore[arg-type]
        raise BadSetting(f"residual must be a share from 0 to below 1; got {residual!r}.")


def _whole_or_mean(value: object, what: str) -> None:
    if value == "mean" or (isinstance(value, int | np.integer) and not isinstance(value, bool)):
        return
    raise BadSetting(f"{what} must be a whole number, or 'mean'; got {value!r}.")
