"""Explanations of embedded tokens as one value for each token, with the words that stand there."""

import dataclasses
import json
from collections.abc import Mapping

import xarray as xr

from xai_mimo.core.errors import DuplicateName, SchemaError
from xai_mimo.core.explanation import DATA_STREAMS, streams_of, validate
from xai_mimo.core.streams import Array


def name_tokens(explanation: xr.Dataset, words: Mapping[str, Array]) -> xr.Dataset:
    """The same with the words that stand at the places of its streams, as coordinates ``<stream>_word``.

    Args:
        explanation: of these rows, or interactions, which have no places.
        words: ``{stream: (sample, token) strings}``, "" where a row has no more.
    """
    for stream in streams_of(explanation):
        if (
            stream.name not in words
            or stream.name not in explanation.variables
            or not stream.dims
            or stream.dims[0] not in explanation[stream.name].dims
        ):
            continue
        name = f"{stream.name}_word"
        if name in explanation:
            raise DuplicateName(
                f"results would call two things '{name}': a stream, and the words of stream '{stream.name}'. Rename "
                "one of the streams."
            )
        explanation = explanation.assign_coords({name: (("sample", stream.dims[0]), words[stream.name])})
    return explanation


def by_token(explanation: xr.Dataset) -> xr.Dataset:
    """An explanation with one value for each token.

    A[h, n, t] = sum over the dimensions d of token t of A[h, n, t, d], of magnitudes where the map has no sign

    A gradient needs real values, so a text is explained at the layer that reads what is made of its ids,
    ``explain(..., at="embedding")``: a value for each dimension of each token's vector, which says little alone.

    Args:
        explanation: of one method or several, at a layer that has a place for each token, or of texts. Which token
            stands there is told by its coordinates ``<stream>_word``: words of texts, else the ids.
    Returns:
        The same with ``(head, sample, token)`` for each stream that has words; other streams stay as they are. Standard
        errors of sums are not known and are left out.
    Raises:
        SchemaError: no explanation, or none of whose streams has words.

    Example:
        >>> found = explain(model, {"ids": ids}, "integrated_gradients", at="embedding")  # doctest: +SKIP
        >>> by_token(found)["embedding"].sel(head="mood")  # doctest: +SKIP
    """
    validate(explanation)
    streams = list(streams_of(explanation))
    if not any(f"{stream.name}_word" in explanation.coords for stream in streams):
        raise SchemaError(
            f"no stream of the explanation has words ({', '.join(s.name for s in streams)}): explain texts, or at the "
            "layer that reads what is made of ids, at='...'."
        )
    is_signed = bool(explanation.attrs.get("signed", 1))
    for i, stream in enumerate(streams):
        others = [dim for dim in stream.dims[1:] if dim in explanation[stream.name].dims]
        if f"{stream.name}_word" not in explanation.coords or not others:
            continue
        values = explanation[stream.name] if is_signed else abs(explanation[stream.name])
        gone = [stream.name, f"{stream.name}_standard_error", *others]
        explanation = explanation.drop_vars(gone, errors="ignore")
        explanation = explanation.assign({stream.name: values.sum(others, keep_attrs=True)})
        streams[i] = dataclasses.replace(stream, shape=stream.shape[:1], axes=stream.axes[:1], features=(), groups={})
    of_data = explanation.attrs.get(DATA_STREAMS, explanation.attrs["streams"])
    described = json.dumps([stream.plain() for stream in streams])
    return explanation.assign_attrs({"streams": described, DATA_STREAMS: of_data})
