"""Functions and modules of JAX as models."""

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from xai_mimo.core.errors import BadSetting
from xai_mimo.core.streams import Head, Stream
from xai_mimo_adapters.jax_adapter.network import JaxModule, JaxNetwork
from xai_mimo_adapters.jax_adapter.reading import read
from xai_mimo_adapters.jax_adapter.sources import source_of


def JaxAdapter(
    model: Any,
    *,
    streams: Mapping[str, Any] | Sequence[Stream] | None = None,
    heads: Mapping[str, Any] | Sequence[Head] | None = None,
    max_memory: int | None = None,
    like: Any = None,
    variables: Mapping[str, Any] | None = None,
    takes: Literal["rows", "row"] | None = None,
) -> JaxNetwork:
    """Adapt a function of JAX arrays, jitted or not, or a module of flax or equinox.

    The model is traced, never changed: modules are read in inference mode on a copy. A module's weights, and arrays
    bound by ``functools.partial``, are seen as they are at each call; what a function closes over is read when the
    function is traced, as ``jax.jit`` does. Rows are taken to be independent of each other.

    Args:
        model: a function that takes one array ``(row, *shape)`` per stream, or one mapping or list of them, and gives
            any tree of arrays; a module of ``flax.nnx``; a bound module of ``flax.linen``, or one with ``variables``,
            or ``functools.partial(module.apply, variables)``, or a ``TrainState``; a module of equinox, of rows or of
            one row.
        streams: names, feature names or units of the inputs; in full where there are no rows to read them off.
        heads: names, kinds or units of the outputs.
        max_memory: bytes that one pass may take, estimated from the program; 512 MiB by default.
        like: rows, off which the streams are read.
        variables: of a module of ``flax.linen``, as ``module.init`` gives them.
        takes: "row" for a function of one row, which is mapped over rows; tried for modules of equinox by default,
            "rows" for all others.
    Raises:
        NotSupported: nothing tells of the inputs; the model cannot be traced, is random or keeps a state.
        ShapeMismatch: an output has no row for each of the inputs.
    """
    if takes not in (None, "rows", "row"):
        raise BadSetting(f"takes is 'rows' or 'row', what the model is a function of; got {takes!r}.")
    source = source_of(model, variables)
    reading = read(source, streams=streams, heads=heads, like=like, takes=takes)
    return JaxNetwork(reading, max_memory) if source.leaves is None else JaxModule(reading, max_memory)
