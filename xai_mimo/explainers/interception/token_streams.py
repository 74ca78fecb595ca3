"""Whose positions a row of tokens is: weights of tokens as values of the model's streams."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from xai_mimo.core.errors import BadSetting, NotSupported, UnknownName
from xai_mimo.core.method import name_or_none
from xai_mimo.core.model import Arrays, Model, Splittable
from xai_mimo.core.positions import channel_axis, has_positions, is_image, positions_of
from xai_mimo.core.streams import Array, Stream, unknown
from xai_mimo.explainers.activation_maps.token_grid import TokenGrid


@dataclass(frozen=True)
class TokenStreams:
    """What the tokens that attention layers read stand for.

    Attributes:
        stream: the one stream whose positions they are; None to read it off the model.
        counts: where tokens of several streams stand in one row, how many each has, in their order; () else.
        grid: tokens before the first position, and the grid of patches of an image.
    """

    stream: str | None
    counts: tuple[tuple[str, int], ...]
    grid: TokenGrid

    @staticmethod
    def of(
        stream: str | None, tokens: Mapping[str, int] | None, prefix_tokens: int, grid: Sequence[int] | None
    ) -> "TokenStreams":
        """From a method's settings, checked.

        Raises:
            BadSetting: see the text.
        """
        name_or_none(stream, "stream")
        counts = () if tokens is None else _counts(tokens)
        if counts and stream is not None:
            raise BadSetting(f"stream='{stream}' and tokens={dict(counts)} contradict each other; give one of them.")
        return TokenStreams(stream, counts, TokenGrid.of(prefix_tokens, grid))

    def reads(self, model: Model, layer: str) -> bool | None:
        """Whether a layer reads the one stream that was named, and that alone; None where it cannot be told."""
        read = _streams_read(model, layer)
        return None if self.stream is None or read is None else read == [self.stream]

    def owners(self, model: Model, layers: Sequence[str]) -> tuple[tuple[Stream, int | None], ...]:
        """The streams that the tokens stand for, in the order of the tokens, and how many each has (None: all).

        Raises:
            UnknownName: no such stream. NotSupported: it cannot be told.
        """
        by_name = {s.name: s for s in model.streams}
        for name in [name for name, _ in self.counts] + ([] if self.stream is None else [self.stream]):
            if name not in by_name:
                raise unknown(name, by_name, "input stream")
        if self.counts:
            return tuple((by_name[name], count) for name, count in self.counts)
        if self.stream is not None or len(by_name) == 1:
            return ((by_name[self.stream or next(iter(by_name))], None),)
        for layer in layers:
            read = _streams_read(model, layer)
            if read is None or len(read) != 1:
                example = dict.fromkeys((read or list(by_name))[:2], 4)
                raise NotSupported(
                    f"layer '{layer}' reads {', '.join(read) if read else 'streams that cannot be told'}, so it cannot "
                    "be told what its tokens stand for. Say how many tokens each stream has, in their order, e.g. "
                    f"tokens={example}; or whose positions they are: stream='{next(iter(by_name))}'."
                )
        owners = list(dict.fromkeys(name for layer in layers for name in _streams_read(model, layer) or ()))
        if len(owners) > 1:
            raise NotSupported(
                f"layers that read different streams ({', '.join(owners)}) attend each within its own, and their "
                f"weights do not tell how much a stream counts beside another. Explain one: stream='{owners[0]}'."
            )
        return ((by_name[owners[0]], None),)

    def laid(self, weights: Array, owners: Sequence[tuple[Stream, int | None]], inputs: Arrays) -> Arrays:
        """Weights of tokens ``(row, token)`` as ``{stream: (row, *shape)}``.

        A token's weight is divided evenly among what it stands for, positions and channels, so that the sum over a
        stream is the sum of its tokens' weights.

        Raises:
            NotSupported, BadSetting: the tokens do not fit the streams.
        """
        prefix, total = self.grid.prefix, weights.shape[-1]
        if total <= prefix:
            raise BadSetting(f"there are {total} tokens, so {prefix} of them cannot be a prefix.")
        named = sum(count for _, count in owners if count is not None)
        if all(count is not None for _, count in owners) and prefix + named != total:
            raise BadSetting(
                f"the layers read {total} tokens; tokens={dict(self.counts)} and prefix_tokens={prefix} are "
                f"{prefix + named}."
            )
        laid, at = {}, prefix
        for stream, count in owners:
            end = total if count is None else at + count
            laid[stream.name] = self._over(weights[:, at:end], stream, inputs[stream.name].shape[1:])
            at = end
        return laid

    def _over(self, weights: Array, stream: Stream, shape: Sequence[int]) -> Array:
        count = weights.shape[-1]
        what = f"the weights of {count} tokens"
        grid = replace(self.grid, sides=None) if self.counts and not is_image(stream.axes) else self.grid
        if not shape:
            shape, stream = (1,), Stream(stream.name, (1,))
            return self._over(weights, stream, shape)[:, 0]
        if len(shape) == 1 and not has_positions(stream) and count not in (1, shape[0]):
            raise NotSupported(
                f"{count} tokens cannot be told from the {shape[0]} features of input stream '{stream.name}', which "
                "have no order. Name the tokens before the first feature, e.g. prefix_tokens=1 for one of the class, "
                "or explain at the layer that makes the tokens (at='<layer>')."
            )
        if count == 1:
            return np.asarray(np.broadcast_to(_spread(weights[:, 0], shape), (len(weights), *shape)))
        maps, axes = grid.lay(weights, stream, shape, axes=1, what=what)
        sizes = positions_of(stream, shape, axes=axes, what=what)
        for axis, size in enumerate(sizes, start=1):
            maps = np.moveaxis(np.tensordot(maps, _shares(maps.shape[axis], size), axes=(axis, 1)), -1, axis)
        channel = channel_axis(stream, axes)
        if channel is None:
            return np.asarray(maps)
        return np.repeat(np.expand_dims(maps / shape[channel], 1 + channel), shape[channel], axis=1 + channel)


def _spread(weights: Array, shape: Sequence[int]) -> Array:
    """``(row,)`` to ``(row, 1, ...)``, divided by the number of values."""
    return (weights / np.prod(shape)).reshape(-1, *(1 for _ in shape))


def _shares(tokens: int, positions: int) -> Array:
    """What share of each token each position gets, ``(position, token)``; both cover one length, and columns sum to 1.

    w[j, i] = length of the overlap of [j, j + 1] n / m and [i, i + 1], for n tokens and m positions.
    """
    scale = tokens / positions
    new, old = np.arange(positions)[:, None], np.arange(tokens)
    return np.asarray(np.maximum(0.0, np.minimum((new + 1) * scale, old + 1) - np.maximum(new * scale, old)))


def _streams_read(model: Model, layer: str) -> list[str] | None:
    """The model's streams that a layer's own inputs depend on; None where it cannot be told.

    Those that pass beside the layer stand under their own names. A layer inside another, such as the attention of an
    encoder's block, depends on no more than the outer one, which is asked where the model knows only that.
    """
    if not isinstance(model, Splittable):
        return None
    owners: dict[str, tuple[str, ...]] | None = None
    for inner in range(layer.count("/") + 1):
        try:
            owners = model.layer_streams(layer.rsplit("/", inner)[0])
            break
        except UnknownName:
            continue
        except NotSupported:  # the layer is called several times, or stands where nothing can be cut
            return None
    if owners is None:
        return None
    raw = {stream.name for stream in model.streams}
    computed = [owner for name, sources in owners.items() if name not in raw for owner in sources]
    return list(dict.fromkeys(computed or [owner for sources in owners.values() for owner in sources]))


def _counts(tokens: Mapping[str, int]) -> tuple[tuple[str, int], ...]:
    is_counts = isinstance(tokens, Mapping) and all(
        isinstance(name, str) and isinstance(n, int | np.integer) and not isinstance(n, bool) and n > 0
        for name, n in tokens.items()
    )
    if not is_counts or not tokens:
        raise BadSetting(
            f"tokens must say how many tokens each stream has, in their order, such as {{'text': 12, 'table': 3}}; got "
            f"{tokens!r}."
        )
    return tuple((name, int(n)) for name, n in tokens.items())
